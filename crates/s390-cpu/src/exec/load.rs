// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: loads, insertions, and what only moves data between registers.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::exec::compare::COMPARE_AND_TRAP;
use crate::exec::operand::{self, operations};

macro_rules! loads {
    ($($name:ident: $t:ty, $set:ident, $v:ident => $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn, $v: $t) -> Exec {
            c.$set(i.r1, $value);
            Ok(Flow::Next)
        }
    )*};
}

loads! {
    load32: u32, set_g32, v => v;
    load64: u64, set_g, v => v;
    load_high: u32, set_high, v => v;
    load_address: u64, set_g_address, v => v;
    reverse16: u16, set_g16, v => v.swap_bytes();
    reverse32: u32, set_g32, v => v.swap_bytes();
    reverse64: u64, set_g, v => v.swap_bytes();
    without_last_byte32: u32, set_g32, v => v & !0xff;
    without_last_byte64: u64, set_g, v => v & !0xff;
    insert8: u8, set_g8, v => v;
}

#[inline(always)]
fn load_and_test32(c: &mut Cpu, i: &Insn, v: u32) -> Exec {
    c.cc = LazyCc::signed32(v, 0);
    load32(c, i, v)
}

#[inline(always)]
fn load_and_test64(c: &mut Cpu, i: &Insn, v: u64) -> Exec {
    c.cc = LazyCc::signed64(v, 0);
    load64(c, i, v)
}

/// LOAD AND TRAP: zero is loaded too.
macro_rules! load_and_trap {
    ($($name:ident: $t:ty, $load:ident;)*) => {$(
        fn $name(c: &mut Cpu, i: &Insn, v: $t) -> Exec {
            $load(c, i, v)?;
            if v == 0 {
                return Err(c.data(COMPARE_AND_TRAP));
            }
            Ok(Flow::Next)
        }
    )*};
}

load_and_trap! {
    load_and_trap32: u32, load32;
    load_and_trap64: u64, load64;
    load_high_and_trap: u32, load_high;
}

operations! {
    // LOAD, LOAD RELATIVE LONG
    lr = load32(w2);
    lgr = load64(g2);
    lgfr = load64(w2s64);
    l = load32(mem32);
    lg = load64(mem64);
    lgf = load64(mem32s64);
    lrl = load32(rel32);
    lgrl = load64(rel64);
    lgfrl = load64(rel32s64);

    // LOAD AND TEST, LOAD AND TRAP
    ltr = load_and_test32(w2);
    ltgr = load_and_test64(g2);
    ltgfr = load_and_test64(w2s64);
    lt = load_and_test32(mem32);
    ltg = load_and_test64(mem64);
    ltgf = load_and_test64(mem32s64);
    lat = load_and_trap32(mem32);
    lgat = load_and_trap64(mem64);
    llgfat = load_and_trap64(mem32z64);
    llgtat = load_and_trap64(mem31);
    lfhat = load_high_and_trap(mem32);

    // LOAD BYTE, LOAD HALFWORD, their RELATIVE LONG and HIGH forms
    lbr = load32(w2_8s32);
    lgbr = load64(g2_8s64);
    lb = load32(mem8s32);
    lgb = load64(mem8s64);
    lbh = load_high(mem8s32);
    lhr = load32(w2_16s32);
    lghr = load64(g2_16s64);
    lh = load32(mem16s32);
    lgh = load64(mem16s64);
    lhh = load_high(mem16s32);
    lhrl = load32(rel16s32);
    lghrl = load64(rel16s64);
    lfh = load_high(mem32);

    // LOAD LOGICAL, its THIRTY ONE BITS, CHARACTER, HALFWORD, RELATIVE LONG and HIGH forms
    llgfr = load64(w2z64);
    llgf = load64(mem32z64);
    llgfrl = load64(rel32z64);
    llgtr = load64(g2_31);
    llgt = load64(mem31);
    llcr = load32(w2_8z32);
    llgcr = load64(g2_8z64);
    llc = load32(mem8z32);
    llgc = load64(mem8z64);
    llch = load_high(mem8z32);
    llhr = load32(w2_16z32);
    llghr = load64(g2_16z64);
    llh = load32(mem16z32);
    llgh = load64(mem16z64);
    llhh = load_high(mem16z32);
    llhrl = load32(rel16z32);
    llghrl = load64(rel16z64);

    // LOAD AND ZERO RIGHTMOST BYTE
    lzrf = without_last_byte32(mem32);
    lzrg = without_last_byte64(mem64);
    llzrgf = without_last_byte64(mem32z64);

    // LOAD (HALFWORD) IMMEDIATE, LOAD LOGICAL IMMEDIATE
    lhi = load32(imm32);
    lgfi = load64(imm64);
    llihf = load64(imm_hf);
    llilf = load64(imm32z64);
    llihh = load64(imm_hh);
    llihl = load64(imm_hl);
    llilh = load64(imm_lh);
    llill = load64(imm16z64);

    // LOAD REVERSED
    lrvr = reverse32(w2);
    lrvgr = reverse64(g2);
    lrvh = reverse16(mem16);
    lrv = reverse32(mem32);
    lrvg = reverse64(mem64);

    // LOAD ADDRESS (RELATIVE LONG)
    la = load_address(address);
    larl = load_address(relative_address);

    // INSERT CHARACTER, INSERT IMMEDIATE
    ic = insert8(mem8);
    iihf = load_high(imm32);
    iilf = load32(imm32);
}

/// INSERT IMMEDIATE of 16 bits.
macro_rules! insert_halfwords {
    ($($name:ident, $shift:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            let kept = c.g(i.r1) & !(0xffff << $shift);
            c.set_g(i.r1, kept | u64::from(i.imm as u16) << $shift);
            Ok(Flow::Next)
        }
    )*};
}

insert_halfwords! {
    iihh, 48;
    iihl, 32;
    iilh, 16;
    iill, 0;
}

#[cfg(test)]
mod tests {
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run, DATA};

    #[test]
    fn test_load_and_trap_loads_zero() {
        let mut c = cpu();
        c.set_g(1, u64::MAX);
        c.set_g(5, DATA);
        assert_interrupted(&mut c, "e3105000009f", pgm::DATA);
        assert_eq!(c.g(1), 0xffff_ffff_0000_0000);
    }

    #[test]
    fn test_narrow_loads_keep_the_rest() {
        let mut c = cpu();
        c.ram.write(DATA, &[0x12, 0x34]);
        c.set_g(1, u64::MAX);
        c.set_g(5, DATA);
        run(&mut c, "e3105000001f").unwrap();
        assert_eq!(c.g(1), 0xffff_ffff_ffff_3412);
        run(&mut c, "43105000").unwrap();
        assert_eq!(c.g(1), 0xffff_ffff_ffff_3412 & !0xff | 0x12);
        run(&mut c, "a5100001 a5130002").unwrap();
        assert_eq!(c.g(1), 0x0001_ffff_ffff_0002);
    }

    #[test]
    fn test_load_address_depends_on_the_mode() {
        let mut c = cpu();
        c.set_g(2, u64::MAX);
        c.set_g(3, 2);
        run(&mut c, "41123000").unwrap();
        assert_eq!(c.g(1), 1);
        c.set_g(1, u64::MAX);
        c.set_g(2, 0xffff_ffff);
        // In the 31-bit mode only the right word changes, and bit 32 becomes zero.
        run(&mut c, "010d 41123000 010e").unwrap();
        assert_eq!(c.g(1), 0xffff_ffff_0000_0001);
    }
}
