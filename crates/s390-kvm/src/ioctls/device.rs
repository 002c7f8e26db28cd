// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device in the kernel: the floating interrupt controller (FLIC).

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use super::{attr, Result};
use crate::bindings::*;

/// A device in the kernel.
#[derive(Debug)]
pub struct DeviceFd {
    device: File,
}

impl DeviceFd {
    pub(super) fn new(device: File) -> Self {
        DeviceFd { device }
    }

    /// Whether the device has this attribute.
    pub fn has_device_attr(&self, group: u32, attr: u64) -> bool {
        attr::has(&self.device, group, attr)
    }

    /// Makes floating interruptions pending.
    ///
    /// # Errors
    ///
    /// `EBUSY` if too many are pending, `EINVAL` if one is not floating or the device is no FLIC.
    pub fn flic_enqueue(&self, irqs: &[kvm_s390_irq]) -> Result<()> {
        let attr = kvm_device_attr {
            group: KVM_DEV_FLIC_ENQUEUE,
            attr: size_of_val(irqs) as u64,
            addr: irqs.as_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the kernel reads as many bytes as the slice has.
        unsafe { attr::set(&self.device, &attr) }?;
        Ok(())
    }

    /// Drops every pending floating interruption.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn flic_clear_irqs(&self) -> Result<()> {
        let attr = kvm_device_attr {
            group: KVM_DEV_FLIC_CLEAR_IRQS,
            ..Default::default()
        };
        // SAFETY: this attribute has no data.
        unsafe { attr::set(&self.device, &attr) }?;
        Ok(())
    }

    /// The pending floating interruptions, at most `max`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there are more.
    pub fn flic_get_all_irqs(&self, max: usize) -> Result<Vec<kvm_s390_irq>> {
        let mut irqs = vec![kvm_s390_irq::default(); max];
        let attr = kvm_device_attr {
            group: KVM_DEV_FLIC_GET_ALL_IRQS,
            attr: size_of_val(&irqs[..]) as u64,
            addr: irqs.as_mut_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the kernel writes at most as many bytes as the vector has, and any bytes are
        // such structures.
        let count = unsafe { attr::get(&self.device, &attr) }?;
        irqs.truncate(count as usize);
        Ok(irqs)
    }
}

impl AsRawFd for DeviceFd {
    fn as_raw_fd(&self) -> RawFd {
        self.device.as_raw_fd()
    }
}
