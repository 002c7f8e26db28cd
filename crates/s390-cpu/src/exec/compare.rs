// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: comparison, test under mask, compare and trap.

use crate::cc::{order, LazyCc};
use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::exec::operand::{self, operations};

/// Data-exception code of a compare-and-trap exception, which completes the instruction.
pub(super) const COMPARE_AND_TRAP: u8 = 0xff;

macro_rules! comparisons {
    ($($name:ident($t:ty) = $cc:ident;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, _: &Insn, a: $t, b: $t) -> Exec {
            c.cc = LazyCc::$cc(a.into(), b.into());
            Ok(Flow::Next)
        }
    )*};
}

comparisons! {
    signed32(u32) = signed32;
    signed64(u64) = signed64;
    unsigned8(u8) = unsigned32;
    unsigned16(u16) = unsigned32;
    unsigned32(u32) = unsigned32;
    unsigned64(u64) = unsigned64;
}

#[inline(always)]
fn test_bits(c: &mut Cpu, _: &Insn, value: u16, mask: u16) -> Exec {
    c.cc = LazyCc::test_mask16(value, mask);
    Ok(Flow::Next)
}

#[inline(always)]
fn test_byte(c: &mut Cpu, _: &Insn, value: u8, mask: u8) -> Exec {
    c.cc = LazyCc::test_mask8(value, mask);
    Ok(Flow::Next)
}

/// Whether mask `m` selects condition code `cc`.
#[inline(always)]
pub(super) fn selects(m: u8, cc: u8) -> bool {
    m << cc & 8 != 0
}

/// Defines traps by the field that holds the mask.
macro_rules! traps {
    ($($name:ident($t:ty as $s:ty, $mask:ident);)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, a: $t, b: $t) -> Exec {
            if selects(i.$mask, order(a as $s, b as $s)) {
                return Err(c.data(COMPARE_AND_TRAP));
            }
            Ok(Flow::Next)
        }
    )*};
}

traps! {
    trap_signed32(u32 as i32, r3);
    trap_signed64(u64 as i64, r3);
    trap_unsigned32(u32 as u32, r3);
    trap_unsigned64(u64 as u64, r3);
    trap_immediate_signed32(u32 as i32, m);
    trap_immediate_signed64(u64 as i64, m);
    trap_immediate_unsigned32(u32 as u32, m);
    trap_immediate_unsigned64(u64 as u64, m);
}

operations! {
    // COMPARE, COMPARE HALFWORD, COMPARE IMMEDIATE, COMPARE HALFWORD IMMEDIATE
    cr = signed32(w1, w2);
    cgr = signed64(g1, g2);
    cgfr = signed64(g1, w2s64);
    c = signed32(w1, mem32);
    cg = signed64(g1, mem64);
    cgf = signed64(g1, mem32s64);
    ch = signed32(w1, mem16s32);
    cgh = signed64(g1, mem16s64);
    chi = signed32(w1, imm32);
    cghi = signed64(g1, imm64);
    chhsi = signed32(mem16s32, imm32);
    chsi = signed32(mem32, imm32);
    cghsi = signed64(mem64, imm64);

    // COMPARE RELATIVE LONG, COMPARE HALFWORD RELATIVE LONG
    crl = signed32(w1, rel32);
    cgrl = signed64(g1, rel64);
    cgfrl = signed64(g1, rel32s64);
    chrl = signed32(w1, rel16s32);
    cghrl = signed64(g1, rel16s64);

    // COMPARE LOGICAL, COMPARE LOGICAL IMMEDIATE
    clr = unsigned32(w1, w2);
    clgr = unsigned64(g1, g2);
    clgfr = unsigned64(g1, w2z64);
    cl = unsigned32(w1, mem32);
    clg = unsigned64(g1, mem64);
    clgf = unsigned64(g1, mem32z64);
    clfi = unsigned32(w1, imm32);
    clgfi = unsigned64(g1, imm32z64);
    cli = unsigned8(mem8, imm8);
    clhhsi = unsigned16(mem16, imm16);
    clfhsi = unsigned32(mem32, imm16z32);
    clghsi = unsigned64(mem64, imm16z64);

    // COMPARE LOGICAL RELATIVE LONG
    clrl = unsigned32(w1, rel32);
    clgrl = unsigned64(g1, rel64);
    clgfrl = unsigned64(g1, rel32z64);
    clhrl = unsigned32(w1, rel16z32);
    clghrl = unsigned64(g1, rel16z64);

    // COMPARE HIGH, COMPARE IMMEDIATE HIGH and their logical forms
    chhr = signed32(h1, h2);
    chlr = signed32(h1, w2);
    chf = signed32(h1, mem32);
    cih = signed32(h1, imm32);
    clhhr = unsigned32(h1, h2);
    clhlr = unsigned32(h1, w2);
    clhf = unsigned32(h1, mem32);
    clih = unsigned32(h1, imm32);

    // TEST UNDER MASK (HIGH, LOW)
    tm = test_byte(mem8, imm8);
    tmhh = test_bits(g1_hh, imm16);
    tmhl = test_bits(g1_hl, imm16);
    tmlh = test_bits(g1_lh, imm16);
    tmll = test_bits(g1_ll, imm16);

    // COMPARE AND TRAP, COMPARE IMMEDIATE AND TRAP and their logical forms
    crt = trap_signed32(w1, w2);
    cgrt = trap_signed64(g1, g2);
    clrt = trap_unsigned32(w1, w2);
    clgrt = trap_unsigned64(g1, g2);
    cit = trap_immediate_signed32(w1, imm32);
    cgit = trap_immediate_signed64(g1, imm64);
    clfit = trap_immediate_unsigned32(w1, imm16z32);
    clgit = trap_immediate_unsigned64(g1, imm16z64);
    clt = trap_unsigned32(w1, mem32);
    clgt = trap_unsigned64(g1, mem64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run};

    #[test]
    fn test_order_and_masks() {
        assert_eq!((order(1, 1), order(1, 2), order(2, 1)), (0, 1, 2));
        for cc in 0..4 {
            for m in 0..16 {
                assert_eq!(selects(m, cc), m >> (3 - cc) & 1 == 1, "{m} {cc}");
            }
        }
    }

    #[test]
    fn test_traps() {
        let mut c = cpu();
        c.set_g(1, 1);
        c.set_g(2, u64::MAX);
        // Signed, 1 is high.
        assert_interrupted(&mut c, "b9722012", pgm::DATA);
        assert_eq!(run(&mut c, "b9722012").unwrap_err().dxc, 0xff);
        run(&mut c, "b9724012").unwrap();
        // Unsigned, it is low.
        assert_interrupted(&mut c, "b9734012", pgm::DATA);
        run(&mut c, "b9732012").unwrap();
        // The immediate of the logical forms is not sign-extended.
        c.set_g(1, 0x1_0000);
        assert_interrupted(&mut c, "ec10ffff2071", pgm::DATA);
    }

    #[test]
    fn test_bits_under_mask() {
        let mut c = cpu();
        for (v, cc) in [(0, 0), (1, 1), (0x8000, 2), (0x8001, 3)] {
            c.set_g(1, v);
            run(&mut c, "a7118001").unwrap();
            assert_eq!(c.cc.get(), cc);
        }
        c.set_g(1, 0x8000_0000_0000_0000);
        run(&mut c, "a712c000").unwrap();
        assert_eq!(c.cc.get(), 2);
    }

    #[test]
    fn test_relative_long_operand_must_be_aligned() {
        let mut c = cpu();
        assert_interrupted(&mut c, "c61d00000001", pgm::SPECIFICATION);
        run(&mut c, "c61700000001").unwrap();
        run(&mut c, "c61d00000002").unwrap();
    }
}
