// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interruptions, as they are made pending and listed.

use super::macros::{kernel_structs, kernel_unions};

kernel_structs! {
    /// An interruption for `KVM_S390_INTERRUPT`.
    kvm_s390_interrupt: 16 {
        0 => type_: u32,
        4 => parm: u32,
        8 => parm64: u64,
    }
    /// An interruption for `KVM_S390_IRQ` and the floating interrupt controller.
    kvm_s390_irq: 72 {
        0 => type_: u64,
        8 => u: kvm_s390_irq__bindgen_ty_1,
    }
    /// Parameters of an I/O interruption.
    kvm_s390_io_info: 12 {
        0 => subchannel_id: u16,
        2 => subchannel_nr: u16,
        4 => io_int_parm: u32,
        8 => io_int_word: u32,
    }
    /// Parameters of an external interruption.
    kvm_s390_ext_info: 16 {
        0 => ext_params: u32,
        4 => pad: u32,
        8 => ext_params2: u64,
    }
    /// Parameters of a program interruption.
    kvm_s390_pgm_info: 40 {
        0 => trans_exc_code: u64,
        8 => mon_code: u64,
        16 => per_address: u64,
        24 => data_exc_code: u32,
        28 => code: u16,
        30 => mon_class_nr: u16,
        32 => per_code: u8,
        33 => per_atmid: u8,
        34 => exc_access_id: u8,
        35 => per_access_id: u8,
        36 => op_access_id: u8,
        37 => flags: u8,
        38 => pad: [u8; 2],
    }
    /// Parameters of a set-prefix order.
    kvm_s390_prefix_info: 4 {
        0 => address: u32,
    }
    /// Parameters of an external call: the address of the calling CPU.
    kvm_s390_extcall_info: 2 {
        0 => code: u16,
    }
    /// Parameters of an emergency signal: the address of the signalling CPU.
    kvm_s390_emerg_info: 2 {
        0 => code: u16,
    }
    /// Parameters of a stop order.
    kvm_s390_stop_info: 4 {
        0 => flags: u32,
    }
    /// Parameters of a machine check.
    kvm_s390_mchk_info: 48 {
        0 => cr14: u64,
        8 => mcic: u64,
        16 => failing_storage_address: u64,
        24 => ext_damage_code: u32,
        28 => pad: u32,
        32 => fixed_logout: [u8; 16],
    }
    /// Where the pending interruptions of a CPU go, for `KVM_S390_GET_IRQ_STATE`.
    kvm_s390_irq_state: 32 {
        0 => buf: u64,
        8 => flags: u32,
        12 => len: u32,
        16 => reserved: [u32; 4],
    }
}

kernel_unions! {
    /// The parameters of an interruption, by its type.
    kvm_s390_irq__bindgen_ty_1: 64 {
        io: kvm_s390_io_info,
        ext: kvm_s390_ext_info,
        pgm: kvm_s390_pgm_info,
        emerg: kvm_s390_emerg_info,
        extcall: kvm_s390_extcall_info,
        prefix: kvm_s390_prefix_info,
        stop: kvm_s390_stop_info,
        mchk: kvm_s390_mchk_info,
        reserved: [u8; 64],
    }
}
