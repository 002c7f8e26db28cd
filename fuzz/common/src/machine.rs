// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine without CPUs: a disk, a network interface, a console, a source of entropy, a balloon and
//! a shared directory on the bus, and an event loop that runs on demand.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use event_manager::{EventManager, MutEventSubscriber, SubscriberOps};
use s390_extint::{ExternalInterrupt, VirtioEvent};
use s390_hypervisor::{Error, Result, Vcpu, Vm};
use s390_virtio_devices::balloon::Balloon;
use s390_virtio_devices::block::{Block, BlockOptions, EngineKind};
use s390_virtio_devices::bus::DeviceId;
use s390_virtio_devices::console::{Console, ConsoleInput, ConsoleSize};
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_virtio_devices::p9::{P9Metrics, Tag, P9};
use s390_virtio_devices::rate_limiter::{Rate, RateLimits};
use s390_virtio_devices::rng::Rng;
use s390_virtio_devices::{S390Legacy, VirtioBus, VirtioDevice};
use s390_virtio_page::PageBuilder;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::disks::{MemoryDisk, Moved, SparseDisk};
use crate::folder::Folder;

pub(crate) type Memory = GuestMemoryMmap<()>;

/// End of RAM and address of the page.
pub(crate) const PAGE: u64 = 1 << 20;
/// No input keeps devices busy for longer.
const MAX_TURNS: usize = 10_000;
/// Bytes that all disks together may move in a turn of the event loop: some times the 32 MiB and a
/// piece that a disk takes on.
const MAX_BYTES: u64 = 128 << 20;

/// Keeps what was injected, and looks at it.
#[derive(Default)]
struct CheckingVm {
    pending: Mutex<Vec<ExternalInterrupt>>,
    is_paused: AtomicBool,
}

impl Vm for CheckingVm {
    fn create_vcpu(&self, _: u16) -> Result<Box<dyn Vcpu>> {
        Err(Error::Invalid("CPU: there are none"))
    }

    fn inject(&self, interrupt: ExternalInterrupt) -> Result<()> {
        assert!(!self.is_paused.load(Ordering::Relaxed));
        match interrupt.virtio_event() {
            Some(VirtioEvent::Vring { token } | VirtioEvent::ConfigChanged { token }) => {
                assert!(token != 0 && token & 1 == 0, "token {token:#x}");
            }
            Some(VirtioEvent::DeviceAdded { desc }) => {
                assert!((PAGE..PAGE + 4096).contains(&desc));
            }
            other => panic!("injects {other:?}"),
        }
        let mut pending = self.pending.lock().unwrap();
        if !pending.contains(&interrupt) {
            pending.push(interrupt);
        }
        Ok(())
    }

    fn retract(&self, interrupt: ExternalInterrupt) -> Result<()> {
        self.pending.lock().unwrap().retain(|i| *i != interrupt);
        Ok(())
    }

    fn clear_interrupts(&self) -> Result<()> {
        self.pending.lock().unwrap().clear();
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

/// What can be added to a machine that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addition {
    /// A disk whose requests may be as large as a guest can make them, done in the event loop.
    LargeDisk,
    /// The same, done by threads.
    ThreadedDisk,
    /// A network interface that may hold back all frames but one in a second.
    SlowNet,
    /// A shared directory, whose requests are done by threads.
    ThreadedShare,
}

/// The machine, and the other sides of its devices.
pub(crate) struct Machine {
    pub(crate) memory: Arc<Memory>,
    pub(crate) bus: VirtioBus<Memory>,
    pub(crate) ids: Vec<DeviceId>,
    pub(crate) disk: Arc<Mutex<Block<S390Legacy<Memory>>>>,
    pub(crate) net: Arc<Mutex<Net<S390Legacy<Memory>>>>,
    pub(crate) console: Arc<Mutex<Console<S390Legacy<Memory>>>>,
    pub(crate) balloon: Arc<Mutex<Balloon<S390Legacy<Memory>>>>,
    pub(crate) peer: UnixDatagram,
    pub(crate) keyboard: ConsoleInput,
    pub(crate) port: ConsoleInput,
    pub(crate) early_console: Screen,
    share: Arc<P9Metrics>,
    folder: Folder,
    /// By disks in the event loop.
    moved: Moved,
    /// By threads.
    moved_meanwhile: Moved,
    vm: Arc<CheckingVm>,
    events: EventManager<Arc<Mutex<dyn MutEventSubscriber>>>,
}

impl Machine {
    pub(crate) const DISK: usize = 0;
    pub(crate) const NET: usize = 1;
    pub(crate) const CONSOLE: usize = 2;
    pub(crate) const BALLOON: usize = 4;

    pub(crate) fn new() -> Self {
        let mut builder = PageBuilder::new(PAGE).unwrap();
        let size = builder.fix_size(1 << 17) as usize;
        let memory = Arc::new(Memory::from_ranges(&[(GuestAddress(0), size)]).unwrap());
        let vm = Arc::new(CheckingVm::default());
        let bus = VirtioBus::new(memory.clone(), builder, vm.clone()).unwrap();
        let early_console = Screen::default();
        bus.set_early_console(Box::new(early_console.clone()));
        let mut events = EventManager::new().unwrap();
        let mut ids = Vec::new();

        let moved = Moved::default();
        let disk = Block::new(Box::new(MemoryDisk::new(moved.clone()))).unwrap();
        let disk = add(&bus, &mut events, &mut ids, disk);
        let (link, peer) = DatagramLink::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        let net = Net::new(Box::new(link), MacAddress::local(1)).unwrap();
        let net = add(&bus, &mut events, &mut ids, net);
        let size = ConsoleSize {
            columns: 80,
            rows: 25,
        };
        let console = Console::new(Box::new(io::sink()), Some(size)).unwrap();
        let console = console.with_port("port", Box::new(io::sink())).unwrap();
        let (keyboard, port) = (console.input(), console.port_input("port").unwrap());
        let console = add(&bus, &mut events, &mut ids, console);
        add(&bus, &mut events, &mut ids, Rng::host().unwrap());
        let balloon = Balloon::new(PAGE).unwrap();
        let balloon = add(&bus, &mut events, &mut ids, balloon);
        let folder = Folder::new();
        let share = P9::new(Arc::new(folder.share()), Tag::new("share").unwrap()).unwrap();
        let share = add(&bus, &mut events, &mut ids, share);
        let share = share.lock().unwrap().metrics();
        Machine {
            memory,
            bus,
            ids,
            disk,
            net,
            console,
            balloon,
            peer,
            keyboard,
            port,
            early_console,
            share,
            folder,
            moved,
            moved_meanwhile: Moved::default(),
            vm,
            events,
        }
    }

    /// Adds a device while the machine runs.
    pub(crate) fn add(&mut self, addition: Addition) {
        let (bus, events, ids) = (&self.bus, &mut self.events, &mut self.ids);
        let disk = |engine, moved: &Moved| {
            let options = BlockOptions {
                engine,
                ..BlockOptions::default()
            };
            Block::with_options(Box::new(SparseDisk(moved.clone())), options).unwrap()
        };
        match addition {
            Addition::LargeDisk => {
                drop(add(bus, events, ids, disk(EngineKind::Inline, &self.moved)));
            }
            Addition::ThreadedDisk => {
                let disk = disk(EngineKind::Threads, &self.moved_meanwhile);
                drop(add(bus, events, ids, disk));
            }
            Addition::SlowNet => {
                let (link, _) = DatagramLink::pair().unwrap();
                let mut net = Net::new(Box::new(link), MacAddress::local(2)).unwrap();
                net.set_rate_limits(slow());
                drop(add(bus, events, ids, net));
            }
            Addition::ThreadedShare => {
                let (share, tag) = (Arc::new(self.folder.share()), Tag::new("more").unwrap());
                drop(add(
                    bus,
                    events,
                    ids,
                    P9::with_threads(share, tag, 2).unwrap(),
                ));
            }
        }
        // A guest that shows that it knows the message is told.
        let _ = bus.announce(ids[ids.len() - 1]);
    }

    /// Lets the devices work until there is nothing left to do, but for what threads do.
    pub(crate) fn run(&mut self) {
        for _ in 0..MAX_TURNS {
            let moved = self.moved.load(Ordering::Relaxed);
            if self.events.run_with_timeout(0).unwrap() == 0 {
                return;
            }
            let moved = self.moved.load(Ordering::Relaxed) - moved;
            assert!(moved <= MAX_BYTES, "{moved} bytes in a turn");
        }
        panic!("the devices never come to rest");
    }

    /// Lets the devices work until there is nothing left to do.
    pub(crate) fn settle(&mut self) {
        self.resume();
        self.run();
        self.pause();
        self.resume();
        self.run();
    }

    /// Nothing happens after that, until [`resume`](Self::resume).
    pub(crate) fn pause(&mut self) {
        self.bus.pause();
        self.vm.is_paused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn resume(&mut self) {
        self.vm.is_paused.store(false, Ordering::Relaxed);
        self.bus.resume().unwrap();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.vm.is_paused.load(Ordering::Relaxed)
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        !std::mem::take(&mut *self.vm.pending.lock().unwrap()).is_empty()
    }

    /// Tells the guest that its host changed a device.
    pub(crate) fn config_changed(&self, device: usize) {
        self.bus.config_changed(self.ids[device]).unwrap();
    }

    /// Bytes that disks moved.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.moved.load(Ordering::Relaxed) + self.moved_meanwhile.load(Ordering::Relaxed)
    }

    /// Bytes of shared files that were read and written.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.share.read_bytes.get() + self.share.write_bytes.get()
    }

    /// Nobody got out of the directory that is shared.
    pub(crate) fn check_share(&self) {
        // Reading all memory takes its time.
        if self.file_bytes() > 0 {
            let size = self.memory.last_addr().raw_value() as usize + 1;
            assert!(!self.folder.is_told(&self.read(0, size)));
        }
        assert!(self.folder.is_whole());
    }

    pub(crate) fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory
            .read_slice(&mut bytes, GuestAddress(addr))
            .unwrap();
        bytes
    }

    pub(crate) fn is_zero(&self, addr: u64, len: usize) -> bool {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut bytes = ZEROS;
        (0..len).step_by(bytes.len()).all(|at| {
            let part = &mut bytes[..(len - at).min(ZEROS.len())];
            let addr = GuestAddress(addr + at as u64);
            self.memory.read_slice(part, addr).unwrap();
            *part == ZEROS[..part.len()]
        })
    }

    pub(crate) fn write(&self, addr: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(addr)).unwrap();
    }
}

fn add<D>(
    bus: &VirtioBus<Memory>,
    events: &mut EventManager<Arc<Mutex<dyn MutEventSubscriber>>>,
    ids: &mut Vec<DeviceId>,
    device: D,
) -> Arc<Mutex<D>>
where
    D: VirtioDevice<S390Legacy<Memory>> + MutEventSubscriber + 'static,
{
    let device = Arc::new(Mutex::new(device));
    events.add_subscriber(device.clone());
    ids.push(bus.add(device.clone()).unwrap());
    device
}

/// One operation a second.
pub(crate) fn slow() -> RateLimits {
    RateLimits {
        ops: Rate::per_second(1),
        bytes: None,
    }
}
