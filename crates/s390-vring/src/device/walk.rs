// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From a head to a validated chain: the one place that follows descriptors (virtio 1.2, 2.7.5).
//!
//! Each descriptor is copied out of guest memory exactly once and judged by the copy, so a guest that
//! changes it meanwhile gains nothing. Descriptors of zero bytes are legal, carry nothing and are left out.

use vm_memory::bitmap::BitmapSlice;
use vm_memory::{
    Address, Bytes, GuestAddress, GuestMemory, GuestMemoryBackend, GuestMemoryRegion, Permissions,
};

use super::ring::{host_slice, read_descriptor, DescTable};
use super::{DescriptorChain, Error, Segment};
use crate::{ByteOrder, Descriptor};

/// Most descriptors of a chain with an indirect table, unless the queue itself is larger.
///
/// Drivers exceed the queue's size there although virtio 1.2, 2.7.5.3.1, forbids it; this is as many as
/// hosts commonly take in one vectored read or write.
pub const MAX_INDIRECT_CHAIN: u16 = 1024;

/// Takes the chain at `head`, or says what is wrong with it.
#[inline]
pub(super) fn walk<E, B, M>(
    mem: &M,
    table: &DescTable<'_, E, B>,
    head: u16,
    indirect_allowed: bool,
) -> Result<DescriptorChain, Error>
where
    E: ByteOrder,
    B: BitmapSlice,
    M: GuestMemory,
{
    let mut walk = Walk {
        mem,
        chain: DescriptorChain::new(head),
        count: 0,
        max: table.size(),
        bytes: 0,
        writable: false,
        known: None,
    };
    let mut index = head;
    loop {
        let desc = table.get(index).ok_or(Error::DescriptorIndex {
            index,
            size: table.size(),
        })?;
        if desc.refers_to_indirect_table() {
            if !indirect_allowed {
                return Err(Error::IndirectNotNegotiated { head });
            }
            if desc.has_next() {
                return Err(Error::IndirectMisplaced { head });
            }
            return walk.indirect::<E>(desc);
        }
        walk.add(desc)?;
        if !desc.has_next() {
            return Ok(walk.chain);
        }
        index = desc.next;
    }
}

/// A chain in the making.
struct Walk<'m, M> {
    mem: &'m M,
    chain: DescriptorChain,
    count: u16,
    max: u16,
    bytes: u32,
    /// Whether a writable descriptor has been seen.
    writable: bool,
    /// A range of guest memory, from first to last address, that is known to exist.
    known: Option<(u64, u64)>,
}

impl<M: GuestMemory> Walk<'_, M> {
    /// Follows the table that `desc`, the last direct descriptor, refers to. Its write flag has no meaning.
    fn indirect<E: ByteOrder>(mut self, desc: Descriptor) -> Result<DescriptorChain, Error> {
        let head = self.chain.head_index();
        let Some(size) = table_size(desc.len) else {
            return Err(Error::IndirectTableLength { len: desc.len });
        };
        self.check(desc.addr, desc.len, Permissions::Read)?;
        let table = host_slice(
            self.mem,
            GuestAddress(desc.addr),
            desc.len as usize,
            Permissions::Read,
        );
        self.max = self.max.max(MAX_INDIRECT_CHAIN);
        let mut index = 0;
        loop {
            if index >= size {
                return Err(Error::DescriptorIndex { index, size });
            }
            let offset = Descriptor::SIZE * usize::from(index);
            let entry = match &table {
                Some(table) => read_descriptor::<E, _>(table, offset),
                // The table crosses a border between regions.
                None => self.read_at::<E>(desc.addr, offset),
            }
            .ok_or(Error::SegmentOutsideMemory {
                addr: desc.addr,
                len: desc.len,
            })?;
            if entry.refers_to_indirect_table() {
                return Err(Error::IndirectMisplaced { head });
            }
            self.add(entry)?;
            if !entry.has_next() {
                return Ok(self.chain);
            }
            index = entry.next;
        }
    }

    /// The descriptor `offset` bytes into the table at `table`, which lies within guest memory.
    fn read_at<E: ByteOrder>(&self, table: u64, offset: usize) -> Option<Descriptor> {
        let mut bytes = [0; Descriptor::SIZE];
        let addr = table.checked_add(offset as u64)?;
        self.mem.read_slice(&mut bytes, GuestAddress(addr)).ok()?;
        Some(Descriptor::from_bytes::<E>(bytes))
    }

    #[inline]
    fn add(&mut self, desc: Descriptor) -> Result<(), Error> {
        let head = self.chain.head_index();
        if self.count == self.max {
            return Err(Error::ChainTooLong {
                head,
                max: self.max,
            });
        }
        self.count += 1;
        let writable = desc.is_write_only();
        if self.writable && !writable {
            return Err(Error::ReadableAfterWritable { head });
        }
        self.writable = writable;
        if desc.len == 0 {
            return Ok(());
        }
        self.bytes = self
            .bytes
            .checked_add(desc.len)
            .ok_or(Error::ChainTooLarge { head })?;
        let access = if writable {
            Permissions::Write
        } else {
            Permissions::Read
        };
        self.check(desc.addr, desc.len, access)?;
        let segment = Segment {
            addr: GuestAddress(desc.addr),
            len: desc.len,
        };
        self.chain.push(segment, writable);
        Ok(())
    }

    /// Checks that `len` bytes (not zero) at `addr` are guest memory, asking for its regions only when
    /// the answer does not follow from the last one.
    #[inline]
    fn check(&mut self, addr: u64, len: u32, access: Permissions) -> Result<(), Error> {
        let error = Error::SegmentOutsideMemory { addr, len };
        let last = addr.checked_add(u64::from(len) - 1).ok_or(error)?;
        if self.is_known(addr, last) {
            return Ok(());
        }
        if let Some(region) = self
            .mem
            .physical_memory()
            .and_then(|memory| memory.find_region(GuestAddress(addr)))
        {
            self.known = Some((
                region.start_addr().raw_value(),
                region.last_addr().raw_value(),
            ));
            if self.is_known(addr, last) {
                return Ok(());
            }
        }
        if self
            .mem
            .check_range(GuestAddress(addr), len as usize, access)
        {
            Ok(())
        } else {
            Err(error)
        }
    }

    #[inline]
    fn is_known(&self, first: u64, last: u64) -> bool {
        self.known
            .is_some_and(|(start, end)| start <= first && last <= end)
    }
}

/// Entries of an indirect table of `len` bytes, if it may have that length.
fn table_size(len: u32) -> Option<u16> {
    let entry = Descriptor::SIZE as u32;
    if len == 0 || len % entry != 0 {
        return None;
    }
    u16::try_from(len / entry).ok()
}
