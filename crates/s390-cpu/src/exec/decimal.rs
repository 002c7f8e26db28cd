// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Decimal instructions, and conversions between packed, zoned and binary.
//!
//! A packed number of up to 31 digits fits in an `i128`, so arithmetic is binary in between.

use crate::cpu::{pgm, Cpu, Exec, Flow, Trap};
use crate::decode::Insn;
use crate::exec::storage::compare;

/// Program mask bit 21: decimal overflow.
const DECIMAL_OVERFLOW_MASK: u64 = 0x0400_0000_0000;

/// A packed decimal number.
#[derive(Copy, Clone)]
struct Packed {
    /// Magnitude.
    digits: u128,
    negative: bool,
}

impl Packed {
    fn value(self) -> i128 {
        let v = self.digits as i128;
        if self.negative {
            -v
        } else {
            v
        }
    }
}

/// Decodes packed bytes; `None` for an invalid digit or sign.
fn unpack(bytes: &[u8]) -> Option<Packed> {
    let (last, front) = bytes.split_last()?;
    let mut digits = 0u128;
    let mut push = |d: u8| {
        digits = digits * 10 + u128::from(d);
        d <= 9
    };
    for &b in front {
        if !push(b >> 4) | !push(b & 15) {
            return None;
        }
    }
    if !push(last >> 4) {
        return None;
    }
    let negative = match last & 15 {
        0xb | 0xd => true,
        0xa | 0xc | 0xe | 0xf => false,
        _ => return None,
    };
    Some(Packed { digits, negative })
}

/// Encodes the low digits of a magnitude that fit, with a sign; returns whether digits were lost.
fn pack(mut digits: u128, negative: bool, bytes: &mut [u8]) -> bool {
    let mut next = || {
        let d = (digits % 10) as u8;
        digits /= 10;
        d
    };
    let n = bytes.len();
    bytes[n - 1] = next() << 4 | if negative { 0xd } else { 0xc };
    for b in bytes[..n - 1].iter_mut().rev() {
        *b = next() | next() << 4;
    }
    digits != 0
}

fn read_packed(c: &mut Cpu, base: u8, addr: u64, len: usize) -> Result<Packed, Trap> {
    let mut buf = [0; 16];
    let buf = &mut buf[..len];
    c.at(base).read_bytes(addr, buf)?;
    match unpack(buf) {
        Some(p) => Ok(p),
        None => Err(c.data(0)),
    }
}

/// Length of the first operand of an SS-b instruction.
fn l1(i: &Insn) -> usize {
    usize::from(i.r1) + 1
}

/// Length of the second operand of an SS-b instruction.
fn l2(i: &Insn) -> usize {
    usize::from(i.r3) + 1
}

/// Stores a decimal result and sets the condition code by it.
fn store_result(c: &mut Cpu, i: &Insn, value: i128) -> Exec {
    let (addr, len) = (c.ea(i), l1(i));
    c.use_operand(i.b);
    let mut buf = [0; 16];
    let buf = &mut buf[..len];
    let magnitude = value.unsigned_abs();
    let overflow = pack(magnitude, value < 0, buf);
    if overflow {
        c.write_bytes(addr, buf)?;
        c.set_cc(3);
        if c.psw_mask & DECIMAL_OVERFLOW_MASK != 0 {
            return Err(c.program(pgm::DECIMAL_OVERFLOW));
        }
        return Ok(Flow::Next);
    }
    c.write_bytes(addr, buf)?;
    c.set_cc(compare(&value, &0));
    Ok(Flow::Next)
}

fn add(c: &mut Cpu, i: &Insn, f: impl Fn(i128, i128) -> i128) -> Exec {
    let (first, second) = (c.ea(i), c.ea2(i));
    c.at(i.b).check_write(first, l1(i))?;
    let b = read_packed(c, i.b2, second, l2(i))?;
    let a = read_packed(c, i.b, first, l1(i))?;
    store_result(c, i, f(a.value(), b.value()))
}

/// ADD DECIMAL.
pub(crate) fn ap(c: &mut Cpu, i: &Insn) -> Exec {
    add(c, i, |a, b| a + b)
}

/// SUBTRACT DECIMAL.
pub(crate) fn sp(c: &mut Cpu, i: &Insn) -> Exec {
    add(c, i, |a, b| a - b)
}

/// COMPARE DECIMAL.
pub(crate) fn cp(c: &mut Cpu, i: &Insn) -> Exec {
    let (first, second) = (c.ea(i), c.ea2(i));
    let b = read_packed(c, i.b2, second, l2(i))?;
    let a = read_packed(c, i.b, first, l1(i))?;
    c.set_cc(compare(&a.value(), &b.value()));
    Ok(Flow::Next)
}

/// ZERO AND ADD. The first operand need not be valid.
pub(crate) fn zap(c: &mut Cpu, i: &Insn) -> Exec {
    let (first, second) = (c.ea(i), c.ea2(i));
    c.at(i.b).check_write(first, l1(i))?;
    let b = read_packed(c, i.b2, second, l2(i))?;
    store_result(c, i, b.value())
}

/// MULTIPLY DECIMAL. The multiplicand has as many leading zeros as the multiplier has bytes.
pub(crate) fn mp(c: &mut Cpu, i: &Insn) -> Exec {
    let (first, second) = (c.ea(i), c.ea2(i));
    if l2(i) > 8 || l2(i) >= l1(i) {
        return Err(c.specification());
    }
    c.at(i.b).check_write(first, l1(i))?;
    let mut buf = [0; 16];
    let buf = &mut buf[..l1(i)];
    c.at(i.b).read_bytes(first, buf)?;
    let b = read_packed(c, i.b2, second, l2(i))?;
    let Some(a) = unpack(buf).filter(|_| buf[..l2(i)].iter().all(|&v| v == 0)) else {
        return Err(c.data(0));
    };
    // The sign follows the rules of algebra even where the product is zero.
    pack(a.digits * b.digits, a.negative != b.negative, buf);
    c.at(i.b).write_bytes(first, buf)?;
    Ok(Flow::Next)
}

/// DIVIDE DECIMAL: quotient and remainder replace the dividend.
pub(crate) fn dp(c: &mut Cpu, i: &Insn) -> Exec {
    let (first, second) = (c.ea(i), c.ea2(i));
    if l2(i) > 8 || l2(i) >= l1(i) {
        return Err(c.specification());
    }
    c.at(i.b).check_write(first, l1(i))?;
    let b = read_packed(c, i.b2, second, l2(i))?;
    let a = read_packed(c, i.b, first, l1(i))?;
    let quotient_len = l1(i) - l2(i);
    let mut buf = [0; 16];
    let buf = &mut buf[..l1(i)];
    if b.digits == 0
        || pack(
            a.digits / b.digits,
            a.negative != b.negative,
            &mut buf[..quotient_len],
        )
    {
        return Err(c.program(pgm::DECIMAL_DIVIDE));
    }
    pack(a.digits % b.digits, a.negative, &mut buf[quotient_len..]);
    c.at(i.b).write_bytes(first, buf)?;
    Ok(Flow::Next)
}

/// SHIFT AND ROUND DECIMAL: by the low 6 bits of the second operand address, signed; I3 is the
/// rounding digit of a shift to the right.
pub(crate) fn srp(c: &mut Cpu, i: &Insn) -> Exec {
    let (first, shift) = (c.ea(i), c.ea2(i) & 63);
    c.at(i.b).check_write(first, l1(i))?;
    let a = read_packed(c, i.b, first, l1(i))?;
    if i.r3 > 9 {
        return Err(c.data(0));
    }
    let mut digits = a.digits;
    let mut lost = false;
    if shift < 32 {
        for _ in 0..shift {
            // Digits beyond the 31 of the longest operand are lost in any case.
            lost |= digits / 10u128.pow(30) != 0;
            digits = digits % 10u128.pow(30) * 10;
        }
    } else {
        let n = 64 - shift as u32;
        if n > 1 {
            digits = 10u128.checked_pow(n - 1).map_or(0, |p| digits / p);
        }
        digits = (digits + u128::from(i.r3)) / 10;
    }
    let mut buf = [0; 16];
    let buf = &mut buf[..l1(i)];
    let overflow = pack(digits, a.negative, buf) | lost;
    let nothing_left = unpack(buf).is_some_and(|p| p.digits == 0);
    // A result of zero is positive unless it is zero by overflow.
    if nothing_left && !overflow {
        pack(0, false, buf);
    }
    c.at(i.b).write_bytes(first, buf)?;
    if overflow {
        c.set_cc(3);
        if c.psw_mask & DECIMAL_OVERFLOW_MASK != 0 {
            return Err(c.program(pgm::DECIMAL_OVERFLOW));
        }
    } else {
        c.set_cc(match (nothing_left, a.negative) {
            (true, _) => 0,
            (_, true) => 1,
            (_, false) => 2,
        });
    }
    Ok(Flow::Next)
}

/// TEST DECIMAL: bit 0 of the condition code for an invalid digit, bit 1 for an invalid sign.
pub(crate) fn tp(c: &mut Cpu, i: &Insn) -> Exec {
    let (addr, len) = (c.ea(i), usize::from(i.r1) + 1);
    let mut buf = [0; 16];
    let buf = &mut buf[..len];
    c.read_bytes(addr, buf)?;
    let bad_sign = buf[len - 1] & 15 < 10;
    let bad_digit = buf.iter().any(|b| b >> 4 > 9) || buf[..len - 1].iter().any(|b| b & 15 > 9);
    c.set_cc(u8::from(bad_digit) << 1 | u8::from(bad_sign));
    Ok(Flow::Next)
}

/// PACK: zoned to packed. Byte by byte, since the operands may overlap.
pub(crate) fn pack_zoned(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    c.at(i.b).check_write(to, l1(i))?;
    c.at(i.b2).check_read(from, l2(i))?;
    let (mut d, mut s) = (l1(i) as u64, l2(i) as u64);
    let mask = c.addr_mask;
    let at = |base: u64, k: u64| base.wrapping_add(k) & mask;
    d -= 1;
    s -= 1;
    let v = c.at(i.b2).read_u8(at(from, s))?;
    c.at(i.b).write_u8(at(to, d), v.rotate_left(4))?;
    while d > 0 {
        d -= 1;
        let mut v = 0;
        for shift in [0, 4] {
            if s > 0 {
                s -= 1;
                v |= (c.at(i.b2).read_u8(at(from, s))? & 15) << shift;
            }
        }
        c.at(i.b).write_u8(at(to, d), v)?;
    }
    Ok(Flow::Next)
}

/// UNPACK: packed to zoned.
pub(crate) fn unpk(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    c.at(i.b).check_write(to, l1(i))?;
    c.at(i.b2).check_read(from, l2(i))?;
    let (mut d, mut s) = (l1(i) as u64, l2(i) as u64);
    let mask = c.addr_mask;
    let at = |base: u64, k: u64| base.wrapping_add(k) & mask;
    d -= 1;
    s -= 1;
    let v = c.at(i.b2).read_u8(at(from, s))?;
    c.at(i.b).write_u8(at(to, d), v.rotate_left(4))?;
    let mut pair = 0;
    let mut high = false;
    while d > 0 {
        d -= 1;
        if !high {
            pair = if s > 0 {
                s -= 1;
                c.at(i.b2).read_u8(at(from, s))?
            } else {
                0
            };
        }
        let digit = if high { pair >> 4 } else { pair & 15 };
        high = !high;
        c.at(i.b).write_u8(at(to, d), 0xf0 | digit)?;
    }
    Ok(Flow::Next)
}

/// MOVE WITH OFFSET: half a byte to the left, beside the sign of the first operand.
pub(crate) fn mvo(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    c.at(i.b).check_write(to, l1(i))?;
    c.at(i.b2).check_read(from, l2(i))?;
    let (mut d, mut s) = (l1(i) as u64, l2(i) as u64);
    let mask = c.addr_mask;
    let at = |base: u64, k: u64| base.wrapping_add(k) & mask;
    let mut carry = c.at(i.b).read_u8(at(to, d - 1))? & 15;
    while d > 0 {
        d -= 1;
        let v = if s > 0 {
            s -= 1;
            c.at(i.b2).read_u8(at(from, s))?
        } else {
            0
        };
        c.at(i.b).write_u8(at(to, d), v << 4 | carry)?;
        carry = v >> 4;
    }
    Ok(Flow::Next)
}

/// PACK ASCII and PACK UNICODE: the digits of characters of `unit` bytes, 31 of them, and a plus
/// sign, into 16 bytes.
fn pack_characters(c: &mut Cpu, i: &Insn, len: usize, unit: usize) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    let mut buf = [0; 64];
    c.at(i.b2).read_bytes(from, &mut buf[..len])?;
    let mut digits = buf[..len]
        .chunks_exact(unit)
        .rev()
        .map(|ch| ch[unit - 1] & 15);
    let mut out = [0; 16];
    out[15] = 0x0c | digits.next().unwrap_or(0) << 4;
    for b in out[..15].iter_mut().rev() {
        *b = digits.next().unwrap_or(0) | digits.next().unwrap_or(0) << 4;
    }
    c.at(i.b).write_bytes(to, &out)?;
    Ok(Flow::Next)
}

/// PACK ASCII.
pub(crate) fn pka(c: &mut Cpu, i: &Insn) -> Exec {
    let len = usize::from(i.m) + 1;
    if len > 32 {
        return Err(c.specification());
    }
    pack_characters(c, i, len, 1)
}

/// PACK UNICODE.
pub(crate) fn pku(c: &mut Cpu, i: &Insn) -> Exec {
    let len = usize::from(i.m) + 1;
    if len > 64 || len % 2 != 0 {
        return Err(c.specification());
    }
    pack_characters(c, i, len, 2)
}

/// UNPACK ASCII and UNPACK UNICODE: the 31 digits of the second operand as characters 0x30 to
/// 0x39; the condition code is the sign: 0 plus, 1 minus, 3 invalid.
fn unpack_characters(c: &mut Cpu, i: &Insn, len: usize, unit: usize) -> Exec {
    let (to, from) = (c.ea(i), c.ea2(i));
    let mut packed = [0; 16];
    c.at(i.b2).read_bytes(from, &mut packed)?;
    let mut buf = [0; 64];
    let digit = |k: usize| {
        // Digit 0 is the rightmost, in the left half of the last byte.
        let nibble = k + 1;
        match 15usize.checked_sub(nibble / 2) {
            Some(at) if nibble % 2 == 0 => packed[at] & 15,
            Some(at) => packed[at] >> 4,
            None => 0,
        }
    };
    for (k, ch) in buf[..len].chunks_exact_mut(unit).rev().enumerate() {
        ch[unit - 1] = 0x30 | digit(k);
    }
    c.at(i.b).write_bytes(to, &buf[..len])?;
    c.set_cc(match packed[15] & 15 {
        0xa | 0xc | 0xe | 0xf => 0,
        0xb | 0xd => 1,
        _ => 3,
    });
    Ok(Flow::Next)
}

/// UNPACK ASCII.
pub(crate) fn unpka(c: &mut Cpu, i: &Insn) -> Exec {
    let len = usize::from(i.m) + 1;
    if len > 32 {
        return Err(c.specification());
    }
    unpack_characters(c, i, len, 1)
}

/// UNPACK UNICODE.
pub(crate) fn unpku(c: &mut Cpu, i: &Insn) -> Exec {
    let len = usize::from(i.m) + 1;
    if len > 64 || len % 2 != 0 {
        return Err(c.specification());
    }
    unpack_characters(c, i, len, 2)
}

/// EDIT, and EDIT AND MARK, which also notes where the first significant digit went.
fn edit(c: &mut Cpu, i: &Insn, mark: bool) -> Exec {
    const DIGIT_SELECTOR: u8 = 0x20;
    const SIGNIFICANCE_STARTER: u8 = 0x21;
    const FIELD_SEPARATOR: u8 = 0x22;
    let (to, from, len) = (c.ea(i), c.ea2(i), usize::from(i.m) + 1);
    c.at(i.b).check_write(to, len)?;
    let mut pattern = [0; 256];
    let pattern = &mut pattern[..len];
    c.at(i.b).read_bytes(to, pattern)?;
    let fill = pattern[0];
    let mut source = from;
    let mut right_digit = None;
    let mut significant = false;
    let mut cc = 0;
    let mut marked = None;
    for (k, p) in pattern.iter_mut().enumerate() {
        match *p {
            kind @ (DIGIT_SELECTOR | SIGNIFICANCE_STARTER) => {
                let digit;
                let mut sign = None;
                match right_digit.take() {
                    Some(d) => digit = d,
                    None => {
                        let b = c.at(i.b2).read_u8(source)?;
                        source = source.wrapping_add(1) & c.addr_mask;
                        digit = b >> 4;
                        if digit > 9 {
                            return Err(c.data(0));
                        }
                        if b & 15 > 9 {
                            sign = Some(b & 15);
                        } else {
                            right_digit = Some(b & 15);
                        }
                    }
                }
                if digit != 0 {
                    cc = 2;
                }
                if significant || digit != 0 {
                    if !significant {
                        marked = Some(to.wrapping_add(k as u64) & c.addr_mask);
                    }
                    *p = 0xf0 | digit;
                } else {
                    *p = fill;
                }
                if digit != 0 || kind == SIGNIFICANCE_STARTER {
                    significant = true;
                }
                // A plus sign turns the significance indicator off.
                if matches!(sign, Some(0xa | 0xc | 0xe | 0xf)) {
                    significant = false;
                }
            }
            FIELD_SEPARATOR => {
                *p = fill;
                significant = false;
                cc = 0;
            }
            _ if k == 0 => {}
            _ => {
                if !significant {
                    *p = fill;
                }
            }
        }
    }
    c.at(i.b).write_bytes(to, pattern)?;
    if mark {
        if let Some(addr) = marked {
            if c.addr_mask == 0x00ff_ffff {
                c.set_g32(1, c.g32(1) & 0xff00_0000 | addr as u32);
            } else {
                c.set_g_address(1, addr);
            }
        }
    }
    // Negative where the indicator is still on at the end of a field that is not zero.
    c.set_cc(if cc == 2 && significant { 1 } else { cc });
    Ok(Flow::Next)
}

/// EDIT.
pub(crate) fn ed(c: &mut Cpu, i: &Insn) -> Exec {
    edit(c, i, false)
}

/// EDIT AND MARK.
pub(crate) fn edmk(c: &mut Cpu, i: &Insn) -> Exec {
    edit(c, i, true)
}

/// CONVERT TO BINARY (32). What does not fit is a fixed-point-divide exception, with the low
/// bits in the register.
pub(crate) fn cvb(c: &mut Cpu, i: &Insn) -> Exec {
    let v = read_packed(c, i.b, c.ea(i), 8)?.value();
    c.set_g32(i.r1, v as u32);
    if i32::try_from(v).is_err() {
        return Err(c.program(pgm::FIXED_DIVIDE));
    }
    Ok(Flow::Next)
}

/// CONVERT TO BINARY (64).
pub(crate) fn cvbg(c: &mut Cpu, i: &Insn) -> Exec {
    let v = read_packed(c, i.b, c.ea(i), 16)?.value();
    if i64::try_from(v).is_err() {
        return Err(c.program(pgm::FIXED_DIVIDE));
    }
    c.set_g(i.r1, v as u64);
    Ok(Flow::Next)
}

fn store_packed(c: &mut Cpu, addr: u64, buf: &mut [u8], v: i64) -> Exec {
    pack(v.unsigned_abs().into(), v < 0, buf);
    c.write_bytes(addr, buf)?;
    Ok(Flow::Next)
}

/// CONVERT TO DECIMAL (32).
pub(crate) fn cvd(c: &mut Cpu, i: &Insn) -> Exec {
    store_packed(c, c.ea(i), &mut [0; 8], (c.g32(i.r1) as i32).into())
}

/// CONVERT TO DECIMAL (64).
pub(crate) fn cvdg(c: &mut Cpu, i: &Insn) -> Exec {
    store_packed(c, c.ea(i), &mut [0; 16], c.g(i.r1) as i64)
}

#[cfg(test)]
mod tests;
