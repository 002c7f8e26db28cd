// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a network device counts: every frame ends in one of these numbers. What the host's kernel
//! drops before it reaches the device, or behind it, the kernel counts at its interface.

use super::handler::{CTRL_QUEUE, RX_QUEUE, TX_QUEUE};
use crate::metrics::{Counter, DeviceMetrics, QueueMetrics};

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
    /// The control queue.
    pub ctrl_queue: QueueMetrics,
    /// Frames given to the guest.
    pub rx_frames: Counter,
    /// Bytes of these frames.
    pub rx_bytes: Counter,
    /// Frames of these that the guest has to divide into segments.
    pub rx_gso: Counter,
    /// Frames of these whose checksum is left to the guest.
    pub rx_partial_csum: Counter,
    /// Frames dropped because they are shorter than an Ethernet header.
    pub rx_dropped_short: Counter,
    /// Frames dropped because they are longer than the guest's buffers.
    pub rx_dropped_long: Counter,
    /// Frames dropped because the guest does not want them: addresses and VLANs.
    pub rx_dropped_filter: Counter,
    /// Frames dropped because they leave work to the guest that it did not agree to.
    pub rx_dropped_offload: Counter,
    /// Frames dropped because the link is down.
    pub rx_dropped_link: Counter,
    /// Frames dropped because the device was reset while they waited for buffers.
    pub rx_dropped_reset: Counter,
    /// Times that the backend failed to give a frame.
    pub rx_errors: Counter,
    /// Times that a frame had to wait for more buffers.
    pub rx_waits: Counter,
    /// Times that frames had to wait because of the rate limit.
    pub rx_limited: Counter,
    /// Frames taken by the backend.
    pub tx_frames: Counter,
    /// Bytes of these frames.
    pub tx_bytes: Counter,
    /// Frames of these that the guest left to the backend to divide into segments.
    pub tx_gso: Counter,
    /// Frames of these whose checksum the guest left to the backend.
    pub tx_partial_csum: Counter,
    /// Frames dropped because they are shorter than an Ethernet header.
    pub tx_dropped_short: Counter,
    /// Frames dropped because they are too long, or in too many pieces.
    pub tx_dropped_long: Counter,
    /// Frames dropped because they leave work to the host that it did not agree to.
    pub tx_dropped_offload: Counter,
    /// Frames dropped because the link is down.
    pub tx_dropped_link: Counter,
    /// Frames that the backend refused.
    pub tx_errors: Counter,
    /// Times that a frame had to wait because the backend was full.
    pub tx_waits: Counter,
    /// Times that a frame had to wait because of the rate limit.
    pub tx_limited: Counter,
    /// Commands that were refused.
    pub ctrl_refused: Counter,
    /// Times that the backend was lost.
    pub link_errors: Counter,
}

impl DeviceMetrics for NetMetrics {
    fn of_queue(&self, queue: u16) -> Option<&QueueMetrics> {
        match queue {
            RX_QUEUE => Some(&self.rx_queue),
            TX_QUEUE => Some(&self.tx_queue),
            CTRL_QUEUE => Some(&self.ctrl_queue),
            _ => None,
        }
    }
}
