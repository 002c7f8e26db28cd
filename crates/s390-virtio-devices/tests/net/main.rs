// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Network devices at work on the bus: page, rings, notifications, interruptions and a real peer.

#[path = "../common/mod.rs"]
mod common;
mod interface;
mod peers;

mod cable;
mod config;
mod counters;
mod lengths;
mod offloads;
mod reset;
mod stream;
mod tap;
