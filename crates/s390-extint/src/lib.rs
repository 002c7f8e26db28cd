// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod deliver;
mod enable;
mod interrupt;
pub mod lowcore;
#[cfg(feature = "alloc")]
mod pending;
mod psw;
mod virtio;

pub use deliver::deliver;
pub use enable::{cr0_subclass, is_enabled, priority};
pub use interrupt::ExternalInterrupt;
pub use lowcore::LowcoreAccess;
#[cfg(feature = "alloc")]
pub use pending::{Error, PendingQueue, PendingState, Pushed};
pub use psw::Psw;
pub use virtio::VirtioEvent;
