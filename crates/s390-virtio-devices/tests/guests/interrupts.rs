// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interruptions: when, under which token, and how often.

use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_vring::Buffer;

use crate::common::{disk, vring, Machine};
use crate::drivers::{Bound, BLOCK, NET};
use crate::kernel::{Handled, Kernel};
use crate::linux::each;

#[test]
fn one_for_each_queue_under_its_own_token() {
    each(|release| {
        let machine = Machine::new();
        let (link, peer) = DatagramLink::pair().unwrap();
        machine.add(Net::new(Box::new(link), MacAddress::local(1)).unwrap());
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let net = Bound::probe(&kernel, kernel.devices(NET)[0]);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        peer.send(&[7; 60]).unwrap();
        assert_eq!(kernel.run(), [Handled::Queue(net.desc, 0)]);
        let frame = kernel.alloc(100);
        machine.write(frame, &[0; 100]);
        net.add(1, &[Buffer::readable(frame, 100)]);
        net.queues[1].borrow_mut().kick();
        let handled = kernel.run();
        assert!(handled.contains(&Handled::Queue(net.desc, 1)));
        disk.check_read(2);
    });
}

#[test]
fn none_against_the_drivers_will() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        disk.check_read(0);
        disk.queues[0].borrow_mut().disable_callbacks();
        // With the event index the first used buffer still interrupts: it is the one that was
        // asked for.
        disk.submit(0, 1, kernel.alloc(512));
        disk.queues[0].borrow_mut().kick();
        kernel.run();
        for sector in 2..6 {
            disk.submit(0, sector, kernel.alloc(512));
            disk.queues[0].borrow_mut().kick();
            assert_eq!(kernel.run(), []);
        }
        let mut queue = disk.queues[0].borrow_mut();
        // What was used meanwhile shows when they are wanted again.
        assert!(!queue.enable_callbacks());
        assert!((0..5).all(|_| queue.get().is_some()));
        drop(queue);
        assert!(disk.queues[0].borrow_mut().enable_callbacks());
        disk.check_read(6);
    });
}

#[test]
fn none_that_finds_nothing() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        for sector in 0..8 {
            disk.check_read(sector);
            disk.queues[0].borrow_mut().notify();
            assert_eq!(kernel.run(), []);
        }
    });
}

/// What is interrupted under is read when the interruption is sent: the guest may have taken the
/// queue away, or named it anew.
#[test]
fn the_token_is_that_of_the_moment() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let page = machine.driver(0);
        let token = page.token(0);
        // Nobody would know 0, and the lowest bit is no part of the address.
        for (written, sent) in [
            (token | 1, Some(token)),
            (0, None),
            (1, None),
            (!1, Some(!1)),
            (u64::MAX, Some(!1)),
            (token, Some(token)),
        ] {
            page.set_token(0, 0x1234_5670);
            disk.submit(0, 3, kernel.alloc(512));
            disk.queues[0].borrow_mut().notify();
            page.set_token(0, written);
            machine.run_events();
            let sent: Vec<_> = sent.into_iter().map(vring).collect();
            assert_eq!(machine.interrupts(), sent, "{written:#x}");
            // The request was served in any case.
            assert!(disk.queues[0].borrow_mut().get().is_some());
            assert!(disk.queues[0].borrow_mut().enable_callbacks());
        }
        disk.check_read(4);
    });
}
