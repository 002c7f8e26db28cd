// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a balloon counts.

use super::handler::{DEFLATE_QUEUE, INFLATE_QUEUE, STATISTICS_QUEUE};
use crate::metrics::{Counter, DeviceMetrics, QueueMetrics};

/// Counters of a balloon.
#[derive(Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub struct BalloonMetrics {
    /// The queue of pages that go into the balloon.
    pub inflate_queue: QueueMetrics,
    /// The queue of pages that come out of it.
    pub deflate_queue: QueueMetrics,
    /// The queue of statistics.
    pub statistics_queue: QueueMetrics,
    /// Times that the guest sent statistics.
    pub reports: Counter,
    /// Pages that went into the balloon, and whose memory the host got back.
    pub inflated: Counter,
    /// Pages that came out of it.
    pub deflated: Counter,
    /// Pages that the guest named and that are not in its RAM.
    pub outside: Counter,
    /// Pages whose memory the host did not take back.
    pub kept: Counter,
}

impl DeviceMetrics for BalloonMetrics {
    fn of_queue(&self, queue: u16) -> Option<&QueueMetrics> {
        match queue {
            INFLATE_QUEUE => Some(&self.inflate_queue),
            DEFLATE_QUEUE => Some(&self.deflate_queue),
            STATISTICS_QUEUE => Some(&self.statistics_queue),
            _ => None,
        }
    }
}
