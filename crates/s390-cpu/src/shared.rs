// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What other threads may touch of a CPU.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::code_pages::StalePages;

/// Reasons for a CPU to look up from its blocks: one bit each.
#[derive(Debug, Default)]
pub(crate) struct Attention(AtomicU32);

impl Attention {
    /// Decoded instructions were overwritten.
    pub(crate) const STALE_CODE: u32 = 1;
    /// An interruption became pending, for this CPU or floating.
    pub(crate) const INTERRUPTION: u32 = 2;
    /// `run` shall return.
    pub(crate) const KICK: u32 = 4;
    /// Start, stop, or another order that changes the run state.
    pub(crate) const ORDER: u32 = 8;

    pub(crate) fn raise(&self, bits: u32) {
        self.0.fetch_or(bits, Ordering::Release);
    }

    /// All bits that are set, which are cleared.
    pub(crate) fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Acquire)
    }

    /// Cheap test between two blocks.
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// The part of a CPU that other threads hold on to.
#[derive(Debug, Default)]
pub(crate) struct CpuShared {
    pub(crate) attention: Attention,
    pub(crate) stale_pages: StalePages,
}
