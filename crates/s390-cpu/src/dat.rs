// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Dynamic address translation, prefixing and protection.

use s390_extint::Psw;

use crate::access::PAGE_MASK;
use crate::cpu::{pgm, Cpu, Fault, ProgramInterruption, Trap};
use crate::decode::Context;

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
    /// Real storage, whatever the PSW says.
    Real,
}

/// Control register 0 bit 35: low-address protection.
const CR0_LOW_ADDRESS_PROTECTION: u64 = 0x1000_0000;

impl Cpu {
    /// Recomputes what translation derives from the PSW and the control registers.
    pub(crate) fn update_translation(&mut self) {
        self.fetch_tag = 1 | self.decode_mode() << 12;
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

    /// What decoding depends on beside text and address, as a small number.
    pub(crate) fn decode_mode(&self) -> u64 {
        let amode = match self.addr_mask {
            u64::MAX => 2,
            0x7fff_ffff => 1,
            _ => 0,
        };
        amode | u64::from(self.is_problem_state()) << 2 | u64::from(self.afp()) << 3
    }

    /// Control register 0 bit 45: AFP-register control.
    fn afp(&self) -> bool {
        self.crs[0] & 0x4_0000 != 0
    }

    pub(crate) fn decode_context(&self, addr: u64) -> Context {
        Context {
            addr,
            addr_mask: self.addr_mask,
            problem_state: self.is_problem_state(),
            afp: self.afp(),
        }
    }

    /// Translates a virtual address; the absolute address that comes back is inside storage.
    pub(crate) fn translate(&mut self, ea: u64, space: Space, access: Access) -> Result<u64, Trap> {
        let _ = (space, Psw::DAT);
        if access == Access::Write && self.is_low_protected(ea) {
            return Err(self.trap(Fault::Program(ProgramInterruption {
                code: pgm::PROTECTION,
                translation_id: ea & PAGE_MASK,
                ..Default::default()
            })));
        }
        let abs = self.prefixed(ea);
        if !self.ram.contains(abs, 1) {
            return Err(self.program(pgm::ADDRESSING));
        }
        Ok(abs)
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

    /// Whether low-address protection may forbid stores in the page of `ea`.
    pub(crate) fn is_low_protected_page(&self, ea: u64) -> bool {
        ea < 0x2000 && self.crs[0] & CR0_LOW_ADDRESS_PROTECTION != 0
    }

    fn is_low_protected(&self, ea: u64) -> bool {
        self.is_low_protected_page(ea) && ea & 0xfff < 0x200
    }
}
