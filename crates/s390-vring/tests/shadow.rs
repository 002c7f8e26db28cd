// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `virtio_queue`'s traits on a big-endian ring: same chains as the strict queue, nothing of the
//! shadow within a guest's reach.

#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use common::{memory, scripts, Op, RING, SIZE};
use proptest::prelude::*;
use s390_vring::mock::MockDriver;
use s390_vring::{
    BigEndian, Buffer, Descriptor, Error, LittleEndian, RingFeatures, ShadowQueue,
    VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE,
};
use virtio_queue::{QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap, GuestRegionMmap};

type Memory = GuestMemoryMmap<()>;
type Shadow = ShadowQueue<BigEndian, Memory>;

const SHADOW: GuestAddress = GuestAddress(1 << 32);

/// The device's view of `guest`.
fn view(guest: &Memory) -> Memory {
    let len = Shadow::shadow_bytes(SIZE);
    let region = GuestRegionMmap::from_range(SHADOW, len, None).unwrap();
    guest.insert_region(Arc::new(region)).unwrap()
}

fn shadow(mock: &MockDriver<'_, BigEndian, Memory>, guest: &Memory) -> Shadow {
    ShadowQueue::new(mock.device_queue(), Arc::new(guest.clone()), SHADOW).unwrap()
}

fn setup(guest: &Memory) -> MockDriver<'_, BigEndian, Memory> {
    let features = RingFeatures {
        indirect_desc: true,
        ..RingFeatures::default()
    };
    MockDriver::new(guest, RING, SIZE, features)
}

#[test]
fn test_valid_only_in_the_devices_view() {
    let guest = memory();
    let mock = setup(&guest);
    let queue = shadow(&mock, &guest);
    assert!(queue.is_valid(&view(&guest)));
    assert!(!queue.is_valid(&guest));
    assert_eq!((QueueT::size(&queue), queue.max_size()), (SIZE, SIZE));
    assert_eq!(queue.desc_table(), RING.0);
}

#[test]
fn test_shadow_in_guest_memory() {
    let guest = memory();
    let mock = setup(&guest);
    // At both ends, in a gap that is too small, and over the end of all addresses.
    for base in [0, 0xbff0, 0xc000, 0xfff0, u64::MAX - 15] {
        let ring = mock.device_queue();
        let queue = ShadowQueue::new(ring, Arc::new(guest.clone()), GuestAddress(base));
        assert!(
            matches!(queue, Err(Error::ShadowInGuestMemory { .. })),
            "{base:#x}"
        );
    }
    let ring = mock.device_queue();
    let queue = ShadowQueue::new(ring, Arc::new(guest.clone()), GuestAddress(SHADOW.0 + 8));
    assert!(matches!(queue, Err(Error::Misaligned { .. })));
}

/// The device's view would allow it.
#[test]
fn test_a_guest_cannot_name_the_shadow() {
    let guest = memory();
    let view = view(&guest);
    for addr in [SHADOW.0, SHADOW.0 + 0x4000] {
        let mock = setup(&guest);
        for (flags, len) in [(0, 16), (VIRTQ_DESC_F_WRITE, 16), (4, 64)] {
            let mut queue = shadow(&mock, &guest);
            queue.set_next_avail(mock.avail_idx());
            let desc = Descriptor {
                addr,
                len,
                flags,
                next: 0,
            };
            mock.set_descriptor(0, desc);
            mock.push_head(0);
            assert!(queue.pop_descriptor_chain(&view).is_none());
            let error = Error::SegmentOutsideMemory { addr, len };
            assert_eq!(queue.error(), Some(error));
            assert!(queue.iter(&view).is_err());
            // Nor can it wait for the device to forget.
            assert!(queue.pop_descriptor_chain(&view).is_none());
        }
    }
}

/// Its table is being read.
#[test]
fn test_a_head_that_is_in_flight() {
    let guest = memory();
    let view = view(&guest);
    let mut mock = setup(&guest);
    let mut queue = shadow(&mock, &guest);
    let head = mock.add_chain(&[Buffer::readable(0x8000, 16)]);
    let chain = queue.pop_descriptor_chain(&view).unwrap();
    mock.push_head(head);
    assert!(queue.pop_descriptor_chain(&view).is_none());
    assert_eq!(queue.error(), Some(Error::HeadInFlight { head }));
    assert_eq!(chain.readable().count(), 1);
}

#[test]
fn test_nothing_of_a_former_life() {
    let guest = memory();
    let view = view(&guest);
    let mut mock = setup(&guest);
    let mut queue = shadow(&mock, &guest);
    for _ in 0..3 {
        mock.add_chain(&[Buffer::readable(0x8000, 16)]);
    }
    assert_eq!(queue.iter(&view).unwrap().count(), 3);
    queue.reset();
    assert!(!queue.is_valid(&view));
    assert!(queue.pop_descriptor_chain(&view).is_none());
    let mock = setup(&guest);
    let mut queue = shadow(&mock, &guest);
    assert_eq!(queue.iter(&view).unwrap().count(), 0);
}

#[test]
fn test_what_was_looked_at_can_be_put_back() {
    let guest = memory();
    let view = view(&guest);
    let mut mock = setup(&guest);
    let mut queue = shadow(&mock, &guest);
    let heads: Vec<_> = (0..4)
        .map(|n| mock.add_chain(&[Buffer::writable(0x8000 + 16 * n, 16)]))
        .collect();
    // An iterator that is dropped early has taken one.
    assert_eq!(
        queue.iter(&view).unwrap().next().unwrap().head_index(),
        heads[0]
    );
    assert_eq!(queue.next_avail(), 1);
    assert!(queue.enable_notification(&view).unwrap());
    assert_eq!(
        queue.pop_descriptor_chain(&view).unwrap().head_index(),
        heads[1]
    );
    queue.go_to_previous_position();
    assert_eq!(
        queue.pop_descriptor_chain(&view).unwrap().head_index(),
        heads[1]
    );
    // From a saved position.
    queue.set_next_avail(2);
    let rest: Vec<_> = queue
        .iter(&view)
        .unwrap()
        .map(|chain| chain.head_index())
        .collect();
    assert_eq!(rest, heads[2..]);
    assert!(!queue.enable_notification(&view).unwrap());
}

#[test]
fn test_indirect_and_empty_chains() {
    let guest = memory();
    let view = view(&guest);
    let mut mock = setup(&guest);
    let mut queue = shadow(&mock, &guest);
    let buffers: Vec<_> = (0..u64::from(SIZE))
        .map(|n| Buffer::readable(0x8000 + n, 1))
        .collect();
    mock.add_indirect_chain(GuestAddress(0x6000), &buffers);
    let chain = queue.pop_descriptor_chain(&view).unwrap();
    assert_eq!(
        chain.map(|desc| desc.addr().0).collect::<Vec<_>>(),
        (0..u64::from(SIZE)).map(|n| 0x8000 + n).collect::<Vec<_>>()
    );
    let empty = Descriptor {
        addr: 0,
        len: 0,
        flags: 0,
        next: 0,
    };
    mock.set_descriptor(5, empty);
    mock.push_head(5);
    let chain = queue.pop_descriptor_chain(&view).unwrap();
    assert_eq!(chain.head_index(), 5);
    assert_eq!(chain.map(|desc| desc.len()).sum::<u32>(), 0);
}

#[test]
fn test_a_queue_of_the_trait_alone_is_empty() {
    let mut queue = <Shadow as QueueT>::new(SIZE).unwrap();
    let guest = memory();
    assert!(<Shadow as QueueT>::new(3).is_err());
    queue.set_size(4);
    queue.set_desc_table_address(Some(0x1000), Some(1));
    queue.set_avail_ring_address(Some(0x2000), None);
    queue.set_used_ring_address(None, Some(2));
    queue.set_event_idx(true);
    queue.set_ready(true);
    // Refused: the size, and an address that is no multiple of 16.
    queue.set_size(64);
    queue.set_desc_table_address(Some(0x1008), None);
    assert_eq!(QueueT::size(&queue), 4);
    assert_eq!(queue.desc_table(), 0x1_0000_1000);
    assert_eq!(queue.avail_ring(), 0x2000);
    assert_eq!(queue.used_ring(), 2 << 32);
    assert!(queue.event_idx_enabled() && queue.ready());
    assert!(!queue.is_valid(&guest));
    assert!(queue.pop_descriptor_chain(&guest).is_none());
    assert!(queue.iter(&guest).is_err());
    assert!(queue.needs_notification(&guest).is_err());
    assert!(queue.add_used(&guest, 0, 0).is_err());
}

/// The same script on two copies of guest memory: the strict queue and the shadow agree on every
/// chain, notification and byte.
fn run(script: &[Op], event_idx: bool) {
    let (mem, their_mem) = (memory(), memory());
    let view = view(&their_mem);
    let features = RingFeatures {
        indirect_desc: true,
        event_idx,
        ..RingFeatures::default()
    };
    let mock = MockDriver::<BigEndian, _>::new(&mem, RING, SIZE, features);
    let their_mock = MockDriver::<BigEndian, _>::new(&their_mem, RING, SIZE, features);
    let mut ours = mock.device_queue();
    let mut theirs = shadow(&their_mock, &their_mem);
    for op in script {
        op.guest(&mem, &mock);
        op.guest(&their_mem, &their_mock);
        match *op {
            Op::Pop => {
                let chain = ours.pop_descriptor_chain(&mem);
                let other = theirs.pop_descriptor_chain(&view);
                if let Some(Error::HeadInFlight { head }) = theirs.error() {
                    assert_eq!(chain.unwrap().unwrap().head_index(), head);
                    return;
                }
                let Ok(chain) = chain else {
                    assert!(other.is_none());
                    assert_eq!(theirs.error(), chain.err());
                    return;
                };
                let Some(chain) = chain else {
                    assert!(other.is_none() && theirs.error().is_none());
                    continue;
                };
                let other = other.unwrap();
                assert_eq!(other.head_index(), chain.head_index());
                let descs: Vec<_> = other
                    .filter(|desc| desc.len() > 0)
                    .map(|desc| (desc.addr(), desc.len(), desc.is_write_only()))
                    .collect();
                let readable = chain.readable().iter().map(|s| (s.addr, s.len, false));
                let writable = chain.writable().iter().map(|s| (s.addr, s.len, true));
                assert!(readable.chain(writable).eq(descs));
            }
            Op::AddUsed(head, len) => {
                let result = ours.add_used(&mem, head, len);
                let other = theirs.add_used(&view, head, len);
                assert_eq!(result.is_ok(), other.is_ok());
            }
            Op::NeedsNotification => {
                let needed = ours.needs_notification(&mem).unwrap();
                assert_eq!(theirs.needs_notification(&view).unwrap(), needed);
            }
            Op::EnableNotification => {
                let more = ours.enable_notification(&mem).unwrap();
                assert_eq!(theirs.enable_notification(&view).unwrap(), more);
            }
            Op::DisableNotification => {
                ours.disable_notification(&mem).unwrap();
                theirs.disable_notification(&view).unwrap();
            }
            _ => {}
        }
        assert_eq!(ours.next_avail(), theirs.next_avail());
        assert_eq!(ours.next_used(), theirs.next_used());
    }
    for range in [0..0xc000, 0xe000..0x1_0000] {
        let read = |mem: &Memory| {
            let mut bytes = vec![0; range.len()];
            mem.read_slice(&mut bytes, GuestAddress(range.start as u64))
                .unwrap();
            bytes
        };
        assert!(read(&mem) == read(&their_mem));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(target_arch = "s390x") { 100 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn test_beside_the_strict_queue(script in scripts(), event_idx: bool) {
        run(&script, event_idx);
    }
}

/// Chained descriptors keep their order, and links of the guest's table do not matter.
#[test]
fn test_order() {
    let guest = memory();
    let view = view(&guest);
    let mock = setup(&guest);
    let mut queue = shadow(&mock, &guest);
    for (index, addr, flags, next) in [
        (3, 0x8000, VIRTQ_DESC_F_NEXT, 7),
        (7, 0x8100, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 1),
        (1, 0x8200, VIRTQ_DESC_F_WRITE, 0),
    ] {
        let desc = Descriptor {
            addr,
            len: 16,
            flags,
            next,
        };
        mock.set_descriptor(index, desc);
    }
    mock.push_head(3);
    let chain = queue.pop_descriptor_chain(&view).unwrap();
    // The guest changes its table: the copy does not.
    mock.set_descriptor(3, Descriptor::from_bytes::<LittleEndian>([0xff; 16]));
    let descs: Vec<_> = chain
        .map(|desc| (desc.addr().0, desc.is_write_only()))
        .collect();
    assert_eq!(descs, [(0x8000, false), (0x8100, true), (0x8200, true)]);
}
