// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use super::*;
use crate::testing::{assert_interrupted, cpu, run, step, Space, CODE, DATA};

/// Lengths beyond what one execution processes, in pages that are mapped one by one; registers 8
/// to 11 for a destination at 0x10000 and a source at 0x30000 of 0x3000 bytes each.
fn prepare() -> (Box<Cpu>, Space) {
    let mut c = cpu();
    let tables = Space::new(&mut c, 0x80000, 1);
    tables.map(&mut c, CODE, CODE);
    for page in (0..0x3000).step_by(0x1000) {
        // Not in the order of the virtual addresses.
        tables.map(&mut c, 0x10000 + page, 0x12000 - page);
        tables.map(&mut c, 0x30000 + page, 0x32000 - page);
    }
    tables.use_as_primary(&mut c);
    for k in (0..0x3000).step_by(8) {
        c.write_u64(0x30000 + k, k * 0x0101_0107).unwrap();
    }
    c.set_g(8, 0x10000);
    c.set_g(9, 0x3000);
    c.set_g(10, 0x30000);
    c.set_g(11, 0x3000);
    (c, tables)
}

fn assert_moved(c: &mut Cpu, len: u64) {
    for k in (0..0x3000).step_by(8) {
        let expected = if k < len { k * 0x0101_0107 } else { 0 };
        assert_eq!(c.read_u64(0x10000 + k), Ok(expected), "{k:x}");
    }
}

/// Runs one instruction as often as it wants to go on.
fn repeat(c: &mut Cpu, text: &str) -> usize {
    for n in 1..100 {
        crate::testing::load(c, CODE, text);
        c.psw_addr = CODE;
        let again = step(c).unwrap() == Flow::Again;
        if !again && c.cc.get() != 3 {
            return n;
        }
        assert!(!again || c.psw_addr == CODE);
    }
    panic!("{text} does not end");
}

#[test]
fn test_long_moves_and_comparisons_let_interruptions_in() {
    // MVCL, CLCL, MVCLE, CLCLE, MVCLU, CLCLU.
    for pair in [
        ["0e8a", "0f8a"],
        ["a88a0000", "a98a0000"],
        ["eb8a0000008e", "eb8a0000008f"],
    ] {
        let (mut c, _) = prepare();
        assert!(repeat(&mut c, pair[0]) >= 3);
        assert_eq!((c.cc.get(), c.g(8), c.g(9)), (0, 0x13000, 0));
        assert_eq!((c.g(10), c.g(11)), (0x33000, 0));
        assert_moved(&mut c, 0x3000);
        c.set_g(8, 0x10000);
        c.set_g(9, 0x3000);
        c.set_g(10, 0x30000);
        c.set_g(11, 0x3000);
        assert!(repeat(&mut c, pair[1]) >= 3);
        assert_eq!((c.cc.get(), c.g(8), c.g(11)), (0, 0x13000, 0));
    }
}

#[test]
fn test_exceptions_leave_what_was_done() {
    for text in ["0e8a", "a88a0000", "eb8a0000008e"] {
        let (mut c, tables) = prepare();
        tables.change(&mut c, tables.page_entry(0x12000), |_| 0x400);
        c.flush_translations();
        crate::testing::load(&mut c, CODE, text);
        c.psw_addr = CODE;
        let p = loop {
            c.psw_addr = CODE;
            if let Err(p) = step(&mut c) {
                break p;
            }
        };
        assert_eq!((p.code, p.nullifying), (pgm::PAGE_TRANSLATION, true));
        assert_eq!((c.g(8), c.g(9)), (0x12000, 0x1000), "{text}");
        assert_eq!((c.g(10), c.g(11)), (0x32000, 0x1000), "{text}");
        tables.map(&mut c, 0x12000, 0x10000);
        repeat(&mut c, text);
        assert_moved(&mut c, 0x3000);
    }
}

#[test]
fn test_padding() {
    let mut c = cpu();
    c.ram.write(DATA, b"abc");
    c.set_g(8, DATA + 0x100);
    c.set_g(9, 6);
    c.set_g(10, DATA);
    c.set_g(11, 0x2a00_0003);
    run(&mut c, "0e8a").unwrap();
    assert_eq!(c.ram.read_u64(DATA + 0x100), 0x6162_632a_2a2a_0000);
    assert_eq!((c.cc.get(), c.g(9), c.g(11)), (2, 0, 0x2a00_0000));
    // CLCL: equal but for the pads, which are characters.
    c.set_g(8, DATA + 0x100);
    c.set_g(9, 6);
    c.set_g(10, DATA);
    c.set_g(11, 0x2a00_0003);
    run(&mut c, "0f8a").unwrap();
    assert_eq!(c.cc.get(), 0);
}

#[test]
fn test_destructive_overlap_moves_nothing() {
    let mut c = cpu();
    c.ram.write(DATA, b"abcdefgh");
    c.set_g(8, DATA + 1);
    c.set_g(9, 4);
    c.set_g(10, DATA);
    c.set_g(11, 4);
    run(&mut c, "0e8a").unwrap();
    assert_eq!((c.cc.get(), c.g(9)), (3, 4));
    assert_eq!(&c.ram.read_u64(DATA).to_be_bytes(), b"abcdefgh");
}

#[test]
fn test_move_page() {
    let (mut c, tables) = prepare();
    c.set_g(0, 0);
    c.set_g(8, 0x10123);
    c.set_g(10, 0x30456);
    run(&mut c, "b254008a").unwrap();
    assert_eq!(c.cc.get(), 0);
    assert_moved(&mut c, 0x1000);
    // An invalid page: an interruption that names the registers, or a condition code.
    for (invalid, cc) in [(0x10000, 1), (0x30000, 2)] {
        let (mut c, _) = prepare();
        tables.change(&mut c, tables.page_entry(invalid), |_| 0x400);
        c.flush_translations();
        c.set_g(0, 0);
        let p = run(&mut c, "b254008a").unwrap_err();
        assert_eq!((p.code, p.operand_id), (pgm::PAGE_TRANSLATION, 0x8a));
        c.set_g(0, 0x100);
        run(&mut c, "b254008a").unwrap();
        assert_eq!(c.cc.get(), cc);
    }
    for bits in [0x1000, 0x8000, 0x0c00] {
        c.set_g(0, bits);
        assert_interrupted(&mut c, "b254008a", pgm::SPECIFICATION);
    }
}

#[test]
fn test_searches_stop_now_and_then() {
    let (mut c, _) = prepare();
    for at in (0x30000..0x33000).step_by(8) {
        c.write_u64(at, at).unwrap();
    }
    c.set_g(0, 0xff);
    // SRST, SRSTU: nothing until the end; CKSM.
    c.set_g(12, 0x33000);
    assert!(repeat(&mut c, "b25e00ca") >= 3);
    assert_eq!((c.cc.get(), c.g(12)), (2, 0x33000));
    c.set_g(10, 0x30000);
    c.set_g(0, 0xffff);
    assert!(repeat(&mut c, "b9be00ca") >= 3);
    assert_eq!(c.cc.get(), 2);
    c.set_g(2, 0);
    c.set_g(10, 0x30000);
    assert!(repeat(&mut c, "b241002a") >= 3);
    assert_eq!((c.g(10), c.g(11)), (0x33000, 0));
}
