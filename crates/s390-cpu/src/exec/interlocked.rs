// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: interlocked fetch and update.

use crate::cc::LazyCc;
use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;
use crate::model::facility;

/// The address of the storage operand, which must be a multiple of `size`.
#[inline(always)]
fn aligned(c: &mut Cpu, i: &Insn, size: u64) -> Result<u64, Trap> {
    let ea = c.ea(i);
    if ea & (size - 1) != 0 {
        return Err(c.specification());
    }
    Ok(ea)
}

/// Swaps `new` in where `$r` compares equal; otherwise loads it. Tells which.
macro_rules! swaps {
    ($($name:ident: $t:ty, $compare_and_swap:ident, $get:ident, $set:ident;)*) => {$(
        fn $name(c: &mut Cpu, ea: u64, r: u8, new: $t) -> Result<bool, Trap> {
            let expected = $get(c, r);
            let old = c.$compare_and_swap(ea, expected, new)?;
            if old != expected {
                $set(c, r, old);
            }
            Ok(old == expected)
        }
    )*};
}

swaps! {
    swap32: u32, compare_and_swap_u32, word, set_word;
    swap_words: u64, compare_and_swap_u64, words, set_words;
    swap64: u64, compare_and_swap_u64, doubleword, set_doubleword;
    swap128: u128, compare_and_swap_u128, quadword, set_quadword;
}

fn word(c: &Cpu, r: u8) -> u32 {
    c.g32(r)
}

fn set_word(c: &mut Cpu, r: u8, v: u32) {
    c.set_g32(r, v);
}

fn words(c: &Cpu, r: u8) -> u64 {
    u64::from(c.g32(r)) << 32 | u64::from(c.g32(r + 1))
}

fn set_words(c: &mut Cpu, r: u8, v: u64) {
    c.set_g32(r, (v >> 32) as u32);
    c.set_g32(r + 1, v as u32);
}

fn doubleword(c: &Cpu, r: u8) -> u64 {
    c.g(r)
}

fn set_doubleword(c: &mut Cpu, r: u8, v: u64) {
    c.set_g(r, v);
}

fn quadword(c: &Cpu, r: u8) -> u128 {
    u128::from(c.g(r)) << 64 | u128::from(c.g(r + 1))
}

fn set_quadword(c: &mut Cpu, r: u8, v: u128) {
    c.set_g(r, (v >> 64) as u64);
    c.set_g(r + 1, v as u64);
}

/// COMPARE AND SWAP (32).
pub(crate) fn cs(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 4)?;
    let swapped = swap32(c, ea, i.r1, c.g32(i.r3))?;
    c.set_cc((!swapped).into());
    Ok(Flow::Next)
}

/// COMPARE AND SWAP (64).
pub(crate) fn csg(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let swapped = swap64(c, ea, i.r1, c.g(i.r3))?;
    c.set_cc((!swapped).into());
    Ok(Flow::Next)
}

/// COMPARE DOUBLE AND SWAP (32): register pairs.
pub(crate) fn cds(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1 | i.r3)?;
    let ea = aligned(c, i, 8)?;
    let swapped = swap_words(c, ea, i.r1, words(c, i.r3))?;
    c.set_cc((!swapped).into());
    Ok(Flow::Next)
}

/// COMPARE DOUBLE AND SWAP (64): register pairs.
pub(crate) fn cdsg(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1 | i.r3)?;
    let ea = aligned(c, i, 16)?;
    let swapped = swap128(c, ea, i.r1, quadword(c, i.r3))?;
    c.set_cc((!swapped).into());
    Ok(Flow::Next)
}

/// COMPARE AND SWAP AND STORE: GR0 holds the function code (log2 of the words that are compared)
/// and the storage characteristic (log2 of the bytes that are stored); GR1 points to the
/// replacement and the value to store.
pub(crate) fn csst(c: &mut Cpu, i: &Insn) -> Exec {
    let (function, characteristic) = (c.g(0) as u8, (c.g(0) >> 8) as u8);
    let parameters = c.g(1) & c.addr_mask;
    let (ea, store_ea) = (c.ea(i), c.ea2(i));
    let second = u8::from(c.model.has(facility::COMPARE_AND_SWAP_AND_STORE_2));
    let ok = function <= 1 + second
        && characteristic <= 3 + second
        && parameters % 16 == 0
        && ea % (4 << function) == 0
        && store_ea % (1 << characteristic) == 0
        && (function < 2 || i.r3 % 2 == 0);
    if !ok {
        return Err(c.specification());
    }
    let store_len = 1 << characteristic;
    let (mut replacement, mut store) = ([0; 16], [0; 16]);
    c.at(1)
        .read_bytes(parameters, &mut replacement[..4 << function])?;
    c.read_bytes(
        parameters.wrapping_add(16) & c.addr_mask,
        &mut store[..store_len],
    )?;
    c.at(i.b2).check_write(store_ea, store_len)?;
    c.use_operand(i.b);
    let new = u128::from_be_bytes(replacement);
    let swapped = match function {
        0 => swap32(c, ea, i.r3, (new >> 96) as u32)?,
        1 => swap64(c, ea, i.r3, (new >> 64) as u64)?,
        _ => swap128(c, ea, i.r3, new)?,
    };
    if swapped {
        c.at(i.b2).write_bytes(store_ea, &store[..store_len])?;
    }
    c.set_cc((!swapped).into());
    Ok(Flow::Next)
}

/// LOAD PAIR FROM QUADWORD.
pub(crate) fn lpq(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1)?;
    let ea = aligned(c, i, 16)?;
    // A quadword that cannot be stored to is not updated in one piece either.
    let v = match c.check_write(ea, 16) {
        Ok(()) => c.update_u128(ea, |v| v)?,
        Err(_) => {
            let mut b = [0; 16];
            c.read_bytes(ea, &mut b)?;
            u128::from_be_bytes(b)
        }
    };
    set_quadword(c, i.r1, v);
    Ok(Flow::Next)
}

/// STORE PAIR TO QUADWORD.
pub(crate) fn stpq(c: &mut Cpu, i: &Insn) -> Exec {
    c.even(i.r1)?;
    let ea = aligned(c, i, 16)?;
    let new = quadword(c, i.r1);
    c.update_u128(ea, |_| new)?;
    Ok(Flow::Next)
}

/// LOAD PAIR DISJOINT: two operands at once (condition code 0), or a store came between
/// (condition code 3).
macro_rules! load_pair {
    ($($name:ident: $size:literal, $read:ident, $set:ident;)*) => {$(
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            c.even(i.r3)?;
            let (first, second) = (c.ea(i), c.ea2(i));
            if (first | second) & ($size - 1) != 0 {
                return Err(c.specification());
            }
            let a = c.at(i.b).$read(first)?;
            let b = c.at(i.b2).$read(second)?;
            let changed = a != c.at(i.b).$read(first)?;
            c.$set(i.r3, a);
            c.$set(i.r3 + 1, b);
            c.set_cc(if changed { 3 } else { 0 });
            Ok(Flow::Next)
        }
    )*};
}

load_pair! {
    lpd: 4, read_u32, set_g32;
    lpdg: 8, read_u64, set_g;
}

/// TEST AND SET: the leftmost bit of a byte that becomes all ones.
pub(crate) fn ts(c: &mut Cpu, i: &Insn) -> Exec {
    let old = c.update_u8(c.ea(i), |_| 0xff)?;
    c.set_cc(old >> 7);
    Ok(Flow::Next)
}

/// AND, OR, EXCLUSIVE OR immediate to a byte of storage.
macro_rules! bytes {
    ($($name:ident: |$a:ident, $b:ident| $value:expr;)*) => {$(
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            let $b = i.imm as u8;
            let $a = c.update_u8(c.ea(i), |$a| $value)?;
            c.cc = LazyCc::logical(($value).into());
            Ok(Flow::Next)
        }
    )*};
}

bytes! {
    ni: |a, b| a & b;
    oi: |a, b| a | b;
    xi: |a, b| a ^ b;
}

/// ADD IMMEDIATE and ADD LOGICAL WITH SIGNED IMMEDIATE to storage: interlocked if it is aligned.
macro_rules! add_immediate {
    ($($signed:ident, $logical:ident: $t:ty, $s:ty, $update:ident, $cc:ident, $logical_cc:ident;)*) => {$(
        pub(crate) fn $signed(c: &mut Cpu, i: &Insn) -> Exec {
            let b = i.imm as i8 as $t;
            let a = c.$update(c.ea(i), |a| a.wrapping_add(b))?;
            c.cc = LazyCc::$cc(a, b);
            c.fixed_overflow((a as $s).checked_add(b as $s).is_none())
        }

        pub(crate) fn $logical(c: &mut Cpu, i: &Insn) -> Exec {
            let b = i.imm as i8 as $t;
            let a = c.$update(c.ea(i), |a| a.wrapping_add(b))?;
            c.cc = LazyCc::$logical_cc(a, b);
            Ok(Flow::Next)
        }
    )*};
}

add_immediate! {
    asi, alsi: u32, i32, update_u32, add32, add_logical32;
    agsi, algsi: u64, i64, update_u64, add64, add_logical64;
}

/// LOAD AND ADD, ADD LOGICAL, AND, EXCLUSIVE OR, OR: the operand goes to R1, its combination
/// with R3 to storage.
macro_rules! load_and {
    ($($add:ident $add_logical:ident $and:ident $xor:ident $or:ident:
        $t:ty, $s:ty, $get:ident, $set:ident, $update:ident, $cc:ident, $logical_cc:ident;)*) => {$(
        pub(crate) fn $add(c: &mut Cpu, i: &Insn) -> Exec {
            let ea = aligned(c, i, size_of::<$t>() as u64)?;
            let b = c.$get(i.r3);
            let a = c.$update(ea, |a| a.wrapping_add(b))?;
            c.$set(i.r1, a);
            c.cc = LazyCc::$cc(a, b);
            c.fixed_overflow((a as $s).checked_add(b as $s).is_none())
        }

        pub(crate) fn $add_logical(c: &mut Cpu, i: &Insn) -> Exec {
            let ea = aligned(c, i, size_of::<$t>() as u64)?;
            let b = c.$get(i.r3);
            let a = c.$update(ea, |a| a.wrapping_add(b))?;
            c.$set(i.r1, a);
            c.cc = LazyCc::$logical_cc(a, b);
            Ok(Flow::Next)
        }

        load_and! { @bitwise $and, $t, $get, $set, $update, |a, b| a & b }
        load_and! { @bitwise $xor, $t, $get, $set, $update, |a, b| a ^ b }
        load_and! { @bitwise $or, $t, $get, $set, $update, |a, b| a | b }
    )*};
    (@bitwise $name:ident, $t:ty, $get:ident, $set:ident, $update:ident, |$a:ident, $b:ident| $value:expr) => {
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            let ea = aligned(c, i, size_of::<$t>() as u64)?;
            let $b = c.$get(i.r3);
            let $a = c.$update(ea, |$a| $value)?;
            c.$set(i.r1, $a);
            c.cc = LazyCc::logical(($value).into());
            Ok(Flow::Next)
        }
    };
}

load_and! {
    laa laal lan lax lao: u32, i32, g32, set_g32, update_u32, add32, add_logical32;
    laag laalg lang laxg laog: u64, i64, g, set_g, update_u64, add64, add_logical64;
}

#[cfg(test)]
mod tests {
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run, DATA};

    #[test]
    fn test_compare_and_swap() {
        let mut c = cpu();
        c.set_g(1, 7);
        c.set_g(3, 9);
        c.set_g(5, DATA);
        run(&mut c, "ba135000").unwrap();
        assert_eq!((c.g(1), c.cc.get(), c.ram.read_u64(DATA)), (0, 1, 0));
        run(&mut c, "ba135000").unwrap();
        assert_eq!((c.g(1), c.cc.get(), c.ram.read_u64(DATA)), (0, 0, 9 << 32));
        c.set_g(5, DATA + 2);
        assert_interrupted(&mut c, "ba135000", pgm::SPECIFICATION);
    }

    #[test]
    fn test_compare_double_and_swap() {
        let mut c = cpu();
        c.set_g(4, 1);
        c.set_g(5, 2);
        c.set_g(6, DATA);
        run(&mut c, "eb246000003e").unwrap();
        assert_eq!(c.cc.get(), 0);
        assert_eq!((c.ram.read_u64(DATA), c.ram.read_u64(DATA + 8)), (1, 2));
        run(&mut c, "eb246000003e").unwrap();
        assert_eq!((c.cc.get(), c.g(2), c.g(3)), (1, 1, 2));
        assert_interrupted(&mut c, "eb346000003e", pgm::SPECIFICATION);
        c.set_g(6, DATA + 8);
        assert_interrupted(&mut c, "eb246000003e", pgm::SPECIFICATION);
        c.set_g(2, 0);
        c.set_g(3, 2);
        run(&mut c, "bb246000").unwrap();
        assert_eq!((c.cc.get(), c.ram.read_u64(DATA + 8)), (0, 1 << 32 | 2));
    }

    #[test]
    fn test_compare_and_swap_and_store() {
        let mut c = cpu();
        // A doubleword is swapped, two bytes are stored.
        c.set_g(0, 0x0101);
        c.set_g(1, DATA);
        c.set_g(3, 0);
        c.set_g(5, DATA + 0x40);
        c.ram.write(DATA, &[9; 18]);
        run(&mut c, "c83250005012").unwrap();
        assert_eq!(c.cc.get(), 0);
        assert_eq!(c.ram.read_u64(DATA + 0x40), 0x0909_0909_0909_0909);
        assert_eq!(c.ram.read_u64(DATA + 0x50), 0x0909_0000_0000);
        run(&mut c, "c83250005020").unwrap();
        assert_eq!((c.cc.get(), c.g(3)), (1, 0x0909_0909_0909_0909));
        assert_eq!(c.ram.read_u64(DATA + 0x60), 0);
        // Two bytes at an odd address; a parameter list that is not aligned.
        assert_interrupted(&mut c, "c83250005021", pgm::SPECIFICATION);
        c.set_g(1, DATA + 8);
        assert_interrupted(&mut c, "c83250005020", pgm::SPECIFICATION);
    }

    #[test]
    fn test_pairs_of_quadwords() {
        let mut c = cpu();
        c.set_g(2, 1);
        c.set_g(3, 2);
        c.set_g(5, DATA);
        run(&mut c, "e3205000008e").unwrap();
        assert_eq!((c.ram.read_u64(DATA), c.ram.read_u64(DATA + 8)), (1, 2));
        c.set_g(2, 0);
        c.set_g(3, 0);
        run(&mut c, "e3205000008f").unwrap();
        assert_eq!((c.g(2), c.g(3)), (1, 2));
    }

    #[test]
    fn test_add_to_storage() {
        let mut c = cpu();
        c.set_g(5, DATA);
        run(&mut c, "ebff5000006a").unwrap();
        assert_eq!((c.ram.read_u64(DATA) >> 32, c.cc.get()), (0xffff_ffff, 1));
        run(&mut c, "ebff5000006e").unwrap();
        assert_eq!((c.ram.read_u64(DATA) >> 32, c.cc.get()), (0xffff_fffe, 3));
        // Not aligned, across a page boundary.
        c.set_g(5, DATA + 0xffe);
        run(&mut c, "ebff5000006a").unwrap();
        assert_eq!(c.ram.read_u64(DATA + 0xffc), 0x0000_ffff_ffff_0000);
    }

    #[test]
    fn test_load_and_add() {
        let mut c = cpu();
        c.set_g(1, 5);
        c.set_g(3, 7);
        c.set_g(5, DATA);
        run(&mut c, "eb13500000f8 eb13500000f8").unwrap();
        assert_eq!((c.g(1), c.ram.read_u64(DATA) >> 32, c.cc.get()), (7, 14, 2));
        c.set_g(5, DATA + 2);
        assert_interrupted(&mut c, "eb13500000f8", pgm::SPECIFICATION);
    }

    #[test]
    fn test_test_and_set() {
        let mut c = cpu();
        c.set_g(5, DATA);
        run(&mut c, "93005000").unwrap();
        assert_eq!(c.cc.get(), 0);
        run(&mut c, "93005000").unwrap();
        assert_eq!((c.cc.get(), c.ram.read_u64(DATA)), (1, 0xff << 56));
    }
}
