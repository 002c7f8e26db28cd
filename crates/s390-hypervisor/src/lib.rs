// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

mod exit;
mod state;
mod traits;

pub use exit::{Intercept, VcpuExit};
pub use s390_extint::{ExternalInterrupt, Psw};
pub use state::{LocalInterrupt, ResetKind, RunState, VcpuState};
pub use traits::{Error, Result, Vcpu, VcpuHandle, Vm};
