// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The whole way of a request, from NOTIFY through the event loop and the device to the
//! interruption.
//!
//! The guest's half costs next to nothing: its chains are in the ring already, and it makes them
//! available once more by moving the index.
#![allow(dead_code)]

use std::cell::Cell;

use s390_vring::Buffer;
use vm_memory::{Bytes, GuestAddress};

use crate::common::{Machine, NOTIFY};

/// Feature of a disk; no other device here offers that bit.
const FLUSH: u32 = 1 << 9;
pub const BATCHES: [u16; 2] = [1, 32];
/// Where a guest has its data.
pub const BUFFERS: u64 = 0x2_0000;

/// A queue whose chains are used over and over.
pub struct Replay<'a> {
    machine: &'a Machine,
    ring: u64,
    avail: u64,
    used: u64,
    batch: u16,
    idx: Cell<u16>,
}

impl<'a> Replay<'a> {
    /// Puts `batch` chains, a divisor of the queue's size, into queue `queue` of the first device.
    pub fn new(
        machine: &'a Machine,
        queue: u64,
        batch: u16,
        buffers: impl Fn(u16) -> Vec<Buffer>,
    ) -> Self {
        let driver = machine.driver(0);
        // A disk whose driver does not flush writes through to the medium.
        driver.begin_probe(FLUSH);
        // A network interface has both, and one that is empty.
        if driver.device_type() == 1 {
            driver.find_vq(1 - queue, 0x9000);
        }
        let mut guest = driver.find_vq(queue, 0x8000);
        let heads: Vec<_> = (0..batch)
            .map(|n| guest.ring.add_chain(&buffers(n)).unwrap())
            .collect();
        driver.finish_probe();
        machine.run_events();
        let ring = driver.ring_address(queue);
        let avail = ring + driver.layout(queue).avail_ring() as u64;
        for slot in 0..driver.ring_size(queue) {
            let head = heads[usize::from(slot % batch)];
            machine.write(avail + 4 + 2 * u64::from(slot), &head.to_be_bytes());
        }
        Replay {
            machine,
            ring,
            avail,
            used: ring + driver.layout(queue).used_ring() as u64,
            batch,
            idx: Cell::new(0),
        }
    }

    /// Makes the batch available.
    pub fn publish(&self) {
        let idx = self.idx.get().wrapping_add(self.batch);
        self.idx.set(idx);
        let addr = GuestAddress(self.avail + 2);
        self.machine.memory.write_obj(idx.to_be(), addr).unwrap();
    }

    /// Makes the batch available and notifies the device.
    pub fn kick(&self) {
        self.publish();
        self.machine.diag(NOTIFY, self.ring);
    }

    /// Sends the batch through the device.
    pub fn run(&self) {
        self.kick();
        self.machine.run_events();
        assert_eq!(self.machine.interrupts().len(), 1);
    }

    /// Sends the batch through a device that others work for.
    pub fn run_to_end(&self) {
        self.kick();
        let idx = GuestAddress(self.used + 2);
        while u16::from_be(self.machine.memory.read_obj(idx).unwrap()) != self.idx.get() {
            self.machine.wait_for_event();
        }
        assert!(!self.machine.interrupts().is_empty());
    }
}

pub fn name(batch: u16) -> String {
    match batch {
        1 => "one at a time".into(),
        _ => format!("{batch} at a time"),
    }
}
