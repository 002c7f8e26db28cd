// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The queue trait for `virtio_queue::Queue`, so that the same devices serve a modern transport.
//!
//! Its rings and indices do the work; its chains do not, because they end silently where they are
//! malformed. They are validated here as everywhere else. It also does not know `NO_INTERRUPT`, which is
//! honoured here.

use core::sync::atomic::Ordering;

use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use super::ring::Areas;
use super::walk::walk;
use super::{DescriptorChain, DeviceQueue, Error};
use crate::geometry::{avail_ring_size, RING_FLAGS_OFFSET};
use crate::{LittleEndian, VIRTQ_AVAIL_F_NO_INTERRUPT};

impl DeviceQueue for Queue {
    fn size(&self) -> u16 {
        QueueT::size(self)
    }

    fn ready(&self) -> bool {
        QueueT::ready(self)
    }

    fn pop_descriptor_chain<M: GuestMemory>(
        &mut self,
        mem: &M,
    ) -> Result<Option<DescriptorChain>, Error> {
        let areas = Areas {
            size: QueueT::size(self),
            desc_table: GuestAddress(self.desc_table()),
            avail_ring: GuestAddress(self.avail_ring()),
            used_ring: GuestAddress(self.used_ring()),
        };
        let head = match self.iter(mem) {
            Ok(mut iter) => iter.next().map(|chain| chain.head_index()),
            Err(error) => return Err(convert(self, mem, &error)),
        };
        let Some(head) = head else {
            return Ok(None);
        };
        // Indirect tables always: the queue does not know whether they were negotiated.
        let chain = areas
            .desc_table::<LittleEndian, M>(mem)
            .and_then(|table| walk(mem, &table, head, true));
        if chain.is_err() {
            QueueOwnedT::go_to_previous_position(self);
        }
        chain.map(Some)
    }

    fn go_to_previous_position(&mut self) {
        QueueOwnedT::go_to_previous_position(self);
    }

    fn add_used<M: GuestMemory>(
        &mut self,
        mem: &M,
        head_index: u16,
        len: u32,
    ) -> Result<(), Error> {
        QueueT::add_used(self, mem, head_index, len).map_err(|error| match error {
            virtio_queue::Error::InvalidDescriptorIndex => Error::InvalidHead {
                head: head_index,
                size: QueueT::size(self),
            },
            error => convert(self, mem, &error),
        })
    }

    fn needs_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, Error> {
        let needed =
            QueueT::needs_notification(self, mem).map_err(|error| convert(self, mem, &error))?;
        if !needed || self.event_idx_enabled() {
            return Ok(needed);
        }
        let addr = self.avail_ring().checked_add(RING_FLAGS_OFFSET as u64);
        let flags = addr.and_then(|addr| {
            mem.load::<u16>(GuestAddress(addr), Ordering::Relaxed)
                .map(u16::from_le)
                .ok()
        });
        match flags {
            Some(flags) => Ok(flags & VIRTQ_AVAIL_F_NO_INTERRUPT == 0),
            None => Err(outside(self)),
        }
    }

    fn enable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, Error> {
        QueueT::enable_notification(self, mem).map_err(|error| convert(self, mem, &error))
    }

    fn disable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<(), Error> {
        QueueT::disable_notification(self, mem).map_err(|error| convert(self, mem, &error))
    }
}

fn convert<M: GuestMemory>(queue: &Queue, mem: &M, error: &virtio_queue::Error) -> Error {
    match error {
        virtio_queue::Error::QueueNotReady => Error::NotReady,
        virtio_queue::Error::InvalidAvailRingIndex => Error::AvailIndexAhead {
            avail_idx: queue
                .avail_idx(mem, Ordering::Relaxed)
                .map_or(0, |idx| idx.0),
            next_avail: queue.next_avail(),
            size: QueueT::size(queue),
        },
        // What remains are failed accesses to the rings.
        _ => outside(queue),
    }
}

fn outside(queue: &Queue) -> Error {
    Error::RingOutsideMemory {
        addr: queue.avail_ring(),
        len: avail_ring_size(QueueT::size(queue)),
    }
}
