// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The three parts of a queue as slices of host memory, looked up once per operation.
//!
//! The lookup is repeated in each operation because only the borrow of the guest memory proves that it is
//! still mapped. Everything after it is arithmetic within the slice.

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use vm_memory::bitmap::{BitmapSlice, BS};
use vm_memory::{
    Bytes, GuestAddress, GuestMemory, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress,
    Permissions, VolatileSlice,
};

use super::Error;
use crate::geometry::{
    avail_event_offset, avail_ring_size, desc_table_size, used_event_offset, used_ring_size,
    AVAIL_ELEMENT_SIZE, RING_ELEMENTS_OFFSET, RING_FLAGS_OFFSET, RING_IDX_OFFSET,
    USED_ELEMENT_SIZE,
};
use crate::{ByteOrder, Descriptor};

/// A range of guest memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    start: u64,
    len: u64,
}

impl Extent {
    pub(super) const NONE: Extent = Extent { start: 0, len: 0 };

    /// Whether all of `len` bytes (not zero) at `addr` are inside.
    #[inline(always)]
    pub(super) fn contains(&self, addr: u64, len: u32) -> bool {
        let offset = addr.wrapping_sub(self.start);
        offset < self.len && u64::from(len) <= self.len - offset
    }
}

/// Where the parts of a queue are looked up.
pub(super) trait Place<'a> {
    type Bitmap: BitmapSlice;

    /// `len` bytes of guest memory, if they are here and one piece of host memory.
    fn slice(
        &self,
        addr: GuestAddress,
        len: usize,
        access: Permissions,
    ) -> Option<VolatileSlice<'a, Self::Bitmap>>;

    /// Guest memory that exists for sure.
    fn extent(&self) -> Extent;
}

/// One region: where nearly every queue is, with all its parts and most of its buffers.
pub(super) struct Region<'a, R> {
    region: &'a R,
    extent: Extent,
}

type RegionOf<M> = <<M as GuestMemory>::PhysicalMemory as GuestMemoryBackend>::R;

/// The region with `addr`; an IOMMU shows none.
#[inline(always)]
pub(super) fn region_at<M: GuestMemory>(
    mem: &M,
    addr: GuestAddress,
) -> Option<Region<'_, RegionOf<M>>> {
    let region = mem.physical_memory()?.find_region(addr)?;
    Some(Region {
        region,
        extent: Extent {
            start: region.start_addr().0,
            len: region.len(),
        },
    })
}

impl<'a, R: GuestMemoryRegion> Place<'a> for Region<'a, R> {
    type Bitmap = BS<'a, R::B>;

    #[inline(always)]
    fn slice(
        &self,
        addr: GuestAddress,
        len: usize,
        _: Permissions,
    ) -> Option<VolatileSlice<'a, Self::Bitmap>> {
        let offset = MemoryRegionAddress(addr.0.wrapping_sub(self.extent.start));
        let slice = self.region.get_slice(offset, len).ok()?;
        (slice.len() == len).then_some(slice)
    }

    #[inline(always)]
    fn extent(&self) -> Extent {
        self.extent
    }
}

/// All of guest memory, whatever it consists of.
pub(super) struct Anywhere<'a, M>(pub(super) &'a M);

impl<'a, M: GuestMemory> Place<'a> for Anywhere<'a, M> {
    type Bitmap = BS<'a, M::Bitmap>;

    #[inline]
    fn slice(
        &self,
        addr: GuestAddress,
        len: usize,
        access: Permissions,
    ) -> Option<VolatileSlice<'a, Self::Bitmap>> {
        let slice = self.0.get_slices(addr, len, access).ok()?.next()?.ok()?;
        (slice.len() == len).then_some(slice)
    }

    #[inline]
    fn extent(&self) -> Extent {
        Extent::NONE
    }
}

/// Where a queue lies in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) size: u16,
    pub(super) desc_table: GuestAddress,
    pub(super) avail_ring: GuestAddress,
    pub(super) used_ring: GuestAddress,
}

impl Areas {
    #[inline(always)]
    pub(super) fn desc_table<'a, E: ByteOrder, P: Place<'a>>(
        &self,
        place: &P,
    ) -> Result<DescTable<'a, E, P::Bitmap>, Error> {
        let len = desc_table_size(self.size);
        Ok(DescTable {
            part: Part::new(place, self.desc_table, len, Permissions::Read)?,
            size: self.size,
            known: place.extent(),
        })
    }

    #[inline(always)]
    pub(super) fn avail_ring<'a, E: ByteOrder, P: Place<'a>>(
        &self,
        place: &P,
    ) -> Result<AvailRing<'a, E, P::Bitmap>, Error> {
        let len = avail_ring_size(self.size);
        Ok(AvailRing {
            part: Part::new(place, self.avail_ring, len, Permissions::Read)?,
            size: self.size,
        })
    }

    #[inline(always)]
    pub(super) fn used_ring<'a, E: ByteOrder, P: Place<'a>>(
        &self,
        place: &P,
    ) -> Result<UsedRing<'a, E, P::Bitmap>, Error> {
        let len = used_ring_size(self.size);
        Ok(UsedRing {
            part: Part::new(place, self.used_ring, len, Permissions::ReadWrite)?,
            size: self.size,
        })
    }
}

/// A part of a queue in host memory.
struct Part<'a, E, B> {
    slice: VolatileSlice<'a, B>,
    addr: GuestAddress,
    _order: PhantomData<E>,
}

impl<'a, E: ByteOrder, B: BitmapSlice> Part<'a, E, B> {
    #[inline(always)]
    fn new<P: Place<'a, Bitmap = B>>(
        place: &P,
        addr: GuestAddress,
        len: usize,
        access: Permissions,
    ) -> Result<Self, Error> {
        match place.slice(addr, len, access) {
            Some(slice) => Ok(Part {
                slice,
                addr,
                _order: PhantomData,
            }),
            None => Err(Error::RingOutsideMemory { addr: addr.0, len }),
        }
    }

    /// An access failed: it was misaligned in host memory, since all offsets are within the slice.
    #[cold]
    fn error(&self) -> Error {
        Error::RingOutsideMemory {
            addr: self.addr.0,
            len: self.slice.len(),
        }
    }

    #[inline(always)]
    fn load(&self, offset: usize, order: Ordering) -> Result<u16, Error> {
        match self.slice.load::<u16>(offset, order) {
            Ok(value) => Ok(E::u16(value)),
            Err(_) => Err(self.error()),
        }
    }

    #[inline(always)]
    fn store(&self, offset: usize, value: u16, order: Ordering) -> Result<(), Error> {
        match self.slice.store(E::u16(value), offset, order) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.error()),
        }
    }
}

/// The descriptor table.
pub(super) struct DescTable<'a, E, B> {
    part: Part<'a, E, B>,
    size: u16,
    known: Extent,
}

impl<E: ByteOrder, B: BitmapSlice> DescTable<'_, E, B> {
    pub(super) fn size(&self) -> u16 {
        self.size
    }

    pub(super) fn set_known<'p, P: Place<'p>>(&mut self, place: &P) {
        self.known = place.extent();
    }

    /// Guest memory that exists for sure.
    #[inline(always)]
    pub(super) fn known(&self) -> Extent {
        self.known
    }

    /// The descriptor at `index`, read once; `None` outside the table.
    #[inline(always)]
    pub(super) fn get(&self, index: u16) -> Option<Descriptor> {
        let offset = Descriptor::SIZE * usize::from(index);
        read_descriptor::<E, B>(&self.part.slice, offset)
    }
}

/// The descriptor at `offset` bytes in a table, each byte read once; `None` outside the table.
#[inline(always)]
pub(super) fn read_descriptor<E: ByteOrder, B: BitmapSlice>(
    table: &VolatileSlice<'_, B>,
    offset: usize,
) -> Option<Descriptor> {
    let mut bytes = [0; Descriptor::SIZE];
    let entry = table.subslice(offset, Descriptor::SIZE).ok()?;
    let half = |offset| entry.load::<u64>(offset, Ordering::Relaxed);
    // Aligned, as a queue's own table is, two loads do.
    if let Ok(first) = half(0) {
        bytes[..8].copy_from_slice(&first.to_ne_bytes());
        bytes[8..].copy_from_slice(&half(8).ok()?.to_ne_bytes());
    } else {
        entry.read_slice(&mut bytes, 0).ok()?;
    }
    Some(Descriptor::from_bytes::<E>(bytes))
}

/// The available ring.
pub(super) struct AvailRing<'a, E, B> {
    part: Part<'a, E, B>,
    size: u16,
}

impl<E: ByteOrder, B: BitmapSlice> AvailRing<'_, E, B> {
    #[inline(always)]
    pub(super) fn flags(&self) -> Result<u16, Error> {
        self.part.load(RING_FLAGS_OFFSET, Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn idx(&self, order: Ordering) -> Result<u16, Error> {
        self.part.load(RING_IDX_OFFSET, order)
    }

    /// The head at `idx`, which counts modulo 2^16.
    #[inline(always)]
    pub(super) fn head(&self, idx: u16) -> Result<u16, Error> {
        let slot = usize::from(idx & (self.size - 1));
        self.part.load(
            RING_ELEMENTS_OFFSET + AVAIL_ELEMENT_SIZE * slot,
            Ordering::Relaxed,
        )
    }

    #[inline(always)]
    pub(super) fn used_event(&self) -> Result<u16, Error> {
        self.part
            .load(used_event_offset(self.size), Ordering::Relaxed)
    }
}

/// The used ring.
pub(super) struct UsedRing<'a, E, B> {
    part: Part<'a, E, B>,
    size: u16,
}

impl<E: ByteOrder, B: BitmapSlice> UsedRing<'_, E, B> {
    #[inline(always)]
    pub(super) fn set_flags(&self, flags: u16) -> Result<(), Error> {
        self.part.store(RING_FLAGS_OFFSET, flags, Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn idx(&self, order: Ordering) -> Result<u16, Error> {
        self.part.load(RING_IDX_OFFSET, order)
    }

    #[inline(always)]
    pub(super) fn set_idx(&self, idx: u16, order: Ordering) -> Result<(), Error> {
        self.part.store(RING_IDX_OFFSET, idx, order)
    }

    /// Writes the element at `idx`, which counts modulo 2^16.
    #[inline(always)]
    pub(super) fn set_element(&self, idx: u16, id: u32, len: u32) -> Result<(), Error> {
        let slot = usize::from(idx & (self.size - 1));
        let offset = RING_ELEMENTS_OFFSET + USED_ELEMENT_SIZE * slot;
        self.part
            .slice
            .store(E::u32(id), offset, Ordering::Relaxed)
            .and_then(|()| {
                self.part
                    .slice
                    .store(E::u32(len), offset + 4, Ordering::Relaxed)
            })
            .map_err(|_| self.part.error())
    }

    #[inline(always)]
    pub(super) fn set_avail_event(&self, idx: u16) -> Result<(), Error> {
        self.part
            .store(avail_event_offset(self.size), idx, Ordering::Relaxed)
    }
}
