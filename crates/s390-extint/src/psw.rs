// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The program status word.

/// The 16-byte program status word of z/Architecture (Principles of Operation, chapter 4).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Psw {
    /// Bits 0 to 63: masks, key, address-space control, condition code, addressing mode.
    pub mask: u64,
    /// Bits 64 to 127: the instruction address.
    pub addr: u64,
}

impl Psw {
    /// PER mask, bit 1.
    pub const PER: u64 = 0x4000_0000_0000_0000;
    /// DAT mode, bit 5.
    pub const DAT: u64 = 0x0400_0000_0000_0000;
    /// I/O interruption mask, bit 6.
    pub const IO: u64 = 0x0200_0000_0000_0000;
    /// External interruption mask, bit 7.
    pub const EXTERNAL: u64 = 0x0100_0000_0000_0000;
    /// Access key, bits 8 to 11.
    pub const KEY: u64 = 0x00f0_0000_0000_0000;
    /// Machine-check mask, bit 13.
    pub const MACHINE_CHECK: u64 = 0x0004_0000_0000_0000;
    /// Wait state, bit 14.
    pub const WAIT: u64 = 0x0002_0000_0000_0000;
    /// Problem state, bit 15.
    pub const PROBLEM: u64 = 0x0001_0000_0000_0000;
    /// Address-space control, bits 16 and 17.
    pub const ADDRESS_SPACE: u64 = 0x0000_c000_0000_0000;
    /// Condition code, bits 18 and 19.
    pub const CC: u64 = 0x0000_3000_0000_0000;
    /// Program mask, bits 20 to 23: fixed-point overflow, decimal overflow, HFP exponent
    /// underflow, HFP significance.
    pub const PROGRAM_MASK: u64 = 0x0000_0f00_0000_0000;
    /// Extended addressing, bit 31.
    pub const EXTENDED: u64 = 0x0000_0001_0000_0000;
    /// Basic addressing, bit 32.
    pub const BASIC: u64 = 0x0000_0000_8000_0000;

    /// A PSW in the 64-bit addressing mode with every interruption disabled and DAT off: how a
    /// Linux image is started.
    pub const fn ipl(addr: u64) -> Self {
        Psw {
            mask: Self::EXTENDED | Self::BASIC,
            addr,
        }
    }

    /// Condition code, 0 to 3.
    pub const fn cc(&self) -> u8 {
        ((self.mask & Self::CC) >> 44) as u8
    }

    /// Replaces the condition code; only the two low bits of `cc` count.
    pub fn set_cc(&mut self, cc: u8) {
        self.mask = self.mask & !Self::CC | u64::from(cc & 3) << 44;
    }

    /// Wait state with every interruption that ends it disabled: the CPU can only be restarted.
    pub const fn is_disabled_wait(&self) -> bool {
        self.mask & Self::WAIT != 0
            && self.mask & (Self::IO | Self::EXTERNAL | Self::MACHINE_CHECK) == 0
    }

    /// Problem state: privileged instructions are refused.
    pub const fn is_problem_state(&self) -> bool {
        self.mask & Self::PROBLEM != 0
    }

    /// The PSW as it stands in storage, big-endian.
    pub const fn to_bytes(&self) -> [u8; 16] {
        ((self.mask as u128) << 64 | self.addr as u128).to_be_bytes()
    }

    /// The PSW from its form in storage.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let psw = u128::from_be_bytes(bytes);
        Psw {
            mask: (psw >> 64) as u64,
            addr: psw as u64,
        }
    }
}

impl core::fmt::Display for Psw {
    /// Mask and address in hexadecimal, as dumps show them.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x} {:016x}", self.mask, self.addr)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn condition_code_is_bits_18_and_19() {
        let mut psw = Psw {
            mask: u64::MAX,
            addr: 0,
        };
        for cc in 0..4 {
            psw.set_cc(cc);
            assert_eq!(psw.cc(), cc);
            assert_eq!(psw.mask | Psw::CC, u64::MAX);
            assert_eq!(psw.mask >> 44 & 3, u64::from(cc));
        }
        psw.set_cc(0xfd);
        assert_eq!(psw.cc(), 1);
    }

    #[test]
    fn a_wait_is_disabled_only_with_all_three_masks_closed() {
        let wait = |mask| Psw { mask, addr: 0 }.is_disabled_wait();
        assert!(wait(Psw::WAIT));
        assert!(wait(Psw::WAIT | Psw::PER | Psw::DAT | Psw::PROBLEM));
        assert!(!wait(0));
        for open in [Psw::IO, Psw::EXTERNAL, Psw::MACHINE_CHECK] {
            assert!(!wait(Psw::WAIT | open));
        }
    }

    #[test]
    fn masks_stand_where_the_architecture_puts_them() {
        assert_eq!(Psw::ipl(0x10000).mask, 0x0000_0001_8000_0000);
        assert_eq!(Psw::WAIT, 1 << (63 - 14));
        assert_eq!(Psw::PROBLEM, 1 << (63 - 15));
        assert_eq!(Psw::EXTERNAL, 1 << (63 - 7));
        assert_eq!(Psw::MACHINE_CHECK, 1 << (63 - 13));
    }

    #[test]
    fn goes_to_storage_and_back() {
        let psw = Psw {
            mask: 0x0102_0304_0506_0708,
            addr: 0x1112_1314_1516_1718,
        };
        assert_eq!(psw.to_bytes()[..3], [1, 2, 3]);
        assert_eq!(psw.to_bytes()[15], 0x18);
        assert_eq!(Psw::from_bytes(psw.to_bytes()), psw);
        assert_eq!(psw.to_string(), "0102030405060708 1112131415161718");
    }
}
