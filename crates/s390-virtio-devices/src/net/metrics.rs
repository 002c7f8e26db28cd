// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a network device counts: every frame ends in one of these numbers.

use crate::metrics::{Counter, QueueMetrics};

/// Counters of a network device, seen from the guest: it receives from the backend.
#[derive(Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub struct NetMetrics {
    /// The receive queue.
    pub rx_queue: QueueMetrics,
    /// The transmit queue.
    pub tx_queue: QueueMetrics,
    /// Frames given to the guest.
    pub rx_frames: Counter,
    /// Bytes of these frames.
    pub rx_bytes: Counter,
    /// Frames dropped because they are no Ethernet frames, because they are longer than the
    /// guest's buffers, or because the link is down.
    pub rx_dropped: Counter,
    /// Times that the backend failed to give a frame.
    pub rx_errors: Counter,
    /// Frames taken by the backend.
    pub tx_frames: Counter,
    /// Bytes of these frames.
    pub tx_bytes: Counter,
    /// Frames dropped because they are no Ethernet frames, or because the link is down.
    pub tx_dropped: Counter,
    /// Frames that the backend refused.
    pub tx_errors: Counter,
    /// Times that a frame had to wait because the link was full.
    pub tx_waits: Counter,
}
