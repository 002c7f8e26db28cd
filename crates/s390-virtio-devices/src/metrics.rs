// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Counters that other threads may read while a device works.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds one; the new number, if it is worth a line in the log: 1, 2, 4, 8 and so on. What a
    /// guest can make happen as often as it likes must not fill the host's log.
    pub(crate) fn occasion(&self) -> Option<u64> {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        number.is_power_of_two().then_some(number)
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a device, for a transport that does not know which device it is.
pub trait DeviceMetrics: Send + Sync {
    /// Those of queue `queue`; none if the device has no such queue.
    fn of_queue(&self, queue: u16) -> Option<&QueueMetrics>;
}

/// What happened on one queue.
#[derive(Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub struct QueueMetrics {
    /// Notifications by the driver. The transport counts them.
    pub kicks: Counter,
    /// Chains returned to the driver.
    pub chains: Counter,
    /// Bytes of these chains: those for the device, and those that it wrote.
    pub bytes: Counter,
    /// Interruptions sent in the queue's name, for used buffers and for a new configuration. The
    /// transport counts them.
    pub interrupts: Counter,
    /// Times that the driver did not want one.
    pub suppressed: Counter,
}
