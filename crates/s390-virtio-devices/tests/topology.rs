// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The page's plan: several devices, capacity, devices that come later, configuration changes.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use event_manager::{EventOps, Events, MutEventSubscriber};
use s390_virtio_devices::bus::BusError;
use s390_virtio_devices::console::{Console, ConsoleSize};
use s390_virtio_devices::rng::Rng;
use s390_virtio_devices::{ActivateError, Activation, VirtioDevice};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

/// The feature by which a guest shows that it is none of before 2.6.36.
const EVENT_IDX: u32 = 1 << 29;

type Meanwhile = Box<dyn FnMut() + Send>;

/// A device of any shape.
#[derive(Clone)]
struct Shape {
    device_type: u32,
    queues: Vec<u16>,
    features: u64,
    config: Vec<u8>,
    written: Arc<Mutex<Vec<u8>>>,
    /// What else happens while its configuration is read.
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
    refuses: bool,
    /// The features that it was activated with.
    accepted: Arc<Mutex<u64>>,
}

impl Shape {
    fn new(queues: &[u16], config_len: usize) -> Self {
        Shape {
            device_type: 9,
            queues: queues.to_vec(),
            features: 0,
            config: (1..).take(config_len).collect(),
            written: Arc::default(),
            meanwhile: Arc::default(),
            refuses: false,
            accepted: Arc::default(),
        }
    }

    fn shared(self) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(self))
    }
}

impl VirtioDevice<Legacy> for Shape {
    fn device_type(&self) -> u32 {
        self.device_type
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &self.queues
    }

    fn device_features(&self) -> u64 {
        self.features
    }

    fn config_len(&self) -> usize {
        self.config.len()
    }

    fn read_config(&self, offset: usize, data: &mut [u8]) {
        data.copy_from_slice(&self.config[offset..][..data.len()]);
        if let Some(meanwhile) = &mut *self.meanwhile.lock().unwrap() {
            meanwhile();
        }
    }

    fn write_config(&mut self, _: usize, data: &[u8]) {
        self.written.lock().unwrap().extend_from_slice(data);
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        &[]
    }

    fn activate(&mut self, activation: Activation<Legacy>) -> Result<(), ActivateError> {
        *self.accepted.lock().unwrap() = activation.driver_features;
        match self.refuses {
            true => Err("does not want to".into()),
            false => Ok(()),
        }
    }

    fn reset(&mut self) {}

    fn pause(&mut self) {}

    fn resume(&mut self) {}
}

impl MutEventSubscriber for Shape {
    fn init(&mut self, _: &mut EventOps<'_>) {}
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {}
}

fn console() -> Console<Legacy> {
    let size = ConsoleSize {
        columns: 80,
        rows: 25,
    };
    Console::new(Box::new(std::io::sink()), Some(size)).unwrap()
}

#[test]
fn a_guest_finds_all_devices_in_order() {
    let machine = Machine::new();
    assert_eq!(machine.read(PAGE, 4096), [0; 4096]);
    machine.add(disk().0);
    machine.add(console());
    machine.add(Rng::host().unwrap());
    let types = [0, 1, 2, 3].map(|index| machine.driver(index).device_type());
    assert_eq!(types, [2, 3, 4, 0]);
    let console = machine.driver(1);
    assert_eq!(console.config(), [0, 80, 0, 25, 0, 0, 0, 1]);
    assert_eq!((console.ring_size(0), console.ring_size(1)), (128, 128));
    assert_eq!(console.ring_address(1), console.ring_address(0) + 0x2000);
}

#[test]
fn a_full_page_refuses_and_stays_usable() {
    let machine = Machine::new();
    // 5 + 24 + 8 + 36 bytes each: 56 fit, and 8 bytes are left.
    for _ in 0..56 {
        machine.bus.add(Shape::new(&[8], 36).shared()).unwrap();
    }
    let error = machine.bus.add(Shape::new(&[8], 36).shared()).unwrap_err();
    assert!(matches!(error, BusError::Page(_)));
    assert_eq!(machine.driver(56).desc, PAGE + 4088);
    assert_eq!(machine.driver(56).device_type(), 0);
    assert_eq!(machine.diag(RESET, PAGE + 4088), EINVAL);
    assert_eq!(machine.diag(RESET, PAGE + 73 * 55), 0);
}

#[test]
fn what_the_page_cannot_express_is_refused() {
    let machine = Machine::new();
    let mut wide = Shape::new(&[8], 0);
    wide.features = 1 << 32;
    let error = machine.bus.add(wide.shared()).unwrap_err();
    assert!(matches!(error, BusError::Features(_)));
    let mut odd = Shape::new(&[8], 0);
    odd.device_type = 256;
    let error = machine.bus.add(odd.shared()).unwrap_err();
    assert!(matches!(error, BusError::DeviceType(256)));
    for queues in [&[0u16][..], &[3], &[2048]] {
        let error = machine.bus.add(Shape::new(queues, 0).shared()).unwrap_err();
        assert!(matches!(error, BusError::Page(_)));
    }
    assert_eq!(machine.read(PAGE, 4096), [0; 4096]);
}

#[test]
fn a_device_can_come_later_and_be_announced() {
    let machine = Machine::new();
    machine.add(disk().0);
    machine.driver(0).begin_probe(EVENT_IDX);
    machine.driver(0).finish_probe();
    let id = machine.add(disk().0);
    assert!(machine.interrupts().is_empty());
    machine.bus.announce(id).unwrap();
    let driver = machine.driver(1);
    assert_eq!(machine.interrupts(), [(0x2603, 0x0d00, 2, driver.desc)]);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, 0x8000);
    driver.finish_probe();
    queue.add(&read_request(&machine, 1));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
    // It survives a machine reset like any other.
    machine.machine_reset();
    assert_eq!(machine.driver(1).device_type(), 2);
}

#[test]
fn config_changes_are_announced_to_a_ready_driver_only() {
    let machine = Machine::new();
    let device = Arc::new(Mutex::new(console()));
    let id = machine.bus.add(device.clone()).unwrap();
    let resize = |columns| {
        device
            .lock()
            .unwrap()
            .resize(ConsoleSize { columns, rows: 50 });
        machine.bus.config_changed(id).unwrap();
        machine.interrupts()
    };
    let driver = machine.driver(0);
    assert!(resize(90).is_empty());
    assert_eq!(driver.config()[..4], [0, 90, 0, 50]);
    driver.begin_probe(1);
    assert!(resize(91).is_empty());
    // The receive queue has no token yet, the other one does; then DRIVER_OK.
    driver.set_token(1, 0x7001);
    assert!(resize(92).is_empty());
    driver.finish_probe();
    assert_eq!(resize(93), [(0x2603, 0x0d00, 1, 0x7000)]);
    assert_eq!(driver.config()[..4], [0, 93, 0, 50]);
    driver.set_token(1, 0);
    assert!(resize(94).is_empty());
    driver.set_token(1, 0x7000);
    driver.set_status(0x87);
    assert!(resize(95).is_empty());
    driver.begin_probe(1);
    driver.set_token(1, 0x7000);
    driver.finish_probe();
    assert_eq!(resize(95).len(), 1);
    driver.reset();
    driver.set_token(1, 0x7000);
    assert!(resize(95).is_empty());
    assert_eq!(driver.config()[..4], [0, 95, 0, 50]);
}

#[test]
fn what_the_guest_writes_into_the_config_space_is_noticed_at_set_status() {
    let machine = Machine::new();
    let device = Shape::new(&[8], 4);
    let written = device.written.clone();
    machine.bus.add(device.shared()).unwrap();
    let driver = machine.driver(0);
    driver.begin_probe(0);
    assert!(written.lock().unwrap().is_empty());
    machine.write(driver.config_address() + 1, &[0xaa]);
    driver.finish_probe();
    assert_eq!(*written.lock().unwrap(), [1, 0xaa, 3, 4]);
    // A reset brings back the host's.
    driver.reset();
    assert_eq!(driver.config(), [1, 2, 3, 4]);
}

/// A driver writes a setting and tells nobody; then the host changes another.
#[test]
fn a_change_by_the_host_does_not_lose_one_by_the_guest() {
    let machine = Machine::new();
    let device = Shape::new(&[8], 4);
    let written = device.written.clone();
    let id = machine.bus.add(device.shared()).unwrap();
    let driver = machine.driver(0);
    driver.begin_probe(0);
    driver.finish_probe();
    machine.write(driver.config_address() + 3, &[0xbb]);
    machine.bus.config_changed(id).unwrap();
    assert_eq!(*written.lock().unwrap(), [1, 2, 3, 0xbb]);
}

/// The driver stores a byte at the very moment at which the host shows it another.
#[test]
fn a_change_by_the_host_stores_no_other_byte() {
    let machine = Machine::new();
    let device = Shape::new(&[8], 6);
    let (written, meanwhile) = (device.written.clone(), device.meanwhile.clone());
    let device = device.shared();
    let id = machine.bus.add(device.clone()).unwrap();
    let driver = machine.driver(0);
    driver.begin_probe(0);
    driver.finish_probe();
    let (memory, config) = (machine.memory.clone(), driver.config_address());
    *meanwhile.lock().unwrap() = Some(Box::new(move || {
        memory
            .write_slice(&[0xbb], GuestAddress(config + 3))
            .unwrap();
    }));
    device.lock().unwrap().config = vec![1, 0x22, 0x33, 4, 5, 0x66];
    machine.bus.config_changed(id).unwrap();
    assert_eq!(driver.config(), [1, 0x22, 0x33, 0xbb, 5, 0x66]);
    assert!(written.lock().unwrap().is_empty());
    // And the next look finds it, beside what the host has changed and not shown.
    *meanwhile.lock().unwrap() = None;
    device.lock().unwrap().config[0] = 0x11;
    machine.bus.look_at_config(id).unwrap();
    let expected = [0x11, 0x22, 0x33, 0xbb, 5, 0x66];
    assert_eq!(*written.lock().unwrap(), expected);
    machine.bus.look_at_config(id).unwrap();
    assert_eq!(*written.lock().unwrap(), expected);
}

/// The page is all zeros for a moment, which no driver has written.
#[test]
fn a_change_during_a_machine_reset_takes_nothing_for_the_drivers() {
    let machine = Machine::new();
    let first = Shape::new(&[8], 4);
    let second = Shape::new(&[8], 4);
    let (meanwhile, written) = (first.meanwhile.clone(), second.written.clone());
    machine.bus.add(first.shared()).unwrap();
    let id = machine.bus.add(second.shared()).unwrap();
    let (ask, asked) = std::sync::mpsc::channel();
    let (answer, answered) = std::sync::mpsc::channel();
    *meanwhile.lock().unwrap() = Some(Box::new(move || {
        ask.send(()).unwrap();
        // Whoever changes it may have to wait until the reset is over.
        let _ = answered.recv_timeout(Duration::from_millis(100));
    }));
    let bus = &machine.bus;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            asked.recv().unwrap();
            bus.config_changed(id).unwrap();
            let _ = answer.send(());
        });
        machine.machine_reset();
        *meanwhile.lock().unwrap() = None;
    });
    assert!(written.lock().unwrap().is_empty());
    assert_eq!(machine.driver(1).config(), [1, 2, 3, 4]);
}

#[test]
fn a_device_that_refuses_its_driver_is_broken() {
    let machine = Machine::new();
    let mut device = Shape::new(&[8], 0);
    device.refuses = true;
    let id = machine.bus.add(device.shared()).unwrap();
    let driver = machine.driver(0);
    driver.begin_probe(0);
    driver.finish_probe();
    assert!(machine.bus.needs_reset(id).unwrap());
    assert_eq!(driver.status(), 0x47);
    driver.reset();
    assert!(!machine.bus.needs_reset(id).unwrap());
}

#[test]
fn features_that_were_not_offered_do_not_count() {
    let machine = Machine::new();
    machine.add(disk().0);
    let mut shape = Shape::new(&[8], 0);
    shape.features = 0x8001;
    let accepted = shape.accepted.clone();
    machine.bus.add(shape.shared()).unwrap();
    machine.driver(1).begin_probe(u32::MAX);
    machine.driver(1).finish_probe();
    // Those of the ring are the bus's.
    assert_eq!(*accepted.lock().unwrap(), 0x3100_8001);
    let driver = machine.driver(0);
    // All bits, as a guest might leave them there that never cleared its half.
    driver.begin_probe(u32::MAX);
    let mut queue = driver.find_vq(0, 0x8000);
    driver.finish_probe();
    queue.add(&read_request(&machine, 1));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
}
