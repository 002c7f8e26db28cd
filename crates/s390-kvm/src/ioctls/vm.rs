// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A virtual machine.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};

use super::numbers::*;
use super::{attr, DeviceFd, Result, VcpuFd};
use crate::bindings::*;

/// A virtual machine.
#[derive(Debug)]
pub struct VmFd {
    vm: File,
    run_size: usize,
}

impl VmFd {
    pub(super) fn new(vm: File, run_size: usize) -> Self {
        VmFd { vm, run_size }
    }

    /// What the kernel says of a capability (`KVM_CAP_*`) for this VM: 0 if it has it not.
    pub fn check_extension(&self, cap: u32) -> i32 {
        // SAFETY: the argument is a number, and nothing but the result comes back.
        unsafe { ioctl_with_val(&self.vm, KVM_CHECK_EXTENSION(), cap.into()) }.max(0)
    }

    /// Switches a capability on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the kernel has it not.
    pub fn enable_cap(&self, cap: &kvm_enable_cap) -> Result<()> {
        // SAFETY: the kernel reads the structure; no capability of a VM takes a pointer.
        check(unsafe { ioctl_with_ref(&self.vm, KVM_ENABLE_CAP(), cap) })?;
        Ok(())
    }

    /// Creates, changes or removes (`memory_size` 0) a memory slot.
    ///
    /// # Errors
    ///
    /// `EINVAL` if host address or size is not a multiple of 1 MiB. The guest address must be one
    /// as well, but kernels let others pass and the slot is not there then.
    ///
    /// # Safety
    ///
    /// The host memory of the slot must stay mapped until the slot is removed or the VM is gone
    /// with all its vCPUs and devices, and be used only for the guest: the guest may change it at
    /// any time.
    pub unsafe fn set_user_memory_region(&self, region: kvm_userspace_memory_region) -> Result<()> {
        // SAFETY: the kernel reads the structure; the caller vouches for the memory.
        check(unsafe { ioctl_with_ref(&self.vm, KVM_SET_USER_MEMORY_REGION(), &region) })?;
        Ok(())
    }

    /// Creates the vCPU with this number, which is its CPU address.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one already, `EINVAL` if the number is too large.
    pub fn create_vcpu(&self, id: u64) -> Result<VcpuFd> {
        // SAFETY: the argument is a number, and nothing but the result comes back.
        let fd = check(unsafe { ioctl_with_val(&self.vm, KVM_CREATE_VCPU(), id) })?;
        // SAFETY: the kernel has just opened this file for us alone.
        let vcpu = unsafe { File::from_raw_fd(fd) };
        VcpuFd::new(vcpu, self.run_size)
    }

    /// Creates a device of this type (`KVM_DEV_TYPE_*`).
    ///
    /// # Errors
    ///
    /// `ENODEV` if the kernel does not know the type, `EEXIST` if there can be only one.
    pub fn create_device(&self, device_type: u32) -> Result<DeviceFd> {
        let mut device = kvm_create_device {
            type_: device_type,
            ..Default::default()
        };
        // SAFETY: the kernel reads and writes the structure only.
        check(unsafe { ioctl_with_mut_ref(&self.vm, KVM_CREATE_DEVICE(), &mut device) })?;
        // SAFETY: the kernel has just opened this file for us alone.
        Ok(DeviceFd::new(unsafe {
            File::from_raw_fd(device.fd as RawFd)
        }))
    }

    /// Makes a floating interruption pending.
    ///
    /// # Errors
    ///
    /// `EBUSY` if too many are pending, `EINVAL` if it is not floating.
    pub fn s390_interrupt(&self, interrupt: &kvm_s390_interrupt) -> Result<()> {
        // SAFETY: the kernel reads the structure, which has no pointers.
        check(unsafe { ioctl_with_ref(&self.vm, KVM_S390_INTERRUPT(), interrupt) })?;
        Ok(())
    }

    /// The storage keys of the pages from number `start` on, as many as `keys` has room for;
    /// false if the guest uses none, so that all are zero.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are too many, `EFAULT` if there are no such pages.
    pub fn get_skeys(&self, start: u64, keys: &mut [u8]) -> Result<bool> {
        let args = kvm_s390_skeys {
            start_gfn: start,
            count: keys.len() as u64,
            skeydata_addr: keys.as_mut_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the kernel writes one byte per page into the slice.
        let ret = check(unsafe { ioctl_with_ref(&self.vm, KVM_S390_GET_SKEYS(), &args) })?;
        Ok(ret as u32 != KVM_S390_GET_SKEYS_NONE)
    }

    /// Sets the storage keys of the pages from number `start` on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are too many or a key is wrong, `EFAULT` if there are no such pages.
    pub fn set_skeys(&self, start: u64, keys: &[u8]) -> Result<()> {
        let args = kvm_s390_skeys {
            start_gfn: start,
            count: keys.len() as u64,
            skeydata_addr: keys.as_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the kernel reads one byte per page from the slice.
        check(unsafe { ioctl_with_ref(&self.vm, KVM_S390_SET_SKEYS(), &args) })?;
        Ok(())
    }

    /// Whether the VM has this attribute (`KVM_S390_VM_*`).
    pub fn has_device_attr(&self, group: u32, attr: u64) -> bool {
        attr::has(&self.vm, group, attr)
    }

    /// What CPU models the host can offer.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_cpu_machine(&self) -> Result<Box<kvm_s390_vm_cpu_machine>> {
        self.get(KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_MACHINE)
    }

    /// The guest's CPU model.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_cpu_processor(&self) -> Result<Box<kvm_s390_vm_cpu_processor>> {
        self.get(KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR)
    }

    /// Sets the guest's CPU model.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there are vCPUs already.
    pub fn set_cpu_processor(&self, model: &kvm_s390_vm_cpu_processor) -> Result<()> {
        self.set(KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR, model)
    }

    /// The guest's features that are no facility bits.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_cpu_processor_feat(&self) -> Result<Box<kvm_s390_vm_cpu_feat>> {
        self.get(KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR_FEAT)
    }

    /// The base of the guest's time-of-day clock.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_tod(&self) -> Result<u64> {
        Ok(*self.get::<u64>(KVM_S390_VM_TOD, KVM_S390_VM_TOD_LOW)?)
    }

    /// Sets the base of the guest's time-of-day clock.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn set_tod(&self, tod: u64) -> Result<()> {
        self.set(KVM_S390_VM_TOD, KVM_S390_VM_TOD_LOW, &tod)
    }

    /// The guest's time-of-day clock now, with its epoch index. Since Linux 4.14.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the clock is not the host's to read, that of a protected guest.
    pub fn get_tod_clock(&self) -> Result<kvm_s390_vm_tod_clock> {
        Ok(*self.get(KVM_S390_VM_TOD, KVM_S390_VM_TOD_EXT)?)
    }

    /// Sets the guest's time-of-day clock, that of all vCPUs at once. Since Linux 4.14.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is an epoch index that the guest does not know of.
    pub fn set_tod_clock(&self, clock: &kvm_s390_vm_tod_clock) -> Result<()> {
        self.set(KVM_S390_VM_TOD, KVM_S390_VM_TOD_EXT, clock)
    }

    fn get<T: Attribute>(&self, group: u32, attr: u64) -> Result<Box<T>> {
        let mut value = Box::<T>::default();
        let attr = kvm_device_attr {
            group,
            attr,
            addr: std::ptr::from_mut(&mut *value) as u64,
            ..Default::default()
        };
        // SAFETY: `T` is what the kernel writes for this attribute, and any bytes are one.
        unsafe { attr::get(&self.vm, &attr) }?;
        Ok(value)
    }

    fn set<T: Attribute>(&self, group: u32, attr: u64, value: &T) -> Result<()> {
        let attr = kvm_device_attr {
            group,
            attr,
            addr: std::ptr::from_ref(value) as u64,
            ..Default::default()
        };
        // SAFETY: `T` is what the kernel reads for this attribute.
        unsafe { attr::set(&self.vm, &attr) }?;
        Ok(())
    }
}

impl AsRawFd for VmFd {
    fn as_raw_fd(&self) -> RawFd {
        self.vm.as_raw_fd()
    }
}

/// What is the data of an attribute: plain integers.
trait Attribute: Default {}

impl Attribute for u64 {}
impl Attribute for kvm_s390_vm_tod_clock {}
impl Attribute for kvm_s390_vm_cpu_machine {}
impl Attribute for kvm_s390_vm_cpu_processor {}
impl Attribute for kvm_s390_vm_cpu_feat {}
