// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Control instructions around translation: asking for it, changing it, purging it; storage keys.

use s390_extint::Psw;

use crate::access::PAGE_MASK;
use crate::cpu::{pgm, Cpu, Exec, Flow, Trap};
use crate::dat::{cr0, Access, Space};
use crate::decode::Insn;
use crate::keys;
use crate::model::facility;

/// The address in R2 of an instruction that names real storage, as an absolute address.
fn real_block(c: &mut Cpu, r: u8) -> Result<u64, Trap> {
    let abs = c.prefixed(c.g(r) & c.addr_mask & PAGE_MASK);
    if !c.ram.contains(abs, 0x1000) {
        return Err(c.program(pgm::ADDRESSING));
    }
    Ok(abs)
}

/// The space that an address-space control as in the PSW means for an operand with this base
/// register.
fn space_of(address_space_control: u8, base: u8) -> Space {
    match address_space_control {
        0 => Space::Primary,
        1 => Space::Access(base & 15),
        2 => Space::Secondary,
        _ => Space::Home,
    }
}

/// LOAD REAL ADDRESS: 0 translated, 1 segment-table entry invalid, 2 page-table entry invalid
/// (the register gets the entry's address), 3 anything else (it gets the interruption code).
fn load_real_address(c: &mut Cpu, i: &Insn, wide: bool) -> Exec {
    let ea = c.ea(i);
    let space = space_of(c.address_space_control(), i.b);
    let (cc, value) = match c.probe(ea, space) {
        Ok(walk) => (0, walk.real),
        Err(e) => match e.code {
            pgm::ADDRESSING | pgm::TRANSLATION_SPECIFICATION => return Err(c.program(e.code)),
            pgm::SEGMENT_TRANSLATION if e.entry.is_some() => (1, e.entry.unwrap_or(0)),
            pgm::PAGE_TRANSLATION => (2, e.entry.unwrap_or(0)),
            code => (3, u64::from(code) | 0x8000_0000),
        },
    };
    if cc == 3 {
        c.set_g32(i.r1, value as u32);
    } else if wide || c.is_64bit() {
        c.set_g(i.r1, value);
    } else if value >> 31 != 0 {
        return Err(c.program(pgm::SPECIAL_OPERATION));
    } else {
        c.set_g32(i.r1, value as u32);
    }
    c.set_cc(cc);
    Ok(Flow::Next)
}

/// LOAD REAL ADDRESS (32, or 64 in the 64-bit mode).
pub(crate) fn lra(c: &mut Cpu, i: &Insn) -> Exec {
    load_real_address(c, i, false)
}

/// LOAD REAL ADDRESS (64).
pub(crate) fn lrag(c: &mut Cpu, i: &Insn) -> Exec {
    load_real_address(c, i, true)
}

/// LOAD USING REAL ADDRESS.
fn load_real(c: &mut Cpu, i: &Insn, len: usize) -> Result<u64, Trap> {
    let addr = c.g(i.r2) & c.addr_mask;
    if addr % len as u64 != 0 {
        return Err(c.specification());
    }
    let mut buf = [0; 8];
    c.read_space(Space::Real, addr, &mut buf[8 - len..])?;
    Ok(u64::from_be_bytes(buf))
}

/// LOAD USING REAL ADDRESS (32).
pub(crate) fn lura(c: &mut Cpu, i: &Insn) -> Exec {
    let v = load_real(c, i, 4)?;
    c.set_g32(i.r1, v as u32);
    Ok(Flow::Next)
}

/// LOAD USING REAL ADDRESS (64).
pub(crate) fn lurag(c: &mut Cpu, i: &Insn) -> Exec {
    let v = load_real(c, i, 8)?;
    c.set_g(i.r1, v);
    Ok(Flow::Next)
}

/// STORE USING REAL ADDRESS (32).
pub(crate) fn stura(c: &mut Cpu, i: &Insn) -> Exec {
    let addr = c.g(i.r2) & c.addr_mask;
    if addr % 4 != 0 {
        return Err(c.specification());
    }
    c.write_space(Space::Real, addr, &c.g32(i.r1).to_be_bytes())?;
    Ok(Flow::Next)
}

/// STORE USING REAL ADDRESS (64).
pub(crate) fn sturg(c: &mut Cpu, i: &Insn) -> Exec {
    let addr = c.g(i.r2) & c.addr_mask;
    if addr % 8 != 0 {
        return Err(c.specification());
    }
    c.write_space(Space::Real, addr, &c.g(i.r1).to_be_bytes())?;
    Ok(Flow::Next)
}

/// STORE REAL ADDRESS: where the second operand is, whether DAT is on or not.
pub(crate) fn strag(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, of) = (c.ea(i), c.ea2(i));
    if to % 8 != 0 {
        return Err(c.specification());
    }
    let space = space_of(c.address_space_control(), i.b2);
    let real = match c.probe(of, space) {
        Ok(walk) => walk.real,
        Err(e) => return Err(c.translation_exception(e.code, of, space, Access::Read)),
    };
    c.use_operand(i.b);
    c.write_u64(to, real)?;
    Ok(Flow::Next)
}

/// TEST PROTECTION: 0 fetch and store permitted, 1 only fetch, 2 neither, 3 not translated.
pub(crate) fn tprot(c: &mut Cpu, i: &Insn) -> Exec {
    let (ea, key) = (c.ea(i), (c.ea2(i) >> 4 & 15) as u8);
    c.use_operand(i.b);
    let cc = match c.examine_quietly(ea, Access::Write, key) {
        Ok(()) => 0,
        Err(pgm::PROTECTION) => match c.examine_quietly(ea, Access::Read, key) {
            Ok(()) => 1,
            Err(pgm::PROTECTION) => 2,
            Err(code) => return Err(c.program(code)),
        },
        Err(code @ (pgm::ADDRESSING | pgm::TRANSLATION_SPECIFICATION)) => {
            return Err(c.program(code));
        }
        Err(_) => 3,
    };
    c.set_cc(cc);
    Ok(Flow::Next)
}

/// PURGE TLB: of this CPU only.
pub(crate) fn ptlb(c: &mut Cpu, _: &Insn) -> Exec {
    c.flush_translations();
    Ok(Flow::Sync)
}

/// PURGE ALB: there is no access-list lookaside buffer.
pub(crate) fn palb(_: &mut Cpu, _: &Insn) -> Exec {
    Ok(Flow::Next)
}

/// Sets bits of the table entry at real address `at`.
fn invalidate(c: &mut Cpu, at: u64, bits: u64) -> Result<(), Trap> {
    if !c.ram.contains(at, 8) {
        return Err(c.program(pgm::ADDRESSING));
    }
    let e = c.ram.read_u64(at) | bits;
    c.ram.write(at, &e.to_be_bytes());
    Ok(())
}

/// INVALIDATE PAGE TABLE ENTRY.
pub(crate) fn ipte(c: &mut Cpu, i: &Insn) -> Exec {
    let index = c.g(i.r2) >> 12 & 0xff;
    let at = (c.g(i.r1) & !0x7ff).wrapping_add(index * 8);
    invalidate(c, at, 0x400)?;
    c.forget_page_index(index);
    c.flush_others();
    Ok(Flow::Sync)
}

/// INVALIDATE DAT TABLE ENTRY: region- and segment-table entries, or only clearing by ASCE.
pub(crate) fn idte(c: &mut Cpu, i: &Insn) -> Exec {
    const CLEAR_BY_ASCE: u64 = 0x800;
    const TYPE: u64 = 3;
    let (designation, operand) = (c.g(i.r1), c.g(i.r2));
    if operand & CLEAR_BY_ASCE == 0 {
        let level = designation >> 2 & TYPE;
        let index = operand >> (20 + 11 * level) & 0x7ff;
        let more = operand & 0x7ff;
        for n in index..=(index + more).min(0x7ff) {
            let at = (designation & PAGE_MASK).wrapping_add(n * 8);
            invalidate(c, at, 0x20)?;
        }
    }
    c.flush_translations();
    c.flush_others();
    Ok(Flow::Sync)
}

/// COMPARE AND SWAP AND PURGE.
fn compare_swap_purge(c: &mut Cpu, i: &Insn, len: u64) -> Exec {
    c.even(i.r1)?;
    let addr = c.g(i.r2) & c.addr_mask & !(len - 1);
    let (expected, new) = (c.g(i.r1), c.g(i.r1 | 1));
    c.use_operand(i.r2);
    let equal = if len == 8 {
        let old = c.compare_and_swap_u64(addr, expected, new)?;
        c.set_g(i.r1, old);
        old == expected
    } else {
        let old = c.compare_and_swap_u32(addr, expected as u32, new as u32)?;
        c.set_g32(i.r1, old);
        old == expected as u32
    };
    c.set_cc(u8::from(!equal));
    if equal && c.g(i.r2) & 3 != 0 {
        c.flush_translations();
        c.flush_others();
    }
    Ok(Flow::Sync)
}

/// COMPARE AND SWAP AND PURGE (32).
pub(crate) fn csp(c: &mut Cpu, i: &Insn) -> Exec {
    compare_swap_purge(c, i, 4)
}

/// COMPARE AND SWAP AND PURGE (64).
pub(crate) fn cspg(c: &mut Cpu, i: &Insn) -> Exec {
    compare_swap_purge(c, i, 8)
}

/// SET STORAGE KEY EXTENDED, with the conditional form of M3 (MR and MC; NQ and MB belong to
/// facilities that are not there).
pub(crate) fn sske(c: &mut Cpu, i: &Insn) -> Exec {
    let abs = real_block(c, i.r2)?;
    let new = c.g(i.r1) as u8 & keys::ALL;
    let m3 = if c.model.has(facility::CONDITIONAL_SSKE) {
        i.r3
    } else {
        0
    };
    let (skip_reference, skip_change) = (m3 & 4 != 0, m3 & 2 != 0);
    let old = c.ram.keys().get(abs);
    if skip_reference || skip_change {
        c.set_g(i.r1, c.g(i.r1) & !0xff00 | u64::from(old) << 8);
        let same_protection = old & 0xf8 == new & 0xf8;
        let reference_matters = !skip_reference && (old ^ new) & keys::REFERENCE != 0;
        let change_matters = !skip_change && (old ^ new) & keys::CHANGE != 0;
        if same_protection && !reference_matters && !change_matters {
            c.set_cc(0);
            return Ok(Flow::Next);
        }
        c.set_cc(1);
    }
    c.ram.keys().set(abs, new);
    c.flush_translations();
    c.flush_others();
    Ok(Flow::Sync)
}

/// INSERT STORAGE KEY EXTENDED.
pub(crate) fn iske(c: &mut Cpu, i: &Insn) -> Exec {
    let abs = real_block(c, i.r2)?;
    let key = c.ram.keys().get(abs);
    c.set_g(i.r1, c.g(i.r1) & !0xff | u64::from(key));
    Ok(Flow::Next)
}

/// What INSERT VIRTUAL STORAGE KEY and INSERT ADDRESS SPACE CONTROL want: DAT, and the
/// extraction authority in the problem state.
fn check_extraction(c: &mut Cpu) -> Result<(), Trap> {
    if !c.is_dat_on() {
        return Err(c.program(pgm::SPECIAL_OPERATION));
    }
    if c.is_problem_state() && c.crs[0] & cr0::EXTRACTION_AUTHORITY == 0 {
        return Err(c.program(pgm::PRIVILEGED));
    }
    Ok(())
}

/// INSERT VIRTUAL STORAGE KEY: access-control bits and fetch protection only.
pub(crate) fn ivsk(c: &mut Cpu, i: &Insn) -> Exec {
    check_extraction(c)?;
    let ea = c.g(i.r2) & c.addr_mask;
    c.use_operand(i.r2);
    // With key 0: this is not an access to what the key protects.
    let abs = c.examine(ea, Space::Operand, Access::Read, 0)?;
    let key = c.ram.keys().get(abs) & 0xf8;
    c.set_g(i.r1, c.g(i.r1) & !0xff | u64::from(key));
    Ok(Flow::Next)
}

/// RESET REFERENCE BIT EXTENDED: the condition code is reference and change bit before.
pub(crate) fn rrbe(c: &mut Cpu, i: &Insn) -> Exec {
    let abs = real_block(c, i.r2)?;
    let old = c.ram.keys().clear_bits(abs, keys::REFERENCE);
    c.set_cc(old >> 1 & 3);
    c.flush_translations();
    c.flush_others();
    Ok(Flow::Sync)
}

/// TEST BLOCK: the block is usable, and cleared.
pub(crate) fn tb(c: &mut Cpu, i: &Insn) -> Exec {
    let addr = c.g(i.r2) & c.addr_mask & PAGE_MASK;
    if c.is_low_protected_page(addr) {
        return Err(c.low_address_protection(addr));
    }
    let abs = real_block(c, i.r2)?;
    c.ram.write(abs, &[0; 0x1000]);
    c.set_cc(0);
    Ok(Flow::Sync)
}

/// SET ADDRESS SPACE CONTROL (FAST).
pub(crate) fn sac(c: &mut Cpu, i: &Insn) -> Exec {
    let mode = c.ea(i) >> 8 & 15;
    if !c.is_dat_on() || c.crs[0] & cr0::SECONDARY_SPACE == 0 {
        return Err(c.program(pgm::SPECIAL_OPERATION));
    }
    if mode == 3 && c.is_problem_state() {
        return Err(c.program(pgm::PRIVILEGED));
    }
    if mode > 3 {
        return Err(c.specification());
    }
    // Operand 0 primary, 1 secondary, 2 access register, 3 home; PSW 0, 2, 1, 3.
    let asc = [0, 2, 1, 3][mode as usize];
    c.psw_mask = c.psw_mask & !Psw::ADDRESS_SPACE | asc << 46;
    c.psw_mask_changed();
    Ok(Flow::Sync)
}

/// INSERT ADDRESS SPACE CONTROL.
pub(crate) fn iac(c: &mut Cpu, i: &Insn) -> Exec {
    check_extraction(c)?;
    let mode = [0, 2, 1, 3][usize::from(c.address_space_control())];
    c.set_g(i.r1, c.g(i.r1) & !0xff00 | u64::from(mode) << 8);
    c.set_cc(mode);
    Ok(Flow::Next)
}

/// What MOVE WITH OPTIONAL SPECIFICATIONS and its like know of one operand.
fn operand_access(c: &mut Cpu, control: u16, base: u8) -> Result<(Space, u8), Trap> {
    let key = if control & 2 != 0 {
        (control >> 12) as u8
    } else {
        c.psw_key()
    };
    let asc = if control & 1 != 0 {
        (control >> 6 & 3) as u8
    } else {
        c.address_space_control()
    };
    if c.is_problem_state() {
        if asc == 3 && control & 1 != 0 {
            return Err(c.program(pgm::SPECIAL_OPERATION));
        }
        check_key_authority(c, key, control & 2 != 0)?;
    }
    Ok((space_of(asc, base), key))
}

/// In the problem state the PSW-key mask of control register 3 says which keys may be used.
fn check_key_authority(c: &mut Cpu, key: u8, named: bool) -> Result<(), Trap> {
    if named && c.is_problem_state() && c.crs[3] & (0x8000_0000 >> key) == 0 {
        return Err(c.program(pgm::PRIVILEGED));
    }
    Ok(())
}

/// A space, an access key, and an address.
type Place = (Space, u8, u64);

/// Moves at most 4096 bytes between spaces. Nothing is stored unless all can be.
fn move_between(c: &mut Cpu, to: Place, from: Place, len: usize) -> Result<(), Trap> {
    fn through(c: &mut Cpu, to: Place, from: Place, buf: &mut [u8]) -> Result<(), Trap> {
        c.read_with_key(from.0, from.1, from.2, buf)?;
        c.write_with_key(to.0, to.1, to.2, buf)
    }
    match len {
        0 => Ok(()),
        1..=256 => through(c, to, from, &mut [0; 256][..len]),
        _ => through(c, to, from, &mut [0; 4096][..len]),
    }
}

/// What an instruction that moves between spaces does with the length it was given: how many
/// bytes it moves, and the condition code, 3 where that is not all.
fn limited(c: &mut Cpu, r: u8, limit: u64) -> (usize, u8) {
    let len = if c.is_64bit() {
        c.g(r)
    } else {
        c.g32(r).into()
    };
    (len.min(limit) as usize, if len > limit { 3 } else { 0 })
}

/// MOVE WITH OPTIONAL SPECIFICATIONS: up to 4096 bytes between spaces and keys that general
/// register 0 names; condition code 3 where there are more.
pub(crate) fn mvcos(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    if !c.is_dat_on() || c.crs[0] & cr0::SECONDARY_SPACE == 0 {
        return Err(c.program(pgm::SPECIAL_OPERATION));
    }
    let controls = c.g32(0);
    let (to_space, to_key) = operand_access(c, (controls >> 16) as u16, i.b)?;
    let (from_space, from_key) = operand_access(c, controls as u16, i.b2)?;
    let (len, cc) = limited(c, i.r3, 4096);
    move_between(c, (to_space, to_key, to), (from_space, from_key, from), len)?;
    c.set_cc(cc);
    Ok(Flow::Next)
}

/// MOVE TO PRIMARY and MOVE TO SECONDARY: up to 256 bytes, the true length is in R1, the key for
/// the secondary space in R3.
fn move_primary_secondary(c: &mut Cpu, i: &Insn, to_primary: bool) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    if !c.is_dat_on()
        || c.crs[0] & cr0::SECONDARY_SPACE == 0
        || !matches!(c.address_space_control(), 0 | 2)
    {
        return Err(c.program(pgm::SPECIAL_OPERATION));
    }
    let key = (c.g(i.r3) >> 4 & 15) as u8;
    check_key_authority(c, key, true)?;
    let (len, cc) = limited(c, i.r1, 256);
    let primary = (Space::Primary, c.psw_key());
    let secondary = (Space::Secondary, key);
    let (t, f) = if to_primary {
        (primary, secondary)
    } else {
        (secondary, primary)
    };
    move_between(c, (t.0, t.1, to), (f.0, f.1, from), len)?;
    c.set_cc(cc);
    Ok(Flow::Next)
}

/// MOVE TO PRIMARY.
pub(crate) fn mvcp(c: &mut Cpu, i: &Insn) -> Exec {
    move_primary_secondary(c, i, true)
}

/// MOVE TO SECONDARY.
pub(crate) fn mvcs(c: &mut Cpu, i: &Insn) -> Exec {
    move_primary_secondary(c, i, false)
}

/// The spaces of the first and the second operand.
fn operand_spaces(c: &mut Cpu, i: &Insn) -> (Space, Space) {
    let mut space = |base| {
        c.use_operand(base);
        c.operand_space()
    };
    (space(i.b), space(i.b2))
}

/// MOVE WITH KEY: the second operand is fetched with the key in R3.
pub(crate) fn mvck(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    let key = (c.g(i.r3) >> 4 & 15) as u8;
    check_key_authority(c, key, true)?;
    let (len, cc) = limited(c, i.r1, 256);
    let (to_space, from_space) = operand_spaces(c, i);
    let to_key = c.psw_key();
    move_between(c, (to_space, to_key, to), (from_space, key, from), len)?;
    c.set_cc(cc);
    Ok(Flow::Next)
}

/// MOVE WITH SOURCE KEY and MOVE WITH DESTINATION KEY: key in general register 1, length in 0.
fn move_keyed(c: &mut Cpu, i: &Insn, source_key: bool) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    let key = (c.g(1) >> 4 & 15) as u8;
    check_key_authority(c, key, true)?;
    let len = usize::from(c.g(0) as u8) + 1;
    let mine = c.psw_key();
    let (to_key, from_key) = if source_key { (mine, key) } else { (key, mine) };
    let (to_space, from_space) = operand_spaces(c, i);
    move_between(c, (to_space, to_key, to), (from_space, from_key, from), len)?;
    Ok(Flow::Next)
}

/// MOVE WITH SOURCE KEY.
pub(crate) fn mvcsk(c: &mut Cpu, i: &Insn) -> Exec {
    move_keyed(c, i, true)
}

/// MOVE WITH DESTINATION KEY.
pub(crate) fn mvcdk(c: &mut Cpu, i: &Insn) -> Exec {
    move_keyed(c, i, false)
}

#[cfg(test)]
mod tests;
