// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Parts of general registers.

use crate::cpu::Cpu;

impl Cpu {
    /// Bits 0 to 31 of general register `n`.
    #[inline(always)]
    pub(crate) fn high(&self, n: u8) -> u32 {
        (self.g(n) >> 32) as u32
    }

    /// Replaces bits 0 to 31 of general register `n`; the others stay.
    #[inline(always)]
    pub(crate) fn set_high(&mut self, n: u8, value: u32) {
        self.set_g(n, u64::from(value) << 32 | u64::from(self.g32(n)));
    }

    /// Replaces bits 48 to 63 of general register `n`; the others stay.
    #[inline(always)]
    pub(crate) fn set_g16(&mut self, n: u8, value: u16) {
        self.set_g(n, self.g(n) & !0xffff | u64::from(value));
    }

    /// Replaces bits 56 to 63 of general register `n`; the others stay.
    #[inline(always)]
    pub(crate) fn set_g8(&mut self, n: u8, value: u8) {
        self.set_g(n, self.g(n) & !0xff | u64::from(value));
    }
}
