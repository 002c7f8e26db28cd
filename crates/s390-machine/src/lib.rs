// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

mod config;
mod diag;
mod disabled_wait;
mod ebcdic;
mod fault;
mod instruction;
mod ipl_functions;
mod machine;
mod orders;
mod outcome;
mod reset;
mod service_call;
mod sigp;
mod store;
mod stsi;
mod sysib;
#[cfg(any(test, feature = "test-utils"))]
pub mod test_utils;
mod translate;
mod watchdog;

pub use config::MachineConfig;
pub use fault::{Error, Result};
pub use machine::{Machine, Parts};
pub use outcome::{Outcome, Reboot, RebootKind};
pub use reset::SubsystemReset;
