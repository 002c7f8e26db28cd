// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: load and store of several registers or of bytes under a mask. All or
//! nothing: what cannot be accessed whole changes nothing.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;

/// Registers from R1 to R3, which wraps around.
#[inline(always)]
fn count(i: &Insn) -> u8 {
    (i.r3.wrapping_sub(i.r1) & 15) + 1
}

/// Defines LOAD MULTIPLE and STORE MULTIPLE of a register part.
macro_rules! multiple {
    ($($load:ident, $store:ident: $t:ty, $get:ident, $set:ident;)*) => {$(
        pub(crate) fn $load(c: &mut Cpu, i: &Insn) -> Exec {
            const SIZE: usize = size_of::<$t>();
            let mut b = [0; 16 * SIZE];
            let b = &mut b[..usize::from(count(i)) * SIZE];
            c.read_bytes(c.ea(i), b)?;
            for (n, v) in b.chunks_exact(SIZE).enumerate() {
                let v = <$t>::from_be_bytes(v.try_into().expect("the size of a chunk"));
                c.$set(i.r1.wrapping_add(n as u8) & 15, v);
            }
            Ok(Flow::Next)
        }

        pub(crate) fn $store(c: &mut Cpu, i: &Insn) -> Exec {
            const SIZE: usize = size_of::<$t>();
            let mut b = [0; 16 * SIZE];
            let b = &mut b[..usize::from(count(i)) * SIZE];
            for (n, v) in b.chunks_exact_mut(SIZE).enumerate() {
                v.copy_from_slice(&c.$get(i.r1.wrapping_add(n as u8) & 15).to_be_bytes());
            }
            c.write_bytes(c.ea(i), b)?;
            Ok(Flow::Next)
        }
    )*};
}

multiple! {
    lm, stm: u32, g32, set_g32;
    lmg, stmg: u64, g, set_g;
    lmh, stmh: u32, high, set_high;
}

/// LOAD MULTIPLE DISJOINT: left words from the first operand, right words from the second.
pub(crate) fn lmd(c: &mut Cpu, i: &Insn) -> Exec {
    let (mut high, mut low) = ([0; 64], [0; 64]);
    let len = usize::from(count(i)) * 4;
    c.read_bytes(c.ea(i), &mut high[..len])?;
    c.read_bytes(c.ea2(i), &mut low[..len])?;
    for (n, (h, l)) in high
        .chunks_exact(4)
        .zip(low.chunks_exact(4))
        .enumerate()
        .take(len / 4)
    {
        let word = |b: &[u8]| u64::from(u32::from_be_bytes(b.try_into().expect("4 bytes")));
        c.set_g(i.r1.wrapping_add(n as u8), word(h) << 32 | word(l));
    }
    Ok(Flow::Next)
}

/// The bytes of a word that mask `m` selects, leftmost in bit 0.
fn selected(m: u8) -> u32 {
    (0..4)
        .filter(|n| m & 8 >> n != 0)
        .fold(0, |bytes, n| bytes | 0xff00_0000 >> (8 * n))
}

/// Fetches as many bytes as mask M3 has ones, into the places of `word` that it selects. At
/// least one byte is accessed.
fn gather(c: &mut Cpu, i: &Insn, word: u32) -> Result<u32, Trap> {
    let mut bytes = [0; 4];
    let len = i.r3.count_ones() as usize;
    c.read_bytes(c.ea(i), &mut bytes[..len.max(1)])?;
    let mut word = word.to_be_bytes();
    let places = word.iter_mut().enumerate();
    for ((_, place), byte) in places.filter(|(n, _)| i.r3 & 8 >> n != 0).zip(bytes) {
        *place = byte;
    }
    Ok(u32::from_be_bytes(word))
}

/// The condition code of INSERT CHARACTERS UNDER MASK: 0 all inserted bits zero or mask zero, 1
/// leftmost inserted bit one, 2 leftmost zero.
fn inserted(c: &mut Cpu, i: &Insn, word: u32) {
    let first = selected(i.r3) & word;
    c.cc = match selected(i.r3) {
        0 => LazyCc::value(0),
        mask => LazyCc::signed32(first << mask.leading_zeros() | u32::from(first != 0), 0),
    };
}

/// INSERT CHARACTERS UNDER MASK (low).
pub(crate) fn icm(c: &mut Cpu, i: &Insn) -> Exec {
    let v = gather(c, i, c.g32(i.r1))?;
    c.set_g32(i.r1, v);
    inserted(c, i, v);
    Ok(Flow::Next)
}

/// INSERT CHARACTERS UNDER MASK (high).
pub(crate) fn icmh(c: &mut Cpu, i: &Insn) -> Exec {
    let v = gather(c, i, c.high(i.r1))?;
    c.set_high(i.r1, v);
    inserted(c, i, v);
    Ok(Flow::Next)
}

/// COMPARE LOGICAL CHARACTERS UNDER MASK: the selected bytes as one number.
fn compare_under_mask(c: &mut Cpu, i: &Insn, word: u32) -> Exec {
    let operand = gather(c, i, 0)?;
    c.cc = LazyCc::unsigned((word & selected(i.r3)).into(), operand.into());
    Ok(Flow::Next)
}

/// COMPARE LOGICAL CHARACTERS UNDER MASK (low).
pub(crate) fn clm(c: &mut Cpu, i: &Insn) -> Exec {
    compare_under_mask(c, i, c.g32(i.r1))
}

/// COMPARE LOGICAL CHARACTERS UNDER MASK (high).
pub(crate) fn clmh(c: &mut Cpu, i: &Insn) -> Exec {
    compare_under_mask(c, i, c.high(i.r1))
}

/// STORE CHARACTERS UNDER MASK: the selected bytes side by side.
fn scatter(c: &mut Cpu, i: &Insn, word: u32) -> Exec {
    let mut bytes = [0; 4];
    let word = word.to_be_bytes();
    let mut len = 0;
    for (n, byte) in word.into_iter().enumerate() {
        if i.r3 & 8 >> n != 0 {
            bytes[len] = byte;
            len += 1;
        }
    }
    if len == 0 {
        c.check_write(c.ea(i), 1)?;
    }
    c.write_bytes(c.ea(i), &bytes[..len])?;
    Ok(Flow::Next)
}

/// STORE CHARACTERS UNDER MASK (low).
pub(crate) fn stcm(c: &mut Cpu, i: &Insn) -> Exec {
    scatter(c, i, c.g32(i.r1))
}

/// STORE CHARACTERS UNDER MASK (high).
pub(crate) fn stcmh(c: &mut Cpu, i: &Insn) -> Exec {
    scatter(c, i, c.high(i.r1))
}
