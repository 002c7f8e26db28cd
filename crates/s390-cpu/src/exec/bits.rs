// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: selected bits, counted bits.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;

/// Facility with which POPULATION COUNT counts whole registers.
const MISCELLANEOUS_INSTRUCTIONS_3: u8 = 61;

/// Bits `start` to `end` (0 leftmost), which may wrap around.
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

/// The same in 32 bits.
#[inline(always)]
fn selected_bits32(start: u8, end: u8) -> u32 {
    let (s, e) = (start & 31, end & 31);
    let (from_start, to_end) = (u32::MAX >> s, u32::MAX << (31 - e));
    if s <= e {
        from_start & to_end
    } else {
        from_start | to_end
    }
}

/// ROTATE THEN INSERT SELECTED BITS; with the zero-remaining bit the others become zero.
/// Without a condition code.
#[inline(always)]
pub(crate) fn risbgn(c: &mut Cpu, i: &Insn) -> Exec {
    let (i3, i4, i5) = i.rie_f();
    let mask = selected_bits(i3, i4);
    let kept = if i4 & 0x80 != 0 { 0 } else { c.g(i.r1) & !mask };
    let v = c.g(i.r2).rotate_left(i5.into()) & mask | kept;
    c.set_g(i.r1, v);
    Ok(Flow::Next)
}

/// ROTATE THEN INSERT SELECTED BITS.
#[inline(always)]
pub(crate) fn risbg(c: &mut Cpu, i: &Insn) -> Exec {
    let flow = risbgn(c, i);
    c.cc = LazyCc::signed64(c.g(i.r1), 0);
    flow
}

/// ROTATE THEN INSERT SELECTED BITS HIGH: bits of the left words.
pub(crate) fn risbhg(c: &mut Cpu, i: &Insn) -> Exec {
    let (i3, i4, i5) = i.rie_f();
    let mask = selected_bits32(i3, i4);
    let kept = if i4 & 0x80 != 0 {
        0
    } else {
        c.high(i.r1) & !mask
    };
    let rotated = c.g(i.r2).rotate_left(i5.into());
    c.set_high(i.r1, (rotated >> 32) as u32 & mask | kept);
    Ok(Flow::Next)
}

/// ROTATE THEN INSERT SELECTED BITS LOW: bits of the right words.
pub(crate) fn risblg(c: &mut Cpu, i: &Insn) -> Exec {
    let (i3, i4, i5) = i.rie_f();
    let mask = selected_bits32(i3, i4);
    let kept = if i4 & 0x80 != 0 {
        0
    } else {
        c.g32(i.r1) & !mask
    };
    let rotated = c.g(i.r2).rotate_left(i5.into());
    c.set_g32(i.r1, rotated as u32 & mask | kept);
    Ok(Flow::Next)
}

/// ROTATE THEN AND, OR, EXCLUSIVE OR SELECTED BITS: the condition code is that of the selected
/// bits. With the test-results bit R1 stays as it is.
macro_rules! rotate_then {
    ($($name:ident: |$a:ident, $b:ident, $mask:ident| $value:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            let (i3, i4, i5) = i.rie_f();
            let $mask = selected_bits(i3, i4);
            let ($a, $b) = (c.g(i.r1), c.g(i.r2).rotate_left(i5.into()));
            let v = $value;
            if i3 & 0x80 == 0 {
                c.set_g(i.r1, v);
            }
            c.cc = LazyCc::logical(v & $mask);
            Ok(Flow::Next)
        }
    )*};
}

rotate_then! {
    rnsbg: |a, b, mask| a & (b | !mask);
    rosbg: |a, b, mask| a | b & mask;
    rxsbg: |a, b, mask| a ^ b & mask;
}

/// FIND LEFTMOST ONE: how many zeros are left of it, and the number without it.
pub(crate) fn flogr(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1)?;
    let v = c.g(i.r2);
    c.set_g(i.r1, v.leading_zeros().into());
    c.set_g(i.r1 + 1, v & !(1 << 63 >> (v.leading_zeros() & 63)));
    c.cc = LazyCc::value(if v == 0 { 0 } else { 2 });
    Ok(Flow::Next)
}

/// POPULATION COUNT, of each byte for itself or (M3 bit 0, if the facility is there) of the
/// whole register.
pub(crate) fn popcnt(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.g(i.r2);
    let count = if i.r3 & 8 != 0 && c.model.has(MISCELLANEOUS_INSTRUCTIONS_3) {
        v.count_ones().into()
    } else {
        u64::from_be_bytes(v.to_be_bytes().map(|b| b.count_ones() as u8))
    };
    c.set_g(i.r1, count);
    c.cc = LazyCc::logical(count);
    Ok(Flow::Next)
}
