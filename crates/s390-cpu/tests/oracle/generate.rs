// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cases: random and edge operands for an instruction of the table.
//!
//! The format tells where the fields are; what they must hold for a case to get anywhere (an
//! address in the window, a place to branch to, a string that ends) follows from the role that
//! the instruction has here. Now and then a case is wrong on purpose.

use s390_cpu::table::{Attributes, Entry, Format};

use super::encode::{fields, Field, Text};
use super::format::*;
use super::random::Random;
use super::values;

/// What the operands of an instruction are for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Role {
    /// Storage operands are stored into or fetched from.
    Storage,
    /// The "storage operand" is a number: a shift amount, an address that is only loaded.
    Number,
    /// The operand is where to go.
    Branch,
    /// The operand is an instruction.
    Execute,
    /// Registers hold addresses.
    Strings(Strings),
}

/// Which registers hold the addresses and lengths of strings.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Strings {
    /// R1 and R2: even-odd pairs of address and length.
    TwoPairs,
    /// R1 and R3: the same.
    TwoPairsR3,
    /// R2: a pair; R1 is a number.
    SecondPair,
    /// R1: a pair; R2: the address of a 256-byte table; GR0: the test byte.
    PairAndTable,
    /// R1 and R2: addresses; GR0: the byte that ends a string.
    Terminated,
    /// R1: a pair; R2: an address; GR0: the test character; GR1: the address of a table.
    PairAndBigTable,
}

/// Instructions that qemu-user 10 does not have: an operation exception, always.
pub const UNKNOWN_TO_THE_ORACLE: &[&str] = &[
    "ap", "bassm", "bsm", "cp", "cpya", "didbr", "diebr", "dp", "ed", "edmk", "lmd", "mp", "sp",
    "srp", "zap",
];

/// Instructions whose result depends on more than a case holds: the time, the machine, the
/// kernel.
#[rustfmt::skip]
pub const LEFT_OUT: &[&str] = &[
    // Other addressing and translation modes, other keys.
    "sam24", "sac", "sacf", "iac", "ipk", "spka", "ivsk", "epsw", "mvcos", "mvcp", "mvcs", "mvck",
    "mvcsk", "mvcdk",
    // The kernel.
    "svc",
    // Time and machine.
    "stck", "stckf", "stcke", "ectg", "ptff", "stfle", "ecag",
    // Not in the model of the test, and the peer has functions.
    "kmac", "km", "kmc", "kimd", "klmd",
    // Whole pages, more than a case has.
    "mvpg",
];

/// Not with operands that overlap: which bytes are fetched before which are stored is not compared.
const APART: &[&str] = &["pka", "pku", "unpka", "unpku"];

/// Instructions that may stop with condition code 3 after an amount of work of their choice: to
/// be executed until they are done.
const RESUMED: &[&str] = &[
    "mvcle", "clcle", "mvclu", "clclu", "cu12", "cu14", "cu21", "cu24", "cu41", "cu42", "cutfu",
    "cuutf", "cksm", "tre", "troo", "trot", "trto", "trtt", "srst", "srstu", "clst", "mvst",
];

/// Instructions whose second operand may run off the mapped storage: they leave in the registers how
/// far they came. (So do others here, but not in the peer.)
const PARTIAL: &[&str] = &["mvcl", "clst", "srst", "srstu"];

/// Whether the oracle can say something about this instruction.
pub fn testable(entry: &Entry) -> bool {
    entry.format != Format::Pseudo
        && !entry.attributes.contains(Attributes::PRIVILEGED)
        && !LEFT_OUT.contains(&entry.mnemonic)
        && !UNKNOWN_TO_THE_ORACLE.contains(&entry.mnemonic)
}

fn role(entry: &Entry) -> Role {
    match entry.mnemonic {
        "mc" | "la" | "lay" | "lae" | "laey" | "larl" | "srnm" | "srnmb" | "srnmt" | "sla"
        | "slda" | "sll" | "sldl" | "sra" | "srda" | "srl" | "srdl" | "slag" | "slak" | "sllg"
        | "sllk" | "srag" | "srak" | "srlg" | "srlk" | "rll" | "rllg" | "tceb" | "tcdb"
        | "tcxb" => Role::Number,
        "bcr" | "bc" | "basr" | "bas" | "balr" | "bal" | "bassm" | "bsm" | "bct" | "bctr"
        | "bctg" | "bctgr" | "bxh" | "bxhg" | "bxle" | "bxleg" | "brcl" | "brasl" | "brcth" => {
            Role::Branch
        }
        "ex" | "exrl" => Role::Execute,
        "mvcl" | "clcl" | "cu12" | "cu14" | "cu21" | "cu24" | "cu41" | "cu42" | "cutfu"
        | "cuutf" => Role::Strings(Strings::TwoPairs),
        "mvcle" | "clcle" | "mvclu" | "clclu" => Role::Strings(Strings::TwoPairsR3),
        "cksm" => Role::Strings(Strings::SecondPair),
        "tre" => Role::Strings(Strings::PairAndTable),
        "srst" | "srstu" | "clst" | "mvst" => Role::Strings(Strings::Terminated),
        "troo" | "trot" | "trto" | "trtt" => Role::Strings(Strings::PairAndBigTable),
        _ => match entry.format {
            Format::RIRel
            | Format::RSIRel
            | Format::RIEb
            | Format::RIEc
            | Format::RIEeRel
            | Format::RIS
            | Format::RRS => Role::Branch,
            _ => Role::Storage,
        },
    }
}

/// Makes cases.
#[derive(Debug)]
pub struct Generator {
    /// Instructions to be the target of an EXECUTE.
    targets: Vec<&'static Entry>,
}

impl Generator {
    /// For the instructions of `table`.
    pub fn new(table: &'static [Entry]) -> Self {
        let target = |e: &&Entry| testable(e) && matches!(role(e), Role::Storage | Role::Number);
        Generator {
            targets: table.iter().filter(target).collect(),
        }
    }

    /// A case of `entry` in `slot`: the same where the random numbers are the same.
    pub fn case(&self, entry: &Entry, slot: u16, mut random: Random) -> Case {
        let mut maker = Maker {
            case: Case::new(slot, &[]),
            r: &mut random,
            bases: (1, 15),
            executed: false,
            modified: false,
        };
        maker.fill();
        if role(entry) == Role::Execute && !self.targets.is_empty() {
            let target = maker.r.choose(&self.targets);
            (maker.bases, maker.executed) = ((1, 6), true);
            // Elsewhere there may be the base of an address or half of the opcode.
            // (Of TS it is not used, but the peer wants it to be zero.)
            maker.modified = matches!(target.format, Format::RR | Format::SI | Format::SSa)
                && target.mnemonic != "ts";
            maker.case.target = maker.instruction(target, SLOT_TARGET);
            (maker.bases, maker.executed) = ((14, 15), false);
        }
        maker.case.code = maker.instruction(entry, SLOT_CODE);
        if RESUMED.contains(&entry.mnemonic) {
            // BRC 1: again while it has stopped in the middle.
            let back = -(maker.case.code.len() as i16) / 2;
            maker.case.code.extend([0xa7, 0x14]);
            maker.case.code.extend(back.to_be_bytes());
        }
        maker.case
    }
}

/// One case in the making.
struct Maker<'a> {
    case: Case,
    r: &'a mut Random,
    /// First and last register to use as base.
    bases: (u8, u8),
    /// Whether the instruction is the target of an EXECUTE.
    executed: bool,
    /// Whether an EXECUTE may change its second byte.
    modified: bool,
}

impl Maker<'_> {
    fn gpr(&mut self, register: u8) -> &mut u64 {
        &mut self.case.before.gpr[usize::from(register)]
    }

    /// A state that knows nothing of the instruction.
    fn fill(&mut self) {
        let r = &mut *self.r;
        let state = &mut self.case.before;
        state.gpr = std::array::from_fn(|_| values::integer(r));
        state.fpr = std::array::from_fn(|_| values::floating(r));
        if r.one_in(4) {
            for high in [0, 1, 4, 5, 8, 9, 12, 13] {
                (state.fpr[high], state.fpr[high + 2]) = values::extended(r);
            }
        }
        state.ar = std::array::from_fn(|_| r.next() as u32);
        state.fpc = values::fpc(r);
        state.cc = r.below(4) as u8;
        // Fixed-point overflow stays masked: see `State::program_mask`.
        state.program_mask = r.choose(&[0, 0, 0, 0, 4, 2, 1]);
        state.mode_31 = r.one_in(8);
        state.window = values::window(r);
    }

    /// Chooses all fields of an instruction that will stand at `offset` in the slot.
    fn instruction(&mut self, entry: &Entry, offset: u64) -> Vec<u8> {
        let role = role(entry);
        let mut text = Text::new(entry);
        let (mut r1, mut r2, mut index) = (0, 0, 0);
        for &(field, at, bits) in fields(entry.format) {
            let value = match field {
                Field::R1 if role == Role::Execute && !self.modified => 0,
                Field::R1 => {
                    r1 = self.register();
                    u64::from(r1)
                }
                Field::R2 => {
                    r2 = self.register();
                    if matches!(entry.format, Format::RIEb | Format::RRS) && self.r.one_in(4) {
                        // A comparison that finds equality.
                        *self.gpr(r2) = *self.gpr(r1);
                    }
                    u64::from(r2)
                }
                Field::R3 => u64::from(self.register()),
                Field::X => {
                    if role != Role::Execute && !self.r.one_in(3) {
                        // Those above are bases of the EXECUTE.
                        index = self.r.below(if self.executed { 14 } else { 16 }) as u8;
                    }
                    u64::from(index)
                }
                // Unused in TS; qemu-user takes anything but zero for another instruction.
                Field::Any if entry.mnemonic == "ts" => 0,
                Field::Any => self.immediate(),
                Field::Relative => self.distance(role, offset),
                Field::Storage | Field::LongStorage => {
                    self.storage(&mut text, entry, (at, bits), r1, index);
                    continue;
                }
                Field::SecondStorage => continue,
            };
            text.set(at, bits, value);
        }
        match role {
            Role::Strings(kind) => self.strings(kind, entry, &mut text),
            Role::Branch => self.branch(entry, r2),
            // All 64 bits of R1, of which only the right half counts, are taken by the peer; it
            // then crashes.
            _ if entry.mnemonic == "sfasr" => *self.gpr(r1) &= 0xffff_ffff,
            _ if self.r.one_in(8) => *self.gpr(r2) = *self.gpr(r1),
            _ => {}
        }
        text.bytes()
    }

    /// Half of them even and the first of a pair of floating-point registers.
    fn register(&mut self) -> u8 {
        let register = self.r.below(16) as u8;
        if self.r.one_in(2) {
            register & 0b1100
        } else {
            register
        }
    }

    fn immediate(&mut self) -> u64 {
        match self.r.below(4) {
            0 => self.r.below(16),
            1 => values::integer(self.r),
            _ => self.r.next(),
        }
    }

    /// A relative operand, in halfwords.
    fn distance(&mut self, role: Role, offset: u64) -> u64 {
        let here = self.case.address(offset);
        let to = match role {
            Role::Branch => self.place(),
            Role::Execute => self.case.address(SLOT_TARGET),
            Role::Number => return self.immediate(),
            Role::Storage | Role::Strings(_) => {
                let unit = self.r.choose(&[2, 8, 8, 8]);
                self.storage_address() / unit * unit
            }
        };
        (to as i64 - here as i64) as u64 >> 1
    }

    /// Somewhere to branch to.
    fn place(&mut self) -> u64 {
        let offset = self.r.choose(&[SLOT_FORWARD, SLOT_BACKWARD]);
        self.case.address(offset)
    }

    /// An address with at least 256 bytes of the window behind it, aligned or not; seldom one
    /// that is not mapped or not to be stored into. (Not for the target of an EXECUTE: qemu-user
    /// 10 itself crashes when it is interrupted there.)
    fn storage_address(&mut self) -> u64 {
        let offset = self.r.below(257);
        match self.r.below(64) {
            0 if !self.executed => MEMORY + MEMORY_SIZE + offset,
            1 if !self.executed => READ_ONLY + offset,
            2..32 => WINDOW + (offset & !15),
            _ => WINDOW + offset,
        }
    }

    /// Chooses base register and displacement of the storage operand at `at`, and of a second
    /// one where there is one, and loads the registers so that they designate what they should.
    fn storage(&mut self, text: &mut Text, entry: &Entry, at: (u32, u32), r1: u8, index: u8) {
        let role = role(entry);
        let (at, bits) = at;
        let second = fields(entry.format)
            .iter()
            .find(|(field, ..)| *field == Field::SecondStorage);
        let mut base = self.base();
        if entry.mnemonic == "csst" {
            // A storage characteristic of zero makes the peer crash.
            let (function, characteristic) = (self.r.below(4), 1 + self.r.below(5));
            *self.gpr(0) = self.r.next() << 16 | characteristic << 8 | function;
            *self.gpr(1) = WINDOW + 16 * self.r.below(16);
        }
        let to = match role {
            Role::Number | Role::Strings(_) => {
                // A byte to pad with must not change with the addresses and lengths.
                let registers = if role == Role::Number { 16 } else { 2 };
                let base = self.r.below(registers) as u8;
                let displacement = self.immediate() as i64;
                text.set_storage(at, bits, base, displacement);
                return;
            }
            Role::Branch => self.place(),
            Role::Execute => self.case.address(SLOT_TARGET),
            Role::Storage => {
                if self.r.one_in(64) && second.is_none() && index == 0 {
                    base = 0;
                }
                self.storage_address()
            }
        };
        // Room on both sides: the second operand may have the same base.
        let mut displacement = 600 + self.r.below(2800) as i64;
        if bits == 24 && self.r.one_in(2) {
            displacement = self.r.below(1 << 20) as i64 - (1 << 19);
        }
        if base == 0 {
            text.set_storage(at, bits, 0, displacement & 0xfff);
            return;
        }
        let mut sum = to.wrapping_sub(displacement as u64);
        if index == base {
            // Twice the same register: an even sum.
            displacement += sum as i64 & 1;
            sum = to.wrapping_sub(displacement as u64) >> 1;
        } else if index != 0 {
            let value = values::integer(self.r);
            *self.gpr(index) = value;
            sum = sum.wrapping_sub(value);
        }
        *self.gpr(base) = sum;
        if self.case.before.mode_31 && role == Role::Storage && second.is_none() {
            *self.gpr(base) ^= self.r.next() & !0x7fff_ffff;
        }
        text.set_storage(at, bits, base, displacement);

        let mut other = base;
        if let Some(&(_, at, bits)) = second {
            let first = to;
            let mut to = self.storage_address();
            other = self.base();
            while APART.contains(&entry.mnemonic) && (other == base || to.abs_diff(first) < 64) {
                (to, other) = (self.storage_address(), self.base());
            }
            let mut displacement = self.r.below(4096);
            if other == base {
                displacement = to.wrapping_sub(*self.gpr(base)) & 0xfff;
            } else {
                *self.gpr(other) = to.wrapping_sub(displacement);
            }
            text.set_storage(at, bits, other, displacement as i64);
        }
        let addresses = [index, base, other].map(|register| (register, *self.gpr(register)));
        self.operand(entry.mnemonic, r1, to);
        for (register, value) in addresses {
            *self.gpr(register) = value;
        }
    }

    /// Makes the storage operand at `address` one that gets somewhere.
    fn operand(&mut self, mnemonic: &str, r1: u8, address: u64) {
        let place = self.place();
        let number = values::packed(self.r);
        let Some(bytes) = address.checked_sub(WINDOW).and_then(|at| {
            self.case
                .before
                .window
                .get_mut(at as usize..at as usize + 16)
        }) else {
            return;
        };
        let both = u128::from_be_bytes((&*bytes).try_into().unwrap());
        let first = (both >> 64) as u64;
        match mnemonic {
            "bic" => bytes[..8].copy_from_slice(&place.to_be_bytes()),
            "cvb" | "cvby" => bytes[..8].copy_from_slice(&number.to_be_bytes()),
            "cvbg" => {
                bytes[..8].fill(0);
                bytes[8..].copy_from_slice(&number.to_be_bytes());
            }
            "csst" if self.r.one_in(2) => {
                let words = [both >> 64, both].map(|half| half as u64);
                for pair in self.case.before.gpr[2..].chunks_mut(2) {
                    let long = self.r.one_in(2);
                    pair.copy_from_slice(&words);
                    if !long {
                        pair[0] >>= 32;
                    }
                }
            }
            // A comparison that finds equality.
            "cs" | "csy" | "csg" | "cds" | "cdsy" | "cdsg" if self.r.one_in(2) => {
                let pair = match mnemonic {
                    "cs" | "csy" => [first >> 32, *self.gpr(r1 | 1)],
                    "csg" => [first, *self.gpr(r1 | 1)],
                    "cds" | "cdsy" => [first >> 32, first & 0xffff_ffff],
                    _ => [first, both as u64],
                };
                self.case.before.gpr[usize::from(r1 & !1)..][..2].copy_from_slice(&pair);
            }
            _ if self.r.one_in(4) => {
                *self.gpr(r1) = self.r.choose(&[first, first >> 32, first >> 48]);
            }
            _ => {}
        }
    }

    fn base(&mut self) -> u8 {
        let (first, last) = self.bases;
        first + self.r.below(u64::from(last - first) + 1) as u8
    }

    /// The target of a branch that takes it from R2.
    fn branch(&mut self, entry: &Entry, r2: u8) {
        if matches!(entry.format, Format::RR | Format::RRE) {
            // In the 31-bit mode no other bits above the address: qemu-user does not ignore them.
            *self.gpr(r2) = self.place();
        }
    }

    fn strings(&mut self, kind: Strings, entry: &Entry, text: &mut Text) {
        // Distinct, not register 0 or 1, the first of a pair (but now and then the second).
        let first = 2 + 2 * self.r.below(7) as u8;
        let mut second = 2 + 2 * self.r.below(6) as u8;
        if second >= first {
            second += 2;
        }
        let pair = kind != Strings::Terminated;
        // TRANSLATE ONE TO ONE and its like: the peer does not check that R1 and a length in
        // two-byte characters are even, nor that the length is not zero, and then stores over
        // everything.
        let translation = kind == Strings::PairAndBigTable;
        let two_byte = matches!(entry.mnemonic, "trto" | "trtt");
        let odd = u8::from(!translation && self.r.one_in(if pair { 64 } else { 2 }));
        for &(field, at, bits) in fields(entry.format) {
            let register = match (field, kind) {
                (Field::R1, Strings::SecondPair) => self.r.below(2) as u8,
                (Field::R1, _) => first + odd,
                (Field::R2, Strings::TwoPairsR3) => continue,
                (Field::R2, _) | (Field::R3, Strings::TwoPairsR3) => second + odd,
                _ => continue,
            };
            text.set(at, bits, register.into());
        }
        if odd == 1 && pair {
            return;
        }
        let mut addresses = [self.string_address(), self.string_address()];
        let mut longest = 256;
        if matches!(entry.mnemonic, "mvcle" | "mvclu") || translation {
            // Where these overlap, the result is unpredictable, or characters are read that select
            // nothing.
            addresses = [WINDOW + self.r.below(64), WINDOW + 256 + self.r.below(64)];
            addresses.rotate_left(self.r.below(2) as usize);
            longest = 192;
        }
        if PARTIAL.contains(&entry.mnemonic) && self.r.one_in(8) {
            addresses[1] = MEMORY + MEMORY_SIZE - self.r.below(96);
        }
        *self.gpr(first + odd) = addresses[0];
        *self.gpr(second + odd) = addresses[1];
        if translation {
            self.translation(entry, second);
            longest = 90;
        }
        if pair {
            let (mut least, mut whole) = (0, self.r.choose(&[!0, !1, !1, !3]));
            if two_byte {
                (least, whole) = (2, !1);
            } else if translation {
                least = 1;
            }
            let lengths = [0; 2].map(|_| (self.r.below(longest + 1) & whole).max(least));
            let narrow = matches!(entry.mnemonic, "mvcl" | "clcl");
            for (register, length) in [first, second].into_iter().zip(lengths) {
                let length = match kind {
                    // The byte to pad with.
                    Strings::TwoPairs if narrow => length | self.r.next() << 24,
                    Strings::PairAndTable | Strings::PairAndBigTable if register == second => {
                        continue
                    }
                    _ => length,
                };
                *self.gpr(register + 1) = length;
            }
            *self.gpr(0) = self.r.next();
            if entry.mnemonic == "trot" {
                // The peer compares with a test character of one byte.
                *self.gpr(0) &= !0xff00;
            }
        } else {
            self.terminate(entry, first + odd, second + odd);
        }
    }

    /// A table somewhere in the window, and characters that select something there.
    fn translation(&mut self, entry: &Entry, second: u8) {
        *self.gpr(1) = WINDOW + 8 * self.r.below(16);
        if matches!(entry.mnemonic, "trto" | "trtt") {
            *self.gpr(second) &= !1;
            for at in (0..WINDOW_SIZE).step_by(2) {
                self.case.before.window[at] = self.r.below(4) as u8;
            }
        }
    }

    fn string_address(&mut self) -> u64 {
        match self.storage_address() {
            // Whole strings in the window only: the exact state on a fault is the model's choice.
            address if address.wrapping_sub(WINDOW) > 256 => WINDOW + 8,
            address => address,
        }
    }

    /// Lets every string end within 128 bytes.
    fn terminate(&mut self, entry: &Entry, first: u8, second: u8) {
        let end = self.r.below(256);
        *self.gpr(0) = if entry.mnemonic == "srstu" {
            end << 8 | end
        } else if self.r.one_in(16) {
            // A specification exception: GR0 must be zero elsewhere.
            end | 1 << (8 + self.r.below(24))
        } else {
            end
        };
        for at in (125..WINDOW_SIZE).step_by(128) {
            self.case.before.window[at..at + 3].fill(end as u8);
        }
        let distance = self.gpr(first).abs_diff(*self.gpr(second));
        if entry.mnemonic == "mvst" && distance < 128 {
            // Not over the end that is being looked for.
            *self.gpr(first) = WINDOW + 256;
            *self.gpr(second) = WINDOW + self.r.below(128);
        }
    }
}
