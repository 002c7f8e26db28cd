// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: shifts and rotations. The amount is the last six bits of the second
//! operand address.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;
use crate::exec::operand::{self, operations};

macro_rules! shifts {
    ($($name:ident: $t:ty, $set:ident, $v:ident, $n:ident => $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, $v: $t, $n: u32) -> Exec {
            c.$set(i.r1, $value);
            Ok(Flow::Next)
        }
    )*};
}

shifts! {
    left32: u32, set_g32, v, n => (u64::from(v) << n) as u32;
    left64: u64, set_g, v, n => v << n;
    right32: u32, set_g32, v, n => (u64::from(v) >> n) as u32;
    right64: u64, set_g, v, n => v >> n;
    rotate32: u32, set_g32, v, n => v.rotate_left(n & 31);
    rotate64: u64, set_g, v, n => v.rotate_left(n);
}

/// SHIFT RIGHT SINGLE (32): copies of the sign come in.
#[inline(always)]
fn right_signed32(c: &mut Cpu, i: &Insn, v: u32, n: u32) -> Exec {
    let v = (v as i32 >> n.min(31)) as u32;
    c.set_g32(i.r1, v);
    c.cc = LazyCc::signed32(v, 0);
    Ok(Flow::Next)
}

#[inline(always)]
fn right_signed64(c: &mut Cpu, i: &Insn, v: u64, n: u32) -> Exec {
    let v = (v as i64 >> n) as u64;
    c.set_g(i.r1, v);
    c.cc = LazyCc::signed64(v, 0);
    Ok(Flow::Next)
}

/// Shifts all but the sign left. Overflow when a bit unlike the sign is shifted out: when the
/// product with a power of two does not fit.
fn left_signed(v: i64, n: u32) -> (u64, bool) {
    let product = i128::from(v) << n;
    let result = product as i64 & i64::MAX | v & i64::MIN;
    (result as u64, i128::from(result) != product)
}

/// SHIFT LEFT SINGLE (32).
fn left_signed32(c: &mut Cpu, i: &Insn, v: u32, n: u32) -> Exec {
    // In the left half of a doubleword the sign is where it is shifted around.
    let (v, overflow) = left_signed(i64::from(v) << 32, n);
    let v = (v >> 32) as u32;
    c.set_g32(i.r1, v);
    c.cc = match overflow {
        true => LazyCc::value(3),
        false => LazyCc::signed32(v, 0),
    };
    c.fixed_overflow(overflow)
}

/// SHIFT LEFT SINGLE (64).
fn left_signed64(c: &mut Cpu, i: &Insn, v: u64, n: u32) -> Exec {
    let (v, overflow) = left_signed(v as i64, n);
    c.set_g(i.r1, v);
    c.cc = match overflow {
        true => LazyCc::value(3),
        false => LazyCc::signed64(v, 0),
    };
    c.fixed_overflow(overflow)
}

operations! {
    // SHIFT LEFT SINGLE LOGICAL, SHIFT RIGHT SINGLE LOGICAL
    sll = left32(w1, amount);
    sllk = left32(w3, amount);
    sllg = left64(g3, amount);
    srl = right32(w1, amount);
    srlk = right32(w3, amount);
    srlg = right64(g3, amount);

    // SHIFT LEFT SINGLE, SHIFT RIGHT SINGLE
    sla = left_signed32(w1, amount);
    slak = left_signed32(w3, amount);
    slag = left_signed64(g3, amount);
    sra = right_signed32(w1, amount);
    srak = right_signed32(w3, amount);
    srag = right_signed64(g3, amount);

    // ROTATE LEFT SINGLE LOGICAL
    rll = rotate32(w3, amount);
    rllg = rotate64(g3, amount);
}

/// The right words of the even-odd pair R1 as one number.
fn pair(c: &mut Cpu, i: &Insn) -> Result<u64, Trap> {
    c.even(i.r1)?;
    Ok(u64::from(c.g32(i.r1)) << 32 | u64::from(c.g32(i.r1 + 1)))
}

fn set_pair(c: &mut Cpu, i: &Insn, v: u64) {
    c.set_g32(i.r1, (v >> 32) as u32);
    c.set_g32(i.r1 + 1, v as u32);
}

/// SHIFT LEFT DOUBLE LOGICAL.
pub(crate) fn sldl(c: &mut Cpu, i: &Insn) -> Exec {
    let v = pair(c, i)? << operand::amount(c, i)?;
    set_pair(c, i, v);
    Ok(Flow::Next)
}

/// SHIFT RIGHT DOUBLE LOGICAL.
pub(crate) fn srdl(c: &mut Cpu, i: &Insn) -> Exec {
    let v = pair(c, i)? >> operand::amount(c, i)?;
    set_pair(c, i, v);
    Ok(Flow::Next)
}

/// SHIFT LEFT DOUBLE.
pub(crate) fn slda(c: &mut Cpu, i: &Insn) -> Exec {
    let (v, overflow) = left_signed(pair(c, i)? as i64, operand::amount(c, i)?);
    set_pair(c, i, v);
    c.cc = match overflow {
        true => LazyCc::value(3),
        false => LazyCc::signed64(v, 0),
    };
    c.fixed_overflow(overflow)
}

/// SHIFT RIGHT DOUBLE.
pub(crate) fn srda(c: &mut Cpu, i: &Insn) -> Exec {
    let v = (pair(c, i)? as i64 >> operand::amount(c, i)?) as u64;
    set_pair(c, i, v);
    c.cc = LazyCc::signed64(v, 0);
    Ok(Flow::Next)
}
