// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an entropy device counts.

use crate::metrics::{Counter, DeviceMetrics, QueueMetrics};

/// Counters of an entropy device.
#[derive(Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub struct RngMetrics {
    /// The request queue.
    pub queue: QueueMetrics,
    /// Random bytes given to the guest.
    pub bytes: Counter,
    /// Times that the source failed.
    pub errors: Counter,
}

impl DeviceMetrics for RngMetrics {
    fn of_queue(&self, queue: u16) -> Option<&QueueMetrics> {
        (queue == 0).then_some(&self.queue)
    }
}
