// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a 9P device counts.

use crate::metrics::{Counter, DeviceMetrics, QueueMetrics};

/// Counters of a 9P device.
#[derive(Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub struct P9Metrics {
    /// The request queue.
    pub queue: QueueMetrics,
    /// Reads of files done.
    pub reads: Counter,
    /// Bytes of files read by the driver.
    pub read_bytes: Counter,
    /// Writes of files done.
    pub writes: Counter,
    /// Bytes of files written by the driver.
    pub write_bytes: Counter,
    /// Requests answered with an error: names that are not there, most of all.
    pub errors: Counter,
}

impl DeviceMetrics for P9Metrics {
    fn of_queue(&self, queue: u16) -> Option<&QueueMetrics> {
        (queue == 0).then_some(&self.queue)
    }
}
