// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cases and outcomes, their binary form, and the addresses that a case sees.
//!
//! # What a case sees
//!
//! Code stands in one of [`SLOTS`] slots of [`SLOT_SIZE`] bytes from [`CODE`] on:
//!
//! | offset | content |
//! | --- | --- |
//! | 0 | [`SLOT_BACKWARD`]: a place to branch back to |
//! | 16 | [`SLOT_CODE`]: the case's code (up to 16 bytes), and behind it the place where it goes on |
//! | 40 | [`SLOT_TARGET`]: the target of an EXECUTE (up to 6 bytes) |
//! | 48 | [`SLOT_FORWARD`]: a place to branch forward to |
//!
//! A case that reaches one of the three places has ended there; all else in a slot that is not
//! listed is the harness's, or zero, which is no instruction. Storage is the [`WINDOW`], across a
//! page boundary in the middle of [`MEMORY`]. What surrounds the window there is zero and must
//! not be stored into. One page at [`READ_ONLY`] is zero and protected. Everything else below
//! 2 GiB is the harness's or not mapped; page 0 is not mapped.
//!
//! # The binary form
//!
//! All big-endian. A batch is a 32-bit count (at most [`SLOTS`]) and as many cases in slots that
//! differ; its answer is as many outcomes. Both are records of [`RECORD_SIZE`] bytes:
//!
//! | offset | size | field | in |
//! | --- | --- | --- | --- |
//! | 0 | 16 x 8 | general registers | both |
//! | 128 | 16 x 8 | floating-point registers | both |
//! | 256 | 16 x 4 | access registers | both |
//! | 320 | 4 | floating-point-control register | both |
//! | 324 | 1 | condition code (bits 2-3) and program mask (bits 4-7) | both |
//! | 325 | 1 | addressing mode: 0 is 64-bit, 1 is 31-bit | both |
//! | 326 | 1 | length of the code in bytes | case |
//! | 327 | 1 | length of the EXECUTE target in bytes | case |
//! | 328 | 2 | slot | case |
//! | 330 | 1 | signal number, or 0 where the case ended by itself | outcome |
//! | 332 | 4 | `si_code` of the signal | outcome |
//! | 336 | 8 | instruction address of the PSW at the end | outcome |
//! | 344 | 8 | `si_addr` of the signal | outcome |
//! | 352 | 16 | code | case |
//! | 368 | 8 | EXECUTE target | case |
//! | 384 | 512 | the window | both |

use std::fmt;

/// Number of slots, and the most cases in a batch.
pub const SLOTS: u16 = 1024;
/// Bytes of a slot.
pub const SLOT_SIZE: u64 = 64;
/// Address of the first slot.
pub const CODE: u64 = 0x0100_0000;
/// Offset in a slot of the place to branch back to.
pub const SLOT_BACKWARD: u64 = 0;
/// Offset in a slot of the code.
pub const SLOT_CODE: u64 = 16;
/// Offset in a slot of the target of an EXECUTE.
pub const SLOT_TARGET: u64 = 40;
/// Offset in a slot of the place to branch forward to.
pub const SLOT_FORWARD: u64 = 48;
/// Address of the two pages around the window.
pub const MEMORY: u64 = 0x1000_0000;
/// Bytes of [`MEMORY`].
pub const MEMORY_SIZE: u64 = 0x2000;
/// Address of the page that cannot be stored into.
pub const READ_ONLY: u64 = 0x1000_4000;
/// Address of the window.
pub const WINDOW: u64 = 0x1000_0f00;
/// Bytes of the window.
pub const WINDOW_SIZE: usize = 512;
/// Bytes of a record.
pub const RECORD_SIZE: usize = 896;

/// What an instruction can see and change.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    /// General registers.
    pub gpr: [u64; 16],
    /// Floating-point registers.
    pub fpr: [u64; 16],
    /// Access registers.
    pub ar: [u32; 16],
    /// Floating-point-control register.
    pub fpc: u32,
    /// Condition code, 0 to 3.
    pub cc: u8,
    /// Program mask, four bits. The emulators ignore the one for fixed-point overflow.
    pub program_mask: u8,
    /// Whether the addressing mode is 31-bit; else it is 64-bit.
    pub mode_31: bool,
    /// Instruction address of the PSW. Of a case it follows from the slot.
    pub psw_address: u64,
    /// Content of the window.
    pub window: [u8; WINDOW_SIZE],
}

/// One instruction (or a few) and the state it starts from.
#[derive(Clone, Debug)]
pub struct Case {
    /// The state before.
    pub before: State,
    /// Where the code stands: 0 to [`SLOTS`] - 1.
    pub slot: u16,
    /// Instructions, at most 16 bytes.
    pub code: Vec<u8>,
    /// Target of an EXECUTE, at most 6 bytes.
    pub target: Vec<u8>,
}

/// How a case was interrupted, as Linux tells its programs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Signal number.
    pub number: u8,
    /// `si_code`.
    pub code: u32,
    /// `si_addr`.
    pub address: u64,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The state afterwards.
    pub after: State,
    /// How it was interrupted, if it was.
    pub signal: Option<Signal>,
}

impl State {
    /// The parts by name, each as hexadecimal text: registers, the rest of the PSW, and the
    /// window in rows of 16 bytes.
    pub fn parts(&self) -> Vec<(String, String)> {
        let mut parts = Vec::new();
        for i in 0..16 {
            parts.push((format!("r{i}"), format!("{:016x}", self.gpr[i])));
        }
        for i in 0..16 {
            parts.push((format!("f{i}"), format!("{:016x}", self.fpr[i])));
        }
        for i in 0..16 {
            parts.push((format!("a{i}"), format!("{:08x}", self.ar[i])));
        }
        parts.push(("fpc".into(), format!("{:08x}", self.fpc)));
        parts.push(("cc".into(), format!("{}", self.cc)));
        parts.push(("mask".into(), format!("{:x}", self.program_mask)));
        parts.push(("31-bit".into(), format!("{}", self.mode_31)));
        parts.push(("psw".into(), format!("{:x}", self.psw_address)));
        for (row, bytes) in self.window.chunks(16).enumerate() {
            let number = u128::from_be_bytes(bytes.try_into().unwrap());
            let address = WINDOW + 16 * row as u64;
            parts.push((format!("[{address:x}]"), format!("{number:032x}")));
        }
        parts
    }

    /// What differs, as `name: self, other`, one line each.
    pub fn difference(&self, other: &State) -> String {
        let parts = self.parts().into_iter().zip(other.parts());
        parts
            .filter(|(one, two)| one != two)
            .map(|((name, one), (_, two))| format!("{name}: {one}, {two}\n"))
            .collect()
    }

    /// All zero.
    pub fn new() -> Self {
        State {
            gpr: [0; 16],
            fpr: [0; 16],
            ar: [0; 16],
            fpc: 0,
            cc: 0,
            program_mask: 0,
            mode_31: false,
            psw_address: 0,
            window: [0; WINDOW_SIZE],
        }
    }

    fn write(&self, record: &mut [u8]) {
        for i in 0..16 {
            record[8 * i..][..8].copy_from_slice(&self.gpr[i].to_be_bytes());
            record[128 + 8 * i..][..8].copy_from_slice(&self.fpr[i].to_be_bytes());
            record[256 + 4 * i..][..4].copy_from_slice(&self.ar[i].to_be_bytes());
        }
        record[320..324].copy_from_slice(&self.fpc.to_be_bytes());
        record[324] = self.cc << 4 | self.program_mask;
        record[325] = u8::from(self.mode_31);
        record[384..].copy_from_slice(&self.window);
    }

    fn read(record: &[u8]) -> Self {
        let mut state = State::new();
        for i in 0..16 {
            state.gpr[i] = long(record, 8 * i);
            state.fpr[i] = long(record, 128 + 8 * i);
            state.ar[i] = word(record, 256 + 4 * i);
        }
        state.fpc = word(record, 320);
        state.cc = record[324] >> 4 & 3;
        state.program_mask = record[324] & 0xf;
        state.mode_31 = record[325] == 1;
        state.psw_address = long(record, 336);
        state.window.copy_from_slice(&record[384..]);
        state
    }
}

/// What is not zero.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts().into_iter();
        f.debug_map()
            .entries(parts.filter(|(_, text)| !text.trim_matches('0').is_empty()))
            .finish()
    }
}

impl Case {
    /// A case in `slot`, with everything zero.
    pub fn new(slot: u16, code: &[u8]) -> Self {
        let mut case = Case {
            before: State::new(),
            slot,
            code: code.to_vec(),
            target: Vec::new(),
        };
        case.before.psw_address = case.address(SLOT_CODE);
        case
    }

    /// The address of `offset` in the case's slot.
    pub fn address(&self, offset: u64) -> u64 {
        CODE + u64::from(self.slot) * SLOT_SIZE + offset
    }

    /// Appends the record.
    pub fn write(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.resize(start + RECORD_SIZE, 0);
        let record = &mut to[start..];
        self.before.write(record);
        record[326] = self.code.len() as u8;
        record[327] = self.target.len() as u8;
        record[328..330].copy_from_slice(&self.slot.to_be_bytes());
        record[352..][..self.code.len()].copy_from_slice(&self.code);
        record[368..][..self.target.len()].copy_from_slice(&self.target);
    }
}

impl Outcome {
    /// Reads a record.
    pub fn read(record: &[u8]) -> Self {
        Outcome {
            after: State::read(record),
            signal: (record[330] != 0).then(|| Signal {
                number: record[330],
                code: word(record, 332),
                address: long(record, 344),
            }),
        }
    }
}

fn word(record: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(record[at..at + 4].try_into().unwrap())
}

fn long(record: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(record[at..at + 8].try_into().unwrap())
}
