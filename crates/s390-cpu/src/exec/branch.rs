// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: branches.

use s390_extint::Psw;

use crate::cc::order;
use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::exec::compare::selects;
use crate::exec::operand;

/// A relative branch: its target is in `imm`.
#[inline(always)]
fn taken_if(condition: bool) -> Exec {
    Ok(if condition { Flow::Taken } else { Flow::Next })
}

/// A branch to an address from registers.
#[inline(always)]
fn jump_if(c: &mut Cpu, condition: bool, target: u64) -> Exec {
    c.jump = target & c.addr_mask;
    Ok(if condition { Flow::Jump } else { Flow::Next })
}

/// BRANCH RELATIVE ON CONDITION with mask 15.
#[inline(always)]
pub(crate) fn jump(_: &mut Cpu, _: &Insn) -> Exec {
    Ok(Flow::Taken)
}

/// BRANCH ON CONDITION (register) with mask 15.
#[inline(always)]
pub(crate) fn jump_register(c: &mut Cpu, i: &Insn) -> Exec {
    jump_if(c, true, c.g(i.r2))
}

/// BRANCH ON CONDITION (register) with mask 14 or 15 and R2 0: serialization. Storage accesses
/// of this CPU before it come before those after it, and instructions that others stored are
/// seen from here on.
pub(crate) fn serialize(c: &mut Cpu, _: &Insn) -> Exec {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    Ok(if c.shared.attention.any() {
        Flow::Sync
    } else {
        Flow::Next
    })
}

/// BRANCH ON CONDITION (register). The decoder took care of R2 0, which does not branch.
#[inline(always)]
pub(crate) fn bcr(c: &mut Cpu, i: &Insn) -> Exec {
    let cc = c.cc.get();
    jump_if(c, selects(i.r1, cc), c.g(i.r2))
}

/// BRANCH ON CONDITION.
#[inline(always)]
pub(crate) fn bc(c: &mut Cpu, i: &Insn) -> Exec {
    let cc = c.cc.get();
    jump_if(c, selects(i.r1, cc), c.ea(i))
}

/// BRANCH INDIRECT ON CONDITION.
pub(crate) fn bic(c: &mut Cpu, i: &Insn) -> Exec {
    if !selects(i.r1, c.cc.get()) {
        return Ok(Flow::Next);
    }
    let target = c.read_u64(c.ea(i))?;
    jump_if(c, true, target)
}

/// BRANCH RELATIVE ON CONDITION (LONG).
#[inline(always)]
pub(crate) fn brc(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(selects(i.r1, c.cc.get()))
}

/// BRANCH RELATIVE AND SAVE (LONG).
#[inline(always)]
pub(crate) fn bras(c: &mut Cpu, i: &Insn) -> Exec {
    let link = c.link_addr(i);
    c.set_g_address(i.r1, link);
    Ok(Flow::Taken)
}

/// BRANCH AND SAVE.
pub(crate) fn bas(c: &mut Cpu, i: &Insn) -> Exec {
    let (target, link) = (c.ea(i), c.link_addr(i));
    c.set_g_address(i.r1, link);
    jump_if(c, true, target)
}

/// BRANCH AND SAVE (register): R2 0 only saves.
#[inline(always)]
pub(crate) fn basr(c: &mut Cpu, i: &Insn) -> Exec {
    let (target, link) = (c.g(i.r2), c.link_addr(i));
    c.set_g_address(i.r1, link);
    jump_if(c, i.r2 != 0, target)
}

/// What BRANCH AND LINK saves: in the 24-bit mode also the length of the instruction, condition
/// code and program mask.
fn link_information(c: &Cpu, i: &Insn) -> u64 {
    let link = c.link_addr(i);
    if c.psw_mask & (Psw::EXTENDED | Psw::BASIC) != 0 {
        return link;
    }
    let program_mask = (c.psw_mask & Psw::PROGRAM_MASK) >> 40;
    u64::from(i.ilc / 2) << 30 | u64::from(c.cc.get()) << 28 | program_mask << 24 | link
}

/// BRANCH AND LINK.
pub(crate) fn bal(c: &mut Cpu, i: &Insn) -> Exec {
    let (target, link) = (c.ea(i), link_information(c, i));
    c.set_g_address(i.r1, link);
    jump_if(c, true, target)
}

/// BRANCH AND LINK (register): R2 0 only links.
pub(crate) fn balr(c: &mut Cpu, i: &Insn) -> Exec {
    let (target, link) = (c.g(i.r2), link_information(c, i));
    c.set_g_address(i.r1, link);
    jump_if(c, i.r2 != 0, target)
}

/// BRANCH AND SAVE AND SET MODE: the addressing mode goes into the link and comes with R2.
pub(crate) fn bassm(c: &mut Cpu, i: &Insn) -> Exec {
    let target = c.g(i.r2);
    let link = c.link_addr(i) | u64::from(c.is_64bit());
    c.set_g_address(i.r1, link);
    branch_and_set_mode(c, i, target)
}

/// BRANCH AND SET MODE: saves the addressing mode in R1 unless that is 0.
pub(crate) fn bsm(c: &mut Cpu, i: &Insn) -> Exec {
    let target = c.g(i.r2);
    if i.r1 != 0 {
        let v = c.g(i.r1);
        match c.psw_mask & (Psw::EXTENDED | Psw::BASIC) {
            0 => c.set_g(i.r1, v & !0x8000_0000),
            Psw::BASIC => c.set_g(i.r1, v | 0x8000_0000),
            _ => c.set_g(i.r1, v | 1),
        }
    }
    branch_and_set_mode(c, i, target)
}

/// Branches to `target` in the mode that it tells: bit 63 the 64-bit mode, otherwise bit 32 the
/// 31-bit mode. R2 0 does neither.
fn branch_and_set_mode(c: &mut Cpu, i: &Insn, target: u64) -> Exec {
    if i.r2 == 0 {
        return Ok(Flow::Next);
    }
    let (mode, target) = if target & 1 != 0 {
        (Psw::EXTENDED | Psw::BASIC, target & !1)
    } else if target & 0x8000_0000 != 0 {
        (Psw::BASIC, target & 0x7fff_ffff)
    } else {
        (0, target & 0x00ff_ffff)
    };
    set_mode(c, mode);
    c.psw_addr = target;
    Ok(Flow::NewPsw)
}

fn set_mode(c: &mut Cpu, mode: u64) {
    c.psw_mask = c.psw_mask & !(Psw::EXTENDED | Psw::BASIC) | mode;
    c.psw_mask_changed();
}

/// SET ADDRESSING MODE: the next instruction must have an address that the mode can express.
fn set_addressing_mode(c: &mut Cpu, i: &Insn, mode: u64, addr_mask: u64) -> Exec {
    let next = c.next_addr(i);
    if next & !addr_mask != 0 {
        return Err(c.specification());
    }
    set_mode(c, mode);
    c.psw_addr = next;
    Ok(Flow::NewPsw)
}

/// SET ADDRESSING MODE (24).
pub(crate) fn sam24(c: &mut Cpu, i: &Insn) -> Exec {
    set_addressing_mode(c, i, 0, 0x00ff_ffff)
}

/// SET ADDRESSING MODE (31).
pub(crate) fn sam31(c: &mut Cpu, i: &Insn) -> Exec {
    set_addressing_mode(c, i, Psw::BASIC, 0x7fff_ffff)
}

/// SET ADDRESSING MODE (64).
pub(crate) fn sam64(c: &mut Cpu, i: &Insn) -> Exec {
    set_addressing_mode(c, i, Psw::EXTENDED | Psw::BASIC, u64::MAX)
}

/// Counts R1 (`$get`, `$set`) down; `true` until it is zero.
macro_rules! counts {
    ($($name:ident: $get:ident, $set:ident;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn) -> bool {
            let n = c.$get(i.r1).wrapping_sub(1);
            c.$set(i.r1, n);
            n != 0
        }
    )*};
}

counts! {
    count32: g32, set_g32;
    count64: g, set_g;
    count_high: high, set_high;
}

/// BRANCH RELATIVE ON COUNT (32).
#[inline(always)]
pub(crate) fn brct(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(count32(c, i))
}

/// BRANCH RELATIVE ON COUNT (64).
#[inline(always)]
pub(crate) fn brctg(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(count64(c, i))
}

/// BRANCH RELATIVE ON COUNT HIGH.
pub(crate) fn brcth(c: &mut Cpu, i: &Insn) -> Exec {
    taken_if(count_high(c, i))
}

/// BRANCH ON COUNT (32).
pub(crate) fn bct(c: &mut Cpu, i: &Insn) -> Exec {
    let target = c.ea(i);
    let condition = count32(c, i);
    jump_if(c, condition, target)
}

/// BRANCH ON COUNT (64).
pub(crate) fn bctg(c: &mut Cpu, i: &Insn) -> Exec {
    let target = c.ea(i);
    let condition = count64(c, i);
    jump_if(c, condition, target)
}

/// BRANCH ON COUNT (32, register): R2 0 only counts.
pub(crate) fn bctr(c: &mut Cpu, i: &Insn) -> Exec {
    let target = c.g(i.r2);
    let condition = count32(c, i) && i.r2 != 0;
    jump_if(c, condition, target)
}

/// BRANCH ON COUNT (64, register): R2 0 only counts.
pub(crate) fn bctgr(c: &mut Cpu, i: &Insn) -> Exec {
    let target = c.g(i.r2);
    let condition = count64(c, i) && i.r2 != 0;
    jump_if(c, condition, target)
}

/// Adds R3 to R1 and tells whether the sum is above the odd register of the pair that R3 is in.
macro_rules! indexes {
    ($($name:ident: $signed:ty, $get:ident, $set:ident;)*) => {$(
        #[inline(always)]
        fn $name(c: &mut Cpu, i: &Insn) -> bool {
            let limit = c.$get(i.r3 | 1) as $signed;
            let sum = c.$get(i.r1).wrapping_add(c.$get(i.r3));
            c.$set(i.r1, sum);
            sum as $signed > limit
        }
    )*};
}

indexes! {
    index32: i32, g32, set_g32;
    index64: i64, g, set_g;
}

/// BRANCH (RELATIVE) ON INDEX HIGH, BRANCH (RELATIVE) ON INDEX LOW OR EQUAL.
macro_rules! index_branches {
    ($($relative:ident, $absolute:ident: $index:ident, $high:literal;)*) => {$(
        pub(crate) fn $relative(c: &mut Cpu, i: &Insn) -> Exec {
            taken_if($index(c, i) == $high)
        }

        pub(crate) fn $absolute(c: &mut Cpu, i: &Insn) -> Exec {
            let target = c.ea(i);
            let condition = $index(c, i) == $high;
            jump_if(c, condition, target)
        }
    )*};
}

index_branches! {
    brxh, bxh: index32, true;
    brxle, bxle: index32, false;
    brxhg, bxhg: index64, true;
    brxlg, bxleg: index64, false;
}

/// COMPARE (LOGICAL) (IMMEDIATE) AND BRANCH (RELATIVE): the mask is in `m`. In the form that is
/// not relative the target is the storage operand address.
macro_rules! compare_and_branch {
    ($($relative:ident, $absolute:ident: $a:ident, $b:ident, $absolute_b:ident as $t:ty;)*) => {$(
        #[inline(always)]
        pub(crate) fn $relative(c: &mut Cpu, i: &Insn) -> Exec {
            let (a, b) = (operand::$a(c, i)? as $t, operand::$b(c, i)? as $t);
            taken_if(selects(i.m, order(a, b)))
        }

        pub(crate) fn $absolute(c: &mut Cpu, i: &Insn) -> Exec {
            let (a, b) = (operand::$a(c, i)? as $t, operand::$absolute_b(c, i)? as $t);
            jump_if(c, selects(i.m, order(a, b)), c.ea(i))
        }
    )*};
}

compare_and_branch! {
    crj, crb: w1, w2, w2 as i32;
    cgrj, cgrb: g1, g2, g2 as i64;
    clrj, clrb: w1, w2, w2 as u32;
    clgrj, clgrb: g1, g2, g2 as u64;
    cij, cib: w1, imm8c_s32, imm32 as i32;
    cgij, cgib: g1, imm8c_s64, imm64 as i64;
    clij, clib: w1, imm8c_z32, imm8z32 as u32;
    clgij, clgib: g1, imm8c_z64, imm8z64 as u64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run, CODE};

    #[test]
    fn test_target_register_is_read_before_it_is_changed() {
        let mut c = cpu();
        c.set_g(1, 0x3000);
        run(&mut c, "0d11").unwrap();
        assert_eq!((c.psw_addr, c.g(1)), (0x3000, CODE + 2));
        c.set_g(1, 0x3000);
        run(&mut c, "0611").unwrap();
        assert_eq!((c.psw_addr, c.g(1)), (0x3000, 0x2fff));
    }

    #[test]
    fn test_register_0_does_not_branch() {
        let mut c = cpu();
        c.set_g(0, 0x3000);
        for text in ["0610", "0510", "0d10", "0c10", "0b10", "07f0"] {
            run(&mut c, text).unwrap();
            assert_eq!(c.psw_addr, CODE + 2, "{text}");
        }
    }

    #[test]
    fn test_index_branches() {
        let mut c = cpu();
        // An even R3 has its limit in the odd register of the pair, an odd R3 is its own limit.
        c.set_g(1, 5);
        c.set_g(2, 1);
        c.set_g(3, 6);
        run(&mut c, "86120000").unwrap();
        assert_eq!((c.psw_addr, c.g(1)), (CODE + 4, 6));
        run(&mut c, "86120000").unwrap();
        assert_eq!((c.psw_addr, c.g(1)), (0, 7));
        c.set_g(1, 0);
        c.set_g(3, 2);
        run(&mut c, "87130000").unwrap();
        assert_eq!((c.psw_addr, c.g(1)), (0, 2));
        run(&mut c, "87130000").unwrap();
        assert_eq!((c.psw_addr, c.g(1)), (CODE + 4, 4));
        // R1 may be the limit, too: what it was before counts.
        c.set_g(3, 5);
        c.set_g(2, 1);
        run(&mut c, "86320000").unwrap();
        assert_eq!((c.psw_addr, c.g(3)), (0, 6));
    }

    #[test]
    fn test_link_information_in_each_mode() {
        let mut c = cpu();
        c.set_g(2, CODE + 2);
        c.set_g(1, u64::MAX);
        run(&mut c, "0512").unwrap();
        assert_eq!(c.g(1), CODE + 2);
        c.set_g(1, u64::MAX);
        run(&mut c, "010d 0512 010e").unwrap();
        assert_eq!(c.g(1), 0xffff_ffff_8000_0000 | (CODE + 4));
        c.set_g(3, 0x2900_0000);
        run(&mut c, "0430 010c 0512 010e").unwrap();
        // Length 2, condition code 2, program mask 9.
        assert_eq!(c.g(1), 0xffff_ffff_6900_0000 | (CODE + 6));
    }

    #[test]
    fn test_branch_and_set_mode() {
        let mut c = cpu();
        c.set_g(1, 2);
        c.set_g(2, 0x8000_3000);
        run(&mut c, "0b12").unwrap();
        assert_eq!((c.psw_addr, c.addr_mask, c.g(1)), (0x3000, 0x7fff_ffff, 3));
        c.set_g(2, 0x4001);
        run(&mut c, "0c12").unwrap();
        assert_eq!((c.psw_addr, c.addr_mask), (0x4000, u64::MAX));
        assert_eq!(c.g(1), 0x8000_0000 | (CODE + 2));
    }

    #[test]
    fn test_mode_that_cannot_express_the_address() {
        let mut c = cpu();
        c.psw_addr = 0x100_0000;
        c.place.addr = c.psw_addr;
        let insn = crate::decode::decode(0x010c_0000_0000, &c.decode_context(c.psw_addr), |_| true);
        assert!(sam24(&mut c, &insn).is_err());
        assert_eq!(c.addr_mask, u64::MAX);
        assert!(sam31(&mut c, &insn).is_ok());
    }

    #[test]
    fn test_compare_and_branch() {
        let mut c = cpu();
        c.set_g(1, u64::MAX);
        c.set_g(2, 1);
        run(&mut c, "ec1200044076").unwrap();
        assert_eq!(c.psw_addr, CODE + 8);
        run(&mut c, "ec1200044077").unwrap();
        assert_eq!(c.psw_addr, CODE + 6);
        // CLIJ with 0xff: the immediate is unsigned.
        c.set_g(1, 0xff);
        run(&mut c, "ec180004ff7f").unwrap();
        assert_eq!(c.psw_addr, CODE + 8);
    }

    #[test]
    fn test_odd_target() {
        let mut c = cpu();
        c.set_g(2, 0x2001);
        run(&mut c, "07f2").unwrap();
        assert_eq!(
            crate::testing::step(&mut c).unwrap_err().code,
            pgm::SPECIFICATION
        );
        assert_interrupted(&mut c, "44002000", pgm::SPECIFICATION);
    }
}
