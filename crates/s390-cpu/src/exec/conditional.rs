// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: load, store and select on condition.

use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::exec::compare::selects;
use crate::exec::operand::{self, operations};

/// Loads where the mask in `$mask` selects the condition code. The operand is accessed either
/// way.
macro_rules! loads {
    ($($name:ident: $t:ty, $set:ident, $mask:ident;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, v: $t) -> Exec {
            if selects(i.$mask, c.cc.get()) {
                c.$set(i.r1, v);
            }
            Ok(Flow::Next)
        }
    )*};
}

loads! {
    load32: u32, set_g32, r3;
    load64: u64, set_g, r3;
    load_high: u32, set_high, r3;
    load_immediate32: u32, set_g32, m;
    load_immediate64: u64, set_g, m;
    load_immediate_high: u32, set_high, m;
}

operations! {
    // LOAD ON CONDITION, LOAD HIGH ON CONDITION, LOAD HALFWORD IMMEDIATE ON CONDITION
    locr = load32(w2);
    locgr = load64(g2);
    locfhr = load_high(h2);
    loc = load32(mem32);
    locg = load64(mem64);
    locfh = load_high(mem32);
    lochi = load_immediate32(imm32);
    locghi = load_immediate64(imm64);
    lochhi = load_immediate_high(imm32);

    // SELECT
    selr = select32(w2, w3);
    selgr = select64(g2, g3);
    selfhr = select_high(h2, h3);
}

/// SELECT: `a` where the mask selects the condition code, else `b`.
macro_rules! selections {
    ($($name:ident: $t:ty, $set:ident;)*) => {$(
        fn $name(c: &mut Cpu, i: &Insn, a: $t, b: $t) -> Exec {
            let v = if selects(i.m, c.cc.get()) { a } else { b };
            c.$set(i.r1, v);
            Ok(Flow::Next)
        }
    )*};
}

selections! {
    select32: u32, set_g32;
    select64: u64, set_g;
    select_high: u32, set_high;
}

/// Stores where the mask selects the condition code. Otherwise storage is not accessed.
macro_rules! stores {
    ($($name:ident: $write:ident, $get:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            if selects(i.r3, c.cc.get()) {
                c.$write(c.ea(i), c.$get(i.r1))?;
            }
            Ok(Flow::Next)
        }
    )*};
}

stores! {
    // STORE ON CONDITION, STORE HIGH ON CONDITION
    stoc: write_u32, g32;
    stocg: write_u64, g;
    stocfh: write_u32, high;
}

#[cfg(test)]
mod tests {
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run, DATA};

    #[test]
    fn test_load_and_store_on_condition() {
        let mut c = cpu();
        c.ram.write(DATA, &[1, 2, 3, 4]);
        c.set_g(1, 9);
        c.set_g(5, DATA);
        for (cc, v) in [(1, 9), (0, 0x0102_0304)] {
            c.set_cc(cc);
            run(&mut c, "eb18500000f2").unwrap();
            assert_eq!(c.g(1), v);
        }
        c.set_g(1, 7);
        c.set_cc(2);
        run(&mut c, "eb18500000f3").unwrap();
        assert_eq!(c.ram.read_u64(DATA) >> 32, 0x0102_0304);
        c.set_cc(0);
        run(&mut c, "eb18500000f3").unwrap();
        assert_eq!(c.ram.read_u64(DATA) >> 32, 7);
    }

    #[test]
    fn test_condition_and_access_exceptions() {
        let mut c = cpu();
        c.set_g(5, 1 << 20);
        c.set_cc(1);
        assert_interrupted(&mut c, "eb18500000f2", pgm::ADDRESSING);
        run(&mut c, "eb18500000f3").unwrap();
    }

    #[test]
    fn test_select() {
        let mut c = cpu();
        c.set_g(2, 2);
        c.set_g(3, 3);
        run(&mut c, "b9f03812").unwrap();
        assert_eq!(c.g(1), 2);
        c.set_cc(1);
        run(&mut c, "b9f03812").unwrap();
        assert_eq!(c.g(1), 3);
    }
}
