// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a block device counts.

use crate::metrics::{Counter, DeviceMetrics, QueueMetrics};

/// Counters of a block device.
#[derive(Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub struct BlockMetrics {
    /// The request queue.
    pub queue: QueueMetrics,
    /// Reads done.
    pub reads: Counter,
    /// Bytes read by the driver.
    pub read_bytes: Counter,
    /// Writes done.
    pub writes: Counter,
    /// Bytes written by the driver.
    pub write_bytes: Counter,
    /// Flushes done.
    pub flushes: Counter,
    /// Discards done.
    pub discards: Counter,
    /// Requests for zeros done.
    pub write_zeroes: Counter,
    /// Requests answered with an error.
    pub errors: Counter,
    /// Times that the storage failed.
    pub failures: Counter,
    /// Requests of a type that the device does not know.
    pub unsupported: Counter,
    /// Times that the rate limit stopped the queue.
    pub throttled: Counter,
}

impl DeviceMetrics for BlockMetrics {
    fn of_queue(&self, queue: u16) -> Option<&QueueMetrics> {
        (queue == 0).then_some(&self.queue)
    }
}
