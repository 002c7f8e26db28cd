// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `virtio_queue`'s traits for a ring in any byte order, so that code that is generic over them
//! serves it.
//!
//! `virtio_queue` knows little-endian rings alone, and its chains can only be made by its own
//! queue. So a little-endian copy of what the guest made available is kept in memory of the host's
//! own, and that queue works on the copy: each chain becomes one indirect descriptor with a table
//! of its own, written anew from a chain that was validated as a whole.

use core::num::Wrapping;
use core::ops::Deref;
use core::sync::atomic::Ordering;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use virtio_queue::{AvailIter, Queue as Upstream, QueueGuard, QueueOwnedT, QueueT};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemory, GuestMemoryBackend, GuestMemoryRegion};

use super::{DescriptorChain, Error, Queue, QueueState, MAX_INDIRECT_CHAIN};
use crate::geometry::{AVAIL_ELEMENT_SIZE, RING_ELEMENTS_OFFSET, RING_IDX_OFFSET};
use crate::{
    ByteOrder, Descriptor, Layout, LittleEndian, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
};

/// A queue in byte order `E` in guest memory `G` that implements `virtio_queue::QueueT` and
/// `QueueOwnedT`.
///
/// The memory that callers pass to the methods of those traits is the *device's view*: guest memory
/// and one more region, [`shadow_bytes`](ShadowQueue::shadow_bytes) long, that the guest does not
/// have and nobody else uses. The ring itself is only ever reached through `G`, and every buffer is
/// checked to lie in `G`: a guest that points a descriptor at the shadow is refused.
///
/// A malformed ring or chain ends what the queue yields, as it does in `virtio_queue`; here
/// [`error`](ShadowQueue::error) tells what is wrong, and nothing more comes until a reset.
///
/// ```
/// use std::sync::Arc;
///
/// use s390_vring::mock::MockDriver;
/// use s390_vring::{BigEndian, Buffer, RingFeatures, ShadowQueue};
/// use virtio_queue::{Error, QueueT};
/// use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap, GuestRegionMmap};
///
/// /// Written for `virtio_queue`: fills every buffer with sevens.
/// fn fill<Q: QueueT>(queue: &mut Q, mem: &GuestMemoryMmap) -> Result<bool, Error> {
///     while let Some(chain) = queue.pop_descriptor_chain(mem) {
///         let head = chain.head_index();
///         let mut written = 0;
///         for desc in chain.writable() {
///             mem.write_slice(&vec![7; desc.len() as usize], desc.addr())
///                 .map_err(Error::GuestMemoryError)?;
///             written += desc.len();
///         }
///         queue.add_used(mem, head, written)?;
///     }
///     queue.needs_notification(mem)
/// }
///
/// let guest = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
/// let mut driver =
///     MockDriver::<BigEndian, _>::new(&guest, GuestAddress(0), 8, RingFeatures::default());
/// driver.add_chain(&[Buffer::writable(0x8000, 4)]);
///
/// // Far above what a guest can name, or at least has.
/// let shadow = GuestAddress(1 << 40);
/// let len = ShadowQueue::<BigEndian, GuestMemoryMmap>::shadow_bytes(8);
/// let region = GuestRegionMmap::from_range(shadow, len, None).unwrap();
/// let view = guest.insert_region(Arc::new(region)).unwrap();
///
/// let ring = driver.device_queue();
/// let mut queue = ShadowQueue::new(ring, Arc::new(guest.clone()), shadow).unwrap();
/// assert!(queue.is_valid(&view));
/// assert!(fill(&mut queue, &view).unwrap());
/// assert_eq!(guest.read_obj::<[u8; 4]>(GuestAddress(0x8000)).unwrap(), [7; 4]);
/// assert_eq!(driver.driver().pop_used().unwrap().unwrap().len, 4);
/// ```
#[derive(Debug)]
pub struct ShadowQueue<E, G> {
    /// The ring of the guest.
    ring: Queue<E>,
    /// Guest memory, without the shadow; `None` in a queue that [`QueueT::new`] made.
    guest: Option<Arc<G>>,
    /// The copy.
    copy: Upstream,
    base: GuestAddress,
    /// Available index of the copy.
    copied: u16,
    /// Heads that were taken from the guest's ring and not returned.
    in_flight: Vec<bool>,
    error: Option<Error>,
}

impl<E: ByteOrder, G: GuestMemory> ShadowQueue<E, G> {
    /// Takes over `ring`, a queue in `guest`, with its shadow at `base`, a multiple of 16.
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`], or [`Error::ShadowInGuestMemory`] if the guest could reach the shadow.
    pub fn new(ring: Queue<E>, guest: Arc<G>, base: GuestAddress) -> Result<Self, Error> {
        let len = Self::shadow_bytes(ring.max_size());
        let overlaps = |memory: &G| match base.checked_add(len as u64 - 1) {
            Some(last) => memory.physical_memory().is_some_and(|memory| {
                memory
                    .iter()
                    .any(|region| region.start_addr() <= last && base <= region.last_addr())
            }),
            None => true,
        };
        if base.0 % 16 != 0 {
            return Err(Error::Misaligned {
                addr: base.0,
                align: 16,
            });
        }
        if overlaps(&guest) {
            return Err(Error::ShadowInGuestMemory { addr: base.0, len });
        }
        let mut queue = Self::detached(ring)?;
        queue.base = base;
        queue.guest = Some(guest);
        queue.set_up_copy();
        Ok(queue)
    }

    /// Bytes of memory that the shadow of a queue of `max_size` entries needs. Only the pages of
    /// tables that are used are ever touched.
    pub fn shadow_bytes(max_size: u16) -> usize {
        let ring = Layout::legacy(max_size).map_or(0, |layout| layout.bytes());
        ring.next_multiple_of(4096) + usize::from(max_size) * Self::table_bytes(max_size)
    }

    /// What is wrong with the ring, if the queue has stopped because of it.
    pub fn error(&self) -> Option<Error> {
        self.error
    }

    /// The guest's ring.
    pub fn ring(&self) -> &Queue<E> {
        &self.ring
    }

    fn detached(ring: Queue<E>) -> Result<Self, Error> {
        let max_size = ring.max_size();
        Ok(ShadowQueue {
            copy: Upstream::new(max_size).map_err(|_| Error::InvalidSize(max_size))?,
            in_flight: vec![false; max_size.into()],
            ring,
            guest: None,
            base: GuestAddress(0),
            copied: 0,
            error: None,
        })
    }

    /// Points the copy's queue at the shadow.
    fn set_up_copy(&mut self) {
        self.copy.reset();
        self.copied = 0;
        self.in_flight.fill(false);
        let size = self.ring.size();
        let Some(layout) = Layout::legacy(size) else {
            return;
        };
        let halves = |offset: usize| {
            let addr = self.base.0 + offset as u64;
            (Some(addr as u32), Some((addr >> 32) as u32))
        };
        let (low, high) = halves(layout.desc_table());
        self.copy.set_desc_table_address(low, high);
        let (low, high) = halves(layout.avail_ring());
        self.copy.set_avail_ring_address(low, high);
        let (low, high) = halves(layout.used_ring());
        self.copy.set_used_ring_address(low, high);
        self.copy.set_size(size);
        self.copy
            .set_ready(self.ring.ready() && self.guest.is_some());
    }

    /// Bytes of the table of one chain: as many descriptors as any chain can have.
    fn table_bytes(max_size: u16) -> usize {
        Descriptor::SIZE * usize::from(max_size.max(MAX_INDIRECT_CHAIN))
    }

    /// Chains that were copied and not taken yet.
    fn waiting(&self) -> u16 {
        self.copied.wrapping_sub(QueueT::next_avail(&self.copy))
    }

    /// Copies the next chain; false if there is none.
    fn copy_next<M: GuestMemory + ?Sized>(&mut self, mem: &M) -> Result<bool, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let result = self.try_copy_next(mem);
        if let Err(error) = result {
            self.error = Some(error);
        }
        result
    }

    fn try_copy_next<M: GuestMemory + ?Sized>(&mut self, mem: &M) -> Result<bool, Error> {
        let guest = self.guest.as_deref().ok_or(Error::NotReady)?;
        // Through the guest's own memory: no buffer, table or ring may be in the shadow.
        let Some(chain) = self.ring.pop_descriptor_chain(guest)? else {
            return Ok(false);
        };
        let head = chain.head_index();
        match self.in_flight.get_mut(usize::from(head)) {
            // Its table is in use.
            Some(true) => {
                self.ring.go_to_previous_position();
                return Err(Error::HeadInFlight { head });
            }
            Some(in_flight) => *in_flight = true,
            None => {}
        }
        let outside = Error::ShadowOutsideMemory { addr: self.base.0 };
        self.store(mem, &chain).ok_or(outside)?;
        self.copied = self.copied.wrapping_add(1);
        self.publish(mem).ok_or(outside)?;
        Ok(true)
    }

    /// Writes a chain into the shadow, and its head into the ring there.
    fn store<M: GuestMemory + ?Sized>(&self, mem: &M, chain: &DescriptorChain) -> Option<()> {
        let (size, head) = (self.ring.size(), chain.head_index());
        let layout = Layout::legacy(size)?;
        let tables = layout.bytes().next_multiple_of(4096);
        let table = tables + usize::from(head) * Self::table_bytes(self.ring.max_size());
        let at = |offset: usize| GuestAddress(self.base.0 + offset as u64);

        let count = chain.readable().len() + chain.writable().len();
        let readable = chain.readable().iter().map(|segment| (segment, 0));
        let writable = chain.writable().iter();
        let writable = writable.map(|segment| (segment, VIRTQ_DESC_F_WRITE));
        for ((segment, flags), index) in readable.chain(writable).zip(1u16..) {
            let more = usize::from(index) < count;
            let desc = Descriptor {
                addr: segment.addr.0,
                len: segment.len,
                flags: flags | if more { VIRTQ_DESC_F_NEXT } else { 0 },
                next: if more { index } else { 0 },
            };
            let offset = table + Descriptor::SIZE * usize::from(index - 1);
            let bytes = desc.to_bytes::<LittleEndian>();
            mem.write_slice(&bytes, at(offset)).ok()?;
        }
        let desc = Descriptor {
            addr: at(table).0,
            len: (count * Descriptor::SIZE) as u32,
            // A chain of empty buffers has no table.
            flags: if count == 0 { 0 } else { VIRTQ_DESC_F_INDIRECT },
            next: 0,
        };
        let offset = layout.desc_table() + Descriptor::SIZE * usize::from(head);
        let bytes = desc.to_bytes::<LittleEndian>();
        mem.write_slice(&bytes, at(offset)).ok()?;
        let slot = usize::from(self.copied % size);
        let offset = layout.avail_ring() + RING_ELEMENTS_OFFSET + AVAIL_ELEMENT_SIZE * slot;
        mem.write_obj(head.to_le(), at(offset)).ok()
    }

    /// Makes what was copied available to the copy's queue, and nothing of a former life.
    fn publish<M: GuestMemory + ?Sized>(&self, mem: &M) -> Option<()> {
        let layout = Layout::legacy(self.ring.size())?;
        let offset = layout.avail_ring() + RING_IDX_OFFSET;
        let addr = GuestAddress(self.base.0 + offset as u64);
        mem.store(self.copied.to_le(), addr, Ordering::Release).ok()
    }

    fn with_ring<T>(
        &mut self,
        f: impl FnOnce(&mut Queue<E>, &G) -> Result<T, Error>,
    ) -> Result<T, virtio_queue::Error> {
        let guest = self.guest.as_deref().ok_or(Error::NotReady);
        guest
            .and_then(|guest| f(&mut self.ring, guest))
            .map_err(|error| convert(&error))
    }

    /// Changes the state that traits set piece by piece, unless the result is no queue.
    fn configure(&mut self, change: impl FnOnce(&mut QueueState)) {
        let mut state = self.ring.state();
        change(&mut state);
        if let Ok(ring) = Queue::from_state(&state) {
            if state.size <= state.max_size {
                self.ring = ring;
                self.set_up_copy();
            }
        }
    }
}

/// The nearest that `virtio_queue` has.
fn convert(error: &Error) -> virtio_queue::Error {
    match error {
        Error::NotReady => virtio_queue::Error::QueueNotReady,
        Error::AvailIndexAhead { .. } => virtio_queue::Error::InvalidAvailRingIndex,
        Error::InvalidHead { .. } | Error::DescriptorIndex { .. } | Error::HeadInFlight { .. } => {
            virtio_queue::Error::InvalidDescriptorIndex
        }
        Error::RingOutsideMemory { .. }
        | Error::SegmentOutsideMemory { .. }
        | Error::ShadowOutsideMemory { .. } => virtio_queue::Error::FindMemoryRegion,
        _ => virtio_queue::Error::InvalidChain,
    }
}

/// `addr` with the given halves replaced.
fn with_halves(addr: u64, low: Option<u32>, high: Option<u32>) -> u64 {
    let low = low.unwrap_or(addr as u32);
    let high = high.unwrap_or((addr >> 32) as u32);
    u64::from(high) << 32 | u64::from(low)
}

impl<'a, E: 'static, G: 'static> QueueGuard<'a> for ShadowQueue<E, G> {
    /// The queue of the copy: what is done to it behind the back of this one reaches no guest.
    type G = &'a mut Upstream;
}

impl<E: ByteOrder + 'static, G: GuestMemory + 'static> QueueT for ShadowQueue<E, G> {
    /// A queue without memory, which yields nothing; for real ones there is
    /// [`ShadowQueue::new`].
    fn new(max_size: u16) -> Result<Self, virtio_queue::Error> {
        Queue::new(max_size)
            .and_then(Self::detached)
            .map_err(|_| virtio_queue::Error::InvalidMaxSize)
    }

    /// `mem` is the device's view, as everywhere.
    fn is_valid<M: GuestMemory>(&self, mem: &M) -> bool {
        let ring = self.guest.as_deref().is_some_and(|guest| {
            self.ring.avail_idx(guest, Ordering::Relaxed).is_ok()
                && self.ring.used_idx(guest, Ordering::Relaxed).is_ok()
        });
        ring && self.copy.is_valid(mem)
    }

    /// Forgets everything, the memory and an error included.
    fn reset(&mut self) {
        self.ring.reset();
        self.guest = None;
        self.error = None;
        self.set_up_copy();
    }

    fn lock(&mut self) -> <Self as QueueGuard<'_>>::G {
        &mut self.copy
    }

    fn max_size(&self) -> u16 {
        self.ring.max_size()
    }

    fn size(&self) -> u16 {
        self.ring.size()
    }

    fn set_size(&mut self, size: u16) {
        self.configure(|state| state.size = size);
    }

    fn ready(&self) -> bool {
        self.ring.ready()
    }

    fn set_ready(&mut self, ready: bool) {
        self.configure(|state| state.ready = ready);
    }

    fn set_desc_table_address(&mut self, low: Option<u32>, high: Option<u32>) {
        self.configure(|state| state.desc_table = with_halves(state.desc_table, low, high));
    }

    fn set_avail_ring_address(&mut self, low: Option<u32>, high: Option<u32>) {
        self.configure(|state| state.avail_ring = with_halves(state.avail_ring, low, high));
    }

    fn set_used_ring_address(&mut self, low: Option<u32>, high: Option<u32>) {
        self.configure(|state| state.used_ring = with_halves(state.used_ring, low, high));
    }

    fn set_event_idx(&mut self, enabled: bool) {
        self.configure(|state| state.features.event_idx = enabled);
    }

    fn avail_idx<M>(&self, _: &M, order: Ordering) -> Result<Wrapping<u16>, virtio_queue::Error>
    where
        M: GuestMemory + ?Sized,
    {
        let guest = self.guest.as_deref().ok_or(Error::NotReady);
        guest
            .and_then(|guest| self.ring.avail_idx(guest, order))
            .map(Wrapping)
            .map_err(|error| convert(&error))
    }

    fn used_idx<M: GuestMemory>(
        &self,
        _: &M,
        order: Ordering,
    ) -> Result<Wrapping<u16>, virtio_queue::Error> {
        let guest = self.guest.as_deref().ok_or(Error::NotReady);
        guest
            .and_then(|guest| self.ring.used_idx(guest, order))
            .map(Wrapping)
            .map_err(|error| convert(&error))
    }

    fn add_used<M: GuestMemory>(
        &mut self,
        _: &M,
        head_index: u16,
        len: u32,
    ) -> Result<(), virtio_queue::Error> {
        self.with_ring(|ring, guest| ring.add_used(guest, head_index, len))?;
        if let Some(in_flight) = self.in_flight.get_mut(usize::from(head_index)) {
            *in_flight = false;
        }
        Ok(())
    }

    fn enable_notification<M: GuestMemory>(&mut self, _: &M) -> Result<bool, virtio_queue::Error> {
        let more = self.with_ring(|ring, guest| ring.enable_notification(guest))?;
        Ok(more && self.error.is_none() || self.waiting() > 0)
    }

    fn disable_notification<M: GuestMemory>(&mut self, _: &M) -> Result<(), virtio_queue::Error> {
        self.with_ring(|ring, guest| ring.disable_notification(guest))
    }

    fn needs_notification<M: GuestMemory>(&mut self, _: &M) -> Result<bool, virtio_queue::Error> {
        self.with_ring(|ring, guest| ring.needs_notification(guest))
    }

    fn next_avail(&self) -> u16 {
        self.ring.next_avail().wrapping_sub(self.waiting())
    }

    /// What was copied and not taken is copied again.
    fn set_next_avail(&mut self, next_avail: u16) {
        self.ring.set_next_avail(next_avail);
        self.copy.set_next_avail(self.copied);
        self.in_flight.fill(false);
    }

    fn next_used(&self) -> u16 {
        self.ring.next_used()
    }

    fn set_next_used(&mut self, next_used: u16) {
        self.ring.set_next_used(next_used);
    }

    fn desc_table(&self) -> u64 {
        self.ring.desc_table()
    }

    fn avail_ring(&self) -> u64 {
        self.ring.avail_ring()
    }

    fn used_ring(&self) -> u64 {
        self.ring.used_ring()
    }

    fn event_idx_enabled(&self) -> bool {
        self.ring.features().event_idx
    }

    fn pop_descriptor_chain<M>(&mut self, mem: M) -> Option<virtio_queue::DescriptorChain<M>>
    where
        M: Clone + Deref,
        M::Target: GuestMemory,
    {
        if self.waiting() == 0 && !self.copy_next(&*mem).ok()? {
            return None;
        }
        self.copy.pop_descriptor_chain(mem)
    }
}

impl<E: ByteOrder + 'static, G: GuestMemory + 'static> QueueOwnedT for ShadowQueue<E, G> {
    /// Chains before a malformed one are still yielded; the next call returns its error.
    fn iter<M>(&mut self, mem: M) -> Result<AvailIter<'_, M>, virtio_queue::Error>
    where
        M: Deref,
        M::Target: GuestMemory,
    {
        while self.waiting() < self.ring.size() {
            match self.copy_next(&*mem) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) if self.waiting() > 0 => break,
                Err(error) => return Err(convert(&error)),
            }
        }
        let outside = Error::ShadowOutsideMemory { addr: self.base.0 };
        self.publish(&*mem).ok_or_else(|| convert(&outside))?;
        QueueOwnedT::iter(&mut self.copy, mem)
    }

    fn go_to_previous_position(&mut self) {
        QueueOwnedT::go_to_previous_position(&mut self.copy);
    }
}
