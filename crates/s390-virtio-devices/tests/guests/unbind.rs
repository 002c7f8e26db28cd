// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A driver lets go of its device, which is bound again without another RESET.

use s390_vring::Buffer;

use crate::common::{disk, Machine};
use crate::drivers::{Bound, BLOCK, RNG};
use crate::kernel::{Kernel, ACKNOWLEDGE, DRIVER, FAILED};
use crate::linux::each;

#[test]
fn bound_again_and_again() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let desc = kernel.devices(BLOCK)[0];
        for round in 0..5 {
            let disk = Bound::probe(&kernel, desc);
            assert_eq!(kernel.status(desc), 7);
            (0..round).for_each(|sector| disk.check_read(sector));
            disk.unbind();
            assert_eq!(kernel.status(desc), ACKNOWLEDGE);
        }
    });
}

/// The driver finds its buffers through the table in the ring, after the RESET.
#[test]
fn buffers_in_flight_come_back() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let desc = disk.desc;
        for sector in 0..5 {
            disk.submit(0, sector, kernel.alloc(512));
        }
        disk.add(0, &[Buffer::writable(kernel.alloc(16), 16)]);
        disk.unbind();
        Bound::probe(&kernel, desc).check_read(7);
    });
}

/// Served, but the interruption has not arrived: it would find a queue that was freed.
#[test]
fn what_was_signalled_is_taken_back() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let desc = disk.desc;
        disk.submit(0, 1, kernel.alloc(512));
        disk.queues[0].borrow_mut().notify();
        machine.run_events();
        disk.unbind();
        assert_eq!(kernel.run(), []);
        Bound::probe(&kernel, desc).check_read(7);
    });
}

#[test]
fn flags_of_the_former_driver_do_not_silence_the_next() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let desc = kernel.devices(BLOCK)[0];
        for _ in 0..3 {
            let disk = Bound::probe(&kernel, desc);
            disk.check_read(1);
            disk.queues[0].borrow_mut().disable_callbacks();
            disk.unbind();
        }
    });
}

/// It frees its queues without a RESET, and a later one finds FAILED still set.
#[test]
fn a_probe_that_failed_is_tried_again() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let desc = kernel.devices(BLOCK)[0];
        for _ in 0..3 {
            let disk = Bound::prepare(&kernel, desc);
            disk.check_read(1);
            // Kicked, served, and not heard of before the failure.
            disk.submit(0, 2, kernel.alloc(512));
            disk.queues[0].borrow_mut().notify();
            machine.run_events();
            kernel.fail_probe(desc);
            assert_eq!(kernel.run(), []);
            assert_eq!(kernel.status(desc), ACKNOWLEDGE | DRIVER | FAILED);
        }
        let disk = Bound::probe(&kernel, desc);
        disk.check_read(2);
        disk.unbind();
        Bound::probe(&kernel, desc).check_read(3);
    });
}

#[test]
fn another_driver_may_take_over() {
    each(|release| {
        let machine = Machine::new();
        machine.add(s390_virtio_devices::rng::Rng::host().unwrap());
        let kernel = Kernel::boot(&machine, release);
        let desc = kernel.devices(RNG)[0];
        for _ in 0..3 {
            let rng = Bound::probe(&kernel, desc);
            // All but the last come back used.
            (0..12).for_each(|_| rng.check_entropy());
            rng.unbind();
        }
    });
}
