// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A virtual CPU and a virtual machine that only record what is asked of them.

mod vcpu;
mod vm;

#[cfg(test)]
mod rig;

#[cfg(test)]
pub(crate) use rig::Rig;
pub use vcpu::{FakeHandle, FakeVcpu};
pub use vm::FakeVm;
