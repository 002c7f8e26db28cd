// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why a virtual CPU stopped running its guest.

/// A SIE intercept: the interception code and parameters as the hardware presents them.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Intercept {
    /// Interception code, one of the constants of this type.
    pub code: u8,
    /// First halfword of the instruction (interception parameter A).
    pub ipa: u16,
    /// The rest of the instruction, left-aligned in 32 bits (interception parameter B).
    pub ipb: u32,
}

impl Intercept {
    /// An instruction that the host must carry out. The PSW already points past it.
    pub const INSTRUCTION: u8 = 0x04;
    /// A program interruption that the backend hands to the host.
    pub const PROGRAM: u8 = 0x08;
    /// An external interruption would loop: its new PSW is enabled for it again.
    pub const EXTERNAL_LOOP: u8 = 0x14;
    /// A wait state with every interruption disabled.
    pub const WAIT: u8 = 0x1c;
    /// The CPU entered the stopped state.
    pub const STOP: u8 = 0x28;
    /// An operation exception that the backend hands to the host.
    pub const OPERATION: u8 = 0x2c;

    /// An instruction intercept for the instruction text `insn`, left-aligned in 48 bits as it
    /// stands in storage.
    pub const fn instruction(ipa: u16, ipb: u32) -> Self {
        Intercept {
            code: Self::INSTRUCTION,
            ipa,
            ipb,
        }
    }

    /// Base and displacement of an S, RS or SI operand: (B2, D2).
    pub const fn base_displacement(&self) -> (u8, u16) {
        ((self.ipb >> 28) as u8, (self.ipb >> 16 & 0xfff) as u16)
    }

    /// R1 and R3 (or R2) of an RS or RX instruction, from its second byte.
    pub const fn r1_r3(&self) -> (u8, u8) {
        ((self.ipa >> 4 & 15) as u8, (self.ipa & 15) as u8)
    }

    /// R1 and R2 of an RRE instruction, from its fourth byte.
    pub const fn rre(&self) -> (u8, u8) {
        ((self.ipb >> 20 & 15) as u8, (self.ipb >> 16 & 15) as u8)
    }
}

/// Why [`Vcpu::run`](crate::Vcpu::run) came back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum VcpuExit {
    /// The guest needs the host.
    Intercept(Intercept),
    /// The backend decoded a DIAGNOSE 0x308 reset itself; flags as in KVM's `s390_reset_flags`:
    /// 1 power-on, 2 clear, 4 subsystem, 8 CPU initial reset, 16 IPL.
    Reset(u64),
    /// Somebody kicked the CPU, or a signal arrived; nothing happened in the guest.
    Interrupted,
}
