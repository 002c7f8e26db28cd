// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The composition: memory, backend, devices and machine become a virtual machine that runs.

use std::fmt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use s390_cpu::Memory;
use s390_extint::ExternalInterrupt;
use s390_hypervisor::{Vcpu, Vm};
use s390_loader::Image;
use s390_machine::{Machine, MachineConfig, Parts};
use s390_sclp::{Config as SclpConfig, Sclp};
use s390_virtio_devices::console::Console as VirtioConsole;
use s390_virtio_devices::VirtioBus;

use crate::backend::Hypervisor;
use crate::config::{Hardware, Hotplug};
use crate::console::{ConsoleOutput, Keyboard, Port};
use crate::control::{ControlThread, Manager};
use crate::devices::Devices;
use crate::event_loop::EventLoop;
use crate::memory::allocate;
use crate::reboot::Rebooter;
use crate::signals::{self, SignalThread, Window, WindowHandler};
use crate::socket::ListeningSocket;
use crate::stats::Stats;
use crate::terminal;
use crate::vcpu::VcpuThreads;
use crate::{End, Error, Result};

/// CPUs of a guest.
const CPUS: u16 = 1;

/// Everything that the threads of a running machine share.
pub(crate) struct Shared {
    pub(crate) memory: Arc<Memory>,
    pub(crate) ram_size: u64,
    pub(crate) image: Image,
    pub(crate) machine: Machine<Memory>,
    pub(crate) output: ConsoleOutput,
}

/// A virtual machine, put together and not yet run.
pub(crate) struct VirtualMachine {
    shared: Arc<Shared>,
    devices: Arc<Devices>,
    vcpus: Vec<Box<dyn Vcpu>>,
    events: EventLoop,
    rebooter: Arc<Rebooter>,
    power: Power,
    keyboard: Keyboard,
    hotplug: Hotplug,
    control: Option<ListeningSocket>,
    stopper: Stopper,
    stats: Stats,
    ends: Receiver<Result<End>>,
}

impl VirtualMachine {
    /// A machine that will boot `image`; its consoles print to `output`. It has a virtio console,
    /// with these ports beside it, and an entropy device.
    pub(crate) fn new(
        image: Image,
        hardware: &Hardware,
        output: ConsoleOutput,
        ports: Vec<Port>,
    ) -> Result<Self> {
        let ram_size = hardware.memory_size;
        let hypervisor = Hypervisor::choose(hardware.backend)?;
        hypervisor.check_model(hardware.cpu)?;
        let (memory, page) = allocate(ram_size, hypervisor)?;
        let vm = hypervisor.create_vm(&memory, hardware.cpu)?;
        let bus = Arc::new(VirtioBus::new(memory.clone(), page, vm.clone())?);
        bus.set_early_console(Box::new(output.sclp()));
        let mut sclp_output = output.sclp();
        let sink = move |bytes: &[u8]| {
            // It takes everything.
            let _ = std::io::Write::write_all(&mut sclp_output, bytes);
        };
        let sclp_config = SclpConfig {
            consoles: hardware.sclp_consoles,
            ..SclpConfig::new(ram_size, CPUS)
        };
        let sclp = Sclp::new(sclp_config, Box::new(sink))?;
        let sclp = Arc::new(Mutex::new(sclp));
        let vcpus = (0..CPUS)
            .map(|address| vm.create_vcpu(address))
            .collect::<s390_hypervisor::Result<Vec<_>>>()?;
        let machine = Machine::new(Parts {
            config: MachineConfig {
                machine_type: hardware.cpu.machine_type(),
                ..MachineConfig::new(ram_size)
            },
            memory: Memory::clone(&memory),
            vm: vm.clone(),
            sclp: sclp.clone(),
            hypercalls: bus.clone(),
            devices: Arc::new({
                let bus = bus.clone();
                move || bus.machine_reset()
            }),
            cpus: vcpus.iter().map(|vcpu| vcpu.handle()).collect(),
        });
        let console = VirtioConsole::new(Box::new(output.virtio()), Some(terminal::size()));
        let console = ports
            .into_iter()
            .try_fold(console, |console, port| {
                Ok(console?.with_port(&port.name, port.backend))
            })
            .and_then(|console| console)
            .map_err(Error::host("create a device"))?;
        let (stopper, ends) = Stopper::new();
        let events = EventLoop::start(stopper.clone())?;
        let devices = Arc::new(Devices::new(bus, events.subscribe()));
        let rebooter = Arc::new(Rebooter::new(vcpus.len()));
        let keyboard = Keyboard {
            rebooter: rebooter.clone(),
            output: output.clone(),
            virtio: console.input(),
            sclp: sclp.clone(),
            vm: vm.clone(),
        };
        devices.add_console(console)?;
        devices.add_rng()?;
        Ok(VirtualMachine {
            shared: Arc::new(Shared {
                memory,
                ram_size,
                image,
                machine,
                output,
            }),
            devices,
            vcpus,
            events,
            rebooter,
            keyboard,
            power: Power { sclp, vm },
            hotplug: hardware.hotplug,
            control: None,
            stopper,
            stats: Stats::default(),
            ends,
        })
    }

    /// The devices, and the way to more of them.
    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Lets signals power the guest off, or end the run, and tell of the terminal's size.
    pub(crate) fn listen_to_signals(&self, ending: &SignalThread, window: Window) -> Result<()> {
        ending.set_machine(ByForce {
            power: self.power.clone(),
            stopper: self.stopper.clone(),
        });
        let handler = WindowHandler {
            window,
            devices: self.devices.clone(),
        };
        self.events.subscribe().add(Arc::new(Mutex::new(handler)))
    }

    /// Lets whoever comes to `socket` command the machine once it runs.
    pub(crate) fn listen_to_control(&mut self, socket: ListeningSocket) {
        self.control = Some(socket);
    }

    /// The guest's keyboard.
    pub(crate) fn keyboard(&self) -> Keyboard {
        self.keyboard.clone()
    }

    /// What ends the run from outside.
    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What the CPUs will have done when the run has ended.
    pub(crate) fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Boots the image and runs to the end. No thread of the machine is left afterwards.
    pub(crate) fn run(mut self) -> Result<End> {
        if let Some(vcpu) = self.vcpus.first_mut() {
            self.shared.load_image(&mut **vcpu)?;
            self.shared.machine.start(vcpu.address())?;
        }
        let control = self.control.take();
        let _control = control
            .map(|socket| ControlThread::start(socket, self.manager()))
            .transpose()?;
        let (rebooter, stopper, stats) = (&self.rebooter, &self.stopper, &self.stats);
        let _vcpus = VcpuThreads::start(self.vcpus, &self.shared, rebooter, stopper, stats)?;
        // The channel stays open as long as this machine has a stopper.
        self.ends.recv().unwrap_or(Err(Error::Panic))
    }

    fn manager(&self) -> Manager {
        Manager {
            shared: self.shared.clone(),
            devices: self.devices.clone(),
            vm: self.power.vm.clone(),
            rebooter: self.rebooter.clone(),
            cpus: self.vcpus.iter().map(|vcpu| vcpu.handle()).collect(),
            power: self.power.clone(),
            stopper: self.stopper.clone(),
            hotplug: self.hotplug,
        }
    }
}

/// The power button.
#[derive(Clone)]
pub(crate) struct Power {
    sclp: Arc<Mutex<Sclp>>,
    vm: Arc<dyn Vm>,
}

impl fmt::Debug for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Power").finish_non_exhaustive()
    }
}

impl Power {
    /// Asks the guest to power off; false if it does not listen.
    pub(crate) fn button(&self) -> bool {
        let mut sclp = self.sclp.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(signal) = sclp.request_shutdown() else {
            return false;
        };
        let event = signal & ExternalInterrupt::SERVICE_EVENT_PENDING != 0;
        match self.vm.inject(ExternalInterrupt::service(signal, event)) {
            Ok(()) => true,
            Err(error) => {
                log::error!("the guest cannot be asked to power off: {error}");
                false
            }
        }
    }
}

/// What signals do.
struct ByForce {
    power: Power,
    stopper: Stopper,
}

impl signals::Machine for ByForce {
    fn button(&self) -> bool {
        self.power.button()
    }

    fn stop(&self) {
        self.stopper.stop(Ok(End::Signal));
    }
}

/// Ends a run; the first one to say so decides how. Clones end the same run.
#[derive(Clone, Debug)]
pub(crate) struct Stopper(Sender<Result<End>>);

impl Stopper {
    fn new() -> (Self, Receiver<Result<End>>) {
        let (sender, receiver) = mpsc::channel();
        (Stopper(sender), receiver)
    }

    /// Ends the run.
    pub(crate) fn stop(&self, end: Result<End>) {
        // Nobody listens when it has ended already.
        let _ = self.0.send(end);
    }

    /// Lets `body` be the work of a thread: an error or a panic ends the run.
    pub(crate) fn watch(&self, body: impl FnOnce() -> Result<()>) {
        let guard = PanicGuard(self);
        if let Err(error) = body() {
            self.stop(Err(error));
        }
        std::mem::forget(guard);
    }
}

/// Ends the run when it is dropped, which only a panic does.
struct PanicGuard<'a>(&'a Stopper);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        self.0.stop(Err(Error::Panic));
    }
}
