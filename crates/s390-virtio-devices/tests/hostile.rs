// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest that breaks a rule breaks its own device only, and a reset heals it.

mod common;

use common::*;
use s390_vring::Buffer;

const TOKEN: u64 = 0x8000;

/// Two disks, both in use.
fn two_disks() -> Machine {
    let machine = Machine::new();
    for index in 0..2 {
        machine.add(disk().0);
        let driver = machine.driver(index);
        driver.begin_probe(0);
        driver.find_vq(0, TOKEN);
        driver.finish_probe();
    }
    machine.run_events();
    machine
}

fn works(machine: &Machine, index: usize) {
    let driver = machine.driver(index);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    machine.interrupts();
    queue.add(&read_request(machine, 4));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
    assert_eq!(machine.read(DATA, 512), [5; 512]);
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
}

/// Lets the guest break a rule on the first disk: it stops, the second goes on, a reset heals.
fn breaks(crime: impl Fn(&Machine, Driver<'_>)) {
    let machine = two_disks();
    let driver = machine.driver(0);
    crime(&machine, driver);
    driver.kick(0);
    machine.run_events();
    assert_eq!(driver.status(), 0x47);
    assert!(machine.interrupts().is_empty());
    // A driver that listens hears that the ring is not good any more.
    assert_eq!(driver.kick(0), EINVAL);
    // Neither another DRIVER_OK nor a new beginning with a good ring helps.
    driver.set_status(0x07);
    driver.set_status(0x03);
    let mut queue = driver.find_vq(0, TOKEN);
    queue.add(&read_request(&machine, 0));
    driver.set_status(0x07);
    assert_eq!(driver.kick(0), EINVAL);
    machine.run_events();
    assert_eq!(queue.used(), None);

    works(&machine, 1);
    works(&machine, 0);
}

#[test]
fn an_index_far_ahead() {
    breaks(|machine, driver| {
        let idx = driver.ring_address(0) + driver.layout(0).avail_ring() as u64 + 2;
        machine.write(idx, &129u16.to_be_bytes());
    });
}

#[test]
fn a_head_outside_the_table() {
    breaks(|machine, driver| {
        let avail = driver.ring_address(0) + driver.layout(0).avail_ring() as u64;
        machine.write(avail, &[0, 0, 0, 1, 0, 128]);
    });
}

#[test]
fn a_chain_that_loops() {
    breaks(|machine, driver| {
        let ring = driver.ring_address(0);
        // 16 readable bytes at HEADER, and on to itself.
        machine.write(ring, &HEADER.to_be_bytes());
        machine.write(ring + 8, &[0, 0, 0, 16, 0, 1, 0, 0]);
        machine.write(
            ring + driver.layout(0).avail_ring() as u64,
            &[0, 0, 0, 1, 0, 0],
        );
    });
}

#[test]
fn a_buffer_outside_memory() {
    for addr in [(3 << 20) - 511, u64::MAX - 4, 1 << 63] {
        breaks(|machine, driver| {
            let mut queue = driver.find_vq(0, TOKEN);
            let [header, _, status] = read_request(machine, 0);
            queue.add(&[header, Buffer::writable(addr, 512), status]);
        });
    }
}

#[test]
fn a_request_without_a_status_byte() {
    breaks(|machine, driver| {
        let [header, ..] = read_request(machine, 0);
        driver.find_vq(0, TOKEN).add(&[header]);
    });
}

#[test]
fn an_indirect_table_that_was_not_negotiated() {
    breaks(|machine, driver| {
        let ring = driver.ring_address(0);
        machine.write(ring, &HEADER.to_be_bytes());
        machine.write(ring + 8, &[0, 0, 0, 16, 0, 4, 0, 0]);
        machine.write(
            ring + driver.layout(0).avail_ring() as u64,
            &[0, 0, 0, 1, 0, 0],
        );
    });
}

#[test]
fn machine_reset_heals_too() {
    let machine = two_disks();
    let driver = machine.driver(0);
    let idx = driver.ring_address(0) + driver.layout(0).avail_ring() as u64 + 2;
    machine.write(idx, &[0x7f; 2]);
    driver.kick(0);
    machine.run_events();
    assert_eq!(driver.kick(0), EINVAL);
    machine.machine_reset();
    // Without the RESET that every driver begins with.
    assert_eq!(driver.kick(0), 0);
    works(&machine, 0);
}

#[test]
fn the_page_is_not_believed() {
    let machine = two_disks();
    let driver = machine.driver(0);
    let (ring, layout) = (driver.ring_address(0), driver.layout(0));
    // Other lengths, another ring address, another size, another type.
    machine.write(PAGE, &[9, 255, 255, 255]);
    machine.write(PAGE + 5 + 8, &[0xff; 16]);
    assert_eq!(machine.diag(NOTIFY, ring), 0);
    assert_eq!(machine.diag(NOTIFY, u64::MAX), EINVAL);
    assert_eq!(machine.diag(SET_STATUS, PAGE), 0);
    assert_eq!(machine.diag(RESET, PAGE), 0);
    assert_eq!(machine.read(PAGE + 4, 1), [0]);
    assert_eq!(machine.read(ring + layout.avail_ring() as u64, 4), [0; 4]);
    // The second device is where the host knows it to be.
    assert_eq!(machine.diag(RESET, PAGE + 97), 0);
}

#[test]
fn any_byte_anywhere_in_page_and_rings_is_survived() {
    let machine = two_disks();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..20_000 {
        let at = PAGE + random() % 0x5000;
        machine.write(at, &[random() as u8]);
        match random() % 8 {
            0 => drop(machine.diag(RESET, PAGE)),
            1 => drop(machine.diag(SET_STATUS, PAGE)),
            2 => drop(machine.diag(SET_STATUS, PAGE + 97)),
            3 => drop(machine.diag(NOTIFY, PAGE + 0x1000)),
            4 => drop(machine.diag(NOTIFY, PAGE + 0x3000)),
            _ => machine.run_events(),
        }
        assert!(machine
            .interrupts()
            .iter()
            .all(|i| i.3 & !1 != 0 && i.3 & 1 == 0));
    }
    machine.machine_reset();
    works(&machine, 0);
    works(&machine, 1);
}
