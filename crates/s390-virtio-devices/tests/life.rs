// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! All turns of a device's life under a driver scripted byte by byte: probe, early notification,
//! reset, rebind, failure, machine reset.

mod common;

use common::*;
use s390_virtio_devices::balloon::Balloon;
use s390_vring::{Buffer, VIRTQ_USED_F_NO_NOTIFY};

fn status_byte(machine: &Machine) -> u8 {
    machine.read(STATUS, 1)[0]
}

#[test]
fn probe_io_and_interruption_under_the_token() {
    let machine = Machine::new();
    let (disk, file) = disk();
    machine.add(disk);
    let driver = machine.driver(0);
    assert_eq!(driver.desc, PAGE);
    assert_eq!(driver.device_type(), 2);
    // size_max, seg_max, geometry, blk_size, flush, topology, cache mode, discard, zeroes; notify on empty, indirect, event index.
    assert_eq!(driver.host_features(), 0x3100_6e56);
    assert_eq!(driver.config()[..8], 8u64.to_be_bytes());
    assert_eq!(driver.config()[12..16], 126u32.to_be_bytes());

    driver.begin_probe(0x246);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    queue.add(&read_request(&machine, 5));
    queue.kick();
    machine.run_events();
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
    assert_eq!(queue.used(), Some(513));
    assert_eq!(status_byte(&machine), 0);
    assert_eq!(machine.read(DATA, 512), [6; 512]);

    machine.write(DATA, &[0x77; 512]);
    queue.add(&write_request(&machine, 7));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(1));
    assert_eq!(std::fs::read(file.path()).unwrap()[3584..], [0x77; 512]);
}

/// A queue of a disk whose driver accepted `features`.
fn queue_with_features(machine: &Machine, features: u32) -> GuestQueue<'_> {
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(features);
    let queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    machine.run_events();
    queue
}

#[test]
fn the_event_index_decides_when_accepted() {
    let machine = Machine::new();
    let mut queue = queue_with_features(&machine, 1 << 29);
    for interrupts in [1, 0, 0] {
        // Only the first used buffer is the one that the driver wants to hear of.
        queue.add(&read_request(&machine, 1));
        queue.kick();
        machine.run_events();
        assert_eq!(queue.used(), Some(513));
        assert_eq!(machine.interrupts().len(), interrupts);
    }
    queue.ring.enable_interrupts();
    queue.add(&read_request(&machine, 1));
    queue.kick();
    machine.run_events();
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
}

#[test]
fn an_empty_queue_interrupts_against_flags_when_accepted() {
    let machine = Machine::new();
    let mut queue = queue_with_features(&machine, 1 << 24);
    queue.ring.disable_interrupts();
    queue.add(&read_request(&machine, 1));
    queue.kick();
    machine.run_events();
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
}

#[test]
fn indirect_tables_work_when_accepted() {
    let machine = Machine::new();
    let mut queue = queue_with_features(&machine, 1 << 28);
    let buffers = read_request(&machine, 2);
    let mut table = [[0; 16]; 3];
    s390_vring::write_indirect_table::<s390_vring::BigEndian>(&mut table, &buffers).unwrap();
    machine.write(0x2_0000, table.as_flattened());
    queue.ring.add_indirect_chain(0x2_0000, &buffers).unwrap();
    queue.ring.publish();
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
    assert_eq!(machine.read(DATA, 512), [3; 512]);
}

#[test]
fn a_kick_before_driver_ok_is_served() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(1 << 29);
    let mut queue = driver.find_vq(0, TOKEN);
    queue.add(&read_request(&machine, 0));
    queue.kick();
    machine.run_events();
    // With the features of the page at that moment: the event index decides.
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
    assert_eq!(queue.used(), Some(513));
    // DRIVER_OK does not start the device a second time: the request is not served again.
    machine.write(DATA, &[0xee; 512]);
    driver.finish_probe();
    machine.run_events();
    assert_eq!(machine.read(DATA, 512), [0xee; 512]);
    assert!(machine.interrupts().is_empty());
    queue.ring.enable_interrupts();
    queue.add(&read_request(&machine, 1));
    queue.kick();
    machine.run_events();
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
    assert_eq!(queue.used(), Some(513));
}

/// As Linux 2.6.27 to 2.6.30 accept them. What becomes of requests is in `disk`.
#[test]
fn features_accepted_with_driver_ok_leave_the_configuration_alone() {
    let machine = Machine::new();
    let (balloon, id) = machine.add_shared(Balloon::new(PAGE).unwrap());
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut inflate = driver.find_vq(0, TOKEN);
    machine.write(DATA, &7u32.to_be_bytes());
    inflate.add(&[Buffer::readable(DATA, 4)]);
    inflate.kick();
    machine.run_events();
    assert_eq!(inflate.used(), Some(0));
    machine.write(driver.config_address() + 4, &1u32.to_le_bytes());
    // The host may have seen it or not.
    machine.bus.look_at_config(id).unwrap();
    driver.accept_features(1 << 1);
    driver.finish_probe();
    assert_eq!(balloon.lock().unwrap().actual(), 4096);
    assert_eq!(driver.config(), [0, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn a_kick_without_a_driver_is_harmless() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    let mut queue = driver.find_vq(0, TOKEN);
    queue.add(&read_request(&machine, 0));
    for status in [0x00, 0x01, 0x83] {
        machine.write(driver.desc + 4, &[status]);
        queue.kick();
        machine.run_events();
        assert_eq!(queue.used(), None, "status {status:#x}");
    }
}

#[test]
fn buffers_added_before_driver_ok_without_a_kick_are_served() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    queue.add(&read_request(&machine, 0));
    driver.finish_probe();
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
}

#[test]
fn token_zero_is_never_injected() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    for token in [0, 1] {
        let mut queue = driver.find_vq(0, token);
        driver.finish_probe();
        queue.add(&read_request(&machine, 0));
        queue.kick();
        machine.run_events();
        assert_eq!(queue.used(), Some(513));
        assert!(machine.interrupts().is_empty());
        driver.begin_probe(0);
    }
}

#[test]
fn the_token_is_read_when_the_interruption_is_sent_and_masked() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    driver.set_token(0, 0x9999_0001);
    queue.add(&read_request(&machine, 0));
    queue.kick();
    machine.run_events();
    assert_eq!(machine.interrupts(), [vring(0x9999_0000)]);
}

#[test]
fn no_interruption_against_the_drivers_will() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    queue.ring.disable_interrupts();
    queue.add(&read_request(&machine, 0));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
    assert!(machine.interrupts().is_empty());
}

#[test]
fn reset_clears_status_features_tokens_and_indices_but_no_descriptors() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0x3100_6e56);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    queue.add(&read_request(&machine, 0));
    queue.kick();
    machine.run_events();
    machine.interrupts();

    let (base, layout) = (driver.ring_address(0), driver.layout(0));
    let table = machine.read(base, 2048);
    let heads = machine.read(base + 2048 + 4, 256);
    for offset in [
        layout.avail_ring(),
        layout.used_event(),
        layout.avail_event(),
    ] {
        machine.write(base + offset as u64, &[0xab; 2]);
    }
    assert_eq!(driver.reset(), 0);
    assert_eq!(
        (driver.status(), driver.accepted_features(), driver.token(0)),
        (0, 0, 0)
    );
    for offset in [layout.avail_ring(), layout.used_ring()] {
        assert_eq!(machine.read(base + offset as u64, 4), [0; 4]);
    }
    for offset in [layout.used_event(), layout.avail_event()] {
        assert_eq!(machine.read(base + offset as u64, 2), [0; 2]);
    }
    assert_ne!(table, [0; 2048]);
    assert_eq!(machine.read(base, 2048), table);
    assert_eq!(machine.read(base + 2048 + 4, 256), heads);
    assert_eq!(driver.host_features(), 0x3100_6e56);
}

#[test]
fn a_reset_device_touches_nothing() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    // The notification is on its way to the event loop when the reset comes.
    queue.add(&read_request(&machine, 0));
    queue.kick();
    driver.reset();
    machine.write(DATA, &[0x11; 512]);
    let used_ring = driver.ring_address(0) + driver.layout(0).used_ring() as u64;
    machine.run_events();
    assert_eq!(machine.read(used_ring, 8), [0; 8]);
    assert_eq!(machine.read(DATA, 512), [0x11; 512]);
    assert!(machine.interrupts().is_empty());
    // And a kick that comes late finds no driver.
    assert_eq!(driver.kick(0), 0);
    machine.run_events();
    assert_eq!(machine.read(used_ring, 8), [0; 8]);
}

#[test]
fn a_reset_takes_back_what_has_not_arrived() {
    let machine = Machine::new();
    let disks = [machine.add(disk().0), machine.add(disk().0)];
    for (index, id) in disks.into_iter().enumerate() {
        let driver = machine.driver(index);
        driver.begin_probe(0);
        let mut queue = driver.find_vq(0, TOKEN + 16 * index as u64);
        driver.finish_probe();
        queue.add(&read_request(&machine, 0));
        queue.kick();
        machine.run_events();
        machine.bus.config_changed(id).unwrap();
    }
    machine.driver(0).reset();
    // Those of the other device are still on their way.
    let other = TOKEN + 16;
    assert_eq!(
        machine.interrupts(),
        [(0x2603, 0x0d00, 0, other), (0x2603, 0x0d00, 1, other)]
    );
}

#[test]
fn rebind_without_a_reset_finds_clean_rings() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    for _ in 0..3 {
        queue.add(&read_request(&machine, 0));
    }
    queue.kick();
    machine.run_events();

    // Unbind: RESET, then the driver takes its buffers back and counts the index down.
    driver.reset();
    let (base, layout) = (driver.ring_address(0), driver.layout(0));
    let avail_idx = base + layout.avail_ring() as u64 + 2;
    machine.write(avail_idx, &(-3i16).to_be_bytes());
    assert_eq!(driver.set_status(1), 0);
    assert_eq!(machine.read(base, layout.bytes()), vec![0; layout.bytes()]);
    // Rebind, which starts at DRIVER.
    machine.write(avail_idx, &7u16.to_be_bytes());
    assert_eq!(driver.set_status(3), 0);
    assert_eq!(machine.read(base, layout.bytes()), vec![0; layout.bytes()]);
    let mut queue = driver.find_vq(0, TOKEN + 2);
    driver.finish_probe();
    machine.interrupts();
    queue.add(&read_request(&machine, 3));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
    assert_eq!(machine.read(DATA, 512), [4; 512]);
    assert_eq!(machine.interrupts(), [vring(TOKEN + 2)]);
}

#[test]
fn stale_flags_of_the_previous_driver_do_not_silence_the_next() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    driver.find_vq(0, TOKEN).ring.disable_interrupts();
    driver.finish_probe();
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    queue.add(&read_request(&machine, 0));
    queue.kick();
    machine.run_events();
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
}

#[test]
fn rings_stay_where_they_are() {
    let machine = Machine::new();
    machine.add(disk().0);
    machine.add(disk().0);
    let addresses = |machine: &Machine| [0, 1].map(|i| machine.driver(i).ring_address(0));
    let before = addresses(&machine);
    assert_eq!(before, [PAGE + 0x1000, PAGE + 0x3000]);
    machine.driver(0).begin_probe(0);
    machine.driver(0).begin_probe(0);
    machine.machine_reset();
    assert_eq!(addresses(&machine), before);
}

#[test]
fn status_zero_is_a_reset() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0x200);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    assert_eq!(driver.set_status(0), 0);
    assert_eq!((driver.accepted_features(), driver.token(0)), (0, 0));
    queue.add(&read_request(&machine, 0));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), None);
}

#[test]
fn a_driver_that_failed_is_left_alone() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    assert_eq!(driver.set_status(0x87), 0);
    queue.add(&read_request(&machine, 0));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), None);
    assert!(machine.interrupts().is_empty());
}

#[test]
fn machine_reset_makes_everything_new() {
    let machine = Machine::new();
    machine.add(disk().0);
    machine.add(disk().0);
    let fresh = machine.read(PAGE, 4096);
    for index in [0, 1] {
        let driver = machine.driver(index);
        driver.begin_probe(0x246);
        let mut queue = driver.find_vq(0, TOKEN);
        driver.finish_probe();
        queue.add(&read_request(&machine, 0));
        queue.kick();
    }
    machine.run_events();
    // The guest scribbles over everything, the page's structure included.
    machine.write(PAGE, &[0xff; 4096]);
    machine.machine_reset();
    assert_eq!(machine.read(PAGE, 4096), fresh);
    assert_eq!(machine.read(PAGE + 4096, 0x4000), [0; 0x4000]);
    // What was pending is gone, and nothing comes after.
    machine.run_events();
    assert!(machine.interrupts().is_empty());
    // No device is active: it would go on where it stopped.
    let driver = machine.driver(0);
    let mut queue = driver.find_vq(0, TOKEN);
    queue.add(&read_request(&machine, 0));
    queue.add(&read_request(&machine, 0));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), None);

    let driver = machine.driver(1);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, TOKEN);
    driver.finish_probe();
    queue.add(&read_request(&machine, 2));
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
}

#[test]
fn resets_do_not_wear_out() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    for round in 0..500 {
        driver.begin_probe(0x3000_0000);
        let mut queue = driver.find_vq(0, TOKEN);
        driver.finish_probe();
        queue.add(&read_request(&machine, round % 8));
        queue.kick();
        machine.run_events();
        assert_eq!(queue.used(), Some(513));
        assert_eq!(machine.interrupts(), [vring(TOKEN)]);
        if round % 100 == 99 {
            machine.machine_reset();
        }
    }
}

#[test]
fn the_device_asks_for_notifications_while_it_is_idle() {
    let machine = Machine::new();
    machine.add(disk().0);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    driver.find_vq(0, TOKEN);
    driver.finish_probe();
    machine.run_events();
    let used_flags = driver.ring_address(0) + driver.layout(0).used_ring() as u64;
    let flags = u16::from_be_bytes(machine.read(used_flags, 2).try_into().unwrap());
    assert_eq!(flags & VIRTQ_USED_F_NO_NOTIFY, 0);
}
