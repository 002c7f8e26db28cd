// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(any(test, feature = "vm-memory"))]
extern crate std;

mod byte_order;
mod descriptor;
#[cfg(feature = "vm-memory")]
mod device;
mod driver;
pub mod geometry;
#[cfg(feature = "test-utils")]
pub mod mock;

pub use byte_order::{BigEndian, ByteOrder, LittleEndian};
pub use descriptor::*;
#[cfg(feature = "vm-memory")]
pub use device::*;
pub use driver::*;
pub use geometry::Layout;
