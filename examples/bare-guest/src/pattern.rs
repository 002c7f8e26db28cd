// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The content of a test disk: every sector differs, and says which one it is.
//!
//! A sector is 64 big-endian doublewords. The first is the sector's number. It starts a linear
//! congruential generator, `x = x * MULTIPLIER + INCREMENT` modulo 2^64 (Knuth's MMIX), whose
//! values are the others; in a sector that a guest has rewritten, these are complemented.

/// Bytes in a sector.
pub const SECTOR: usize = 512;

const MULTIPLIER: u64 = 6364136223846793005;
const INCREMENT: u64 = 1442695040888963407;

/// The value behind `x` of the generator.
pub const fn next(x: u64) -> u64 {
    x.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT)
}

/// Which of its two forms a sector has.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is put on a fresh disk.
    Plain,
    /// All but the number complemented.
    Complemented,
}

impl Form {
    /// The other form.
    pub const fn other(self) -> Self {
        match self {
            Form::Plain => Form::Complemented,
            Form::Complemented => Form::Plain,
        }
    }
}

/// The content of sector `number`.
pub fn sector(number: u64, form: Form) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    let (mut x, mut mask) = (number, 0);
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&(x ^ mask).to_be_bytes());
        x = next(x);
        if form == Form::Complemented {
            mask = !0;
        }
    }
    bytes
}

/// The form of a sector read as number `number`, if it holds the pattern.
pub fn recognise(number: u64, bytes: &[u8]) -> Option<Form> {
    [Form::Plain, Form::Complemented]
        .into_iter()
        .find(|&form| bytes == sector(number, form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_are_those_of_the_definition() {
        let bytes = sector(1, Form::Plain);
        assert_eq!(bytes[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bytes[8..16], 7806831264735756412u64.to_be_bytes());
        let other = sector(1, Form::Complemented);
        assert_eq!(other[..8], bytes[..8]);
        assert!(other[8..].iter().zip(&bytes[8..]).all(|(a, b)| *a == !b));
    }

    #[test]
    fn a_sector_is_recognised_in_its_place_only() {
        for form in [Form::Plain, Form::Complemented] {
            let mut bytes = sector(77, form);
            assert_eq!(recognise(77, &bytes), Some(form));
            assert_eq!(recognise(78, &bytes), None);
            bytes[511] ^= 1;
            assert_eq!(recognise(77, &bytes), None);
        }
        assert_eq!(recognise(0, &[0; SECTOR]), None);
        assert_eq!(recognise(0, &[]), None);
    }
}
