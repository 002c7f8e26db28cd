// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: loads, stores, arithmetic, logic, shifts.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;

#[inline(always)]
pub(crate) fn nr(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.g32(i.r1) & c.g32(i.r2);
    c.set_g32(i.r1, v);
    c.cc = LazyCc::logical(v.into());
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn xr(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.g32(i.r1) ^ c.g32(i.r2);
    c.set_g32(i.r1, v);
    c.cc = LazyCc::logical(v.into());
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn xgr(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.g(i.r1) ^ c.g(i.r2);
    c.set_g(i.r1, v);
    c.cc = LazyCc::logical(v);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn lr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g32(i.r1, c.g32(i.r2));
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn lgr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g(i.r1, c.g(i.r2));
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn lgfr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g(i.r1, c.g32(i.r2) as i32 as u64);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn llgfr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g(i.r1, c.g32(i.r2).into());
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn ldgr(c: &mut Cpu, i: &Insn) -> Exec {
    c.fprs[usize::from(i.r1 & 15)] = c.g(i.r2);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn lgdr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g(i.r1, c.fprs[usize::from(i.r2 & 15)]);
    Ok(Flow::Next)
}

/// 32-bit signed addition into R1.
#[inline(always)]
fn add32(c: &mut Cpu, r1: u8, a: u32, b: u32) -> Exec {
    let (v, overflow) = (a as i32).overflowing_add(b as i32);
    c.set_g32(r1, v as u32);
    c.cc = LazyCc::add32(a, b);
    c.fixed_overflow(overflow)
}

/// 64-bit signed addition into R1.
#[inline(always)]
fn add64(c: &mut Cpu, r1: u8, a: u64, b: u64) -> Exec {
    let (v, overflow) = (a as i64).overflowing_add(b as i64);
    c.set_g(r1, v as u64);
    c.cc = LazyCc::add64(a, b);
    c.fixed_overflow(overflow)
}

#[inline(always)]
pub(crate) fn ar(c: &mut Cpu, i: &Insn) -> Exec {
    add32(c, i.r1, c.g32(i.r1), c.g32(i.r2))
}

#[inline(always)]
pub(crate) fn sr(c: &mut Cpu, i: &Insn) -> Exec {
    let (a, b) = (c.g32(i.r1), c.g32(i.r2));
    let (v, overflow) = (a as i32).overflowing_sub(b as i32);
    c.set_g32(i.r1, v as u32);
    c.cc = LazyCc::sub32(a, b);
    c.fixed_overflow(overflow)
}

#[inline(always)]
pub(crate) fn agr(c: &mut Cpu, i: &Insn) -> Exec {
    add64(c, i.r1, c.g(i.r1), c.g(i.r2))
}

#[inline(always)]
pub(crate) fn ahi(c: &mut Cpu, i: &Insn) -> Exec {
    add32(c, i.r1, c.g32(i.r1), i.imm as u32)
}

#[inline(always)]
pub(crate) fn aghi(c: &mut Cpu, i: &Insn) -> Exec {
    add64(c, i.r1, c.g(i.r1), i.imm as u64)
}

#[inline(always)]
pub(crate) fn a(c: &mut Cpu, i: &Insn) -> Exec {
    let b = c.read_u32(c.ea(i))?;
    add32(c, i.r1, c.g32(i.r1), b)
}

#[inline(always)]
pub(crate) fn algfi(c: &mut Cpu, i: &Insn) -> Exec {
    let (a, b) = (c.g(i.r1), u64::from(i.imm as u32));
    c.set_g(i.r1, a.wrapping_add(b));
    c.cc = LazyCc::add_logical64(a, b);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn msfi(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g32(i.r1, c.g32(i.r1).wrapping_mul(i.imm as u32));
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn xilf(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.g32(i.r1) ^ i.imm as u32;
    c.set_g32(i.r1, v);
    c.cc = LazyCc::logical(v.into());
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn la(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = c.ea(i);
    c.set_g_address(i.r1, ea);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn larl(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g_address(i.r1, i.imm as u64);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn lhi(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g32(i.r1, i.imm as u32);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn lgfi(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g(i.r1, i.imm as u64);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn llilh(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g(i.r1, u64::from(i.imm as u16) << 16);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn llill(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g(i.r1, (i.imm as u16).into());
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn l(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.read_u32(c.ea(i))?;
    c.set_g32(i.r1, v);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn lg(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.read_u64(c.ea(i))?;
    c.set_g(i.r1, v);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn llgc(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.read_u8(c.ea(i))?;
    c.set_g(i.r1, v.into());
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn st(c: &mut Cpu, i: &Insn) -> Exec {
    c.write_u32(c.ea(i), c.g32(i.r1))?;
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn stg(c: &mut Cpu, i: &Insn) -> Exec {
    c.write_u64(c.ea(i), c.g(i.r1))?;
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn mvi(c: &mut Cpu, i: &Insn) -> Exec {
    c.write_u8(c.ea(i), i.imm as u8)?;
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn cli(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.read_u8(c.ea(i))?;
    c.cc = LazyCc::unsigned(v.into(), i.imm as u64);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn srl(c: &mut Cpu, i: &Insn) -> Exec {
    let n = c.ea(i) & 63;
    c.set_g32(i.r1, (u64::from(c.g32(i.r1)) >> n) as u32);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn sll(c: &mut Cpu, i: &Insn) -> Exec {
    let n = c.ea(i) & 63;
    c.set_g32(i.r1, (u64::from(c.g32(i.r1)) << n) as u32);
    Ok(Flow::Next)
}

#[inline(always)]
pub(crate) fn sllg(c: &mut Cpu, i: &Insn) -> Exec {
    let n = c.ea(i) & 63;
    c.set_g(i.r1, c.g(i.r3) << n);
    Ok(Flow::Next)
}

/// LOAD MULTIPLE (64): all or nothing.
#[inline]
pub(crate) fn lmg(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = c.ea(i);
    let n = (i.r3.wrapping_sub(i.r1) & 15) + 1;
    let mut b = [0; 128];
    let b = &mut b[..usize::from(n) * 8];
    c.read_bytes(ea, b)?;
    for (k, v) in (0..n).zip(b.chunks_exact(8)) {
        c.set_g(
            i.r1.wrapping_add(k),
            u64::from_be_bytes(v.try_into().expect("8 bytes")),
        );
    }
    Ok(Flow::Next)
}

/// STORE MULTIPLE (64): all or nothing.
#[inline]
pub(crate) fn stmg(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = c.ea(i);
    let n = (i.r3.wrapping_sub(i.r1) & 15) + 1;
    let mut b = [0; 128];
    let b = &mut b[..usize::from(n) * 8];
    for (k, v) in (0..n).zip(b.chunks_exact_mut(8)) {
        v.copy_from_slice(&c.g(i.r1.wrapping_add(k) & 15).to_be_bytes());
    }
    c.write_bytes(ea, b)?;
    Ok(Flow::Next)
}

/// The bits from `start` to `end` (0 leftmost), which may wrap around.
#[inline(always)]
fn selected_bits(start: u8, end: u8) -> u64 {
    let (s, e) = (start & 63, end & 63);
    let (from_start, to_end) = (u64::MAX >> s, u64::MAX << (63 - e));
    if s <= e {
        from_start & to_end
    } else {
        from_start | to_end
    }
}

/// ROTATE THEN INSERT SELECTED BITS.
#[inline(always)]
pub(crate) fn risbg(c: &mut Cpu, i: &Insn) -> Exec {
    let (i3, i4, i5) = i.rie_f();
    let mask = selected_bits(i3, i4);
    let kept = if i4 & 0x80 != 0 { 0 } else { c.g(i.r1) & !mask };
    let v = c.g(i.r2).rotate_left((i5 & 63).into()) & mask | kept;
    c.set_g(i.r1, v);
    c.cc = LazyCc::signed64(v, 0);
    Ok(Flow::Next)
}

/// ROTATE THEN EXCLUSIVE OR SELECTED BITS; with the test-results bit R1 stays.
#[inline(always)]
pub(crate) fn rxsbg(c: &mut Cpu, i: &Insn) -> Exec {
    let (i3, i4, i5) = i.rie_f();
    let mask = selected_bits(i3, i4);
    let v = c.g(i.r1) ^ c.g(i.r2).rotate_left((i5 & 63).into()) & mask;
    if i3 & 0x80 == 0 {
        c.set_g(i.r1, v);
    }
    c.cc = LazyCc::logical(v & mask);
    Ok(Flow::Next)
}
