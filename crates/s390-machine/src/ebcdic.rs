// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Names in EBCDIC, as STSI stores them.

const BLANK: u8 = 0x40;

/// The EBCDIC code (the same in code pages 37, 500 and 1047) of a letter, digit or one of the
/// few signs that names are made of; a blank for anything else.
const fn encode(c: char) -> u8 {
    let c = c as u32;
    if c >= 0x80 {
        return BLANK;
    }
    let c = c as u8;
    match c {
        b'A'..=b'I' => 0xc1 + (c - b'A'),
        b'J'..=b'R' => 0xd1 + (c - b'J'),
        b'S'..=b'Z' => 0xe2 + (c - b'S'),
        b'a'..=b'i' => 0x81 + (c - b'a'),
        b'j'..=b'r' => 0x91 + (c - b'j'),
        b's'..=b'z' => 0xa2 + (c - b's'),
        b'0'..=b'9' => 0xf0 + (c - b'0'),
        b'/' => 0x61,
        b'-' => 0x60,
        b'.' => 0x4b,
        b'_' => 0x6d,
        _ => BLANK,
    }
}

/// The first `N` characters of `text`, padded with blanks.
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [BLANK; N];
    for (byte, c) in bytes.iter_mut().zip(text.chars()) {
        *byte = encode(c);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_linux() {
        let expected = [
            0xd2, 0xe5, 0xd4, 0x61, 0xd3, 0x89, 0x95, 0xa4, 0xa7, 0x40, 0x40, 0x40,
        ];
        assert_eq!(padded::<12>("KVM/Linux"), expected);
    }

    #[test]
    fn cuts_pads_and_blanks() {
        assert_eq!(padded::<3>("azAZ"), [0x81, 0xa9, 0xc1]);
        assert_eq!(padded::<4>("9\u{e9}~"), [0xf9, 0x40, 0x40, 0x40]);
    }
}
