// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Page and queue know a ring's geometry each for itself, since neither uses the other: the page
//! places and clears rings, the queue works in them. The bus holds both to the same.

use s390_virtio_page::{RingLayout, MAX_RING_NUM};
use s390_vring::Layout;

#[test]
fn page_and_queue_agree_on_the_geometry_of_every_ring() {
    for num in 0..=MAX_RING_NUM {
        let (page, queue) = (RingLayout::new(num), Layout::legacy(num));
        assert_eq!(page.is_some(), queue.is_some(), "{num}");
        let (Some(page), Some(queue)) = (page, queue) else {
            continue;
        };
        assert_eq!(page.num(), queue.size());
        assert_eq!(page.avail(), queue.avail_ring());
        assert_eq!(page.used_event(), queue.used_event());
        assert_eq!(page.used(), queue.used_ring());
        assert_eq!(page.avail_event(), queue.avail_event());
        assert_eq!(page.size(), queue.bytes());
    }
    // The page allows fewer entries than virtio.
    assert!(RingLayout::new(2 * MAX_RING_NUM).is_none());
}
