// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device that comes while the guest runs.

use s390_virtio_devices::bus::BusError;

use crate::common::{disk, Machine};
use crate::drivers::{Bound, BLOCK};
use crate::kernel::{Handled, Kernel};
use crate::linux::{each, Parameter, EVENT_IDX};

/// The guest finds the device when it looks again.
#[test]
fn it_is_not_announced_by_itself() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let first = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        machine.add(disk().0);
        assert_eq!(kernel.run(), []);
        first.check_read(1);
        assert_eq!(kernel.scan(), 1);
        let second = Bound::probe(&kernel, kernel.devices(BLOCK)[1]);
        second.check_read(2);
        first.check_read(3);
    });
}

/// A guest before 2.6.36 would take the descriptor for a queue; of those since, the ones before
/// 3.0 have nothing to show.
#[test]
fn it_is_announced_to_a_guest_that_shows_that_it_understands() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let first = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let id = machine.add(disk().0);
        let result = machine.bus.announce(id);
        if release.ring_features & EVENT_IDX != 0 {
            assert!(result.is_ok());
            assert_eq!(kernel.run(), [Handled::Scan(1)]);
            let second = Bound::probe(&kernel, kernel.devices(BLOCK)[1]);
            second.check_read(2);
        } else {
            assert!(matches!(result, Err(BusError::UnknownGuest)));
            assert_eq!(kernel.run(), []);
        }
        first.check_read(3);
        machine.machine_reset();
        let kernel = Kernel::boot(&machine, release);
        assert_eq!(kernel.devices(BLOCK).len(), 2);
    });
}

/// Nobody knows who boots there, and the next one may be older.
#[test]
fn it_is_announced_to_no_guest_whose_drivers_are_not_ready() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let id = machine.add(disk().0);
        let refused = || {
            let result = machine.bus.announce(id);
            assert!(matches!(result, Err(BusError::UnknownGuest)));
            assert_eq!(machine.interrupts(), []);
        };
        refused();
        let kernel = Kernel::boot(&machine, release);
        refused();
        let desc = kernel.devices(BLOCK)[0];
        let disk = Bound::prepare(&kernel, desc);
        refused();
        kernel.driver_ok(desc);
        disk.check_read(1);
        disk.unbind();
        refused();
        Bound::prepare(&kernel, desc);
        kernel.fail_probe(desc);
        refused();
        Bound::probe(&kernel, desc);
        machine.machine_reset();
        refused();
    });
}

/// All that know device-added, 2.6.39 with them.
#[test]
fn it_is_found_when_announced_anyway() {
    each(|release| {
        if release.parameter != Parameter::LowestByte {
            return;
        }
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let first = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let id = machine.add(disk().0);
        machine.bus.announce_unchecked(id).unwrap();
        assert_eq!(kernel.run(), [Handled::Scan(1)]);
        // Once more, which finds nothing new.
        machine.bus.announce_unchecked(id).unwrap();
        assert_eq!(kernel.run(), [Handled::Scan(0)]);
        let second = Bound::probe(&kernel, kernel.devices(BLOCK)[1]);
        second.check_read(2);
        first.check_read(3);
        second.unbind();
        first.check_read(4);
    });
}

/// The announcement is for the guest that ran.
#[test]
fn a_reboot_drops_the_announcement_and_keeps_the_device() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let id = machine.add(disk().0);
        machine.bus.announce_unchecked(id).unwrap();
        machine.machine_reset();
        let kernel = Kernel::boot(&machine, release);
        assert_eq!(kernel.run(), []);
        assert_eq!(kernel.devices(BLOCK).len(), 2);
        for desc in kernel.devices(BLOCK) {
            Bound::probe(&kernel, desc).check_read(1);
        }
    });
}
