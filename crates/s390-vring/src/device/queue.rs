// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The split queue's device side as a small state machine: configured, then active, then reset.

use core::marker::PhantomData;
use core::sync::atomic::{fence, Ordering};

use vm_memory::bitmap::{BitmapSlice, BS};
use vm_memory::{GuestAddress, GuestMemory};

use super::ring::{region_at, Anywhere, Areas, AvailRing, DescTable, UsedRing};
use super::walk::walk;
use super::{DescriptorChain, DeviceQueue, Error, QueueState};
use crate::geometry::{is_valid_size, AVAIL_RING_ALIGN, DESC_TABLE_ALIGN, USED_RING_ALIGN};
use crate::{
    need_event, ByteOrder, Layout, RingFeatures, VIRTQ_AVAIL_F_NO_INTERRUPT, VIRTQ_USED_F_NO_NOTIFY,
};

/// Does an operation with the parts of the ring that it needs.
///
/// Nearly always they lie in one region of guest memory: then it takes a single lookup to find them.
macro_rules! with_parts {
    ($queue:ident, $mem:ident, [$first:ident $(, $other:ident)?], $operation:ident($($arg:expr),*)) => {{
        $queue.check_ready()?;
        if let Some(region) = region_at($mem, $queue.areas.$first) {
            let parts = ($queue.areas.$first(&region), $($queue.areas.$other(&region))?);
            if let (Ok($first), $(Ok($other))?) = parts {
                return $queue.$operation(&$first, $(&$other,)? $($arg),*);
            }
        }
        let place = Anywhere($mem);
        let $first = $queue.areas.$first(&place)?;
        $(let $other = $queue.areas.$other(&place)?;)?
        $queue.$operation(&$first, $(&$other,)? $($arg),*)
    }};
}

/// The device side of a split virtqueue whose ring has byte order `E`.
///
/// The transport sets size, addresses and features and then calls [`activate`](Queue::activate), from
/// where on they are frozen until [`reset`](Queue::reset). The method names are those of
/// `virtio_queue::Queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue<E> {
    max_size: u16,
    ready: bool,
    areas: Areas,
    features: RingFeatures,
    next_avail: u16,
    next_used: u16,
    num_added: u32,
    _order: PhantomData<E>,
}

impl<E: ByteOrder> Queue<E> {
    /// A queue of `max_size` entries, which the driver may make smaller, at address 0, without features.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSize`] unless `max_size` is a power of two up to 32768.
    pub fn new(max_size: u16) -> Result<Self, Error> {
        if !is_valid_size(max_size) {
            return Err(Error::InvalidSize(max_size));
        }
        Ok(Queue {
            max_size,
            ready: false,
            areas: Areas {
                size: max_size,
                desc_table: GuestAddress(0),
                avail_ring: GuestAddress(0),
                used_ring: GuestAddress(0),
            },
            features: RingFeatures::default(),
            next_avail: 0,
            next_used: 0,
            num_added: 0,
            _order: PhantomData,
        })
    }

    /// Sets the number of entries.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`], [`Error::InvalidSize`] or [`Error::SizeAboveMax`].
    pub fn try_set_size(&mut self, size: u16) -> Result<(), Error> {
        self.check_not_in_use()?;
        if !is_valid_size(size) {
            return Err(Error::InvalidSize(size));
        }
        if size > self.max_size {
            return Err(Error::SizeAboveMax {
                size,
                max_size: self.max_size,
            });
        }
        self.areas.size = size;
        Ok(())
    }

    /// Sets the address of the descriptor table, a multiple of 16.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] or [`Error::Misaligned`].
    pub fn try_set_desc_table_address(&mut self, addr: GuestAddress) -> Result<(), Error> {
        self.check_not_in_use()?;
        self.areas.desc_table = aligned(addr, DESC_TABLE_ALIGN)?;
        Ok(())
    }

    /// Sets the address of the available ring, a multiple of 2.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] or [`Error::Misaligned`].
    pub fn try_set_avail_ring_address(&mut self, addr: GuestAddress) -> Result<(), Error> {
        self.check_not_in_use()?;
        self.areas.avail_ring = aligned(addr, AVAIL_RING_ALIGN)?;
        Ok(())
    }

    /// Sets the address of the used ring, a multiple of 4.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] or [`Error::Misaligned`].
    pub fn try_set_used_ring_address(&mut self, addr: GuestAddress) -> Result<(), Error> {
        self.check_not_in_use()?;
        self.areas.used_ring = aligned(addr, USED_RING_ALIGN)?;
        Ok(())
    }

    /// Sets size and all addresses: a queue of the given layout at `base`, a multiple of 16.
    ///
    /// # Errors
    ///
    /// Those of the single setters, and [`Error::RingOutsideMemory`] where an address would overflow.
    /// Nothing is set then.
    pub fn set_layout(&mut self, base: GuestAddress, layout: &Layout) -> Result<(), Error> {
        let mut queue = self.clone();
        let at = |offset: usize| {
            let end = base.0.checked_add(layout.bytes() as u64);
            end.map(|_| GuestAddress(base.0 + offset as u64))
                .ok_or(Error::RingOutsideMemory {
                    addr: base.0,
                    len: layout.bytes(),
                })
        };
        queue.try_set_size(layout.size())?;
        queue.try_set_desc_table_address(at(layout.desc_table())?)?;
        queue.try_set_avail_ring_address(at(layout.avail_ring())?)?;
        queue.try_set_used_ring_address(at(layout.used_ring())?)?;
        *self = queue;
        Ok(())
    }

    /// Sets the negotiated features of the ring.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`].
    pub fn set_features(&mut self, features: RingFeatures) -> Result<(), Error> {
        self.check_not_in_use()?;
        self.features = features;
        Ok(())
    }

    /// Takes the queue into use: size, addresses and features are frozen until [`reset`](Queue::reset).
    ///
    /// # Errors
    ///
    /// [`Error::RingOutsideMemory`] unless each part lies in one piece of guest memory, [`Error::InUse`].
    pub fn activate<M: GuestMemory>(&mut self, mem: &M) -> Result<(), Error> {
        self.check_not_in_use()?;
        let place = Anywhere(mem);
        self.areas.desc_table::<E, _>(&place)?;
        self.areas
            .avail_ring::<E, _>(&place)?
            .idx(Ordering::Relaxed)?;
        self.areas
            .used_ring::<E, _>(&place)?
            .idx(Ordering::Relaxed)?;
        self.ready = true;
        Ok(())
    }

    /// Takes the queue out of use and forgets all that was set, as after [`new`](Queue::new).
    pub fn reset(&mut self) {
        if let Ok(queue) = Queue::new(self.max_size) {
            *self = queue;
        }
    }

    /// The largest size the device offers.
    pub fn max_size(&self) -> u16 {
        self.max_size
    }

    /// Entries of the queue.
    pub fn size(&self) -> u16 {
        self.areas.size
    }

    /// Whether the queue is in use.
    pub fn ready(&self) -> bool {
        self.ready
    }

    /// Guest-physical address of the descriptor table.
    pub fn desc_table(&self) -> u64 {
        self.areas.desc_table.0
    }

    /// Guest-physical address of the available ring.
    pub fn avail_ring(&self) -> u64 {
        self.areas.avail_ring.0
    }

    /// Guest-physical address of the used ring.
    pub fn used_ring(&self) -> u64 {
        self.areas.used_ring.0
    }

    /// The negotiated features of the ring.
    pub fn features(&self) -> RingFeatures {
        self.features
    }

    /// Index (modulo 2^16) of the next entry of the available ring to look at.
    pub fn next_avail(&self) -> u16 {
        self.next_avail
    }

    /// Sets the index of the next entry of the available ring to look at.
    pub fn set_next_avail(&mut self, next_avail: u16) {
        self.next_avail = next_avail;
    }

    /// Index (modulo 2^16) of the next entry of the used ring to write.
    pub fn next_used(&self) -> u16 {
        self.next_used
    }

    /// Sets the index of the next entry of the used ring to write.
    pub fn set_next_used(&mut self, next_used: u16) {
        self.next_used = next_used;
    }

    /// The driver's index into the available ring, as it is in memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] or [`Error::RingOutsideMemory`].
    pub fn avail_idx<M: GuestMemory>(&self, mem: &M, order: Ordering) -> Result<u16, Error> {
        self.check_ready()?;
        self.areas.avail_ring::<E, _>(&Anywhere(mem))?.idx(order)
    }

    /// The device's index into the used ring, as it is in memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] or [`Error::RingOutsideMemory`].
    pub fn used_idx<M: GuestMemory>(&self, mem: &M, order: Ordering) -> Result<u16, Error> {
        self.check_ready()?;
        self.areas.used_ring::<E, _>(&Anywhere(mem))?.idx(order)
    }

    /// The queue's state as plain data.
    pub fn state(&self) -> QueueState {
        QueueState {
            max_size: self.max_size,
            size: self.size(),
            ready: self.ready,
            desc_table: self.desc_table(),
            avail_ring: self.avail_ring(),
            used_ring: self.used_ring(),
            features: self.features,
            next_avail: self.next_avail,
            next_used: self.next_used,
            num_added: self.num_added,
        }
    }

    /// The queue that had this state; each of its operations checks the ring against guest memory.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Queue::new) and the setters.
    pub fn from_state(state: &QueueState) -> Result<Self, Error> {
        let mut queue = Queue::new(state.max_size)?;
        queue.try_set_size(state.size)?;
        queue.try_set_desc_table_address(GuestAddress(state.desc_table))?;
        queue.try_set_avail_ring_address(GuestAddress(state.avail_ring))?;
        queue.try_set_used_ring_address(GuestAddress(state.used_ring))?;
        queue.features = state.features;
        queue.ready = state.ready;
        queue.next_avail = state.next_avail;
        queue.next_used = state.next_used;
        queue.num_added = state.num_added;
        Ok(queue)
    }

    /// All chains that are available now; what the driver adds meanwhile is for the next call.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`], [`Error::RingOutsideMemory`] or [`Error::AvailIndexAhead`].
    pub fn iter<'a, M: GuestMemory>(
        &'a mut self,
        mem: &'a M,
    ) -> Result<AvailIter<'a, E, M>, Error> {
        self.check_ready()?;
        let place = Anywhere(mem);
        let mut table = self.areas.desc_table(&place)?;
        if let Some(region) = region_at(mem, self.areas.desc_table) {
            table.set_known(&region);
        }
        let avail = self.areas.avail_ring(&place)?;
        let avail_idx = self.checked_avail_idx(&avail)?;
        Ok(AvailIter {
            mem,
            avail,
            table,
            avail_idx,
            indirect: self.features.indirect_desc,
            next_avail: &mut self.next_avail,
        })
    }

    /// See [`DeviceQueue::pop_descriptor_chain`].
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the ring or the chain.
    #[inline]
    pub fn pop_descriptor_chain<M: GuestMemory>(
        &mut self,
        mem: &M,
    ) -> Result<Option<DescriptorChain>, Error> {
        with_parts!(self, mem, [desc_table, avail_ring], pop(mem))
    }

    #[inline(always)]
    fn pop<M: GuestMemory, B: BitmapSlice>(
        &mut self,
        table: &DescTable<'_, E, B>,
        avail: &AvailRing<'_, E, B>,
        mem: &M,
    ) -> Result<Option<DescriptorChain>, Error> {
        if self.checked_avail_idx(avail)? == self.next_avail {
            return Ok(None);
        }
        let mut chain = DescriptorChain::new(avail.head(self.next_avail)?);
        walk(mem, table, &mut chain, self.features.indirect_desc)?;
        self.next_avail = self.next_avail.wrapping_add(1);
        Ok(Some(chain))
    }

    /// See [`DeviceQueue::go_to_previous_position`].
    pub fn go_to_previous_position(&mut self) {
        self.next_avail = self.next_avail.wrapping_sub(1);
    }

    /// See [`DeviceQueue::add_used`].
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`], [`Error::InvalidHead`] or [`Error::RingOutsideMemory`].
    #[inline]
    pub fn add_used<M: GuestMemory>(
        &mut self,
        mem: &M,
        head_index: u16,
        len: u32,
    ) -> Result<(), Error> {
        with_parts!(self, mem, [used_ring], add(head_index, len))
    }

    #[inline(always)]
    fn add<B: BitmapSlice>(
        &mut self,
        used: &UsedRing<'_, E, B>,
        head_index: u16,
        len: u32,
    ) -> Result<(), Error> {
        let size = self.size();
        if head_index >= size {
            return Err(Error::InvalidHead {
                head: head_index,
                size,
            });
        }
        used.set_element(self.next_used, u32::from(head_index), len)?;
        let next_used = self.next_used.wrapping_add(1);
        // The driver must see the element and the device's data once it sees the index.
        used.set_idx(next_used, Ordering::Release)?;
        self.next_used = next_used;
        self.num_added = self.num_added.saturating_add(1);
        Ok(())
    }

    /// See [`DeviceQueue::add_used_batch`].
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`], [`Error::InvalidHead`] or [`Error::RingOutsideMemory`].
    pub fn add_used_batch<M: GuestMemory>(
        &mut self,
        mem: &M,
        chains: &[(u16, u32)],
    ) -> Result<(), Error> {
        with_parts!(self, mem, [used_ring], add_batch(chains))
    }

    fn add_batch<B: BitmapSlice>(
        &mut self,
        used: &UsedRing<'_, E, B>,
        chains: &[(u16, u32)],
    ) -> Result<(), Error> {
        let size = self.size();
        let mut next_used = self.next_used;
        for &(head, len) in chains {
            if head >= size {
                return Err(Error::InvalidHead { head, size });
            }
            used.set_element(next_used, u32::from(head), len)?;
            next_used = next_used.wrapping_add(1);
        }
        // As above, for all of them at once.
        used.set_idx(next_used, Ordering::Release)?;
        self.next_used = next_used;
        let added = u32::try_from(chains.len()).unwrap_or(u32::MAX);
        self.num_added = self.num_added.saturating_add(added);
        Ok(())
    }

    /// See [`DeviceQueue::needs_notification`].
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] or [`Error::RingOutsideMemory`].
    pub fn needs_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, Error> {
        with_parts!(self, mem, [avail_ring], is_interrupt_due())
    }

    #[inline(always)]
    fn is_interrupt_due<B: BitmapSlice>(
        &mut self,
        avail: &AvailRing<'_, E, B>,
    ) -> Result<bool, Error> {
        let added = core::mem::take(&mut self.num_added);
        if added == 0 {
            return Ok(false);
        }
        // The used index must be visible before the driver's wish is read, or both sides could miss the
        // other's last step (virtio 1.2, 2.7.10.1).
        fence(Ordering::SeqCst);
        if self.features.notify_on_empty
            && self.next_used == self.next_avail
            && avail.idx(Ordering::Relaxed)? == self.next_avail
        {
            return Ok(true);
        }
        if !self.features.event_idx {
            return Ok(avail.flags()? & VIRTQ_AVAIL_F_NO_INTERRUPT == 0);
        }
        let event = avail.used_event()?;
        Ok(match u16::try_from(added) {
            Ok(added) => need_event(event, self.next_used, self.next_used.wrapping_sub(added)),
            // Every index was passed.
            Err(_) => true,
        })
    }

    /// See [`DeviceQueue::enable_notification`].
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] or [`Error::RingOutsideMemory`].
    pub fn enable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, Error> {
        with_parts!(self, mem, [avail_ring, used_ring], ask_for_notification())
    }

    #[inline(always)]
    fn ask_for_notification<B: BitmapSlice>(
        &mut self,
        avail: &AvailRing<'_, E, B>,
        used: &UsedRing<'_, E, B>,
    ) -> Result<bool, Error> {
        if self.features.event_idx {
            used.set_avail_event(self.next_avail)?;
        } else {
            used.set_flags(0)?;
        }
        // The wish must be visible before the index is read again: a driver that adds a chain now either
        // sees the wish or is seen here (virtio 1.2, 2.7.7.1).
        fence(Ordering::SeqCst);
        Ok(avail.idx(Ordering::Relaxed)? != self.next_avail)
    }

    /// See [`DeviceQueue::disable_notification`].
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] or [`Error::RingOutsideMemory`].
    pub fn disable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<(), Error> {
        with_parts!(self, mem, [used_ring], ask_for_silence())
    }

    #[inline(always)]
    fn ask_for_silence<B: BitmapSlice>(&mut self, used: &UsedRing<'_, E, B>) -> Result<(), Error> {
        // With EVENT_IDX notifications stop by themselves after the one that was asked for.
        if self.features.event_idx {
            return Ok(());
        }
        used.set_flags(VIRTQ_USED_F_NO_NOTIFY)
    }

    /// The driver's index; what it covers (heads and descriptors) is visible from here on.
    #[inline(always)]
    fn checked_avail_idx<B: BitmapSlice>(&self, avail: &AvailRing<'_, E, B>) -> Result<u16, Error> {
        let avail_idx = avail.idx(Ordering::Acquire)?;
        if avail_idx.wrapping_sub(self.next_avail) > self.size() {
            return Err(Error::AvailIndexAhead {
                avail_idx,
                next_avail: self.next_avail,
                size: self.size(),
            });
        }
        Ok(avail_idx)
    }

    #[inline(always)]
    fn check_ready(&self) -> Result<(), Error> {
        if self.ready {
            Ok(())
        } else {
            Err(Error::NotReady)
        }
    }

    fn check_not_in_use(&self) -> Result<(), Error> {
        if self.ready {
            Err(Error::InUse)
        } else {
            Ok(())
        }
    }
}

fn aligned(addr: GuestAddress, align: u64) -> Result<GuestAddress, Error> {
    if addr.0 % align == 0 {
        Ok(addr)
    } else {
        Err(Error::Misaligned {
            addr: addr.0,
            align,
        })
    }
}

impl<E: ByteOrder> DeviceQueue for Queue<E> {
    fn size(&self) -> u16 {
        Queue::size(self)
    }

    fn ready(&self) -> bool {
        Queue::ready(self)
    }

    #[inline]
    fn pop_descriptor_chain<M: GuestMemory>(
        &mut self,
        mem: &M,
    ) -> Result<Option<DescriptorChain>, Error> {
        Queue::pop_descriptor_chain(self, mem)
    }

    fn go_to_previous_position(&mut self) {
        Queue::go_to_previous_position(self);
    }

    #[inline]
    fn add_used<M: GuestMemory>(
        &mut self,
        mem: &M,
        head_index: u16,
        len: u32,
    ) -> Result<(), Error> {
        Queue::add_used(self, mem, head_index, len)
    }

    fn add_used_batch<M: GuestMemory>(
        &mut self,
        mem: &M,
        chains: &[(u16, u32)],
    ) -> Result<(), Error> {
        Queue::add_used_batch(self, mem, chains)
    }

    fn needs_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, Error> {
        Queue::needs_notification(self, mem)
    }

    fn enable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, Error> {
        Queue::enable_notification(self, mem)
    }

    fn disable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<(), Error> {
        Queue::disable_notification(self, mem)
    }
}

/// The chains that were available when [`Queue::iter`] was called.
///
/// After an error the iterator yields the same error again: the position in the ring does not move.
pub struct AvailIter<'a, E, M: GuestMemory> {
    mem: &'a M,
    avail: AvailRing<'a, E, BS<'a, M::Bitmap>>,
    table: DescTable<'a, E, BS<'a, M::Bitmap>>,
    avail_idx: u16,
    indirect: bool,
    next_avail: &'a mut u16,
}

impl<E: ByteOrder, M: GuestMemory> AvailIter<'_, E, M> {
    #[inline]
    fn take(&mut self) -> Result<DescriptorChain, Error> {
        let mut chain = DescriptorChain::new(self.avail.head(*self.next_avail)?);
        walk(self.mem, &self.table, &mut chain, self.indirect)?;
        *self.next_avail = self.next_avail.wrapping_add(1);
        Ok(chain)
    }

    /// Puts back the chain taken last.
    pub fn go_to_previous_position(&mut self) {
        *self.next_avail = self.next_avail.wrapping_sub(1);
    }
}

impl<E: ByteOrder, M: GuestMemory> Iterator for AvailIter<'_, E, M> {
    type Item = Result<DescriptorChain, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if *self.next_avail == self.avail_idx {
            return None;
        }
        Some(self.take())
    }
}

impl<E, M: GuestMemory> core::fmt::Debug for AvailIter<'_, E, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AvailIter")
            .field("avail_idx", &self.avail_idx)
            .field("next_avail", &self.next_avail)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::bitmap::{AtomicBitmap, Bitmap};
    use vm_memory::{Bytes, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

    use super::*;
    use crate::mock::MockDriver;
    use crate::{BigEndian, Buffer, Descriptor, LittleEndian};

    const SIZE: u16 = 8;
    const BASE: GuestAddress = GuestAddress(0x2000);
    const READ: [Buffer; 1] = [Buffer::readable(0x8000, 16)];

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap()
    }

    fn features(bits: &[u32]) -> RingFeatures {
        RingFeatures::from_bits(bits.iter().map(|bit| 1 << bit).sum())
    }

    fn mock<'a>(
        mem: &'a GuestMemoryMmap,
        bits: &[u32],
    ) -> MockDriver<'a, BigEndian, GuestMemoryMmap> {
        MockDriver::new(mem, BASE, SIZE, features(bits))
    }

    #[test]
    fn test_sizes() {
        for size in [0, 3, 32769, u16::MAX] {
            assert_eq!(Queue::<BigEndian>::new(size), Err(Error::InvalidSize(size)));
        }
        let mut queue = Queue::<BigEndian>::new(256).unwrap();
        assert_eq!((queue.max_size(), queue.size()), (256, 256));
        assert_eq!(queue.try_set_size(0), Err(Error::InvalidSize(0)));
        assert_eq!(queue.try_set_size(12), Err(Error::InvalidSize(12)));
        let above = Error::SizeAboveMax {
            size: 512,
            max_size: 256,
        };
        assert_eq!(queue.try_set_size(512), Err(above));
        queue.try_set_size(1).unwrap();
        assert_eq!(queue.size(), 1);
    }

    #[test]
    fn test_alignment() {
        let mut queue = Queue::<BigEndian>::new(8).unwrap();
        let misaligned = |addr, align| Err(Error::Misaligned { addr, align });
        let at = GuestAddress;
        assert_eq!(queue.try_set_desc_table_address(at(8)), misaligned(8, 16));
        assert_eq!(queue.try_set_avail_ring_address(at(1)), misaligned(1, 2));
        assert_eq!(queue.try_set_used_ring_address(at(2)), misaligned(2, 4));
        let layout = Layout::legacy(8).unwrap();
        assert_eq!(queue.set_layout(at(8), &layout), misaligned(8, 16));
        assert_eq!(queue, Queue::new(8).unwrap());
        assert!(queue.set_layout(at(u64::MAX - 15), &layout).is_err());
        queue.set_layout(at(0x1000), &layout).unwrap();
        assert_eq!(queue.desc_table(), 0x1000);
        assert_eq!(queue.avail_ring(), 0x1080);
        assert_eq!(queue.used_ring(), 0x2000);
    }

    #[test]
    fn test_activate_checks_memory() {
        let mem = memory();
        let layout = Layout::contiguous(SIZE, 4).unwrap();
        let last = (0x10000 - layout.bytes() as u64) & !15;
        let mut queue = Queue::<BigEndian>::new(SIZE).unwrap();
        queue.set_layout(GuestAddress(last), &layout).unwrap();
        queue.activate(&mem).unwrap();
        queue.reset();
        queue.set_layout(GuestAddress(last + 16), &layout).unwrap();
        let used = Error::RingOutsideMemory {
            addr: last + 16 + layout.used_ring() as u64,
            len: 6 + 8 * usize::from(SIZE),
        };
        assert_eq!(queue.activate(&mem), Err(used));
        assert!(!queue.ready());
        for part in 0..3 {
            let mut queue = Queue::<BigEndian>::new(SIZE).unwrap();
            queue.set_layout(BASE, &layout).unwrap();
            let outside = GuestAddress(0x10000);
            match part {
                0 => queue.try_set_desc_table_address(outside),
                1 => queue.try_set_avail_ring_address(outside),
                _ => queue.try_set_used_ring_address(outside),
            }
            .unwrap();
            assert!(queue.activate(&mem).is_err());
        }
    }

    #[test]
    fn test_frozen_while_in_use() {
        let mem = memory();
        let mut queue = mock(&mem, &[]).device_queue();
        let state = queue.state();
        let layout = Layout::legacy(SIZE).unwrap();
        let at = GuestAddress(0x1000);
        assert_eq!(queue.try_set_size(4), Err(Error::InUse));
        assert_eq!(queue.try_set_desc_table_address(at), Err(Error::InUse));
        assert_eq!(queue.try_set_avail_ring_address(at), Err(Error::InUse));
        assert_eq!(queue.try_set_used_ring_address(at), Err(Error::InUse));
        assert_eq!(queue.set_layout(at, &layout), Err(Error::InUse));
        assert_eq!(queue.set_features(features(&[29])), Err(Error::InUse));
        assert_eq!(queue.activate(&mem), Err(Error::InUse));
        assert_eq!(queue.state(), state);
        queue.reset();
        assert_eq!(queue, Queue::new(SIZE).unwrap());
    }

    #[test]
    fn test_not_ready() {
        let mem = memory();
        let mut queue = Queue::<BigEndian>::new(SIZE).unwrap();
        assert_eq!(queue.pop_descriptor_chain(&mem), Err(Error::NotReady));
        assert_eq!(queue.iter(&mem).err(), Some(Error::NotReady));
        assert_eq!(queue.add_used(&mem, 0, 0), Err(Error::NotReady));
        assert_eq!(queue.needs_notification(&mem), Err(Error::NotReady));
        assert_eq!(queue.enable_notification(&mem), Err(Error::NotReady));
        assert_eq!(queue.disable_notification(&mem), Err(Error::NotReady));
        let order = Ordering::Relaxed;
        assert_eq!(queue.avail_idx(&mem, order), Err(Error::NotReady));
        assert_eq!(queue.used_idx(&mem, order), Err(Error::NotReady));
    }

    #[test]
    fn test_memory_that_vanished() {
        let mem = memory();
        let mut queue = mock(&mem, &[]).device_queue();
        let small = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let outside = |result| matches!(result, Err(Error::RingOutsideMemory { .. }));
        assert!(outside(queue.pop_descriptor_chain(&small).map(|_| ())));
        assert!(outside(queue.add_used(&small, 0, 0)));
        assert!(outside(queue.enable_notification(&small).map(|_| ())));
        assert!(outside(queue.disable_notification(&small)));
        assert!(outside(queue.needs_notification(&small).map(|_| ())));
    }

    #[test]
    fn test_parts_apart() {
        // Three regions with one part each, so that no two parts are one piece of host memory.
        let regions = [0x1000, 0x3000, 0x5000].map(|addr| (GuestAddress(addr), 0x1000));
        let mem = GuestMemoryMmap::<()>::from_ranges(&regions).unwrap();
        let mut queue = Queue::<LittleEndian>::new(SIZE).unwrap();
        let (desc, avail, used) = (0x1000, 0x3000, 0x5000);
        queue
            .try_set_desc_table_address(GuestAddress(desc))
            .unwrap();
        queue
            .try_set_avail_ring_address(GuestAddress(avail))
            .unwrap();
        queue.try_set_used_ring_address(GuestAddress(used)).unwrap();
        queue.activate(&mem).unwrap();
        let buffer = Descriptor {
            addr: 0x1800,
            len: 4,
            flags: 0,
            next: 0,
        };
        let bytes = buffer.to_bytes::<LittleEndian>();
        mem.write_slice(&bytes, GuestAddress(desc + 16)).unwrap();
        mem.write_slice(&[0, 0, 1, 0, 1, 0], GuestAddress(avail))
            .unwrap();
        let chain = queue.pop_descriptor_chain(&mem).unwrap().unwrap();
        assert_eq!((chain.head_index(), chain.readable_bytes()), (1, 4));
        queue.add_used(&mem, 1, 5).unwrap();
        let mut bytes = [0; 12];
        mem.read_slice(&mut bytes, GuestAddress(used)).unwrap();
        assert_eq!(bytes, [0, 0, 1, 0, 1, 0, 0, 0, 5, 0, 0, 0]);
    }

    #[test]
    fn test_what_is_written_is_dirty() {
        type Memory = GuestMemoryMmap<AtomicBitmap>;
        type Operation = fn(&mut Queue<BigEndian>, &Memory);
        let operations: [(Operation, bool); 6] = [
            (
                |queue, mem| assert_eq!(queue.pop_descriptor_chain(mem), Ok(None)),
                false,
            ),
            (|queue, mem| queue.add_used(mem, 0, 0).unwrap(), true),
            (
                |queue, mem| queue.add_used_batch(mem, &[(0, 0)]).unwrap(),
                true,
            ),
            (
                |queue, mem| assert_eq!(queue.needs_notification(mem), Ok(false)),
                false,
            ),
            (
                |queue, mem| assert_eq!(queue.enable_notification(mem), Ok(false)),
                true,
            ),
            (|queue, mem| queue.disable_notification(mem).unwrap(), true),
        ];
        for (operation, writes) in operations {
            let regions = [(GuestAddress(0), 0x1000), (GuestAddress(0x1000), 0x8000)];
            let mem = Memory::from_ranges(&regions).unwrap();
            let mut queue = Queue::new(SIZE).unwrap();
            let layout = Layout::legacy(SIZE).unwrap();
            queue.set_layout(BASE, &layout).unwrap();
            queue.activate(&mem).unwrap();
            operation(&mut queue, &mem);
            let dirty = |addr: u64| {
                let region = mem.find_region(GuestAddress(addr)).unwrap();
                region
                    .bitmap()
                    .dirty_at((addr - region.start_addr().0) as usize)
            };
            for page in (0..0x9000).step_by(0x1000) {
                assert_eq!(
                    dirty(page),
                    writes && page == queue.used_ring(),
                    "{page:#x}"
                );
            }
        }
    }

    #[test]
    fn test_adjacent_parts_across_regions() {
        // The border lies just between descriptor table and available ring.
        let regions = [(GuestAddress(0), 0x2080), (GuestAddress(0x2080), 0x4000)];
        let mem = GuestMemoryMmap::<()>::from_ranges(&regions).unwrap();
        let mut mock = MockDriver::<BigEndian, _>::new(&mem, BASE, SIZE, features(&[]));
        let mut queue = mock.device_queue();
        mock.add_chain(&[Buffer::readable(0x1000, 1)]);
        assert!(queue.pop_descriptor_chain(&mem).unwrap().is_some());
    }

    #[test]
    fn test_pop_and_go_back() {
        let mem = memory();
        let mut mock = mock(&mem, &[]);
        let mut queue = mock.device_queue();
        assert_eq!(queue.pop_descriptor_chain(&mem), Ok(None));
        let heads = [mock.add_chain(&READ), mock.add_chain(&READ)];
        let pop = |queue: &mut Queue<_>| {
            let chain = queue.pop_descriptor_chain(&mem).unwrap();
            chain.map(|chain| chain.head_index())
        };
        assert_eq!(pop(&mut queue), Some(heads[0]));
        assert_eq!(pop(&mut queue), Some(heads[1]));
        assert_eq!(pop(&mut queue), None);
        assert_eq!(queue.next_avail(), 2);
        queue.go_to_previous_position();
        assert_eq!(pop(&mut queue), Some(heads[1]));
        assert_eq!(queue.avail_idx(&mem, Ordering::Relaxed), Ok(2));
    }

    #[test]
    fn test_iter() {
        let mem = memory();
        let mut mock = mock(&mem, &[]);
        let mut queue = mock.device_queue();
        mock.add_chain(&READ);
        mock.add_chain(&READ);
        let mut iter = queue.iter(&mem).unwrap();
        assert!(iter.next().unwrap().is_ok());
        // What comes now is for the next call.
        mock.add_chain(&READ);
        assert!(iter.next().unwrap().is_ok());
        assert!(iter.next().is_none());
        iter.go_to_previous_position();
        assert_eq!(iter.next().unwrap().unwrap().head_index(), 1);
        assert_eq!(queue.iter(&mem).unwrap().count(), 1);
        assert_eq!(queue.next_avail(), 3);
    }

    #[test]
    fn test_indices_wrap() {
        let mem = memory();
        let mut mock = mock(&mem, &[]);
        let mut queue = mock.device_queue();
        for i in 0..=u16::MAX {
            let head = mock.add_chain(&READ);
            let chain = queue.pop_descriptor_chain(&mem).unwrap().unwrap();
            assert_eq!(chain.head_index(), head);
            queue.add_used(&mem, head, u32::from(i)).unwrap();
            assert_eq!(mock.used_element(i), (u32::from(head), u32::from(i)));
            assert_eq!(mock.driver().pop_used().unwrap().unwrap().head, head);
        }
        assert_eq!((queue.next_avail(), queue.next_used()), (0, 0));
        assert_eq!(queue.used_idx(&mem, Ordering::Relaxed), Ok(0));
    }

    #[test]
    fn test_avail_index_ahead() {
        let mem = memory();
        let mock = mock(&mem, &[]);
        let mut queue = mock.device_queue();
        for next_avail in [0, 1, u16::MAX] {
            queue.set_next_avail(next_avail);
            mock.set_avail_idx(next_avail.wrapping_add(SIZE));
            assert_eq!(queue.iter(&mem).map(|_| ()), Ok(()));
            for ahead in [SIZE + 1, u16::MAX] {
                let avail_idx = next_avail.wrapping_add(ahead);
                mock.set_avail_idx(avail_idx);
                let error = Error::AvailIndexAhead {
                    avail_idx,
                    next_avail,
                    size: SIZE,
                };
                assert_eq!(queue.pop_descriptor_chain(&mem), Err(error));
                assert_eq!(queue.iter(&mem).err(), Some(error));
            }
        }
    }

    #[test]
    fn test_a_batch_becomes_visible_at_once() {
        let mem = memory();
        let mut mock = mock(&mem, &[]);
        let heads = [0; 3].map(|_| mock.add_chain(&[Buffer::writable(0x8000, 4)]));
        let mut queue = mock.device_queue();
        for _ in heads {
            queue.pop_descriptor_chain(&mem).unwrap().unwrap();
        }
        let batch = heads.map(|head| (head, u32::from(head) + 1));
        let error = Err(Error::InvalidHead { head: 8, size: 8 });
        assert_eq!(queue.add_used_batch(&mem, &[batch[0], (8, 0)]), error);
        assert_eq!((mock.used_idx(), queue.next_used()), (0, 0));
        queue.add_used_batch(&mem, &batch).unwrap();
        assert_eq!((mock.used_idx(), queue.state().num_added), (3, 3));
        for (head, len) in batch {
            let used = mock.driver().pop_used().unwrap().unwrap();
            assert_eq!((used.head, used.len), (head, len));
        }
    }

    #[test]
    fn test_add_used() {
        let mem = memory();
        let mock = mock(&mem, &[]);
        let mut queue = mock.device_queue();
        for head in [SIZE, u16::MAX] {
            let error = Error::InvalidHead { head, size: SIZE };
            assert_eq!(queue.add_used(&mem, head, 0), Err(error));
        }
        assert_eq!((mock.used_idx(), queue.next_used()), (0, 0));
        queue.add_used(&mem, 7, 0x0102_0304).unwrap();
        let mut bytes = [0; 12];
        let used = GuestAddress(BASE.0 + mock.layout().used_ring() as u64);
        mem.read_slice(&mut bytes, used).unwrap();
        assert_eq!(bytes, [0, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4]);
    }

    #[test]
    fn test_no_interrupt() {
        let mem = memory();
        let mock = mock(&mem, &[]);
        let mut queue = mock.device_queue();
        assert_eq!(queue.needs_notification(&mem), Ok(false));
        queue.add_used(&mem, 0, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(true));
        assert_eq!(queue.needs_notification(&mem), Ok(false));
        mock.set_avail_flags(VIRTQ_AVAIL_F_NO_INTERRUPT);
        queue.add_used(&mem, 0, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(false));
        // Other bits of the flags have no meaning; used_event has none without EVENT_IDX.
        mock.set_avail_flags(!VIRTQ_AVAIL_F_NO_INTERRUPT);
        mock.set_used_event(1000);
        queue.add_used(&mem, 0, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(true));
    }

    #[test]
    fn test_notify_on_empty() {
        let mem = memory();
        for (bits, expected) in [(&[24][..], true), (&[24, 29], true), (&[29], false)] {
            let mut mock = mock(&mem, bits);
            let mut queue = mock.device_queue();
            // Neither the flag nor the event asks for an interrupt.
            mock.set_avail_flags(VIRTQ_AVAIL_F_NO_INTERRUPT);
            mock.set_used_event(1000);
            mock.add_chain(&READ);
            mock.add_chain(&READ);
            let mut pop = || {
                let chain = queue.pop_descriptor_chain(&mem).unwrap().unwrap();
                (queue.clone(), chain.head_index())
            };
            let (mut one_left, head) = pop();
            one_left.add_used(&mem, head, 0).unwrap();
            assert_eq!(one_left.needs_notification(&mem), Ok(false));
            // Taken, but not returned.
            let (mut in_flight, _) = pop();
            in_flight.add_used(&mem, head, 0).unwrap();
            assert_eq!(in_flight.needs_notification(&mem), Ok(false));
            in_flight.add_used(&mem, head, 0).unwrap();
            assert_eq!(in_flight.needs_notification(&mem), Ok(expected));
        }
    }

    #[test]
    fn test_used_event() {
        let mem = memory();
        let mock = mock(&mem, &[29]);
        let mut queue = mock.device_queue();
        // The flag has no meaning with EVENT_IDX.
        mock.set_avail_flags(VIRTQ_AVAIL_F_NO_INTERRUPT);
        mock.set_used_event(0);
        queue.add_used(&mem, 0, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(true));
        queue.add_used(&mem, 0, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(false));
        mock.set_used_event(3);
        queue.add_used(&mem, 0, 0).unwrap();
        assert_eq!(queue.needs_notification(&mem), Ok(false));
        for _ in 0..3 {
            queue.add_used(&mem, 0, 0).unwrap();
        }
        assert_eq!(queue.needs_notification(&mem), Ok(true));
        assert_eq!(queue.needs_notification(&mem), Ok(false));
    }

    #[test]
    fn test_used_event_after_a_whole_turn() {
        let mem = memory();
        let mock = mock(&mem, &[29]);
        let mut queue = mock.device_queue();
        mock.set_used_event(10);
        for _ in 0..=u16::MAX {
            queue.add_used(&mem, 0, 0).unwrap();
        }
        assert_eq!(queue.needs_notification(&mem), Ok(true));
    }

    #[test]
    fn test_notification_by_flag() {
        let mem = memory();
        let mut mock = mock(&mem, &[]);
        let mut queue = mock.device_queue();
        queue.disable_notification(&mem).unwrap();
        assert_eq!(mock.used_flags(), VIRTQ_USED_F_NO_NOTIFY);
        assert_eq!(queue.enable_notification(&mem), Ok(false));
        assert_eq!((mock.used_flags(), mock.avail_event()), (0, 0));
        mock.add_chain(&READ);
        assert_eq!(queue.enable_notification(&mem), Ok(true));
        queue.pop_descriptor_chain(&mem).unwrap();
        assert_eq!(queue.enable_notification(&mem), Ok(false));
        assert_eq!(mock.avail_event(), 0);
    }

    #[test]
    fn test_notification_by_event() {
        let mem = memory();
        let mut mock = mock(&mem, &[29]);
        let mut queue = mock.device_queue();
        queue.disable_notification(&mem).unwrap();
        assert_eq!(mock.used_flags(), 0);
        mock.add_chain(&READ);
        queue.pop_descriptor_chain(&mem).unwrap();
        assert_eq!(queue.enable_notification(&mem), Ok(false));
        assert_eq!((mock.used_flags(), mock.avail_event()), (0, 1));
        mock.add_chain(&READ);
        assert_eq!(queue.enable_notification(&mem), Ok(true));
        assert_eq!(mock.avail_event(), 1);
    }

    #[test]
    fn test_state() {
        let mem = memory();
        let mut mock = mock(&mem, &[29]);
        let mut queue = mock.device_queue();
        let head = mock.add_chain(&READ);
        mock.add_chain(&READ);
        queue.pop_descriptor_chain(&mem).unwrap();
        queue.add_used(&mem, head, 0).unwrap();
        let state = queue.state();
        let mut restored = Queue::<BigEndian>::from_state(&state).unwrap();
        assert_eq!(restored, queue);
        assert_eq!(restored.needs_notification(&mem), Ok(true));
        assert!(restored.pop_descriptor_chain(&mem).unwrap().is_some());
        for broken in [
            QueueState {
                max_size: 3,
                ..state
            },
            QueueState { size: 16, ..state },
            QueueState {
                desc_table: 1,
                ..state
            },
            QueueState {
                avail_ring: 1,
                ..state
            },
            QueueState {
                used_ring: 2,
                ..state
            },
        ] {
            assert!(Queue::<BigEndian>::from_state(&broken).is_err());
        }
    }

    #[test]
    fn test_misaligned_host_memory() {
        // A region may start anywhere, so that aligned guest addresses are odd in host memory.
        let mem = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(1), 0x10000)]).unwrap();
        let mut queue = Queue::<BigEndian>::new(SIZE).unwrap();
        let layout = Layout::legacy(SIZE).unwrap();
        queue.set_layout(BASE, &layout).unwrap();
        assert!(matches!(
            queue.activate(&mem),
            Err(Error::RingOutsideMemory { .. })
        ));
    }
}
