// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! RESET, what it leaves, and what it heals.

use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_vring::Buffer;

use crate::common::{disk, Machine, EINVAL, NOTIFY, SET_STATUS};
use crate::drivers::{Bound, BLOCK, NET};
use crate::kernel::{Handled, Kernel, Queue, DRIVER, FAILED};
use crate::linux::each;

/// Status and accepted features are 0 when the hypercall returns, and the ring counts from 0.
#[test]
fn reset_has_done_its_work_when_it_returns() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        disk.check_read(1);
        let page = machine.driver(0);
        assert_eq!(page.accepted_features(), disk.features);
        disk.submit(0, 2, kernel.alloc(512));
        disk.queues[0].borrow_mut().disable_callbacks();
        disk.queues[0].borrow_mut().notify();
        kernel.reset(disk.desc);
        assert_eq!((page.status(), page.accepted_features()), (0, 0));
        let queue = disk.queues[0].borrow();
        assert_eq!(machine.read(queue.avail(), 4), [0; 4]);
        assert_eq!(machine.read(queue.used(), 4), [0; 4]);
        let before = machine.read(queue.base, 0x2000);
        assert_eq!(kernel.run(), []);
        assert_eq!(machine.read(queue.base, 0x2000), before);
    });
}

#[test]
fn the_other_devices_go_on() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let [first, second] = kernel.devices(BLOCK)[..] else {
            panic!("two disks were added");
        };
        let first = Bound::probe(&kernel, first);
        let second = Bound::probe(&kernel, second);
        for disk in [&first, &second] {
            disk.submit(0, 2, kernel.alloc(512));
            disk.queues[0].borrow_mut().kick();
        }
        machine.run_events();
        let (gone, stays) = (first.desc, second.desc);
        first.unbind();
        assert_eq!(kernel.handle_interrupts(), [Handled::Queue(stays, 0)]);
        assert!(second.queues[0].borrow_mut().get().is_some());
        assert!(second.queues[0].borrow_mut().enable_callbacks());
        second.check_read(4);
        Bound::probe(&kernel, gone).check_read(5);
        second.check_read(6);
    });
}

#[test]
fn a_driver_that_failed_is_left_alone() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        kernel.add_status(disk.desc, FAILED);
        disk.submit(0, 1, kernel.alloc(512));
        disk.queues[0].borrow_mut().notify();
        // Saying so twice is no new beginning.
        machine.diag(SET_STATUS, disk.desc);
        assert_eq!(kernel.run(), []);
        assert!(disk.queues[0].borrow_mut().get().is_none());
        assert!(!disk.queues[0].borrow().broken);
        let desc = disk.desc;
        disk.unbind();
        Bound::probe(&kernel, desc).check_read(1);
    });
}

/// The guest's mistake is its own: the device stops, and works again after a RESET.
#[test]
fn a_device_that_needs_a_reset_is_healed_by_unbind_and_bind() {
    each(|release| {
        let machine = Machine::new();
        let ids = [machine.add(disk().0), machine.add(disk().0)];
        let kernel = Kernel::boot(&machine, release);
        let [first, second] = kernel.devices(BLOCK)[..] else {
            panic!("two disks were added");
        };
        let first = Bound::probe(&kernel, first);
        let second = Bound::probe(&kernel, second);
        // A buffer that is nowhere.
        first.add(0, &[Buffer::writable(u64::MAX - 511, 512)]);
        first.queues[0].borrow_mut().notify();
        assert_eq!(kernel.run(), []);
        assert!(machine.bus.needs_reset(ids[0]).unwrap());
        assert!(!machine.bus.needs_reset(ids[1]).unwrap());
        assert_eq!(kernel.status(first.desc) & 0x40, 0x40);
        first.queues[0].borrow_mut().notify();
        assert_eq!(first.queues[0].borrow().broken, release.hears_notify);
        second.check_read(2);
        let desc = first.desc;
        first.unbind();
        assert!(!machine.bus.needs_reset(ids[0]).unwrap());
        Bound::probe(&kernel, desc).check_read(3);
        second.check_read(4);
        assert_eq!(kernel.status(desc) & (DRIVER | 0x40), DRIVER);
    });
}

/// What one queue broke the others hear of, too: nobody would answer them. From 3.13 on their
/// drivers give up then.
#[test]
fn every_queue_of_a_device_that_needs_a_reset_is_refused() {
    each(|release| {
        let machine = Machine::new();
        let (link, _peer) = DatagramLink::pair().unwrap();
        let net = Net::new(Box::new(link), MacAddress::local(1)).unwrap();
        let id = machine.add(net);
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let net = Bound::probe(&kernel, kernel.devices(NET)[0]);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let answers = || {
            let notify = |queue: &Queue<'_>| {
                queue.borrow_mut().notify();
                queue.borrow().broken
            };
            net.queues.iter().map(notify).collect::<Vec<_>>()
        };
        assert!(answers().iter().all(|&broken| !broken));
        net.add(1, &[Buffer::readable(u64::MAX - 511, 512)]);
        net.queues[1].borrow_mut().notify();
        machine.run_events();
        assert!(machine.bus.needs_reset(id).unwrap());
        for queue in 0..net.queues.len() as u16 {
            let (ring, _) = kernel.ring(net.desc, queue);
            assert_eq!(machine.diag(NOTIFY, ring), EINVAL, "queue {queue}");
        }
        let broken = |broken: &bool| *broken == release.hears_notify;
        assert!(answers().iter().all(broken));
        disk.check_read(2);
        let desc = net.desc;
        net.unbind();
        let net = Bound::probe(&kernel, desc);
        assert!(net.queues.iter().all(|queue| !queue.borrow().broken));
    });
}
