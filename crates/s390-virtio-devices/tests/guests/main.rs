// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guests of 2008 to 2017 on the bus, without a CPU: each scenario runs as every one of the Linux
//! releases in `linux.rs`, whose code for page, rings and interruptions is modelled byte by byte
//! in `kernel.rs` and `vring.rs`.
//!
//! The model is as touchy as the original: where that would oops, trip over a `BUG_ON` or mark a
//! queue broken, it panics. So a scenario need not look for stale tokens or indices: the guest
//! does.
//!
//! Where the rows of `facts/protocol.md` are shown, so that gaps show, too:
//!
//! | row | what it says | shown in |
//! | --- | --- | --- |
//! | A.2, A.3 | the page, its end and its capacity | `page`, `hypercalls` |
//! | A.4, A.5 | rings of every size, which never move | `geometry`, `reboot` |
//! | A.6, B.2 | the bitmap, and both ways to accept | `features`, `config_space` (stray bit) |
//! | B.1 | probe, early use, failure, unbind and bind | `kicks`, `unbind` |
//! | B.3 | hypercalls and their answers | `hypercalls`, `kicks`, `reset` |
//! | B.3a | rings are cleared by the host | `unbind`, `reset`, `reboot` |
//! | B.4 | configuration space, its length, and its two authors | `features`, `config_space` |
//! | B.5 | text and rings told apart | `early_console`, `hypercalls` |
//! | C.1, C.4 | interruptions: token, its lowest bit, none, configuration, device added | `interrupts`, `config_space`, `hot_add` |
//! | H | more than 64 queues; interruptions without a token; a lost reset | `page`, `interrupts`, `unbind` |
//!
//! Malformed rings do not depend on the release: they are in `tests/hostile.rs`.

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
mod hypercalls;
mod interrupts;
mod kicks;
mod page;
mod reboot;
mod reset;
mod unbind;
