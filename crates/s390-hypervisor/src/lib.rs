// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a VMM for s390 asks of its backend: virtual machine, virtual CPU, exits.
//!
//! Two backends stand behind these traits, KVM and a software CPU. An exit looks the same from
//! both: a SIE [`Intercept`] with access to the registers, so that whatever answers it is
//! written once.
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

mod exit;
mod state;
mod traits;

pub use exit::{Intercept, VcpuExit};
pub use s390_extint::{ExternalInterrupt, Psw};
pub use state::{LocalInterrupt, ResetKind, RunState, VcpuState};
pub use traits::{Error, Result, Vcpu, VcpuHandle, Vm};
