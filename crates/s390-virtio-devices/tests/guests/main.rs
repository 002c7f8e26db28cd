// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guests of 2008 to 2017 on the bus, without a CPU: each scenario runs as every one of the Linux
//! releases in `linux.rs`, whose code for page, rings and interruptions is modelled byte by byte
//! in `kernel.rs` and `vring.rs`.
//!
//! The model is as touchy as the original: where that would oops, trip over a `BUG_ON` or mark a
//! queue broken, it panics. So a scenario need not look for stale tokens or indices: the guest
//! does.

#[path = "../common/mod.rs"]
mod common;
mod drivers;
mod kernel;
mod linux;
mod vring;

mod config_space;
mod early_console;
mod features;
mod geometry;
mod hot_add;
mod interrupts;
mod kicks;
mod page;
mod reboot;
mod reset;
mod unbind;
