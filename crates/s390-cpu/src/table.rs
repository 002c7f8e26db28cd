// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The instruction table: one line per instruction.
//!
//! A line is `NAME "mnemonic" opcode FORMAT facility attributes => semantics;` in the order of
//! the opcodes. The opcode is the first byte and, where the format has one, the extension byte
//! or nibble. Facility 0 is in every z/Architecture CPU.

use crate::cpu::{Cpu, Exec};
use crate::decode::{Format, Insn};
use crate::exec::{branch, general, pseudo};

/// What the decoder and the block builder need to know of an instruction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Attributes(u8);

impl Attributes {
    /// Nothing special.
    pub const NONE: Self = Attributes(0);
    /// Ends a block: it branches, or changes what blocks take for granted.
    pub const END: Self = Attributes(1);
    /// Privileged: a privileged-operation exception in the problem state.
    pub const PRIVILEGED: Self = Attributes(2);
    /// A BFP instruction: a data exception with DXC 2 while the AFP-register control is off.
    pub const BFP: Self = Attributes(4);
    /// Uses floating-point registers without being a BFP instruction: a data exception with
    /// DXC 1 for others than 0, 2, 4 and 6 while the AFP-register control is off.
    pub const FP_REGISTERS: Self = Attributes(8);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Attributes(self.0 | other.0)
    }

    /// Whether all of `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One line of the table.
#[derive(Copy, Clone, Debug)]
pub struct Entry {
    /// Assembler mnemonic.
    pub mnemonic: &'static str,
    /// First opcode byte, and the extension byte or nibble.
    pub key: u16,
    /// Instruction format.
    pub format: Format,
    /// Facility bit that the instruction comes with.
    pub facility: u8,
    /// See [`Attributes`].
    pub attributes: Attributes,
}

/// Short names for the attribute column.
mod column {
    use super::Attributes;
    pub(super) const NO: Attributes = Attributes::NONE;
    pub(super) const END: Attributes = Attributes::END;
    pub(super) const PRIV: Attributes = Attributes::PRIVILEGED;
    pub(super) const PRIV_END: Attributes = Attributes::PRIVILEGED.and(Attributes::END);
    pub(super) const BFP: Attributes = Attributes::BFP;
    pub(super) const FPR: Attributes = Attributes::FP_REGISTERS;
}

macro_rules! instructions {
    ($($name:ident $mnemonic:literal $key:literal $format:ident $facility:literal $attributes:ident => $module:ident::$function:ident;)*) => {
        /// Every instruction, by name.
        #[allow(clippy::upper_case_acronyms, missing_docs)]
        #[derive(Copy, Clone, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub(crate) enum Op { $($name),* }

        const OPS: &[Op] = &[$(Op::$name),*];

        /// The table, indexed by `Op`.
        pub static TABLE: &[Entry] = &[$(Entry {
            mnemonic: $mnemonic,
            key: $key,
            format: Format::$format,
            facility: $facility,
            attributes: column::$attributes,
        }),*];

        /// Executes one instruction.
        #[inline(always)]
        pub(crate) fn execute(cpu: &mut Cpu, i: &Insn) -> Exec {
            match i.op { $(Op::$name => $module::$function(cpu, i)),* }
        }
    };
}

impl Op {
    pub(crate) fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    pub(crate) fn from_index(index: u16) -> Self {
        OPS[usize::from(index)]
    }
}

/// Replaces frequent special cases by instructions that need less work.
pub(crate) fn specialize(i: &mut Insn) {
    match i.op {
        Op::BRC | Op::BRCL if i.r1 == 15 => i.op = Op::Jump,
        Op::BRC | Op::BRCL | Op::BC if i.r1 == 0 => i.op = Op::Nop,
        Op::BCR if i.r1 == 15 && i.r2 != 0 => i.op = Op::JumpRegister,
        _ => {}
    }
}

instructions! {
    // --- made by the decoder ---
    Illegal "(illegal)" 0x0000 Pseudo 0 END => pseudo::illegal;
    Privileged "(privileged)" 0x0000 Pseudo 0 END => pseudo::privileged;
    BfpDisabled "(bfp)" 0x0000 Pseudo 0 END => pseudo::bfp_disabled;
    FpRegisterDisabled "(fpr)" 0x0000 Pseudo 0 END => pseudo::fp_register_disabled;
    Stale "(stale)" 0x0000 Pseudo 0 END => pseudo::stale;
    Nop "(nop)" 0x0000 Pseudo 0 NO => pseudo::nop;
    Jump "(j)" 0x0000 Pseudo 0 END => branch::jump;
    JumpRegister "(br)" 0x0000 Pseudo 0 END => branch::jump_register;

    // --- general: branches ---
    BCR "bcr" 0x0700 RR 0 END => branch::bcr;
    BC "bc" 0x4700 RX 0 END => branch::bc;
    BRC "brc" 0xa704 RIRel 0 END => branch::brc;
    BRAS "bras" 0xa705 RIRel 0 END => branch::bras;
    BRCT "brct" 0xa706 RIRel 0 END => branch::brct;
    BRCTG "brctg" 0xa707 RIRel 0 END => branch::brctg;
    BRCL "brcl" 0xc004 RILRel 0 END => branch::brc;
    BRASL "brasl" 0xc005 RILRel 0 END => branch::bras;
    CRJ "crj" 0xec76 RIEb 34 END => branch::crj;
    CLRJ "clrj" 0xec77 RIEb 34 END => branch::clrj;
    CGIJ "cgij" 0xec7c RIEc 34 END => branch::cgij;
    CIJ "cij" 0xec7e RIEc 34 END => branch::cij;

    // --- general: loads, stores, arithmetic ---
    NR "nr" 0x1400 RR 0 NO => general::nr;
    XR "xr" 0x1700 RR 0 NO => general::xr;
    LR "lr" 0x1800 RR 0 NO => general::lr;
    AR "ar" 0x1a00 RR 0 NO => general::ar;
    SR "sr" 0x1b00 RR 0 NO => general::sr;
    LA "la" 0x4100 RX 0 NO => general::la;
    ST "st" 0x5000 RX 0 NO => general::st;
    L "l" 0x5800 RX 0 NO => general::l;
    SRL "srl" 0x8800 RS 0 NO => general::srl;
    SLL "sll" 0x8900 RS 0 NO => general::sll;
    MVI "mvi" 0x9200 SI 0 NO => general::mvi;
    CLI "cli" 0x9500 SI 0 NO => general::cli;
    LLILH "llilh" 0xa50e RI 0 NO => general::llilh;
    LLILL "llill" 0xa50f RI 0 NO => general::llill;
    LHI "lhi" 0xa708 RI 0 NO => general::lhi;
    LGHI "lghi" 0xa709 RI 0 NO => general::lgfi;
    AHI "ahi" 0xa70a RI 0 NO => general::ahi;
    AGHI "aghi" 0xa70b RI 0 NO => general::aghi;
    LDGR "ldgr" 0xb3c1 RRE 41 FPR => general::ldgr;
    LGDR "lgdr" 0xb3cd RRE 41 FPR => general::lgdr;
    LGR "lgr" 0xb904 RRE 0 NO => general::lgr;
    AGR "agr" 0xb908 RRE 0 NO => general::agr;
    LGFR "lgfr" 0xb914 RRE 0 NO => general::lgfr;
    LLGFR "llgfr" 0xb916 RRE 0 NO => general::llgfr;
    XGR "xgr" 0xb982 RRE 0 NO => general::xgr;
    LARL "larl" 0xc000 RILRel 0 NO => general::larl;
    LGFI "lgfi" 0xc001 RIL 21 NO => general::lgfi;
    XILF "xilf" 0xc007 RIL 21 NO => general::xilf;
    MSFI "msfi" 0xc201 RIL 34 NO => general::msfi;
    ALGFI "algfi" 0xc20a RIL 21 NO => general::algfi;
    LG "lg" 0xe304 RXY 0 NO => general::lg;
    STG "stg" 0xe324 RXY 0 NO => general::stg;
    AY "ay" 0xe35a RXY 18 NO => general::a;
    LAY "lay" 0xe371 RXY 18 NO => general::la;
    LLGC "llgc" 0xe390 RXY 0 NO => general::llgc;
    LMG "lmg" 0xeb04 RSY 0 NO => general::lmg;
    SLLG "sllg" 0xeb0d RSY 0 NO => general::sllg;
    STMG "stmg" 0xeb24 RSY 0 NO => general::stmg;
    RISBG "risbg" 0xec55 RIEf 34 NO => general::risbg;
    RXSBG "rxsbg" 0xec57 RIEf 34 NO => general::rxsbg;

    // --- general: storage to storage, strings, decimal, interlocked ---

    // --- control ---

    // --- binary floating point ---
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn test_opcodes_are_unique() {
        let mut seen = HashSet::new();
        for e in TABLE.iter().filter(|e| e.format != Format::Pseudo) {
            assert!(seen.insert(e.key), "{} {:04x}", e.mnemonic, e.key);
        }
    }

    #[test]
    fn test_lookup_finds_every_entry() {
        for (n, e) in TABLE
            .iter()
            .enumerate()
            .filter(|(_, e)| e.format != Format::Pseudo)
        {
            let key = u64::from(e.key);
            let text = (key >> 8) << 40 | (key & 0xff) << 32 | key & 0xff;
            assert_eq!(crate::decode::lookup(text) as usize, n, "{}", e.mnemonic);
        }
    }
}
