// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine without CPUs: a disk, a network interface, a console, a source of entropy and a balloon
//! on the bus, and an event loop that runs on demand.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use event_manager::{EventManager, MutEventSubscriber, SubscriberOps};
use s390_extint::{ExternalInterrupt, VirtioEvent};
use s390_hypervisor::{Error, Result, Vcpu, Vm};
use s390_virtio_devices::balloon::Balloon;
use s390_virtio_devices::block::{Block, BlockBackend};
use s390_virtio_devices::bus::DeviceId;
use s390_virtio_devices::console::{Console, ConsoleInput, ConsoleSize};
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_virtio_devices::rng::Rng;
use s390_virtio_devices::{S390Legacy, VirtioBus, VirtioDevice};
use s390_virtio_page::PageBuilder;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap, VolatileSlice};

pub(crate) type Memory = GuestMemoryMmap<()>;

/// End of RAM and address of the page.
pub(crate) const PAGE: u64 = 1 << 20;
const DISK: usize = 16 << 10;
/// No input keeps devices busy for longer.
const MAX_TURNS: usize = 10_000;

/// Keeps what was injected, and looks at it.
#[derive(Default)]
struct CheckingVm(Mutex<Vec<ExternalInterrupt>>);

impl Vm for CheckingVm {
    fn create_vcpu(&self, _: u16) -> Result<Box<dyn Vcpu>> {
        Err(Error::Invalid("CPU: there are none"))
    }

    fn inject(&self, interrupt: ExternalInterrupt) -> Result<()> {
        match interrupt.virtio_event() {
            Some(VirtioEvent::Vring { token } | VirtioEvent::ConfigChanged { token }) => {
                assert!(token != 0 && token & 1 == 0, "token {token:#x}");
            }
            other => panic!("injects {other:?}"),
        }
        let mut pending = self.0.lock().unwrap();
        if !pending.contains(&interrupt) {
            pending.push(interrupt);
        }
        Ok(())
    }

    fn retract(&self, interrupt: ExternalInterrupt) -> Result<()> {
        self.0.lock().unwrap().retain(|i| *i != interrupt);
        Ok(())
    }

    fn clear_interrupts(&self) -> Result<()> {
        self.0.lock().unwrap().clear();
        Ok(())
    }
}

/// A disk in memory that insists on its limits.
struct MemoryDisk(Mutex<Vec<u8>>);

impl BlockBackend for MemoryDisk {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        "fuzz"
    }

    fn read(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let content = self.0.lock().unwrap();
        let mut at = usize::try_from(offset).unwrap();
        for slice in data {
            slice.copy_from(&content[at..at + slice.len()]);
            at += slice.len();
        }
        Ok(())
    }

    fn write(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        let mut at = usize::try_from(offset).unwrap();
        for slice in data {
            slice.copy_to(&mut content[at..at + slice.len()]);
            at += slice.len();
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts what is printed.
#[derive(Clone, Default)]
pub(crate) struct Screen(Arc<Mutex<usize>>);

impl Screen {
    pub(crate) fn take(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0.lock().unwrap() += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The machine, and the other sides of its devices.
pub(crate) struct Machine {
    pub(crate) memory: Arc<Memory>,
    pub(crate) bus: VirtioBus<Memory>,
    pub(crate) ids: Vec<DeviceId>,
    pub(crate) peer: UnixDatagram,
    pub(crate) keyboard: ConsoleInput,
    pub(crate) early_console: Screen,
    vm: Arc<CheckingVm>,
    events: EventManager<Arc<Mutex<dyn MutEventSubscriber>>>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let mut builder = PageBuilder::new(PAGE).unwrap();
        let size = builder.fix_size(1 << 16) as usize;
        let memory = Arc::new(Memory::from_ranges(&[(GuestAddress(0), size)]).unwrap());
        let vm = Arc::new(CheckingVm::default());
        let bus = VirtioBus::new(memory.clone(), builder, vm.clone()).unwrap();
        let early_console = Screen::default();
        bus.set_early_console(Box::new(early_console.clone()));
        let (link, peer) = DatagramLink::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        let size = ConsoleSize {
            columns: 80,
            rows: 25,
        };
        let console = Console::new(Box::new(io::sink()), Some(size)).unwrap();
        let console = console.with_port("port", Box::new(io::sink())).unwrap();
        let mut machine = Machine {
            memory,
            bus,
            ids: Vec::new(),
            peer,
            keyboard: console.input(),
            early_console,
            vm,
            events: EventManager::new().unwrap(),
        };
        machine.add(Block::new(Box::new(MemoryDisk(Mutex::new(vec![0x5a; DISK])))).unwrap());
        machine.add(Net::new(Box::new(link), MacAddress::local(1)).unwrap());
        machine.add(console);
        machine.add(Rng::host().unwrap());
        machine.add(Balloon::new(PAGE).unwrap());
        machine
    }

    fn add<D>(&mut self, device: D)
    where
        D: VirtioDevice<S390Legacy<Memory>> + MutEventSubscriber + 'static,
    {
        let device = Arc::new(Mutex::new(device));
        self.events.add_subscriber(device.clone());
        self.ids.push(self.bus.add(device).unwrap());
    }

    /// Lets the devices work until there is nothing left to do.
    pub(crate) fn run(&mut self) {
        for _ in 0..MAX_TURNS {
            if self.events.run_with_timeout(0).unwrap() == 0 {
                return;
            }
        }
        panic!("the devices never come to rest");
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        !std::mem::take(&mut *self.vm.0.lock().unwrap()).is_empty()
    }

    pub(crate) fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory
            .read_slice(&mut bytes, GuestAddress(addr))
            .unwrap();
        bytes
    }

    pub(crate) fn write(&self, addr: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(addr)).unwrap();
    }
}
