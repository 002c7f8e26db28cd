// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Rings of every size that the page can name.

use s390_vring::Buffer;

use crate::common::echo::Echo;
use crate::common::Machine;
use crate::drivers::Bound;
use crate::kernel::{Handled, Kernel};
use crate::linux::{each, RELEASES};

const SIZES: [u16; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// Sends `count` buffers through a queue, `batch` at a time; the device numbers them.
fn send(bound: &Bound<'_, '_>, index: usize, count: u32, batch: u16, next: &mut u32) {
    let kernel = bound.kernel;
    let buffers: Vec<_> = (0..batch).map(|i| 0x2_0000 + 8 * u64::from(i)).collect();
    let end = *next + count;
    while *next < end {
        for &addr in &buffers {
            bound.add(index, &[Buffer::writable(addr, 4)]);
        }
        bound.queues[index].borrow_mut().kick();
        assert_eq!(
            kernel.run(),
            [Handled::Queue(bound.desc, index as u16)],
            "after {next} of {end}"
        );
        let mut queue = bound.queues[index].borrow_mut();
        for &addr in &buffers {
            assert_eq!(queue.get().map(|(_, len)| len), Some(4));
            let number = kernel.machine.read(addr, 4);
            assert_eq!(number, next.to_be_bytes());
            *next += 1;
        }
        assert!(queue.enable_callbacks());
    }
}

#[test]
fn every_power_of_two_up_to_1024() {
    each(|release| {
        let machine = Machine::new();
        machine.add(Echo::new(&SIZES, 0));
        let kernel = Kernel::boot(&machine, release);
        let desc = machine.driver(0).desc;
        kernel.begin_probe(desc, 0);
        let features = machine.driver(0).accepted_features();
        let queues = (0..11).map(|index| kernel.find_vq(desc, index, features));
        let bound = Bound {
            kernel: &kernel,
            desc,
            features,
            queues: queues.collect(),
        };
        kernel.driver_ok(desc);
        kernel.run();
        let mut next = 0;
        for (index, &size) in SIZES.iter().enumerate() {
            assert_eq!(bound.queues[index].borrow().num, size);
            // One at a time past the end of the ring, and then all at once, twice.
            send(&bound, index, u32::from(size.min(16)) + 1, 1, &mut next);
            send(&bound, index, 2 * u32::from(size), size, &mut next);
        }
        bound.unbind();
    });
}

/// Both indices run over. Once is enough: it takes its time.
#[test]
fn more_buffers_than_an_index_can_count() {
    let machine = Machine::new();
    machine.add(Echo::new(&[1024], 0));
    let kernel = Kernel::boot(&machine, &RELEASES[5]);
    let desc = machine.driver(0).desc;
    let features = kernel.begin_probe(desc, 0);
    let bound = Bound {
        kernel: &kernel,
        desc,
        features,
        queues: vec![kernel.find_vq(desc, 0, features)],
    };
    kernel.driver_ok(desc);
    kernel.run();
    send(&bound, 0, 66 * 1000, 1000, &mut 0);
}
