// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The three parts of a queue as slices of host memory, looked up once per operation.
//!
//! The lookup is repeated in each operation because only the borrow of the guest memory proves that it is
//! still mapped. Everything after it is arithmetic within the slice.

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use vm_memory::bitmap::{BitmapSlice, WithBitmapSlice, BS};
use vm_memory::{Bytes, GuestAddress, GuestMemory, Permissions, VolatileSlice};

use super::Error;
use crate::geometry::{
    avail_event_offset, avail_ring_size, desc_table_size, used_event_offset, used_ring_size,
    AVAIL_ELEMENT_SIZE, RING_ELEMENTS_OFFSET, RING_FLAGS_OFFSET, RING_IDX_OFFSET,
    USED_ELEMENT_SIZE,
};
use crate::{ByteOrder, Descriptor};

/// Where a queue lies in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) size: u16,
    pub(super) desc_table: GuestAddress,
    pub(super) avail_ring: GuestAddress,
    pub(super) used_ring: GuestAddress,
}

impl Areas {
    #[inline]
    pub(super) fn desc_table<'a, E: ByteOrder, M: GuestMemory>(
        &self,
        mem: &'a M,
    ) -> Result<DescTable<'a, E, BS<'a, M::Bitmap>>, Error> {
        let len = desc_table_size(self.size);
        Part::new(mem, self.desc_table, len, Permissions::Read).map(|part| DescTable {
            part,
            size: self.size,
        })
    }

    /// Table and available ring, which mostly lie side by side and then cost one lookup instead of two.
    #[inline]
    pub(super) fn driver_parts<'a, E: ByteOrder, M: GuestMemory>(
        &self,
        mem: &'a M,
    ) -> Result<DriverParts<'a, E, BS<'a, M::Bitmap>>, Error> {
        let table_len = desc_table_size(self.size);
        let adjacent = self.desc_table.0.checked_add(table_len as u64) == Some(self.avail_ring.0);
        if adjacent {
            let len = table_len + avail_ring_size(self.size);
            let slice = host_slice(mem, self.desc_table, len, Permissions::Read);
            if let Some((table, avail)) = slice.and_then(|slice| slice.split_at(table_len).ok()) {
                let table = DescTable {
                    part: Part::from_slice(table, self.desc_table),
                    size: self.size,
                };
                let avail = AvailRing {
                    part: Part::from_slice(avail, self.avail_ring),
                    size: self.size,
                };
                return Ok((table, avail));
            }
        }
        Ok((self.desc_table(mem)?, self.avail_ring(mem)?))
    }

    #[inline]
    pub(super) fn avail_ring<'a, E: ByteOrder, M: GuestMemory>(
        &self,
        mem: &'a M,
    ) -> Result<AvailRing<'a, E, BS<'a, M::Bitmap>>, Error> {
        let len = avail_ring_size(self.size);
        Part::new(mem, self.avail_ring, len, Permissions::Read).map(|part| AvailRing {
            part,
            size: self.size,
        })
    }

    #[inline]
    pub(super) fn used_ring<'a, E: ByteOrder, M: GuestMemory>(
        &self,
        mem: &'a M,
    ) -> Result<UsedRing<'a, E, BS<'a, M::Bitmap>>, Error> {
        let len = used_ring_size(self.size);
        Part::new(mem, self.used_ring, len, Permissions::ReadWrite).map(|part| UsedRing {
            part,
            size: self.size,
        })
    }
}

/// `len` bytes of guest memory, if they are one piece of host memory.
#[inline]
pub(super) fn host_slice<M: GuestMemory>(
    mem: &M,
    addr: GuestAddress,
    len: usize,
    access: Permissions,
) -> Option<VolatileSlice<'_, BS<'_, M::Bitmap>>> {
    let slice = mem.get_slices(addr, len, access).ok()?.next()?.ok()?;
    (slice.len() == len).then_some(slice)
}

/// The parts that the driver writes.
type DriverParts<'a, E, B> = (DescTable<'a, E, B>, AvailRing<'a, E, B>);

/// A part of a queue in host memory.
struct Part<'a, E, B> {
    slice: VolatileSlice<'a, B>,
    addr: GuestAddress,
    _order: PhantomData<E>,
}

impl<'a, E: ByteOrder, B: BitmapSlice> Part<'a, E, B> {
    #[inline]
    fn new<M>(
        mem: &'a M,
        addr: GuestAddress,
        len: usize,
        access: Permissions,
    ) -> Result<Self, Error>
    where
        M: GuestMemory,
        M::Bitmap: WithBitmapSlice<'a, S = B>,
    {
        host_slice(mem, addr, len, access)
            .map(|slice| Part::from_slice(slice, addr))
            .ok_or(Error::RingOutsideMemory { addr: addr.0, len })
    }

    #[inline]
    fn from_slice(slice: VolatileSlice<'a, B>, addr: GuestAddress) -> Self {
        Part {
            slice,
            addr,
            _order: PhantomData,
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

    #[inline]
    fn load(&self, offset: usize, order: Ordering) -> Result<u16, Error> {
        match self.slice.load::<u16>(offset, order) {
            Ok(value) => Ok(E::u16(value)),
            Err(_) => Err(self.error()),
        }
    }

    #[inline]
    fn store(&self, offset: usize, value: u16, order: Ordering) -> Result<(), Error> {
        self.slice
            .store(E::u16(value), offset, order)
            .map_err(|_| self.error())
    }
}

/// The descriptor table.
pub(super) struct DescTable<'a, E, B> {
    part: Part<'a, E, B>,
    size: u16,
}

impl<E: ByteOrder, B: BitmapSlice> DescTable<'_, E, B> {
    pub(super) fn size(&self) -> u16 {
        self.size
    }

    /// The descriptor at `index`, read once; `None` outside the table.
    #[inline]
    pub(super) fn get(&self, index: u16) -> Option<Descriptor> {
        let offset = Descriptor::SIZE * usize::from(index);
        read_descriptor::<E, B>(&self.part.slice, offset)
    }
}

/// The descriptor at `offset` bytes in a table, each byte read once; `None` outside the table.
#[inline]
pub(super) fn read_descriptor<E: ByteOrder, B: BitmapSlice>(
    table: &VolatileSlice<'_, B>,
    offset: usize,
) -> Option<Descriptor> {
    let mut bytes = [0; Descriptor::SIZE];
    let half = |offset| table.load::<u64>(offset, Ordering::Relaxed);
    // Aligned, as a queue's own table is, two loads do.
    if let Ok(first) = half(offset) {
        bytes[..8].copy_from_slice(&first.to_ne_bytes());
        bytes[8..].copy_from_slice(&half(offset + 8).ok()?.to_ne_bytes());
    } else {
        table.read_slice(&mut bytes, offset).ok()?;
    }
    Some(Descriptor::from_bytes::<E>(bytes))
}

/// The available ring.
pub(super) struct AvailRing<'a, E, B> {
    part: Part<'a, E, B>,
    size: u16,
}

impl<E: ByteOrder, B: BitmapSlice> AvailRing<'_, E, B> {
    #[inline]
    pub(super) fn flags(&self) -> Result<u16, Error> {
        self.part.load(RING_FLAGS_OFFSET, Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn idx(&self, order: Ordering) -> Result<u16, Error> {
        self.part.load(RING_IDX_OFFSET, order)
    }

    /// The head at `idx`, which counts modulo 2^16.
    #[inline]
    pub(super) fn head(&self, idx: u16) -> Result<u16, Error> {
        let slot = usize::from(idx & (self.size - 1));
        self.part.load(
            RING_ELEMENTS_OFFSET + AVAIL_ELEMENT_SIZE * slot,
            Ordering::Relaxed,
        )
    }

    #[inline]
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
    #[inline]
    pub(super) fn set_flags(&self, flags: u16) -> Result<(), Error> {
        self.part.store(RING_FLAGS_OFFSET, flags, Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn idx(&self, order: Ordering) -> Result<u16, Error> {
        self.part.load(RING_IDX_OFFSET, order)
    }

    #[inline]
    pub(super) fn set_idx(&self, idx: u16, order: Ordering) -> Result<(), Error> {
        self.part.store(RING_IDX_OFFSET, idx, order)
    }

    /// Writes the element at `idx`, which counts modulo 2^16.
    #[inline]
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

    #[inline]
    pub(super) fn set_avail_event(&self, idx: u16) -> Result<(), Error> {
        self.part
            .store(avail_event_offset(self.size), idx, Ordering::Relaxed)
    }
}
