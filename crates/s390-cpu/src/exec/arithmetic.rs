// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: addition and subtraction, signed and logical.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::exec::operand::{self, operations};

/// Signed arithmetic into R1, with a fixed-point overflow.
macro_rules! signed {
    ($($name:ident: $t:ty, $s:ty, $method:ident, $set:ident, $cc:ident;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, a: $t, b: $t) -> Exec {
            let (v, overflow) = (a as $s).$method(b as $s);
            c.$set(i.r1, v as $t);
            c.cc = LazyCc::$cc(a, b);
            c.fixed_overflow(overflow)
        }
    )*};
}

/// Logical arithmetic into R1: the condition code tells carry and zero.
macro_rules! logical {
    ($($name:ident: $t:ty, $method:ident, $set:ident, $cc:ident;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, a: $t, b: $t) -> Exec {
            c.$set(i.r1, a.$method(b));
            c.cc = LazyCc::$cc(a, b);
            Ok(Flow::Next)
        }
    )*};
}

signed! {
    add32: u32, i32, overflowing_add, set_g32, add32;
    add64: u64, i64, overflowing_add, set_g, add64;
    add_high: u32, i32, overflowing_add, set_high, add32;
    sub32: u32, i32, overflowing_sub, set_g32, sub32;
    sub64: u64, i64, overflowing_sub, set_g, sub64;
    sub_high: u32, i32, overflowing_sub, set_high, sub32;
}

logical! {
    add_logical32: u32, wrapping_add, set_g32, add_logical32;
    add_logical64: u64, wrapping_add, set_g, add_logical64;
    add_logical_high: u32, wrapping_add, set_high, add_logical32;
    sub_logical32: u32, wrapping_sub, set_g32, sub_logical32;
    sub_logical64: u64, wrapping_sub, set_g, sub_logical64;
    sub_logical_high: u32, wrapping_sub, set_high, sub_logical32;
}

/// Condition codes 2 and 3 of a logical addition or subtraction: a carry, or no borrow.
#[inline(always)]
fn carry(c: &Cpu) -> bool {
    c.cc.get() & 2 != 0
}

#[inline(always)]
fn carry_cc(carry: bool, nonzero: bool) -> LazyCc {
    LazyCc::value(u8::from(carry) << 1 | u8::from(nonzero))
}

/// Arithmetic with the carry of an instruction before it. A subtraction adds the complement.
macro_rules! with_carry {
    ($($name:ident: $t:ty, $set:ident, $b:ident => $addend:expr;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, a: $t, $b: $t) -> Exec {
            let (v, over) = a.overflowing_add($addend);
            let (v, over_again) = v.overflowing_add(carry(c).into());
            c.$set(i.r1, v);
            c.cc = carry_cc(over | over_again, v != 0);
            Ok(Flow::Next)
        }
    )*};
}

with_carry! {
    add_with_carry32: u32, set_g32, b => b;
    add_with_carry64: u64, set_g, b => b;
    sub_with_borrow32: u32, set_g32, b => !b;
    sub_with_borrow64: u64, set_g, b => !b;
}

/// ADD LOGICAL WITH SIGNED IMMEDIATE HIGH without a condition code.
#[inline(always)]
fn add_high_only(c: &mut Cpu, i: &Insn, a: u32, b: u32) -> Exec {
    c.set_high(i.r1, a.wrapping_add(b));
    Ok(Flow::Next)
}

operations! {
    // ADD, ADD HALFWORD, ADD IMMEDIATE, ADD HALFWORD IMMEDIATE
    ar = add32(w1, w2);
    agr = add64(g1, g2);
    agfr = add64(g1, w2s64);
    ark = add32(w2, w3);
    agrk = add64(g2, g3);
    a = add32(w1, mem32);
    ag = add64(g1, mem64);
    agf = add64(g1, mem32s64);
    ah = add32(w1, mem16s32);
    agh = add64(g1, mem16s64);
    ahi = add32(w1, imm32);
    aghi = add64(g1, imm64);
    ahik = add32(w3, imm32);
    aghik = add64(g3, imm64);

    // SUBTRACT, SUBTRACT HALFWORD
    sr = sub32(w1, w2);
    sgr = sub64(g1, g2);
    sgfr = sub64(g1, w2s64);
    srk = sub32(w2, w3);
    sgrk = sub64(g2, g3);
    s = sub32(w1, mem32);
    sg = sub64(g1, mem64);
    sgf = sub64(g1, mem32s64);
    sh = sub32(w1, mem16s32);
    sgh = sub64(g1, mem16s64);

    // ADD LOGICAL, ADD LOGICAL IMMEDIATE, ADD LOGICAL WITH SIGNED IMMEDIATE
    alr = add_logical32(w1, w2);
    algr = add_logical64(g1, g2);
    algfr = add_logical64(g1, w2z64);
    alrk = add_logical32(w2, w3);
    algrk = add_logical64(g2, g3);
    al = add_logical32(w1, mem32);
    alg = add_logical64(g1, mem64);
    algf = add_logical64(g1, mem32z64);
    alfi = add_logical32(w1, imm32);
    algfi = add_logical64(g1, imm32z64);
    alhsik = add_logical32(w3, imm32);
    alghsik = add_logical64(g3, imm64);

    // SUBTRACT LOGICAL, SUBTRACT LOGICAL IMMEDIATE
    slr = sub_logical32(w1, w2);
    slgr = sub_logical64(g1, g2);
    slgfr = sub_logical64(g1, w2z64);
    slrk = sub_logical32(w2, w3);
    slgrk = sub_logical64(g2, g3);
    sl = sub_logical32(w1, mem32);
    slg = sub_logical64(g1, mem64);
    slgf = sub_logical64(g1, mem32z64);
    slfi = sub_logical32(w1, imm32);
    slgfi = sub_logical64(g1, imm32z64);

    // ADD LOGICAL WITH CARRY, SUBTRACT LOGICAL WITH BORROW
    alcr = add_with_carry32(w1, w2);
    alcgr = add_with_carry64(g1, g2);
    alc = add_with_carry32(w1, mem32);
    alcg = add_with_carry64(g1, mem64);
    slbr = sub_with_borrow32(w1, w2);
    slbgr = sub_with_borrow64(g1, g2);
    slb = sub_with_borrow32(w1, mem32);
    slbg = sub_with_borrow64(g1, mem64);

    // ADD HIGH, SUBTRACT HIGH, ADD IMMEDIATE HIGH and their logical forms
    ahhhr = add_high(h2, h3);
    ahhlr = add_high(h2, w3);
    aih = add_high(h1, imm32);
    shhhr = sub_high(h2, h3);
    shhlr = sub_high(h2, w3);
    alhhhr = add_logical_high(h2, h3);
    alhhlr = add_logical_high(h2, w3);
    alsih = add_logical_high(h1, imm32);
    alsihn = add_high_only(h1, imm32);
    slhhhr = sub_logical_high(h2, h3);
    slhhlr = sub_logical_high(h2, w3);

    // LOAD COMPLEMENT, LOAD POSITIVE, LOAD NEGATIVE
    lcr = complement32(w2);
    lcgr = complement64(g2);
    lcgfr = complement64(w2s64);
    lpr = positive32(w2);
    lpgr = positive64(g2);
    lpgfr = positive64(w2s64);
    lnr = negative32(w2);
    lngr = negative64(g2);
    lngfr = negative64(w2s64);
}

/// `$less` where the operand is less than zero, `$other` where not: 0 plus or minus it. So the
/// complement of the least number, and its absolute value, overflow.
macro_rules! signs {
    ($($name:ident: $t:ty, $s:ty, $less:ident, $other:ident;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, a: $t) -> Exec {
            if (a as $s) < 0 {
                $less(c, i, 0, a)
            } else {
                $other(c, i, 0, a)
            }
        }
    )*};
}

signs! {
    complement32: u32, i32, sub32, sub32;
    complement64: u64, i64, sub64, sub64;
    positive32: u32, i32, sub32, add32;
    positive64: u64, i64, sub64, add64;
    negative32: u32, i32, add32, sub32;
    negative64: u64, i64, add64, sub64;
}

#[cfg(test)]
mod tests {
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run};

    #[test]
    fn test_overflow_sets_cc_3_and_interrupts_after_completion() {
        let mut c = cpu();
        c.set_g(1, 0xaaaa_aaaa_7fff_ffff);
        c.set_g(2, 1);
        run(&mut c, "1a12").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0xaaaa_aaaa_8000_0000, 3));

        c.psw_mask |= 0x0800_0000_0000;
        c.set_g(1, 0x7fff_ffff);
        assert_interrupted(&mut c, "1a12", pgm::FIXED_OVERFLOW);
        assert_eq!((c.g32(1), c.cc.get()), (0x8000_0000, 3));
    }

    #[test]
    fn test_carry_chains() {
        let mut c = cpu();
        c.set_g(1, u64::MAX);
        c.set_g(2, 0);
        for (cc, sum, after) in [(0, u64::MAX, 1), (1, u64::MAX, 1), (2, 0, 2), (3, 0, 2)] {
            c.set_g(1, u64::MAX);
            c.set_cc(cc);
            run(&mut c, "b9880012").unwrap();
            assert_eq!((c.g(1), c.cc.get()), (sum, after), "{cc}");
        }
        // Both the operand and the carry may carry out.
        c.set_g(1, u64::MAX);
        c.set_g(2, u64::MAX);
        c.set_cc(2);
        run(&mut c, "b9880012").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (u64::MAX, 3));
    }

    #[test]
    fn test_borrow_chains() {
        let mut c = cpu();
        for (cc, difference, after) in [(0, u32::MAX, 1), (1, u32::MAX, 1), (2, 0, 2), (3, 0, 2)] {
            c.set_g(1, 5);
            c.set_g(2, 5);
            c.set_cc(cc);
            run(&mut c, "b9990012").unwrap();
            assert_eq!((c.g32(1), c.cc.get()), (difference, after), "{cc}");
        }
    }

    #[test]
    fn test_absolute_value_of_the_least_number_overflows() {
        let mut c = cpu();
        c.set_g(2, 1 << 63);
        run(&mut c, "b9000012").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (1 << 63, 3));
        // Its negative does not.
        run(&mut c, "b9010012").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (1 << 63, 1));
        c.set_g(2, 7);
        run(&mut c, "1112").unwrap();
        assert_eq!((c.g32(1), c.cc.get()), (-7i32 as u32, 1));
        run(&mut c, "1312").unwrap();
        assert_eq!((c.g32(1), c.cc.get()), (-7i32 as u32, 1));
    }

    #[test]
    fn test_high_words() {
        let mut c = cpu();
        c.set_g(1, 0x55);
        c.set_g(2, 0x7fff_ffff_0000_0000);
        c.set_g(3, 1 << 32);
        run(&mut c, "b9c83012").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x8000_0000_0000_0055, 3));
        c.set_cc(2);
        run(&mut c, "cc1bffffffff").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x7fff_ffff_0000_0055, 2));
    }
}
