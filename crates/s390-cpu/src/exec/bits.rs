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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run};

    #[test]
    fn test_selected_bits_wrap_around() {
        assert_eq!(selected_bits(0, 63), u64::MAX);
        assert_eq!(selected_bits(4, 7), 0x0f00_0000_0000_0000);
        assert_eq!(selected_bits(60, 3), 0xf000_0000_0000_000f);
        assert_eq!(selected_bits32(28, 3), 0xf000_000f);
    }

    #[test]
    fn test_rotate_then_insert() {
        let mut c = cpu();
        c.set_g(1, 0x1111_1111_1111_1111);
        c.set_g(2, 0x2345_6789_abcd_ef01);
        run(&mut c, "ec123c030855").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x4111_1111_1111_1113, 2));
        run(&mut c, "ec123c830855").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x4000_0000_0000_0003, 2));
        c.set_cc(3);
        run(&mut c, "ec12001f205d").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0xabcd_ef01_0000_0003, 3));
    }

    #[test]
    fn test_test_results_only() {
        let mut c = cpu();
        c.set_g(1, 0xff00);
        c.set_g(2, 0);
        run(&mut c, "ec1280070054").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0xff00, 0));
    }

    #[test]
    fn test_find_leftmost_one() {
        let mut c = cpu();
        for (v, zeros, rest, cc) in [
            (0, 64, 0, 0),
            (1, 63, 0, 2),
            (u64::MAX, 0, u64::MAX >> 1, 2),
        ] {
            c.set_g(4, v);
            run(&mut c, "b9830024").unwrap();
            assert_eq!((c.g(2), c.g(3), c.cc.get()), (zeros, rest, cc));
        }
        assert_interrupted(&mut c, "b9830034", pgm::SPECIFICATION);
    }

    #[test]
    fn test_population_count() {
        let mut c = cpu();
        c.set_g(2, 0xff01_0000_0000_0003);
        run(&mut c, "b9e10012").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x0801_0000_0000_0002, 1));
        run(&mut c, "b9e18012").unwrap();
        assert_eq!(c.g(1), 11);
    }
}
