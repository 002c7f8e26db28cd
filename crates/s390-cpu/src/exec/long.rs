// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interruptible storage instructions: long moves and comparisons, strings, checksum.
//!
//! Each keeps how far it came in its registers. It works in pieces that end at page boundaries
//! and updates the registers after every piece, so that an access exception leaves exactly the
//! bytes before it done. After [`WORK`] bytes it lets interruptions in: the older instructions
//! by executing again, the younger by condition code 3.

use crate::access::{PAGE_MASK, PAGE_SIZE};
use crate::cc::LazyCc;
use crate::cpu::{pgm, Cpu, Exec, Fault, Flow, Trap};
use crate::decode::Insn;
use crate::exec::storage::compare;

/// Bytes that one execution processes at most.
const WORK: usize = 4096;

/// Bytes from `addr` to the end of its page.
fn page_left(addr: u64) -> u64 {
    PAGE_SIZE - (addr & !PAGE_MASK)
}

/// An operand in an even-odd register pair: address and length.
#[derive(Copy, Clone)]
struct Operand {
    r: u8,
    addr: u64,
    len: u64,
}

impl Operand {
    /// A length of as many bits as an address has registers bits: 64 or 32.
    fn extended(c: &Cpu, r: u8) -> Self {
        let len = c.g(r | 1);
        Operand {
            r,
            addr: c.g(r) & c.addr_mask,
            len: if c.is_64bit() { len } else { len & 0xffff_ffff },
        }
    }

    /// A length of 24 bits (MVCL, CLCL).
    fn short(c: &Cpu, r: u8) -> Self {
        Operand {
            r,
            addr: c.g(r) & c.addr_mask,
            len: c.g(r | 1) & 0xff_ffff,
        }
    }

    fn advance(&mut self, c: &Cpu, n: u64) {
        self.addr = self.addr.wrapping_add(n) & c.addr_mask;
        self.len -= n;
    }

    fn store_extended(&self, c: &mut Cpu) {
        c.set_g_address(self.r, self.addr);
        c.set_g_address(self.r | 1, self.len);
    }

    fn store_short(&self, c: &mut Cpu) {
        c.set_g_address(self.r, self.addr);
        c.set_g(self.r | 1, c.g(self.r | 1) & !0xff_ffff | self.len);
    }
}

/// The next piece of the operands: at most `limit` bytes, inside one page of each, a multiple of
/// `unit` where possible.
fn piece(a: &Operand, b: &Operand, limit: u64) -> u64 {
    let n = a.len.min(page_left(a.addr)).min(limit);
    if b.len == 0 {
        n
    } else {
        n.min(b.len).min(page_left(b.addr))
    }
}

/// Moves one piece, or pads with it.
fn move_piece(
    c: &mut Cpu,
    to: &mut Operand,
    from: &mut Operand,
    pad: &[u8],
    limit: u64,
) -> Result<u64, Trap> {
    let mut n = piece(to, from, limit.min(256));
    let mut buf = [0; 256];
    if from.len == 0 {
        for (k, v) in buf[..n as usize].iter_mut().enumerate() {
            *v = pad[k % pad.len()];
        }
        c.at(to.r).write_bytes(to.addr, &buf[..n as usize])?;
    } else {
        // A destination that starts inside the source sees what was just stored: shorter pieces.
        let distance = to.addr.wrapping_sub(from.addr) & c.addr_mask;
        if distance != 0 {
            n = n.min(distance);
        }
        c.at(from.r).read_bytes(from.addr, &mut buf[..n as usize])?;
        c.at(to.r).write_bytes(to.addr, &buf[..n as usize])?;
        from.advance(c, n);
    }
    to.advance(c, n);
    Ok(n)
}

/// MOVE LONG.
pub(crate) fn mvcl(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1)?;
    c.even(i.r2)?;
    let (mut to, mut from) = (Operand::short(c, i.r1), Operand::short(c, i.r2));
    let pad = [(c.g(i.r2 | 1) >> 24) as u8];
    let cc = compare(&to.len, &from.len);
    // Destructive overlap: a byte would be used as a source after it was a destination.
    let used = to.len.min(from.len);
    let distance = to.addr.wrapping_sub(from.addr) & c.addr_mask;
    if distance != 0 && distance < used {
        to.store_short(c);
        from.store_short(c);
        c.set_cc(3);
        return Ok(Flow::Next);
    }
    let mut work = WORK as u64;
    while to.len != 0 {
        if work == 0 {
            return Ok(Flow::Again);
        }
        work -= move_piece(c, &mut to, &mut from, &pad, work)?;
        to.store_short(c);
        from.store_short(c);
    }
    to.store_short(c);
    from.store_short(c);
    c.set_cc(cc);
    Ok(Flow::Next)
}

/// Moves up to [`WORK`] bytes with a pad of one or two bytes; condition code 3 when not done.
fn move_extended(c: &mut Cpu, i: &Insn, pad: &[u8]) -> Exec {
    c.even(i.r1)?;
    c.even(i.r3)?;
    let (mut to, mut from) = (Operand::extended(c, i.r1), Operand::extended(c, i.r3));
    let unit = pad.len() as u64;
    if (to.len | from.len) & (unit - 1) != 0 {
        return Err(c.specification());
    }
    let cc = compare(&to.len, &from.len);
    let mut work = WORK as u64;
    while to.len != 0 && work != 0 {
        let limit = work;
        work -= move_piece(c, &mut to, &mut from, pad, limit)?;
        to.store_extended(c);
        from.store_extended(c);
    }
    to.store_extended(c);
    from.store_extended(c);
    c.set_cc(if to.len == 0 { cc } else { 3 });
    Ok(Flow::Next)
}

/// MOVE LONG EXTENDED. The pad is the last byte of the second operand address.
pub(crate) fn mvcle(c: &mut Cpu, i: &Insn) -> Exec {
    let pad = [c.ea(i) as u8];
    move_extended(c, i, &pad)
}

/// MOVE LONG UNICODE: two-byte characters.
pub(crate) fn mvclu(c: &mut Cpu, i: &Insn) -> Exec {
    let pad = (c.ea(i) as u16).to_be_bytes();
    move_extended(c, i, &pad)
}

/// Compares up to `work` bytes. `Some(cc)` when decided.
fn compare_long(
    c: &mut Cpu,
    a: &mut Operand,
    b: &mut Operand,
    pad: &[u8],
    store: fn(&Operand, &mut Cpu),
) -> Result<Option<u8>, Trap> {
    let unit = pad.len();
    let mut work = WORK as u64;
    while a.len != 0 || b.len != 0 {
        if work == 0 {
            return Ok(None);
        }
        // An operand at its end goes on with pads.
        let mut n = work.min(256);
        for o in [&*a, &*b] {
            if o.len != 0 {
                n = n.min(o.len).min(page_left(o.addr));
            }
        }
        // A character of two bytes may cross a page.
        let n = (n as usize).max(unit) / unit * unit;
        let (mut x, mut y) = ([0; 256], [0; 256]);
        for (o, buf) in [(&*a, &mut x), (&*b, &mut y)] {
            if o.len != 0 {
                c.at(o.r).read_bytes(o.addr, &mut buf[..n])?;
            } else {
                for (k, v) in buf[..n].iter_mut().enumerate() {
                    *v = pad[k % unit];
                }
            }
        }
        let equal = x[..n]
            .iter()
            .zip(&y[..n])
            .take_while(|(x, y)| x == y)
            .count()
            / unit
            * unit;
        for o in [&mut *a, &mut *b] {
            if o.len != 0 {
                o.advance(c, equal as u64);
            }
            store(o, c);
        }
        if equal < n {
            return Ok(Some(compare(
                &x[equal..equal + unit],
                &y[equal..equal + unit],
            )));
        }
        work = work.saturating_sub(n as u64);
    }
    store(a, c);
    store(b, c);
    Ok(Some(0))
}

/// COMPARE LOGICAL LONG.
pub(crate) fn clcl(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1)?;
    c.even(i.r2)?;
    let pad = [(c.g(i.r2 | 1) >> 24) as u8];
    let (mut a, mut b) = (Operand::short(c, i.r1), Operand::short(c, i.r2));
    match compare_long(c, &mut a, &mut b, &pad, Operand::store_short)? {
        Some(cc) => c.set_cc(cc),
        None => return Ok(Flow::Again),
    }
    Ok(Flow::Next)
}

fn compare_extended(c: &mut Cpu, i: &Insn, pad: &[u8]) -> Exec {
    c.even(i.r1)?;
    c.even(i.r3)?;
    let (mut a, mut b) = (Operand::extended(c, i.r1), Operand::extended(c, i.r3));
    if (a.len | b.len) & (pad.len() as u64 - 1) != 0 {
        return Err(c.specification());
    }
    let cc = compare_long(c, &mut a, &mut b, pad, Operand::store_extended)?;
    c.set_cc(cc.unwrap_or(3));
    Ok(Flow::Next)
}

/// COMPARE LOGICAL LONG EXTENDED.
pub(crate) fn clcle(c: &mut Cpu, i: &Insn) -> Exec {
    let pad = [c.ea(i) as u8];
    compare_extended(c, i, &pad)
}

/// COMPARE LOGICAL LONG UNICODE.
pub(crate) fn clclu(c: &mut Cpu, i: &Insn) -> Exec {
    let pad = (c.ea(i) as u16).to_be_bytes();
    compare_extended(c, i, &pad)
}

/// The ending character in general register 0, which must be alone there.
fn string_end(c: &mut Cpu) -> Result<u8, Trap> {
    if c.g(0) & 0xffff_ff00 != 0 {
        return Err(c.specification());
    }
    Ok(c.g(0) as u8)
}

/// MOVE STRING.
pub(crate) fn mvst(c: &mut Cpu, i: &Insn) -> Exec {
    let end = string_end(c)?;
    let (mut to, mut from) = (c.g(i.r1) & c.addr_mask, c.g(i.r2) & c.addr_mask);
    let mut work = WORK;
    while work != 0 {
        let mut n = page_left(to).min(page_left(from)).min(256) as usize;
        let distance = to.wrapping_sub(from) & c.addr_mask;
        if distance != 0 {
            n = n.min(distance as usize);
        }
        let n = n.min(work);
        let mut buf = [0; 256];
        c.at(i.r2).read_bytes(from, &mut buf[..n])?;
        let found = buf[..n].iter().position(|&v| v == end);
        let len = found.map_or(n, |k| k + 1);
        c.at(i.r1).write_bytes(to, &buf[..len])?;
        if let Some(k) = found {
            c.set_g_address(i.r1, to.wrapping_add(k as u64) & c.addr_mask);
            c.set_cc(1);
            return Ok(Flow::Next);
        }
        to = to.wrapping_add(len as u64) & c.addr_mask;
        from = from.wrapping_add(len as u64) & c.addr_mask;
        c.set_g_address(i.r1, to);
        c.set_g_address(i.r2, from);
        work -= len;
    }
    c.set_cc(3);
    Ok(Flow::Next)
}

/// COMPARE LOGICAL STRING.
pub(crate) fn clst(c: &mut Cpu, i: &Insn) -> Exec {
    let end = string_end(c)?;
    let (mut a, mut b) = (c.g(i.r1) & c.addr_mask, c.g(i.r2) & c.addr_mask);
    for _ in 0..WORK {
        let (x, y) = (c.at(i.r1).read_u8(a)?, c.at(i.r2).read_u8(b)?);
        if x == y && x == end {
            c.set_cc(0);
            return Ok(Flow::Next);
        }
        if x != y {
            c.set_g_address(i.r1, a);
            c.set_g_address(i.r2, b);
            // The ending character is lower than any other.
            c.set_cc(match (x == end, y == end) {
                (true, _) => 1,
                (_, true) => 2,
                _ => compare(&x, &y),
            });
            return Ok(Flow::Next);
        }
        a = a.wrapping_add(1) & c.addr_mask;
        b = b.wrapping_add(1) & c.addr_mask;
    }
    c.set_g_address(i.r1, a);
    c.set_g_address(i.r2, b);
    c.set_cc(3);
    Ok(Flow::Next)
}

/// SEARCH STRING: from R2 to the byte before R1.
pub(crate) fn srst(c: &mut Cpu, i: &Insn) -> Exec {
    let wanted = string_end(c)?;
    let end = c.g(i.r1) & c.addr_mask;
    let mut at = c.g(i.r2) & c.addr_mask;
    let mut work = WORK;
    while work != 0 {
        if at == end {
            c.set_cc(2);
            return Ok(Flow::Next);
        }
        let left = end.wrapping_sub(at) & c.addr_mask;
        let n = page_left(at).min(left).min(256) as usize;
        let mut buf = [0; 256];
        c.at(i.r2).read_bytes(at, &mut buf[..n])?;
        if let Some(k) = buf[..n].iter().position(|&v| v == wanted) {
            c.set_g_address(i.r1, at.wrapping_add(k as u64) & c.addr_mask);
            c.set_cc(1);
            return Ok(Flow::Next);
        }
        at = at.wrapping_add(n as u64) & c.addr_mask;
        work = work.saturating_sub(n);
    }
    c.set_g_address(i.r2, at);
    c.set_cc(3);
    Ok(Flow::Next)
}

/// SEARCH STRING UNICODE: two-byte characters.
pub(crate) fn srstu(c: &mut Cpu, i: &Insn) -> Exec {
    if c.g(0) & 0xffff_0000 != 0 {
        return Err(c.specification());
    }
    let wanted = c.g(0) as u16;
    let mut at = c.g(i.r2) & c.addr_mask;
    let end = c.g(i.r1) & c.addr_mask;
    // A character that begins before the end is looked at even where it does not end there.
    let end = end.wrapping_add((at ^ end) & 1) & c.addr_mask;
    for _ in 0..WORK / 2 {
        if at == end {
            c.set_cc(2);
            return Ok(Flow::Next);
        }
        if c.at(i.r2).read_u16(at)? == wanted {
            c.set_g_address(i.r1, at);
            c.set_cc(1);
            return Ok(Flow::Next);
        }
        at = at.wrapping_add(2) & c.addr_mask;
    }
    c.set_g_address(i.r2, at);
    c.set_cc(3);
    Ok(Flow::Next)
}

/// CHECKSUM: sums words with the carry added back.
pub(crate) fn cksm(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r2)?;
    let mut from = Operand::extended(c, i.r2);
    let mut work = WORK as u64;
    while from.len != 0 && work != 0 {
        let n = from.len.min(256);
        // Whole words, but for the end of the operand.
        let n = if n > 4 { n & !3 } else { n };
        let mut buf = [0; 256];
        c.at(from.r).read_bytes(from.addr, &mut buf[..n as usize])?;
        let mut sum = u64::from(c.g32(i.r1));
        for word in buf[..(n as usize).next_multiple_of(4)].chunks_exact(4) {
            sum += u64::from(u32::from_be_bytes(word.try_into().expect("4 bytes")));
        }
        while sum >> 32 != 0 {
            sum = (sum & 0xffff_ffff) + (sum >> 32);
        }
        c.set_g32(i.r1, sum as u32);
        from.advance(c, n);
        from.store_extended(c);
        work = work.saturating_sub(n);
    }
    from.store_extended(c);
    c.cc = LazyCc::value(if from.len == 0 { 0 } else { 3 });
    Ok(Flow::Next)
}

/// MOVE PAGE. Keys in general register 0 are honoured only as far as the access itself does.
pub(crate) fn mvpg(c: &mut Cpu, i: &Insn) -> Exec {
    // Bits 48 to 51 of general register 0 must be zero, and not both key bits one.
    if c.g(0) & 0xf000 != 0 || c.g(0) & 0x0c00 == 0x0c00 {
        return Err(c.specification());
    }
    let (to, from) = (
        c.g(i.r1) & c.addr_mask & PAGE_MASK,
        c.g(i.r2) & c.addr_mask & PAGE_MASK,
    );
    let mut page = [0; PAGE_SIZE as usize];
    let moved = match c.at(i.r2).read_bytes(from, &mut page) {
        Ok(()) => c.at(i.r1).write_bytes(to, &page).map_err(|t| (t, 1)),
        Err(t) => Err((t, 2)),
    };
    let Err((trap, cc)) = moved else {
        c.set_cc(0);
        return Ok(Flow::Next);
    };
    // Bit 55: the program wants a condition code for an invalid page.
    let wants_cc = c.g(0) & 0x100 != 0;
    match &mut c.fault {
        Fault::Program(p) if p.code == pgm::PAGE_TRANSLATION => {
            if wants_cc {
                c.set_cc(cc);
                return Ok(Flow::Next);
            }
            p.operand_id = i.r1 << 4 | i.r2;
        }
        _ => {}
    }
    Err(trap)
}

#[cfg(test)]
mod tests;
