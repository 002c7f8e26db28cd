// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The seam to the assembly part: entry, handlers, waiting, probing.

use core::arch::global_asm;

global_asm!(include_str!("start.s"));

extern "C" {
    /// Handler of external interruptions; calls `rust_external`.
    pub fn external_handler();
    /// Handler of supervisor calls; calls `rust_svc`.
    pub fn svc_handler();
    /// Handler of program interruptions; calls `rust_program`.
    pub fn program_handler();
    /// Enabled wait for one external interruption.
    pub fn enabled_wait();
    /// Whether a word can be loaded from a real address: 1 or 0.
    pub fn probe_real(address: u64) -> u64;
    /// Where the PSW points when the load of `probe_real` has failed.
    pub fn probe_next();
    /// Where `probe_real` goes on then.
    pub fn probe_failed();
}
