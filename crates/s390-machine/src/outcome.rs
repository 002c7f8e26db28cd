// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the VMM is to do after an exit.

use s390_hypervisor::Psw;

/// What an exit came to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Run the CPU again.
    Resume,
    /// This CPU is stopped. Running it again sleeps until another CPU starts it.
    Stopped,
    /// The guest shut down: its last CPU stopped, or waits at 0xfff with interruptions disabled.
    PowerOff,
    /// The guest gave up: its last CPU waits with interruptions disabled at another address,
    /// which by convention says why.
    DisabledWait(Psw),
    /// The CPU cannot go on: its new PSW for an interruption leads to the same interruption.
    Crashed(Psw),
    /// The guest wants the machine reset: see [`Machine::reset`](crate::Machine::reset).
    Reboot(Reboot),
}

/// A reset of the whole machine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reboot {
    /// What kind of reset.
    pub kind: RebootKind,
    /// Address of the CPU that runs afterwards.
    pub cpu: u16,
}

/// How the machine is reset, and what runs afterwards.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RebootKind {
    /// DIAGNOSE 0x308 subcode 0: all CPUs are cleared, the program in storage goes on with the
    /// PSW at absolute 0 (how a crash kernel starts).
    ModifiedClear,
    /// DIAGNOSE 0x308 subcode 1: as [`ModifiedClear`](Self::ModifiedClear), but CPUs keep their
    /// general registers.
    LoadNormal,
    /// The operating system is loaded again (DIAGNOSE 0x308 subcodes 3 and 4, and a reset that
    /// the VMM decides on): the VMM puts it into storage and sets the PSW.
    ReIpl {
        /// Storage is to be cleared first.
        clear: bool,
    },
}

impl Reboot {
    /// KVM's flag for clearing storage, in [`VcpuExit::Reset`](s390_hypervisor::VcpuExit::Reset).
    const KVM_CLEAR: u64 = 2;
    /// KVM's flag for loading the operating system.
    const KVM_IPL: u64 = 16;

    /// What a reset that KVM decoded itself asks for.
    pub const fn from_kvm_flags(flags: u64, cpu: u16) -> Self {
        let clear = flags & Self::KVM_CLEAR != 0;
        let kind = match (flags & Self::KVM_IPL != 0, clear) {
            (true, clear) => RebootKind::ReIpl { clear },
            (false, true) => RebootKind::ModifiedClear,
            (false, false) => RebootKind::LoadNormal,
        };
        Reboot { kind, cpu }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_flags_become_the_same_reboot() {
        let kind = |flags| Reboot::from_kvm_flags(flags, 0).kind;
        assert_eq!(kind(2 | 4 | 8 | 16), RebootKind::ReIpl { clear: true });
        assert_eq!(kind(4 | 8 | 16), RebootKind::ReIpl { clear: false });
        assert_eq!(kind(2 | 4), RebootKind::ModifiedClear);
        assert_eq!(kind(4), RebootKind::LoadNormal);
    }
}
