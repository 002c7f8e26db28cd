// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A driver's whole life against a host that is nothing but memory and a log.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use s390_extint::{ExternalInterrupt, VirtioEvent};
use s390_hypercall::{EINVAL, NOTIFY, RESET, SET_STATUS};
use s390_virtio_guest::{
    status, Buffer, Bus, Device, DriverError, Error, Event, Hypervisor, InterruptTable, PageBytes,
    RingMemory, Slot, VirtQueue,
};
use s390_virtio_page::{DeviceLayout, DeviceSpec, PageBuilder, PAGE_SIZE};

const RAM: u64 = 1 << 20;
const CONFIG: [u8; 8] = 0x1234_5678u64.to_be_bytes();

/// Page and rings, and the host that owns them. Plain bytes: independent of the code under test.
#[derive(Debug)]
struct Host {
    memory: Vec<Cell<u8>>,
    calls: RefCell<Vec<(u64, u64)>>,
    devices: Vec<DeviceLayout>,
    /// Resets that do nothing, hypercalls that fail.
    lazy: Cell<bool>,
    refuse: Cell<bool>,
}

#[derive(Clone, Debug)]
struct Handle(Rc<Host>);

impl Handle {
    fn new(queue_sizes: &[u16], features: u32) -> Self {
        let mut plan = PageBuilder::new(RAM).unwrap();
        let mut page = [0; PAGE_SIZE];
        let mut devices = Vec::new();
        for device_type in [2, 3] {
            let device = plan
                .add(&DeviceSpec {
                    device_type,
                    queues: queue_sizes,
                    features,
                    config_len: CONFIG.len(),
                })
                .unwrap();
            device.write(&mut page, &CONFIG);
            devices.push(device);
        }
        let memory = vec![Cell::new(0); (plan.total_size() - RAM) as usize];
        for (cell, byte) in memory.iter().zip(page) {
            cell.set(byte);
        }
        Handle(Rc::new(Host {
            memory,
            calls: RefCell::default(),
            devices,
            lazy: Cell::new(false),
            refuse: Cell::new(false),
        }))
    }

    fn bus(&self) -> Bus<Handle, Handle> {
        Bus::new(self.clone(), RAM, self.clone())
    }

    fn device(&self, index: usize) -> Device<Handle, Handle> {
        self.bus().devices().nth(index).unwrap().unwrap()
    }

    fn calls(&self) -> Vec<(u64, u64)> {
        self.0.calls.take()
    }

    fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        let start = (address - RAM) as usize;
        std::array::from_fn(|i| self.0.memory[start + i].get())
    }

    fn set(&self, address: u64, bytes: &[u8]) {
        let start = (address - RAM) as usize;
        for (cell, &byte) in self.0.memory[start..].iter().zip(bytes) {
            cell.set(byte);
        }
    }

    fn get_u16(&self, address: u64) -> u16 {
        u16::from_be_bytes(self.get(address))
    }

    fn set_u16(&self, address: u64, value: u16) {
        self.set(address, &value.to_be_bytes());
    }

    /// Host's side of a ring of `num` entries: uses the chain `n` places back from the newest.
    fn use_chain(&self, ring: u64, num: u16, back: u16, len: u32) {
        let avail = ring + 16 * u64::from(num);
        let used = (avail + 6 + 2 * u64::from(num)).next_multiple_of(4096);
        let idx = self.get_u16(avail + 2).wrapping_sub(back + 1);
        let head = self.get_u16(avail + 4 + 2 * u64::from(idx % num));
        let used_idx = self.get_u16(used + 2);
        let element = used + 4 + 8 * u64::from(used_idx % num);
        self.set(element, &u32::from(head).to_be_bytes());
        self.set(element + 4, &len.to_be_bytes());
        self.set_u16(used + 2, used_idx.wrapping_add(1));
    }
}

impl PageBytes for Handle {
    fn read(&self, offset: usize) -> u8 {
        assert!(offset < PAGE_SIZE);
        self.0.memory[offset].get()
    }

    fn write(&mut self, offset: usize, value: u8) {
        assert!(offset < PAGE_SIZE);
        self.0.memory[offset].set(value);
    }
}

impl Hypervisor for Handle {
    fn hypercall(&self, nr: u64, arg: u64) -> i64 {
        self.0.calls.borrow_mut().push((nr, arg));
        if self.0.refuse.get() {
            return EINVAL;
        }
        if nr == RESET && !self.0.lazy.get() {
            self.set(arg + 4, &[0]);
        }
        0
    }
}

/// A ring in the host's memory.
#[derive(Debug)]
struct Ring {
    host: Handle,
    start: u64,
    len: usize,
}

impl RingMemory for Ring {
    fn len(&self) -> usize {
        self.len
    }

    fn load_u16(&self, offset: usize, _: Ordering) -> u16 {
        assert!(offset + 2 <= self.len);
        u16::from_ne_bytes(self.host.get(self.start + offset as u64))
    }

    fn store_u16(&self, offset: usize, value: u16, _: Ordering) {
        assert!(offset + 2 <= self.len);
        self.host
            .set(self.start + offset as u64, &value.to_ne_bytes());
    }

    fn load_u32(&self, offset: usize) -> u32 {
        assert!(offset + 4 <= self.len);
        u32::from_ne_bytes(self.host.get(self.start + offset as u64))
    }

    fn store_u32(&self, offset: usize, value: u32) {
        assert!(offset + 4 <= self.len);
        self.host
            .set(self.start + offset as u64, &value.to_ne_bytes());
    }
}

type Queue = VirtQueue<Handle, Ring, Vec<Slot>>;

fn find_vq<const N: usize>(
    device: &mut Device<Handle, Handle>,
    host: &Handle,
    index: u8,
    table: &InterruptTable<N>,
) -> Result<Queue, Error> {
    let slots = vec![Slot::EMPTY; 64];
    device.find_vq(index, table, slots, |start, len| {
        let host = host.clone();
        Some(Ring { host, start, len })
    })
}

fn interrupt(token: u64) -> ExternalInterrupt {
    ExternalInterrupt::virtio(VirtioEvent::Vring { token })
}

#[test]
fn looking_at_the_page_finds_the_devices_and_disturbs_nothing() {
    let host = Handle::new(&[8], 1);
    let found: Vec<_> = host.bus().devices().map(Result::unwrap).collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].device_type(), 2);
    assert_eq!(found[0].address(), RAM);
    assert_eq!(found[1].device_type(), 3);
    assert_eq!(found[1].address(), host.0.devices[1].address());
    assert_eq!(found[1].num_queues(), 1);
    assert_eq!(found[1].config::<8>(0), Ok(CONFIG));
    assert_eq!(found[1].config::<2>(7), Err(Error::ConfigRange));
    assert!(host.calls().is_empty());
}

#[test]
fn probe_takes_the_steps_of_the_protocol_in_order() {
    let host = Handle::new(&[8], 0x1000_0021);
    let mut device = host.device(1);
    let at = device.address();
    host.set(at + 4, &[0x87]);
    assert_eq!(device.begin(0x1000_0003), Ok(0x1000_0001));
    assert_eq!(device.features(), 0x1000_0001);
    let calls = host.calls();
    assert_eq!(calls, [(RESET, at), (SET_STATUS, at), (SET_STATUS, at)]);
    assert_eq!(device.status(), status::ACKNOWLEDGE | status::DRIVER);
    let layout = host.0.devices[1].layout();
    let accepted = at + layout.guest_features() as u64;
    assert_eq!(host.get(accepted), 0x1000_0001u32.to_le_bytes());

    let table = InterruptTable::<4>::new();
    let queue = find_vq(&mut device, &host, 0, &table).unwrap();
    assert_eq!(host.get(at + 5), queue.token().get().to_be_bytes());
    assert!(host.calls().is_empty(), "find_vq has no hypercall");
    device.driver_ok().unwrap();
    assert_eq!(host.calls(), [(SET_STATUS, at)]);
    assert_eq!(device.status(), 7);
    device.fail().unwrap();
    assert_eq!(device.status(), 0x87);
}

#[test]
fn the_status_is_in_the_page_before_the_hypercall() {
    #[derive(Clone)]
    struct Checking(Handle);
    impl Hypervisor for Checking {
        fn hypercall(&self, nr: u64, arg: u64) -> i64 {
            assert_eq!((nr, self.0.get(arg + 4)), (SET_STATUS, [1]));
            0
        }
    }
    let host = Handle::new(&[8], 0);
    let bus = Bus::new(host.clone(), RAM, Checking(host.clone()));
    let mut device = bus.devices().next().unwrap().unwrap();
    device.add_status(status::ACKNOWLEDGE).unwrap();
}

#[test]
fn features_one_by_one_as_in_2008() {
    let host = Handle::new(&[8], 1 << 5);
    let mut device = host.device(0);
    assert!(device.test_and_accept(5));
    assert!(!device.test_and_accept(6));
    // The bit behind the bitmap: the first guests took it from the accepted half.
    assert!(!device.test_and_accept(32));
    assert_eq!(device.features(), 1 << 5);
    device.reset().unwrap();
    assert_eq!(device.features(), 0);
}

#[test]
fn a_reset_that_leaves_the_status_is_an_error() {
    let host = Handle::new(&[8], 0);
    let mut device = host.device(0);
    device.add_status(status::ACKNOWLEDGE).unwrap();
    host.0.lazy.set(true);
    assert_eq!(device.begin(0), Err(Error::NotReset(1)));
    host.0.refuse.set(true);
    assert_eq!(device.reset(), Err(Error::Refused(-22)));
    assert_eq!(device.driver_ok(), Err(Error::Refused(-22)));
}

#[test]
fn a_request_goes_round() {
    let host = Handle::new(&[8, 64], 0);
    let mut device = host.device(1);
    device.begin(0).unwrap();
    let table = InterruptTable::<4>::new();
    let _first = find_vq(&mut device, &host, 0, &table).unwrap();
    let mut queue = find_vq(&mut device, &host, 1, &table).unwrap();
    device.driver_ok().unwrap();
    host.calls();
    let ring = host.0.devices[1].queues()[1].address;
    assert_eq!((queue.size(), queue.index()), (64, 1));

    let head = queue
        .add(&[Buffer::readable(0x3000, 16), Buffer::writable(0x4000, 512)])
        .unwrap();
    assert!(host.calls().is_empty());
    queue.kick().unwrap();
    assert_eq!(host.calls(), [(NOTIFY, ring)]);
    queue.kick().unwrap();
    assert!(host.calls().is_empty(), "nothing new, nobody notified");
    assert_eq!(queue.num_free(), 62);
    assert_eq!(queue.pop_used(), Ok(None));

    // The rings are big-endian on every machine.
    assert_eq!(host.get(ring), 0x3000u64.to_be_bytes());
    assert_eq!(host.get(ring + 8), [0, 0, 0, 16, 0, 1, 0, 1]);

    host.use_chain(ring, 64, 0, 512);
    let token = u64::from_be_bytes(host.get(device.address() + 5 + 24));
    assert_eq!(
        table.handle(&interrupt(token)),
        Some(Event::Queue(queue.token()))
    );
    assert!(table.take_queue(queue.token()));
    let used = queue.pop_used().unwrap().unwrap();
    assert_eq!((used.head, used.len), (head, 512));
    assert_eq!(queue.num_free(), 64);
}

#[test]
fn a_busy_device_is_not_notified() {
    let host = Handle::new(&[8], 0);
    let mut device = host.device(0);
    device.begin(0).unwrap();
    let table = InterruptTable::<1>::new();
    let mut queue = find_vq(&mut device, &host, 0, &table).unwrap();
    host.calls();
    let ring = host.0.devices[0].queues()[0].address;
    host.set_u16(ring + 4096, 1); // VIRTQ_USED_F_NO_NOTIFY
    queue.add(&[Buffer::writable(0x4000, 1)]).unwrap();
    queue.kick().unwrap();
    assert!(host.calls().is_empty());
    queue.notify().unwrap();
    assert_eq!(host.calls(), [(NOTIFY, ring)]);

    queue.disable_interrupts();
    assert_eq!(host.get_u16(ring + 128), 1);
    host.use_chain(ring, 8, 0, 1);
    assert!(queue.enable_interrupts(), "a chain came back meanwhile");
    assert_eq!(host.get_u16(ring + 128), 0);
}

#[test]
fn rings_that_make_no_sense_are_refused() {
    let host = Handle::new(&[8], 0);
    let table = InterruptTable::<1>::new();
    let mut device = host.device(0);
    let at = device.address();
    let good = host.0.devices[0].queues()[0].address;
    for (num, address) in [
        (0u16, good),
        (3, good),
        (u16::MAX, good),
        (8, 0),
        (8, good + 16),
        (8, u64::MAX),
    ] {
        host.set(at + 13, &address.to_be_bytes());
        host.set(at + 21, &num.to_be_bytes());
        let error = find_vq(&mut device, &host, 0, &table).unwrap_err();
        assert_eq!(error, Error::BadRing { num, address });
    }
    // More entries than this driver keeps notes for.
    host.set(at + 13, &good.to_be_bytes());
    host.set(at + 21, &128u16.to_be_bytes());
    let error = find_vq(&mut device, &host, 0, &table).unwrap_err();
    assert_eq!(error, Error::Queue(DriverError::TooSmall));
    host.set(at + 21, &8u16.to_be_bytes());
    let unmapped = device.find_vq(0, &table, [Slot::EMPTY; 8], |_, _| None::<Ring>);
    assert!(matches!(unmapped, Err(Error::BadRing { .. })));
    let error = find_vq(&mut device, &host, 1, &table).unwrap_err();
    assert_eq!(error, Error::NoSuchQueue(1));
    // None of these has taken the only token or written one.
    assert_eq!(host.get(at + 5), [0; 8]);
    find_vq(&mut device, &host, 0, &table).unwrap();
    let error = find_vq(&mut device, &host, 0, &table).unwrap_err();
    assert_eq!(error, Error::NoTokenLeft);
}

#[test]
fn after_del_vq_no_interruption_finds_the_queue() {
    let host = Handle::new(&[8], 0);
    let mut device = host.device(0);
    device.begin(0).unwrap();
    let table = InterruptTable::<1>::new();
    let mut queue = find_vq(&mut device, &host, 0, &table).unwrap();
    let old = queue.token();
    let head = queue.add(&[Buffer::writable(0x4000, 1)]).unwrap();
    queue.kick().unwrap();
    device.reset().unwrap();
    assert_eq!(queue.detach_unused(), Some(head));
    assert_eq!(queue.detach_unused(), None);
    device.del_vq(queue, &table);
    assert_eq!(host.get(device.address() + 5), [0; 8]);
    let event = table.handle(&interrupt(old.get()));
    assert_eq!(event, Some(Event::Unknown(old.get())));

    let queue = find_vq(&mut device, &host, 0, &table).unwrap();
    assert_ne!(queue.token(), old);
}

#[test]
fn a_device_that_breaks_the_ring_is_reported() {
    let host = Handle::new(&[8], 0);
    let mut device = host.device(0);
    device.begin(0).unwrap();
    let table = InterruptTable::<1>::new();
    let mut queue = find_vq(&mut device, &host, 0, &table).unwrap();
    let ring = host.0.devices[0].queues()[0].address;
    host.set_u16(ring + 4096 + 2, 1);
    assert_eq!(
        queue.pop_used(),
        Err(Error::Queue(DriverError::UsedIndexAhead { used_idx: 1 }))
    );
}

#[test]
fn ring_features_come_from_what_was_accepted_not_from_the_page() {
    let host = Handle::new(&[8], 1 << 29);
    let mut device = host.device(0);
    device.begin(0).unwrap();
    let layout = host.0.devices[0].layout();
    let accepted = device.address() + layout.guest_features() as u64;
    host.set(accepted, &(1u32 << 29).to_le_bytes());
    let table = InterruptTable::<1>::new();
    let mut queue = find_vq(&mut device, &host, 0, &table).unwrap();
    // Without EVENT_IDX the wish for silence is a flag.
    queue.disable_interrupts();
    let ring = host.0.devices[0].queues()[0].address;
    assert_eq!(host.get_u16(ring + 128), 1);
}
