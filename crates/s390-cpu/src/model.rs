// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CPU models: which facilities a guest sees.

/// Facilities as STORE FACILITY LIST EXTENDED numbers them; an instruction of a facility that
/// the model lacks is an operation exception.
pub(crate) mod facility {
    /// Part of every z/Architecture CPU.
    pub(crate) const BASE: u8 = 0;
    /// M3 of TRANSLATE ONE TO ONE and its like.
    pub(crate) const ETF2_ENHANCEMENT: u8 = 24;
    /// Well-formedness checking of CONVERT UTF-8 TO UTF-16 and its like.
    pub(crate) const ETF3_ENHANCEMENT: u8 = 30;
    /// M3 of SET STORAGE KEY EXTENDED.
    pub(crate) const CONDITIONAL_SSKE: u8 = 10;
}

/// A CPU model: the facilities that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuModel {
    facilities: [u64; 4],
}

impl CpuModel {
    /// Every facility that this CPU implements.
    pub fn max() -> Self {
        const BITS: [u8; 31] = [
            0, 1, 2, 3, 7, 9, 10, 16, 18, 21, 22, 24, 25, 27, 28, 30, 31, 32, 33, 34, 35, 37, 40,
            41, 45, 49, 52, 53, 58, 61, 138,
        ];
        let mut facilities = [0; 4];
        for bit in BITS {
            facilities[usize::from(bit / 64)] |= 1 << (63 - bit % 64);
        }
        CpuModel { facilities }
    }

    /// What STORE CPU ID stores: version 0xff as under KVM, no serial number, machine type of a
    /// z10 EC, format bits.
    pub fn cpu_id(&self) -> u64 {
        0xff00_0000_2097_8000
    }

    /// Whether facility `bit` (0 to 255) is installed.
    pub fn has(&self, bit: u8) -> bool {
        self.facilities[usize::from(bit / 64)] & (1 << (63 - bit % 64)) != 0
    }
}
