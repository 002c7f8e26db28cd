// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(not(target_arch = "s390x"), forbid(unsafe_code))]
#![warn(clippy::missing_errors_doc)]

mod diagnose;
mod handler;
mod program;
mod request;
mod sysib;

#[cfg(target_arch = "s390x")]
pub mod guest;

pub use diagnose::Diagnose;
pub use handler::{dispatch, Answer, HypercallHandler, Registers};
pub use program::ProgramInterruption;
pub use request::Hypercall;
pub use sysib::Sysib;

/// The function code of DIAGNOSE that carries KVM hypercalls (Linux, `s390-diag.rst`).
pub const DIAG_KVM: u16 = 0x500;

/// Subcode 0: buffers were added to the queue whose ring is at r2 (2008 transport).
pub const NOTIFY: u64 = 0;
/// Subcode 1: reset the device whose descriptor is at r2 (2008 transport).
pub const RESET: u64 = 1;
/// Subcode 2: the status byte of the device whose descriptor is at r2 changed (2008 transport).
pub const SET_STATUS: u64 = 2;
/// Subcode 3: virtio-ccw notification.
pub const CCW_NOTIFY: u64 = 3;
/// Subcode 4: ask for the highest guest absolute address (Linux 6.13, `s390-diag.rst`).
pub const STORAGE_LIMIT: u64 = 4;

/// Result of a hypercall that names no device or queue: Linux's `EINVAL`, negative, as the 64-bit
/// value in r2.
pub const EINVAL: i64 = -22;
