// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From a head to a validated chain: the one place that follows descriptors (virtio 1.2, 2.7.5).
//!
//! Each descriptor is copied out of guest memory exactly once and judged by the copy, so a guest that
//! changes it meanwhile gains nothing. Descriptors of zero bytes are legal, carry nothing and are left out.

use vm_memory::bitmap::BitmapSlice;
use vm_memory::{Bytes, GuestAddress, GuestMemory, Permissions};

use super::ring::{read_descriptor, region_at, DescTable, Extent, Place};
use super::{DescriptorChain, Error, Segment};
use crate::{ByteOrder, Descriptor};

/// Most descriptors of a chain with an indirect table, unless the queue itself is larger.
///
/// Drivers exceed the queue's size there although virtio 1.2, 2.7.5.3.1, forbids it; this is as many as
/// hosts commonly take in one vectored read or write.
pub const MAX_INDIRECT_CHAIN: u16 = 1024;

/// Follows the descriptors from the head of `chain` on and fills it, or says what is wrong with them.
#[inline(always)]
pub(super) fn walk<E, B, M>(
    mem: &M,
    table: &DescTable<'_, E, B>,
    chain: &mut DescriptorChain,
    indirect_allowed: bool,
) -> Result<(), Error>
where
    E: ByteOrder,
    B: BitmapSlice,
    M: GuestMemory,
{
    let size = table.size();
    let head = chain.head_index();
    let mut rules = Rules {
        head,
        count: 0,
        max: size,
        bytes: 0,
        writable: false,
        known: table.known(),
    };
    let mut index = head;
    loop {
        let Some(desc) = table.get(index) else {
            return Err(Error::DescriptorIndex { index, size });
        };
        if desc.refers_to_indirect_table() {
            if !indirect_allowed {
                return Err(Error::IndirectNotNegotiated { head });
            }
            if desc.has_next() {
                return Err(Error::IndirectMisplaced { head });
            }
            return walk_indirect::<E, M>(mem, chain, rules, desc);
        }
        rules.add(mem, chain, desc)?;
        if !desc.has_next() {
            return Ok(());
        }
        index = desc.next;
    }
}

/// Follows the table that `desc`, the last direct descriptor, refers to. Its write flag has no meaning.
#[inline(never)]
fn walk_indirect<E: ByteOrder, M: GuestMemory>(
    mem: &M,
    chain: &mut DescriptorChain,
    mut rules: Rules,
    desc: Descriptor,
) -> Result<(), Error> {
    rules.max = rules.max.max(MAX_INDIRECT_CHAIN);
    let (addr, len) = (GuestAddress(desc.addr), desc.len as usize);
    if let Some(region) = region_at(mem, addr) {
        if let Some(table) = region.slice(addr, len, Permissions::Read) {
            rules.known = region.extent();
            return follow(mem, chain, rules, &desc, |offset| {
                read_descriptor::<E, _>(&table, offset)
            });
        }
    }
    // The table crosses a border between regions, or an IOMMU is in between.
    follow(mem, chain, rules, &desc, |offset| {
        let mut bytes = [0; Descriptor::SIZE];
        let addr = desc.addr.checked_add(offset as u64)?;
        mem.read_slice(&mut bytes, GuestAddress(addr)).ok()?;
        Some(Descriptor::from_bytes::<E>(bytes))
    })
}

/// Follows the table that `desc` refers to, whose entries `read` gets by their offset.
#[inline(always)]
fn follow<M: GuestMemory>(
    mem: &M,
    chain: &mut DescriptorChain,
    mut rules: Rules,
    desc: &Descriptor,
    read: impl Fn(usize) -> Option<Descriptor>,
) -> Result<(), Error> {
    let Some(size) = table_size(desc.len) else {
        return Err(Error::IndirectTableLength { len: desc.len });
    };
    rules.check_range(mem, desc.addr, desc.len, Permissions::Read)?;
    let mut index = 0;
    loop {
        if index >= size {
            return Err(Error::DescriptorIndex { index, size });
        }
        let Some(entry) = read(Descriptor::SIZE * usize::from(index)) else {
            return Err(Error::SegmentOutsideMemory {
                addr: desc.addr,
                len: desc.len,
            });
        };
        if entry.refers_to_indirect_table() {
            return Err(Error::IndirectMisplaced { head: rules.head });
        }
        rules.add(mem, chain, entry)?;
        if !entry.has_next() {
            return Ok(());
        }
        index = entry.next;
    }
}

/// What a chain must keep to, and what its descriptors so far add up to.
#[derive(Clone, Copy)]
struct Rules {
    head: u16,
    /// Descriptors so far, and how many there may be.
    count: u16,
    max: u16,
    bytes: u32,
    /// Whether a writable descriptor has been seen.
    writable: bool,
    /// A part of guest memory that is known to exist.
    known: Extent,
}

impl Rules {
    /// Adds a descriptor to the chain.
    #[inline(always)]
    fn add<M: GuestMemory>(
        &mut self,
        mem: &M,
        chain: &mut DescriptorChain,
        desc: Descriptor,
    ) -> Result<(), Error> {
        let head = self.head;
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
        let Some(bytes) = self.bytes.checked_add(desc.len) else {
            return Err(Error::ChainTooLarge { head });
        };
        self.bytes = bytes;
        let access = if writable {
            Permissions::Write
        } else {
            Permissions::Read
        };
        self.check_range(mem, desc.addr, desc.len, access)?;
        let segment = Segment {
            addr: GuestAddress(desc.addr),
            len: desc.len,
        };
        chain.push(segment, writable);
        Ok(())
    }

    /// Checks that `len` bytes (not zero) at `addr` are guest memory, asking for its regions only when
    /// the answer does not follow from the last one.
    #[inline(always)]
    fn check_range<M: GuestMemory>(
        &mut self,
        mem: &M,
        addr: u64,
        len: u32,
        access: Permissions,
    ) -> Result<(), Error> {
        if !self.known.contains(addr, len) {
            match look_up(mem, addr, len, access) {
                Some(known) => self.known = known,
                None => return Err(Error::SegmentOutsideMemory { addr, len }),
            }
        }
        Ok(())
    }
}

/// What is known of guest memory if `len` bytes at `addr` are part of it.
#[cold]
#[inline(never)]
fn look_up<M: GuestMemory>(mem: &M, addr: u64, len: u32, access: Permissions) -> Option<Extent> {
    if let Some(region) = region_at(mem, GuestAddress(addr)) {
        if region.extent().contains(addr, len) {
            return Some(region.extent());
        }
    }
    // It may lie in several regions.
    addr.checked_add(u64::from(len) - 1)?;
    mem.check_range(GuestAddress(addr), len as usize, access)
        .then_some(Extent::NONE)
}

/// Entries of an indirect table of `len` bytes, if it may have that length.
fn table_size(len: u32) -> Option<u16> {
    let entry = Descriptor::SIZE as u32;
    if len == 0 || len % entry != 0 {
        return None;
    }
    u16::try_from(len / entry).ok()
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::*;
    use crate::mock::MockDriver;
    use crate::{
        BigEndian, LittleEndian, Queue, RingFeatures, VIRTQ_DESC_F_INDIRECT as INDIRECT,
        VIRTQ_DESC_F_NEXT as NEXT, VIRTQ_DESC_F_WRITE as WRITE,
    };

    const SIZE: u16 = 8;
    const TABLE: u64 = 0x8000;
    const END: u64 = 0x10_0000;

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), END as usize)]).unwrap()
    }

    fn desc(addr: u64, len: u32, flags: u16, next: u16) -> Descriptor {
        Descriptor {
            addr,
            len,
            flags,
            next,
        }
    }

    fn segment(addr: u64, len: u32) -> Segment {
        Segment {
            addr: GuestAddress(addr),
            len,
        }
    }

    struct Case {
        mem: GuestMemoryMmap,
        head: u16,
        indirect: bool,
        direct: Vec<Descriptor>,
        table: Vec<Descriptor>,
        table_addr: u64,
    }

    impl Case {
        fn direct(direct: &[Descriptor]) -> Self {
            Case {
                mem: memory(),
                head: 0,
                indirect: false,
                direct: direct.to_vec(),
                table: Vec::new(),
                table_addr: TABLE,
            }
        }

        /// One descriptor that refers to the whole of `table`.
        fn indirect(table: &[Descriptor]) -> Self {
            let len = (table.len() * Descriptor::SIZE) as u32;
            Case {
                indirect: true,
                table: table.to_vec(),
                ..Case::direct(&[desc(TABLE, len, INDIRECT, 0)])
            }
        }

        fn run_as<E: ByteOrder>(&self) -> Result<DescriptorChain, Error> {
            let features = RingFeatures {
                indirect_desc: self.indirect,
                ..RingFeatures::default()
            };
            let mock = MockDriver::<E, _>::new(&self.mem, GuestAddress(0), SIZE, features);
            for (i, &desc) in self.direct.iter().enumerate() {
                mock.set_descriptor(i as u16, desc);
            }
            for (i, desc) in self.table.iter().enumerate() {
                let addr = GuestAddress(self.table_addr + 16 * i as u64);
                self.mem.write_slice(&desc.to_bytes::<E>(), addr).unwrap();
            }
            mock.push_head(self.head);
            let mut queue: Queue<E> = mock.device_queue();
            let result = queue.pop_descriptor_chain(&self.mem).map(Option::unwrap);
            // An error does not move the position and comes again, from the iterator too.
            assert_eq!(queue.next_avail(), u16::from(result.is_ok()));
            queue.set_next_avail(0);
            let again = queue.iter(&self.mem).unwrap().next().unwrap();
            assert_eq!(again, result);
            assert_eq!(queue.next_avail(), u16::from(result.is_ok()));
            result
        }

        /// The result, which is the same in both byte orders.
        fn run(&self) -> Result<DescriptorChain, Error> {
            let result = self.run_as::<BigEndian>();
            assert_eq!(result, self.run_as::<LittleEndian>());
            result
        }
    }

    #[test]
    fn test_chain() {
        let chain = Case::direct(&[
            desc(0x1000, 16, NEXT, 3),
            desc(0, 0, 0, 0),
            desc(0x4000, 1, WRITE, 77),
            desc(0x2000, 512, NEXT | WRITE, 2),
        ])
        .run()
        .unwrap();
        assert_eq!(chain.head_index(), 0);
        assert_eq!(chain.readable(), [segment(0x1000, 16)]);
        assert_eq!(chain.writable(), [segment(0x2000, 512), segment(0x4000, 1)]);
        assert_eq!((chain.readable_bytes(), chain.writable_bytes()), (16, 513));
    }

    #[test]
    fn test_unknown_flags_have_no_meaning() {
        let chain = Case::direct(&[desc(0x1000, 16, 0xfff8, 0)]).run().unwrap();
        assert_eq!(chain.readable(), [segment(0x1000, 16)]);
    }

    #[test]
    fn test_head_outside_table() {
        for head in [SIZE, u16::MAX] {
            let case = Case {
                head,
                ..Case::direct(&[])
            };
            let error = Error::DescriptorIndex {
                index: head,
                size: SIZE,
            };
            assert_eq!(case.run(), Err(error));
        }
    }

    #[test]
    fn test_next_outside_table() {
        let result = Case::direct(&[desc(0x1000, 16, NEXT, SIZE)]).run();
        let error = Error::DescriptorIndex {
            index: SIZE,
            size: SIZE,
        };
        assert_eq!(result, Err(error));
    }

    #[test]
    fn test_loop() {
        let too_long = Err(Error::ChainTooLong { head: 0, max: SIZE });
        assert_eq!(Case::direct(&[desc(0x1000, 1, NEXT, 0)]).run(), too_long);
        let pair = [desc(0x1000, 1, NEXT, 1), desc(0x1000, 1, NEXT, 0)];
        assert_eq!(Case::direct(&pair).run(), too_long);
        // Buffers without bytes are no way around.
        assert_eq!(Case::direct(&[desc(0, 0, NEXT, 0)]).run(), too_long);
    }

    #[test]
    fn test_longest_chain() {
        let mut chain: Vec<_> = (1..=SIZE).map(|i| desc(0x1000, 1, NEXT, i)).collect();
        chain[usize::from(SIZE) - 1].flags = 0;
        let chain = Case::direct(&chain).run().unwrap();
        assert_eq!(chain.readable().len(), usize::from(SIZE));
    }

    #[test]
    fn test_readable_after_writable() {
        let error = Err(Error::ReadableAfterWritable { head: 0 });
        let chain = [desc(0x1000, 1, NEXT | WRITE, 1), desc(0x1000, 1, 0, 0)];
        assert_eq!(Case::direct(&chain).run(), error);
        let empty = [desc(0x1000, 0, NEXT | WRITE, 1), desc(0x1000, 1, 0, 0)];
        assert_eq!(Case::direct(&empty).run(), error);
        assert_eq!(Case::indirect(&chain).run(), error);
    }

    #[test]
    fn test_segment_outside_memory() {
        for (addr, len) in [
            (END, 1),
            (END - 1, 2),
            (0, END as u32 + 1),
            (u64::MAX, 1),
            (u64::MAX, 2),
            (u64::MAX - 15, 16),
            (u64::MAX - 15, 17),
            (0x1000, u32::MAX - 1),
        ] {
            let error = Err(Error::SegmentOutsideMemory { addr, len });
            for flags in [0, WRITE] {
                assert_eq!(Case::direct(&[desc(addr, len, flags, 0)]).run(), error);
                let second = [desc(0x1000, 1, NEXT, 1), desc(addr, len, flags, 0)];
                assert_eq!(Case::direct(&second).run(), error);
                assert_eq!(Case::indirect(&second).run(), error);
            }
        }
        assert!(Case::direct(&[desc(END - 1, 1, 0, 0)]).run().is_ok());
        assert!(Case::direct(&[desc(0, END as u32, 0, 0)]).run().is_ok());
    }

    #[test]
    fn test_segments_in_regions() {
        let regions = [
            (GuestAddress(0), 0x10000),
            (GuestAddress(0x10000), 0x1000),
            (GuestAddress(0x12000), 0x1000),
        ];
        let run = |direct: &[Descriptor]| {
            Case {
                mem: GuestMemoryMmap::from_ranges(&regions).unwrap(),
                ..Case::direct(direct)
            }
            .run()
        };
        // Across a border that is no gap.
        let chain = run(&[desc(0xfff0, 0x20, 0, 0)]).unwrap();
        assert_eq!(chain.readable(), [segment(0xfff0, 0x20)]);
        let all = [
            desc(0x9000, 1, NEXT, 1),
            desc(0x12000, 0x1000, NEXT, 2),
            desc(0x10fff, 1, 0, 0),
        ];
        assert_eq!(run(&all).unwrap().readable().len(), 3);
        // Before the region of the buffer before.
        assert!(run(&[desc(0x12000, 1, NEXT, 1), desc(0x11000, 1, 0, 0)]).is_err());
        // Into a gap, over a gap.
        assert!(run(&[desc(0x10ff0, 0x20, 0, 0)]).is_err());
        assert!(run(&[desc(0x10ff0, 0x1020, 0, 0)]).is_err());
        assert!(run(&[desc(0x11fff, 2, 0, 0)]).is_err());
    }

    #[test]
    fn test_chain_too_large() {
        let size = 1 << 31;
        let run = |last| {
            let regions = [
                (GuestAddress(0), 0x10000),
                (GuestAddress(0x1000_0000), size as usize),
            ];
            Case {
                mem: GuestMemoryMmap::from_ranges(&regions).unwrap(),
                ..Case::direct(&[
                    desc(0x1000_0000, size, NEXT, 1),
                    desc(0x1000_0000, last, 0, 0),
                ])
            }
            .run()
        };
        assert_eq!(run(size), Err(Error::ChainTooLarge { head: 0 }));
        assert_eq!(run(size - 1).unwrap().readable_bytes(), u32::MAX);
    }

    #[test]
    fn test_empty_descriptors_are_left_out() {
        let chain = Case::direct(&[
            // Where no byte is, no memory need be.
            desc(u64::MAX, 0, NEXT, 1),
            desc(0x1000, 1, NEXT, 2),
            desc(0x2000, 0, NEXT | WRITE, 3),
            desc(0x3000, 1, WRITE, 0),
        ])
        .run()
        .unwrap();
        assert_eq!(chain.readable(), [segment(0x1000, 1)]);
        assert_eq!(chain.writable(), [segment(0x3000, 1)]);
        let empty = Case::direct(&[desc(0, 0, 0, 0)]).run().unwrap();
        assert!(empty.readable().is_empty() && empty.writable().is_empty());
    }

    #[test]
    fn test_indirect() {
        let table = [
            desc(0x1000, 16, NEXT, 2),
            desc(0x4000, 1, WRITE, 0),
            desc(0x2000, 512, NEXT | WRITE, 1),
        ];
        let chain = Case::indirect(&table).run().unwrap();
        assert_eq!(chain.readable(), [segment(0x1000, 16)]);
        assert_eq!(chain.writable(), [segment(0x2000, 512), segment(0x4000, 1)]);
        // The table needs no alignment, and the write flag of its descriptor has no meaning.
        let odd = Case {
            direct: vec![desc(TABLE + 1, 48, INDIRECT | WRITE, 0)],
            table_addr: TABLE + 1,
            ..Case::indirect(&table)
        };
        assert_eq!(odd.run().unwrap(), chain);
        // Direct descriptors may come first.
        let mixed = Case {
            direct: vec![desc(0x6000, 4, NEXT, 1), desc(TABLE, 48, INDIRECT, 0)],
            ..Case::indirect(&table)
        };
        let readable = [segment(0x6000, 4), segment(0x1000, 16)];
        assert_eq!(mixed.run().unwrap().readable(), readable);
    }

    #[test]
    fn test_indirect_table_across_regions() {
        let regions = [(GuestAddress(0), 0x8008), (GuestAddress(0x8008), 0x8000)];
        let table = [desc(0x1000, 1, NEXT, 1), desc(0x2000, 1, 0, 0)];
        let case = Case {
            mem: GuestMemoryMmap::from_ranges(&regions).unwrap(),
            ..Case::indirect(&table)
        };
        assert_eq!(case.run().unwrap().readable().len(), 2);
    }

    #[test]
    fn test_indirect_not_negotiated() {
        let case = Case {
            indirect: false,
            ..Case::indirect(&[desc(0x1000, 1, 0, 0)])
        };
        assert_eq!(case.run(), Err(Error::IndirectNotNegotiated { head: 0 }));
    }

    #[test]
    fn test_indirect_misplaced() {
        let misplaced = Err(Error::IndirectMisplaced { head: 0 });
        let with_next = Case {
            direct: vec![desc(TABLE, 16, INDIRECT | NEXT, 1), desc(0x1000, 1, 0, 0)],
            ..Case::indirect(&[desc(0x1000, 1, 0, 0)])
        };
        assert_eq!(with_next.run(), misplaced);
        let nested = Case::indirect(&[desc(TABLE, 16, INDIRECT, 0)]);
        assert_eq!(nested.run(), misplaced);
    }

    #[test]
    fn test_indirect_table_length() {
        for len in [0, 1, 15, 17, 0x10_0000, u32::MAX] {
            let case = Case {
                direct: vec![desc(TABLE, len, INDIRECT, 0)],
                ..Case::indirect(&[desc(0x1000, 1, 0, 0)])
            };
            assert_eq!(case.run(), Err(Error::IndirectTableLength { len }));
        }
    }

    #[test]
    fn test_indirect_table_outside_memory() {
        for (addr, len) in [
            (END, 16),
            (END - 16, 32),
            (u64::MAX - 15, 16),
            (u64::MAX, 16),
        ] {
            let case = Case {
                direct: vec![desc(addr, len, INDIRECT, 0)],
                ..Case::indirect(&[])
            };
            assert_eq!(case.run(), Err(Error::SegmentOutsideMemory { addr, len }));
        }
    }

    #[test]
    fn test_indirect_next_outside_table() {
        let result = Case::indirect(&[desc(0x1000, 1, NEXT, 1)]).run();
        assert_eq!(result, Err(Error::DescriptorIndex { index: 1, size: 1 }));
    }

    #[test]
    fn test_indirect_length_and_loop() {
        let max = MAX_INDIRECT_CHAIN;
        let mut table: Vec<_> = (1..=max).map(|i| desc(0x1000, 1, NEXT, i)).collect();
        let looping = Case::indirect(&table[..1]);
        let looping = Case {
            table: vec![desc(0x1000, 1, NEXT, 0)],
            ..looping
        };
        assert_eq!(looping.run(), Err(Error::ChainTooLong { head: 0, max }));
        table.push(desc(0x1000, 1, 0, 0));
        let one_more = Case::indirect(&table).run();
        assert_eq!(one_more, Err(Error::ChainTooLong { head: 0, max }));
        table.pop();
        table[usize::from(max) - 1].flags = 0;
        let longest = Case::indirect(&table).run().unwrap();
        assert_eq!(longest.readable_bytes(), u32::from(max));
    }

    #[test]
    fn test_guest_faults() {
        assert!(Error::ChainTooLong { head: 0, max: 8 }.is_guest_fault());
        assert!(!Error::NotReady.is_guest_fault());
    }
}
