// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! External interruptions of z/Architecture: codes, lowcore, pending queue, delivery.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

mod interrupt;
mod psw;

pub use interrupt::ExternalInterrupt;
pub use psw::Psw;
