// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A driver that breaks a rule is worth one line, and one that never stops cannot fill the log.

mod common;

use std::sync::Mutex;

use common::echo::Echo;
use common::*;
use log::{LevelFilter, Log, Metadata, Record};
use s390_virtio_devices::rng::Rng;
use s390_vring::Buffer;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// Makes the disk stop by a request without a status byte.
fn break_a_rule(machine: &Machine) {
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, 0x8000);
    driver.finish_probe();
    queue.add(&[Buffer::readable(HEADER, 16)]);
    for _ in 0..3 {
        driver.kick(0);
        machine.run_events();
    }
    assert_eq!(driver.status(), 0x47);
}

/// Makes both queues of a device stop.
fn break_two_rules_at_once() {
    let machine = Machine::new();
    machine.add(Echo::new(&[8, 8], 0));
    let driver = machine.driver(0);
    driver.begin_probe(0);
    driver.finish_probe();
    for queue in 0..2 {
        let avail = driver.ring_address(queue) + driver.layout(queue).avail_ring() as u64;
        machine.write(avail + 2, &9u16.to_be_bytes());
        driver.kick(queue);
    }
    machine.run_events();
    assert_eq!(driver.status(), 0x47);
}

/// Reads a sector that is gone and one that is there, in turn.
fn fail_again_and_again() {
    let machine = Machine::new();
    let (disk, file) = disk();
    machine.add(disk);
    file.as_file().set_len(1024).unwrap();
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, 0x8000);
    driver.finish_probe();
    for _ in 0..500 {
        for (sector, status) in [(7, 1), (0, 0)] {
            queue.add(&read_request(&machine, sector));
            queue.kick();
            machine.run_events();
            assert!(queue.used().is_some());
            assert_eq!(machine.read(STATUS, 1), [status]);
        }
    }
}

/// Asks a source of entropy that has failed.
fn ask_again_and_again() {
    struct Broken;

    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }

    let machine = Machine::new();
    machine.add(Rng::new(Box::new(Broken)).unwrap());
    let driver = machine.driver(0);
    for _ in 0..10 {
        driver.begin_probe(0);
        let mut queue = driver.find_vq(0, 0x8000);
        driver.finish_probe();
        for _ in 0..50 {
            queue.add(&[Buffer::writable(DATA, 16)]);
            queue.kick();
            machine.run_events();
            assert_eq!(queue.used(), Some(0));
        }
    }
}

#[test]
fn one_line_for_a_breach_and_few_for_many() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(LevelFilter::Info);
    let machine = Machine::new();
    machine.add(disk().0);
    let take = || std::mem::take(&mut *LINES.lock().unwrap());
    break_a_rule(&machine);
    let lines = take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("virtio0 block: stopped until the guest resets it"));
    break_two_rules_at_once();
    let lines = take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for _ in 0..1000 {
        break_a_rule(&machine);
    }
    assert_eq!(take().len(), 9, "2, 4, 8 to 512");
    for (fail, name) in [
        (fail_again_and_again as fn(), "virtio0 block: queue 0: "),
        (ask_again_and_again, "virtio0 rng: queue 0: "),
    ] {
        fail();
        let lines = take();
        assert_eq!(lines.len(), 9, "1, 2, 4 to 256: {lines:?}");
        assert!(lines.iter().all(|line| line.starts_with(name)), "{lines:?}");
    }
}
