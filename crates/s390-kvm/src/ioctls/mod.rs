// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Safe calls of `/dev/kvm`, in the shape of `kvm-ioctls`.
//!
//! | type | stands for |
//! | --- | --- |
//! | [`Kvm`] | `/dev/kvm` |
//! | [`VmFd`] | a virtual machine |
//! | [`VcpuFd`] | a virtual CPU, for the thread that runs it |
//! | [`VcpuRemote`] | the same one, for all other threads |
//! | [`DeviceFd`] | a device in the kernel: the floating interrupt controller |
//!
//! A call fails with the kernel's error number, which the kernel documents with the call.

mod attr;
mod device;
pub(crate) mod numbers;
mod run;
mod system;
mod vcpu;
mod vm;

pub use device::DeviceFd;
pub use run::VcpuExit;
pub use system::Kvm;
pub use vcpu::{MemOp, VcpuFd, VcpuRemote};
pub use vm::VmFd;

/// The result of an ioctl; the error is the kernel's number.
pub type Result<T> = std::result::Result<T, vmm_sys_util::errno::Error>;
