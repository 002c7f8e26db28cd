// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The driver side, for guests without an operating system: no allocation, no trust in the device.

mod buffer;
mod error;
mod memory;
mod queue;

pub use buffer::{write_indirect_table, Buffer};
pub use error::DriverError;
pub use memory::{RawRing, RingMemory};
pub use queue::{DriverQueue, Slot, Used};
