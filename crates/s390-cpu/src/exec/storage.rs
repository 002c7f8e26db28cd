// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Storage-and-storage instructions of one length: moves, comparisons, logic, translation.
//!
//! Operands are up to 256 bytes and are processed as if byte by byte from left to right; what
//! overlaps is defined by that. Both are checked before anything is stored.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;

/// Length of an operand: one more than its code.
#[inline(always)]
fn length(i: &Insn) -> usize {
    usize::from(i.m) + 1
}

/// Whether storing `len` bytes at `to` before having read all of `from` would change what is
/// read: the destination starts inside the source.
#[inline(always)]
pub(crate) fn destructive(c: &Cpu, to: u64, from: u64, len: usize) -> bool {
    let distance = to.wrapping_sub(from) & c.addr_mask;
    distance != 0 && distance < len as u64
}

/// MOVE (character). With the destination one byte behind the source it spreads that byte.
#[inline]
pub(crate) fn mvc(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, from, len) = (c.ea(i), c.ea2(i), length(i));
    if !c.move_fast(to, from, len) {
        move_left_to_right(c, i, len)?;
    }
    Ok(Flow::Next)
}

/// MOVE (character) where one of the operands is not in a page that is fast to access.
#[cold]
fn move_left_to_right(c: &mut Cpu, i: &Insn, len: usize) -> Result<(), Trap> {
    let (to, from) = (c.ea(i), c.ea2(i));
    let mut buf = [0; 256];
    let buf = &mut buf[..len];
    c.at(i.b2).read_bytes(from, buf)?;
    if destructive(c, to, from, len) {
        // What is read behind the start of the destination has been written before.
        let distance = (to.wrapping_sub(from) & c.addr_mask) as usize;
        for k in distance..len {
            buf[k] = buf[k - distance];
        }
    }
    c.at(i.b).write_bytes(to, buf)
}

/// MOVE INVERSE: the second operand is read from right to left.
pub(crate) fn mvcin(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, from, len) = (c.ea(i), c.ea2(i), length(i));
    let start = from.wrapping_sub(len as u64 - 1) & c.addr_mask;
    c.at(i.b2).check_read(start, len)?;
    c.at(i.b).check_write(to, len)?;
    let mask = c.addr_mask;
    // Bytewise, since overlapping operands may see what was stored.
    for k in 0..len as u64 {
        let v = c.at(i.b2).read_u8(from.wrapping_sub(k) & mask)?;
        c.at(i.b).write_u8(to.wrapping_add(k) & mask, v)?;
    }
    Ok(Flow::Next)
}

/// MOVE RIGHT TO LEFT: the length is in general register 0.
pub(crate) fn mvcrl(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, from, len) = (c.ea(i), c.ea2(i), usize::from(c.g(0) as u8) + 1);
    let mut buf = [0; 256];
    let buf = &mut buf[..len];
    c.at(i.b2).read_bytes(from, buf)?;
    if destructive(c, from, to, len) {
        let distance = (from.wrapping_sub(to) & c.addr_mask) as usize;
        for k in (0..len - distance).rev() {
            buf[k] = buf[k + distance];
        }
    }
    c.at(i.b).write_bytes(to, buf)?;
    Ok(Flow::Next)
}

/// Combines the operands byte by byte into the first; returns the bits that were set anywhere.
#[inline(always)]
fn combine(c: &mut Cpu, i: &Insn, f: impl Fn(u8, u8) -> u8) -> Result<u8, Trap> {
    let (to, from, len) = (c.ea(i), c.ea2(i), length(i));
    let (mut a, mut b) = ([0; 256], [0; 256]);
    let (a, b) = (&mut a[..len], &mut b[..len]);
    c.at(i.b2).read_bytes(from, b)?;
    c.at(i.b).read_bytes(to, a)?;
    if destructive(c, to, from, len) {
        let distance = (to.wrapping_sub(from) & c.addr_mask) as usize;
        for k in 0..len {
            let second = if k < distance { b[k] } else { a[k - distance] };
            a[k] = f(a[k], second);
        }
    } else {
        for (x, y) in a.iter_mut().zip(b.iter()) {
            *x = f(*x, *y);
        }
    }
    let any = a.iter().fold(0, |any, &v| any | v);
    c.write_bytes(to, a)?;
    Ok(any)
}

/// AND (character).
#[inline(never)]
pub(crate) fn nc(c: &mut Cpu, i: &Insn) -> Exec {
    let any = combine(c, i, |a, b| a & b)?;
    c.cc = LazyCc::logical(any.into());
    Ok(Flow::Next)
}

/// OR (character).
#[inline(never)]
pub(crate) fn oc(c: &mut Cpu, i: &Insn) -> Exec {
    let any = combine(c, i, |a, b| a | b)?;
    c.cc = LazyCc::logical(any.into());
    Ok(Flow::Next)
}

/// EXCLUSIVE OR (character). Of a field with itself it is the usual way to clear.
#[inline(never)]
pub(crate) fn xc(c: &mut Cpu, i: &Insn) -> Exec {
    if i.b == i.b2 && i64::from(i.disp) == i.imm {
        let (to, len) = (c.ea(i), length(i));
        c.at(i.b).write_bytes(to, &[0; 256][..len])?;
        c.set_cc(0);
        return Ok(Flow::Next);
    }
    let any = combine(c, i, |a, b| a ^ b)?;
    c.cc = LazyCc::logical(any.into());
    Ok(Flow::Next)
}

/// MOVE NUMERICS: the right halves of the bytes.
pub(crate) fn mvn(c: &mut Cpu, i: &Insn) -> Exec {
    combine(c, i, |a, b| a & 0xf0 | b & 0x0f)?;
    Ok(Flow::Next)
}

/// MOVE ZONES: the left halves of the bytes.
pub(crate) fn mvz(c: &mut Cpu, i: &Insn) -> Exec {
    combine(c, i, |a, b| a & 0x0f | b & 0xf0)?;
    Ok(Flow::Next)
}

/// COMPARE LOGICAL (character).
#[inline]
pub(crate) fn clc(c: &mut Cpu, i: &Insn) -> Exec {
    let (first, second, len) = (c.ea(i), c.ea2(i), length(i));
    let cc = if len <= 8 {
        let (mut a, mut b) = ([0; 8], [0; 8]);
        c.at(i.b).read_bytes(first, &mut a[..len])?;
        c.at(i.b2).read_bytes(second, &mut b[..len])?;
        compare(&a, &b)
    } else {
        let (mut a, mut b) = ([0; 256], [0; 256]);
        let (a, b) = (&mut a[..len], &mut b[..len]);
        c.at(i.b).read_bytes(first, a)?;
        c.at(i.b2).read_bytes(second, b)?;
        compare(a, b)
    };
    c.set_cc(cc);
    Ok(Flow::Next)
}

/// The condition code of a comparison: 0 equal, 1 first low, 2 first high.
pub(crate) fn compare<T: Ord + ?Sized>(a: &T, b: &T) -> u8 {
    match a.cmp(b) {
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Greater => 2,
    }
}

/// TRANSLATE: every byte of the first operand selects one of a table of 256.
pub(crate) fn tr(c: &mut Cpu, i: &Insn) -> Exec {
    let (to, table, len) = (c.ea(i), c.ea2(i), length(i));
    let mask = c.addr_mask;
    c.at(i.b).check_write(to, len)?;
    let mut buf = [0; 256];
    let buf = &mut buf[..len];
    c.read_bytes(to, buf)?;
    if overlaps(c, to, len, table, 256) {
        // The table may change while it is used. Only the bytes of the table that are used are
        // accessed: look at all of them first.
        for &v in buf.iter() {
            c.at(i.b2).read_u8(table.wrapping_add(v.into()) & mask)?;
        }
        for k in 0..len as u64 {
            let at = to.wrapping_add(k) & mask;
            let v = c.at(i.b).read_u8(at)?;
            let v = c.at(i.b2).read_u8(table.wrapping_add(v.into()) & mask)?;
            c.at(i.b).write_u8(at, v)?;
        }
        return Ok(Flow::Next);
    }
    c.use_operand(i.b2);
    for v in buf.iter_mut() {
        *v = c.read_u8(table.wrapping_add((*v).into()) & mask)?;
    }
    c.at(i.b).write_bytes(to, buf)?;
    Ok(Flow::Next)
}

/// Whether two operands have a byte in common.
pub(crate) fn overlaps(c: &Cpu, a: u64, a_len: usize, b: u64, b_len: usize) -> bool {
    a.wrapping_sub(b) & c.addr_mask < b_len as u64 || b.wrapping_sub(a) & c.addr_mask < a_len as u64
}

/// TRANSLATE AND TEST, forwards or in reverse: looks for the first byte whose table entry is not
/// zero; puts its address in general register 1 and the entry in the last byte of register 2.
fn translate_and_test(c: &mut Cpu, i: &Insn, reverse: bool) -> Exec {
    let (first, table, len) = (c.ea(i), c.ea2(i), length(i));
    for k in 0..len as u64 {
        let offset = if reverse { k.wrapping_neg() } else { k };
        let at = first.wrapping_add(offset) & c.addr_mask;
        let v = c.at(i.b).read_u8(at)?;
        let entry = table.wrapping_add(v.into()) & c.addr_mask;
        let function = c.at(i.b2).read_u8(entry)?;
        if function != 0 {
            if c.addr_mask == 0x00ff_ffff {
                // The 24-bit mode leaves the byte before the address alone.
                c.set_g32(1, c.g32(1) & 0xff00_0000 | at as u32);
            } else {
                c.set_g_address(1, at);
            }
            c.set_g(2, c.g(2) & !0xff | u64::from(function));
            c.set_cc(if k + 1 == len as u64 { 2 } else { 1 });
            return Ok(Flow::Next);
        }
    }
    c.set_cc(0);
    Ok(Flow::Next)
}

/// TRANSLATE AND TEST.
pub(crate) fn trt(c: &mut Cpu, i: &Insn) -> Exec {
    translate_and_test(c, i, false)
}

/// TRANSLATE AND TEST REVERSE.
pub(crate) fn trtr(c: &mut Cpu, i: &Insn) -> Exec {
    translate_and_test(c, i, true)
}
