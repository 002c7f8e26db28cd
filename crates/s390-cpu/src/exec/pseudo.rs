// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Instructions that the decoder makes.

use crate::cpu::{pgm, Cpu, Exec, Flow};
use crate::decode::Insn;

/// No such instruction in this CPU model.
#[cold]
pub(crate) fn illegal(c: &mut Cpu, _: &Insn) -> Exec {
    Err(c.program(pgm::OPERATION))
}

/// A privileged instruction in the problem state.
#[cold]
pub(crate) fn privileged(c: &mut Cpu, _: &Insn) -> Exec {
    Err(c.program(pgm::PRIVILEGED))
}

/// A BFP instruction while the AFP-register control is off.
#[cold]
pub(crate) fn bfp_disabled(c: &mut Cpu, _: &Insn) -> Exec {
    Err(c.data(2))
}

/// An additional floating-point register while the AFP-register control is off.
#[cold]
pub(crate) fn fp_register_disabled(c: &mut Cpu, _: &Insn) -> Exec {
    Err(c.data(1))
}

/// The head of a block whose instructions were overwritten.
#[cold]
pub(crate) fn stale(_: &mut Cpu, _: &Insn) -> Exec {
    Ok(Flow::Stale)
}

/// What follows the last instruction of a block.
#[inline(always)]
pub(crate) fn end(_: &mut Cpu, _: &Insn) -> Exec {
    Ok(Flow::End)
}

/// A branch that is never taken.
#[inline(always)]
pub(crate) fn nop(_: &mut Cpu, _: &Insn) -> Exec {
    Ok(Flow::Next)
}
