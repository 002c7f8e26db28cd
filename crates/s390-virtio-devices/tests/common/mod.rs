// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A virtual machine without CPUs: guest memory, the bus, an event loop that runs on demand, and a
//! driver that is scripted byte by byte.
#![allow(dead_code, missing_docs)]

pub mod echo;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_manager::{EventManager, MutEventSubscriber, SubscriberOps};
use s390_extint::ExternalInterrupt;
use s390_hypercall::dispatch;
use s390_hypervisor::{Error, Result, Vcpu, Vm};
use s390_virtio_devices::block::{Block, RawFile};
use s390_virtio_devices::bus::DeviceId;
use s390_virtio_devices::{S390Legacy, VirtioBus, VirtioDevice};
use s390_virtio_page::PageBuilder;
use s390_vring::mock::GuestRing;
use s390_vring::{BigEndian, Buffer, DriverQueue, Layout, RingFeatures, Slot};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub type Memory = GuestMemoryMmap<()>;
pub type Legacy = S390Legacy<Memory>;

/// Token of the queue that [`start`] finds.
pub const TOKEN: u64 = 0x0123_4567_89ab_cdee;
/// End of RAM and address of the page.
pub const PAGE: u64 = 1 << 20;
pub const EINVAL: u64 = -22i64 as u64;
pub const NOTIFY: u64 = 0;
pub const RESET: u64 = 1;
pub const SET_STATUS: u64 = 2;

/// Keeps what was injected.
#[derive(Default)]
pub struct RecordingVm(Mutex<Vec<ExternalInterrupt>>, AtomicBool);

impl Vm for RecordingVm {
    fn create_vcpu(&self, _: u16) -> Result<Box<dyn Vcpu>> {
        Err(Error::Invalid("CPU: there are none"))
    }

    fn inject(&self, interrupt: ExternalInterrupt) -> Result<()> {
        if self.1.load(Ordering::Relaxed) {
            return Err(Error::Invalid("interruption: the queue is full"));
        }
        self.0.lock().unwrap().push(interrupt);
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

pub struct Machine {
    pub memory: Arc<Memory>,
    vm: Arc<RecordingVm>,
    pub bus: VirtioBus<Memory>,
    events: RefCell<EventManager<Arc<Mutex<dyn MutEventSubscriber>>>>,
}

impl Machine {
    pub fn new() -> Self {
        let mut builder = PageBuilder::new(PAGE).unwrap();
        let size = builder.fix_size(1 << 20) as usize;
        let memory = Arc::new(Memory::from_ranges(&[(GuestAddress(0), size)]).unwrap());
        let vm = Arc::new(RecordingVm::default());
        Machine {
            bus: VirtioBus::new(memory.clone(), builder, vm.clone()).unwrap(),
            memory,
            vm,
            events: RefCell::new(EventManager::new().unwrap()),
        }
    }

    pub fn add<D>(&self, device: D) -> DeviceId
    where
        D: VirtioDevice<Legacy> + MutEventSubscriber + 'static,
    {
        self.add_shared(device).1
    }

    /// Adds a device that the test goes on with.
    pub fn add_shared<D>(&self, device: D) -> (Arc<Mutex<D>>, DeviceId)
    where
        D: VirtioDevice<Legacy> + MutEventSubscriber + 'static,
    {
        let device = Arc::new(Mutex::new(device));
        let id = self.bus.add(device.clone()).unwrap();
        self.events.borrow_mut().add_subscriber(device.clone());
        (device, id)
    }

    /// Lets the event loop run until nothing is left to do.
    pub fn run_events(&self) {
        while self.events.borrow_mut().run_with_timeout(0).unwrap() > 0 {}
    }

    /// Lets the event loop run for one turn.
    pub fn run_one_turn(&self) {
        assert_ne!(self.events.borrow_mut().run_with_timeout(0).unwrap(), 0);
    }

    /// Waits until there is something to do, and does it.
    pub fn wait_for_event(&self) {
        let start = Instant::now();
        // An io_uring that works for this thread interrupts the wait.
        while self.events.borrow_mut().run_with_timeout(20_000).unwrap() == 0 {
            assert!(start.elapsed().as_secs() < 20, "nothing happens");
        }
    }

    /// What was injected since the last call, as (code, subcode, params, params2).
    pub fn interrupts(&self) -> Vec<(u16, u16, u32, u64)> {
        std::mem::take(&mut *self.vm.0.lock().unwrap())
            .iter()
            .map(|i| (i.code, i.subcode, i.params, i.params2))
            .collect()
    }

    /// Whether the machine takes no interruption, as if too many were pending.
    pub fn refuse_interrupts(&self, refuse: bool) {
        self.vm.1.store(refuse, Ordering::Relaxed);
    }

    /// DIAGNOSE 0x500 as every Linux issues it; returns r2.
    pub fn diag(&self, subcode: u64, r2: u64) -> u64 {
        let mut registers = [0u64; 16];
        registers[1] = subcode;
        registers[2] = r2;
        assert_eq!(
            dispatch(&self.bus, 0x8324, 0x0500_0000, false, &mut registers),
            Ok(true)
        );
        registers[2]
    }

    pub fn machine_reset(&self) {
        self.bus.machine_reset();
    }

    pub fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory
            .read_slice(&mut bytes, GuestAddress(addr))
            .unwrap();
        bytes
    }

    pub fn write(&self, addr: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(addr)).unwrap();
    }

    fn byte(&self, addr: u64) -> u64 {
        self.read(addr, 1)[0].into()
    }

    /// The driver of the device whose descriptor is the `index`th of the page.
    pub fn driver(&self, index: usize) -> Driver<'_> {
        let mut desc = PAGE;
        for _ in 0..index {
            assert_ne!(self.byte(desc), 0, "no such device");
            desc += Driver {
                machine: self,
                desc,
            }
            .size();
        }
        Driver {
            machine: self,
            desc,
        }
    }
}

/// An interruption for a queue with this token.
pub fn vring(token: u64) -> (u16, u16, u32, u64) {
    (0x2603, 0x0d00, 0, token)
}

/// The guest's half of one device, by the layout of 2008.
#[derive(Copy, Clone)]
pub struct Driver<'a> {
    machine: &'a Machine,
    pub desc: u64,
}

impl<'a> Driver<'a> {
    fn size(&self) -> u64 {
        self.config_address() - self.desc + self.machine.byte(self.desc + 3)
    }

    fn features_address(&self) -> u64 {
        self.desc + 5 + 24 * self.machine.byte(self.desc + 1)
    }

    pub fn config_address(&self) -> u64 {
        self.features_address() + 2 * self.machine.byte(self.desc + 2)
    }

    pub fn config(&self) -> Vec<u8> {
        let len = self.machine.byte(self.desc + 3) as usize;
        self.machine.read(self.config_address(), len)
    }

    pub fn device_type(&self) -> u64 {
        self.machine.byte(self.desc)
    }

    pub fn status(&self) -> u64 {
        self.machine.byte(self.desc + 4)
    }

    pub fn host_features(&self) -> u32 {
        let bytes = self.machine.read(self.features_address(), 4);
        u32::from_le_bytes(bytes.try_into().unwrap())
    }

    pub fn accepted_features(&self) -> u32 {
        let bytes = self.machine.read(self.features_address() + 4, 4);
        u32::from_le_bytes(bytes.try_into().unwrap())
    }

    pub fn accept_features(&self, features: u32) {
        self.machine
            .write(self.features_address() + 4, &features.to_le_bytes());
    }

    fn queue(&self, queue: u64) -> u64 {
        assert!(queue < self.machine.byte(self.desc + 1));
        self.desc + 5 + 24 * queue
    }

    pub fn set_token(&self, queue: u64, token: u64) {
        self.machine.write(self.queue(queue), &token.to_be_bytes());
    }

    pub fn token(&self, queue: u64) -> u64 {
        let bytes = self.machine.read(self.queue(queue), 8);
        u64::from_be_bytes(bytes.try_into().unwrap())
    }

    pub fn ring_address(&self, queue: u64) -> u64 {
        let bytes = self.machine.read(self.queue(queue) + 8, 8);
        u64::from_be_bytes(bytes.try_into().unwrap())
    }

    pub fn ring_size(&self, queue: u64) -> u16 {
        let bytes = self.machine.read(self.queue(queue) + 16, 2);
        u16::from_be_bytes(bytes.try_into().unwrap())
    }

    pub fn layout(&self, queue: u64) -> Layout {
        Layout::legacy(self.ring_size(queue)).unwrap()
    }

    pub fn reset(&self) -> u64 {
        self.machine.diag(RESET, self.desc)
    }

    /// Writes the status byte and says so.
    pub fn set_status(&self, status: u8) -> u64 {
        self.machine.write(self.desc + 4, &[status]);
        self.machine.diag(SET_STATUS, self.desc)
    }

    pub fn kick(&self, queue: u64) -> u64 {
        self.machine.diag(NOTIFY, self.ring_address(queue))
    }

    /// Registration and the core's half of the probe: RESET, ACKNOWLEDGE, DRIVER, features.
    pub fn begin_probe(&self, features: u32) {
        assert_eq!(self.reset(), 0);
        assert_eq!(self.set_status(1), 0);
        assert_eq!(self.set_status(3), 0);
        self.accept_features(features);
    }

    /// The driver's half: takes a queue into use the way Linux does, which does not clear the
    /// ring.
    pub fn find_vq(&self, queue: u64, token: u64) -> GuestQueue<'a> {
        self.set_token(queue, token);
        let features = RingFeatures::from_bits(self.accepted_features().into());
        let (base, layout) = (self.ring_address(queue), self.layout(queue));
        let ring = GuestRing::new(&*self.machine.memory, GuestAddress(base), layout.bytes());
        let slots = vec![Slot::EMPTY; usize::from(layout.size())];
        GuestQueue {
            driver: *self,
            queue,
            ring: DriverQueue::new(ring, layout, features, slots).unwrap(),
        }
    }

    pub fn finish_probe(&self) {
        assert_eq!(self.set_status(7), 0);
    }
}

/// A queue that the guest uses.
pub struct GuestQueue<'a> {
    driver: Driver<'a>,
    queue: u64,
    pub ring: DriverQueue<BigEndian, GuestRing<'a, Memory>, Vec<Slot>>,
}

impl GuestQueue<'_> {
    pub fn add(&mut self, buffers: &[Buffer]) {
        self.ring.add_chain(buffers).unwrap();
        self.ring.publish();
    }

    pub fn kick(&self) {
        assert_eq!(self.driver.kick(self.queue), 0);
    }

    /// Bytes written into the next used chain, if there is one.
    pub fn used(&mut self) -> Option<u32> {
        self.ring.pop_used().unwrap().map(|used| used.len)
    }
}

/// A disk of eight sectors, sector n filled with n + 1; and its file.
pub fn disk() -> (Block<Legacy>, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let content: Vec<u8> = (1..=8u8).flat_map(|n| [n; 512]).collect();
    std::fs::write(file.path(), content).unwrap();
    let backend = RawFile::open(file.path(), false).unwrap();
    (Block::new(Box::new(backend)).unwrap(), file)
}

/// Addresses in RAM for the three parts of a block request, and the request itself.
pub const HEADER: u64 = 0x1_0000;
pub const STATUS: u64 = 0x1_0100;
pub const DATA: u64 = 0x1_1000;

pub fn read_request(machine: &Machine, sector: u64) -> [Buffer; 3] {
    request(machine, 0, sector);
    [
        Buffer::readable(HEADER, 16),
        Buffer::writable(DATA, 512),
        Buffer::writable(STATUS, 1),
    ]
}

pub fn write_request(machine: &Machine, sector: u64) -> [Buffer; 3] {
    request(machine, 1, sector);
    [
        Buffer::readable(HEADER, 16),
        Buffer::readable(DATA, 512),
        Buffer::writable(STATUS, 1),
    ]
}

fn request(machine: &Machine, kind: u32, sector: u64) {
    machine.write(HEADER, &kind.to_be_bytes());
    machine.write(HEADER + 4, &[0; 4]);
    machine.write(HEADER + 8, &sector.to_be_bytes());
    machine.write(STATUS, &[0xee]);
}

/// The driver's queue of the only device.
pub fn start(machine: &Machine, features: u32) -> GuestQueue<'_> {
    let driver = machine.driver(0);
    driver.begin_probe(features);
    let queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    machine.run_events();
    machine.interrupts();
    queue
}

/// Lets the event loop run until a chain comes back; its length.
pub fn wait(machine: &Machine, queue: &mut GuestQueue<'_>) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        machine.run_events();
        if let Some(len) = queue.used() {
            return len;
        }
        assert!(Instant::now() < deadline, "the device does not answer");
        std::thread::sleep(Duration::from_millis(1));
    }
}
