// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the oracle, qemu-user 10, may differ from this CPU: a closed list.
//!
//! An entry names the instructions, says what the peer does and what the Principles of Operation
//! (PoP) want instead, and mends an outcome that shows exactly this error. All else of the outcome
//! is compared as ever. README.md has the same list, which a test holds it to.

use s390_cpu::table::Entry;

use super::encode::{self, fields, Field};
use super::format::*;

/// Bits of the data-exception code of an IEEE exception.
const INVALID: u32 = 0x80;
const OVERFLOW_OR_UNDERFLOW: u32 = 0x30;
const UNDERFLOW: u32 = 0x10;
const INEXACT: u32 = 0x08;
const INCREMENTED: u32 = 0x04;

/// A case, what this CPU made of it, and how to read its instruction.
#[derive(Debug)]
pub struct Trial<'a> {
    case: &'a Case,
    ours: &'a Outcome,
    /// After a trap that completes the instruction: what this CPU makes of the case when nothing
    /// but invalid operation and division by zero traps.
    untrapped: Option<&'a Outcome>,
    /// The instruction, or the target of the EXECUTE.
    entry: &'static Entry,
    text: u64,
}

/// Mnemonics as people read them.
pub fn names(mnemonics: &[&str]) -> String {
    if mnemonics == ROUNDING {
        "BFP instructions that round".into()
    } else if mnemonics == TO_INTEGER {
        "CONVERT TO FIXED, CONVERT TO LOGICAL (BFP)".into()
    } else {
        mnemonics.join(", ").to_uppercase()
    }
}

/// An entry of the list.
pub struct Deviation {
    /// The instructions.
    pub mnemonics: &'static [&'static str],
    /// What the peer does, and what the architecture says.
    pub text: &'static str,
    /// Where the peer's outcome shows it: the outcome without it.
    mend: fn(&Trial, &mut Outcome),
}

/// Instructions that round.
#[rustfmt::skip]
pub const ROUNDING: &[&str] = &[
    "aebr", "adbr", "axbr", "aeb", "adb", "sebr", "sdbr", "sxbr", "seb", "sdb",
    "meebr", "mdbr", "mxbr", "meeb", "mdb", "maebr", "madbr", "maeb", "madb",
    "msebr", "msdbr", "mseb", "msdb", "debr", "ddbr", "dxbr", "deb", "ddb",
    "sqebr", "sqdbr", "sqxbr", "sqeb", "sqdb", "fiebr", "fidbr", "fixbr",
    "ledbr", "ldxbr", "lexbr", "cefbr", "cegbr", "cdgbr", "celfbr", "celgbr", "cdlgbr",
    "cfebr", "cfdbr", "cfxbr", "cgebr", "cgdbr", "cgxbr",
    "clfebr", "clfdbr", "clfxbr", "clgebr", "clgdbr", "clgxbr",
];

/// CONVERT TO FIXED and CONVERT TO LOGICAL.
#[rustfmt::skip]
pub const TO_INTEGER: &[&str] = &[
    "cfebr", "cfdbr", "cfxbr", "cgebr", "cgdbr", "cgxbr",
    "clfebr", "clfdbr", "clfxbr", "clgebr", "clgdbr", "clgxbr",
];

/// The peer is wrong.
pub static ERRORS: &[Deviation] = &[
    // PoP 7, "LOAD ADDRESS": in the 31-bit mode bits 0-31 of R1 remain unchanged, bit 32 is zero.
    Deviation {
        mnemonics: &["la", "lae", "lay", "laey", "larl"],
        text: "in the 31-bit mode, changes bits 0-31 of R1, and LARL sets bit 32",
        mend: |t, theirs| {
            if !t.case.before.mode_31 {
                return;
            }
            let r1 = t.register(Field::R1);
            let value = &mut theirs.after.gpr[r1];
            let old = t.case.before.gpr[r1] & !0xffff_ffff;
            if t.entry.mnemonic == "larl" {
                let distance = 2 * i64::from(t.text as i32);
                let base = match t.case.target.len() {
                    0 => t.case.before.psw_address,
                    _ => t.case.address(SLOT_TARGET),
                };
                let sum = base.wrapping_add(distance as u64);
                if *value == sum {
                    *value = old | sum & 0x7fff_ffff;
                }
            } else if *value >> 32 == 0 {
                *value |= old;
            }
        },
    },
    // PoP 7, "STORE MULTIPLE": STMH stores bits 0-31 of the registers.
    Deviation {
        mnemonics: &["stmh"],
        text: "stores zeros",
        mend: |t, theirs| {
            let (r1, r3) = (t.register(Field::R1), t.register(Field::R3));
            for n in 0..=(r3.wrapping_sub(r1) & 15) {
                let high = (t.case.before.gpr[(r1 + n) & 15] >> 32) as u32;
                let at = t.storage().wrapping_add(4 * n as u64);
                if let Some(bytes) = window(theirs, at, 4) {
                    if bytes == [0; 4] {
                        bytes.copy_from_slice(&high.to_be_bytes());
                    }
                }
            }
        },
    },
    // PoP 7, "COMPARE AND SWAP AND STORE": with function code 0, the old value goes to bits 32-63.
    Deviation {
        mnemonics: &["csst"],
        text: "with function code 0, loads bits 0-31 of R3",
        mend: |t, theirs| {
            let r3 = t.register(Field::R3);
            let (old, value) = (t.case.before.gpr[r3], &mut theirs.after.gpr[r3]);
            if t.case.before.gpr[0] & 0xff == 0 && *value as u32 == old as u32 {
                *value = old & !0xffff_ffff | *value >> 32;
            }
        },
    },
    // PoP 7, "COMPARE AND SWAP AND STORE": the parameter list is on a quadword boundary.
    Deviation {
        mnemonics: &["csst"],
        text: "no specification exception where the parameter list is not on a quadword boundary",
        mend: |t, theirs| {
            if t.case.before.gpr[1] & 15 != 0 {
                *theirs = t.specification();
            }
        },
    },
    // PoP 7, "COMPARE LOGICAL STRING": bits 32-55 of GR0 must be zeros.
    Deviation {
        mnemonics: &["clst"],
        text: "no specification exception where bits 32-55 of GR0 are not zero",
        mend: |t, theirs| {
            if t.case.before.gpr[0] & 0xffff_ff00 != 0 {
                *theirs = t.specification();
            }
        },
    },
    // PoP 7, "MOVE LONG UNICODE": the lengths must be even.
    Deviation {
        mnemonics: &["mvclu"],
        text: "no specification exception where a length is odd",
        mend: |t, theirs| {
            let odd = [Field::R1, Field::R3].map(|r| t.case.before.gpr[t.register(r) | 1] & 1);
            if odd != [0, 0] {
                *theirs = t.specification();
            }
        },
    },
    // PoP 7, "PACK ASCII": the leftmost bytes of the second operand beyond 31 digits are ignored,
    // no others.
    Deviation {
        mnemonics: &["pka", "pku"],
        text: "takes the leftmost digit of the second operand for zero",
        mend: |t, theirs| {
            let unit = if t.entry.mnemonic == "pku" { 2 } else { 1 };
            let digits = ((t.text >> 32 & 0xff) + 1) / unit;
            if digits > 31 {
                return;
            }
            if digits == 1 && t.ours.is_access_exception() && theirs.signal.is_none() {
                // It is not even fetched.
                *theirs = t.ours.clone();
                return;
            }
            let from = t.second_storage().wrapping_add(unit - 1);
            let digit = window(&mut t.before(), from, 1).map_or(0, |b| b[0] & 15);
            let at = t.storage().wrapping_add(15 - digits / 2);
            if let Some(byte) = window(theirs, at, 1) {
                let shift = if digits % 2 == 0 { 0 } else { 4 };
                byte[0] |= digit << shift;
            }
        },
    },
    // PoP 7, "UNPACK": all digits of the second operand are unpacked where the first has room.
    // Two of them come from one byte, which is fetched once.
    Deviation {
        mnemonics: &["unpk"],
        text: "takes the leftmost byte of the second operand for zero, and fetches a byte anew for \
               its second digit, after storing the first",
        mend: |t, theirs| {
            let lengths = [36, 32].map(|shift| (t.text >> shift & 15) + 1);
            let (to, from) = (t.storage(), t.second_storage());
            let mut wrong = t.before();
            for n in 0..lengths[0] {
                let at = n.div_ceil(2);
                let source = (at == 0 || at + 1 < lengths[1])
                    .then(|| window(&mut wrong, from + lengths[1] - 1 - at, 1).map(|b| b[0]));
                let Some(source) = source.unwrap_or(Some(0)) else {
                    return;
                };
                let Some(byte) = window(&mut wrong, to + lengths[0] - 1 - n, 1) else {
                    return;
                };
                byte[0] = match n {
                    0 => source.rotate_left(4),
                    _ => 0xf0 | source >> (4 * (1 - n % 2)) & 15,
                };
            }
            if theirs.after.window == wrong.after.window {
                theirs.after.window = t.ours.after.window;
            }
        },
    },
    // PoP 9, "Floating-Point-Control Register": bits 25-27 come with decimal floating point.
    Deviation {
        mnemonics: &["sfpc", "lfpc", "sfasr", "lfas"],
        text: "takes a decimal rounding mode without having decimal floating point",
        mend: |t, theirs| {
            if let Some(value) = t.new_fpc() {
                if value & 0x70 != 0 && value & !0xfcfc_ff77 == 0 {
                    *theirs = t.specification();
                }
            }
        },
    },
    // PoP 9, "IEEE Exceptions": a trap for overflow, underflow or inexact completes the operation.
    Deviation {
        mnemonics: ROUNDING,
        text: "do not store result and condition code when overflow, underflow or inexact traps",
        mend: |t, theirs| {
            if t.untrapped.is_none() || theirs.signal != t.ours.signal {
                return;
            }
            let (before, ours, theirs) = (&t.case.before, &t.ours.after, &mut theirs.after);
            let r1 = t.target();
            for n in [r1, r1 | 2] {
                if theirs.fpr[n] == before.fpr[n] {
                    theirs.fpr[n] = ours.fpr[n];
                }
            }
            if theirs.gpr[r1] == before.gpr[r1] {
                theirs.gpr[r1] = ours.gpr[r1];
            }
            if theirs.cc == before.cc {
                theirs.cc = ours.cc;
            }
        },
    },
    // PoP 6, "Data-Exception Code": 0C, 1C and 2C tell that the result was incremented.
    Deviation {
        mnemonics: ROUNDING,
        text: "do not tell by the data-exception code that the result was rounded up in magnitude",
        mend: |t, theirs| {
            if t.untrapped.is_some() && theirs.dxc() & INCREMENTED == 0 {
                theirs.after.fpc |= (t.ours.dxc() & INCREMENTED) << 8;
            }
        },
    },
    // PoP 9: where overflow or underflow trap, the result has another exponent, and is inexact only
    // where its fraction was rounded.
    Deviation {
        mnemonics: ROUNDING,
        text: "take the trapped result of overflow or underflow for inexact where only the untrapped one is",
        mend: |t, theirs| {
            if t.untrapped.is_some() && theirs.dxc() & t.ours.dxc() & OVERFLOW_OR_UNDERFLOW != 0 {
                let inexact = t.ours.dxc() & INEXACT;
                theirs.after.fpc = theirs.after.fpc & !(INEXACT << 8) | inexact << 8;
            }
        },
    },
    // PoP 9, "IEEE Underflow": where it traps, a tiny result is enough; it may be exact.
    Deviation {
        mnemonics: ROUNDING,
        text: "do not trap on underflow where the result is exact",
        mend: |t, theirs| {
            let exact = t.ours.dxc() == UNDERFLOW && theirs.signal.is_none();
            if let Some(untrapped) = t.untrapped.filter(|_| exact) {
                let mut untrapped = untrapped.clone();
                untrapped.after.fpc |= t.case.before.fpc & 0xff00_0000;
                if *theirs == untrapped {
                    *theirs = t.ours.clone();
                }
            }
        },
    },
    // PoP 19, "CONVERT TO FIXED", results: what suppresses the instruction is alone in the
    // data-exception code.
    Deviation {
        mnemonics: TO_INTEGER,
        text: "store data-exception code 88 in place of 80 when invalid operation traps",
        mend: |t, theirs| {
            if t.ours.dxc() == INVALID && theirs.dxc() == INVALID | INEXACT {
                // Which Linux takes for no IEEE exception.
                theirs.after.fpc &= !(INEXACT << 8);
                theirs.signal = theirs.signal.map(|s| Signal { code: 7, ..s });
            }
        },
    },
    // PoP 19, "CONVERT TO FIXED", results: what does not fit is inexact, too, NaNs included.
    Deviation {
        mnemonics: TO_INTEGER,
        text: "do not take a NaN for inexact",
        mend: |t, theirs| {
            let inexact = INEXACT << 16;
            if !t.is_nan() || theirs.signal.is_some() || theirs.after.cc != 3 {
                return;
            }
            if t.ours.signal.is_none() {
                theirs.after.fpc |= t.ours.after.fpc & inexact;
            } else if let Some(untrapped) = t.untrapped {
                let mut wrong = untrapped.clone();
                wrong.after.fpc &= !inexact;
                wrong.after.fpc |= t.case.before.fpc & (0xff00_0000 | inexact);
                if *theirs == wrong {
                    *theirs = t.ours.clone();
                }
            }
        },
    },
    // PoP 19, "LOAD ROUNDED": R1 and R2 designate register pairs, since that is where a trapped
    // result goes. (So do assemblers have it.)
    Deviation {
        mnemonics: &["ldxbr", "lexbr"],
        text: "no specification exception where R1 is not the first of a register pair",
        mend: |t, theirs| {
            if t.target() & 2 != 0 {
                *theirs = t.specification();
            }
        },
    },
    // PoP 9, "NaNs": a signalling NaN comes before a quiet one, even of the second operand.
    Deviation {
        mnemonics: &["mdebr", "mdeb", "mxdbr", "mxdb"],
        text: "prefer a quiet NaN of the first operand to a signalling NaN of the second",
        mend: |t, theirs| {
            let r1 = t.target();
            let old = t.case.before.fpr[r1];
            // The first operand, lengthened.
            let (high, low) = if t.entry.mnemonic.starts_with("md") {
                let short = old >> 32;
                let long = (short & 1 << 31) << 32 | 0x7ff << 52 | (short & 0x7f_ffff) << 29;
                (long, theirs.after.fpr[r1 | 2])
            } else {
                let fraction = old & 0xf_ffff_ffff_ffff;
                (old & 1 << 63 | 0x7fff << 48 | fraction >> 4, fraction << 60)
            };
            let is_first = theirs.after.fpr[r1] == high && theirs.after.fpr[r1 | 2] == low;
            if is_first && t.ours.signal.is_none() {
                theirs.after.fpr[r1] = t.ours.after.fpr[r1];
                theirs.after.fpr[r1 | 2] = t.ours.after.fpr[r1 | 2];
            }
        },
    },
    // PoP 19, "LOAD AND TEST": a signalling NaN is an invalid operation, the result is quiet.
    Deviation {
        mnemonics: &["ltebr", "ltdbr", "ltxbr"],
        text: "leaves a signalling NaN as it is, without an exception",
        mend: |t, theirs| {
            let quiet = match t.entry.mnemonic {
                "ltebr" => 1 << 54,
                "ltdbr" => 1 << 51,
                _ => 1 << 47,
            };
            let (r1, trap) = (t.target(), t.case.before.fpc & 1 << 31 != 0);
            if !t.is_nan() || theirs.after.fpr[r1] & quiet != 0 || theirs.after.cc != 3 {
                return;
            }
            if trap {
                *theirs = t.ours.clone();
            } else {
                theirs.after.fpr[r1] |= quiet;
                theirs.after.fpc |= 0x80_0000;
            }
        },
    },
];

/// The peer is so wrong, or crashes, that the cases are not made: see `generate`.
pub static AVOIDED: &[(&[&str], &str)] = &[
    (
        &["sfasr"],
        "takes all 64 bits of R1, and crashes unless bits 0-31 are zero",
    ),
    (
        &["csst"],
        "crashes where the storage characteristic is zero",
    ),
    (
        &["troo", "trot", "trto", "trtt"],
        "do not check R1 and the length for being even, nor the length for being zero",
    ),
    (&["trot"], "has a test character of one byte"),
    (
        &["ts"],
        "is no instruction where EXECUTE changes its second byte",
    ),
    (
        &["bcr", "basr", "bctr", "bctgr"],
        "in the 31-bit mode, do not ignore bits 0-32 of the branch address",
    ),
];

/// Both are right: the architecture leaves it open.
pub static CHOICES: &[Deviation] = &[
    // PoP 7, "STORE CHARACTERS UNDER MASK": some models access the byte even so.
    Deviation {
        mnemonics: &["stcm", "stcmy", "stcmh"],
        text: "with a mask of zero, accesses no storage",
        mend: |t, theirs| {
            let none = t.register(Field::R3) == 0;
            if none && theirs.signal.is_none() && t.ours.is_access_exception() {
                *theirs = t.ours.clone();
            }
        },
    },
    // PoP 6, "Priority of Program Interruptions": none among the operands.
    Deviation {
        mnemonics: &["tr", "mvo", "pack", "unpk", "pka", "pku", "unpka", "unpku"],
        text: "with neither operand accessible, tells of the other",
        mend: |t, theirs| {
            if t.ours.is_access_exception() && theirs.is_access_exception() {
                *theirs = t.ours.clone();
            }
        },
    },
    Deviation {
        mnemonics: &["lpd", "lpdg"],
        text: "tells of an operand that is not accessible before one that is not aligned",
        mend: |t, theirs| {
            let aligned = match t.entry.mnemonic {
                "lpd" => 3,
                _ => 7,
            };
            if t.second_storage() & aligned != 0 && theirs.is_access_exception() {
                *theirs = t.specification();
            }
        },
    },
    // PoP 7, "BRANCH INDIRECT ON CONDITION".
    Deviation {
        mnemonics: &["bic"],
        text: "fetches the branch address even where it does not branch",
        mend: |t, theirs| {
            let goes_on = t.ours.signal.is_none() && t.ours.after.psw_address == t.end();
            if goes_on && theirs.is_access_exception() {
                theirs.signal = None;
                theirs.after.psw_address = t.end();
            }
        },
    },
];

impl<'a> Trial<'a> {
    /// What is known of `case`.
    pub fn new(case: &'a Case, ours: &'a Outcome, untrapped: Option<&'a Outcome>) -> Self {
        let (mut entry, mut text) = find(&case.code);
        if matches!(entry.mnemonic, "ex" | "exrl") {
            let r1 = usize::from(case.code[1] >> 4);
            (entry, text) = find(&case.target);
            if r1 != 0 {
                text |= (case.before.gpr[r1] & 0xff) << 32;
            }
        }
        Trial {
            case,
            ours,
            untrapped,
            entry,
            text,
        }
    }

    /// Mends what the entries of `list` allow; the entry that made a difference.
    pub fn mend(&self, list: &'static [Deviation], theirs: &mut Outcome) -> Option<usize> {
        let mut which = None;
        for (n, deviation) in list.iter().enumerate() {
            if deviation.mnemonics.contains(&self.entry.mnemonic) {
                let before = theirs.clone();
                (deviation.mend)(self, theirs);
                if before != *theirs {
                    which = Some(n);
                }
            }
        }
        which
    }

    /// Whether R2 has a NaN. The format is in the mnemonic: c.ebr, lt.br, ...
    fn is_nan(&self) -> bool {
        let r2 = self.register(Field::R2);
        let (high, low) = (self.case.before.fpr[r2], self.case.before.fpr[r2 | 2]);
        let format = self.entry.mnemonic.trim_end_matches("br").chars().last();
        match format {
            Some('e') => f32::from_bits((high >> 32) as u32).is_nan(),
            Some('d') => f64::from_bits(high).is_nan(),
            _ => high >> 48 & 0x7fff == 0x7fff && (high << 16 != 0 || low != 0),
        }
    }

    /// The register of the result.
    fn target(&self) -> usize {
        self.register(Field::R1)
    }

    fn register(&self, which: Field) -> usize {
        let field = fields(self.entry.format).iter().find(|f| f.0 == which);
        let &(_, at, bits) = field.expect("a format with that register");
        (self.text >> (48 - at - bits) & 15) as usize
    }

    fn address(&self, index: usize, at: u32, bits: u32) -> u64 {
        let gpr = |n: usize| if n == 0 { 0 } else { self.case.before.gpr[n] };
        let field = self.text >> (48 - at - bits);
        let displacement = match bits {
            24 => field >> 8 & 0xfff | (field as u8 as i8 as i64 as u64) << 12,
            _ => field & 0xfff,
        };
        let base = (field >> (bits - 4) & 15) as usize;
        let sum = gpr(base)
            .wrapping_add(gpr(index))
            .wrapping_add(displacement);
        if self.case.before.mode_31 {
            sum & 0x7fff_ffff
        } else {
            sum
        }
    }

    /// Address of the (first) storage operand.
    fn storage(&self) -> u64 {
        let fields = fields(self.entry.format);
        let storage = |f: &&(Field, u32, u32)| matches!(f.0, Field::Storage | Field::LongStorage);
        let &(_, at, bits) = fields.iter().find(storage).expect("a storage operand");
        let index = fields.iter().any(|f| f.0 == Field::X);
        self.address(if index { self.register(Field::X) } else { 0 }, at, bits)
    }

    /// Address of the second storage operand.
    fn second_storage(&self) -> u64 {
        self.address(0, 32, 16)
    }

    /// What the instruction puts into the FPC register, where it can be known.
    fn new_fpc(&self) -> Option<u32> {
        if matches!(self.entry.mnemonic, "sfpc" | "sfasr") {
            return Some(self.case.before.gpr[self.register(Field::R1)] as u32);
        }
        let mut before = self.before();
        let bytes = window(&mut before, self.storage(), 4)?;
        Some(u32::from_be_bytes(bytes.try_into().unwrap()))
    }

    /// Where the case goes on when it does not branch.
    fn end(&self) -> u64 {
        self.case.address(SLOT_CODE) + self.case.code.len() as u64
    }

    fn before(&self) -> Outcome {
        Outcome {
            after: self.case.before.clone(),
            signal: None,
        }
    }

    /// A specification exception that suppresses the instruction.
    fn specification(&self) -> Outcome {
        let address = self.case.before.psw_address;
        let mut outcome = self.before();
        outcome.after.psw_address = address + length(&self.case.code) as u64;
        outcome.signal = Some(Signal {
            number: 4,
            code: 2,
            address,
        });
        outcome
    }
}

impl Outcome {
    /// The data-exception code.
    fn dxc(&self) -> u32 {
        self.after.fpc >> 8 & 0xff
    }

    /// Whether storage could not be accessed.
    fn is_access_exception(&self) -> bool {
        self.signal.is_some_and(|s| s.number == 11)
    }

    /// Whether an IEEE exception trapped after the instruction had completed.
    pub fn is_completing_trap(&self) -> bool {
        let code = self.dxc();
        self.signal.is_some_and(|s| s.number == 8) && code & 0xc3 == 0 && code != 0
    }
}

fn length(code: &[u8]) -> usize {
    match code[0] >> 6 {
        0 => 2,
        3 => 6,
        _ => 4,
    }
}

/// The first instruction in `code`, left-aligned in 48 bits, and its line of the table.
fn find(code: &[u8]) -> (&'static Entry, u64) {
    let mut bytes = [0; 8];
    let length = length(code);
    bytes[2..2 + length].copy_from_slice(&code[..length]);
    let text = u64::from_be_bytes(bytes);
    let entry = encode::find(text).expect("an instruction of the table");
    (entry, text)
}

/// Bytes of the window.
fn window(outcome: &mut Outcome, address: u64, length: usize) -> Option<&mut [u8]> {
    let at = usize::try_from(address.checked_sub(WINDOW)?).ok()?;
    outcome.after.window.get_mut(at..at.checked_add(length)?)
}
