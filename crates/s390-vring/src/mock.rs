// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A driver in guest memory, for the tests of devices: right in either byte order on any host, and able
//! to break every rule.

use core::sync::atomic::Ordering;
use std::vec;
use std::vec::Vec;

use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::geometry::{
    AVAIL_ELEMENT_SIZE, RING_ELEMENTS_OFFSET, RING_FLAGS_OFFSET, RING_IDX_OFFSET, USED_ELEMENT_SIZE,
};
use crate::{
    write_indirect_table, Buffer, ByteOrder, Descriptor, DriverQueue, Layout, Queue, RingFeatures,
    RingMemory, Slot,
};

/// Ring memory within guest memory.
#[derive(Debug)]
pub struct GuestRing<'a, M> {
    mem: &'a M,
    base: GuestAddress,
    len: usize,
}

impl<'a, M: GuestMemory> GuestRing<'a, M> {
    /// Takes `len` bytes at `base` as ring memory. Accesses outside guest memory panic.
    pub fn new(mem: &'a M, base: GuestAddress, len: usize) -> Self {
        GuestRing { mem, base, len }
    }

    fn at(&self, offset: usize) -> GuestAddress {
        GuestAddress(self.base.0 + offset as u64)
    }
}

impl<M: GuestMemory> RingMemory for GuestRing<'_, M> {
    fn len(&self) -> usize {
        self.len
    }

    fn load_u16(&self, offset: usize, order: Ordering) -> u16 {
        self.mem.load(self.at(offset), order).unwrap()
    }

    fn store_u16(&self, offset: usize, value: u16, order: Ordering) {
        self.mem.store(value, self.at(offset), order).unwrap();
    }

    fn load_u32(&self, offset: usize) -> u32 {
        self.mem.load(self.at(offset), Ordering::Relaxed).unwrap()
    }

    fn store_u32(&self, offset: usize, value: u32) {
        self.mem
            .store(value, self.at(offset), Ordering::Relaxed)
            .unwrap();
    }
}

/// A driver of one queue in contiguous layout (used ring at a multiple of 4096) in guest memory.
///
/// The well-behaved half is a [`DriverQueue`], reached by [`driver`](MockDriver::driver); the `set_*`
/// methods write single fields of the ring, whatever the rules. All methods panic where the memory does
/// not exist.
///
/// ```
/// use s390_vring::mock::MockDriver;
/// use s390_vring::{BigEndian, Buffer, RingFeatures};
/// use vm_memory::{GuestAddress, GuestMemoryMmap};
///
/// let mem = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
/// let mut mock =
///     MockDriver::<BigEndian, _>::new(&mem, GuestAddress(0), 8, RingFeatures::default());
/// let mut queue = mock.device_queue();
///
/// let head = mock.add_chain(&[Buffer::readable(0x8000, 16), Buffer::writable(0x9000, 1)]);
/// let chain = queue.pop_descriptor_chain(&mem).unwrap().unwrap();
/// assert_eq!(chain.head_index(), head);
/// queue.add_used(&mem, head, 1).unwrap();
/// assert!(queue.needs_notification(&mem).unwrap());
/// assert_eq!(mock.driver().pop_used().unwrap().unwrap().len, 1);
/// ```
#[derive(Debug)]
pub struct MockDriver<'a, E, M> {
    driver: DriverQueue<E, GuestRing<'a, M>, Vec<Slot>>,
    mem: &'a M,
    base: GuestAddress,
    layout: Layout,
    features: RingFeatures,
}

impl<'a, E: ByteOrder, M: GuestMemory> MockDriver<'a, E, M> {
    /// Clears the ring at `base` and sets up a queue of `size` entries in it.
    pub fn new(mem: &'a M, base: GuestAddress, size: u16, features: RingFeatures) -> Self {
        let layout = Layout::legacy(size).unwrap();
        mem.write_slice(&vec![0; layout.bytes()], base).unwrap();
        let ring = GuestRing::new(mem, base, layout.bytes());
        let slots = vec![Slot::EMPTY; usize::from(size)];
        MockDriver {
            driver: DriverQueue::new(ring, layout, features, slots).unwrap(),
            mem,
            base,
            layout,
            features,
        }
    }

    /// An active device side of the same queue.
    pub fn device_queue(&self) -> Queue<E> {
        let mut queue = Queue::new(self.layout.size()).unwrap();
        queue.set_layout(self.base, &self.layout).unwrap();
        queue.set_features(self.features).unwrap();
        queue.activate(self.mem).unwrap();
        queue
    }

    /// The well-behaved driver.
    pub fn driver(&mut self) -> &mut DriverQueue<E, GuestRing<'a, M>, Vec<Slot>> {
        &mut self.driver
    }

    /// Guest-physical address of the ring.
    pub fn base(&self) -> GuestAddress {
        self.base
    }

    /// The ring's layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Adds a chain and makes it visible; returns its head.
    pub fn add_chain(&mut self, buffers: &[Buffer]) -> u16 {
        let head = self.driver.add_chain(buffers).unwrap();
        self.driver.publish();
        head
    }

    /// Adds a chain through an indirect table at `table` and makes it visible; returns its head.
    pub fn add_indirect_chain(&mut self, table: GuestAddress, buffers: &[Buffer]) -> u16 {
        let mut entries = vec![[0; Descriptor::SIZE]; buffers.len()];
        write_indirect_table::<E>(&mut entries, buffers).unwrap();
        self.mem.write_slice(entries.as_flattened(), table).unwrap();
        let head = self.driver.add_indirect_chain(table.0, buffers).unwrap();
        self.driver.publish();
        head
    }

    /// Writes a descriptor of the table.
    pub fn set_descriptor(&self, index: u16, desc: Descriptor) {
        let offset = self.layout.desc_table() + Descriptor::SIZE * usize::from(index);
        self.write(offset, &desc.to_bytes::<E>());
    }

    /// Writes the head at `idx` (modulo the queue's size) of the available ring.
    pub fn set_avail_head(&self, idx: u16, head: u16) {
        let slot = usize::from(idx % self.layout.size());
        let offset = RING_ELEMENTS_OFFSET + AVAIL_ELEMENT_SIZE * slot;
        self.set(self.layout.avail_ring() + offset, head);
    }

    /// Writes the available index.
    pub fn set_avail_idx(&self, idx: u16) {
        self.set(self.layout.avail_ring() + RING_IDX_OFFSET, idx);
    }

    /// Writes the flags of the available ring.
    pub fn set_avail_flags(&self, flags: u16) {
        self.set(self.layout.avail_ring() + RING_FLAGS_OFFSET, flags);
    }

    /// Writes the used index at which the device shall interrupt.
    pub fn set_used_event(&self, idx: u16) {
        self.set(self.layout.used_event(), idx);
    }

    /// Makes the descriptors from `head` on available as they are: the next head of the available ring,
    /// visible at once, behind the well-behaved driver's back.
    pub fn push_head(&self, head: u16) {
        let idx = self.avail_idx();
        self.set_avail_head(idx, head);
        self.set_avail_idx(idx.wrapping_add(1));
    }

    /// The available index.
    pub fn avail_idx(&self) -> u16 {
        self.get(self.layout.avail_ring() + RING_IDX_OFFSET)
    }

    /// The flags of the used ring.
    pub fn used_flags(&self) -> u16 {
        self.get(self.layout.used_ring() + RING_FLAGS_OFFSET)
    }

    /// The used index.
    pub fn used_idx(&self) -> u16 {
        self.get(self.layout.used_ring() + RING_IDX_OFFSET)
    }

    /// The element, `id` and `len`, at `idx` (modulo the queue's size) of the used ring.
    pub fn used_element(&self, idx: u16) -> (u32, u32) {
        let slot = usize::from(idx % self.layout.size());
        let offset = self.layout.used_ring() + RING_ELEMENTS_OFFSET + USED_ELEMENT_SIZE * slot;
        let ring = self.driver.ring();
        (
            E::u32(ring.load_u32(offset)),
            E::u32(ring.load_u32(offset + 4)),
        )
    }

    /// The available index at which the driver shall notify the device.
    pub fn avail_event(&self) -> u16 {
        self.get(self.layout.avail_event())
    }

    fn get(&self, offset: usize) -> u16 {
        E::u16(self.driver.ring().load_u16(offset, Ordering::Relaxed))
    }

    fn set(&self, offset: usize, value: u16) {
        self.write(offset, &E::u16(value).to_ne_bytes());
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        let addr = GuestAddress(self.base.0 + offset as u64);
        self.mem.write_slice(bytes, addr).unwrap();
    }
}
