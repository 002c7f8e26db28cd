// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The instruction table: one line per instruction.
//!
//! A line is `NAME "mnemonic" opcode FORMAT facility attributes => semantics;` in the order of
//! the opcodes. The opcode is the first byte and, where the format has one, the extension byte
//! or nibble. Facility 0 is in every z/Architecture CPU.

use crate::cpu::{Cpu, Exec};
use crate::decode::{Format, Insn};
use crate::exec::{branch, decimal, general, long, pseudo, storage, translate};

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

    // --- general: storage to storage, strings, decimal ---
    MVCL "mvcl" 0x0e00 RR 0 NO => long::mvcl;
    CLCL "clcl" 0x0f00 RR 0 NO => long::clcl;
    CVD "cvd" 0x4e00 RX 0 NO => decimal::cvd;
    CVB "cvb" 0x4f00 RX 0 NO => decimal::cvb;
    MVCLE "mvcle" 0xa800 RS 0 NO => long::mvcle;
    CLCLE "clcle" 0xa900 RS 0 NO => long::clcle;
    CKSM "cksm" 0xb241 RRE 0 NO => long::cksm;
    MVPG "mvpg" 0xb254 RRE 0 NO => long::mvpg;
    MVST "mvst" 0xb255 RRE 0 NO => long::mvst;
    CLST "clst" 0xb25d RRE 0 NO => long::clst;
    SRST "srst" 0xb25e RRE 0 NO => long::srst;
    TRE "tre" 0xb2a5 RRE 0 NO => translate::tre;
    CU21 "cu21" 0xb2a6 RRF 0 NO => translate::cu21;
    CU12 "cu12" 0xb2a7 RRF 0 NO => translate::cu12;
    TRTT "trtt" 0xb990 RRF 0 NO => translate::trtt;
    TRTO "trto" 0xb991 RRF 0 NO => translate::trto;
    TROT "trot" 0xb992 RRF 0 NO => translate::trot;
    TROO "troo" 0xb993 RRF 0 NO => translate::troo;
    CU14 "cu14" 0xb9b0 RRF 22 NO => translate::cu14;
    CU24 "cu24" 0xb9b1 RRF 22 NO => translate::cu24;
    CU41 "cu41" 0xb9b2 RRF 22 NO => translate::cu41;
    CU42 "cu42" 0xb9b3 RRF 22 NO => translate::cu42;
    SRSTU "srstu" 0xb9be RRE 22 NO => long::srstu;
    TRTR "trtr" 0xd000 SSa 22 NO => storage::trtr;
    MVN "mvn" 0xd100 SSa 0 NO => storage::mvn;
    MVC "mvc" 0xd200 SSa 0 NO => storage::mvc;
    MVZ "mvz" 0xd300 SSa 0 NO => storage::mvz;
    NC "nc" 0xd400 SSa 0 NO => storage::nc;
    CLC "clc" 0xd500 SSa 0 NO => storage::clc;
    OC "oc" 0xd600 SSa 0 NO => storage::oc;
    XC "xc" 0xd700 SSa 0 NO => storage::xc;
    TR "tr" 0xdc00 SSa 0 NO => storage::tr;
    TRT "trt" 0xdd00 SSa 0 NO => storage::trt;
    ED "ed" 0xde00 SSa 0 NO => decimal::ed;
    EDMK "edmk" 0xdf00 SSa 0 NO => decimal::edmk;
    PKU "pku" 0xe100 SSa 0 NO => decimal::pku;
    UNPKU "unpku" 0xe200 SSa 0 NO => decimal::unpku;
    CVBY "cvby" 0xe306 RXY 18 NO => decimal::cvb;
    CVBG "cvbg" 0xe30e RXY 0 NO => decimal::cvbg;
    CVDY "cvdy" 0xe326 RXY 18 NO => decimal::cvd;
    CVDG "cvdg" 0xe32e RXY 0 NO => decimal::cvdg;
    MVCRL "mvcrl" 0xe50a SSE 61 NO => storage::mvcrl;
    MVCIN "mvcin" 0xe800 SSa 0 NO => storage::mvcin;
    PKA "pka" 0xe900 SSa 0 NO => decimal::pka;
    UNPKA "unpka" 0xea00 SSa 0 NO => decimal::unpka;
    MVCLU "mvclu" 0xeb8e RSY 0 NO => long::mvclu;
    CLCLU "clclu" 0xeb8f RSY 0 NO => long::clclu;
    TP "tp" 0xebc0 RSL 0 NO => decimal::tp;
    SRP "srp" 0xf000 SSb 0 NO => decimal::srp;
    MVO "mvo" 0xf100 SSb 0 NO => decimal::mvo;
    PACK "pack" 0xf200 SSb 0 NO => decimal::pack_zoned;
    UNPK "unpk" 0xf300 SSb 0 NO => decimal::unpk;
    ZAP "zap" 0xf800 SSb 0 NO => decimal::zap;
    CP "cp" 0xf900 SSb 0 NO => decimal::cp;
    AP "ap" 0xfa00 SSb 0 NO => decimal::ap;
    SP "sp" 0xfb00 SSb 0 NO => decimal::sp;
    MP "mp" 0xfc00 SSb 0 NO => decimal::mp;
    DP "dp" 0xfd00 SSb 0 NO => decimal::dp;

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
