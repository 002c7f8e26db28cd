// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Instruction formats: from text to operands.

use std::sync::LazyLock;

use crate::cpu::ZERO;
use crate::table::{Attributes, Entry, Op, TABLE};
use crate::threaded::Handler;

/// A decoded instruction. Which fields mean something depends on its format.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Insn {
    /// Immediate operand, sign-extended; or the target address of a relative operand; or D2 of
    /// formats with two storage operands; in every other format the instruction text, see
    /// [`Insn::text`].
    pub(crate) imm: i64,
    /// What executes it in a sequence.
    pub(crate) handler: Handler,
    /// Displacement of the (first) storage operand.
    pub(crate) disp: i32,
    /// Distance from the start of the block in halfwords.
    pub(crate) halfwords: u8,
    /// Instructions before it in the block.
    pub(crate) index: u8,
    /// Length in bytes (for the target of an EXECUTE: that of the EXECUTE).
    pub(crate) ilc: u8,
    /// M3 or M4 where R3 has its own field; the 8-bit length field of storage-and-storage
    /// formats; I2 of RIE-f is in `imm`.
    pub(crate) m: u8,
    pub(crate) op: Op,
    /// R1, M1 or L1.
    pub(crate) r1: u8,
    /// R2.
    pub(crate) r2: u8,
    /// R3, M3 or L2.
    pub(crate) r3: u8,
    /// Index register of the storage operand, or [`ZERO`].
    pub(crate) x: u8,
    /// Base register of the (first) storage operand, or [`ZERO`].
    pub(crate) b: u8,
    /// Base register of the second storage operand, or [`ZERO`].
    pub(crate) b2: u8,
}

impl Insn {
    /// Distance from the start of the block in bytes.
    #[inline(always)]
    pub(crate) fn offset(&self) -> u64 {
        2 * u64::from(self.halfwords)
    }

    /// The instruction text, left-aligned in 48 bits; only for formats without immediate or
    /// second storage operand.
    pub(crate) fn text(&self) -> u64 {
        self.imm as u64
    }

    /// I3, I4 and I5 of the RIE-f format (ROTATE THEN ... SELECTED BITS).
    #[inline(always)]
    pub(crate) fn rie_f(&self) -> (u8, u8, u8) {
        (
            (self.imm >> 16) as u8,
            (self.imm >> 8) as u8,
            self.imm as u8,
        )
    }
}

/// Instruction formats (Principles of Operation, chapter 5), those with the same field positions
/// as one. `Rel` marks a halfword-relative immediate.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Format {
    E,
    I,
    RR,
    /// Also with M1 for R1.
    RRE,
    /// R3 or M3 in bits 16 to 19, M4 in bits 20 to 23.
    RRF,
    /// R1 in bits 16 to 19.
    RRD,
    RX,
    RXY,
    /// M3 in bits 32 to 35.
    RXE,
    /// R3 in bits 8 to 11, R1 in bits 32 to 35.
    RXF,
    /// R3 or M3 in bits 12 to 15.
    RS,
    RSY,
    /// L1 in bits 8 to 11.
    RSL,
    RSIRel,
    RI,
    RIRel,
    RIL,
    RILRel,
    /// R1, I2, M3 in bits 32 to 35: compare and trap.
    RIEa,
    /// R1, R2, relative I4, M3 in bits 32 to 35: compare and branch.
    RIEb,
    /// R1, M3, relative I4 (in `imm`), I2 in bits 32 to 39 (in `disp`).
    RIEc,
    /// R1, R3, I2.
    RIEd,
    /// R1, R3, relative I2.
    RIEeRel,
    /// R1, R2, I3, I4, I5.
    RIEf,
    /// R1, M3, I2.
    RIEg,
    /// R1, M3, B4, D4, I2 in bits 32 to 39 (in `imm`).
    RIS,
    /// R1, R2, B4, D4, M3 in bits 32 to 35.
    RRS,
    S,
    SI,
    SIY,
    SIL,
    /// One length field in `m`.
    SSa,
    /// L1 in `r1`, L2 in `r3`.
    SSb,
    /// R1 and R3.
    SSd,
    SSE,
    /// R3 in `r3`.
    SSF,
    /// No text: made by the decoder.
    Pseudo,
}

/// What decoding depends on beside the text.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Context {
    /// Virtual address of the instruction, for relative operands.
    pub(crate) addr: u64,
    pub(crate) addr_mask: u64,
    pub(crate) problem_state: bool,
    /// Control register 0 bit 45: additional floating-point registers and the FPC may be used.
    pub(crate) afp: bool,
}

/// From an opcode key (first byte, extension byte or nibble) to an index into [`TABLE`].
static INDEX: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let mut index = vec![Op::Illegal as u16; 1 << 16];
    for (n, e) in TABLE.iter().enumerate() {
        if e.format == Format::Pseudo {
            continue;
        }
        let first = (e.key >> 8) as u8;
        match Extension::of(first) {
            Extension::None => index[usize::from(e.key & 0xff00)..][..256].fill(n as u16),
            Extension::Nibble => {
                for high in 0..16 {
                    index[usize::from(e.key | high << 4)] = n as u16;
                }
            }
            _ => index[usize::from(e.key)] = n as u16,
        }
    }
    index
});

/// Where the rest of the opcode is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Extension {
    None,
    /// Low nibble of the second byte.
    Nibble,
    /// Second byte.
    Second,
    /// Sixth byte.
    Sixth,
}

impl Extension {
    const fn of(first: u8) -> Self {
        match first {
            0x01 | 0xb2 | 0xb3 | 0xb9 | 0xe5 | 0x00 => Extension::Second,
            0xa5 | 0xa7 | 0xc0 | 0xc2 | 0xc4 | 0xc6 | 0xc8 | 0xcc => Extension::Nibble,
            0xe3 | 0xe7 | 0xeb | 0xec | 0xed => Extension::Sixth,
            _ => Extension::None,
        }
    }
}

/// Length of an instruction in bytes, from its first byte.
pub(crate) const fn length(first: u8) -> u8 {
    match first >> 6 {
        0 => 2,
        3 => 6,
        _ => 4,
    }
}

/// The table entry for instruction text left-aligned in 48 bits.
pub(crate) fn lookup(text: u64) -> Op {
    let first = (text >> 40) as u8;
    let key = u16::from(first) << 8
        | match Extension::of(first) {
            Extension::None | Extension::Second | Extension::Nibble => (text >> 32) as u16 & 0xff,
            Extension::Sixth => text as u16 & 0xff,
        };
    Op::from_index(INDEX[usize::from(key)])
}

/// Decodes instruction text, left-aligned in 48 bits. What the CPU model or the PSW forbids
/// comes back as a pseudo-instruction that raises the exception.
pub(crate) fn decode(text: u64, ctx: &Context, has_facility: impl Fn(u8) -> bool) -> Insn {
    let mut op = lookup(text);
    let entry = op.entry();
    if !has_facility(entry.facility) {
        op = Op::Illegal;
    } else if entry.attributes.contains(Attributes::PRIVILEGED) && ctx.problem_state {
        op = Op::Privileged;
    } else if !ctx.afp && entry.attributes.contains(Attributes::BFP) {
        op = Op::BfpDisabled;
    }
    let mut insn = operands(text, entry, ctx);
    insn.op = op;
    if entry.attributes.contains(Attributes::FP_REGISTERS)
        && !ctx.afp
        && uses_additional_fp(&insn, entry)
    {
        insn.op = Op::FpRegisterDisabled;
    }
    crate::table::specialize(&mut insn);
    insn
}

/// Whether an instruction of a floating-point format names a register other than 0, 2, 4 and 6.
fn uses_additional_fp(i: &Insn, entry: &Entry) -> bool {
    let extra = |r: u8| r & !6 != 0;
    match entry.format {
        // The other register is a general one.
        _ if i.op == Op::LDGR => extra(i.r1),
        _ if i.op == Op::LGDR => extra(i.r2),
        Format::RX | Format::RXY | Format::RXE => extra(i.r1),
        Format::RR | Format::RRE => extra(i.r1) || extra(i.r2),
        _ => extra(i.r1) || extra(i.r2) || extra(i.r3),
    }
}

fn base(n: u64) -> u8 {
    match n as u8 & 15 {
        0 => ZERO,
        b => b,
    }
}

fn operands(text: u64, entry: &Entry, ctx: &Context) -> Insn {
    // Field of `len` bits that starts at bit `from` of the 48-bit text.
    let field = |from: u32, len: u32| text >> (48 - from - len) & ((1 << len) - 1);
    let nibble = |from: u32| field(from, 4) as u8;
    let signed = |from: u32, len: u32| ((field(from, len) << (64 - len)) as i64) >> (64 - len);
    let relative =
        |halfwords: i64| (ctx.addr.wrapping_add((halfwords * 2) as u64) & ctx.addr_mask) as i64;
    let disp12 = |from: u32| field(from, 12) as i32;
    let disp20 = || (field(20, 12) as i32) | ((field(32, 8) as i8 as i32) << 12);
    let mut i = Insn {
        imm: text as i64,
        disp: 0,
        handler: Op::Illegal.handler(),
        halfwords: 0,
        index: 0,
        ilc: length((text >> 40) as u8),
        m: 0,
        op: Op::Illegal,
        r1: nibble(8),
        r2: nibble(12),
        r3: nibble(12),
        x: ZERO,
        b: ZERO,
        b2: ZERO,
    };
    match entry.format {
        Format::E | Format::RR | Format::Pseudo => {}
        Format::I => i.imm = field(8, 8) as i64,
        Format::RRE | Format::RRF => {
            (i.r1, i.r2, i.r3, i.m) = (nibble(24), nibble(28), nibble(16), nibble(20));
        }
        Format::RRD => (i.r1, i.r2, i.r3) = (nibble(16), nibble(28), nibble(24)),
        Format::RX | Format::RXE => {
            (i.x, i.b, i.disp, i.m) = (
                base(field(12, 4)),
                base(field(16, 4)),
                disp12(20),
                nibble(32),
            );
        }
        Format::RXF => {
            (i.r1, i.r3) = (nibble(32), nibble(8));
            (i.x, i.b, i.disp) = (base(field(12, 4)), base(field(16, 4)), disp12(20));
        }
        Format::RXY => {
            (i.x, i.b, i.disp) = (base(field(12, 4)), base(field(16, 4)), disp20());
        }
        Format::RS | Format::RSL => (i.b, i.disp) = (base(field(16, 4)), disp12(20)),
        Format::RSY => (i.b, i.disp) = (base(field(16, 4)), disp20()),
        Format::RSIRel | Format::RIRel => i.imm = relative(signed(16, 16)),
        Format::RI => i.imm = signed(16, 16),
        Format::RIL => i.imm = signed(16, 32),
        Format::RILRel => i.imm = relative(signed(16, 32)),
        Format::RIEa => (i.imm, i.m) = (signed(16, 16), nibble(32)),
        Format::RIEb => (i.imm, i.m) = (relative(signed(16, 16)), nibble(32)),
        Format::RIEc => {
            (i.imm, i.disp, i.m) = (relative(signed(16, 16)), signed(32, 8) as i32, nibble(12))
        }
        Format::RIEd => i.imm = signed(16, 16),
        Format::RIEeRel => i.imm = relative(signed(16, 16)),
        Format::RIEf => i.imm = field(16, 24) as i64,
        Format::RIEg => (i.imm, i.m) = (signed(16, 16), nibble(12)),
        Format::RIS => {
            (i.b, i.disp, i.imm, i.m) = (base(field(16, 4)), disp12(20), signed(32, 8), nibble(12));
        }
        Format::RRS => (i.b, i.disp, i.m) = (base(field(16, 4)), disp12(20), nibble(32)),
        Format::S => (i.b, i.disp) = (base(field(16, 4)), disp12(20)),
        Format::SI => (i.b, i.disp, i.imm) = (base(field(16, 4)), disp12(20), field(8, 8) as i64),
        Format::SIY => (i.b, i.disp, i.imm) = (base(field(16, 4)), disp20(), field(8, 8) as i64),
        Format::SIL => (i.b, i.disp, i.imm) = (base(field(16, 4)), disp12(20), signed(32, 16)),
        Format::SSa | Format::SSb | Format::SSd | Format::SSE | Format::SSF => {
            (i.b, i.disp) = (base(field(16, 4)), disp12(20));
            (i.b2, i.imm) = (base(field(32, 4)), field(36, 12) as i64);
            i.m = field(8, 8) as u8;
            if entry.format == Format::SSF {
                i.r3 = nibble(8);
            }
        }
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(text: u64) -> Op {
        let ctx = Context {
            addr: 0x1000,
            addr_mask: u64::MAX,
            problem_state: false,
            afp: false,
        };
        decode(text << 16, &ctx, |_| true).op
    }

    #[test]
    fn test_additional_floating_point_registers() {
        // LDGR 2,11; LDGR 3,11; LGDR 11,2; LGDR 11,3
        assert_eq!(op(0xb3c1_002b), Op::LDGR);
        assert_eq!(op(0xb3c1_003b), Op::FpRegisterDisabled);
        assert_eq!(op(0xb3cd_00b2), Op::LGDR);
        assert_eq!(op(0xb3cd_00b3), Op::FpRegisterDisabled);
    }
}
