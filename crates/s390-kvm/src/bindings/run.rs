// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The page that a vCPU shares with its user.

use super::macros::{kernel_structs, kernel_unions};

kernel_structs! {
    /// The page that a vCPU shares with its user.
    kvm_run: 2368 {
        0 => request_interrupt_window: u8,
        1 => immediate_exit: u8,
        2 => padding1: [u8; 6],
        8 => exit_reason: u32,
        12 => ready_for_interrupt_injection: u8,
        13 => if_flag: u8,
        14 => flags: u16,
        16 => cr8: u64,
        24 => apic_base: u64,
        32 => psw_mask: u64,
        40 => psw_addr: u64,
        48 => __bindgen_anon_1: kvm_run__bindgen_ty_1,
        304 => kvm_valid_regs: u64,
        312 => kvm_dirty_regs: u64,
        320 => s: kvm_run__bindgen_ty_2,
    }
    /// A SIE intercept.
    kvm_run__bindgen_ty_1__s390_sieic: 8 {
        0 => icptcode: u8,
        2 => ipa: u16,
        4 => ipb: u32,
    }
    /// A translation exception of a guest that its user controls.
    kvm_run__bindgen_ty_1__s390_ucontrol: 16 {
        0 => trans_exc_code: u64,
        8 => pgm_code: u32,
    }
    /// A TEST SUBCHANNEL, and the I/O interruption that was dequeued for it.
    kvm_run__bindgen_ty_1__s390_tsch: 20 {
        0 => subchannel_id: u16,
        2 => subchannel_nr: u16,
        4 => io_int_parm: u32,
        8 => io_int_word: u32,
        12 => ipb: u32,
        16 => dequeued: u8,
    }
    /// A STORE SYSTEM INFORMATION that the kernel has done its part of.
    kvm_run__bindgen_ty_1__s390_stsi: 16 {
        0 => addr: u64,
        8 => ar: u8,
        9 => reserved: u8,
        10 => fc: u8,
        11 => sel1: u8,
        12 => sel2: u16,
    }
    /// An exit that says that the guest could not be entered.
    kvm_run__bindgen_ty_1__fail_entry: 16 {
        0 => hardware_entry_failure_reason: u64,
        8 => cpu: u32,
    }
    /// The registers in the page: `kvm_valid_regs` says which of them the kernel keeps there,
    /// `kvm_dirty_regs` which of them it must take from there.
    kvm_sync_regs: 1984 {
        0 => prefix: u64,
        8 => gprs: [u64; 16],
        136 => acrs: [u32; 16],
        200 => crs: [u64; 16],
        328 => todpr: u64,
        336 => cputm: u64,
        344 => ckc: u64,
        352 => pp: u64,
        360 => gbea: u64,
        368 => pft: u64,
        376 => pfs: u64,
        384 => pfc: u64,
        392 => __bindgen_anon_1: kvm_sync_regs__bindgen_ty_1,
        904 => reserved: [u8; 512],
        1416 => fpc: u32,
        1420 => _bitfield_1: u8,
        1421 => padding1: [u8; 51],
        1472 => riccb: [u8; 64],
        1536 => diag318: u64,
        1544 => padding2: [u8; 184],
        1728 => __bindgen_anon_2: kvm_sync_regs__bindgen_ty_2,
    }
    /// The part of the state description annex with a meaning.
    kvm_sync_regs__bindgen_ty_2__bindgen_ty_1: 64 {
        0 => reserved1: [u64; 2],
        16 => gscb: [u64; 4],
        48 => etoken: u64,
        56 => etoken_extension: u64,
    }
}

kernel_unions! {
    /// What there is to an exit, by its reason.
    kvm_run__bindgen_ty_1: 256 {
        fail_entry: kvm_run__bindgen_ty_1__fail_entry,
        s390_sieic: kvm_run__bindgen_ty_1__s390_sieic,
        s390_reset_flags: u64,
        s390_ucontrol: kvm_run__bindgen_ty_1__s390_ucontrol,
        s390_tsch: kvm_run__bindgen_ty_1__s390_tsch,
        s390_stsi: kvm_run__bindgen_ty_1__s390_stsi,
        padding: [u8; 256],
    }
    /// The registers, in room for more.
    kvm_run__bindgen_ty_2: 2048 {
        regs: kvm_sync_regs,
        padding: [u8; 2048],
    }
    /// Vector registers; without them, the floating-point registers.
    kvm_sync_regs__bindgen_ty_1: 512 {
        vrs: [[u64; 2]; 32],
        fprs: [u64; 16],
    }
    /// The state description annex.
    kvm_sync_regs__bindgen_ty_2: 256 {
        sdnx: [u8; 256],
        __bindgen_anon_1: kvm_sync_regs__bindgen_ty_2__bindgen_ty_1,
    }
}
