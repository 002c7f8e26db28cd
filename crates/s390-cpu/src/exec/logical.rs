// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: AND, OR, EXCLUSIVE OR and their complements.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::exec::operand::{self, operations};

macro_rules! bitwise {
    ($($name:ident: $t:ty, $set:ident, $a:ident, $b:ident => $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, $a: $t, $b: $t) -> Exec {
            let v = $value;
            c.$set(i.r1, v);
            c.cc = LazyCc::logical(v.into());
            Ok(Flow::Next)
        }
    )*};
}

bitwise! {
    and32: u32, set_g32, a, b => a & b;
    and64: u64, set_g, a, b => a & b;
    or32: u32, set_g32, a, b => a | b;
    or64: u64, set_g, a, b => a | b;
    xor32: u32, set_g32, a, b => a ^ b;
    xor64: u64, set_g, a, b => a ^ b;
    and_high: u32, set_high, a, b => a & b;
    or_high: u32, set_high, a, b => a | b;
    xor_high: u32, set_high, a, b => a ^ b;
    and_complement32: u32, set_g32, a, b => a & !b;
    and_complement64: u64, set_g, a, b => a & !b;
    or_complement32: u32, set_g32, a, b => a | !b;
    or_complement64: u64, set_g, a, b => a | !b;
    nand32: u32, set_g32, a, b => !(a & b);
    nand64: u64, set_g, a, b => !(a & b);
    nor32: u32, set_g32, a, b => !(a | b);
    nor64: u64, set_g, a, b => !(a | b);
    nxor32: u32, set_g32, a, b => !(a ^ b);
    nxor64: u64, set_g, a, b => !(a ^ b);
}

operations! {
    // AND
    nr = and32(w1, w2);
    ngr = and64(g1, g2);
    nrk = and32(w2, w3);
    ngrk = and64(g2, g3);
    n = and32(w1, mem32);
    ng = and64(g1, mem64);
    nihf = and_high(h1, imm32);
    nilf = and32(w1, imm32);

    // OR
    or = or32(w1, w2);
    ogr = or64(g1, g2);
    ork = or32(w2, w3);
    ogrk = or64(g2, g3);
    o = or32(w1, mem32);
    og = or64(g1, mem64);
    oihf = or_high(h1, imm32);
    oilf = or32(w1, imm32);

    // EXCLUSIVE OR
    xr = xor32(w1, w2);
    xgr = xor64(g1, g2);
    xrk = xor32(w2, w3);
    xgrk = xor64(g2, g3);
    x = xor32(w1, mem32);
    xg = xor64(g1, mem64);
    xihf = xor_high(h1, imm32);
    xilf = xor32(w1, imm32);

    // AND WITH COMPLEMENT, OR WITH COMPLEMENT, NAND, NOR, NOT EXCLUSIVE OR
    ncrk = and_complement32(w2, w3);
    ncgrk = and_complement64(g2, g3);
    ocrk = or_complement32(w2, w3);
    ocgrk = or_complement64(g2, g3);
    nnrk = nand32(w2, w3);
    nngrk = nand64(g2, g3);
    nork = nor32(w2, w3);
    nogrk = nor64(g2, g3);
    nxrk = nxor32(w2, w3);
    nxgrk = nxor64(g2, g3);
}

/// AND and OR IMMEDIATE on 16 bits of R1; the condition code is that of these bits.
macro_rules! halfwords {
    ($($and:ident, $or:ident, $shift:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $and(c: &mut Cpu, i: &Insn) -> Exec {
            let v = c.g(i.r1) & (u64::from(i.imm as u16) << $shift | !(0xffff << $shift));
            c.set_g(i.r1, v);
            c.cc = LazyCc::logical(v >> $shift & 0xffff);
            Ok(Flow::Next)
        }

        #[inline(always)]
        pub(crate) fn $or(c: &mut Cpu, i: &Insn) -> Exec {
            let v = c.g(i.r1) | u64::from(i.imm as u16) << $shift;
            c.set_g(i.r1, v);
            c.cc = LazyCc::logical(v >> $shift & 0xffff);
            Ok(Flow::Next)
        }
    )*};
}

halfwords! {
    nihh, oihh, 48;
    nihl, oihl, 32;
    nilh, oilh, 16;
    nill, oill, 0;
}

#[cfg(test)]
mod tests {
    use crate::testing::{cpu, run};

    #[test]
    fn test_condition_code_of_the_immediate_part_only() {
        let mut c = cpu();
        c.set_g(1, 0x00ff_0000_0000_1234);
        run(&mut c, "a514ff00").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x1234, 0));
        run(&mut c, "a5180000").unwrap();
        assert_eq!(c.cc.get(), 0);
        run(&mut c, "a51b0001").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x1235, 1));
        run(&mut c, "a5150000").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x1235, 0));
        // NIHF leaves the right word.
        run(&mut c, "c01a00000000").unwrap();
        assert_eq!((c.g(1), c.cc.get()), (0x1235, 0));
    }
}
