// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The backend behind the traits of `s390-hypervisor`.
//!
//! KVM makes every call for a vCPU wait while the vCPU runs, except for those that make
//! interruptions pending. So whatever else other threads want of a CPU waits at its `gate`, and
//! the CPU is called out of the guest to look.

mod error;
mod exit;
mod gate;
mod handle;
mod interrupt;
mod memory;
mod signal;
mod vcpu;
mod vm;

pub use error::Error;
pub use memory::guest_memory;
pub use vcpu::KvmVcpu;
pub use vm::KvmVm;
