// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CPU models: which facilities a guest sees.

/// Facilities as STORE FACILITY LIST EXTENDED numbers them; an instruction of a facility that
/// the model lacks is an operation exception.
pub(crate) mod facility {
    /// Part of every z/Architecture CPU.
    pub(crate) const BASE: u8 = 0;
}

/// A CPU model: the facilities that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuModel {
    facilities: [u64; 4],
}

impl CpuModel {
    /// Every facility that this CPU implements.
    pub fn max() -> Self {
        CpuModel {
            facilities: [u64::MAX; 4],
        }
    }

    /// Whether facility `bit` (0 to 255) is installed.
    pub fn has(&self, bit: u8) -> bool {
        self.facilities[usize::from(bit / 64)] & (1 << (63 - bit % 64)) != 0
    }
}
