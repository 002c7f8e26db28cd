// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A queue's state as plain data, for snapshots.

use crate::RingFeatures;

/// Everything a [`Queue`](crate::Queue) knows; what lies in guest memory is not repeated here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// The largest size the device offers.
    pub max_size: u16,
    /// Entries of the queue.
    pub size: u16,
    /// Whether the queue is in use.
    pub ready: bool,
    /// Guest-physical address of the descriptor table.
    pub desc_table: u64,
    /// Guest-physical address of the available ring.
    pub avail_ring: u64,
    /// Guest-physical address of the used ring.
    pub used_ring: u64,
    /// Negotiated features of the ring.
    pub features: RingFeatures,
    /// Index (modulo 2^16) of the next entry of the available ring to look at.
    pub next_avail: u16,
    /// Index (modulo 2^16) of the next entry of the used ring to write.
    pub next_used: u16,
    /// Buffers used since it was last asked whether to notify the driver.
    pub num_added: u32,
}
