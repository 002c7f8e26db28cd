// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! EXECUTE: one instruction out of line.

use crate::block::decode_one;
use crate::cpu::{pgm, Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::engine::execute_one;
use crate::table::Op;

/// EXECUTE.
pub(crate) fn ex(c: &mut Cpu, i: &Insn) -> Exec {
    let target = c.ea(i);
    execute(c, i, target)
}

/// EXECUTE RELATIVE LONG.
pub(crate) fn exrl(c: &mut Cpu, i: &Insn) -> Exec {
    execute(c, i, i.imm as u64)
}

/// Executes the instruction at `addr` with bits 56 to 63 of R1 (not R0) ORed into its second
/// byte. It counts as an instruction of the length and at the address of the EXECUTE, except
/// that its relative operands are relative to `addr`.
fn execute(c: &mut Cpu, i: &Insn, addr: u64) -> Exec {
    let modifier = if i.r1 == 0 { 0 } else { c.g(i.r1) as u8 };
    let mut target = decode_one(c, addr, modifier)?;
    if matches!(target.op, Op::EX | Op::EXRL) {
        return Err(c.program(pgm::EXECUTE));
    }
    (target.offset, target.ilc) = (i.offset, i.ilc);
    let flow = execute_one(c, &target)?;
    if flow == Flow::Taken {
        c.jump = target.imm as u64;
        return Ok(Flow::Jump);
    }
    Ok(flow)
}
