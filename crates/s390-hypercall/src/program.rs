// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Program interruption codes that the host answers an intercepted instruction with.

/// A program interruption code (Principles of Operation, chapter 6, "Program Interruption").
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProgramInterruption(pub u16);

impl ProgramInterruption {
    /// Operation exception: no such instruction.
    pub const OPERATION: Self = ProgramInterruption(0x0001);
    /// Privileged-operation exception: the CPU is in the problem state.
    pub const PRIVILEGED_OPERATION: Self = ProgramInterruption(0x0002);
    /// Protection exception: the storage may not be accessed in this way.
    pub const PROTECTION: Self = ProgramInterruption(0x0004);
    /// Addressing exception: no storage at that address.
    pub const ADDRESSING: Self = ProgramInterruption(0x0005);
    /// Specification exception: an operand breaks a rule of the instruction.
    pub const SPECIFICATION: Self = ProgramInterruption(0x0006);
}
