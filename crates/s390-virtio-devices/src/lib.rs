// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]

pub mod balloon;
pub mod block;
mod buffers;
pub mod bus;
pub mod console;
mod device;
mod drain;
mod event;
mod legacy;
pub mod metrics;
pub mod net;
pub mod p9;
mod pool;
pub mod rate_limiter;
pub mod rng;
mod slots;
#[cfg(test)]
mod test_utils;

pub use bus::VirtioBus;
pub use device::{ActivateError, Activation, SignalDriver, Transport, VirtioDevice};
pub use drain::Progress;
pub use legacy::S390Legacy;
