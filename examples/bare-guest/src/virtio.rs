// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The transport on this machine: the page behind RAM, rings behind the page, one queue type for
//! all drivers.

use core::fmt;
use core::ptr::{self, NonNull};

use s390_virtio_guest::{Bus, Diagnose, Error, RawRing, Slot, Used, VirtQueue, VolatilePage};

use crate::cpu::Deadline;
use crate::interrupts::{is_storage, wait_for, QUEUES};

const PAGE_SIZE: u64 = 4096;

/// Longest ring that the drivers keep notes for.
const MAX_NUM: usize = 256;

/// Feature: indices say when to notify and interrupt, instead of flags.
pub const F_EVENT_IDX: u32 = 1 << 29;

/// How long a device may take, in seconds.
pub const PATIENCE: u16 = 60;

/// A device of this machine.
pub type Device = s390_virtio_guest::Device<VolatilePage, Diagnose>;
/// A queue of this machine.
pub type Queue = VirtQueue<Diagnose, RawRing, [Slot; MAX_NUM]>;

/// What a driver fails with.
pub enum Failure {
    /// Transport or ring.
    Virtio(Error),
    /// No answer in time.
    Timeout,
    /// Something else, in words.
    Wrong(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Virtio(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Virtio(error) => error.fmt(f),
            Failure::Timeout => f.write_str("no answer in time"),
            Failure::Wrong(what) => f.write_str(what),
        }
    }
}

/// The page at the end of RAM, if there is one.
pub fn probe(ram_size: u64) -> Option<Bus<VolatilePage, Diagnose>> {
    if !is_storage(ram_size) || !is_storage(ram_size + PAGE_SIZE - 4) {
        return None;
    }
    let start = ptr::with_exposed_provenance_mut(ram_size as usize);
    // SAFETY: the page is there and outside the RAM that this program uses; a host that puts
    // one there speaks the hypercalls.
    let (page, host) = unsafe { (VolatilePage::new(start), Diagnose::new()) };
    Some(Bus::new(page, ram_size, host))
}

/// Takes a queue of a device into use.
pub fn find_vq(device: &mut Device, index: u8) -> Result<Queue, Error> {
    // Rings are behind the page that holds the descriptor, and never in RAM.
    let page = device.address() & !(PAGE_SIZE - 1);
    device.find_vq(index, &QUEUES, [Slot::EMPTY; MAX_NUM], |address, len| {
        let end = address.checked_add(len as u64)?;
        if address <= page || !is_storage(address) || !is_storage(end - 1) {
            return None;
        }
        let start = ptr::with_exposed_provenance_mut(address as usize);
        // SAFETY: the memory is there, outside RAM, and this ring's alone.
        Some(unsafe { RawRing::new(NonNull::new(start)?, len) })
    })
}

/// Waits for the next chain that the device has used.
pub fn next_used(queue: &mut Queue, deadline: Deadline) -> Result<Used, Failure> {
    let token = queue.token();
    let mut look = true;
    wait_for(deadline, || {
        // After the first look, only an interruption with this queue's token is a reason.
        if !QUEUES.take_queue(token) && !core::mem::take(&mut look) {
            return None;
        }
        match queue.pop_used() {
            Ok(None) if !queue.enable_interrupts() => None,
            Ok(None) => queue.pop_used().transpose(),
            result => result.transpose(),
        }
    })
    .ok_or(Failure::Timeout)?
    .map_err(Failure::from)
}

/// Gives up a device that all is well with.
pub fn finish<const N: usize>(device: &mut Device, queues: [Queue; N]) -> Result<(), Error> {
    device.reset()?;
    for queue in queues {
        device.del_vq(queue, &QUEUES);
    }
    Ok(())
}
