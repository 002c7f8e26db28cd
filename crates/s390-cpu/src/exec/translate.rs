// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Translation of characters by tables, and between Unicode encodings.

use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;
use crate::model::facility;

/// Characters that one execution processes at most; then condition code 3.
const WORK: usize = 1024;

/// Length operands have as many bits as addresses have in registers: 64 or 32.
fn length(c: &Cpu, r: u8) -> u64 {
    if c.is_64bit() {
        c.g(r)
    } else {
        c.g32(r).into()
    }
}

/// Loads a character of 1, 2 or 4 bytes from the operand in register `r`.
fn read_char(c: &mut Cpu, r: u8, addr: u64, size: u64) -> Result<u32, Trap> {
    c.use_operand(r);
    Ok(match size {
        1 => c.read_u8(addr)?.into(),
        2 => c.read_u16(addr)?.into(),
        _ => c.read_u32(addr)?,
    })
}

/// TRANSLATE EXTENDED: until the test byte of general register 0 is met.
pub(crate) fn tre(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1)?;
    let test = c.g(0) as u8;
    let table = c.g(i.r2) & c.addr_mask;
    let (mut at, mut len) = (c.g(i.r1) & c.addr_mask, length(c, i.r1 | 1));
    for _ in 0..WORK {
        if len == 0 {
            c.set_cc(0);
            return Ok(Flow::Next);
        }
        let v = c.at(i.r1).read_u8(at)?;
        if v == test {
            c.set_cc(1);
            return Ok(Flow::Next);
        }
        let entry = table.wrapping_add(v.into()) & c.addr_mask;
        let v = c.at(i.r2).read_u8(entry)?;
        c.at(i.r1).write_u8(at, v)?;
        at = at.wrapping_add(1) & c.addr_mask;
        len -= 1;
        c.set_g_address(i.r1, at);
        c.set_g_address(i.r1 | 1, len);
    }
    c.set_cc(if len == 0 { 0 } else { 3 });
    Ok(Flow::Next)
}

/// TRANSLATE ONE/TWO TO ONE/TWO: characters of `from` bytes to characters of `to` bytes through
/// the table in general register 1, until the test character of general register 0 is met. The
/// length counts the bytes of the operand with characters of one byte, else of the source.
fn translate_sizes(c: &mut Cpu, i: &Insn, from: u64, to: u64) -> Exec {
    c.even(i.r1)?;
    // ETF2-enhancement: M3 bit 3 switches the test off, and every table is doubleword aligned.
    let enhanced = c.model.has(facility::ETF2_ENHANCEMENT);
    let test = (!enhanced || i.r3 & 1 == 0).then(|| {
        if to == 1 {
            c.g(0) as u8 as u32
        } else {
            c.g(0) as u16 as u32
        }
    });
    let boundary = if from == 2 && !enhanced { 4096 } else { 8 };
    let table = c.g(1) & c.addr_mask & !(boundary - 1);
    let mut dst = c.g(i.r1) & c.addr_mask;
    let mut len = length(c, i.r1 | 1);
    let mut src = c.g(i.r2) & c.addr_mask;
    if from == 2 && len & 1 != 0 {
        return Err(c.specification());
    }
    for _ in 0..WORK {
        if len == 0 {
            c.set_cc(0);
            return Ok(Flow::Next);
        }
        let v = read_char(c, i.r2, src, from)?;
        let entry = table.wrapping_add(u64::from(v) * to) & c.addr_mask;
        let v = read_char(c, 1, entry, to)?;
        if test == Some(v) {
            c.set_cc(1);
            return Ok(Flow::Next);
        }
        c.use_operand(i.r1);
        if to == 1 {
            c.write_u8(dst, v as u8)?;
        } else {
            c.write_u16(dst, v as u16)?;
        }
        dst = dst.wrapping_add(to) & c.addr_mask;
        src = src.wrapping_add(from) & c.addr_mask;
        len -= from;
        c.set_g_address(i.r1, dst);
        c.set_g_address(i.r1 | 1, len);
        c.set_g_address(i.r2, src);
    }
    c.set_cc(if len == 0 { 0 } else { 3 });
    Ok(Flow::Next)
}

/// TRANSLATE ONE TO ONE.
pub(crate) fn troo(c: &mut Cpu, i: &Insn) -> Exec {
    translate_sizes(c, i, 1, 1)
}

/// TRANSLATE ONE TO TWO.
pub(crate) fn trot(c: &mut Cpu, i: &Insn) -> Exec {
    translate_sizes(c, i, 1, 2)
}

/// TRANSLATE TWO TO ONE.
pub(crate) fn trto(c: &mut Cpu, i: &Insn) -> Exec {
    translate_sizes(c, i, 2, 1)
}

/// TRANSLATE TWO TO TWO.
pub(crate) fn trtt(c: &mut Cpu, i: &Insn) -> Exec {
    translate_sizes(c, i, 2, 2)
}

/// A Unicode encoding form.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Utf {
    Utf8,
    Utf16,
    Utf32,
}

/// One character of the source: its code point and how many bytes it takes, or why there is none.
enum Source {
    Character(u32, u64),
    /// The operand ends before the character does.
    Exhausted,
    /// Not a character (condition code 2).
    Invalid,
}

impl Utf {
    /// Takes one character from `len` bytes at `addr`. `strict` is the well-formedness checking
    /// of the ETF3-enhancement.
    fn decode(self, c: &mut Cpu, addr: u64, len: u64, strict: bool) -> Result<Source, Trap> {
        let at = |c: &Cpu, k: u64| addr.wrapping_add(k) & c.addr_mask;
        match self {
            Utf::Utf8 => {
                if len < 1 {
                    return Ok(Source::Exhausted);
                }
                let first = c.read_u8(addr)?;
                let (n, bits) = match first {
                    0..=0x7f => return Ok(Source::Character(first.into(), 1)),
                    0x80..=0xbf => return Ok(Source::Invalid),
                    0xc0..=0xc1 if strict => return Ok(Source::Invalid),
                    0xc0..=0xdf => (2, first & 0x1f),
                    0xe0..=0xef => (3, first & 0x0f),
                    0xf5..=0xf7 if strict => return Ok(Source::Invalid),
                    0xf0..=0xf7 => (4, first & 0x07),
                    _ => return Ok(Source::Invalid),
                };
                if len < n {
                    return Ok(Source::Exhausted);
                }
                let mut v = u32::from(bits);
                let mut well_formed = true;
                for k in 1..n {
                    let next = c.read_u8(at(c, k))?;
                    well_formed &= next & 0xc0 == 0x80;
                    v = v << 6 | u32::from(next & 0x3f);
                }
                if strict && !well_formed {
                    return Ok(Source::Invalid);
                }
                if strict {
                    let bad = match n {
                        2 => v < 0x80,
                        3 => v < 0x800 || (0xd800..0xe000).contains(&v),
                        _ => !(0x1_0000..0x11_0000).contains(&v),
                    };
                    if bad {
                        return Ok(Source::Invalid);
                    }
                }
                Ok(Source::Character(v, n))
            }
            Utf::Utf16 => {
                if len < 2 {
                    return Ok(Source::Exhausted);
                }
                let high = u32::from(c.read_u16(addr)?);
                match high {
                    0xd800..=0xdbff => {
                        if len < 4 {
                            return Ok(Source::Exhausted);
                        }
                        let low = u32::from(c.read_u16(at(c, 2))?);
                        if strict && !(0xdc00..0xe000).contains(&low) {
                            return Ok(Source::Invalid);
                        }
                        let v = (((high >> 6 & 0xf) + 1) << 16) | (high & 0x3f) << 10 | low & 0x3ff;
                        Ok(Source::Character(v, 4))
                    }
                    // A low surrogate on its own is taken as it is, checking or not.
                    _ => Ok(Source::Character(high, 2)),
                }
            }
            Utf::Utf32 => {
                if len < 4 {
                    return Ok(Source::Exhausted);
                }
                let v = c.read_u32(addr)?;
                // Only high surrogates: a low one is taken as it is.
                if v >= 0x11_0000 || (0xd800..0xdc00).contains(&v) {
                    return Ok(Source::Invalid);
                }
                Ok(Source::Character(v, 4))
            }
        }
    }

    /// The character in this form: bytes and how many.
    fn encode(self, v: u32) -> ([u8; 4], usize) {
        let tail = |shift: u32| 0x80 | (v >> shift) as u8 & 0x3f;
        let pair = |high: u16, low: u16| {
            let (h, l) = (high.to_be_bytes(), low.to_be_bytes());
            [h[0], h[1], l[0], l[1]]
        };
        match self {
            Utf::Utf8 => match v {
                0..=0x7f => ([v as u8, 0, 0, 0], 1),
                0x80..=0x7ff => ([0xc0 | (v >> 6) as u8, tail(0), 0, 0], 2),
                0x800..=0xffff => ([0xe0 | (v >> 12) as u8, tail(6), tail(0), 0], 3),
                _ => ([0xf0 | (v >> 18) as u8 & 7, tail(12), tail(6), tail(0)], 4),
            },
            Utf::Utf16 => match v {
                0..=0xffff => (pair(v as u16, 0), 2),
                _ => {
                    let v = v.wrapping_sub(0x1_0000);
                    (
                        pair(0xd800 | (v >> 10) as u16 & 0x3ff, 0xdc00 | v as u16 & 0x3ff),
                        4,
                    )
                }
            },
            Utf::Utf32 => (v.to_be_bytes(), 4),
        }
    }
}

/// CONVERT UTF-x TO UTF-y: 0 source used up, 1 destination full, 2 invalid character, 3 more.
fn convert(c: &mut Cpu, i: &Insn, from: Utf, to: Utf) -> Exec {
    c.even(i.r1)?;
    c.even(i.r2)?;
    let checking = i.r3 & 1 != 0 && c.model.has(facility::ETF3_ENHANCEMENT);
    let strict = checking && from != Utf::Utf32;
    let (mut dst, mut dst_len) = (c.g(i.r1) & c.addr_mask, length(c, i.r1 | 1));
    let (mut src, mut src_len) = (c.g(i.r2) & c.addr_mask, length(c, i.r2 | 1));
    for _ in 0..WORK {
        c.use_operand(i.r2);
        let (v, used) = match from.decode(c, src, src_len, strict)? {
            Source::Character(v, used) => (v, used),
            Source::Exhausted => {
                c.set_cc(0);
                return Ok(Flow::Next);
            }
            Source::Invalid => {
                c.set_cc(2);
                return Ok(Flow::Next);
            }
        };
        let (bytes, n) = to.encode(v);
        if dst_len < n as u64 {
            c.set_cc(1);
            return Ok(Flow::Next);
        }
        c.at(i.r1).write_bytes(dst, &bytes[..n])?;
        dst = dst.wrapping_add(n as u64) & c.addr_mask;
        src = src.wrapping_add(used) & c.addr_mask;
        dst_len -= n as u64;
        src_len -= used;
        c.set_g_address(i.r1, dst);
        c.set_g_address(i.r1 | 1, dst_len);
        c.set_g_address(i.r2, src);
        c.set_g_address(i.r2 | 1, src_len);
    }
    c.set_cc(3);
    Ok(Flow::Next)
}

/// CONVERT UTF-8 TO UTF-16 (also CONVERT UTF-8 TO UNICODE).
pub(crate) fn cu12(c: &mut Cpu, i: &Insn) -> Exec {
    convert(c, i, Utf::Utf8, Utf::Utf16)
}

/// CONVERT UTF-8 TO UTF-32.
pub(crate) fn cu14(c: &mut Cpu, i: &Insn) -> Exec {
    convert(c, i, Utf::Utf8, Utf::Utf32)
}

/// CONVERT UTF-16 TO UTF-8 (also CONVERT UNICODE TO UTF-8).
pub(crate) fn cu21(c: &mut Cpu, i: &Insn) -> Exec {
    convert(c, i, Utf::Utf16, Utf::Utf8)
}

/// CONVERT UTF-16 TO UTF-32.
pub(crate) fn cu24(c: &mut Cpu, i: &Insn) -> Exec {
    convert(c, i, Utf::Utf16, Utf::Utf32)
}

/// CONVERT UTF-32 TO UTF-8.
pub(crate) fn cu41(c: &mut Cpu, i: &Insn) -> Exec {
    convert(c, i, Utf::Utf32, Utf::Utf8)
}

/// CONVERT UTF-32 TO UTF-16.
pub(crate) fn cu42(c: &mut Cpu, i: &Insn) -> Exec {
    convert(c, i, Utf::Utf32, Utf::Utf16)
}

#[cfg(test)]
mod tests;
