// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Dynamic address translation of a store (Principles of Operation, chapter 3), for the rare
//! operand that the host stores itself. Slow and without any buffer.

use s390_hypercall::ProgramInterruption;
use s390_hypervisor::{Psw, VcpuState};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::fault::{Fault, Translation};

/// Address-space-control element: the space is real.
const ASCE_REAL_SPACE: u64 = 0x20;
/// Region and segment table entry: not valid.
const INVALID: u64 = 0x20;
/// Region and segment table entry, with enhanced DAT: protected.
const PROTECTED: u64 = 0x200;
/// Region-third and segment table entry, with enhanced DAT: the frame itself, not a table.
const FRAME: u64 = 0x400;
/// Page table entry: not valid.
const PAGE_INVALID: u64 = 0x400;
/// Page table entry: reserved.
const PAGE_RESERVED: u64 = 0x800;
/// Control register 0: enhanced DAT.
const ENHANCED_DAT: u64 = 0x0080_0000;

const SEGMENT_TRANSLATION: u16 = 0x10;
const PAGE_TRANSLATION: u16 = 0x11;
const TRANSLATION_SPECIFICATION: ProgramInterruption = ProgramInterruption(0x12);
const ALEN_TRANSLATION: ProgramInterruption = ProgramInterruption(0x29);
const ASCE_TYPE: u16 = 0x38;
/// Region-first translation; second and third follow.
const REGION_FIRST_TRANSLATION: u16 = 0x39;

/// Translates for one CPU.
pub(crate) struct Translator<'a, M> {
    memory: &'a M,
    state: &'a VcpuState,
}

impl<'a, M: GuestMemory> Translator<'a, M> {
    pub fn new(memory: &'a M, state: &'a VcpuState) -> Self {
        Translator { memory, state }
    }

    /// The real address for a store to `addr`, an address formed with base register `base`.
    pub fn translate_store(&self, addr: u64, base: u8) -> Result<u64, Fault> {
        let space = self.space(base)?;
        let control_register = match space {
            Space::Primary => 1,
            Space::Secondary => 7,
            Space::Home => 13,
        };
        // A page translation is told by the page and the space.
        let refused = |code| Translation {
            code,
            identification: addr & !0xfff | space as u64,
        };
        self.walk(self.state.crs[control_register], addr, refused)
    }

    /// The space that the PSW, and in access-register mode the register's ALET, designates.
    fn space(&self, base: u8) -> Result<Space, Fault> {
        match (self.state.psw.mask & Psw::ADDRESS_SPACE) >> 46 {
            0 => Ok(Space::Primary),
            2 => Ok(Space::Secondary),
            3 => Ok(Space::Home),
            _ => match self.state.acrs[usize::from(base)] {
                _ if base == 0 => Ok(Space::Primary),
                0 => Ok(Space::Primary),
                1 => Ok(Space::Secondary),
                _ => Err(ALEN_TRANSLATION.into()),
            },
        }
    }

    fn walk(
        &self,
        asce: u64,
        addr: u64,
        refused: impl Fn(u16) -> Translation,
    ) -> Result<u64, Fault> {
        if asce & ASCE_REAL_SPACE != 0 {
            return Ok(addr);
        }
        // 3: region first, ... 0: segment; the length is in units of a quarter table.
        let top = asce >> 2 & 3;
        let beyond = 31 + 11 * top;
        if beyond < 64 && addr >> beyond != 0 {
            return Err(refused(ASCE_TYPE).into());
        }
        let enhanced = self.state.crs[0] & ENHANCED_DAT != 0;
        let mut table = asce & !0xfff;
        let (mut first, mut last) = (0, asce & 3);
        for level in (0..=top).rev() {
            let missing = match level {
                0 => SEGMENT_TRANSLATION,
                _ => REGION_FIRST_TRANSLATION + (3 - level as u16),
            };
            let shift = 20 + 11 * level;
            let index = addr >> shift & 0x7ff;
            if !(first..=last).contains(&(index >> 9)) {
                return Err(refused(missing).into());
            }
            let entry = self.entry(table, index)?;
            if entry & INVALID != 0 {
                return Err(refused(missing).into());
            }
            if entry >> 2 & 3 != level {
                return Err(TRANSLATION_SPECIFICATION.into());
            }
            if (enhanced || level == 0) && entry & PROTECTED != 0 {
                return Err(ProgramInterruption::PROTECTION.into());
            }
            if enhanced && level < 2 && entry & FRAME != 0 {
                let offset = (1 << shift) - 1;
                return Ok(entry & !offset | addr & offset);
            }
            (first, last) = (entry >> 6 & 3, entry & 3);
            table = entry & !0xfff;
            if level == 0 {
                table = entry & !0x7ff;
            }
        }
        let entry = self.entry(table, addr >> 12 & 0xff)?;
        if entry & PAGE_INVALID != 0 {
            return Err(refused(PAGE_TRANSLATION).into());
        }
        if entry & PAGE_RESERVED != 0 {
            return Err(TRANSLATION_SPECIFICATION.into());
        }
        if entry & PROTECTED != 0 {
            return Err(ProgramInterruption::PROTECTION.into());
        }
        Ok(entry & !0xfff | addr & 0xfff)
    }

    fn entry(&self, table: u64, index: u64) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        let at = GuestAddress(table.wrapping_add(index * 8));
        match self.memory.read_slice(&mut bytes, at) {
            Ok(()) => Ok(u64::from_be_bytes(bytes)),
            Err(_) => Err(ProgramInterruption::ADDRESSING.into()),
        }
    }
}

/// An address space, numbered as in the translation-exception identification.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Space {
    Primary = 0,
    Secondary = 2,
    Home = 3,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_utils::Rig;

    const SEGMENTS: u64 = 0x10000;
    const PAGES: u64 = 0x14000;
    const REGIONS: u64 = 0x18000;
    const FRAME_AT: u64 = 0x20000;

    /// Virtual 0x0030_5000 is mapped to `FRAME_AT` through a segment table.
    fn rig() -> Rig {
        let mut rig = Rig::new(1);
        rig.put(SEGMENTS + 3 * 8, PAGES);
        rig.put(PAGES + 5 * 8, FRAME_AT);
        rig.vcpu.state.psw.mask |= Psw::DAT;
        rig.vcpu.state.crs[1] = SEGMENTS;
        rig
    }

    const VIRTUAL: u64 = 0x0030_5000;

    fn translate(rig: &Rig, addr: u64) -> Result<u64, Fault> {
        Translator::new(&rig.memory, &rig.vcpu.state).translate_store(addr, 3)
    }

    /// Code and identification of a translation that fails.
    fn refused(rig: &Rig, addr: u64) -> (u16, u64) {
        match translate(rig, addr) {
            Err(Fault::Translation(t)) => (t.code, t.identification),
            Err(Fault::Program(p)) => (p.0, 0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn segment_and_page_table() {
        let rig = rig();
        assert_eq!(translate(&rig, VIRTUAL + 0x123).unwrap(), FRAME_AT + 0x123);
    }

    #[test]
    fn all_five_tables() {
        let mut rig = rig();
        let addr = 0x0060_1004_0000_0000 | VIRTUAL;
        let (first, second, third) = (REGIONS, REGIONS + 0x4000, REGIONS + 0x8000);
        rig.vcpu.state.crs[1] = first | 0xf;
        // Entries designate the next table; their own type is in bits 60 and 61.
        rig.put(first + (addr >> 53) * 8, second | 0xf);
        rig.put(second + (addr >> 42 & 0x7ff) * 8, third | 0xb);
        rig.put(third + (addr >> 31 & 0x7ff) * 8, SEGMENTS | 0x7);
        assert_eq!(translate(&rig, addr).unwrap(), FRAME_AT);

        for (table, shift, code) in [(first, 53, 0x39), (second, 42, 0x3a), (third, 31, 0x3b)] {
            let at = table + (addr >> shift & 0x7ff) * 8;
            let entry = rig.get(at);
            rig.put(at, entry | INVALID);
            assert_eq!(refused(&rig, addr), (code, addr));
            rig.put(at, entry ^ 0x4);
            assert_eq!(refused(&rig, addr), (0x12, 0));
            rig.put(at, entry);
        }
    }

    #[test]
    fn missing_segments_and_pages() {
        let rig = rig();
        rig.put(SEGMENTS + 4 * 8, INVALID);
        rig.put(PAGES + 6 * 8, PAGE_INVALID);
        rig.put(PAGES + 7 * 8, PAGE_RESERVED);
        rig.put(PAGES + 8 * 8, FRAME_AT | PROTECTED);
        assert_eq!(refused(&rig, 0x0040_0123), (0x10, 0x0040_0000));
        assert_eq!(refused(&rig, 0x0030_6123), (0x11, 0x0030_6000));
        assert_eq!(refused(&rig, 0x0030_7000), (0x12, 0));
        assert_eq!(refused(&rig, 0x0030_8000), (0x04, 0));
    }

    #[test]
    fn what_the_tables_do_not_reach() {
        let rig = rig();
        assert_eq!(refused(&rig, 1 << 31), (0x38, 1 << 31));
        // A quarter of a segment table reaches 512 MiB.
        assert_eq!(refused(&rig, 0x2000_0000), (0x10, 0x2000_0000));
    }

    #[test]
    fn entries_say_which_part_of_the_next_table_is_there() {
        let mut rig = rig();
        rig.vcpu.state.crs[1] = REGIONS | 0x4;
        // Only the second and third quarter of the segment table.
        rig.put(REGIONS, SEGMENTS | 0x4 | 1 << 6 | 2);
        for (quarter, there) in [(0, false), (1, true), (2, true), (3, false)] {
            let addr = quarter << 29;
            rig.put(SEGMENTS + (quarter << 9) * 8, PAGES);
            rig.put(PAGES, FRAME_AT);
            match there {
                true => assert_eq!(translate(&rig, addr).unwrap(), FRAME_AT),
                false => assert_eq!(refused(&rig, addr), (0x10, addr)),
            }
        }
    }

    #[test]
    fn tables_outside_storage() {
        let mut rig = rig();
        rig.vcpu.state.crs[1] = 0x7fff_ffff_ffff_f000;
        assert_eq!(refused(&rig, VIRTUAL), (0x05, 0));
    }

    #[test]
    fn large_frames_need_enhanced_dat() {
        let mut rig = rig();
        rig.put(SEGMENTS + 3 * 8, 0x0010_0000 | FRAME);
        rig.vcpu.state.crs[0] |= ENHANCED_DAT;
        assert_eq!(translate(&rig, VIRTUAL).unwrap(), 0x0010_5000);
        rig.put(SEGMENTS + 3 * 8, 0x0010_0000 | FRAME | PROTECTED);
        assert_eq!(refused(&rig, VIRTUAL), (0x04, 0));
    }

    #[test]
    fn spaces_follow_the_psw() {
        let mut rig = rig();
        let mask = rig.vcpu.state.psw.mask;
        rig.vcpu.state.crs[1] = 0;
        for (mode, register, number) in [(0, 1, 0), (2, 7, 2), (3, 13, 3)] {
            rig.vcpu.state.psw.mask = mask | mode << 46;
            rig.vcpu.state.crs[register] = SEGMENTS;
            assert_eq!(translate(&rig, VIRTUAL).unwrap(), FRAME_AT);
            let beyond = 0x2000_0000;
            assert_eq!(refused(&rig, beyond), (0x10, beyond | number));
            rig.vcpu.state.crs[register] = 0;
        }
        // Access-register mode.
        rig.vcpu.state.psw.mask = mask | 1 << 46;
        rig.vcpu.state.crs[7] = SEGMENTS;
        rig.vcpu.state.acrs[3] = 1;
        assert_eq!(translate(&rig, VIRTUAL).unwrap(), FRAME_AT);
        rig.vcpu.state.acrs[3] = 2;
        assert_eq!(refused(&rig, VIRTUAL), (0x29, 0));
    }

    #[test]
    fn a_real_space_is_not_translated() {
        let mut rig = rig();
        rig.vcpu.state.crs[1] = ASCE_REAL_SPACE;
        assert_eq!(translate(&rig, VIRTUAL).unwrap(), VIRTUAL);
    }
}
