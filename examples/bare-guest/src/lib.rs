// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest does that needs no machine: command line, disk pattern, network packets.
//! Tested on any host; the rest is the program of the same name.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod options;
pub mod packet;
pub mod pattern;
pub mod stress;
