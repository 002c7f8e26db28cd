// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Attributes of a VM: CPU model and time-of-day clock.

use super::macros::kernel_structs;

kernel_structs! {
    /// The guest's CPU model.
    kvm_s390_vm_cpu_processor: 2064 {
        0 => cpuid: u64,
        8 => ibc: u16,
        10 => pad: [u8; 6],
        16 => fac_list: [u64; 256],
    }
    /// What CPU models the host can offer.
    kvm_s390_vm_cpu_machine: 4112 {
        0 => cpuid: u64,
        8 => ibc: u32,
        12 => pad: [u8; 4],
        16 => fac_mask: [u64; 256],
        2064 => fac_list: [u64; 256],
    }
    /// Features that are no facility bits, `KVM_S390_VM_CPU_FEAT_*`; bit 0 is the leftmost.
    kvm_s390_vm_cpu_feat: 128 {
        0 => feat: [u64; 16],
    }
    /// Functions of instructions that have a query function.
    kvm_s390_vm_cpu_subfunc: 2048 {
        0 => plo: [u8; 32],
        32 => ptff: [u8; 16],
        48 => kmac: [u8; 16],
        64 => kmc: [u8; 16],
        80 => km: [u8; 16],
        96 => kimd: [u8; 16],
        112 => klmd: [u8; 16],
        128 => pckmo: [u8; 16],
        144 => kmctr: [u8; 16],
        160 => kmf: [u8; 16],
        176 => kmo: [u8; 16],
        192 => pcc: [u8; 16],
        208 => ppno: [u8; 16],
        224 => kma: [u8; 16],
        240 => kdsa: [u8; 16],
        256 => sortl: [u8; 32],
        288 => dfltcc: [u8; 32],
        320 => reserved: [u8; 1728],
    }
    /// The guest's time-of-day clock with its epoch index.
    kvm_s390_vm_tod_clock: 16 {
        0 => epoch_idx: u8,
        8 => tod: u64,
    }
}
