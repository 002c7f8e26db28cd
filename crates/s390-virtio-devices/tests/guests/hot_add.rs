// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device that comes while the guest runs.

use crate::common::{disk, Machine};
use crate::drivers::{Bound, BLOCK};
use crate::kernel::{Handled, Kernel};
use crate::linux::{each, Parameter};

/// A guest before 2.6.36 would take the descriptor for a queue: it is told nothing unless the
/// host's owner says so, and finds the device when it looks again.
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

#[test]
fn it_is_found_when_announced() {
    each(|release| {
        if release.parameter != Parameter::LowestByte {
            return;
        }
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let first = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let id = machine.add(disk().0);
        machine.bus.announce(id).unwrap();
        assert_eq!(kernel.run(), [Handled::Scan(1)]);
        // Once more, which finds nothing new.
        machine.bus.announce(id).unwrap();
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
        machine.bus.announce(id).unwrap();
        machine.machine_reset();
        let kernel = Kernel::boot(&machine, release);
        assert_eq!(kernel.run(), []);
        assert_eq!(kernel.devices(BLOCK).len(), 2);
        for desc in kernel.devices(BLOCK) {
            Bound::probe(&kernel, desc).check_read(1);
        }
    });
}
