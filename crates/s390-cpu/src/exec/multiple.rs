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
    c.use_operand(i.b2);
    c.read_bytes(c.ea2(i), &mut low[..len])?;
    for (n, (h, l)) in high
        .chunks_exact(4)
        .zip(low.chunks_exact(4))
        .enumerate()
        .take(len / 4)
    {
        let word = |b: &[u8]| u64::from(u32::from_be_bytes(b.try_into().expect("4 bytes")));
        c.set_g(i.r1.wrapping_add(n as u8) & 15, word(h) << 32 | word(l));
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
    c.cc = LazyCc::unsigned32(word & selected(i.r3), operand);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run, DATA};

    #[test]
    fn test_registers_wrap_around() {
        let mut c = cpu();
        c.ram
            .write(DATA, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]);
        c.set_g(5, DATA);
        c.set_g(0, u64::MAX);
        run(&mut c, "98e15000").unwrap();
        assert_eq!([14, 15, 0, 1].map(|n| c.g32(n)), [1, 2, 3, 4]);
        assert_eq!(c.high(0), u32::MAX);
        c.set_g(5, DATA + 0x100);
        run(&mut c, "90e15000").unwrap();
        assert_eq!(c.ram.read_u64(DATA + 0x108), 3 << 32 | 4);
    }

    #[test]
    fn test_load_multiple_is_all_or_nothing() {
        let mut c = cpu();
        c.set_g(5, (1 << 20) - 8);
        assert_interrupted(&mut c, "98e15000", pgm::ADDRESSING);
        assert_eq!((c.g(14), c.g(15)), (0, 0));
    }

    #[test]
    fn test_load_multiple_disjoint() {
        let mut c = cpu();
        c.ram.write(
            DATA,
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        );
        c.set_g(5, DATA);
        c.set_g(6, DATA + 4);
        run(&mut c, "efe150006000").unwrap();
        assert_eq!(c.g(14), 0x0102_0304_0506_0708);
        assert_eq!(c.g(1), 0x0d0e_0f10_0000_0000);
    }

    #[test]
    fn test_selected() {
        assert_eq!(selected(0), 0);
        assert_eq!(selected(0b1010), 0xff00_ff00);
        assert_eq!(selected(0b0001), 0xff);
    }

    #[test]
    fn test_insert_under_mask() {
        let mut c = cpu();
        c.set_g(1, 0x1111_1111_2222_2222);
        c.set_g(5, DATA);
        for (bytes, cc) in [([0x80, 0], 1), ([0x7f, 0], 2), ([0, 0x80], 2), ([0, 0], 0)] {
            c.ram.write(DATA, &bytes);
            run(&mut c, "bf155000").unwrap();
            assert_eq!(c.cc.get(), cc, "{bytes:?}");
            let v = 0x1111_1111_2200_2200 | u64::from(bytes[0]) << 16 | u64::from(bytes[1]);
            assert_eq!(c.g(1), v);
        }
    }

    #[test]
    fn test_compare_and_store_under_mask() {
        let mut c = cpu();
        c.set_g(1, 0x1122_3344_5566_7788);
        c.set_g(5, DATA);
        run(&mut c, "be155000").unwrap();
        assert_eq!(c.ram.read_u64(DATA), 0x6688 << 48);
        run(&mut c, "bd155000").unwrap();
        assert_eq!(c.cc.get(), 0);
        run(&mut c, "eb135000002c").unwrap();
        assert_eq!(c.ram.read_u64(DATA), 0x3344 << 48);
        run(&mut c, "bd155000").unwrap();
        assert_eq!(c.cc.get(), 2);
    }

    #[test]
    fn test_empty_mask_still_accesses_a_byte() {
        let mut c = cpu();
        c.set_g(5, 1 << 20);
        assert_interrupted(&mut c, "bf105000", pgm::ADDRESSING);
        assert_interrupted(&mut c, "bd105000", pgm::ADDRESSING);
        assert_interrupted(&mut c, "be105000", pgm::ADDRESSING);
        c.set_g(5, DATA);
        c.set_cc(3);
        run(&mut c, "bf105000").unwrap();
        assert_eq!(c.cc.get(), 0);
    }
}
