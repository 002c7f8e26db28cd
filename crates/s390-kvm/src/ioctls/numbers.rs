// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The numbers of the ioctls.

use std::os::raw::{c_int, c_uint, c_ulong};

use vmm_sys_util::{ioctl_io_nr, ioctl_ior_nr, ioctl_iow_nr, ioctl_iowr_nr};

use crate::bindings::*;

const KVMIO: c_uint = 0xae;

// /dev/kvm
ioctl_io_nr!(KVM_GET_API_VERSION, KVMIO, 0x00);
ioctl_io_nr!(KVM_CREATE_VM, KVMIO, 0x01);
ioctl_io_nr!(KVM_CHECK_EXTENSION, KVMIO, 0x03);
ioctl_io_nr!(KVM_GET_VCPU_MMAP_SIZE, KVMIO, 0x04);
// A VM.
ioctl_io_nr!(KVM_CREATE_VCPU, KVMIO, 0x41);
ioctl_iow_nr!(
    KVM_SET_USER_MEMORY_REGION,
    KVMIO,
    0x46,
    kvm_userspace_memory_region
);
ioctl_iowr_nr!(KVM_CREATE_DEVICE, KVMIO, 0xe0, kvm_create_device);
ioctl_iow_nr!(KVM_S390_GET_SKEYS, KVMIO, 0xb2, kvm_s390_skeys);
ioctl_iow_nr!(KVM_S390_SET_SKEYS, KVMIO, 0xb3, kvm_s390_skeys);
// A device, a VM or a vCPU.
ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);
ioctl_iow_nr!(KVM_GET_DEVICE_ATTR, KVMIO, 0xe2, kvm_device_attr);
ioctl_iow_nr!(KVM_HAS_DEVICE_ATTR, KVMIO, 0xe3, kvm_device_attr);
// A VM or a vCPU.
ioctl_iow_nr!(KVM_S390_INTERRUPT, KVMIO, 0x94, kvm_s390_interrupt);
ioctl_iow_nr!(KVM_ENABLE_CAP, KVMIO, 0xa3, kvm_enable_cap);
ioctl_iow_nr!(KVM_S390_MEM_OP, KVMIO, 0xb1, kvm_s390_mem_op);
// A vCPU.
ioctl_io_nr!(KVM_RUN, KVMIO, 0x80);
ioctl_ior_nr!(KVM_GET_REGS, KVMIO, 0x81, kvm_regs);
ioctl_iow_nr!(KVM_SET_REGS, KVMIO, 0x82, kvm_regs);
ioctl_ior_nr!(KVM_GET_SREGS, KVMIO, 0x83, kvm_sregs);
ioctl_iow_nr!(KVM_SET_SREGS, KVMIO, 0x84, kvm_sregs);
ioctl_ior_nr!(KVM_GET_FPU, KVMIO, 0x8c, kvm_fpu);
ioctl_iow_nr!(KVM_SET_FPU, KVMIO, 0x8d, kvm_fpu);
ioctl_iow_nr!(KVM_S390_STORE_STATUS, KVMIO, 0x95, c_ulong);
ioctl_iow_nr!(KVM_S390_SET_INITIAL_PSW, KVMIO, 0x96, kvm_s390_psw);
ioctl_io_nr!(KVM_S390_INITIAL_RESET, KVMIO, 0x97);
ioctl_ior_nr!(KVM_GET_MP_STATE, KVMIO, 0x98, kvm_mp_state);
ioctl_iow_nr!(KVM_SET_MP_STATE, KVMIO, 0x99, kvm_mp_state);
ioctl_iow_nr!(KVM_GET_ONE_REG, KVMIO, 0xab, kvm_one_reg);
ioctl_iow_nr!(KVM_SET_ONE_REG, KVMIO, 0xac, kvm_one_reg);
ioctl_iow_nr!(KVM_S390_IRQ, KVMIO, 0xb4, kvm_s390_irq);
ioctl_iow_nr!(KVM_S390_GET_IRQ_STATE, KVMIO, 0xb6, kvm_s390_irq_state);
ioctl_io_nr!(KVM_S390_NORMAL_RESET, KVMIO, 0xc3);
ioctl_io_nr!(KVM_S390_CLEAR_RESET, KVMIO, 0xc4);

/// What an ioctl returned, or why it failed.
pub(crate) fn check(ret: c_int) -> crate::ioctls::Result<c_int> {
    match ret {
        ret if ret < 0 => vmm_sys_util::errno::errno_result(),
        ret => Ok(ret),
    }
}
