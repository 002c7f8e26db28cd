// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Byte order changes bytes and nothing else: the same script has the same outcome in both orders, and
//! the trait's implementation for `virtio_queue::Queue` cannot be told from the little-endian one.

mod common;

use common::{memory, scripts, Op, RING, SIZE};
use proptest::prelude::*;
use s390_vring::mock::MockDriver;
use s390_vring::{BigEndian, ByteOrder, DeviceQueue, LittleEndian, Queue, RingFeatures};
use virtio_queue::QueueT;

/// All that device and guest see of a script.
fn outcome<E: ByteOrder, Q: DeviceQueue>(
    script: &[Op],
    features: RingFeatures,
    queue: impl Fn(Queue<E>) -> Q,
) -> Vec<String> {
    let mem = memory();
    let mock = MockDriver::<E, _>::new(&mem, RING, SIZE, features);
    let mut queue = queue(mock.device_queue());
    let mut outcome = Vec::new();
    let mut added = false;
    for op in script {
        op.guest(&mem, &mock);
        match *op {
            Op::Pop => outcome.push(format!("{:?}", queue.pop_descriptor_chain(&mem))),
            Op::GoBack => queue.go_to_previous_position(),
            Op::AddUsed(head, len) => {
                let result = queue.add_used(&mem, head, len);
                added |= result.is_ok();
                outcome.push(format!("{result:?}"));
            }
            // Only asked where there is something to tell: upstream does not know.
            Op::NeedsNotification if added => {
                added = false;
                outcome.push(format!("{:?}", queue.needs_notification(&mem)));
            }
            Op::EnableNotification => {
                outcome.push(format!("{:?}", queue.enable_notification(&mem)));
            }
            Op::DisableNotification => queue.disable_notification(&mem).unwrap(),
            _ => {}
        }
        outcome.push(format!(
            "{} {} {}",
            mock.used_idx(),
            mock.used_flags(),
            mock.avail_event()
        ));
    }
    outcome.extend((0..SIZE).map(|idx| format!("{:?}", mock.used_element(idx))));
    outcome
}

fn upstream(ours: Queue<LittleEndian>) -> virtio_queue::Queue {
    let state = ours.state();
    let mut queue = virtio_queue::Queue::new(state.max_size).unwrap();
    queue.set_desc_table_address(Some(state.desc_table as u32), None);
    queue.set_avail_ring_address(Some(state.avail_ring as u32), None);
    queue.set_used_ring_address(Some(state.used_ring as u32), None);
    queue.set_event_idx(state.features.event_idx);
    queue.set_ready(true);
    queue
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(target_arch = "s390x") { 50 } else { 250 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn test_same_outcome_in_both_orders(
        script in scripts(),
        notify_on_empty: bool,
        indirect_desc: bool,
        event_idx: bool,
    ) {
        let features = RingFeatures { notify_on_empty, indirect_desc, event_idx };
        let big = outcome::<BigEndian, _>(&script, features, |queue| queue);
        let little = outcome::<LittleEndian, _>(&script, features, |queue| queue);
        prop_assert_eq!(big, little);
    }

    #[test]
    fn test_same_outcome_through_the_trait(script in scripts(), event_idx: bool) {
        let features = RingFeatures { notify_on_empty: false, indirect_desc: true, event_idx };
        let ours = outcome::<LittleEndian, _>(&script, features, |queue| queue);
        let theirs = outcome::<LittleEndian, _>(&script, features, upstream);
        prop_assert_eq!(ours, theirs);
    }
}
