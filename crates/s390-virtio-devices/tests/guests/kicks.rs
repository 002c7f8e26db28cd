// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Notifications, early, late and in vain.

use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_vring::Buffer;

use crate::common::{disk, Machine, NOTIFY};
use crate::drivers::{Bound, BLOCK, NET};
use crate::kernel::{Handled, Kernel, ACKNOWLEDGE};
use crate::linux::each;

#[test]
fn a_kick_before_driver_ok_is_served() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::prepare(&kernel, kernel.devices(BLOCK)[0]);
        disk.check_read(3);
        disk.check_read(4);
        kernel.driver_ok(disk.desc);
        assert_eq!(kernel.run(), []);
        disk.check_read(5);
    });
}

#[test]
fn buffers_that_wait_for_driver_ok_are_served_without_a_kick() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::prepare(&kernel, kernel.devices(BLOCK)[0]);
        disk.submit(0, 1, kernel.alloc(512));
        assert_eq!(kernel.run(), []);
        kernel.driver_ok(disk.desc);
        assert_eq!(kernel.run(), [Handled::Queue(disk.desc, 0)]);
        assert!(disk.queues[0].borrow_mut().get().is_some());
    });
}

/// From 3.13 on a negative answer breaks the queue for good.
#[test]
fn a_good_ring_is_never_answered_with_an_error() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let desc = kernel.devices(BLOCK)[0];
        let (ring, _) = kernel.ring(desc, 0);
        let kick = || {
            assert_eq!(machine.diag(NOTIFY, ring), 0);
            assert_eq!(kernel.run(), []);
        };
        kick();
        let disk = Bound::prepare(&kernel, desc);
        kick();
        kernel.driver_ok(desc);
        kick();
        disk.unbind();
        kick();
        Bound::prepare(&kernel, desc);
        kernel.fail_probe(desc);
        kick();
    });
}

#[test]
fn a_kick_that_comes_after_the_unbind_is_harmless() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        let (desc, ring) = (disk.desc, disk.queues[0].borrow().base);
        disk.submit(0, 1, kernel.alloc(512));
        disk.queues[0].borrow_mut().notify();
        disk.unbind();
        let rings = machine.read(ring, 0x2000);
        assert_eq!(machine.diag(NOTIFY, ring), 0);
        assert_eq!(kernel.run(), []);
        assert_eq!(machine.read(ring, 0x2000), rings);
        assert_eq!(kernel.status(desc), ACKNOWLEDGE);
    });
}

#[test]
fn many_requests_under_one_kick() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        for round in 0..40 {
            let statuses: Vec<_> = (0..8)
                .map(|sector| disk.submit(0, sector, kernel.alloc(512)))
                .collect();
            disk.queues[0].borrow_mut().kick();
            assert_eq!(kernel.run(), [Handled::Queue(disk.desc, 0)], "{round}");
            let mut queue = disk.queues[0].borrow_mut();
            queue.disable_callbacks();
            assert!((0..8).all(|_| queue.get().is_some_and(|(_, len)| len == 513)));
            assert!(queue.get().is_none());
            assert!(queue.enable_callbacks());
            assert!(statuses.iter().all(|&status| kernel.byte(status) == 0));
        }
    });
}

/// Up to 2.6.30 a driver writes down what it accepts behind the probe, in which it kicks.
#[test]
fn features_accepted_behind_the_first_kick_count() {
    const MRG_RXBUF: u32 = 1 << 15;
    each(|release| {
        let machine = Machine::new();
        let (link, peer) = DatagramLink::pair().unwrap();
        machine.add(Net::new(Box::new(link), MacAddress::local(1)).unwrap());
        let kernel = Kernel::boot(&machine, release);
        let mut buffers = Vec::new();
        let net = Bound::probe_with(&kernel, kernel.devices(NET)[0], |net| {
            for _ in 0..3 {
                buffers.push(kernel.alloc(1600));
                net.add(0, &[Buffer::writable(buffers[buffers.len() - 1], 1600)]);
            }
            net.queues[0].borrow_mut().kick();
            kernel.run();
        });
        let header: &[u8] = match net.features & MRG_RXBUF {
            0 => &[0; 10],
            _ => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        };
        // Into the buffers in their order, which the device may have taken already.
        for (n, &buffer) in (7..).zip(&buffers) {
            machine.write(buffer, &[0xee; 100]);
            peer.send(&[n; 60]).unwrap();
            assert_eq!(kernel.run(), [Handled::Queue(net.desc, 0)]);
            let (_, len) = net.queues[0].borrow_mut().get().expect("nothing used");
            assert_eq!(len as usize, header.len() + 60);
            let frame = machine.read(buffer, len as usize);
            assert_eq!(frame, [header, &[n; 60]].concat());
            assert!(net.queues[0].borrow_mut().enable_callbacks());
        }
        assert_eq!(kernel.run(), []);
    });
}
