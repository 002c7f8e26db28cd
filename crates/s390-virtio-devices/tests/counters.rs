// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the transport counts, in exact numbers.

mod common;

use common::*;
use s390_virtio_devices::balloon::Balloon;
use s390_virtio_devices::block::Block;
use s390_virtio_devices::console::Console;
use s390_virtio_devices::metrics::QueueMetrics;
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_virtio_devices::rate_limiter::RateLimits;
use s390_virtio_devices::rng::Rng;
use s390_virtio_devices::VirtioDevice;
use s390_vring::Buffer;

const TOKEN: u64 = 0x8000;

/// Kicks, chains, interruptions, suppressed ones.
fn numbers(metrics: &QueueMetrics) -> [u64; 4] {
    let QueueMetrics {
        kicks,
        chains,
        interrupts,
        suppressed,
        ..
    } = metrics;
    [kicks, chains, interrupts, suppressed].map(|counter| counter.get())
}

#[test]
fn a_kick_is_what_the_driver_notifies() {
    let machine = Machine::new();
    let (disk, id) = machine.add_shared(disk().0);
    let metrics = disk.lock().unwrap().metrics();
    let expect = |numbers_now| {
        machine.run_events();
        assert_eq!(numbers(&metrics.queue), numbers_now);
    };
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    // The start of the device wakes it.
    driver.finish_probe();
    expect([0, 0, 0, 0]);
    queue.kick();
    expect([1, 0, 0, 0]);
    // So do new limits and the end of a pause.
    let limits = RateLimits::default();
    let set_limits = |disk: &mut Block<Legacy>| disk.set_limits(limits);
    set_limits(&mut disk.lock().unwrap());
    machine.bus.pause();
    machine.bus.resume().unwrap();
    expect([1, 0, 0, 0]);
    // Two that the event loop hears of as one.
    queue.add(&read_request(&machine, 0));
    queue.kick();
    queue.kick();
    expect([3, 1, 1, 0]);
    // No ring, no kick.
    machine.diag(NOTIFY, driver.ring_address(0) + 1);
    expect([3, 1, 1, 0]);
    // A device that is broken, or has no driver, is notified all the same.
    queue.add(&[Buffer::readable(HEADER, 4)]);
    queue.kick();
    expect([4, 1, 1, 0]);
    assert!(machine.bus.needs_reset(id).unwrap());
    assert_eq!(driver.kick(0), EINVAL);
    driver.reset();
    queue.kick();
    expect([6, 1, 1, 0]);
}

/// A queue that has been round once is worked on again, after the other devices.
#[test]
fn a_device_that_goes_on_by_itself_is_not_kicked() {
    let machine = Machine::new();
    let (rng, _) = machine.add_shared(Rng::host().unwrap());
    let metrics = rng.lock().unwrap().metrics();
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    let size = driver.ring_size(0);
    for _ in 0..size {
        queue.add(&[Buffer::writable(DATA, 8)]);
    }
    queue.kick();
    machine.run_events();
    assert_eq!(numbers(&metrics.queue), [1, size.into(), 1, 0]);
}

#[test]
fn an_interruption_is_what_reaches_the_guest() {
    let machine = Machine::new();
    let (disk, id) = machine.add_shared(disk().0);
    let metrics = disk.lock().unwrap().metrics();
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    let mut request = |wanted, expected| {
        match wanted {
            true => drop(queue.ring.enable_interrupts()),
            false => queue.ring.disable_interrupts(),
        }
        queue.add(&read_request(&machine, 0));
        machine.diag(NOTIFY, driver.ring_address(0));
        machine.run_events();
        assert_eq!(numbers(&metrics.queue), expected);
    };
    request(true, [1, 1, 1, 0]);
    request(false, [2, 2, 1, 1]);
    driver.set_token(0, 0);
    request(true, [3, 3, 1, 1]);
    driver.set_token(0, TOKEN);
    machine.refuse_interrupts(true);
    request(true, [4, 4, 1, 1]);
    machine.refuse_interrupts(false);
    request(true, [5, 5, 2, 1]);
    // It comes under the token of the queue.
    machine.bus.config_changed(id).unwrap();
    assert_eq!(numbers(&metrics.queue)[2], 3);
    machine.refuse_interrupts(true);
    machine.bus.config_changed(id).unwrap_err();
    assert_eq!(numbers(&metrics.queue)[2], 3);
    // Without a driver there is nobody to be told.
    machine.refuse_interrupts(false);
    driver.reset();
    machine.bus.config_changed(id).unwrap();
    assert_eq!(numbers(&metrics.queue)[2], 3);
}

#[test]
fn every_queue_of_every_device_has_counters_of_its_own() {
    fn check(device: impl VirtioDevice<Legacy> + event_manager::MutEventSubscriber + 'static) {
        let machine = Machine::new();
        let queues = device.queue_max_sizes().len() as u16;
        let metrics = device.device_metrics().unwrap();
        machine.add(device);
        for queue in 0..queues {
            for _ in 0..=queue {
                machine.driver(0).kick(queue.into());
            }
        }
        for queue in 0..queues {
            let metrics = metrics.of_queue(queue).unwrap();
            assert_eq!(numbers(metrics), [u64::from(queue) + 1, 0, 0, 0]);
        }
    }
    let sink = || Box::new(std::io::sink());
    check(disk().0);
    check(Rng::host().unwrap());
    check(Balloon::new(PAGE).unwrap());
    let (link, _peer) = DatagramLink::pair().unwrap();
    check(Net::new(Box::new(link), MacAddress::local(1)).unwrap());
    check(Console::new(sink(), None).unwrap());
    let console = Console::new(sink(), None).unwrap();
    check(console.with_port("org.example.0", sink()).unwrap());
    let of_a_disk = disk().0.device_metrics().unwrap();
    assert!(of_a_disk.of_queue(1).is_none());
}
