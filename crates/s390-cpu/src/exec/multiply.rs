// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: multiplication and division.

use crate::cc::LazyCc;
use crate::cpu::{pgm, Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::exec::operand::{self, operations};

/// The product in as many bits as the factors have.
#[inline(always)]
fn single32(c: &mut Cpu, i: &Insn, a: u32, b: u32) -> Exec {
    c.set_g32(i.r1, a.wrapping_mul(b));
    Ok(Flow::Next)
}

#[inline(always)]
fn single64(c: &mut Cpu, i: &Insn, a: u64, b: u64) -> Exec {
    c.set_g(i.r1, a.wrapping_mul(b));
    Ok(Flow::Next)
}

/// The same with a condition code: overflow, or the sign of the product.
#[inline(always)]
fn single_cc32(c: &mut Cpu, i: &Insn, a: u32, b: u32) -> Exec {
    let (v, overflow) = (a as i32).overflowing_mul(b as i32);
    c.set_g32(i.r1, v as u32);
    c.cc = match overflow {
        true => LazyCc::value(3),
        false => LazyCc::signed32(v as u32, 0),
    };
    c.fixed_overflow(overflow)
}

#[inline(always)]
fn single_cc64(c: &mut Cpu, i: &Insn, a: u64, b: u64) -> Exec {
    let (v, overflow) = (a as i64).overflowing_mul(b as i64);
    c.set_g(i.r1, v as u64);
    c.cc = match overflow {
        true => LazyCc::value(3),
        false => LazyCc::signed64(v as u64, 0),
    };
    c.fixed_overflow(overflow)
}

/// Puts a result into the right words of the even-odd pair R1.
#[inline(always)]
fn set_pair32(c: &mut Cpu, i: &Insn, first: u32, second: u32) {
    c.set_g32(i.r1, first);
    c.set_g32(i.r1 | 1, second);
}

#[inline(always)]
fn set_pair64(c: &mut Cpu, i: &Insn, first: u64, second: u64) {
    c.set_g(i.r1, first);
    c.set_g(i.r1 | 1, second);
}

/// The product of the odd register of the pair R1 and the operand, in the pair.
macro_rules! doubles {
    ($($name:ident: $t:ty, $wide:ty, $set_pair:ident, $get:ident, |$a:ident, $b:ident| $product:expr;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, $b: $t) -> Exec {
            c.even(i.r1)?;
            let $a = c.$get(i.r1 | 1);
            let v: $wide = $product;
            $set_pair(c, i, (v >> <$t>::BITS) as $t, v as $t);
            Ok(Flow::Next)
        }
    )*};
}

doubles! {
    double_signed32: u32, i64, set_pair32, g32, |a, b| i64::from(a as i32) * i64::from(b as i32);
    double_unsigned32: u32, u64, set_pair32, g32, |a, b| u64::from(a) * u64::from(b);
    double_signed64: u64, i128, set_pair64, g, |a, b| i128::from(a as i64) * i128::from(b as i64);
    double_unsigned64: u64, u128, set_pair64, g, |a, b| u128::from(a) * u128::from(b);
}

/// MULTIPLY (128 <- 64) of R2 and R3.
pub(crate) fn mgrk(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1)?;
    let v = i128::from(c.g(i.r2) as i64) * i128::from(c.g(i.r3) as i64);
    set_pair64(c, i, (v >> 64) as u64, v as u64);
    Ok(Flow::Next)
}

/// Divides by the operand: remainder and quotient go to the pair R1. `$dividend` says what is
/// divided; division by zero and a quotient that does not fit are fixed-point-divide exceptions,
/// which suppress the instruction.
macro_rules! divisions {
    ($($name:ident: $t:ty, $q:ty, $wide:ty, $set_pair:ident, |$c:ident, $i:ident| $dividend:expr;)*) => {$(
        #[inline(always)]
        fn $name($c: &mut Cpu, $i: &Insn, divisor: $t) -> Exec {
            $c.even($i.r1)?;
            let dividend: $wide = $dividend;
            let divisor = <$wide>::from(divisor as $q);
            let quotient = dividend.checked_div(divisor).and_then(|q| <$q>::try_from(q).ok());
            let Some(quotient) = quotient else {
                return Err($c.program(pgm::FIXED_DIVIDE));
            };
            $set_pair($c, $i, (dividend % divisor) as $t, quotient as $t);
            Ok(Flow::Next)
        }
    )*};
}

divisions! {
    divide_signed32: u32, i32, i64, set_pair32, |c, i| pair32(c, i) as i64;
    divide_unsigned32: u32, u32, u64, set_pair32, |c, i| pair32(c, i);
    divide_single: u64, i64, i64, set_pair64, |c, i| c.g(i.r1 | 1) as i64;
    divide_unsigned64: u64, u64, u128, set_pair64, |c, i| pair64(c, i);
}

#[inline(always)]
fn pair32(c: &Cpu, i: &Insn) -> u64 {
    u64::from(c.g32(i.r1)) << 32 | u64::from(c.g32(i.r1 | 1))
}

#[inline(always)]
fn pair64(c: &Cpu, i: &Insn) -> u128 {
    u128::from(c.g(i.r1)) << 64 | u128::from(c.g(i.r1 | 1))
}

operations! {
    // MULTIPLY SINGLE, MULTIPLY HALFWORD, MULTIPLY SINGLE IMMEDIATE, MULTIPLY HALFWORD IMMEDIATE
    msr = single32(w1, w2);
    msgr = single64(g1, g2);
    msgfr = single64(g1, w2s64);
    msrkc = single_cc32(w2, w3);
    msgrkc = single_cc64(g2, g3);
    ms = single32(w1, mem32);
    msg = single64(g1, mem64);
    msgf = single64(g1, mem32s64);
    msc = single_cc32(w1, mem32);
    msgc = single_cc64(g1, mem64);
    mh = single32(w1, mem16s32);
    mgh = single64(g1, mem16s64);
    msfi = single32(w1, imm32);
    msgfi = single64(g1, imm64);

    // MULTIPLY, MULTIPLY LOGICAL
    mr = double_signed32(w2);
    m = double_signed32(pair_mem32);
    mg = double_signed64(pair_mem64);
    mlr = double_unsigned32(w2);
    mlgr = double_unsigned64(g2);
    ml = double_unsigned32(pair_mem32);
    mlg = double_unsigned64(pair_mem64);

    // DIVIDE, DIVIDE LOGICAL, DIVIDE SINGLE
    dr = divide_signed32(w2);
    d = divide_signed32(pair_mem32);
    dlr = divide_unsigned32(w2);
    dlgr = divide_unsigned64(g2);
    dl = divide_unsigned32(pair_mem32);
    dlg = divide_unsigned64(pair_mem64);
    dsgr = divide_single(g2);
    dsgfr = divide_single(w2s64);
    dsg = divide_single(pair_mem64);
    dsgf = divide_single(pair_mem32s64);
}

#[cfg(test)]
mod tests {
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run};

    #[test]
    fn test_double_products() {
        let mut c = cpu();
        c.set_g(3, 0xffff_ffff);
        c.set_g(5, 2);
        run(&mut c, "1c25").unwrap();
        assert_eq!((c.g32(2), c.g32(3)), (u32::MAX, -2i32 as u32));
        c.set_g(3, u64::MAX);
        c.set_g(5, u64::MAX);
        run(&mut c, "b9860025").unwrap();
        assert_eq!((c.g(2), c.g(3)), (u64::MAX - 1, 1));
        assert_interrupted(&mut c, "1c35", pgm::SPECIFICATION);
    }

    #[test]
    fn test_the_pair_is_looked_at_before_the_operand() {
        let mut c = cpu();
        c.set_g(5, 1 << 40);
        // M, D, MG, ML, DSGF of register 3 and storage that there is not.
        for text in [
            "5c305000",
            "5d305000",
            "e33050000084",
            "e33050000096",
            "e3305000001d",
        ] {
            assert_interrupted(&mut c, text, pgm::SPECIFICATION);
        }
    }

    #[test]
    fn test_product_that_does_not_fit() {
        let mut c = cpu();
        c.set_g(2, 0x1_0000);
        c.set_g(3, 0x8000);
        run(&mut c, "b9fd3012").unwrap();
        assert_eq!((c.g32(1), c.cc.get()), (0x8000_0000, 3));
        c.set_g(3, 0xffff_8000);
        run(&mut c, "b9fd3012").unwrap();
        assert_eq!((c.g32(1), c.cc.get()), (0x8000_0000, 1));
    }

    #[test]
    fn test_division_rounds_towards_zero() {
        let mut c = cpu();
        c.set_g(2, 0xffff_ffff);
        c.set_g(3, -7i32 as u32 as u64);
        c.set_g(5, 2);
        run(&mut c, "1d25").unwrap();
        assert_eq!((c.g32(2), c.g32(3)), (-1i32 as u32, -3i32 as u32));
    }

    #[test]
    fn test_quotient_that_does_not_fit_changes_nothing() {
        let mut c = cpu();
        // 2^31 / 1, 2^63 / -1, (1 << 64) / 1, x / 0
        c.set_g(2, 0);
        c.set_g(3, 0x8000_0000);
        c.set_g(5, 1);
        assert_interrupted(&mut c, "1d25", pgm::FIXED_DIVIDE);
        c.set_g(3, 1 << 63);
        c.set_g(5, u64::MAX);
        assert_interrupted(&mut c, "b90d0025", pgm::FIXED_DIVIDE);
        assert_interrupted(&mut c, "b91d0025", pgm::FIXED_DIVIDE);
        c.set_g(2, 1);
        c.set_g(5, 1);
        assert_interrupted(&mut c, "b9870025", pgm::FIXED_DIVIDE);
        c.set_g(5, 0);
        assert_interrupted(&mut c, "b90d0025", pgm::FIXED_DIVIDE);
        assert_eq!((c.g(2), c.g(3)), (1, 1 << 63));
    }
}
