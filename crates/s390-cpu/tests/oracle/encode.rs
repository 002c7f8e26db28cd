// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The fields of every instruction format (Principles of Operation, chapter 5).

use s390_cpu::table::{Entry, Format, TABLE};

/// What a field of an instruction is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// R1 (and M1): a register that an operation works on.
    R1,
    /// R2.
    R2,
    /// R3.
    R3,
    /// Index register of the first storage operand.
    X,
    /// Base register and displacement, 12 bits, of the first storage operand.
    Storage,
    /// The same with 20 bits.
    LongStorage,
    /// Base register and displacement of the second storage operand.
    SecondStorage,
    /// A mask, an immediate operand, a length: any bits will do.
    Any,
    /// A distance in halfwords, signed.
    Relative,
}

/// The fields of a format: what, first bit, number of bits.
pub fn fields(format: Format) -> &'static [(Field, u32, u32)] {
    use Field::*;
    match format {
        Format::E | Format::Pseudo => &[],
        Format::I => &[(Any, 8, 8)],
        Format::RR => &[(R1, 8, 4), (R2, 12, 4)],
        Format::RRE => &[(R1, 24, 4), (R2, 28, 4)],
        Format::RRF => &[(R3, 16, 4), (Any, 20, 4), (R1, 24, 4), (R2, 28, 4)],
        Format::RRD => &[(R1, 16, 4), (R3, 24, 4), (R2, 28, 4)],
        Format::RX => &[(R1, 8, 4), (X, 12, 4), (Storage, 16, 16)],
        Format::RXY => &[(R1, 8, 4), (X, 12, 4), (LongStorage, 16, 24)],
        Format::RXE => &[(R1, 8, 4), (X, 12, 4), (Storage, 16, 16), (Any, 32, 4)],
        Format::RXF => &[(R3, 8, 4), (X, 12, 4), (Storage, 16, 16), (R1, 32, 4)],
        Format::RS => &[(R1, 8, 4), (R3, 12, 4), (Storage, 16, 16)],
        Format::RSY => &[(R1, 8, 4), (R3, 12, 4), (LongStorage, 16, 24)],
        Format::RSL => &[(Any, 8, 4), (Storage, 16, 16)],
        Format::RSIRel | Format::RIEeRel => &[(R1, 8, 4), (R3, 12, 4), (Relative, 16, 16)],
        Format::RI => &[(R1, 8, 4), (Any, 16, 16)],
        Format::RIRel => &[(R1, 8, 4), (Relative, 16, 16)],
        Format::RIL => &[(R1, 8, 4), (Any, 16, 32)],
        Format::RILRel => &[(R1, 8, 4), (Relative, 16, 32)],
        Format::RIEa => &[(R1, 8, 4), (Any, 16, 16), (Any, 32, 4)],
        Format::RIEb => &[(R1, 8, 4), (R2, 12, 4), (Relative, 16, 16), (Any, 32, 4)],
        Format::RIEc => &[(R1, 8, 4), (Any, 12, 4), (Relative, 16, 16), (Any, 32, 8)],
        Format::RIEd => &[(R1, 8, 4), (R3, 12, 4), (Any, 16, 16)],
        Format::RIEf => &[
            (R1, 8, 4),
            (R2, 12, 4),
            (Any, 16, 8),
            (Any, 24, 8),
            (Any, 32, 8),
        ],
        Format::RIEg => &[(R1, 8, 4), (Any, 12, 4), (Any, 16, 16)],
        Format::RIS => &[(R1, 8, 4), (Any, 12, 4), (Storage, 16, 16), (Any, 32, 8)],
        Format::RRS => &[(R1, 8, 4), (R2, 12, 4), (Storage, 16, 16), (Any, 32, 4)],
        Format::S => &[(Storage, 16, 16)],
        Format::SI => &[(Any, 8, 8), (Storage, 16, 16)],
        Format::SIY => &[(Any, 8, 8), (LongStorage, 16, 24)],
        Format::SIL => &[(Storage, 16, 16), (Any, 32, 16)],
        Format::SSa | Format::SSb => &[(Any, 8, 8), (Storage, 16, 16), (SecondStorage, 32, 16)],
        Format::SSd => &[
            (R1, 8, 4),
            (R3, 12, 4),
            (Storage, 16, 16),
            (SecondStorage, 32, 16),
        ],
        Format::SSE => &[(Storage, 16, 16), (SecondStorage, 32, 16)],
        Format::SSF => &[(R3, 8, 4), (Storage, 16, 16), (SecondStorage, 32, 16)],
    }
}

/// Where the rest of the opcode is: first bit, number of bits (none where it is one byte).
fn extension(first: u8) -> (u32, u32) {
    match first {
        0x01 | 0xb2 | 0xb3 | 0xb9 | 0xe5 => (8, 8),
        0xa5 | 0xa7 | 0xc0 | 0xc2 | 0xc4 | 0xc6 | 0xc8 | 0xcc => (12, 4),
        0xe3 | 0xeb | 0xec | 0xed => (40, 8),
        _ => (8, 0),
    }
}

/// The line of the table for an instruction of 48 bits, left-aligned.
pub fn find(text: u64) -> Option<&'static Entry> {
    let first = (text >> 40) as u8;
    let (at, bits) = extension(first);
    let rest = text >> (48 - at - bits) & ((1 << bits) - 1);
    let key = u16::from(first) << 8 | rest as u16;
    let real = |e: &&Entry| e.format != Format::Pseudo && e.key == key;
    TABLE.iter().find(real)
}

/// An instruction in the making: 48 bits, bit 0 leftmost.
#[derive(Copy, Clone, Debug)]
pub struct Text(u64);

impl Text {
    /// The opcode of `entry`, everything else zero.
    pub fn new(entry: &Entry) -> Self {
        let mut text = Text(0);
        text.set(0, 8, u64::from(entry.key >> 8));
        let (at, bits) = extension((entry.key >> 8) as u8);
        text.set(at, bits, u64::from(entry.key & 0xff));
        text
    }

    /// Sets `bits` bits from bit `at` on.
    pub fn set(&mut self, at: u32, bits: u32, value: u64) {
        let mask = (1 << bits) - 1;
        let shift = 48 - at - bits;
        self.0 = self.0 & !(mask << shift) | (value & mask) << shift;
    }

    /// Sets a base register and a displacement of 12 or 20 bits.
    pub fn set_storage(&mut self, at: u32, bits: u32, base: u8, displacement: i64) {
        self.set(at, 4, base.into());
        self.set(at + 4, 12, displacement as u64 & 0xfff);
        if bits == 24 {
            self.set(at + 16, 8, displacement as u64 >> 12);
        }
    }

    /// The instruction: its length follows from its first two bits.
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = self.0.to_be_bytes();
        let length = match bytes[2] >> 6 {
            0 => 2,
            3 => 6,
            _ => 4,
        };
        bytes[2..2 + length].to_vec()
    }
}
