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

/// Where `test_page_faults_do_not_show` has its operands, and the table of those that translate.
const FIRST: u64 = 0x10f80;
const SECOND: u64 = 0x30f40;
const TABLE: u64 = 0x50f80;

/// Runs `text` to its end with all pages mapped, or with pages that are mapped when they are missed.
/// Returns the number of page faults, the registers and condition code, and the storage.
fn run_with_faults(text: &str, prepared: bool) -> (usize, [u64; 16], u8, Vec<u8>) {
    let mut c = cpu();
    let tables = Space::new(&mut c, 0x80000, 1);
    tables.map(&mut c, CODE, CODE);
    let pages = [0x10000, 0x11000, 0x30000, 0x31000, 0x50000, 0x51000];
    for page in pages {
        let mut bytes = [0; 0x1000];
        for (k, byte) in bytes.iter_mut().enumerate() {
            *byte = (k % 127) as u8 + 1;
        }
        c.ram.write(page, &bytes);
        if prepared {
            tables.map(&mut c, page, page);
        }
    }
    // What ends a search, beyond the page boundaries.
    for end in [FIRST + 0x180, SECOND + 0x180] {
        c.ram.write(end, &[0xff, 0xff]);
    }
    for (r, value) in [
        (0, 0xff),
        (1, TABLE & !7),
        (2, 0xff),
        (8, FIRST),
        (9, 0x120),
        (10, SECOND),
        (11, 0x100),
        (12, TABLE),
    ] {
        c.set_g(r, value);
    }
    match text {
        // CU41, CU42: valid UTF-32; CU21, CU24: valid UTF-16.
        "b9b2008a" | "b9b3008a" => c.ram.write(SECOND, &[0, 0, 0, 0x41].repeat(0x40)),
        "b2a6008a" | "b9b1008a" => c.ram.write(SECOND, &[0, 0x41].repeat(0x80)),
        // TRTO, TRTT: characters that select something in the table.
        "b991008a" | "b990008a" => c.ram.write(SECOND, &[0, 0x41].repeat(0x100)),
        // CLCL, CLCLE, CLCLU, CLST: equal operands.
        "0f8a" | "a98a0000" | "eb8a0000008f" | "b25d008a" => {
            let mut bytes = [0; 0x182];
            c.ram.read(FIRST, &mut bytes);
            c.ram.write(SECOND, &bytes);
        }
        _ => {}
    }
    if matches!(text, "b25e002a" | "b9be002a") {
        // SRST, SRSTU: up to what register 2 points to.
        c.set_g(0, if text == "b25e002a" { 0xff } else { 0xffff });
        c.set_g(2, SECOND + 0x200);
    }
    tables.use_as_primary(&mut c);
    crate::testing::load(&mut c, CODE, text);
    let mut faults = 0;
    for _ in 0..10_000 {
        c.psw_addr = CODE;
        match step(&mut c) {
            Ok(Flow::Again) => {}
            Ok(_) if c.cc.get() == 3 => {}
            Ok(_) => {
                let mut storage = vec![0; 0x60000];
                c.ram.read(0, &mut storage);
                let registers = std::array::from_fn(|n| c.g(n as u8));
                return (faults, registers, c.cc.get(), storage);
            }
            Err(p) => {
                assert_eq!(
                    (p.code, p.nullifying),
                    (pgm::PAGE_TRANSLATION, true),
                    "{text}"
                );
                let page = p.translation_id & !0xfff;
                assert!(pages.contains(&page), "{text}: {page:x}");
                tables.map(&mut c, page, page);
                faults += 1;
            }
        }
    }
    panic!("{text} does not end");
}

/// A guest whose pages are brought in one by one sees the same as one that has them all.
#[test]
fn test_page_faults_do_not_show() {
    for text in [
        "0e8a",         // MVCL
        "0f8a",         // CLCL
        "a88a0020",     // MVCLE
        "a98a0000",     // CLCLE
        "eb8a0020008e", // MVCLU
        "eb8a0000008f", // CLCLU
        "b241008a",     // CKSM
        "b255008a",     // MVST
        "b25d008a",     // CLST
        "b25e002a",     // SRST
        "b9be002a",     // SRSTU
        "b2a5008c",     // TRE
        "b990008a",     // TRTT
        "b991008a",     // TRTO
        "b992008a",     // TROT
        "b993008a",     // TROO
        "b2a6008a",     // CU21
        "b2a7008a",     // CU12
        "b9b0008a",     // CU14
        "b9b1008a",     // CU24
        "b9b2008a",     // CU41
        "b9b3008a",     // CU42
        "d2ff8000a000", // MVC
        "dcff8000c000", // TR
    ] {
        let (faults, registers, cc, storage) = run_with_faults(text, false);
        let (none, all_registers, all_cc, all_storage) = run_with_faults(text, true);
        assert_eq!(none, 0);
        assert!(
            registers == all_registers,
            "{text}: {registers:x?}, not {all_registers:x?}"
        );
        assert_eq!(cc, all_cc, "{text}");
        assert!(storage == all_storage, "{text}");
        assert!(faults > 1, "{text}: {faults}");
    }
}
