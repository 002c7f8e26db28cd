// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use super::*;
use crate::cpu::pgm;
use crate::testing::{assert_interrupted, cpu, run, DATA};

const TABLE: u64 = 0x8000;

/// Source and destination in registers 10 and 8, their lengths in 11 and 9, a table that maps
/// every one-byte character and every two-byte character to one more.
fn prepare(source: &[u8], len: u64, two: bool) -> Box<Cpu> {
    let mut c = cpu();
    c.ram.write(DATA, source);
    c.set_g(8, DATA + 0x800);
    c.set_g(9, len);
    c.set_g(10, DATA);
    c.set_g(1, TABLE | 7);
    for k in 0..0x800_u64 {
        match two {
            true => c.ram.write(TABLE + 2 * k, &(k as u16 + 1).to_be_bytes()),
            false => c.ram.write(TABLE + k, &[(k as u8).wrapping_add(1)]),
        }
    }
    c
}

fn result<const N: usize>(c: &Cpu) -> [u8; N] {
    let mut buf = [0; N];
    c.ram.read(DATA + 0x800, &mut buf);
    buf
}

#[test]
fn test_translate_between_one_and_two_bytes() {
    for (text, source, len, two, expected) in [
        ("b993008a", [1, 2, 3, 4], 4, false, [2, 3, 4, 5, 0, 0, 0, 0]),
        ("b992008a", [1, 2, 3, 4], 4, true, [0, 2, 0, 3, 0, 4, 0, 5]),
        ("b991008a", [0, 2, 1, 4], 4, false, [3, 5, 0, 0, 0, 0, 0, 0]),
        ("b990008a", [0, 2, 1, 4], 4, true, [0, 3, 1, 5, 0, 0, 0, 0]),
    ] {
        let mut c = prepare(&source, len, two);
        c.set_g(0, 0xffff);
        run(&mut c, text).unwrap();
        assert_eq!((result(&c), c.cc.get(), c.g(9)), (expected, 0, 0), "{text}");
        assert_eq!(c.g(10), DATA + 4);
        let stored = expected.iter().rposition(|&b| b != 0).unwrap() as u64 + 1;
        assert_eq!(c.g(8), DATA + 0x800 + stored);
    }
}

#[test]
fn test_translation_stops_at_the_test_character() {
    // After translation: it is not stored.
    let mut c = prepare(&[1, 2, 3, 4], 4, false);
    c.set_g(0, 0xff03);
    run(&mut c, "b993008a").unwrap();
    assert_eq!((result(&c), c.cc.get(), c.g(9)), ([2, 0], 1, 3));
    let mut c = prepare(&[1, 2, 3, 4], 4, true);
    c.set_g(0, 4);
    run(&mut c, "b992008a").unwrap();
    assert_eq!((result(&c), c.cc.get(), c.g(9)), ([0, 2, 0, 3, 0], 1, 2));
    // M3 1: no test.
    let mut c = prepare(&[1, 2, 3, 4], 4, false);
    c.set_g(0, 3);
    run(&mut c, "b993108a").unwrap();
    assert_eq!((result(&c), c.cc.get()), ([2, 3, 4, 5], 0));
}

#[test]
fn test_translation_stops_now_and_then() {
    let mut c = prepare(&[1; 0x400], 0x401, false);
    c.set_g(0, 0xff);
    run(&mut c, "b993008a").unwrap();
    assert_eq!((c.cc.get(), c.g(9)), (3, 1));
    run(&mut c, "b993008a").unwrap();
    assert_eq!((c.cc.get(), c.g(9)), (0, 0));
}

#[test]
fn test_translation_exceptions() {
    let mut c = prepare(&[], 3, false);
    assert_interrupted(&mut c, "b991008a", pgm::SPECIFICATION);
    assert_interrupted(&mut c, "b990008a", pgm::SPECIFICATION);
    assert_interrupted(&mut c, "b993009a", pgm::SPECIFICATION);
    // What was done before an exception stays.
    let mut c = prepare(&[1, 2, 3, 4], 4, false);
    c.set_g(8, 0xf_fffe);
    c.set_g(0, 0xff);
    assert_interrupted(&mut c, "b993008a", pgm::ADDRESSING);
    assert_eq!((c.g(8), c.g(9), c.g(10)), (1 << 20, 2, DATA + 2));
}

#[test]
fn test_well_formedness_checking() {
    // CU12 with M3 0 and 1: the shortest three-byte character, and one that is too long.
    for (source, plain, checked) in [
        ([0xe0, 0xa0, 0x80], (0, 0x800), (0, 0x800)),
        ([0xe0, 0x9f, 0xbf], (0, 0x7ff), (2, 0)),
        ([0xed, 0xa0, 0x80], (0, 0xd800), (2, 0)),
        ([0xe1, 0x41, 0x80], (0, 0x1040), (2, 0)),
    ] {
        for (text, expected) in [("b2a7008a", plain), ("b2a7108a", checked)] {
            let mut c = prepare(&source, 8, false);
            c.set_g(11, 3);
            run(&mut c, text).unwrap();
            let found = u16::from_be_bytes(result(&c));
            assert_eq!((c.cc.get(), found), expected, "{text} {source:x?}");
        }
    }
}
