// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The split queue's driver side: free descriptors, chains in flight, both indices.
//!
//! All bookkeeping is in private memory. What the device writes is only ever the used ring, and every
//! element of it is checked before it is believed.

use core::marker::PhantomData;
use core::sync::atomic::{fence, Ordering};

use super::buffer::check;
use super::{Buffer, DriverError, RingMemory};
use crate::geometry::{
    AVAIL_ELEMENT_SIZE, RING_ELEMENTS_OFFSET, RING_FLAGS_OFFSET, RING_IDX_OFFSET, USED_ELEMENT_SIZE,
};
use crate::{
    need_event, ByteOrder, Descriptor, Layout, RingFeatures, VIRTQ_AVAIL_F_NO_INTERRUPT,
    VIRTQ_DESC_F_INDIRECT, VIRTQ_USED_F_NO_NOTIFY,
};

/// What the driver remembers about one descriptor. A queue needs one for each entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The next descriptor of the chain, or of the free list.
    next: u16,
    /// Descriptors of the chain in flight that starts here; 0 if none does.
    count: u16,
    /// Bytes of the chain that the device may write.
    writable: u32,
}

impl Slot {
    /// A slot of a queue that has not been set up.
    pub const EMPTY: Slot = Slot {
        next: 0,
        count: 0,
        writable: 0,
    };
}

/// A chain that the device has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// What [`DriverQueue::add_chain`] returned for the chain.
    pub head: u16,
    /// Bytes the device has written, never more than the chain's writable bytes.
    ///
    /// Legacy devices often count wrongly, so a larger number is taken for that maximum.
    pub len: u32,
}

/// The driver side of a split virtqueue in ring memory `R`, byte order `E`.
///
/// `S` holds one [`Slot`] per entry of the queue: an array, a slice, a vector.
#[derive(Debug)]
pub struct DriverQueue<E, R, S> {
    ring: R,
    slots: S,
    layout: Layout,
    features: RingFeatures,
    free_head: u16,
    num_free: u16,
    /// Where the next chain goes in the available ring.
    next_avail: u16,
    /// The available index that the device sees.
    published: u16,
    last_used: u16,
    _order: PhantomData<E>,
}

impl<E, R, S> DriverQueue<E, R, S>
where
    E: ByteOrder,
    R: RingMemory,
    S: AsRef<[Slot]> + AsMut<[Slot]>,
{
    /// Sets a queue up in `ring`, all descriptors free. Interrupts are enabled.
    ///
    /// Only the driver's part of the ring is written: the device (or, in a legacy transport, the host)
    /// sees to it that the used ring is zero.
    ///
    /// # Errors
    ///
    /// [`DriverError::TooSmall`].
    pub fn new(
        ring: R,
        layout: Layout,
        features: RingFeatures,
        mut slots: S,
    ) -> Result<Self, DriverError> {
        let size = layout.size();
        let entries = slots
            .as_mut()
            .get_mut(..usize::from(size))
            .ok_or(DriverError::TooSmall)?;
        if ring.len() < layout.bytes() {
            return Err(DriverError::TooSmall);
        }
        for (next, slot) in (1..).zip(entries) {
            *slot = Slot {
                next,
                ..Slot::EMPTY
            };
        }
        let mut queue = DriverQueue {
            ring,
            slots,
            layout,
            features,
            free_head: 0,
            num_free: size,
            next_avail: 0,
            published: 0,
            last_used: 0,
            _order: PhantomData,
        };
        queue.store(queue.layout.avail_ring() + RING_IDX_OFFSET, 0);
        queue.store(queue.layout.avail_ring() + RING_FLAGS_OFFSET, 0);
        queue.store(queue.layout.used_event(), 0);
        Ok(queue)
    }

    /// Entries of the queue.
    pub fn size(&self) -> u16 {
        self.layout.size()
    }

    /// Descriptors that are free now.
    pub fn num_free(&self) -> u16 {
        self.num_free
    }

    /// The ring memory.
    pub fn ring(&self) -> &R {
        &self.ring
    }

    /// Adds a chain, which the device sees after [`publish`](DriverQueue::publish); returns its head.
    ///
    /// The buffers belong to the device until [`pop_used`](DriverQueue::pop_used) returns the head.
    ///
    /// # Errors
    ///
    /// [`DriverError::QueueFull`], or the rule that the chain breaks.
    pub fn add_chain(&mut self, buffers: &[Buffer]) -> Result<u16, DriverError> {
        let writable = check(buffers)?;
        if buffers.len() > usize::from(self.size()) {
            return Err(DriverError::ChainTooLong);
        }
        if buffers.len() > usize::from(self.num_free) {
            return Err(DriverError::QueueFull);
        }
        let head = self.free_head;
        let mut index = head;
        for (i, buffer) in buffers.iter().enumerate() {
            let next = self.slots.as_ref()[usize::from(index)].next;
            let link = (i + 1 < buffers.len()).then_some(next);
            self.write_descriptor(index, buffer.descriptor(link));
            index = next;
        }
        self.take(head, buffers.len() as u16, index, writable);
        Ok(head)
    }

    /// Adds a chain of one descriptor that refers to a table at guest-physical address `table`, written
    /// before by [`write_indirect_table`](crate::write_indirect_table) for the same `buffers`.
    ///
    /// The table, too, belongs to the device until the head comes back.
    ///
    /// # Errors
    ///
    /// [`DriverError::IndirectNotNegotiated`], [`DriverError::QueueFull`], or the rule the chain breaks.
    pub fn add_indirect_chain(
        &mut self,
        table: u64,
        buffers: &[Buffer],
    ) -> Result<u16, DriverError> {
        if !self.features.indirect_desc {
            return Err(DriverError::IndirectNotNegotiated);
        }
        let writable = check(buffers)?;
        if buffers.len() > usize::from(self.size()) {
            return Err(DriverError::ChainTooLong);
        }
        if self.num_free == 0 {
            return Err(DriverError::QueueFull);
        }
        let head = self.free_head;
        let next = self.slots.as_ref()[usize::from(head)].next;
        let desc = Descriptor {
            addr: table,
            len: (buffers.len() * Descriptor::SIZE) as u32,
            flags: VIRTQ_DESC_F_INDIRECT,
            next: 0,
        };
        self.write_descriptor(head, desc);
        self.take(head, 1, next, writable);
        Ok(head)
    }

    /// Makes all added chains visible to the device; returns whether it must be notified.
    pub fn publish(&mut self) -> bool {
        let old = self.published;
        if self.next_avail == old {
            return false;
        }
        self.published = self.next_avail;
        // The device must see descriptors, heads and buffers once it sees the index.
        self.ring.store_u16(
            self.layout.avail_ring() + RING_IDX_OFFSET,
            E::u16(self.published),
            Ordering::Release,
        );
        // The index must be visible before the device's wish is read (virtio 1.2, 2.7.13.3.1).
        fence(Ordering::SeqCst);
        if self.features.event_idx {
            need_event(self.load(self.layout.avail_event()), self.published, old)
        } else {
            let flags = self.load(self.layout.used_ring() + RING_FLAGS_OFFSET);
            flags & VIRTQ_USED_F_NO_NOTIFY == 0
        }
    }

    /// Takes the next chain that the device returned; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`DriverError::UsedIndexAhead`] or [`DriverError::UnknownHead`] if the device breaks the rules.
    /// Nothing changes then, so the error stays.
    pub fn pop_used(&mut self) -> Result<Option<Used>, DriverError> {
        let used_idx = self.used_idx(Ordering::Acquire);
        if used_idx == self.last_used {
            return Ok(None);
        }
        let in_flight = self.published.wrapping_sub(self.last_used);
        if used_idx.wrapping_sub(self.last_used) > in_flight {
            return Err(DriverError::UsedIndexAhead { used_idx });
        }
        let slot = usize::from(self.last_used & (self.size() - 1));
        let offset = self.layout.used_ring() + RING_ELEMENTS_OFFSET + USED_ELEMENT_SIZE * slot;
        let id = E::u32(self.ring.load_u32(offset));
        let len = E::u32(self.ring.load_u32(offset + 4));
        let head = u16::try_from(id)
            .ok()
            .filter(|&head| head < self.size() && self.slots.as_ref()[usize::from(head)].count > 0)
            .ok_or(DriverError::UnknownHead { id })?;
        self.last_used = self.last_used.wrapping_add(1);
        let writable = self.release(head);
        Ok(Some(Used {
            head,
            len: len.min(writable),
        }))
    }

    /// Asks the device not to interrupt; it still may.
    pub fn disable_interrupts(&mut self) {
        // With EVENT_IDX interrupts stop by themselves after the one that was asked for.
        if !self.features.event_idx {
            self.store(
                self.layout.avail_ring() + RING_FLAGS_OFFSET,
                VIRTQ_AVAIL_F_NO_INTERRUPT,
            );
        }
    }

    /// Asks the device to interrupt for the next chain it returns; returns whether there are some already,
    /// for which it may not.
    pub fn enable_interrupts(&mut self) -> bool {
        if self.features.event_idx {
            self.store(self.layout.used_event(), self.last_used);
        } else {
            self.store(self.layout.avail_ring() + RING_FLAGS_OFFSET, 0);
        }
        // The wish must be visible before the index is read again.
        fence(Ordering::SeqCst);
        self.used_idx(Ordering::Relaxed) != self.last_used
    }

    /// Takes back a chain that the device never returned; `None` if there is none.
    ///
    /// Only after a reset of the device; the queue cannot be used any more then.
    pub fn detach_unused(&mut self) -> Option<u16> {
        let size = usize::from(self.size());
        let in_flight = |slot: &Slot| slot.count > 0;
        let head = self.slots.as_ref()[..size].iter().position(in_flight)? as u16;
        self.release(head);
        Some(head)
    }

    /// Takes the `count` descriptors from `head` on off the free list, which goes on at `rest`, and puts
    /// the chain into the available ring.
    fn take(&mut self, head: u16, count: u16, rest: u16, writable: u32) {
        self.free_head = rest;
        self.num_free -= count;
        let slot = &mut self.slots.as_mut()[usize::from(head)];
        slot.count = count;
        slot.writable = writable;
        let slot = usize::from(self.next_avail & (self.size() - 1));
        let offset = RING_ELEMENTS_OFFSET + AVAIL_ELEMENT_SIZE * slot;
        self.store(self.layout.avail_ring() + offset, head);
        self.next_avail = self.next_avail.wrapping_add(1);
    }

    /// Puts the descriptors of the chain at `head` back on the free list; returns its writable bytes.
    fn release(&mut self, head: u16) -> u32 {
        let slots = self.slots.as_mut();
        let Slot {
            count, writable, ..
        } = slots[usize::from(head)];
        slots[usize::from(head)].count = 0;
        let mut last = head;
        for _ in 1..count {
            last = slots[usize::from(last)].next;
        }
        slots[usize::from(last)].next = self.free_head;
        self.free_head = head;
        self.num_free += count;
        writable
    }

    fn write_descriptor(&mut self, index: u16, desc: Descriptor) {
        let base = self.layout.desc_table() + Descriptor::SIZE * usize::from(index);
        let bytes = desc.to_bytes::<E>();
        for (i, word) in bytes.chunks_exact(4).enumerate() {
            let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            self.ring.store_u32(base + 4 * i, word);
        }
    }

    fn used_idx(&self, order: Ordering) -> u16 {
        let offset = self.layout.used_ring() + RING_IDX_OFFSET;
        E::u16(self.ring.load_u16(offset, order))
    }

    fn load(&self, offset: usize) -> u16 {
        E::u16(self.ring.load_u16(offset, Ordering::Relaxed))
    }

    fn store(&mut self, offset: usize, value: u16) {
        self.ring
            .store_u16(offset, E::u16(value), Ordering::Relaxed);
    }
}

#[cfg(all(test, feature = "vm-memory"))]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

    use super::*;
    use crate::mock::{GuestRing, MockDriver};
    use crate::{BigEndian, LittleEndian};

    const SIZE: u16 = 4;
    const READ: Buffer = Buffer::readable(0x8000, 16);
    const WRITE: Buffer = Buffer::writable(0x9000, 8);

    type Mock<'a, E> = MockDriver<'a, E, GuestMemoryMmap>;

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap()
    }

    fn mock<E: ByteOrder>(mem: &GuestMemoryMmap, bits: u64) -> Mock<'_, E> {
        MockDriver::new(mem, GuestAddress(0), SIZE, RingFeatures::from_bits(bits))
    }

    /// What a device that breaks the rules writes: used elements and index.
    fn forge(mock: &Mock<'_, BigEndian>, mem: &GuestMemoryMmap, ids: &[u32], used_idx: u16) {
        let used = mock.layout().used_ring() as u64;
        for (slot, id) in ids.iter().enumerate() {
            let at = GuestAddress(used + 4 + 8 * slot as u64);
            mem.write_slice(&id.to_be_bytes(), at).unwrap();
        }
        mem.write_slice(&used_idx.to_be_bytes(), GuestAddress(used + 2))
            .unwrap();
    }

    #[test]
    fn test_too_small() {
        let mem = memory();
        let layout = Layout::legacy(SIZE).unwrap();
        let new = |len, slots| {
            let ring = GuestRing::new(&mem, GuestAddress(0), len);
            let slots: Vec<Slot> = vec![Slot::EMPTY; slots];
            DriverQueue::<BigEndian, _, _>::new(ring, layout, RingFeatures::default(), slots).err()
        };
        assert_eq!(new(layout.bytes() - 1, 4), Some(DriverError::TooSmall));
        assert_eq!(new(layout.bytes(), 3), Some(DriverError::TooSmall));
        assert_eq!(new(layout.bytes(), 4), None);
    }

    #[test]
    fn test_new_leaves_the_used_ring_alone() {
        let mem = memory();
        let layout = Layout::legacy(SIZE).unwrap();
        mem.write_slice(&[0xff; 0x2000], GuestAddress(0)).unwrap();
        let ring = GuestRing::new(&mem, GuestAddress(0), layout.bytes());
        let slots = [Slot::EMPTY; SIZE as usize];
        DriverQueue::<BigEndian, _, _>::new(ring, layout, RingFeatures::default(), slots).unwrap();
        for (offset, expected) in [
            (layout.avail_ring(), 0),
            (layout.avail_ring() + 2, 0),
            (layout.used_event(), 0),
            (layout.used_ring(), 0xffff),
            (layout.used_ring() + 2, 0xffff),
            (layout.avail_event(), 0xffff),
        ] {
            let value: u16 = mem.read_obj(GuestAddress(offset as u64)).unwrap();
            assert_eq!(value, expected, "{offset}");
        }
    }

    #[test]
    fn test_bytes_in_the_ring() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        mock.add_chain(&[READ, WRITE]);
        let mut bytes = [0; 32];
        mem.read_slice(&mut bytes, GuestAddress(0)).unwrap();
        let first = [0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 16, 0, 1, 0, 1];
        let second = [0, 0, 0, 0, 0, 0, 0x90, 0, 0, 0, 0, 8, 0, 2, 0, 0];
        assert_eq!(bytes[..16], first);
        assert_eq!(bytes[16..], second);
        mock.add_chain(&[READ]);
        let mut avail = [0; 8];
        mem.read_slice(&mut avail, GuestAddress(64)).unwrap();
        assert_eq!(avail, [0, 0, 0, 2, 0, 0, 0, 2]);
    }

    #[test]
    fn test_rules_of_a_chain() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        let driver = mock.driver();
        assert_eq!(driver.add_chain(&[]), Err(DriverError::EmptyChain));
        let empty = Buffer::readable(0x8000, 0);
        assert_eq!(driver.add_chain(&[empty]), Err(DriverError::EmptyBuffer));
        let order = Err(DriverError::ReadableAfterWritable);
        assert_eq!(driver.add_chain(&[WRITE, READ]), order);
        let large = [Buffer::readable(0, 1 << 31), Buffer::writable(0, 1 << 31)];
        assert_eq!(driver.add_chain(&large), Err(DriverError::ChainTooLarge));
        let long = Err(DriverError::ChainTooLong);
        assert_eq!(driver.add_chain(&[READ; SIZE as usize + 1]), long);
        let indirect = driver.add_indirect_chain(0x8000, &[READ]);
        assert_eq!(indirect, Err(DriverError::IndirectNotNegotiated));
        assert_eq!(driver.num_free(), SIZE);
        assert!(!driver.publish());
    }

    #[test]
    fn test_unpublished_is_unseen() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        let mut queue = mock.device_queue();
        mock.driver().add_chain(&[READ]).unwrap();
        mock.driver().add_chain(&[WRITE]).unwrap();
        assert_eq!(queue.pop_descriptor_chain(&mem), Ok(None));
        assert!(mock.driver().publish());
        assert_eq!(queue.iter(&mem).unwrap().count(), 2);
        assert!(!mock.driver().publish());
    }

    #[test]
    fn test_full_and_free_again() {
        let mem = memory();
        let mut mock = mock::<LittleEndian>(&mem, 0);
        let mut queue = mock.device_queue();
        let full = Err(DriverError::QueueFull);
        let mut in_flight = Vec::new();
        // Chains of all lengths, returned in another order than they were added.
        for turn in 0..1000usize {
            let chain = &[READ, READ, WRITE, WRITE][turn % 4..];
            match mock.driver().add_chain(chain) {
                Ok(head) => {
                    mock.driver().publish();
                    let popped = queue.pop_descriptor_chain(&mem).unwrap().unwrap();
                    assert_eq!(popped.head_index(), head);
                    let segments = popped.readable().len() + popped.writable().len();
                    assert_eq!(segments, chain.len());
                    in_flight.push(head);
                }
                error => {
                    assert_eq!(error, full);
                    assert!(usize::from(mock.driver().num_free()) < chain.len());
                    let head = in_flight.swap_remove(turn % in_flight.len());
                    queue.add_used(&mem, head, 0).unwrap();
                    let used = mock.driver().pop_used().unwrap().unwrap();
                    assert_eq!(used, Used { head, len: 0 });
                }
            }
        }
        for head in in_flight {
            queue.add_used(&mem, head, 0).unwrap();
            mock.driver().pop_used().unwrap().unwrap();
        }
        assert_eq!(mock.driver().num_free(), SIZE);
        assert_eq!(mock.driver().pop_used(), Ok(None));
    }

    #[test]
    fn test_indirect() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 1 << 28);
        let mut queue = mock.device_queue();
        for _ in 0..SIZE {
            mock.add_indirect_chain(GuestAddress(0x4000), &[READ, READ, WRITE]);
        }
        let full = mock.driver().add_indirect_chain(0x4000, &[READ]);
        assert_eq!(full, Err(DriverError::QueueFull));
        let chain = queue.pop_descriptor_chain(&mem).unwrap().unwrap();
        assert_eq!((chain.readable().len(), chain.writable_bytes()), (2, 8));
        queue.add_used(&mem, chain.head_index(), 8).unwrap();
        assert_eq!(mock.driver().pop_used().unwrap().unwrap().len, 8);
        assert_eq!(mock.driver().num_free(), 1);
        let long = mock.driver().add_indirect_chain(0x4000, &[READ; 5]);
        assert_eq!(long, Err(DriverError::ChainTooLong));
        let mut table = [[0; 16]; 2];
        let long = write_table(&mut table, &[READ; 3]);
        assert_eq!(long, Err(DriverError::ChainTooLong));
    }

    fn write_table(table: &mut [[u8; 16]], buffers: &[Buffer]) -> Result<(), DriverError> {
        crate::write_indirect_table::<BigEndian>(table, buffers)
    }

    #[test]
    fn test_hostile_heads() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        mock.add_chain(&[READ, READ]);
        mock.add_chain(&[READ]);
        // Outside the queue, within another chain, free, or not even 16 bits.
        for id in [4, 1, 3, 0x1_0000, 0x1_0002, u32::MAX] {
            forge(&mock, &mem, &[id], 1);
            for _ in 0..2 {
                let result = mock.driver().pop_used();
                assert_eq!(result, Err(DriverError::UnknownHead { id }));
            }
            assert_eq!(mock.driver().num_free(), 1);
        }
        // The same chain twice.
        forge(&mock, &mem, &[0, 0], 2);
        assert_eq!(mock.driver().pop_used().unwrap().unwrap().head, 0);
        let result = mock.driver().pop_used();
        assert_eq!(result, Err(DriverError::UnknownHead { id: 0 }));
        assert_eq!(mock.driver().num_free(), 3);
    }

    #[test]
    fn test_hostile_used_index() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        mock.add_chain(&[READ]);
        // Not published, so the device cannot have it.
        mock.driver().add_chain(&[READ]).unwrap();
        for used_idx in [2, SIZE, u16::MAX] {
            forge(&mock, &mem, &[1], used_idx);
            let result = mock.driver().pop_used();
            assert_eq!(result, Err(DriverError::UsedIndexAhead { used_idx }));
        }
        forge(&mock, &mem, &[0], 1);
        assert!(mock.driver().pop_used().unwrap().is_some());
    }

    #[test]
    fn test_hostile_descriptors() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        let head = mock.add_chain(&[READ, READ, WRITE]);
        // The links that count are not those in the ring.
        mem.write_slice(&[0xff; 64], GuestAddress(0)).unwrap();
        forge(&mock, &mem, &[u32::from(head)], 1);
        assert!(mock.driver().pop_used().unwrap().is_some());
        assert_eq!(mock.driver().num_free(), SIZE);
        assert!(mock.driver().add_chain(&[READ; SIZE as usize]).is_ok());
    }

    #[test]
    fn test_length_is_bounded() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        let mut queue = mock.device_queue();
        for (len, expected) in [(0, 0), (8, 8), (9, 8), (u32::MAX, 8)] {
            let head = mock.add_chain(&[READ, WRITE]);
            queue.add_used(&mem, head, len).unwrap();
            let used = mock.driver().pop_used().unwrap().unwrap();
            assert_eq!(used.len, expected);
        }
    }

    #[test]
    fn test_notification_suppression_by_flag() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        let mut queue = mock.device_queue();
        queue.disable_notification(&mem).unwrap();
        mock.driver().add_chain(&[READ]).unwrap();
        assert!(!mock.driver().publish());
        queue.enable_notification(&mem).unwrap();
        mock.driver().add_chain(&[READ]).unwrap();
        assert!(mock.driver().publish());

        mock.driver().disable_interrupts();
        queue.add_used(&mem, 0, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(false));
        assert!(mock.driver().enable_interrupts());
        mock.driver().pop_used().unwrap();
        assert!(!mock.driver().enable_interrupts());
        queue.add_used(&mem, 1, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(true));
    }

    #[test]
    fn test_notification_suppression_by_event() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 1 << 29);
        let mut queue = mock.device_queue();
        queue.enable_notification(&mem).unwrap();
        mock.driver().add_chain(&[READ]).unwrap();
        assert!(mock.driver().publish());
        // The event is behind now: no further notification until it is moved.
        mock.driver().add_chain(&[READ]).unwrap();
        assert!(!mock.driver().publish());
        queue.iter(&mem).unwrap().for_each(drop);
        queue.enable_notification(&mem).unwrap();
        mock.driver().add_chain(&[READ]).unwrap();
        mock.driver().add_chain(&[READ]).unwrap();
        assert!(mock.driver().publish());

        assert!(!mock.driver().enable_interrupts());
        queue.add_used(&mem, 0, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(true));
        mock.driver().disable_interrupts();
        queue.add_used(&mem, 1, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(false));
        mock.driver().pop_used().unwrap();
        assert!(mock.driver().enable_interrupts());
        mock.driver().pop_used().unwrap();
        assert!(!mock.driver().enable_interrupts());
        queue.add_used(&mem, 2, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(true));
    }

    #[test]
    fn test_detach_unused() {
        let mem = memory();
        let mut mock = mock::<BigEndian>(&mem, 0);
        mock.add_chain(&[READ, READ]);
        mock.add_chain(&[READ]);
        let driver = mock.driver();
        assert_eq!(driver.detach_unused(), Some(0));
        assert_eq!(driver.detach_unused(), Some(2));
        assert_eq!(driver.detach_unused(), None);
        assert_eq!(driver.num_free(), SIZE);
    }
}
