// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The little-endian queue beside `virtio_queue::Queue`: same operations on the same, often hostile,
//! rings give the same chains, the same notifications and the same bytes in guest memory.

mod common;

use common::{memory, scripts, Op, RING, SIZE};
use proptest::prelude::*;
use s390_vring::mock::MockDriver;
use s390_vring::{DescriptorChain, Error, LittleEndian, Queue, RingFeatures};
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

type Memory = GuestMemoryMmap<()>;

fn upstream(ours: &Queue<LittleEndian>) -> virtio_queue::Queue {
    let state = ours.state();
    let mut queue = virtio_queue::Queue::new(state.max_size).unwrap();
    queue.set_desc_table_address(Some(state.desc_table as u32), None);
    queue.set_avail_ring_address(Some(state.avail_ring as u32), None);
    queue.set_used_ring_address(Some(state.used_ring as u32), None);
    queue.set_event_idx(state.features.event_idx);
    queue.set_ready(true);
    queue
}

fn contents(mem: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; 0xc000];
    mem.read_slice(&mut bytes, GuestAddress(0)).unwrap();
    bytes
}

/// Whether what upstream walked is a whole chain that keeps the rules it does not check itself.
fn is_well_formed(mem: &Memory, descs: &[Descriptor]) -> bool {
    let in_memory = |desc: &Descriptor| {
        desc.len() == 0 || GuestMemoryBackend::check_range(mem, desc.addr(), desc.len() as usize)
    };
    descs.last().is_some_and(|desc| !desc.has_next())
        && descs.is_sorted_by_key(Descriptor::is_write_only)
        && descs.iter().all(in_memory)
}

fn assert_same_chain(chain: &DescriptorChain, descs: &[Descriptor]) {
    let side = |writable| {
        descs
            .iter()
            .filter(move |desc| desc.is_write_only() == writable && desc.len() > 0)
            .map(|desc| (desc.addr(), desc.len()))
    };
    let readable = chain.readable().iter().map(|s| (s.addr, s.len));
    let writable = chain.writable().iter().map(|s| (s.addr, s.len));
    assert!(readable.eq(side(false)));
    assert!(writable.eq(side(true)));
}

fn pop(ours: &mut Queue<LittleEndian>, mem: &Memory, theirs: &mut virtio_queue::Queue) {
    let chain = ours.pop_descriptor_chain(mem);
    let mut iter = match QueueOwnedT::iter(theirs, mem) {
        Ok(iter) => iter,
        Err(error) => {
            assert!(matches!(error, virtio_queue::Error::InvalidAvailRingIndex));
            assert!(matches!(chain, Err(Error::AvailIndexAhead { .. })));
            return;
        }
    };
    let Some(upstream) = iter.next() else {
        assert_eq!(chain, Ok(None));
        return;
    };
    let head = upstream.head_index();
    let descs: Vec<_> = upstream.collect();
    match chain {
        Ok(chain) => {
            let chain = chain.unwrap();
            assert_eq!(chain.head_index(), head);
            assert!(is_well_formed(mem, &descs));
            assert_same_chain(&chain, &descs);
        }
        Err(error) => {
            assert!(error.is_guest_fault());
            // Upstream takes an indirect descriptor that has a next one, and does not mind where the
            // part of a table lies that it does not need.
            let stricter = match error {
                Error::IndirectMisplaced { .. } => true,
                Error::SegmentOutsideMemory { addr, len } => {
                    !descs.iter().any(|d| d.addr().0 == addr && d.len() == len)
                }
                _ => false,
            };
            assert!(
                stricter || !is_well_formed(mem, &descs),
                "{error}: {descs:?}"
            );
            // The error stays until the device gives up; step over it as upstream did.
            ours.set_next_avail(ours.next_avail().wrapping_add(1));
        }
    }
}

fn run(script: &[Op], event_idx: bool) {
    let (mem, their_mem) = (memory(), memory());
    let features = RingFeatures {
        notify_on_empty: false,
        indirect_desc: true,
        event_idx,
    };
    let mock = MockDriver::<LittleEndian, _>::new(&mem, RING, SIZE, features);
    let their_mock = MockDriver::<LittleEndian, _>::new(&their_mem, RING, SIZE, features);
    let mut ours = mock.device_queue();
    let mut theirs = upstream(&ours);
    let mut added = false;
    let mut flags = 0;
    for op in script {
        op.guest(&mem, &mock);
        op.guest(&their_mem, &their_mock);
        match *op {
            Op::AvailFlags(new) => flags = new,
            Op::Pop => pop(&mut ours, &mem, &mut theirs),
            Op::GoBack => {
                ours.go_to_previous_position();
                QueueOwnedT::go_to_previous_position(&mut theirs);
            }
            Op::AddUsed(head, len) => {
                let result = ours.add_used(&mem, head, len);
                let expected = QueueT::add_used(&mut theirs, &their_mem, head, len);
                assert_eq!(result.is_ok(), expected.is_ok());
                added |= result.is_ok();
            }
            Op::NeedsNotification => {
                let needed = ours.needs_notification(&mem).unwrap();
                let expected = QueueT::needs_notification(&mut theirs, &their_mem).unwrap();
                if event_idx {
                    assert_eq!(needed, expected);
                } else {
                    // Upstream always says yes.
                    assert!(expected);
                    assert_eq!(needed, added && flags & 1 == 0);
                }
                added = false;
            }
            Op::EnableNotification => {
                let pending = ours.enable_notification(&mem).unwrap();
                let expected = QueueT::enable_notification(&mut theirs, &their_mem).unwrap();
                assert_eq!(pending, expected);
            }
            Op::DisableNotification => {
                ours.disable_notification(&mem).unwrap();
                QueueT::disable_notification(&mut theirs, &their_mem).unwrap();
            }
            _ => {}
        }
        assert_eq!(ours.next_avail(), theirs.next_avail());
        assert_eq!(ours.next_used(), theirs.next_used());
    }
    assert!(contents(&mem) == contents(&their_mem));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(target_arch = "s390x") { 100 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn test_beside_virtio_queue(script in scripts(), event_idx: bool) {
        run(&script, event_idx);
    }
}
