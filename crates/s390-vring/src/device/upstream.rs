// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The queue trait for `virtio_queue::Queue`, so that the same devices serve a modern transport.
//!
//! Its rings and indices do the work; its chains do not, because they end silently where they are
//! malformed. They are validated here as everywhere else. It also does not know `NO_INTERRUPT`, which is
//! honoured here.

use core::sync::atomic::Ordering;

use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use super::ring::{Anywhere, Areas};
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
        let areas = areas(self);
        let head = match self.iter(mem) {
            Ok(mut iter) => iter.next().map(|chain| chain.head_index()),
            Err(error) => return Err(convert(self, mem, &error)),
        };
        let Some(head) = head else {
            return Ok(None);
        };
        // Indirect tables always: the queue does not know whether they were negotiated.
        let mut chain = DescriptorChain::new(head);
        let walked = areas
            .desc_table::<LittleEndian, _>(&Anywhere(mem))
            .and_then(|table| walk(mem, &table, &mut chain, true));
        if walked.is_err() {
            QueueOwnedT::go_to_previous_position(self);
        }
        walked.map(|()| Some(chain))
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

    fn add_used_batch<M: GuestMemory>(
        &mut self,
        mem: &M,
        chains: &[(u16, u32)],
    ) -> Result<(), Error> {
        let Some((&(last_head, last_len), others)) = chains.split_last() else {
            return Ok(());
        };
        let size = QueueT::size(self);
        if let Some(&(head, _)) = chains.iter().find(|(head, _)| *head >= size) {
            return Err(Error::InvalidHead { head, size });
        }
        let areas = areas(self);
        let used = areas.used_ring::<LittleEndian, _>(&Anywhere(mem))?;
        let mut next_used = self.next_used();
        for &(head, len) in others {
            used.set_element(next_used, u32::from(head), len)?;
            next_used = next_used.wrapping_add(1);
        }
        // The queue moves the index by one, and it counts what it adds only here: so the last one is
        // added as often as there are chains, always at the same place.
        for _ in chains {
            self.set_next_used(next_used);
            DeviceQueue::add_used(self, mem, last_head, last_len)?;
        }
        Ok(())
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

fn areas(queue: &Queue) -> Areas {
    Areas {
        size: QueueT::size(queue),
        desc_table: GuestAddress(queue.desc_table()),
        avail_ring: GuestAddress(queue.avail_ring()),
        used_ring: GuestAddress(queue.used_ring()),
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

#[cfg(test)]
mod tests {
    use vm_memory::GuestMemoryMmap;

    use super::*;
    use crate::mock::MockDriver;
    use crate::{Buffer, Descriptor, RingFeatures, VIRTQ_DESC_F_NEXT};

    type Mock<'a> = MockDriver<'a, LittleEndian, GuestMemoryMmap>;

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap()
    }

    fn setup(mem: &GuestMemoryMmap) -> (Mock<'_>, Queue) {
        let mock = Mock::new(mem, GuestAddress(0x2000), 8, RingFeatures::default());
        let state = mock.device_queue().state();
        let mut queue: Queue = QueueT::new(8).unwrap();
        queue.set_desc_table_address(Some(state.desc_table as u32), None);
        queue.set_avail_ring_address(Some(state.avail_ring as u32), None);
        queue.set_used_ring_address(Some(state.used_ring as u32), None);
        queue.set_ready(true);
        (mock, queue)
    }

    /// Nothing but the trait, as a device sees it.
    fn drain<Q: DeviceQueue>(queue: &mut Q, mem: &GuestMemoryMmap) -> Result<bool, Error> {
        queue.disable_notification(mem)?;
        while let Some(chain) = queue.pop_descriptor_chain(mem)? {
            queue.add_used(mem, chain.head_index(), chain.writable_bytes())?;
        }
        queue.enable_notification(mem)?;
        queue.needs_notification(mem)
    }

    #[test]
    fn test_same_device_code() {
        let mem = memory();
        let (mut mock, mut queue) = setup(&mem);
        assert_eq!(
            (DeviceQueue::size(&queue), DeviceQueue::ready(&queue)),
            (8, true)
        );
        let head = mock.add_chain(&[Buffer::readable(0x8000, 1), Buffer::writable(0x9000, 2)]);
        assert_eq!(drain(&mut queue, &mem), Ok(true));
        assert_eq!(mock.used_element(0), (u32::from(head), 2));
        assert_eq!(mock.driver().pop_used().unwrap().unwrap().len, 2);
    }

    #[test]
    fn test_a_batch_becomes_visible_at_once() {
        let mem = memory();
        let (mut mock, mut queue) = setup(&mem);
        let heads = [0; 3].map(|_| mock.add_chain(&[Buffer::writable(0x8000, 4)]));
        for _ in heads {
            DeviceQueue::pop_descriptor_chain(&mut queue, &mem).unwrap();
        }
        let batch = heads.map(|head| (head, u32::from(head) + 1));
        let error = Err(Error::InvalidHead { head: 8, size: 8 });
        for wrong in [[batch[0], (8, 0)], [(8, 0), batch[0]]] {
            assert_eq!(queue.add_used_batch(&mem, &wrong), error);
            assert_eq!(mock.used_idx(), 0);
        }
        queue.add_used_batch(&mem, &batch).unwrap();
        assert_eq!(mock.used_idx(), 3);
        for (head, len) in batch {
            let used = mock.driver().pop_used().unwrap().unwrap();
            assert_eq!((used.head, used.len), (head, len));
        }
        queue.add_used_batch(&mem, &[]).unwrap();
        assert_eq!(mock.used_idx(), 3);
    }

    #[test]
    fn test_no_interrupt() {
        let mem = memory();
        let (mut mock, mut queue) = setup(&mem);
        mock.driver().disable_interrupts();
        mock.add_chain(&[Buffer::readable(0x8000, 1)]);
        assert_eq!(drain(&mut queue, &mem), Ok(false));
    }

    #[test]
    fn test_malformed_chain_is_an_error() {
        let mem = memory();
        let (mock, mut queue) = setup(&mem);
        mock.set_descriptor(
            0,
            Descriptor {
                addr: 0x8000,
                len: 1,
                flags: VIRTQ_DESC_F_NEXT,
                next: 0,
            },
        );
        mock.push_head(0);
        let error = Error::ChainTooLong { head: 0, max: 8 };
        for _ in 0..2 {
            let chain = DeviceQueue::pop_descriptor_chain(&mut queue, &mem);
            assert_eq!(chain, Err(error));
        }
    }

    #[test]
    fn test_errors() {
        let mem = memory();
        let (mock, mut queue) = setup(&mem);
        let invalid = Error::InvalidHead { head: 8, size: 8 };
        assert_eq!(DeviceQueue::add_used(&mut queue, &mem, 8, 0), Err(invalid));
        mock.set_avail_idx(9);
        let ahead = Error::AvailIndexAhead {
            avail_idx: 9,
            next_avail: 0,
            size: 8,
        };
        assert_eq!(drain(&mut queue, &mem), Err(ahead));
        queue.set_avail_ring_address(Some(0x10000), None);
        let outside = |result| matches!(result, Err(Error::RingOutsideMemory { .. }));
        assert!(outside(drain(&mut queue, &mem)));
        assert!(outside(DeviceQueue::needs_notification(&mut queue, &mem)));
        queue.set_ready(false);
        assert_eq!(
            DeviceQueue::pop_descriptor_chain(&mut queue, &mem),
            Err(Error::NotReady)
        );
    }

    #[test]
    fn test_go_back() {
        let mem = memory();
        let (mut mock, mut queue) = setup(&mem);
        mock.add_chain(&[Buffer::readable(0x8000, 1)]);
        let chain = DeviceQueue::pop_descriptor_chain(&mut queue, &mem).unwrap();
        DeviceQueue::go_to_previous_position(&mut queue);
        let again = DeviceQueue::pop_descriptor_chain(&mut queue, &mem).unwrap();
        assert_eq!(chain, again);
    }
}
