// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Dynamic address translation, prefixing and protection (Principles of Operation, chapter 3).

use std::time::Duration;

use s390_extint::Psw;

use crate::access::PAGE_MASK;
use crate::cpu::{pgm, Cpu, Fault, ProgramInterruption, Trap};
use crate::decode::Context;
use crate::keys;
use crate::shared::Attention;

/// What a translation is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Fetch,
}

/// Which address space an address is in.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// Where the PSW says that storage operands are.
    Operand,
    /// Where the PSW says that instructions are.
    Instruction,
    Primary,
    Secondary,
    Home,
    /// Selected by this access register.
    Access(u8),
    /// Real storage, whatever the PSW says.
    Real,
}

/// Bits of control register 0.
pub(crate) mod cr0 {
    /// Bit 36: extraction authority.
    pub(crate) const EXTRACTION_AUTHORITY: u64 = 0x0800_0000;
    /// Bit 35: low-address protection.
    pub(crate) const LOW_ADDRESS_PROTECTION: u64 = 0x1000_0000;
    /// Bit 37: secondary-space control.
    pub(crate) const SECONDARY_SPACE: u64 = 0x0400_0000;
    /// Bit 38: fetch-protection override for the first 2 KiB.
    pub(crate) const FETCH_PROTECTION_OVERRIDE: u64 = 0x0200_0000;
    /// Bit 45: AFP-register control.
    pub(crate) const AFP_REGISTERS: u64 = 0x4_0000;
}

/// Address-space-control element.
mod asce {
    pub(super) const ORIGIN: u64 = !0xfff;
    /// Bit 55: private space; neither low-address protection nor fetch-protection override.
    pub(super) const PRIVATE: u64 = 0x100;
    /// Bit 58: real space.
    pub(super) const REAL: u64 = 0x20;
    /// Bits 60 and 61: 3 region-first, 2 region-second, 1 region-third, 0 segment table.
    pub(super) const TYPE: u64 = 0x0c;
    /// Bits 62 and 63: table length.
    pub(super) const LENGTH: u64 = 0x03;
    /// Stands for "DAT off" where an ASCE is expected.
    pub(super) const NO_DAT: u64 = u64::MAX;
}

/// Region- and segment-table entry, page-table entry.
mod entry {
    pub(super) const REGION_ORIGIN: u64 = !0xfff;
    pub(super) const TABLE_OFFSET: u64 = 0xc0;
    pub(super) const INVALID: u64 = 0x20;
    pub(super) const TYPE: u64 = 0x0c;
    pub(super) const LENGTH: u64 = 0x03;
    pub(super) const PAGE_TABLE_ORIGIN: u64 = !0x7ff;
    pub(super) const COMMON_SEGMENT: u64 = 0x10;
    /// In segment- and page-table entries.
    pub(super) const PROTECT: u64 = 0x200;
    pub(super) const PAGE_INVALID: u64 = 0x400;
    pub(super) const PAGE_MUST_BE_ZERO: u64 = 0x800;
}

/// Translation-exception identification: what is in it beside address and space.
mod teid {
    use super::Access;

    /// Why an access is not permitted, bits 56, 60 and 61 (enhanced suppression on protection).
    pub(super) const LOW_ADDRESS: u64 = 0x80;
    pub(super) const KEY: u64 = 0x08;
    pub(super) const DAT: u64 = 0x04;

    /// Bits 52 and 53: fetch or store.
    pub(super) const fn indication(access: Access) -> u64 {
        match access {
            Access::Write => 0x400,
            Access::Read | Access::Fetch => 0x800,
        }
    }
}

/// A successful walk through the translation tables.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The real address.
    pub(crate) real: u64,
    /// DAT protection forbids stores.
    pub(crate) protected: bool,
}

/// Why a walk ended early.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct WalkError {
    /// Program interruption code.
    pub(crate) code: u16,
    /// Real address of the invalid segment- or page-table entry, if it was that.
    pub(crate) entry: Option<u64>,
}

/// Numbers for address spaces, so that the translation lookaside buffer can tell them apart
/// without being flushed when the CPU changes spaces.
#[derive(Debug)]
pub(crate) struct Spaces {
    /// ASCE and access key, newest first.
    known: [((u64, u8), u64); 16],
    next: u64,
    /// Counts how often the numbers were given out anew.
    generation: u16,
}

/// Numbers are the low 12 bits of a tag; the last ones are never given out.
const LAST_ASN: u64 = 0xff0;
/// The number of a space whose accesses are never fast.
pub(crate) const NEVER_FAST: u64 = 0xffe;

impl Spaces {
    pub(crate) fn new() -> Self {
        Spaces {
            known: [((0, 0xff), 0); 16],
            next: 1,
            generation: 0,
        }
    }

    /// Whether another number can be given out, and one more.
    fn has_room(&self) -> bool {
        self.next + 1 < LAST_ASN
    }

    fn start_anew(&mut self) {
        let generation = self.generation.wrapping_add(1);
        *self = Spaces {
            generation,
            ..Spaces::new()
        };
    }
}

impl Cpu {
    /// Recomputes what translation derives from the PSW and the control registers.
    pub(crate) fn update_translation(&mut self) {
        if !self.spaces.has_room() {
            self.spaces.start_anew();
            self.flush_translations();
        }
        let operands = match self.operand_space() {
            Space::Access(_) => NEVER_FAST,
            space => self.asn(space, self.psw_key()),
        };
        let instructions = self.asn(Space::Instruction, self.psw_key());
        self.tlb.asn = operands;
        self.fetch_tag =
            instructions | self.decode_mode() << 12 | u64::from(self.spaces.generation) << 16;
    }

    /// Whether an instruction changed translations since the last call.
    pub(crate) fn translation_changed(&mut self) -> bool {
        std::mem::take(&mut self.translation_changed)
    }

    /// Forgets every translation: PURGE TLB and its like.
    pub(crate) fn flush_translations(&mut self) {
        self.tlb.flush();
        self.translation_changed = true;
    }

    /// Makes all other CPUs forget every translation, before this returns. What they ask for
    /// meanwhile is done too, so that two CPUs do not wait for each other.
    pub(crate) fn flush_others(&mut self) {
        for (cpu, flush) in self.floating.want_flushes(&self.shared) {
            while cpu.flushes.is_outstanding(flush) {
                self.flush_for_others();
                std::thread::yield_now();
            }
        }
    }

    /// Forgets every translation if another CPU wants that.
    pub(crate) fn flush_for_others(&mut self) {
        if let Some(flush) = self.shared.flushes.due() {
            self.flush_translations();
            // Blocks must not go on from a translation to the next.
            self.shared.attention.raise(Attention::FLUSH);
            self.shared.flushes.set_done(flush);
        }
    }

    /// Before translations are used, after a time when they were not.
    pub(crate) fn enter_guest(&mut self) {
        self.shared.flushes.enter();
        self.flush_for_others();
    }

    /// Sleeps until somebody wants attention, or for this long.
    pub(crate) fn park(&mut self, timeout: Option<Duration>) {
        self.shared.flushes.leave();
        self.shared.park(timeout);
        self.enter_guest();
    }

    /// Forgets translations of pages whose address has `index` in bits 44 to 51.
    pub(crate) fn forget_page_index(&mut self, index: u64) {
        self.tlb.flush_page_index(index);
        self.translation_changed = true;
    }

    /// The number of a space for accesses with `key`.
    pub(crate) fn asn(&mut self, space: Space, key: u8) -> u64 {
        let wanted = (self.asce(space), key);
        let known = &mut self.spaces.known;
        if let Some(at) = known.iter().position(|(k, _)| *k == wanted) {
            // Keep the ones in use in front.
            if at > 4 {
                known[..=at].rotate_right(1);
                return known[0].1;
            }
            return known[at].1;
        }
        if self.spaces.next >= LAST_ASN {
            // Those in use get new numbers too.
            self.update_translation();
        }
        let asn = self.spaces.next;
        self.spaces.next += 1;
        self.spaces.known.rotate_right(1);
        self.spaces.known[0] = (wanted, asn);
        asn
    }

    /// What decoding depends on beside text and address, as a small number.
    pub(crate) fn decode_mode(&self) -> u64 {
        let amode = match self.addr_mask {
            u64::MAX => 2,
            0x7fff_ffff => 1,
            _ => 0,
        };
        amode | u64::from(self.is_problem_state()) << 2 | u64::from(self.afp()) << 3
    }

    fn afp(&self) -> bool {
        self.crs[0] & cr0::AFP_REGISTERS != 0
    }

    pub(crate) fn decode_context(&self, addr: u64) -> Context {
        Context {
            addr,
            addr_mask: self.addr_mask,
            problem_state: self.is_problem_state(),
            afp: self.afp(),
        }
    }

    // --- spaces --------------------------------------------------------------------------

    /// The PSW key, 0 to 15.
    pub(crate) fn psw_key(&self) -> u8 {
        (self.psw_mask >> 52 & 15) as u8
    }

    pub(crate) fn is_dat_on(&self) -> bool {
        self.psw_mask & Psw::DAT != 0
    }

    /// PSW bits 16 and 17: 0 primary, 1 access register, 2 secondary, 3 home.
    pub(crate) fn address_space_control(&self) -> u8 {
        (self.psw_mask >> 46 & 3) as u8
    }

    /// Where storage operands are. In the access-register mode: the space of the operand that
    /// the instruction is at, see [`Cpu::use_operand`].
    pub(crate) fn operand_space(&self) -> Space {
        if !self.is_dat_on() {
            return Space::Real;
        }
        match self.address_space_control() {
            0 => Space::Primary,
            1 => Space::Access(self.operand_ar),
            2 => Space::Secondary,
            _ => Space::Home,
        }
    }

    fn instruction_space(&self) -> Space {
        match (self.is_dat_on(), self.address_space_control()) {
            (false, _) => Space::Real,
            (true, 3) => Space::Home,
            (true, _) => Space::Primary,
        }
    }

    /// `Operand` and `Instruction` as the space they mean at the moment.
    pub(crate) fn resolve(&self, space: Space) -> Space {
        match space {
            Space::Operand => self.operand_space(),
            Space::Instruction => self.instruction_space(),
            other => other,
        }
    }

    /// The ASCE of a space. Access registers: ALET 0 and 1 only, others fail in
    /// [`Cpu::translate`].
    fn asce(&self, space: Space) -> u64 {
        match self.resolve(space) {
            Space::Primary => self.crs[1],
            Space::Secondary => self.crs[7],
            Space::Home => self.crs[13],
            Space::Access(r) if r != 0 && self.acrs[usize::from(r & 15)] == 1 => self.crs[7],
            Space::Access(_) => self.crs[1],
            _ => asce::NO_DAT,
        }
    }

    /// Whether access registers say where storage operands are.
    #[inline(always)]
    pub(crate) fn is_access_register_mode(&self) -> bool {
        self.tlb.asn == NEVER_FAST
    }

    /// What follows is an access to the operand with base register `base` (or register `base`
    /// where that holds its address), for the access-register mode. Instructions with one
    /// storage operand need not say it.
    #[inline(always)]
    pub(crate) fn use_operand(&mut self, base: u8) {
        self.operand_ar = base & 15;
    }

    /// [`Cpu::use_operand`] in front of an access.
    #[inline(always)]
    pub(crate) fn at(&mut self, base: u8) -> &mut Self {
        self.use_operand(base);
        self
    }

    // --- translation ---------------------------------------------------------------------

    /// Translates an address with the PSW key; the absolute address that comes back is inside
    /// storage.
    pub(crate) fn translate(&mut self, ea: u64, space: Space, access: Access) -> Result<u64, Trap> {
        self.translate_with_key(ea, space, access, self.psw_key())
    }

    /// Whether an access with `key` in the operand space is possible, without interruption: the
    /// code of the exception that it would meet. Reference and change bit stay as they are.
    pub(crate) fn examine_quietly(&mut self, ea: u64, access: Access, key: u8) -> Result<(), u16> {
        match self.examine(ea, Space::Operand, access, key) {
            Ok(_) => Ok(()),
            Err(_) => match self.fault {
                Fault::Program(p) => Err(p.code),
                Fault::OwnBlock | Fault::NotFast => Ok(()),
            },
        }
    }

    /// Translates an address for an access with `key`, which reference and change bit record.
    pub(crate) fn translate_with_key(
        &mut self,
        ea: u64,
        space: Space,
        access: Access,
        key: u8,
    ) -> Result<u64, Trap> {
        let abs = self.examine(ea, space, access, key)?;
        let bits = if access == Access::Write {
            keys::REFERENCE | keys::CHANGE
        } else {
            keys::REFERENCE
        };
        self.ram.keys().set_bits(abs, bits);
        Ok(abs)
    }

    /// Translates an address, and checks that an access with `key` is permitted.
    pub(crate) fn examine(
        &mut self,
        ea: u64,
        space: Space,
        access: Access,
        key: u8,
    ) -> Result<u64, Trap> {
        let space = self.resolve(space);
        if let Space::Access(r) = space {
            self.check_alet(ea, r)?;
        }
        let asce = self.asce(space);
        let private = asce != asce::NO_DAT && asce & asce::PRIVATE != 0;
        if access == Access::Write && !private && self.is_low_protected(ea) {
            return Err(self.protection(ea, space, access, teid::LOW_ADDRESS));
        }
        let walk = match self.walk(ea, asce) {
            Ok(walk) => walk,
            Err(e) => return Err(self.translation_exception(e.code, ea, space, access)),
        };
        let abs = self.prefixed(walk.real);
        if !self.ram.contains(abs, 1) {
            return Err(self.program(pgm::ADDRESSING));
        }
        if access == Access::Write && walk.protected {
            return Err(self.protection(ea, space, access, teid::DAT));
        }
        if key != 0 {
            let storage_key = self.ram.keys().get(abs);
            let overridden = access != Access::Write && ea < 2048 && !private;
            let permitted = keys::permits(storage_key, key, access == Access::Write)
                || overridden && self.is_fetch_protection_overridden();
            if !permitted {
                return Err(self.protection(ea, space, access, teid::KEY));
            }
        }
        Ok(abs)
    }

    /// Whether what holds for one address in the page holds for the others: not where only
    /// half of the page can be fetched.
    pub(crate) fn is_same_in_page(&self, ea: u64, access: Access, key: u8) -> bool {
        ea & PAGE_MASK != 0
            || key == 0
            || access == Access::Write
            || !self.is_fetch_protection_overridden()
    }

    fn is_fetch_protection_overridden(&self) -> bool {
        self.crs[0] & cr0::FETCH_PROTECTION_OVERRIDE != 0
    }

    /// Walks the translation tables that `asce` designates.
    pub(crate) fn walk(&self, va: u64, asce: u64) -> Result<Walk, WalkError> {
        if asce == asce::NO_DAT || asce & asce::REAL != 0 {
            return Ok(Walk {
                real: va,
                protected: false,
            });
        }
        let fail = |code| WalkError { code, entry: None };
        // Tables are numbered as in their type fields: 3 region-first ... 0 segment.
        const EXCEPTION: [u16; 4] = [
            pgm::SEGMENT_TRANSLATION,
            pgm::REGION_THIRD,
            pgm::REGION_SECOND,
            pgm::REGION_FIRST,
        ];
        let shift = |level: u64| 20 + 11 * level;
        let mut level = (asce & asce::TYPE) >> 2;
        if level < 3 && va >> (shift(level) + 11) != 0 {
            return Err(fail(pgm::ASCE_TYPE));
        }
        let mut origin = asce & asce::ORIGIN;
        let (mut first, mut last) = (0, asce & asce::LENGTH);
        loop {
            let index = va >> shift(level) & 0x7ff;
            if index >> 9 < first || index >> 9 > last {
                return Err(fail(EXCEPTION[level as usize]));
            }
            let at = origin.wrapping_add(index * 8);
            let e = self.table_entry(at).ok_or(fail(pgm::ADDRESSING))?;
            if e & entry::INVALID != 0 {
                return Err(WalkError {
                    code: EXCEPTION[level as usize],
                    entry: (level == 0).then_some(at),
                });
            }
            if (e & entry::TYPE) >> 2 != level {
                return Err(fail(pgm::TRANSLATION_SPECIFICATION));
            }
            if level > 0 {
                origin = e & entry::REGION_ORIGIN;
                (first, last) = ((e & entry::TABLE_OFFSET) >> 6, e & entry::LENGTH);
                level -= 1;
                continue;
            }
            if e & entry::COMMON_SEGMENT != 0 && asce & asce::PRIVATE != 0 {
                return Err(fail(pgm::TRANSLATION_SPECIFICATION));
            }
            let at = (e & entry::PAGE_TABLE_ORIGIN) + (va >> 12 & 0xff) * 8;
            let page = self.table_entry(at).ok_or(fail(pgm::ADDRESSING))?;
            if page & entry::PAGE_INVALID != 0 {
                return Err(WalkError {
                    code: pgm::PAGE_TRANSLATION,
                    entry: Some(at),
                });
            }
            if page & entry::PAGE_MUST_BE_ZERO != 0 {
                return Err(fail(pgm::TRANSLATION_SPECIFICATION));
            }
            return Ok(Walk {
                real: page & PAGE_MASK | va & !PAGE_MASK,
                protected: (page | e) & entry::PROTECT != 0,
            });
        }
    }

    /// A doubleword of a translation table.
    fn table_entry(&self, abs: u64) -> Option<u64> {
        self.ram.contains(abs, 8).then(|| self.ram.read_u64(abs))
    }

    /// The walk for the space's ASCE, for instructions that only ask.
    pub(crate) fn probe(&self, va: u64, space: Space) -> Result<Walk, WalkError> {
        if let Space::Access(r) = space {
            if let Some(code) = self.alet_exception(r) {
                return Err(WalkError { code, entry: None });
            }
        }
        self.walk(va, self.asce(space))
    }

    /// Real to absolute: the first 8 KiB and the prefix area change places.
    pub(crate) fn prefixed(&self, real: u64) -> u64 {
        let prefix = u64::from(self.prefix);
        match real & !0x1fff {
            0 => real + prefix,
            area if area == prefix => real - prefix,
            _ => real,
        }
    }

    // --- exceptions ----------------------------------------------------------------------

    /// Bits 62 and 63 of the translation-exception identification.
    fn space_id(space: Space) -> u64 {
        match space {
            Space::Access(_) => 1,
            Space::Secondary => 2,
            Space::Home => 3,
            _ => 0,
        }
    }

    fn access_id(space: Space) -> u8 {
        match space {
            Space::Access(r) => r,
            _ => 0,
        }
    }

    /// An exception of the translation process. Those that the program can mend nullify.
    #[cold]
    pub(crate) fn translation_exception(
        &mut self,
        code: u16,
        ea: u64,
        space: Space,
        access: Access,
    ) -> Trap {
        self.trap(Fault::Program(ProgramInterruption {
            code,
            nullifying: !matches!(code, pgm::ADDRESSING | pgm::TRANSLATION_SPECIFICATION),
            translation_id: ea & PAGE_MASK | teid::indication(access) | Self::space_id(space),
            access_id: Self::access_id(space),
            ..Default::default()
        }))
    }

    /// Low-address protection of the block at real address `addr`.
    #[cold]
    pub(crate) fn low_address_protection(&mut self, addr: u64) -> Trap {
        self.protection(addr, Space::Real, Access::Write, teid::LOW_ADDRESS)
    }

    #[cold]
    fn protection(&mut self, ea: u64, space: Space, access: Access, why: u64) -> Trap {
        let id = ea & PAGE_MASK | teid::indication(access) | why | Self::space_id(space);
        self.trap(Fault::Program(ProgramInterruption {
            code: pgm::PROTECTION,
            translation_id: id,
            access_id: Self::access_id(space),
            ..Default::default()
        }))
    }

    /// Access-list entry tokens: 0 is the primary and 1 the secondary space. There are no access
    /// lists, so any other one is not in them.
    fn check_alet(&mut self, ea: u64, r: u8) -> Result<(), Trap> {
        match self.alet_exception(r) {
            None => Ok(()),
            Some(code) => Err(self.translation_exception(code, ea, Space::Access(r), Access::Read)),
        }
    }

    fn alet_exception(&self, r: u8) -> Option<u16> {
        let alet = self.acrs[usize::from(r & 15)];
        match alet {
            _ if r == 0 => None,
            0 | 1 => None,
            _ if alet & 0xfe00_0000 != 0 => Some(pgm::ALET_SPECIFICATION),
            _ => Some(pgm::ALEN_TRANSLATION),
        }
    }

    /// Whether low-address protection may forbid stores in the page of `ea`.
    pub(crate) fn is_low_protected_page(&self, ea: u64) -> bool {
        ea < 0x2000 && self.crs[0] & cr0::LOW_ADDRESS_PROTECTION != 0
    }

    fn is_low_protected(&self, ea: u64) -> bool {
        self.is_low_protected_page(ea) && ea & 0xfff < 0x200
    }
}

#[cfg(test)]
mod access_register_tests;
#[cfg(test)]
mod tests;
