// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The instruction table: one line per instruction.
//!
//! A line is `NAME "mnemonic" opcode FORMAT facility attributes => semantics;` in the order of
//! the opcodes. The opcode is the first byte and, where the format has one, the extension byte
//! or nibble. Facility 0 is in every z/Architecture CPU.

use crate::cpu::{Cpu, Exec, Flow};
pub use crate::decode::Format;
use crate::decode::Insn;
use crate::exec::*;
use crate::threaded::{current, go_on, leave, Handler, Left, Rest};

/// What the decoder and the block builder need to know of an instruction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Attributes(u8);

impl Attributes {
    /// Nothing special.
    pub const NONE: Self = Attributes(0);
    /// Ends a block: what follows it is not executed next, or what blocks take for granted
    /// changes.
    pub const END: Self = Attributes(1);
    /// Privileged: a privileged-operation exception in the problem state.
    pub const PRIVILEGED: Self = Attributes(2);
    /// A BFP instruction: a data exception with DXC 2 while the AFP-register control is off.
    pub const BFP: Self = Attributes(4);
    /// Uses floating-point registers without being a BFP instruction: a data exception with
    /// DXC 1 for others than 0, 2, 4 and 6 while the AFP-register control is off.
    pub const FP_REGISTERS: Self = Attributes(8);
    /// May branch, or go on with the next instruction.
    pub const BRANCH: Self = Attributes(16);

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
    pub(super) const BR: Attributes = Attributes::BRANCH;
    pub(super) const PRIV: Attributes = Attributes::PRIVILEGED;
    pub(super) const PRIV_END: Attributes = Attributes::PRIVILEGED.and(Attributes::END);
    pub(super) const BFP: Attributes = Attributes::BFP;
    pub(super) const FPR: Attributes = Attributes::FP_REGISTERS;
}

/// Executes one instruction.
pub(crate) fn execute(cpu: &mut Cpu, i: &Insn) -> Exec {
    cpu.use_operand(i.b);
    cpu.with_slow_accesses(|cpu| SEMANTICS[i.op as usize](cpu, i))
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

        /// The semantics of every instruction, indexed by `Op`.
        static SEMANTICS: [fn(&mut Cpu, &Insn) -> Exec; OPS.len()] = [$($module::$function),*];

        /// The same, each followed by what follows the instruction.
        static HANDLERS: [Handler; OPS.len()] = {
            #[allow(non_snake_case)]
            mod handlers {
                use super::*;
                $(
                    pub(super) unsafe fn $name<'a>(cpu: &mut Cpu, rest: Rest<'a>) -> Left<'a> {
                        // SAFETY: required of the caller. Only `with_slow_accesses` makes
                        // `is_fast_only` false, until it returns, and no handler is called inside.
                        unsafe {
                            std::hint::assert_unchecked(cpu.is_fast_only());
                            match $module::$function(cpu, current(&rest)) {
                                Ok(Flow::Next) => go_on(cpu, rest),
                                outcome => leave(cpu, outcome, rest),
                            }
                        }
                    }
                )*
            }
            [$(handlers::$name),*]
        };
    };
}

impl Op {
    pub(crate) fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    /// What executes the instruction in a sequence.
    pub(crate) fn handler(self) -> Handler {
        HANDLERS[self as usize]
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
        Op::BCR if i.r2 == 0 && i.r1 >= 14 => i.op = Op::Serialize,
        Op::BCR if i.r2 == 0 || i.r1 == 0 => i.op = Op::Nop,
        Op::BCR if i.r1 == 15 => i.op = Op::JumpRegister,
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
    End "(end)" 0x0000 Pseudo 0 END => pseudo::end;
    Nop "(nop)" 0x0000 Pseudo 0 NO => pseudo::nop;
    Jump "(j)" 0x0000 Pseudo 0 END => branch::jump;
    JumpRegister "(br)" 0x0000 Pseudo 0 END => branch::jump_register;
    Serialize "(serialize)" 0x0000 Pseudo 0 NO => branch::serialize;

    // --- general: branches, addressing modes ---
    TAM "tam" 0x010b E 0 NO => state::tam;
    SAM24 "sam24" 0x010c E 0 END => branch::sam24;
    SAM31 "sam31" 0x010d E 0 END => branch::sam31;
    SAM64 "sam64" 0x010e E 0 END => branch::sam64;
    SPM "spm" 0x0400 RR 0 NO => state::spm;
    BALR "balr" 0x0500 RR 0 END => branch::balr;
    BCTR "bctr" 0x0600 RR 0 BR => branch::bctr;
    BCR "bcr" 0x0700 RR 0 BR => branch::bcr;
    BSM "bsm" 0x0b00 RR 0 END => branch::bsm;
    BASSM "bassm" 0x0c00 RR 0 END => branch::bassm;
    BASR "basr" 0x0d00 RR 0 END => branch::basr;
    EX "ex" 0x4400 RX 0 BR => execute::ex;
    BAL "bal" 0x4500 RX 0 END => branch::bal;
    BCT "bct" 0x4600 RX 0 BR => branch::bct;
    BC "bc" 0x4700 RX 0 BR => branch::bc;
    BAS "bas" 0x4d00 RX 0 END => branch::bas;
    BRXH "brxh" 0x8400 RSIRel 0 BR => branch::brxh;
    BRXLE "brxle" 0x8500 RSIRel 0 BR => branch::brxle;
    BXH "bxh" 0x8600 RS 0 BR => branch::bxh;
    BXLE "bxle" 0x8700 RS 0 BR => branch::bxle;
    BRC "brc" 0xa704 RIRel 0 BR => branch::brc;
    BRAS "bras" 0xa705 RIRel 0 END => branch::bras;
    BRCT "brct" 0xa706 RIRel 0 BR => branch::brct;
    BRCTG "brctg" 0xa707 RIRel 0 BR => branch::brctg;
    MC "mc" 0xaf00 SI 0 NO => state::mc;
    IPM "ipm" 0xb222 RRE 0 NO => state::ipm;
    PPA "ppa" 0xb2e8 RRF 49 NO => pseudo::nop;
    NIAI "niai" 0xb2fa RRE 49 NO => pseudo::nop;
    BCTGR "bctgr" 0xb946 RRE 0 BR => branch::bctgr;
    BRCL "brcl" 0xc004 RILRel 0 BR => branch::brc;
    BRASL "brasl" 0xc005 RILRel 0 END => branch::bras;
    BPRP "bprp" 0xc500 RIL 49 NO => pseudo::nop;
    EXRL "exrl" 0xc600 RILRel 35 BR => execute::exrl;
    PFDRL "pfdrl" 0xc602 RILRel 34 NO => pseudo::nop;
    BPP "bpp" 0xc700 RIL 49 NO => pseudo::nop;
    BRCTH "brcth" 0xcc06 RILRel 45 BR => branch::brcth;
    PFD "pfd" 0xe336 RXY 34 NO => pseudo::nop;
    BCTG "bctg" 0xe346 RXY 0 BR => branch::bctg;
    BIC "bic" 0xe347 RXY 58 BR => branch::bic;
    BXHG "bxhg" 0xeb44 RSY 0 BR => branch::bxhg;
    BXLEG "bxleg" 0xeb45 RSY 0 BR => branch::bxleg;
    BRXHG "brxhg" 0xec44 RIEeRel 0 BR => branch::brxhg;
    BRXLG "brxlg" 0xec45 RIEeRel 0 BR => branch::brxlg;
    CGRJ "cgrj" 0xec64 RIEb 34 BR => branch::cgrj;
    CLGRJ "clgrj" 0xec65 RIEb 34 BR => branch::clgrj;
    CRJ "crj" 0xec76 RIEb 34 BR => branch::crj;
    CLRJ "clrj" 0xec77 RIEb 34 BR => branch::clrj;
    CGIJ "cgij" 0xec7c RIEc 34 BR => branch::cgij;
    CLGIJ "clgij" 0xec7d RIEc 34 BR => branch::clgij;
    CIJ "cij" 0xec7e RIEc 34 BR => branch::cij;
    CLIJ "clij" 0xec7f RIEc 34 BR => branch::clij;
    CGRB "cgrb" 0xece4 RRS 34 BR => branch::cgrb;
    CLGRB "clgrb" 0xece5 RRS 34 BR => branch::clgrb;
    CRB "crb" 0xecf6 RRS 34 BR => branch::crb;
    CLRB "clrb" 0xecf7 RRS 34 BR => branch::clrb;
    CGIB "cgib" 0xecfc RIS 34 BR => branch::cgib;
    CLGIB "clgib" 0xecfd RIS 34 BR => branch::clgib;
    CIB "cib" 0xecfe RIS 34 BR => branch::cib;
    CLIB "clib" 0xecff RIS 34 BR => branch::clib;

    // --- general: addition and subtraction ---
    LPR "lpr" 0x1000 RR 0 NO => arithmetic::lpr;
    LNR "lnr" 0x1100 RR 0 NO => arithmetic::lnr;
    LCR "lcr" 0x1300 RR 0 NO => arithmetic::lcr;
    AR "ar" 0x1a00 RR 0 NO => arithmetic::ar;
    SR "sr" 0x1b00 RR 0 NO => arithmetic::sr;
    ALR "alr" 0x1e00 RR 0 NO => arithmetic::alr;
    SLR "slr" 0x1f00 RR 0 NO => arithmetic::slr;
    AH "ah" 0x4a00 RX 0 NO => arithmetic::ah;
    SH "sh" 0x4b00 RX 0 NO => arithmetic::sh;
    A "a" 0x5a00 RX 0 NO => arithmetic::a;
    S "s" 0x5b00 RX 0 NO => arithmetic::s;
    AL "al" 0x5e00 RX 0 NO => arithmetic::al;
    SL "sl" 0x5f00 RX 0 NO => arithmetic::sl;
    AHI "ahi" 0xa70a RI 0 NO => arithmetic::ahi;
    AGHI "aghi" 0xa70b RI 0 NO => arithmetic::aghi;
    LPGR "lpgr" 0xb900 RRE 0 NO => arithmetic::lpgr;
    LNGR "lngr" 0xb901 RRE 0 NO => arithmetic::lngr;
    LCGR "lcgr" 0xb903 RRE 0 NO => arithmetic::lcgr;
    AGR "agr" 0xb908 RRE 0 NO => arithmetic::agr;
    SGR "sgr" 0xb909 RRE 0 NO => arithmetic::sgr;
    ALGR "algr" 0xb90a RRE 0 NO => arithmetic::algr;
    SLGR "slgr" 0xb90b RRE 0 NO => arithmetic::slgr;
    LPGFR "lpgfr" 0xb910 RRE 0 NO => arithmetic::lpgfr;
    LNGFR "lngfr" 0xb911 RRE 0 NO => arithmetic::lngfr;
    LCGFR "lcgfr" 0xb913 RRE 0 NO => arithmetic::lcgfr;
    AGFR "agfr" 0xb918 RRE 0 NO => arithmetic::agfr;
    SGFR "sgfr" 0xb919 RRE 0 NO => arithmetic::sgfr;
    ALGFR "algfr" 0xb91a RRE 0 NO => arithmetic::algfr;
    SLGFR "slgfr" 0xb91b RRE 0 NO => arithmetic::slgfr;
    ALCGR "alcgr" 0xb988 RRE 0 NO => arithmetic::alcgr;
    SLBGR "slbgr" 0xb989 RRE 0 NO => arithmetic::slbgr;
    ALCR "alcr" 0xb998 RRE 0 NO => arithmetic::alcr;
    SLBR "slbr" 0xb999 RRE 0 NO => arithmetic::slbr;
    AHHHR "ahhhr" 0xb9c8 RRF 45 NO => arithmetic::ahhhr;
    SHHHR "shhhr" 0xb9c9 RRF 45 NO => arithmetic::shhhr;
    ALHHHR "alhhhr" 0xb9ca RRF 45 NO => arithmetic::alhhhr;
    SLHHHR "slhhhr" 0xb9cb RRF 45 NO => arithmetic::slhhhr;
    AHHLR "ahhlr" 0xb9d8 RRF 45 NO => arithmetic::ahhlr;
    SHHLR "shhlr" 0xb9d9 RRF 45 NO => arithmetic::shhlr;
    ALHHLR "alhhlr" 0xb9da RRF 45 NO => arithmetic::alhhlr;
    SLHHLR "slhhlr" 0xb9db RRF 45 NO => arithmetic::slhhlr;
    AGRK "agrk" 0xb9e8 RRF 45 NO => arithmetic::agrk;
    SGRK "sgrk" 0xb9e9 RRF 45 NO => arithmetic::sgrk;
    ALGRK "algrk" 0xb9ea RRF 45 NO => arithmetic::algrk;
    SLGRK "slgrk" 0xb9eb RRF 45 NO => arithmetic::slgrk;
    ARK "ark" 0xb9f8 RRF 45 NO => arithmetic::ark;
    SRK "srk" 0xb9f9 RRF 45 NO => arithmetic::srk;
    ALRK "alrk" 0xb9fa RRF 45 NO => arithmetic::alrk;
    SLRK "slrk" 0xb9fb RRF 45 NO => arithmetic::slrk;
    SLGFI "slgfi" 0xc204 RIL 21 NO => arithmetic::slgfi;
    SLFI "slfi" 0xc205 RIL 21 NO => arithmetic::slfi;
    AGFI "agfi" 0xc208 RIL 21 NO => arithmetic::aghi;
    AFI "afi" 0xc209 RIL 21 NO => arithmetic::ahi;
    ALGFI "algfi" 0xc20a RIL 21 NO => arithmetic::algfi;
    ALFI "alfi" 0xc20b RIL 21 NO => arithmetic::alfi;
    AIH "aih" 0xcc08 RIL 45 NO => arithmetic::aih;
    ALSIH "alsih" 0xcc0a RIL 45 NO => arithmetic::alsih;
    ALSIHN "alsihn" 0xcc0b RIL 45 NO => arithmetic::alsihn;
    AG "ag" 0xe308 RXY 0 NO => arithmetic::ag;
    SG "sg" 0xe309 RXY 0 NO => arithmetic::sg;
    ALG "alg" 0xe30a RXY 0 NO => arithmetic::alg;
    SLG "slg" 0xe30b RXY 0 NO => arithmetic::slg;
    AGF "agf" 0xe318 RXY 0 NO => arithmetic::agf;
    SGF "sgf" 0xe319 RXY 0 NO => arithmetic::sgf;
    ALGF "algf" 0xe31a RXY 0 NO => arithmetic::algf;
    SLGF "slgf" 0xe31b RXY 0 NO => arithmetic::slgf;
    AGH "agh" 0xe338 RXY 58 NO => arithmetic::agh;
    SGH "sgh" 0xe339 RXY 58 NO => arithmetic::sgh;
    AY "ay" 0xe35a RXY 18 NO => arithmetic::a;
    SY "sy" 0xe35b RXY 18 NO => arithmetic::s;
    ALY "aly" 0xe35e RXY 18 NO => arithmetic::al;
    SLY "sly" 0xe35f RXY 18 NO => arithmetic::sl;
    AHY "ahy" 0xe37a RXY 18 NO => arithmetic::ah;
    SHY "shy" 0xe37b RXY 18 NO => arithmetic::sh;
    ALCG "alcg" 0xe388 RXY 0 NO => arithmetic::alcg;
    SLBG "slbg" 0xe389 RXY 0 NO => arithmetic::slbg;
    ALC "alc" 0xe398 RXY 0 NO => arithmetic::alc;
    SLB "slb" 0xe399 RXY 0 NO => arithmetic::slb;
    AHIK "ahik" 0xecd8 RIEd 45 NO => arithmetic::ahik;
    AGHIK "aghik" 0xecd9 RIEd 45 NO => arithmetic::aghik;
    ALHSIK "alhsik" 0xecda RIEd 45 NO => arithmetic::alhsik;
    ALGHSIK "alghsik" 0xecdb RIEd 45 NO => arithmetic::alghsik;

    // --- general: multiplication and division ---
    MR "mr" 0x1c00 RR 0 NO => multiply::mr;
    DR "dr" 0x1d00 RR 0 NO => multiply::dr;
    MH "mh" 0x4c00 RX 0 NO => multiply::mh;
    M "m" 0x5c00 RX 0 NO => multiply::m;
    D "d" 0x5d00 RX 0 NO => multiply::d;
    MS "ms" 0x7100 RX 0 NO => multiply::ms;
    MHI "mhi" 0xa70c RI 0 NO => multiply::msfi;
    MGHI "mghi" 0xa70d RI 0 NO => multiply::msgfi;
    MSR "msr" 0xb252 RRE 0 NO => multiply::msr;
    MSGR "msgr" 0xb90c RRE 0 NO => multiply::msgr;
    DSGR "dsgr" 0xb90d RRE 0 NO => multiply::dsgr;
    MSGFR "msgfr" 0xb91c RRE 0 NO => multiply::msgfr;
    DSGFR "dsgfr" 0xb91d RRE 0 NO => multiply::dsgfr;
    MLGR "mlgr" 0xb986 RRE 0 NO => multiply::mlgr;
    DLGR "dlgr" 0xb987 RRE 0 NO => multiply::dlgr;
    MLR "mlr" 0xb996 RRE 0 NO => multiply::mlr;
    DLR "dlr" 0xb997 RRE 0 NO => multiply::dlr;
    MGRK "mgrk" 0xb9ec RRF 58 NO => multiply::mgrk;
    MSGRKC "msgrkc" 0xb9ed RRF 58 NO => multiply::msgrkc;
    MSRKC "msrkc" 0xb9fd RRF 58 NO => multiply::msrkc;
    MSGFI "msgfi" 0xc200 RIL 34 NO => multiply::msgfi;
    MSFI "msfi" 0xc201 RIL 34 NO => multiply::msfi;
    MSG "msg" 0xe30c RXY 0 NO => multiply::msg;
    DSG "dsg" 0xe30d RXY 0 NO => multiply::dsg;
    MSGF "msgf" 0xe31c RXY 0 NO => multiply::msgf;
    DSGF "dsgf" 0xe31d RXY 0 NO => multiply::dsgf;
    MGH "mgh" 0xe33c RXY 58 NO => multiply::mgh;
    MSY "msy" 0xe351 RXY 18 NO => multiply::ms;
    MSC "msc" 0xe353 RXY 58 NO => multiply::msc;
    MFY "mfy" 0xe35c RXY 34 NO => multiply::m;
    MHY "mhy" 0xe37c RXY 34 NO => multiply::mh;
    MSGC "msgc" 0xe383 RXY 58 NO => multiply::msgc;
    MG "mg" 0xe384 RXY 58 NO => multiply::mg;
    MLG "mlg" 0xe386 RXY 0 NO => multiply::mlg;
    DLG "dlg" 0xe387 RXY 0 NO => multiply::dlg;
    ML "ml" 0xe396 RXY 0 NO => multiply::ml;
    DL "dl" 0xe397 RXY 0 NO => multiply::dl;

    // --- general: comparison ---
    CLR "clr" 0x1500 RR 0 NO => compare::clr;
    CR "cr" 0x1900 RR 0 NO => compare::cr;
    CH "ch" 0x4900 RX 0 NO => compare::ch;
    CL "cl" 0x5500 RX 0 NO => compare::cl;
    C "c" 0x5900 RX 0 NO => compare::c;
    TM "tm" 0x9100 SI 0 NO => compare::tm;
    CLI "cli" 0x9500 SI 0 NO => compare::cli;
    TMLH "tmlh" 0xa700 RI 0 NO => compare::tmlh;
    TMLL "tmll" 0xa701 RI 0 NO => compare::tmll;
    TMHH "tmhh" 0xa702 RI 0 NO => compare::tmhh;
    TMHL "tmhl" 0xa703 RI 0 NO => compare::tmhl;
    CHI "chi" 0xa70e RI 0 NO => compare::chi;
    CGHI "cghi" 0xa70f RI 0 NO => compare::cghi;
    CGR "cgr" 0xb920 RRE 0 NO => compare::cgr;
    CLGR "clgr" 0xb921 RRE 0 NO => compare::clgr;
    CGFR "cgfr" 0xb930 RRE 0 NO => compare::cgfr;
    CLGFR "clgfr" 0xb931 RRE 0 NO => compare::clgfr;
    CGRT "cgrt" 0xb960 RRF 34 NO => compare::cgrt;
    CLGRT "clgrt" 0xb961 RRF 34 NO => compare::clgrt;
    CRT "crt" 0xb972 RRF 34 NO => compare::crt;
    CLRT "clrt" 0xb973 RRF 34 NO => compare::clrt;
    CHHR "chhr" 0xb9cd RRE 45 NO => compare::chhr;
    CLHHR "clhhr" 0xb9cf RRE 45 NO => compare::clhhr;
    CHLR "chlr" 0xb9dd RRE 45 NO => compare::chlr;
    CLHLR "clhlr" 0xb9df RRE 45 NO => compare::clhlr;
    CLM "clm" 0xbd00 RS 0 NO => multiple::clm;
    CGFI "cgfi" 0xc20c RIL 21 NO => compare::cghi;
    CFI "cfi" 0xc20d RIL 21 NO => compare::chi;
    CLGFI "clgfi" 0xc20e RIL 21 NO => compare::clgfi;
    CLFI "clfi" 0xc20f RIL 21 NO => compare::clfi;
    CGHRL "cghrl" 0xc604 RILRel 34 NO => compare::cghrl;
    CHRL "chrl" 0xc605 RILRel 34 NO => compare::chrl;
    CLGHRL "clghrl" 0xc606 RILRel 34 NO => compare::clghrl;
    CLHRL "clhrl" 0xc607 RILRel 34 NO => compare::clhrl;
    CGRL "cgrl" 0xc608 RILRel 34 NO => compare::cgrl;
    CLGRL "clgrl" 0xc60a RILRel 34 NO => compare::clgrl;
    CGFRL "cgfrl" 0xc60c RILRel 34 NO => compare::cgfrl;
    CRL "crl" 0xc60d RILRel 34 NO => compare::crl;
    CLGFRL "clgfrl" 0xc60e RILRel 34 NO => compare::clgfrl;
    CLRL "clrl" 0xc60f RILRel 34 NO => compare::clrl;
    CIH "cih" 0xcc0d RIL 45 NO => compare::cih;
    CLIH "clih" 0xcc0f RIL 45 NO => compare::clih;
    CG "cg" 0xe320 RXY 0 NO => compare::cg;
    CLG "clg" 0xe321 RXY 0 NO => compare::clg;
    CGF "cgf" 0xe330 RXY 0 NO => compare::cgf;
    CLGF "clgf" 0xe331 RXY 0 NO => compare::clgf;
    CGH "cgh" 0xe334 RXY 34 NO => compare::cgh;
    CLY "cly" 0xe355 RXY 18 NO => compare::cl;
    CY "cy" 0xe359 RXY 18 NO => compare::c;
    CHY "chy" 0xe379 RXY 18 NO => compare::ch;
    CHF "chf" 0xe3cd RXY 45 NO => compare::chf;
    CLHF "clhf" 0xe3cf RXY 45 NO => compare::clhf;
    CHHSI "chhsi" 0xe554 SIL 34 NO => compare::chhsi;
    CLHHSI "clhhsi" 0xe555 SIL 34 NO => compare::clhhsi;
    CGHSI "cghsi" 0xe558 SIL 34 NO => compare::cghsi;
    CLGHSI "clghsi" 0xe559 SIL 34 NO => compare::clghsi;
    CHSI "chsi" 0xe55c SIL 34 NO => compare::chsi;
    CLFHSI "clfhsi" 0xe55d SIL 34 NO => compare::clfhsi;
    CLMH "clmh" 0xeb20 RSY 0 NO => multiple::clmh;
    CLMY "clmy" 0xeb21 RSY 18 NO => multiple::clm;
    CLT "clt" 0xeb23 RSY 49 NO => compare::clt;
    CLGT "clgt" 0xeb2b RSY 49 NO => compare::clgt;
    TMY "tmy" 0xeb51 SIY 18 NO => compare::tm;
    CLIY "cliy" 0xeb55 SIY 18 NO => compare::cli;
    CGIT "cgit" 0xec70 RIEa 34 NO => compare::cgit;
    CLGIT "clgit" 0xec71 RIEa 34 NO => compare::clgit;
    CIT "cit" 0xec72 RIEa 34 NO => compare::cit;
    CLFIT "clfit" 0xec73 RIEa 34 NO => compare::clfit;

    // --- general: logic, shifts, bits ---
    NR "nr" 0x1400 RR 0 NO => logical::nr;
    OR "or" 0x1600 RR 0 NO => logical::or;
    XR "xr" 0x1700 RR 0 NO => logical::xr;
    N "n" 0x5400 RX 0 NO => logical::n;
    O "o" 0x5600 RX 0 NO => logical::o;
    X "x" 0x5700 RX 0 NO => logical::x;
    SRL "srl" 0x8800 RS 0 NO => shift::srl;
    SLL "sll" 0x8900 RS 0 NO => shift::sll;
    SRA "sra" 0x8a00 RS 0 NO => shift::sra;
    SLA "sla" 0x8b00 RS 0 NO => shift::sla;
    SRDL "srdl" 0x8c00 RS 0 NO => shift::srdl;
    SLDL "sldl" 0x8d00 RS 0 NO => shift::sldl;
    SRDA "srda" 0x8e00 RS 0 NO => shift::srda;
    SLDA "slda" 0x8f00 RS 0 NO => shift::slda;
    NIHH "nihh" 0xa504 RI 0 NO => logical::nihh;
    NIHL "nihl" 0xa505 RI 0 NO => logical::nihl;
    NILH "nilh" 0xa506 RI 0 NO => logical::nilh;
    NILL "nill" 0xa507 RI 0 NO => logical::nill;
    OIHH "oihh" 0xa508 RI 0 NO => logical::oihh;
    OIHL "oihl" 0xa509 RI 0 NO => logical::oihl;
    OILH "oilh" 0xa50a RI 0 NO => logical::oilh;
    OILL "oill" 0xa50b RI 0 NO => logical::oill;
    NNGRK "nngrk" 0xb964 RRF 61 NO => logical::nngrk;
    OCGRK "ocgrk" 0xb965 RRF 61 NO => logical::ocgrk;
    NOGRK "nogrk" 0xb966 RRF 61 NO => logical::nogrk;
    NXGRK "nxgrk" 0xb967 RRF 61 NO => logical::nxgrk;
    NNRK "nnrk" 0xb974 RRF 61 NO => logical::nnrk;
    OCRK "ocrk" 0xb975 RRF 61 NO => logical::ocrk;
    NORK "nork" 0xb976 RRF 61 NO => logical::nork;
    NXRK "nxrk" 0xb977 RRF 61 NO => logical::nxrk;
    NGR "ngr" 0xb980 RRE 0 NO => logical::ngr;
    OGR "ogr" 0xb981 RRE 0 NO => logical::ogr;
    XGR "xgr" 0xb982 RRE 0 NO => logical::xgr;
    FLOGR "flogr" 0xb983 RRE 21 NO => bits::flogr;
    POPCNT "popcnt" 0xb9e1 RRF 45 NO => bits::popcnt;
    NGRK "ngrk" 0xb9e4 RRF 45 NO => logical::ngrk;
    NCGRK "ncgrk" 0xb9e5 RRF 61 NO => logical::ncgrk;
    OGRK "ogrk" 0xb9e6 RRF 45 NO => logical::ogrk;
    XGRK "xgrk" 0xb9e7 RRF 45 NO => logical::xgrk;
    NRK "nrk" 0xb9f4 RRF 45 NO => logical::nrk;
    NCRK "ncrk" 0xb9f5 RRF 61 NO => logical::ncrk;
    ORK "ork" 0xb9f6 RRF 45 NO => logical::ork;
    XRK "xrk" 0xb9f7 RRF 45 NO => logical::xrk;
    XIHF "xihf" 0xc006 RIL 21 NO => logical::xihf;
    XILF "xilf" 0xc007 RIL 21 NO => logical::xilf;
    NIHF "nihf" 0xc00a RIL 21 NO => logical::nihf;
    NILF "nilf" 0xc00b RIL 21 NO => logical::nilf;
    OIHF "oihf" 0xc00c RIL 21 NO => logical::oihf;
    OILF "oilf" 0xc00d RIL 21 NO => logical::oilf;
    NY "ny" 0xe354 RXY 18 NO => logical::n;
    OY "oy" 0xe356 RXY 18 NO => logical::o;
    XY "xy" 0xe357 RXY 18 NO => logical::x;
    NG "ng" 0xe380 RXY 0 NO => logical::ng;
    OG "og" 0xe381 RXY 0 NO => logical::og;
    XG "xg" 0xe382 RXY 0 NO => logical::xg;
    SRAG "srag" 0xeb0a RSY 0 NO => shift::srag;
    SLAG "slag" 0xeb0b RSY 0 NO => shift::slag;
    SRLG "srlg" 0xeb0c RSY 0 NO => shift::srlg;
    SLLG "sllg" 0xeb0d RSY 0 NO => shift::sllg;
    RLLG "rllg" 0xeb1c RSY 0 NO => shift::rllg;
    RLL "rll" 0xeb1d RSY 0 NO => shift::rll;
    SRAK "srak" 0xebdc RSY 45 NO => shift::srak;
    SLAK "slak" 0xebdd RSY 45 NO => shift::slak;
    SRLK "srlk" 0xebde RSY 45 NO => shift::srlk;
    SLLK "sllk" 0xebdf RSY 45 NO => shift::sllk;
    RISBLG "risblg" 0xec51 RIEf 45 NO => bits::risblg;
    RNSBG "rnsbg" 0xec54 RIEf 34 NO => bits::rnsbg;
    RISBG "risbg" 0xec55 RIEf 34 NO => bits::risbg;
    ROSBG "rosbg" 0xec56 RIEf 34 NO => bits::rosbg;
    RXSBG "rxsbg" 0xec57 RIEf 34 NO => bits::rxsbg;
    RISBGN "risbgn" 0xec59 RIEf 49 NO => bits::risbgn;
    RISBHG "risbhg" 0xec5d RIEf 45 NO => bits::risbhg;

    // --- general: loads and stores ---
    LTR "ltr" 0x1200 RR 0 NO => load::ltr;
    LR "lr" 0x1800 RR 0 NO => load::lr;
    STH "sth" 0x4000 RX 0 NO => store::sth;
    LA "la" 0x4100 RX 0 NO => load::la;
    STC "stc" 0x4200 RX 0 NO => store::stc;
    IC "ic" 0x4300 RX 0 NO => load::ic;
    LH "lh" 0x4800 RX 0 NO => load::lh;
    ST "st" 0x5000 RX 0 NO => store::st;
    LAE "lae" 0x5100 RX 0 NO => state::lae;
    L "l" 0x5800 RX 0 NO => load::l;
    STM "stm" 0x9000 RS 0 NO => multiple::stm;
    MVI "mvi" 0x9200 SI 0 NO => store::mvi;
    LM "lm" 0x9800 RS 0 NO => multiple::lm;
    LAM "lam" 0x9a00 RS 0 NO => state::lam;
    STAM "stam" 0x9b00 RS 0 NO => state::stam;
    IIHH "iihh" 0xa500 RI 0 NO => load::iihh;
    IIHL "iihl" 0xa501 RI 0 NO => load::iihl;
    IILH "iilh" 0xa502 RI 0 NO => load::iilh;
    IILL "iill" 0xa503 RI 0 NO => load::iill;
    LLIHH "llihh" 0xa50c RI 0 NO => load::llihh;
    LLIHL "llihl" 0xa50d RI 0 NO => load::llihl;
    LLILH "llilh" 0xa50e RI 0 NO => load::llilh;
    LLILL "llill" 0xa50f RI 0 NO => load::llill;
    LHI "lhi" 0xa708 RI 0 NO => load::lhi;
    LGHI "lghi" 0xa709 RI 0 NO => load::lgfi;
    CPYA "cpya" 0xb24d RRE 0 NO => state::cpya;
    SAR "sar" 0xb24e RRE 0 NO => state::sar;
    EAR "ear" 0xb24f RRE 0 NO => state::ear;
    LTGR "ltgr" 0xb902 RRE 0 NO => load::ltgr;
    LGR "lgr" 0xb904 RRE 0 NO => load::lgr;
    LGBR "lgbr" 0xb906 RRE 21 NO => load::lgbr;
    LGHR "lghr" 0xb907 RRE 21 NO => load::lghr;
    LRVGR "lrvgr" 0xb90f RRE 0 NO => load::lrvgr;
    LTGFR "ltgfr" 0xb912 RRE 0 NO => load::ltgfr;
    LGFR "lgfr" 0xb914 RRE 0 NO => load::lgfr;
    LLGFR "llgfr" 0xb916 RRE 0 NO => load::llgfr;
    LLGTR "llgtr" 0xb917 RRE 0 NO => load::llgtr;
    LRVR "lrvr" 0xb91f RRE 0 NO => load::lrvr;
    LBR "lbr" 0xb926 RRE 21 NO => load::lbr;
    LHR "lhr" 0xb927 RRE 21 NO => load::lhr;
    LLGCR "llgcr" 0xb984 RRE 21 NO => load::llgcr;
    LLGHR "llghr" 0xb985 RRE 21 NO => load::llghr;
    LLCR "llcr" 0xb994 RRE 21 NO => load::llcr;
    LLHR "llhr" 0xb995 RRE 21 NO => load::llhr;
    SELFHR "selfhr" 0xb9c0 RRF 61 NO => conditional::selfhr;
    LOCFHR "locfhr" 0xb9e0 RRF 53 NO => conditional::locfhr;
    LOCGR "locgr" 0xb9e2 RRF 45 NO => conditional::locgr;
    SELGR "selgr" 0xb9e3 RRF 61 NO => conditional::selgr;
    SELR "selr" 0xb9f0 RRF 61 NO => conditional::selr;
    LOCR "locr" 0xb9f2 RRF 45 NO => conditional::locr;
    STCM "stcm" 0xbe00 RS 0 NO => multiple::stcm;
    ICM "icm" 0xbf00 RS 0 NO => multiple::icm;
    LARL "larl" 0xc000 RILRel 0 NO => load::larl;
    LGFI "lgfi" 0xc001 RIL 21 NO => load::lgfi;
    IIHF "iihf" 0xc008 RIL 21 NO => load::iihf;
    IILF "iilf" 0xc009 RIL 21 NO => load::iilf;
    LLIHF "llihf" 0xc00e RIL 21 NO => load::llihf;
    LLILF "llilf" 0xc00f RIL 21 NO => load::llilf;
    LLHRL "llhrl" 0xc402 RILRel 34 NO => load::llhrl;
    LGHRL "lghrl" 0xc404 RILRel 34 NO => load::lghrl;
    LHRL "lhrl" 0xc405 RILRel 34 NO => load::lhrl;
    LLGHRL "llghrl" 0xc406 RILRel 34 NO => load::llghrl;
    STHRL "sthrl" 0xc407 RILRel 34 NO => store::sthrl;
    LGRL "lgrl" 0xc408 RILRel 34 NO => load::lgrl;
    STGRL "stgrl" 0xc40b RILRel 34 NO => store::stgrl;
    LGFRL "lgfrl" 0xc40c RILRel 34 NO => load::lgfrl;
    LRL "lrl" 0xc40d RILRel 34 NO => load::lrl;
    LLGFRL "llgfrl" 0xc40e RILRel 34 NO => load::llgfrl;
    STRL "strl" 0xc40f RILRel 34 NO => store::strl;
    LTG "ltg" 0xe302 RXY 21 NO => load::ltg;
    LG "lg" 0xe304 RXY 0 NO => load::lg;
    LRVG "lrvg" 0xe30f RXY 0 NO => load::lrvg;
    LT "lt" 0xe312 RXY 21 NO => load::lt;
    LGF "lgf" 0xe314 RXY 0 NO => load::lgf;
    LGH "lgh" 0xe315 RXY 0 NO => load::lgh;
    LLGF "llgf" 0xe316 RXY 0 NO => load::llgf;
    LLGT "llgt" 0xe317 RXY 0 NO => load::llgt;
    LRV "lrv" 0xe31e RXY 0 NO => load::lrv;
    LRVH "lrvh" 0xe31f RXY 0 NO => load::lrvh;
    STG "stg" 0xe324 RXY 0 NO => store::stg;
    LZRG "lzrg" 0xe32a RXY 53 NO => load::lzrg;
    STRVG "strvg" 0xe32f RXY 0 NO => store::strvg;
    LTGF "ltgf" 0xe332 RXY 34 NO => load::ltgf;
    LLZRGF "llzrgf" 0xe33a RXY 53 NO => load::llzrgf;
    LZRF "lzrf" 0xe33b RXY 53 NO => load::lzrf;
    STRV "strv" 0xe33e RXY 0 NO => store::strv;
    STRVH "strvh" 0xe33f RXY 0 NO => store::strvh;
    STY "sty" 0xe350 RXY 18 NO => store::st;
    LY "ly" 0xe358 RXY 18 NO => load::l;
    STHY "sthy" 0xe370 RXY 18 NO => store::sth;
    LAY "lay" 0xe371 RXY 18 NO => load::la;
    STCY "stcy" 0xe372 RXY 18 NO => store::stc;
    ICY "icy" 0xe373 RXY 18 NO => load::ic;
    LAEY "laey" 0xe375 RXY 34 NO => state::lae;
    LB "lb" 0xe376 RXY 18 NO => load::lb;
    LGB "lgb" 0xe377 RXY 18 NO => load::lgb;
    LHY "lhy" 0xe378 RXY 18 NO => load::lh;
    LGAT "lgat" 0xe385 RXY 49 NO => load::lgat;
    LLGC "llgc" 0xe390 RXY 0 NO => load::llgc;
    LLGH "llgh" 0xe391 RXY 0 NO => load::llgh;
    LLC "llc" 0xe394 RXY 21 NO => load::llc;
    LLH "llh" 0xe395 RXY 21 NO => load::llh;
    LLGTAT "llgtat" 0xe39c RXY 49 NO => load::llgtat;
    LLGFAT "llgfat" 0xe39d RXY 49 NO => load::llgfat;
    LAT "lat" 0xe39f RXY 49 NO => load::lat;
    LBH "lbh" 0xe3c0 RXY 45 NO => load::lbh;
    LLCH "llch" 0xe3c2 RXY 45 NO => load::llch;
    STCH "stch" 0xe3c3 RXY 45 NO => store::stch;
    LHH "lhh" 0xe3c4 RXY 45 NO => load::lhh;
    LLHH "llhh" 0xe3c6 RXY 45 NO => load::llhh;
    STHH "sthh" 0xe3c7 RXY 45 NO => store::sthh;
    LFHAT "lfhat" 0xe3c8 RXY 49 NO => load::lfhat;
    LFH "lfh" 0xe3ca RXY 45 NO => load::lfh;
    STFH "stfh" 0xe3cb RXY 45 NO => store::stfh;
    MVHHI "mvhhi" 0xe544 SIL 34 NO => store::mvhhi;
    MVGHI "mvghi" 0xe548 SIL 34 NO => store::mvghi;
    MVHI "mvhi" 0xe54c SIL 34 NO => store::mvhi;
    LMG "lmg" 0xeb04 RSY 0 NO => multiple::lmg;
    STMG "stmg" 0xeb24 RSY 0 NO => multiple::stmg;
    STMH "stmh" 0xeb26 RSY 0 NO => multiple::stmh;
    STCMH "stcmh" 0xeb2c RSY 0 NO => multiple::stcmh;
    STCMY "stcmy" 0xeb2d RSY 18 NO => multiple::stcm;
    MVIY "mviy" 0xeb52 SIY 18 NO => store::mvi;
    ICMH "icmh" 0xeb80 RSY 0 NO => multiple::icmh;
    ICMY "icmy" 0xeb81 RSY 18 NO => multiple::icm;
    STMY "stmy" 0xeb90 RSY 18 NO => multiple::stm;
    LMH "lmh" 0xeb96 RSY 0 NO => multiple::lmh;
    LMY "lmy" 0xeb98 RSY 18 NO => multiple::lm;
    LAMY "lamy" 0xeb9a RSY 18 NO => state::lam;
    STAMY "stamy" 0xeb9b RSY 18 NO => state::stam;
    LOCFH "locfh" 0xebe0 RSY 53 NO => conditional::locfh;
    STOCFH "stocfh" 0xebe1 RSY 53 NO => conditional::stocfh;
    LOCG "locg" 0xebe2 RSY 45 NO => conditional::locg;
    STOCG "stocg" 0xebe3 RSY 45 NO => conditional::stocg;
    LOC "loc" 0xebf2 RSY 45 NO => conditional::loc;
    STOC "stoc" 0xebf3 RSY 45 NO => conditional::stoc;
    LOCHI "lochi" 0xec42 RIEg 53 NO => conditional::lochi;
    LOCGHI "locghi" 0xec46 RIEg 53 NO => conditional::locghi;
    LOCHHI "lochhi" 0xec4e RIEg 53 NO => conditional::lochhi;
    LMD "lmd" 0xef00 SSd 0 NO => multiple::lmd;

    // --- general: interlocked ---
    TS "ts" 0x9300 SI 0 NO => interlocked::ts;
    NI "ni" 0x9400 SI 0 NO => interlocked::ni;
    OI "oi" 0x9600 SI 0 NO => interlocked::oi;
    XI "xi" 0x9700 SI 0 NO => interlocked::xi;
    CS "cs" 0xba00 RS 0 NO => interlocked::cs;
    CDS "cds" 0xbb00 RS 0 NO => interlocked::cds;
    CSST "csst" 0xc802 SSF 32 NO => interlocked::csst;
    LPD "lpd" 0xc804 SSF 45 NO => interlocked::lpd;
    LPDG "lpdg" 0xc805 SSF 45 NO => interlocked::lpdg;
    STPQ "stpq" 0xe38e RXY 0 NO => interlocked::stpq;
    LPQ "lpq" 0xe38f RXY 0 NO => interlocked::lpq;
    CSY "csy" 0xeb14 RSY 18 NO => interlocked::cs;
    CSG "csg" 0xeb30 RSY 0 NO => interlocked::csg;
    CDSY "cdsy" 0xeb31 RSY 18 NO => interlocked::cds;
    CDSG "cdsg" 0xeb3e RSY 0 NO => interlocked::cdsg;
    NIY "niy" 0xeb54 SIY 18 NO => interlocked::ni;
    OIY "oiy" 0xeb56 SIY 18 NO => interlocked::oi;
    XIY "xiy" 0xeb57 SIY 18 NO => interlocked::xi;
    ASI "asi" 0xeb6a SIY 34 NO => interlocked::asi;
    ALSI "alsi" 0xeb6e SIY 34 NO => interlocked::alsi;
    AGSI "agsi" 0xeb7a SIY 34 NO => interlocked::agsi;
    ALGSI "algsi" 0xeb7e SIY 34 NO => interlocked::algsi;
    LANG "lang" 0xebe4 RSY 45 NO => interlocked::lang;
    LAOG "laog" 0xebe6 RSY 45 NO => interlocked::laog;
    LAXG "laxg" 0xebe7 RSY 45 NO => interlocked::laxg;
    LAAG "laag" 0xebe8 RSY 45 NO => interlocked::laag;
    LAALG "laalg" 0xebea RSY 45 NO => interlocked::laalg;
    LAN "lan" 0xebf4 RSY 45 NO => interlocked::lan;
    LAO "lao" 0xebf6 RSY 45 NO => interlocked::lao;
    LAX "lax" 0xebf7 RSY 45 NO => interlocked::lax;
    LAA "laa" 0xebf8 RSY 45 NO => interlocked::laa;
    LAAL "laal" 0xebfa RSY 45 NO => interlocked::laal;

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
    KMAC "kmac" 0xb91e RRE 17 NO => message_security::digest;
    KM "km" 0xb92e RRE 17 NO => message_security::cipher;
    KMC "kmc" 0xb92f RRE 17 NO => message_security::cipher;
    KIMD "kimd" 0xb93e RRE 17 NO => message_security::digest;
    KLMD "klmd" 0xb93f RRE 17 NO => message_security::digest;
    TRTT "trtt" 0xb990 RRF 16 NO => translate::trtt;
    TRTO "trto" 0xb991 RRF 16 NO => translate::trto;
    TROT "trot" 0xb992 RRF 16 NO => translate::trot;
    TROO "troo" 0xb993 RRF 16 NO => translate::troo;
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
    PKU "pku" 0xe100 SSa 16 NO => decimal::pku;
    UNPKU "unpku" 0xe200 SSa 16 NO => decimal::unpku;
    CVBY "cvby" 0xe306 RXY 18 NO => decimal::cvb;
    CVBG "cvbg" 0xe30e RXY 0 NO => decimal::cvbg;
    CVDY "cvdy" 0xe326 RXY 18 NO => decimal::cvd;
    CVDG "cvdg" 0xe32e RXY 0 NO => decimal::cvdg;
    MVCRL "mvcrl" 0xe50a SSE 61 NO => storage::mvcrl;
    MVCIN "mvcin" 0xe800 SSa 0 NO => storage::mvcin;
    PKA "pka" 0xe900 SSa 16 NO => decimal::pka;
    UNPKA "unpka" 0xea00 SSa 16 NO => decimal::unpka;
    MVCLU "mvclu" 0xeb8e RSY 16 NO => long::mvclu;
    CLCLU "clclu" 0xeb8f RSY 16 NO => long::clclu;
    TP "tp" 0xebc0 RSL 16 NO => decimal::tp;
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
    PTFF "ptff" 0x0104 E 28 NO => control::ptff;
    SCKPF "sckpf" 0x0107 E 0 PRIV => control::sckpf;
    SVC "svc" 0x0a00 I 0 END => control::svc;
    SSM "ssm" 0x8000 S 0 PRIV_END => control::ssm;
    LPSW "lpsw" 0x8200 S 0 PRIV_END => control::lpsw;
    DIAG "diag" 0x8300 RS 0 PRIV_END => control::intercept;
    TRACE "trace" 0x9900 RS 0 PRIV => control::trace;
    STNSM "stnsm" 0xac00 SI 0 PRIV_END => control::stnsm;
    STOSM "stosm" 0xad00 SI 0 PRIV_END => control::stosm;
    SIGP "sigp" 0xae00 RS 0 PRIV_END => control::intercept;
    STIDP "stidp" 0xb202 S 0 PRIV => control::stidp;
    SCK "sck" 0xb204 S 0 PRIV_END => control::sck;
    STCK "stck" 0xb205 S 0 NO => control::stck;
    SCKC "sckc" 0xb206 S 0 PRIV_END => control::sckc;
    STCKC "stckc" 0xb207 S 0 PRIV => control::stckc;
    SPT "spt" 0xb208 S 0 PRIV_END => control::spt;
    STPT "stpt" 0xb209 S 0 PRIV => control::stpt;
    SPKA "spka" 0xb20a S 0 END => control::spka;
    IPK "ipk" 0xb20b S 0 NO => control::ipk;
    SPX "spx" 0xb210 S 0 PRIV_END => control::spx;
    STPX "stpx" 0xb211 S 0 PRIV => control::stpx;
    STAP "stap" 0xb212 S 0 PRIV => control::stap;
    SERVC "servc" 0xb220 RRE 0 PRIV_END => control::intercept;
    CSCH "csch" 0xb230 S 0 PRIV_END => control::intercept;
    HSCH "hsch" 0xb231 S 0 PRIV_END => control::intercept;
    MSCH "msch" 0xb232 S 0 PRIV_END => control::intercept;
    SSCH "ssch" 0xb233 S 0 PRIV_END => control::intercept;
    STSCH "stsch" 0xb234 S 0 PRIV_END => control::intercept;
    TSCH "tsch" 0xb235 S 0 PRIV_END => control::intercept;
    TPI "tpi" 0xb236 S 0 PRIV_END => control::intercept;
    SAL "sal" 0xb237 S 0 PRIV_END => control::intercept;
    RSCH "rsch" 0xb238 S 0 PRIV_END => control::intercept;
    STCRW "stcrw" 0xb239 S 0 PRIV_END => control::intercept;
    STCPS "stcps" 0xb23a S 0 PRIV_END => control::intercept;
    RCHP "rchp" 0xb23b S 0 PRIV_END => control::intercept;
    SCHM "schm" 0xb23c S 0 PRIV_END => control::intercept;
    CHSC "chsc" 0xb25f RRE 0 PRIV_END => control::intercept;
    XSCH "xsch" 0xb276 S 0 PRIV_END => control::intercept;
    STCKE "stcke" 0xb278 S 0 NO => control::stcke;
    STCKF "stckf" 0xb27c S 25 NO => control::stckf;
    STSI "stsi" 0xb27d S 0 PRIV_END => control::intercept;
    LPP "lpp" 0xb280 S 40 PRIV => control::lpp;
    STFLE "stfle" 0xb2b0 S 7 NO => control::stfle;
    STFL "stfl" 0xb2b1 S 0 PRIV_END => control::stfl;
    LPSWE "lpswe" 0xb2b2 S 0 PRIV_END => control::lpswe;
    STCTL "stctl" 0xb600 RS 0 PRIV => control::stctl;
    LCTL "lctl" 0xb700 RS 0 PRIV_END => control::lctl;
    EPSW "epsw" 0xb98d RRE 0 NO => control::epsw;
    ECTG "ectg" 0xc801 SSF 31 NO => control::ectg;
    TRACG "tracg" 0xeb0f RSY 0 PRIV => control::trace;
    STCTG "stctg" 0xeb25 RSY 0 PRIV => control::stctg;
    LCTLG "lctlg" 0xeb2f RSY 0 PRIV_END => control::lctlg;
    ECAG "ecag" 0xeb4c RSY 34 NO => control::ecag;

    // --- translation, address spaces, storage keys ---
    LRA "lra" 0xb100 RX 0 PRIV => translation::lra;
    PTLB "ptlb" 0xb20d S 0 PRIV_END => translation::ptlb;
    SAC "sac" 0xb219 S 0 END => translation::sac;
    IPTE "ipte" 0xb221 RRF 0 PRIV_END => translation::ipte;
    IVSK "ivsk" 0xb223 RRE 0 NO => translation::ivsk;
    IAC "iac" 0xb224 RRE 0 NO => translation::iac;
    ISKE "iske" 0xb229 RRE 0 PRIV => translation::iske;
    RRBE "rrbe" 0xb22a RRE 0 PRIV_END => translation::rrbe;
    SSKE "sske" 0xb22b RRF 0 PRIV_END => translation::sske;
    TB "tb" 0xb22c RRE 0 PRIV_END => translation::tb;
    STURA "stura" 0xb246 RRE 0 PRIV => translation::stura;
    PALB "palb" 0xb248 RRE 0 PRIV => translation::palb;
    LURA "lura" 0xb24b RRE 0 PRIV => translation::lura;
    CSP "csp" 0xb250 RRE 0 PRIV_END => translation::csp;
    SACF "sacf" 0xb279 S 0 END => translation::sac;
    LURAG "lurag" 0xb905 RRE 0 PRIV => translation::lurag;
    STURG "sturg" 0xb925 RRE 0 PRIV => translation::sturg;
    CSPG "cspg" 0xb98a RRE 3 PRIV_END => translation::cspg;
    IDTE "idte" 0xb98e RRF 3 PRIV_END => translation::idte;
    MVCOS "mvcos" 0xc800 SSF 27 NO => translation::mvcos;
    MVCK "mvck" 0xd900 SSd 0 NO => translation::mvck;
    MVCP "mvcp" 0xda00 SSd 0 NO => translation::mvcp;
    MVCS "mvcs" 0xdb00 SSd 0 NO => translation::mvcs;
    LRAG "lrag" 0xe303 RXY 0 PRIV => translation::lrag;
    LRAY "lray" 0xe313 RXY 18 PRIV => translation::lra;
    TPROT "tprot" 0xe501 SSE 0 PRIV => translation::tprot;
    STRAG "strag" 0xe502 SSE 0 PRIV => translation::strag;
    MVCSK "mvcsk" 0xe50e SSE 0 NO => translation::mvcsk;
    MVCDK "mvcdk" 0xe50f SSE 0 NO => translation::mvcdk;

    // --- floating-point registers ---
    LDR "ldr" 0x2800 RR 0 FPR => fp_registers::ldr;
    LER "ler" 0x3800 RR 0 FPR => fp_registers::ler;
    STD "std" 0x6000 RX 0 FPR => fp_registers::std;
    LD "ld" 0x6800 RX 0 FPR => fp_registers::ld;
    STE "ste" 0x7000 RX 0 FPR => fp_registers::ste;
    LE "le" 0x7800 RX 0 FPR => fp_registers::le;
    LDER "lder" 0xb324 RRE 0 FPR => fp_registers::lder;
    LXR "lxr" 0xb365 RRE 0 FPR => fp_registers::lxr;
    LPDFR "lpdfr" 0xb370 RRE 41 FPR => fp_registers::lpdfr;
    LNDFR "lndfr" 0xb371 RRE 41 FPR => fp_registers::lndfr;
    CPSDR "cpsdr" 0xb372 RRF 41 FPR => fp_registers::cpsdr;
    LCDFR "lcdfr" 0xb373 RRE 41 FPR => fp_registers::lcdfr;
    LZER "lzer" 0xb374 RRE 0 FPR => fp_registers::lzer;
    LZDR "lzdr" 0xb375 RRE 0 FPR => fp_registers::lzdr;
    LZXR "lzxr" 0xb376 RRE 0 FPR => fp_registers::lzxr;
    LDGR "ldgr" 0xb3c1 RRE 41 FPR => fp_registers::ldgr;
    LGDR "lgdr" 0xb3cd RRE 41 FPR => fp_registers::lgdr;
    LDE "lde" 0xed24 RXE 0 FPR => fp_registers::lde;
    LEY "ley" 0xed64 RXY 18 FPR => fp_registers::le;
    LDY "ldy" 0xed65 RXY 18 FPR => fp_registers::ld;
    STEY "stey" 0xed66 RXY 18 FPR => fp_registers::ste;
    STDY "stdy" 0xed67 RXY 18 FPR => fp_registers::std;

    // --- binary floating point ---
    SRNM "srnm" 0xb299 S 0 BFP => bfp::srnm;
    STFPC "stfpc" 0xb29c S 0 BFP => bfp::stfpc;
    LFPC "lfpc" 0xb29d S 0 BFP => bfp::lfpc;
    SRNMB "srnmb" 0xb2b8 S 37 BFP => bfp::srnmb;
    LFAS "lfas" 0xb2bd S 41 BFP => bfp::lfas;
    LPEBR "lpebr" 0xb300 RRE 0 BFP => bfp::lpebr;
    LNEBR "lnebr" 0xb301 RRE 0 BFP => bfp::lnebr;
    LTEBR "ltebr" 0xb302 RRE 0 BFP => bfp::ltebr;
    LCEBR "lcebr" 0xb303 RRE 0 BFP => bfp::lcebr;
    LDEBR "ldebr" 0xb304 RRE 0 BFP => bfp::ldebr;
    LXDBR "lxdbr" 0xb305 RRE 0 BFP => bfp::lxdbr;
    LXEBR "lxebr" 0xb306 RRE 0 BFP => bfp::lxebr;
    MXDBR "mxdbr" 0xb307 RRE 0 BFP => bfp::mxdbr;
    KEBR "kebr" 0xb308 RRE 0 BFP => bfp::kebr;
    CEBR "cebr" 0xb309 RRE 0 BFP => bfp::cebr;
    AEBR "aebr" 0xb30a RRE 0 BFP => bfp::aebr;
    SEBR "sebr" 0xb30b RRE 0 BFP => bfp::sebr;
    MDEBR "mdebr" 0xb30c RRE 0 BFP => bfp::mdebr;
    DEBR "debr" 0xb30d RRE 0 BFP => bfp::debr;
    MAEBR "maebr" 0xb30e RRD 0 BFP => bfp::maebr;
    MSEBR "msebr" 0xb30f RRD 0 BFP => bfp::msebr;
    LPDBR "lpdbr" 0xb310 RRE 0 BFP => bfp::lpdbr;
    LNDBR "lndbr" 0xb311 RRE 0 BFP => bfp::lndbr;
    LTDBR "ltdbr" 0xb312 RRE 0 BFP => bfp::ltdbr;
    LCDBR "lcdbr" 0xb313 RRE 0 BFP => bfp::lcdbr;
    SQEBR "sqebr" 0xb314 RRE 0 BFP => bfp::sqebr;
    SQDBR "sqdbr" 0xb315 RRE 0 BFP => bfp::sqdbr;
    SQXBR "sqxbr" 0xb316 RRE 0 BFP => bfp::sqxbr;
    MEEBR "meebr" 0xb317 RRE 0 BFP => bfp::meebr;
    KDBR "kdbr" 0xb318 RRE 0 BFP => bfp::kdbr;
    CDBR "cdbr" 0xb319 RRE 0 BFP => bfp::cdbr;
    ADBR "adbr" 0xb31a RRE 0 BFP => bfp::adbr;
    SDBR "sdbr" 0xb31b RRE 0 BFP => bfp::sdbr;
    MDBR "mdbr" 0xb31c RRE 0 BFP => bfp::mdbr;
    DDBR "ddbr" 0xb31d RRE 0 BFP => bfp::ddbr;
    MADBR "madbr" 0xb31e RRD 0 BFP => bfp::madbr;
    MSDBR "msdbr" 0xb31f RRD 0 BFP => bfp::msdbr;
    LPXBR "lpxbr" 0xb340 RRE 0 BFP => bfp::lpxbr;
    LNXBR "lnxbr" 0xb341 RRE 0 BFP => bfp::lnxbr;
    LTXBR "ltxbr" 0xb342 RRE 0 BFP => bfp::ltxbr;
    LCXBR "lcxbr" 0xb343 RRE 0 BFP => bfp::lcxbr;
    LEDBR "ledbr" 0xb344 RRF 0 BFP => bfp::ledbr;
    LDXBR "ldxbr" 0xb345 RRF 0 BFP => bfp::ldxbr;
    LEXBR "lexbr" 0xb346 RRF 0 BFP => bfp::lexbr;
    FIXBR "fixbr" 0xb347 RRF 0 BFP => bfp::fixbr;
    KXBR "kxbr" 0xb348 RRE 0 BFP => bfp::kxbr;
    CXBR "cxbr" 0xb349 RRE 0 BFP => bfp::cxbr;
    AXBR "axbr" 0xb34a RRE 0 BFP => bfp::axbr;
    SXBR "sxbr" 0xb34b RRE 0 BFP => bfp::sxbr;
    MXBR "mxbr" 0xb34c RRE 0 BFP => bfp::mxbr;
    DXBR "dxbr" 0xb34d RRE 0 BFP => bfp::dxbr;
    DIEBR "diebr" 0xb353 RRF 0 BFP => bfp::diebr;
    FIEBR "fiebr" 0xb357 RRF 0 BFP => bfp::fiebr;
    DIDBR "didbr" 0xb35b RRF 0 BFP => bfp::didbr;
    FIDBR "fidbr" 0xb35f RRF 0 BFP => bfp::fidbr;
    SFPC "sfpc" 0xb384 RRE 0 BFP => bfp::sfpc;
    SFASR "sfasr" 0xb385 RRE 41 BFP => bfp::sfasr;
    EFPC "efpc" 0xb38c RRE 0 BFP => bfp::efpc;
    CELFBR "celfbr" 0xb390 RRF 37 BFP => bfp::celfbr;
    CDLFBR "cdlfbr" 0xb391 RRF 37 BFP => bfp::cdlfbr;
    CXLFBR "cxlfbr" 0xb392 RRF 37 BFP => bfp::cxlfbr;
    CEFBR "cefbr" 0xb394 RRF 0 BFP => bfp::cefbr;
    CDFBR "cdfbr" 0xb395 RRF 0 BFP => bfp::cdfbr;
    CXFBR "cxfbr" 0xb396 RRF 0 BFP => bfp::cxfbr;
    CFEBR "cfebr" 0xb398 RRF 0 BFP => bfp::cfebr;
    CFDBR "cfdbr" 0xb399 RRF 0 BFP => bfp::cfdbr;
    CFXBR "cfxbr" 0xb39a RRF 0 BFP => bfp::cfxbr;
    CLFEBR "clfebr" 0xb39c RRF 37 BFP => bfp::clfebr;
    CLFDBR "clfdbr" 0xb39d RRF 37 BFP => bfp::clfdbr;
    CLFXBR "clfxbr" 0xb39e RRF 37 BFP => bfp::clfxbr;
    CELGBR "celgbr" 0xb3a0 RRF 37 BFP => bfp::celgbr;
    CDLGBR "cdlgbr" 0xb3a1 RRF 37 BFP => bfp::cdlgbr;
    CXLGBR "cxlgbr" 0xb3a2 RRF 37 BFP => bfp::cxlgbr;
    CEGBR "cegbr" 0xb3a4 RRF 0 BFP => bfp::cegbr;
    CDGBR "cdgbr" 0xb3a5 RRF 0 BFP => bfp::cdgbr;
    CXGBR "cxgbr" 0xb3a6 RRF 0 BFP => bfp::cxgbr;
    CGEBR "cgebr" 0xb3a8 RRF 0 BFP => bfp::cgebr;
    CGDBR "cgdbr" 0xb3a9 RRF 0 BFP => bfp::cgdbr;
    CGXBR "cgxbr" 0xb3aa RRF 0 BFP => bfp::cgxbr;
    CLGEBR "clgebr" 0xb3ac RRF 37 BFP => bfp::clgebr;
    CLGDBR "clgdbr" 0xb3ad RRF 37 BFP => bfp::clgdbr;
    CLGXBR "clgxbr" 0xb3ae RRF 37 BFP => bfp::clgxbr;
    LDEB "ldeb" 0xed04 RXE 0 BFP => bfp::ldeb;
    LXDB "lxdb" 0xed05 RXE 0 BFP => bfp::lxdb;
    LXEB "lxeb" 0xed06 RXE 0 BFP => bfp::lxeb;
    MXDB "mxdb" 0xed07 RXE 0 BFP => bfp::mxdb;
    KEB "keb" 0xed08 RXE 0 BFP => bfp::keb;
    CEB "ceb" 0xed09 RXE 0 BFP => bfp::ceb;
    AEB "aeb" 0xed0a RXE 0 BFP => bfp::aeb;
    SEB "seb" 0xed0b RXE 0 BFP => bfp::seb;
    MDEB "mdeb" 0xed0c RXE 0 BFP => bfp::mdeb;
    DEB "deb" 0xed0d RXE 0 BFP => bfp::deb;
    MAEB "maeb" 0xed0e RXF 0 BFP => bfp::maeb;
    MSEB "mseb" 0xed0f RXF 0 BFP => bfp::mseb;
    TCEB "tceb" 0xed10 RXE 0 BFP => bfp::tceb;
    TCDB "tcdb" 0xed11 RXE 0 BFP => bfp::tcdb;
    TCXB "tcxb" 0xed12 RXE 0 BFP => bfp::tcxb;
    SQEB "sqeb" 0xed14 RXE 0 BFP => bfp::sqeb;
    SQDB "sqdb" 0xed15 RXE 0 BFP => bfp::sqdb;
    MEEB "meeb" 0xed17 RXE 0 BFP => bfp::meeb;
    KDB "kdb" 0xed18 RXE 0 BFP => bfp::kdb;
    CDB "cdb" 0xed19 RXE 0 BFP => bfp::cdb;
    ADB "adb" 0xed1a RXE 0 BFP => bfp::adb;
    SDB "sdb" 0xed1b RXE 0 BFP => bfp::sdb;
    MDB "mdb" 0xed1c RXE 0 BFP => bfp::mdb;
    DDB "ddb" 0xed1d RXE 0 BFP => bfp::ddb;
    MADB "madb" 0xed1e RXF 0 BFP => bfp::madb;
    MSDB "msdb" 0xed1f RXF 0 BFP => bfp::msdb;
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
