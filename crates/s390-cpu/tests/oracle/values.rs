// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What registers and storage are filled with: random values, and those where things go wrong.

use super::format::WINDOW_SIZE;
use super::random::Random;

/// A general register: small numbers, limits of every width, single bits, noise.
pub fn integer(r: &mut Random) -> u64 {
    let value = match r.below(8) {
        0 => r.choose(&[0, 1, 2, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256]),
        1 => (1u64 << r.choose(&[7, 8, 15, 16, 31, 32, 63])) + r.below(3) - 1,
        2 => 1 << r.below(64),
        3 => u64::MAX << r.below(64),
        4 => r.next() >> r.below(64),
        5 => u64::from(r.next() as u32) << 32 | integer(r) & 0xffff_ffff,
        _ => r.next(),
    };
    if r.one_in(4) {
        value.wrapping_neg()
    } else {
        value
    }
}

/// A floating-point register: short, long or half of an extended number, of any class.
pub fn floating(r: &mut Random) -> u64 {
    if r.one_in(2) {
        u64::from(short(r)) << 32 | r.next() & 0xffff_ffff
    } else {
        long(r)
    }
}

/// Makes the pair `high`, `low` hold an extended number with an interesting exponent.
pub fn extended(r: &mut Random) -> (u64, u64) {
    let fraction = fraction(r, 112);
    let noise = r.next();
    let low = r.choose(&[0, fraction, noise]);
    let exponent = exponent(r, 15);
    (
        r.next() & 1 << 63 | exponent << 48 | fraction >> 16 & 0xffff_ffff_ffff,
        low,
    )
}

fn short(r: &mut Random) -> u32 {
    (r.next() & 1 << 31 | exponent(r, 8) << 23 | fraction(r, 23)) as u32
}

fn long(r: &mut Random) -> u64 {
    r.next() & 1 << 63 | exponent(r, 11) << 52 | fraction(r, 52)
}

/// A biased exponent: zero and subnormal, infinite and not a number, near one, near the limits.
fn exponent(r: &mut Random, bits: u32) -> u64 {
    let max = (1 << bits) - 1;
    let bias = max >> 1;
    match r.below(8) {
        0 => 0,
        1 => max,
        2 => 1 + r.below(60).min(max - 2),
        3 => max - 1 - r.below(60).min(max - 2),
        4 | 5 => bias + r.below(70).min(bias - 1),
        6 => bias - r.below(70).min(bias - 1),
        _ => r.below(max + 1),
    }
}

/// The fraction, or the top 64 bits of a longer one.
fn fraction(r: &mut Random, bits: u32) -> u64 {
    let bits = bits.min(64);
    let mask = u64::MAX >> (64 - bits);
    let value = match r.below(6) {
        0 => 0,
        1 => 1 << (bits - 1),
        2 => mask,
        3 => 1 << r.below(bits.into()),
        4 => mask << r.below(bits.into()),
        _ => r.next(),
    };
    value & mask
}

/// A valid floating-point-control register; exceptions are mostly not trapped.
pub fn fpc(r: &mut Random) -> u32 {
    let masks = if r.one_in(8) { r.below(32) } else { 0 };
    let flags = if r.one_in(4) { r.below(32) } else { 0 };
    let rounding = r.choose(&[0, 0, 0, 1, 2, 3, 7]);
    (masks << 27 | flags << 19 | rounding) as u32
}

/// Storage: noise, numbers, packed and zoned decimals, text.
pub fn window(r: &mut Random) -> [u8; WINDOW_SIZE] {
    let mut window = [0; WINDOW_SIZE];
    let kind = r.below(8);
    for at in (0..WINDOW_SIZE).step_by(8) {
        let bytes = match kind {
            0 => 0,
            1 => floating(r),
            2 | 3 => integer(r),
            4 => packed(r),
            5 => zoned(r),
            6 => text(r),
            _ => r.next(),
        };
        window[at..at + 8].copy_from_slice(&bytes.to_be_bytes());
    }
    window
}

/// Eight bytes of decimal digits, half of them with a sign at the end.
pub fn packed(r: &mut Random) -> u64 {
    let mut value = 0;
    for _ in 0..1 + r.below(15) {
        value = value << 4 | r.below(10);
    }
    let sign = r.choose(&[0xc, 0xd, 0xc, 0xd, 0xf, 0xa, 0xb, 0xe, 0]);
    let last = value << 4 | sign;
    // Half of them longer than eight bytes.
    if r.one_in(2) {
        last
    } else {
        value
    }
}

fn zoned(r: &mut Random) -> u64 {
    let mut value = 0;
    for _ in 0..8 {
        value = value << 8 | 0xf0 | r.below(10);
    }
    value
}

/// Letters, some UTF-8 and UTF-16, a zero now and then.
fn text(r: &mut Random) -> u64 {
    let mut value = 0;
    for _ in 0..8 {
        let byte = match r.below(12) {
            0 => 0,
            1 => 0x20,
            2 => r.choose(&[0xc3, 0xe2, 0xf0, 0xd8, 0xdc, 0x80, 0xbf]),
            _ => 0x61 + r.below(26),
        };
        value = value << 8 | byte;
    }
    value
}
