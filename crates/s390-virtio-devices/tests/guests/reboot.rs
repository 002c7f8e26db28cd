// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One kernel after the other: reboot, machine reset, kexec with and without a reset.

use crate::common::{disk, Machine, PAGE};
use crate::drivers::{Bound, BLOCK};
use crate::kernel::Kernel;
use crate::linux::{each_pair, Release};

/// Two disks.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.add(disk().0);
    machine.add(disk().0);
    machine
}

/// Boots, works, and ends in the middle: requests in flight, an interruption on its way, and
/// callbacks off.
fn work(machine: &Machine, release: &'static Release) {
    let kernel = Kernel::boot(machine, release);
    let disks: Vec<_> = kernel
        .devices(BLOCK)
        .into_iter()
        .map(|desc| Bound::probe(&kernel, desc))
        .collect();
    for disk in &disks {
        (0..3).for_each(|sector| disk.check_read(sector));
    }
    for disk in &disks {
        disk.submit(0, 4, kernel.alloc(512));
        disk.queues[0].borrow_mut().kick();
        machine.run_events();
        disk.submit(0, 5, kernel.alloc(512));
        disk.queues[0].borrow_mut().disable_callbacks();
        disk.queues[0].borrow_mut().notify();
    }
}

/// Boots and finds nothing of what was before.
fn start_afresh(machine: &Machine, release: &'static Release) {
    let kernel = Kernel::boot(machine, release);
    // The first that the new kernel does with interruptions open.
    assert_eq!(kernel.run(), []);
    assert_eq!(kernel.devices(BLOCK).len(), 2);
    for (index, desc) in kernel.devices(BLOCK).into_iter().enumerate() {
        let disk = Bound::probe(&kernel, desc);
        let accepted = machine.driver(index).accepted_features();
        assert_eq!(accepted, disk.features, "bits of the former kernel");
        (0..8).for_each(|sector| disk.check_read(sector));
    }
}

#[test]
fn a_machine_reset_makes_everything_new() {
    each_pair(|first, second| {
        let machine = machine();
        let fresh = machine.read(PAGE, 4096);
        work(&machine, first);
        machine.machine_reset();
        assert_eq!(machine.read(PAGE, 4096), fresh);
        let rings = machine.read(PAGE + 4096, 0x4000);
        assert!(rings.iter().all(|&byte| byte == 0));
        machine.run_events();
        assert_eq!(machine.read(PAGE + 4096, 0x4000), rings);
        start_afresh(&machine, second);
    });
}

/// Linux resets the subsystem at kexec, which is a machine reset that leaves storage alone. One
/// that does not begins with the RESET of every device.
#[test]
fn kexec_without_a_reset() {
    each_pair(|first, second| {
        let machine = machine();
        work(&machine, first);
        start_afresh(&machine, second);
    });
}

#[test]
fn reboots_move_no_ring() {
    each_pair(|first, second| {
        let machine = machine();
        let fresh = machine.read(PAGE, 4096);
        for release in [first, second, first] {
            work(&machine, release);
            machine.machine_reset();
            assert_eq!(machine.read(PAGE, 4096), fresh);
        }
    });
}

/// In a page full of what the former kernel left there.
#[test]
fn a_page_that_was_scribbled_over() {
    each_pair(|first, second| {
        let machine = machine();
        work(&machine, first);
        machine.write(PAGE, &[0xa5; 4096]);
        machine.write(PAGE + 4096, &[0xa5; 0x4000]);
        machine.machine_reset();
        start_afresh(&machine, second);
    });
}
