// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Branches.

use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;

/// Whether mask `m` selects condition code `cc`.
#[inline(always)]
fn selects(m: u8, cc: u8) -> bool {
    m & 8 >> cc != 0
}

/// Whether the mask of a compare-and-branch selects how `a` compares to `b`.
#[inline(always)]
fn compares<T: Ord>(m: u8, a: T, b: T) -> bool {
    selects(
        m,
        if a == b {
            0
        } else if a < b {
            1
        } else {
            2
        },
    )
}

#[inline(always)]
fn taken_if(condition: bool) -> Exec {
    Ok(if condition { Flow::Taken } else { Flow::Next })
}

#[inline(always)]
fn jump_if(c: &mut Cpu, condition: bool, target: u64) -> Exec {
    c.jump = target & c.addr_mask;
    Ok(if condition { Flow::Jump } else { Flow::Next })
}

/// BRANCH RELATIVE ON CONDITION with mask 15.
#[inline(always)]
pub(crate) fn jump(_: &mut Cpu, _: &Insn) -> Exec {
    Ok(Flow::Taken)
}

/// BRANCH ON CONDITION (register) with mask 15.
#[inline(always)]
pub(crate) fn jump_register(c: &mut Cpu, i: &Insn) -> Exec {
    jump_if(c, true, c.g(i.r2))
}

/// BRANCH ON CONDITION (register). R2 0 does not branch; mask 14 or 15 then serializes, which
/// one CPU alone cannot see.
#[inline(always)]
pub(crate) fn bcr(c: &mut Cpu, i: &Insn) -> Exec {
    let cc = c.cc.get();
    jump_if(c, i.r2 != 0 && selects(i.r1, cc), c.g(i.r2))
}

/// BRANCH ON CONDITION.
#[inline(always)]
pub(crate) fn bc(c: &mut Cpu, i: &Insn) -> Exec {
    let cc = c.cc.get();
    jump_if(c, selects(i.r1, cc), c.ea(i))
}

/// BRANCH RELATIVE ON CONDITION (LONG).
#[inline(always)]
pub(crate) fn brc(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(selects(i.r1, c.cc.get()))
}

/// BRANCH RELATIVE AND SAVE (LONG).
#[inline(always)]
pub(crate) fn bras(c: &mut Cpu, i: &Insn) -> Exec {
    let link = c.link_addr(i);
    c.set_g_address(i.r1, link);
    Ok(Flow::Taken)
}

/// BRANCH RELATIVE ON COUNT (32).
#[inline(always)]
pub(crate) fn brct(c: &mut Cpu, i: &Insn) -> Exec {
    let n = c.g32(i.r1).wrapping_sub(1);
    c.set_g32(i.r1, n);
    taken_if(n != 0)
}

/// BRANCH RELATIVE ON COUNT (64).
#[inline(always)]
pub(crate) fn brctg(c: &mut Cpu, i: &Insn) -> Exec {
    let n = c.g(i.r1).wrapping_sub(1);
    c.set_g(i.r1, n);
    taken_if(n != 0)
}

/// COMPARE AND BRANCH RELATIVE (32).
#[inline(always)]
pub(crate) fn crj(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(compares(i.m, c.g32(i.r1) as i32, c.g32(i.r2) as i32))
}

/// COMPARE LOGICAL AND BRANCH RELATIVE (32).
#[inline(always)]
pub(crate) fn clrj(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(compares(i.m, c.g32(i.r1), c.g32(i.r2)))
}

/// COMPARE IMMEDIATE AND BRANCH RELATIVE (64).
#[inline(always)]
pub(crate) fn cgij(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(compares(i.m, c.g(i.r1) as i64, i64::from(i.disp)))
}

/// COMPARE IMMEDIATE AND BRANCH RELATIVE (32).
#[inline(always)]
pub(crate) fn cij(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(compares(i.m, c.g32(i.r1) as i32, i.disp))
}
