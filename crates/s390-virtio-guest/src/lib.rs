// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(test)]
extern crate std;

mod bus;
mod device;
mod error;
mod hypervisor;
mod interrupts;
mod page;
mod queue;

pub use bus::Bus;
pub use device::Device;
pub use error::{ConfigRange, DriverError, Error, Overrun};
#[cfg(target_arch = "s390x")]
pub use hypervisor::Diagnose;
pub use hypervisor::Hypervisor;
pub use interrupts::{Event, InterruptTable, Token};
pub use page::VolatilePage;
pub use queue::VirtQueue;
pub use s390_virtio_page::{status, PageBytes, VqConfig};
pub use s390_vring::{Buffer, RawRing, RingMemory, Slot, Used};
