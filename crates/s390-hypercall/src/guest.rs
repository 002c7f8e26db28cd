// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's half: issuing hypercalls, and finding out whether there is a host to hear them.
//!
//! DIAGNOSE and STORE SYSTEM INFORMATION are privileged: this is for kernels and firmware.

use core::arch::asm;

use crate::sysib::Sysib;

macro_rules! hypercall {
    ($(#[$doc:meta])* $name:ident($($arg:ident in $reg:tt),*)) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// The CPU is in the supervisor state and runs under a host that knows this subcode; the
        /// host may read and write any storage that the arguments make known to it.
        #[inline]
        pub unsafe fn $name(nr: u64, $($arg: u64),*) -> i64 {
            let result: i64;
            // SAFETY: the caller vouches for the CPU's state and the arguments. The host changes
            // no register but r2; memory and the condition code count as changed.
            unsafe {
                asm!(
                    "diag %r2,%r4,0x500",
                    in("r1") nr,
                    $(in($reg) $arg,)*
                    lateout("r2") result,
                    options(nostack)
                );
            }
            result
        }
    };
}

hypercall!(
    /// Hypercall `nr` without arguments.
    hypercall0()
);
hypercall!(
    /// Hypercall `nr` with one argument.
    hypercall1(arg1 in "r2")
);
hypercall!(
    /// Hypercall `nr` with two arguments.
    hypercall2(arg1 in "r2", arg2 in "r3")
);
hypercall!(
    /// Hypercall `nr` with three arguments.
    hypercall3(arg1 in "r2", arg2 in "r3", arg3 in "r4")
);
hypercall!(
    /// Hypercall `nr` with four arguments.
    hypercall4(arg1 in "r2", arg2 in "r3", arg3 in "r4", arg4 in "r5")
);
hypercall!(
    /// Hypercall `nr` with five arguments.
    hypercall5(arg1 in "r2", arg2 in "r3", arg3 in "r4", arg4 in "r5", arg5 in "r6")
);
hypercall!(
    /// Hypercall `nr` with six arguments.
    hypercall6(arg1 in "r2", arg2 in "r3", arg3 in "r4", arg4 in "r5", arg5 in "r6", arg6 in "r7")
);

/// Whether the host is KVM: STORE SYSTEM INFORMATION 3.2.2 names a control program "KVM".
///
/// Guests of 2008 looked at the version byte of STORE CPU ID instead (0xfe: KVM).
/// `sysib` is scratch space.
///
/// # Safety
///
/// The CPU is in the supervisor state, and `sysib` is mapped and writable.
pub unsafe fn kvm_para_available(sysib: &mut Sysib) -> bool {
    let available: u64;
    // SAFETY: the caller vouches for the CPU's state. STSI with function code 3 writes at most
    // the 4096 bytes of the block, which is aligned as it demands.
    unsafe {
        asm!(
            "stsi 0({block})",
            "ipm {cc}",
            block = in(reg_addr) sysib.as_mut_ptr(),
            cc = out(reg) available,
            inlateout("r0") Sysib::R0_VIRTUAL_MACHINES => _,
            in("r1") Sysib::R1_VIRTUAL_MACHINES,
            options(nostack)
        );
    }
    available as u32 >> 28 == 0 && sysib.is_kvm()
}

/// The feature word of KVM's paravirtual interface: zero, since no bit was ever defined for s390.
///
/// It is here because the interface (Linux, `kvm_para.h`) has it beside
/// [`kvm_para_available`] on every architecture, and code that is written for it asks. On s390 there is
/// no hypercall behind it.
pub const fn kvm_arch_para_features() -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DIAGNOSE is privileged, so a user program can only look at the instruction.
    #[test]
    fn the_instruction_is_the_one_linux_uses() {
        let start = hypercall6 as unsafe fn(u64, u64, u64, u64, u64, u64, u64) -> i64 as *const u8;
        // SAFETY: the code of a function is readable; this one is far from the end of the text.
        let code = unsafe { core::slice::from_raw_parts(start, 512) };
        assert!(code.windows(4).any(|insn| insn == [0x83, 0x24, 0x05, 0x00]));
    }

    #[test]
    fn no_feature_is_defined() {
        assert_eq!(kvm_arch_para_features(), 0);
    }
}
