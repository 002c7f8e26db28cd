// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DIAGNOSE as a SIE intercept presents it.

use crate::DIAG_KVM;

/// An intercepted DIAGNOSE: function code and register fields.
///
/// The instruction is four bytes: `83`, R1 and R3, B2 and D2 (12 bits). Linux issues hypercalls
/// as `83 24 05 00` whatever the number of arguments; R1 and R3 mean nothing then.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Diagnose {
    /// Function code: the low 16 bits of base plus displacement.
    pub function: u16,
    /// The R1 field.
    pub r1: u8,
    /// The R3 field.
    pub r3: u8,
}

impl Diagnose {
    /// The operation code, the first byte of the instruction.
    pub const OPCODE: u8 = 0x83;

    /// Decodes the interception parameters `ipa` (first halfword of the instruction) and `ipb`
    /// (the rest, left-aligned); `gpr` reads a general register. `None`: not a DIAGNOSE.
    ///
    /// A base field of zero means no base, not register 0.
    pub fn decode(ipa: u16, ipb: u32, gpr: impl Fn(u8) -> u64) -> Option<Self> {
        if ipa >> 8 != u16::from(Self::OPCODE) {
            return None;
        }
        let base = match (ipb >> 28) as u8 {
            0 => 0,
            b2 => gpr(b2),
        };
        let displacement = (ipb >> 16 & 0xfff) as u16;
        Some(Diagnose {
            function: (base as u16).wrapping_add(displacement),
            r1: (ipa >> 4 & 15) as u8,
            r3: (ipa & 15) as u8,
        })
    }

    /// Whether this is a KVM hypercall.
    pub const fn is_hypercall(&self) -> bool {
        self.function == DIAG_KVM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_base(_: u8) -> u64 {
        panic!("a base field of zero must not read a register")
    }

    #[test]
    fn decodes_what_linux_emits() {
        let diagnose = Diagnose::decode(0x8324, 0x0500_0000, no_base).unwrap();
        assert_eq!(
            diagnose,
            Diagnose {
                function: 0x500,
                r1: 2,
                r3: 4
            }
        );
        assert!(diagnose.is_hypercall());
    }

    #[test]
    fn adds_the_base_and_keeps_16_bits() {
        let gpr = |n| if n == 5 { 0xffff_ffff_0001_0400 } else { 0 };
        let diagnose = Diagnose::decode(0x8324, 0x5100_0000, gpr).unwrap();
        assert_eq!(diagnose.function, 0x500);

        let wraps = Diagnose::decode(0x8324, 0xffff_0000, |_| u64::MAX).unwrap();
        assert_eq!(wraps.function, 0xffe);
    }

    #[test]
    fn register_fields_do_not_change_the_function() {
        for ipa in 0x8300..=0x83ff {
            let diagnose = Diagnose::decode(ipa, 0x0500_0000, no_base).unwrap();
            assert!(diagnose.is_hypercall());
            assert_eq!(u16::from(diagnose.r1 << 4 | diagnose.r3), ipa & 0xff);
        }
    }

    #[test]
    fn refuses_other_instructions() {
        assert_eq!(Diagnose::decode(0xb220, 0x0500_0000, no_base), None);
        assert_eq!(Diagnose::decode(0x0083, 0x0500_0000, no_base), None);
    }
}
