// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use s390_extint::Psw;
use s390_hypervisor::{Intercept, RunState};

use crate::cpu::{pgm, Cpu};
use crate::dat::cr0;
use crate::engine::{Engine, Stop};
use crate::testing::{assert_interrupted, cpu, cpus, load, run, step, Space, CODE, DATA};

const DIAG: &str = "83000000";

/// A CPU with DAT on, whose primary space has the code where it is and [`DATA`] at 0x7000.
fn translating() -> (Box<Cpu>, Space) {
    let mut c = cpu();
    let tables = Space::new(&mut c, 0x20000, 1);
    tables.map(&mut c, CODE, CODE);
    tables.map(&mut c, DATA, 0x7000);
    tables.use_as_primary(&mut c);
    c.crs[0] |= cr0::SECONDARY_SPACE;
    (c, tables)
}

/// Instructions that purge the translation of the page [`DATA`], with the operands of
/// [`purge_operands`].
const PURGES: [(&str, &str); 6] = [
    ("ptlb", "b20d0000"),
    ("csp", "b250008a"),
    ("cspg", "b98a008a"),
    ("idte by asce", "b98e00cb"),
    ("idte segment", "b98e00cd"),
    ("ipte", "b22100e2"),
];

fn purge_operands(c: &mut Cpu, tables: &Space) {
    // COMPARE AND SWAP AND PURGE of zeros by zeros.
    tables.map(c, 0x7000, 0x7000);
    c.ram.write(0x7f00, &[0; 8]);
    c.set_g(8, 0);
    c.set_g(9, 0);
    c.set_g(10, 0x7f01);
    // A segment table: all of it, or another entry than the one in use.
    c.set_g(12, tables.base());
    c.set_g(11, 0x800);
    c.set_g(13, 5 << 20);
    // The page table, and the address.
    c.set_g(14, tables.page_entry(0));
    c.set_g(2, DATA);
}

#[test]
fn test_purges_forget_translations_of_operands() {
    for (name, purge) in PURGES {
        let (mut c, tables) = translating();
        c.ram.write(0x7000, &7_u64.to_be_bytes());
        c.ram.write(0x8000, &8_u64.to_be_bytes());
        assert_eq!(c.read_u64(DATA), Ok(7));
        let at = tables.page_entry(DATA);
        tables.change(&mut c, at, |_| 0x8000);
        // The lookaside buffer may go on with the old one, and this one does.
        assert_eq!(c.read_u64(DATA), Ok(7), "{name}");
        purge_operands(&mut c, &tables);
        run(&mut c, purge).unwrap();
        // IPTE made it invalid.
        tables.change(&mut c, at, |_| 0x8000);
        assert_eq!(c.read_u64(DATA), Ok(8), "{name}");
    }
}

#[test]
fn test_purges_forget_translations_of_instructions() {
    let nothing = ("nothing", "07000700");
    for (name, purge) in PURGES.into_iter().chain([nothing]) {
        let (mut c, tables) = translating();
        // A function at DATA returns 1, or 2 when the other page is mapped.
        load(&mut c, 0x7000, "a7380001 07ff");
        load(&mut c, 0x8000, "a7380002 07ff");
        purge_operands(&mut c, &tables);
        c.set_g(5, DATA);
        c.set_g(6, tables.page_entry(DATA));
        c.set_g(7, 0x8000);
        // Calls it, changes the mapping, purges, makes valid what IPTE made invalid, calls again.
        let text = format!("0df5 1843 b9250076 {purge} b9250076 0df5 {DIAG}");
        load(&mut c, CODE, &text);
        c.shared.with_orders(|o| o.run_state = RunState::Operating);
        c.psw_addr = CODE;
        let mut engine = Engine::new(c);
        let stop = engine.run();
        assert_eq!(
            stop,
            Stop::Intercept(Intercept::instruction(0x8300, 0)),
            "{name}"
        );
        let expected = if name == "nothing" { 1 } else { 2 };
        assert_eq!((engine.cpu.g(4), engine.cpu.g(3)), (1, expected), "{name}");
    }
}

#[test]
fn test_invalidations_set_bits() {
    let (mut c, tables) = translating();
    c.set_g(1, tables.page_entry(0) | 0x7ff);
    c.set_g(2, 0x5fff);
    run(&mut c, "b2210012").unwrap();
    assert_eq!(c.ram.read_u64(tables.page_entry(0x5000)), 0x400);
    tables.map(&mut c, 0x5000, 0x9000);
    run(&mut c, "b2210012").unwrap();
    assert_eq!(c.ram.read_u64(tables.page_entry(0x5000)), 0x9400);
    // Segment, then region-third entries: 1 more, and not the ones around.
    for level in 0..2 {
        let shift = 20 + 11 * level;
        for index in 4..8 {
            tables.change(&mut c, tables.entry(level, index << shift), |_| 0x1000);
        }
        c.set_g(1, (tables.base() + level * 0x4000) | level << 2);
        c.set_g(2, 5 << shift | 1);
        run(&mut c, "b98e0012").unwrap();
        let entries = [4, 5, 6, 7].map(|n| c.ram.read_u64(tables.entry(level, n << shift)));
        assert_eq!(entries, [0x1000, 0x1020, 0x1020, 0x1000]);
    }
    c.set_g(1, 1 << 20);
    assert_interrupted(&mut c, "b2210012", pgm::ADDRESSING);
    assert_interrupted(&mut c, "b98e0012", pgm::ADDRESSING);
}

#[test]
fn test_compare_and_swap_and_purge() {
    let mut c = cpu();
    c.ram.write(DATA, &[0, 0, 0, 1, 0, 0, 0, 2]);
    c.set_g(2, 0xffff_ffff_0000_0001);
    c.set_g(3, 5);
    c.set_g(4, DATA);
    run(&mut c, "b2500024").unwrap();
    assert_eq!((c.cc.get(), c.g(2)), (0, 0xffff_ffff_0000_0001));
    assert_eq!(c.ram.read_u64(DATA), 0x5_0000_0002);
    run(&mut c, "b2500024").unwrap();
    assert_eq!((c.cc.get(), c.g(2)), (1, 0xffff_ffff_0000_0005));
    c.set_g(2, 0x5_0000_0002);
    run(&mut c, "b98a0024").unwrap();
    assert_eq!((c.cc.get(), c.ram.read_u64(DATA)), (0, 5));
    assert_interrupted(&mut c, "b2500034", pgm::SPECIFICATION);
}

/// One CPU reads a page all the time; the other one maps another page there.
#[test]
fn test_invalidation_reaches_other_cpus() {
    let [mut c, mut other] = cpus();
    let tables = Space::new(&mut c, 0x20000, 1);
    tables.map(&mut c, CODE, CODE);
    tables.map(&mut c, 0x7000, 0x7000);
    tables.map(&mut c, DATA, 0x7000);
    c.ram.write(0x7000, &[0; 16]);
    c.ram.write(0x8000, &[1; 8]);
    // LT 2,0(5), so that the translation is known; a flag; then as long as DATA is 0 and the
    // count lasts: LT; BRC 7; BRCT.
    let text = format!("e32050000012 92017008 e32050000012 a7740004 a716fffb {DIAG}");
    load(&mut c, CODE, &text);
    other.set_g(1, 1 << 26);
    other.set_g(5, DATA);
    other.set_g(7, 0x7000);
    other
        .shared
        .with_orders(|o| o.run_state = RunState::Operating);
    other.psw_addr = CODE;
    tables.use_as_primary(&mut other);
    let ram = c.ram.clone();
    let reader = std::thread::spawn(move || {
        let mut engine = Engine::new(other);
        engine.run();
        engine.cpu.g(2)
    });
    while ram.read_u64(0x7008) == 0 {
        std::thread::yield_now();
    }
    tables.change(&mut c, tables.page_entry(DATA), |_| 0x8000);
    // INVALIDATE DAT TABLE ENTRY, clearing by ASCE: so the page is there all the time.
    c.set_g(4, 0x800);
    load(&mut c, 0x3000, "b98e0004");
    c.psw_addr = 0x3000;
    step(&mut c).unwrap();
    assert_eq!(reader.join().unwrap() as u32, 0x0101_0101);
}

#[test]
fn test_flush_waits_for_the_others() {
    let [mut c, mut other] = cpus();
    other.enter_guest();
    let obeyed = Arc::new(AtomicBool::new(false));
    let thread = std::thread::spawn({
        let obeyed = obeyed.clone();
        move || {
            c.flush_others();
            obeyed.load(Ordering::SeqCst)
        }
    });
    while other.shared.flushes.due().is_none() {
        std::thread::yield_now();
    }
    obeyed.store(true, Ordering::SeqCst);
    other.flush_for_others();
    assert!(thread.join().unwrap());
    // Not for one that is out of the guest.
    let [mut c, mut other] = cpus();
    other.enter_guest();
    other.shared.flushes.leave();
    c.flush_others();
    assert!(other.shared.flushes.due().is_some());
    other.enter_guest();
    assert!(other.shared.flushes.due().is_none());
}

/// Two CPUs that flush each other's translations do not wait for ever.
#[test]
fn test_cpus_flush_each_other() {
    let threads = cpus::<2>().map(|mut c| {
        std::thread::spawn(move || {
            c.enter_guest();
            for _ in 0..10_000 {
                c.flush_others();
            }
            c.shared.flushes.leave();
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn test_load_real_address() {
    let (mut c, tables) = translating();
    tables.map(&mut c, 0x10_5000, 0xffff_ffff_8000_0000);
    let segment = tables.entry(0, 0x20_0000);
    let page = tables.page_entry(0x6000);
    for (ea, cc, value) in [
        (DATA + 0x123, 0, 0x7123),
        (0x20_0000, 1, segment),
        (0x6000, 2, page),
        (1 << 31, 3, 0x1234_5678_8000_003b),
        (1 << 43, 3, 0x1234_5678_8000_0038),
    ] {
        c.set_g(5, ea);
        for text in ["e32050000003", "b1205000", "e32050000013"] {
            c.set_g(2, 0x1234_5678_9abc_def0);
            run(&mut c, text).unwrap();
            assert_eq!((c.cc.get(), c.g(2)), (cc, value), "{text} {ea:x}");
        }
    }
    // In the 31-bit mode the left half stays, and a real address must fit.
    c.psw_mask &= !Psw::EXTENDED;
    c.psw_mask_changed();
    c.set_g(5, DATA);
    c.set_g(2, u64::MAX);
    run(&mut c, "b1205000").unwrap();
    assert_eq!(c.g(2), 0xffff_ffff_0000_7000);
    c.set_g(5, 0x10_5000);
    assert_interrupted(&mut c, "b1205000", pgm::SPECIAL_OPERATION);
    // DAT need not be on.
    c.psw_mask &= !Psw::DAT;
    c.psw_mask_changed();
    c.set_g(5, DATA);
    run(&mut c, "b1205000").unwrap();
    assert_eq!(c.g(2) as u32, 0x7000);
    // A broken table does interrupt.
    tables.change(&mut c, tables.page_entry(DATA), |e| e | 0x800);
    assert_interrupted(&mut c, "b1205000", pgm::TRANSLATION_SPECIFICATION);
}

#[test]
fn test_real_addresses() {
    let (mut c, _) = translating();
    c.ram
        .write(0x7000, &0x1122_3344_5566_7788_u64.to_be_bytes());
    c.set_g(5, 0x7000);
    run(&mut c, "b24b0025 b9050035").unwrap();
    assert_eq!((c.g(2), c.g(3)), (0x1122_3344, 0x1122_3344_5566_7788));
    c.set_g(5, 0x7008);
    run(&mut c, "b9250035 b2460035").unwrap();
    assert_eq!(c.ram.read_u64(0x7008), 0x5566_7788_5566_7788);
    c.set_g(5, 0x7004);
    assert_interrupted(&mut c, "b9050035", pgm::SPECIFICATION);
    assert_interrupted(&mut c, "b9250035", pgm::SPECIFICATION);
    c.set_g(5, 0x7002);
    assert_interrupted(&mut c, "b24b0035", pgm::SPECIFICATION);
    assert_interrupted(&mut c, "b2460035", pgm::SPECIFICATION);
    c.set_g(5, 1 << 20);
    assert_interrupted(&mut c, "b24b0035", pgm::ADDRESSING);
}

#[test]
fn test_store_real_address() {
    let (mut c, _) = translating();
    c.set_g(5, DATA);
    c.set_g(6, DATA + 0x123);
    run(&mut c, "e50250006000").unwrap();
    assert_eq!(c.ram.read_u64(0x7000), 0x7123);
    c.set_g(6, 0x6000);
    assert_interrupted(&mut c, "e50250006000", pgm::PAGE_TRANSLATION);
}

#[test]
fn test_test_protection() {
    let (mut c, tables) = translating();
    c.ram.keys().set(0x7000, 0x30);
    let tprot = |c: &mut Cpu, ea: u64, key: u64| {
        c.set_g(5, ea);
        c.set_g(6, key << 4);
        run(c, "e50150006000")
            .map(|()| c.cc.get())
            .map_err(|p| p.code)
    };
    assert_eq!(tprot(&mut c, DATA, 0), Ok(0));
    assert_eq!(tprot(&mut c, DATA, 3), Ok(0));
    assert_eq!(tprot(&mut c, DATA, 4), Ok(1));
    c.ram.keys().set(0x7000, 0x38);
    assert_eq!(tprot(&mut c, DATA, 4), Ok(2));
    // Nothing was accessed.
    assert_eq!(c.ram.keys().get(0x7000), 0x38);
    tables.change(&mut c, tables.page_entry(DATA), |e| e | 0x200);
    assert_eq!(tprot(&mut c, DATA, 0), Ok(1));
    assert_eq!(tprot(&mut c, 0x6000, 0), Ok(3));
    tables.map(&mut c, 0x6000, 1 << 20);
    assert_eq!(tprot(&mut c, 0x6000, 0), Err(pgm::ADDRESSING));
    tables.map(&mut c, 0x6000, 0x800);
    assert_eq!(
        tprot(&mut c, 0x6000, 0),
        Err(pgm::TRANSLATION_SPECIFICATION)
    );
    tables.map(&mut c, 0, 0x7000);
    c.crs[0] |= cr0::LOW_ADDRESS_PROTECTION;
    assert_eq!(tprot(&mut c, 0x100, 0), Ok(1));
    assert_eq!(tprot(&mut c, 0x200, 0), Ok(0));
}

#[test]
fn test_set_and_insert_address_space_control() {
    let (mut c, tables) = translating();
    (c.crs[7], c.crs[13]) = (tables.asce, tables.asce);
    for (code, asc) in [(0, 0), (1, 2), (2, 1), (3, 3)] {
        run(&mut c, &format!("b2190{code}00 b2240020")).unwrap();
        assert_eq!(c.address_space_control(), asc);
        assert_eq!((c.g(2) as u16 >> 8, c.cc.get()), (code, code as u8));
    }
    assert_interrupted(&mut c, "b2190400", pgm::SPECIFICATION);
    run(&mut c, "b2790000").unwrap();
    c.psw_mask |= Psw::PROBLEM;
    assert_interrupted(&mut c, "b2790300", pgm::PRIVILEGED);
    assert_interrupted(&mut c, "b2240020", pgm::PRIVILEGED);
    c.crs[0] |= cr0::EXTRACTION_AUTHORITY;
    run(&mut c, "b2240020").unwrap();
    c.crs[0] &= !cr0::SECONDARY_SPACE;
    assert_interrupted(&mut c, "b2190100", pgm::SPECIAL_OPERATION);
    c.psw_mask &= !Psw::DAT;
    c.psw_mask_changed();
    assert_interrupted(&mut c, "b2190000", pgm::SPECIAL_OPERATION);
    assert_interrupted(&mut c, "b2240020", pgm::SPECIAL_OPERATION);
}

/// Three spaces with 8 KiB at [`DATA`], at 0x7000, 0x9000 and 0xb000.
fn three_spaces() -> Box<Cpu> {
    let (mut c, primary) = translating();
    let secondary = Space::new(&mut c, 0x40000, 1);
    let home = Space::new(&mut c, 0x60000, 1);
    for (n, tables) in (0..).zip([&primary, &secondary, &home]) {
        for page in [0, 0x1000] {
            tables.map(&mut c, DATA + page, 0x7000 + n * 0x2000 + page);
        }
    }
    (c.crs[7], c.crs[13]) = (secondary.asce, home.asce);
    for k in 0..0x6000_u64 {
        c.ram
            .write(0x7000 + k, &[(k / 0x2000 * 0x40 + k % 61) as u8]);
    }
    c.flush_translations();
    c
}

fn storage(c: &Cpu, at: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    c.ram.read(at, &mut buf);
    buf
}

#[test]
fn test_move_with_optional_specifications() {
    let mut c = three_spaces();
    c.set_g(5, DATA + 0xff0);
    c.set_g(6, DATA + 0x7fe);
    // To secondary from home.
    c.set_g(0, 0x0081_00c1);
    c.set_g(3, 0x23);
    let expected = storage(&c, 0xb7fe, 0x23);
    run(&mut c, "c83050006000").unwrap();
    assert_eq!(c.cc.get(), 0);
    assert_eq!(storage(&c, 0x9ff0, 0x23), expected);
    // No more than 4096 bytes; the spaces of the PSW.
    c.set_g(0, 0);
    c.set_g(3, 4097);
    c.set_g(5, DATA);
    c.set_g(6, DATA + 0x800);
    let expected = storage(&c, 0x7800, 4096);
    let after = storage(&c, 0x8000, 1);
    run(&mut c, "c83050006000").unwrap();
    assert_eq!(c.cc.get(), 3);
    assert_eq!(storage(&c, 0x7000, 4096), expected);
    assert_eq!(storage(&c, 0x8000, 1), after);
    // Length 0 accesses nothing.
    c.set_g(3, 0);
    c.set_g(5, 0x100_0000);
    run(&mut c, "c83050006000").unwrap();
    // Nothing is stored when the second page cannot be.
    c.set_g(3, 0x100);
    c.set_g(5, DATA + 0x1f80);
    let before = storage(&c, 0x8f80, 0x80);
    assert_interrupted(&mut c, "c83050006000", pgm::PAGE_TRANSLATION);
    assert_eq!(storage(&c, 0x8f80, 0x80), before);
}

#[test]
fn test_move_with_optional_specifications_checks_authority() {
    let mut c = three_spaces();
    c.set_g(5, DATA);
    c.set_g(6, DATA);
    c.set_g(3, 1);
    c.ram.keys().set(0x9000, 0x48);
    // Key 4 or 5 for the second operand, which is in the secondary space.
    c.set_g(0, 0x5083);
    assert_interrupted(&mut c, "c83050006000", pgm::PROTECTION);
    c.set_g(0, 0x4083);
    run(&mut c, "c83050006000").unwrap();
    c.psw_mask |= Psw::PROBLEM;
    assert_interrupted(&mut c, "c83050006000", pgm::PRIVILEGED);
    c.crs[3] = 0x0800_0000;
    run(&mut c, "c83050006000").unwrap();
    c.set_g(0, 0x00c1_0000);
    assert_interrupted(&mut c, "c83050006000", pgm::SPECIAL_OPERATION);
    c.set_g(0, 0);
    c.crs[0] &= !cr0::SECONDARY_SPACE;
    assert_interrupted(&mut c, "c83050006000", pgm::SPECIAL_OPERATION);
}

#[test]
fn test_move_to_primary_and_to_secondary() {
    let mut c = three_spaces();
    c.set_g(5, DATA + 0xff0);
    c.set_g(6, DATA + 0x123);
    c.set_g(1, 0x20);
    c.set_g(3, 0);
    let expected = storage(&c, 0x9123, 0x20);
    run(&mut c, "da1350006000").unwrap();
    assert_eq!((c.cc.get(), storage(&c, 0x7ff0, 0x20)), (0, expected));
    let expected = storage(&c, 0x7123, 0x100);
    c.set_g(1, 0x101);
    run(&mut c, "db1350006000").unwrap();
    assert_eq!((c.cc.get(), storage(&c, 0x9ff0, 0x100)), (3, expected));
    // The key in register 3 is for the secondary space.
    c.ram.keys().set(0x9000, 0x48);
    c.set_g(3, 0x50);
    assert_interrupted(&mut c, "da1350006000", pgm::PROTECTION);
    c.set_g(3, 0x40);
    run(&mut c, "da1350006000").unwrap();
    c.psw_mask |= Psw::PROBLEM;
    assert_interrupted(&mut c, "da1350006000", pgm::PRIVILEGED);
    c.psw_mask &= !Psw::PROBLEM;
    run(&mut c, "b2190200").unwrap();
    assert_interrupted(&mut c, "da1350006000", pgm::SPECIAL_OPERATION);
}

#[test]
fn test_moves_with_keys() {
    let mut c = cpu();
    c.ram.keys().set(0x5000, 0x48);
    c.set_g(5, DATA);
    c.set_g(6, 0x5000);
    c.set_g(1, 2);
    c.set_g(3, 0x50);
    assert_interrupted(&mut c, "d91350006000", pgm::PROTECTION);
    c.set_g(3, 0x40);
    run(&mut c, "d91350006000").unwrap();
    // MVCSK, MVCDK: key in register 1, length code in 0.
    c.set_g(0, 1);
    c.set_g(1, 0x50);
    assert_interrupted(&mut c, "e50e50006000", pgm::PROTECTION);
    assert_interrupted(&mut c, "e50f60005000", pgm::PROTECTION);
    c.set_g(1, 0x40);
    run(&mut c, "e50e50006000 e50f60005000").unwrap();
}

#[test]
fn test_storage_keys() {
    let (mut c, _) = translating();
    c.set_g(5, DATA + 0x123);
    c.set_g(2, 0x3f);
    c.set_g(4, 0x7000);
    // SSKE by real address; IVSK by virtual: no reference and change.
    run(&mut c, "b22b0024 b2230035").unwrap();
    assert_eq!(c.ram.keys().get(0x7000), 0x3e);
    assert_eq!(c.g(3), 0x38);
    // With M3: the old key, and whether the new one was set.
    c.set_g(2, 0x1234_0038);
    run(&mut c, "b22b6024").unwrap();
    assert_eq!((c.g(2), c.cc.get()), (0x1234_3e38, 0));
    run(&mut c, "b22b4024").unwrap();
    assert_eq!((c.g(2), c.cc.get()), (0x1234_3e38, 1));
    assert_eq!(c.ram.keys().get(0x7000), 0x38);
    c.set_g(4, 1 << 20);
    for text in ["b22b0024", "b2290024", "b22a0024", "b22c0024"] {
        assert_interrupted(&mut c, text, pgm::ADDRESSING);
    }
}

#[test]
fn test_reset_reference_bit_tells_what_was() {
    let mut c = cpu();
    c.set_g(5, 0x7000);
    for (key, cc) in [(0xf8, 0), (0xfa, 1), (0xfc, 2), (0xfe, 3)] {
        c.ram.keys().set(0x7000, key);
        run(&mut c, "b22a0025").unwrap();
        assert_eq!((c.cc.get(), c.ram.keys().get(0x7000)), (cc, key & !4));
    }
}

#[test]
fn test_test_block_clears() {
    let mut c = cpu();
    c.ram.write(0x7000, &[0xff; 0x1000]);
    c.set_g(5, 0x7123);
    run(&mut c, "b22c0025").unwrap();
    assert_eq!(
        (c.cc.get(), storage(&c, 0x7000, 0x1000)),
        (0, vec![0; 0x1000])
    );
    c.crs[0] |= cr0::LOW_ADDRESS_PROTECTION;
    c.set_g(5, 0);
    assert_interrupted(&mut c, "b22c0025", pgm::PROTECTION);
}
