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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run};

    #[test]
    fn test_left_signed() {
        assert_eq!(left_signed(1, 62), (1 << 62, false));
        assert_eq!(left_signed(1, 63), (0, true));
        assert_eq!(left_signed(-1, 63), (1 << 63, false));
        assert_eq!(left_signed(i64::MIN, 1), (1 << 63, true));
        assert_eq!(left_signed(0, 63), (0, false));
        assert_eq!(left_signed(0x4000_0000_0000_0001, 1), (2, true));
    }

    #[test]
    fn test_shift_left_single() {
        let mut c = cpu();
        for (v, result, cc) in [
            (u32::MAX, 0x8000_0000, 1),
            (1, 0, 3),
            (0, 0, 0),
            (0x8000_0000, 0x8000_0000, 3),
        ] {
            c.set_g(1, v.into());
            run(&mut c, "8b10001f").unwrap();
            assert_eq!((c.g(1), c.cc.get()), (result, cc), "{v:x}");
        }
        c.psw_mask |= 0x0800_0000_0000;
        c.set_g(1, 1);
        assert_interrupted(&mut c, "8b10001f", pgm::FIXED_OVERFLOW);
        assert_eq!(c.g(1), 0);
    }

    #[test]
    fn test_amounts_above_the_width() {
        let mut c = cpu();
        c.set_g(1, 0x8000_0000);
        run(&mut c, "8a100028").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0xffff_ffff, 1));
        // SLL, SRL by 32 leave nothing, RLL by 33 is RLL by 1.
        c.set_g(1, 0xffff_ffff_8000_0000);
        run(&mut c, "eb210021001d 89100020").unwrap();
        assert_eq!((c.g(1), c.g(2)), (0xffff_ffff_0000_0000, 1));
    }

    #[test]
    fn test_double_shifts() {
        let mut c = cpu();
        c.set_g(2, 0xaaaa_aaaa_1234_5678);
        c.set_g(3, 0xbbbb_bbbb_9abc_def0);
        run(&mut c, "8c200020").unwrap();
        assert_eq!(
            (c.g(2), c.g(3)),
            (0xaaaa_aaaa_0000_0000, 0xbbbb_bbbb_1234_5678)
        );
        run(&mut c, "8f20003f").unwrap();
        assert_eq!((c.g32(2), c.g32(3), c.cc.get()), (0, 0, 3));
        assert_interrupted(&mut c, "8c300020", pgm::SPECIFICATION);
    }
}
