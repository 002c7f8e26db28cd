// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `/dev/kvm` itself.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::path::Path;

use vmm_sys_util::errno::Error;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_val};

use super::numbers::*;
use super::{Result, VmFd};

/// `/dev/kvm`.
#[derive(Debug)]
pub struct Kvm {
    kvm: File,
}

impl Kvm {
    /// Opens `/dev/kvm`.
    ///
    /// # Errors
    ///
    /// The error number of `open`.
    pub fn new() -> Result<Self> {
        Self::new_with_path("/dev/kvm")
    }

    /// Opens the device at another path.
    ///
    /// # Errors
    ///
    /// The error number of `open`.
    pub fn new_with_path(path: impl AsRef<Path>) -> Result<Self> {
        let kvm = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| Error::new(error.raw_os_error().unwrap_or(libc::EIO)))?;
        Ok(Kvm { kvm })
    }

    /// The version of the interface, [`KVM_API_VERSION`](crate::bindings::KVM_API_VERSION).
    /// Negative if the file is not KVM's.
    pub fn get_api_version(&self) -> i32 {
        // SAFETY: no argument, and nothing but the result comes back.
        unsafe { ioctl(&self.kvm, KVM_GET_API_VERSION()) }
    }

    /// What the kernel says of a capability (`KVM_CAP_*`): 0 if it has it not.
    pub fn check_extension(&self, cap: u32) -> i32 {
        // SAFETY: the argument is a number, and nothing but the result comes back.
        unsafe { ioctl_with_val(&self.kvm, KVM_CHECK_EXTENSION(), cap.into()) }.max(0)
    }

    /// Bytes in a vCPU's mapping.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_vcpu_mmap_size(&self) -> Result<usize> {
        // SAFETY: no argument, and nothing but the result comes back.
        let size = check(unsafe { ioctl(&self.kvm, KVM_GET_VCPU_MMAP_SIZE()) })?;
        Ok(size as usize)
    }

    /// Creates a VM of the usual type.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the process has no page tables with room for guests (`vm.allocate_pgste`).
    pub fn create_vm(&self) -> Result<VmFd> {
        self.create_vm_with_type(0)
    }

    /// Creates a VM of this type: 0 or [`KVM_VM_S390_UCONTROL`](crate::bindings::KVM_VM_S390_UCONTROL).
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn create_vm_with_type(&self, vm_type: u64) -> Result<VmFd> {
        let run_size = self.get_vcpu_mmap_size()?;
        // SAFETY: the argument is a number, and nothing but the result comes back.
        let fd = check(unsafe { ioctl_with_val(&self.kvm, KVM_CREATE_VM(), vm_type) })?;
        // SAFETY: the kernel has just opened this file for us alone.
        let vm = unsafe { File::from_raw_fd(fd) };
        Ok(VmFd::new(vm, run_size))
    }
}

impl AsRawFd for Kvm {
    fn as_raw_fd(&self) -> RawFd {
        self.kvm.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_has_the_error_of_open() {
        let error = Kvm::new_with_path("/nowhere/kvm").unwrap_err();
        assert_eq!(error.errno(), libc::ENOENT);
    }

    #[test]
    fn a_file_that_is_not_kvm_has_no_version_and_no_capability() {
        let kvm = Kvm::new_with_path("/dev/null").unwrap();
        assert!(kvm.get_api_version() < 0);
        assert_eq!(kvm.check_extension(crate::bindings::KVM_CAP_SYNC_REGS), 0);
        assert!(kvm.create_vm().is_err());
    }
}
