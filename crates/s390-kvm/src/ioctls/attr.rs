// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Attributes, which VMs and devices have alike.

use std::os::fd::AsRawFd;

use vmm_sys_util::ioctl::ioctl_with_ref;

use super::numbers::*;
use super::Result;
use crate::bindings::kvm_device_attr;

/// Whether there is such an attribute.
pub(super) fn has(fd: &impl AsRawFd, group: u32, attr: u64) -> bool {
    let attr = kvm_device_attr {
        group,
        attr,
        ..Default::default()
    };
    // SAFETY: the kernel reads the structure and follows no pointer in it.
    unsafe { ioctl_with_ref(fd, KVM_HAS_DEVICE_ATTR(), &attr) == 0 }
}

/// Sets an attribute; returns what the kernel returned.
///
/// # Safety
///
/// `attr.addr` points to what the kernel reads for this attribute.
pub(super) unsafe fn set(fd: &impl AsRawFd, attr: &kvm_device_attr) -> Result<i32> {
    // SAFETY: the kernel reads the structure; the caller vouches for what it points to.
    check(unsafe { ioctl_with_ref(fd, KVM_SET_DEVICE_ATTR(), attr) })
}

/// Gets an attribute; returns what the kernel returned.
///
/// # Safety
///
/// `attr.addr` points to room that nobody else uses for what the kernel writes for this attribute.
pub(super) unsafe fn get(fd: &impl AsRawFd, attr: &kvm_device_attr) -> Result<i32> {
    // SAFETY: the kernel reads the structure; the caller vouches for what it points to.
    check(unsafe { ioctl_with_ref(fd, KVM_GET_DEVICE_ATTR(), attr) })
}
