// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

mod deliver;
mod enable;
mod interrupt;
pub mod lowcore;
#[cfg(feature = "std")]
mod pending;
mod psw;
mod virtio;

pub use deliver::deliver;
pub use enable::{cr0_subclass, is_enabled, priority};
pub use interrupt::ExternalInterrupt;
pub use lowcore::LowcoreAccess;
#[cfg(feature = "std")]
pub use pending::{Error, PendingQueue, PendingState, Pushed};
pub use psw::Psw;
pub use virtio::VirtioEvent;
