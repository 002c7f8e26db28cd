// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Random operations of a guest, mostly sane and sometimes hostile, and of a device on one queue.

use proptest::prelude::*;
use s390_vring::mock::MockDriver;
use s390_vring::{ByteOrder, Descriptor};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Entries of the queue.
pub const SIZE: u16 = 8;
/// Address of the queue.
pub const RING: GuestAddress = GuestAddress(0x1000);
/// Address of the indirect table.
pub const TABLE: u64 = 0x6000;
/// Entries of the indirect table.
pub const TABLE_SIZE: u16 = 4;

/// Two regions side by side and a third behind a gap.
pub fn memory() -> GuestMemoryMmap<()> {
    GuestMemoryMmap::from_ranges(&[
        (GuestAddress(0), 0x8000),
        (GuestAddress(0x8000), 0x4000),
        (GuestAddress(0xe000), 0x2000),
    ])
    .unwrap()
}

/// One step of guest or device.
#[derive(Clone, Debug)]
pub enum Op {
    /// The guest writes a descriptor of the table.
    Descriptor(u16, Descriptor),
    /// The guest writes an entry of the indirect table.
    TableEntry(u16, Descriptor),
    /// The guest writes a head into the available ring.
    Head(u16, u16),
    /// The guest moves the available index.
    Advance(u16),
    /// The guest asks for an interrupt.
    UsedEvent(u16),
    /// The guest writes the flags of the available ring.
    AvailFlags(u16),
    /// The device takes a chain.
    Pop,
    /// The device puts a chain back.
    GoBack,
    /// The device returns a chain.
    AddUsed(u16, u32),
    /// The device asks whether to interrupt.
    NeedsNotification,
    /// The device asks for notifications.
    EnableNotification,
    /// The device asks for none.
    DisableNotification,
}

impl Op {
    /// Does what the guest does; steps of the device do nothing here.
    pub fn guest<E: ByteOrder>(
        &self,
        mem: &GuestMemoryMmap<()>,
        mock: &MockDriver<'_, E, GuestMemoryMmap<()>>,
    ) {
        match *self {
            Op::Descriptor(index, desc) => mock.set_descriptor(index, desc),
            Op::TableEntry(index, desc) => {
                let addr = GuestAddress(TABLE + 16 * u64::from(index));
                mem.write_slice(&desc.to_bytes::<E>(), addr).unwrap();
            }
            Op::Head(slot, head) => mock.set_avail_head(slot, head),
            Op::Advance(by) => mock.set_avail_idx(mock.avail_idx().wrapping_add(by)),
            Op::UsedEvent(idx) => mock.set_used_event(idx),
            Op::AvailFlags(flags) => mock.set_avail_flags(flags),
            _ => {}
        }
    }
}

fn addresses() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0u64..0xc000,
        // Around the ends of the regions.
        1 => 0x7ff0u64..0x8010,
        1 => 0xbff0u64..0x1_0010,
        1 => Just(TABLE),
        1 => u64::MAX - 0x20..=u64::MAX,
        1 => any::<u64>(),
    ]
}

fn lengths() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0u32..0x100, 1 => 0u32..0x1_0000, 1 => any::<u32>(), 2 => Just(16 * 4)]
}

fn descriptors(entries: u16) -> impl Strategy<Value = Descriptor> {
    let flags = prop_oneof![8 => 0u16..4, 1 => any::<u16>()];
    let next = prop_oneof![16 => 0..entries, 1 => any::<u16>()];
    let random =
        (addresses(), lengths(), flags, next).prop_map(|(addr, len, flags, next)| Descriptor {
            addr,
            len,
            flags,
            next,
        });
    let table = (0..=TABLE_SIZE + 1, 0u16..8).prop_map(|(entries, flags)| Descriptor {
        addr: TABLE,
        len: 16 * u32::from(entries),
        flags: 4 | flags & 2,
        next: 0,
    });
    prop_oneof![8 => random, 1 => table]
}

fn ops() -> impl Strategy<Value = Op> {
    let heads = || prop_oneof![16 => 0..SIZE, 1 => any::<u16>()];
    prop_oneof![
        8 => (0..SIZE, descriptors(SIZE)).prop_map(|(i, desc)| Op::Descriptor(i, desc)),
        4 => (0..TABLE_SIZE, descriptors(TABLE_SIZE)).prop_map(|(i, desc)| Op::TableEntry(i, desc)),
        4 => (0..SIZE, heads()).prop_map(|(slot, head)| Op::Head(slot, head)),
        6 => prop_oneof![16 => 0u16..4, 1 => any::<u16>()].prop_map(Op::Advance),
        1 => prop_oneof![4 => 0u16..16, 1 => any::<u16>()].prop_map(Op::UsedEvent),
        1 => any::<u16>().prop_map(Op::AvailFlags),
        8 => Just(Op::Pop),
        1 => Just(Op::GoBack),
        4 => (heads(), any::<u32>()).prop_map(|(head, len)| Op::AddUsed(head, len)),
        3 => Just(Op::NeedsNotification),
        1 => Just(Op::EnableNotification),
        1 => Just(Op::DisableNotification),
    ]
}

/// Up to 200 steps.
pub fn scripts() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(ops(), 1..200)
}
