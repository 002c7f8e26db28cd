// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The arguments of ioctls that are not about running, interruptions or the CPU model.

use super::macros::{kernel_structs, kernel_unions};

kernel_structs! {
    /// Guest memory, for `KVM_SET_USER_MEMORY_REGION`.
    kvm_userspace_memory_region: 32 {
        0 => slot: u32,
        4 => flags: u32,
        8 => guest_phys_addr: u64,
        16 => memory_size: u64,
        24 => userspace_addr: u64,
    }
    /// A capability to switch on, for `KVM_ENABLE_CAP`.
    kvm_enable_cap: 104 {
        0 => cap: u32,
        4 => flags: u32,
        8 => args: [u64; 4],
        40 => pad: [u8; 64],
    }
    /// A device to create, for `KVM_CREATE_DEVICE`.
    kvm_create_device: 12 {
        0 => type_: u32,
        4 => fd: u32,
        8 => flags: u32,
    }
    /// An attribute of a device, of a VM or of a vCPU.
    kvm_device_attr: 24 {
        0 => flags: u32,
        4 => group: u32,
        8 => attr: u64,
        16 => addr: u64,
    }
    /// A register by its number, for `KVM_GET_ONE_REG` and `KVM_SET_ONE_REG`.
    kvm_one_reg: 16 {
        0 => id: u64,
        8 => addr: u64,
    }
    /// General registers.
    kvm_regs: 128 {
        0 => gprs: [u64; 16],
    }
    /// Access and control registers.
    kvm_sregs: 192 {
        0 => acrs: [u32; 16],
        64 => crs: [u64; 16],
    }
    /// Floating-point registers and their control register.
    kvm_fpu: 136 {
        0 => fpc: u32,
        8 => fprs: [u64; 16],
    }
    /// Whether a CPU runs: one of `KVM_MP_STATE_*`.
    kvm_mp_state: 4 {
        0 => mp_state: u32,
    }
    /// A program status word.
    kvm_s390_psw: 16 {
        0 => mask: u64,
        8 => addr: u64,
    }
    /// Access to guest memory, for `KVM_S390_MEM_OP`.
    kvm_s390_mem_op: 64 {
        0 => gaddr: u64,
        8 => flags: u64,
        16 => size: u32,
        20 => op: u32,
        24 => buf: u64,
        32 => __bindgen_anon_1: kvm_s390_mem_op__bindgen_ty_1,
    }
    /// Access register and key of a memory operation.
    kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1: 2 {
        0 => ar: u8,
        1 => key: u8,
    }
    /// Storage keys, for `KVM_S390_GET_SKEYS` and `KVM_S390_SET_SKEYS`.
    kvm_s390_skeys: 64 {
        0 => start_gfn: u64,
        8 => count: u64,
        16 => skeydata_addr: u64,
        24 => flags: u32,
        28 => reserved: [u32; 9],
    }
}

kernel_unions! {
    /// The part of a memory operation that depends on the operation.
    kvm_s390_mem_op__bindgen_ty_1: 32 {
        __bindgen_anon_1: kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1,
        sida_offset: u32,
        reserved: [u8; 32],
    }
}
