// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One external interruption as it is stored in the lowcore.

/// An external interruption: the code, and the parameters that the CPU stores beside it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ExternalInterrupt {
    /// Interruption code, lowcore 0x86.
    pub code: u16,
    /// CPU address or subcode, lowcore 0x84.
    pub subcode: u16,
    /// External interruption parameter, lowcore 0x80.
    pub params: u32,
    /// 64-bit parameter, lowcore 0x11b8.
    pub params2: u64,
}
