// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use s390_extint::Psw;

use super::*;
use crate::cpu::ProgramInterruption;
use crate::testing::{cpu, run, Space as Tables};

/// Region-first to segment table.
const TYPES: [u64; 4] = [0, 1, 2, 3];
const NOT_THERE: [u16; 4] = [
    pgm::SEGMENT_TRANSLATION,
    pgm::REGION_THIRD,
    pgm::REGION_SECOND,
    pgm::REGION_FIRST,
];
/// An index at every level that is neither 0 nor like another.
const VA: [u64; 4] = [
    0x0000_0000_1233_4567,
    0x0000_0123_1233_4567,
    0x0008_0123_1233_4567,
    0xa128_0123_1233_4567,
];

fn code(result: Result<Walk, WalkError>) -> u16 {
    result.expect_err("an exception").code
}

fn interruption(c: &Cpu) -> ProgramInterruption {
    match c.fault {
        Fault::Program(p) => p,
        other => panic!("{other:?}"),
    }
}

fn translate(
    c: &mut Cpu,
    ea: u64,
    space: Space,
    access: Access,
) -> Result<u64, ProgramInterruption> {
    c.translate(ea, space, access).map_err(|_| interruption(c))
}

#[test]
fn test_every_table_depth() {
    for level in TYPES {
        let mut c = cpu();
        let tables = Tables::new(&mut c, 0x20000, level);
        tables.map(&mut c, VA[level as usize], 0x7000);
        let walk = c.walk(VA[level as usize], tables.asce).unwrap();
        assert_eq!((walk.real, walk.protected), (0x7567, false), "{level}");
    }
}

#[test]
fn test_addresses_beyond_the_tables_are_an_asce_type_exception() {
    for level in 0..3 {
        let mut c = cpu();
        let tables = Tables::new(&mut c, 0x20000, level);
        let end = 1 << (31 + 11 * level);
        assert_eq!(code(c.walk(end, tables.asce)), pgm::ASCE_TYPE, "{level}");
        assert_eq!(code(c.walk(!0, tables.asce)), pgm::ASCE_TYPE, "{level}");
        let last = c.walk(end - 1, tables.asce);
        assert_eq!(code(last), NOT_THERE[level as usize], "{level}");
    }
}

#[test]
fn test_invalid_entry_at_every_level() {
    for invalid in TYPES {
        let mut c = cpu();
        let tables = Tables::new(&mut c, 0x20000, 3);
        tables.map(&mut c, VA[3], 0x7000);
        let at = tables.entry(invalid, VA[3]);
        tables.change(&mut c, at, |e| e | 0x20);
        let error = c.walk(VA[3], tables.asce).unwrap_err();
        assert_eq!(error.code, NOT_THERE[invalid as usize]);
        assert_eq!(error.entry, (invalid == 0).then_some(at));
    }
    let mut c = cpu();
    let tables = Tables::new(&mut c, 0x20000, 3);
    tables.map(&mut c, VA[3], 0x7000);
    let at = tables.page_entry(VA[3]);
    tables.change(&mut c, at, |e| e | 0x400);
    let error = c.walk(VA[3], tables.asce).unwrap_err();
    assert_eq!((error.code, error.entry), (pgm::PAGE_TRANSLATION, Some(at)));
}

#[test]
fn test_table_length_of_the_asce() {
    for level in TYPES {
        let mut c = cpu();
        let tables = Tables::new(&mut c, 0x20000, level);
        let shift = 20 + 11 * level;
        for quarter in 0..4 {
            let va = (quarter * 512 + 511) << shift;
            tables.map(&mut c, va, 0x7000);
            for length in 0..4 {
                let walk = c.walk(va, tables.asce & !3 | length);
                match quarter <= length {
                    true => assert_eq!(walk.unwrap().real, 0x7000),
                    false => assert_eq!(code(walk), NOT_THERE[level as usize]),
                }
            }
        }
    }
}

#[test]
fn test_table_offset_and_length_of_entries() {
    for upper in 1..4 {
        let mut c = cpu();
        let tables = Tables::new(&mut c, 0x20000, 3);
        let lower = upper - 1;
        for quarter in 0..4 {
            let va = (quarter * 512) << (20 + 11 * lower);
            tables.map(&mut c, va, 0x7000);
            let at = tables.entry(upper, va);
            for (offset, length) in [(0, 3), (1, 2), (2, 2), (3, 3), (2, 1)] {
                tables.change(&mut c, at, |e| e & !0xc3 | offset << 6 | length);
                let walk = c.walk(va, tables.asce);
                match (offset..=length).contains(&quarter) {
                    true => assert_eq!(walk.unwrap().real, 0x7000),
                    false => assert_eq!(code(walk), NOT_THERE[lower as usize]),
                }
            }
        }
    }
}

#[test]
fn test_translation_specification() {
    let fail = |change: &dyn Fn(&Tables, &mut Cpu) -> u64| {
        let mut c = cpu();
        let tables = Tables::new(&mut c, 0x20000, 3);
        tables.map(&mut c, VA[3], 0x7000);
        let asce = change(&tables, &mut c);
        assert_eq!(code(c.walk(VA[3], asce)), pgm::TRANSLATION_SPECIFICATION);
    };
    for level in TYPES {
        fail(&|tables, c| {
            tables.change(c, tables.entry(level, VA[3]), |e| e ^ 0x4);
            tables.asce
        });
    }
    fail(&|tables, c| {
        tables.change(c, tables.page_entry(VA[3]), |e| e | 0x800);
        tables.asce
    });
    // A common segment in a private space.
    fail(&|tables, c| {
        tables.change(c, tables.entry(0, VA[3]), |e| e | 0x10);
        tables.asce | 0x100
    });
}

#[test]
fn test_tables_and_pages_outside_storage() {
    let mut c = cpu();
    let tables = Tables::new(&mut c, 0x20000, 3);
    tables.map(&mut c, VA[3], 0x7000);
    assert_eq!(code(c.walk(VA[3], 0x10_000f)), pgm::ADDRESSING);
    assert_eq!(code(c.walk(VA[3], !0xfff0)), pgm::ADDRESSING);
    for level in 0..4 {
        let mut c = cpu();
        let tables = Tables::new(&mut c, 0x20000, 3);
        tables.map(&mut c, VA[3], 0x7000);
        let at = tables.entry(level, VA[3]);
        tables.change(&mut c, at, |e| e & 0xfff | 0x10_0000);
        assert_eq!(code(c.walk(VA[3], tables.asce)), pgm::ADDRESSING);
    }
    tables.map(&mut c, VA[3], 0x10_0000);
    tables.use_as_primary(&mut c);
    let p = translate(&mut c, VA[3], Space::Primary, Access::Read).unwrap_err();
    assert_eq!((p.code, p.nullifying), (pgm::ADDRESSING, false));
}

#[test]
fn test_real_space() {
    let mut c = cpu();
    c.crs[1] = 0x20;
    c.psw_mask |= Psw::DAT;
    c.psw_mask_changed();
    c.set_prefix(0x10000);
    assert_eq!(
        c.translate(0x7123, Space::Operand, Access::Write),
        Ok(0x7123)
    );
    assert_eq!(
        c.translate(0x123, Space::Operand, Access::Write),
        Ok(0x10123)
    );
}

#[test]
fn test_dat_protection_suppresses() {
    for in_segment in [false, true] {
        let mut c = cpu();
        let tables = Tables::new(&mut c, 0x20000, 1);
        tables.map(&mut c, 0x5000, 0x7000);
        tables.use_as_primary(&mut c);
        let at = match in_segment {
            true => tables.entry(0, 0x5000),
            false => tables.page_entry(0x5000),
        };
        tables.change(&mut c, at, |e| e | 0x200);
        assert_eq!(
            translate(&mut c, 0x5008, Space::Operand, Access::Read),
            Ok(0x7008)
        );
        let p = translate(&mut c, 0x5008, Space::Operand, Access::Write).unwrap_err();
        assert_eq!((p.code, p.nullifying), (pgm::PROTECTION, false));
        assert_eq!(p.translation_id, 0x5404);
    }
}

#[test]
fn test_exceptions_name_address_space_and_kind_of_access() {
    let mut c = cpu();
    let tables = Tables::new(&mut c, 0x20000, 1);
    tables.use_as_primary(&mut c);
    (c.crs[7], c.crs[13]) = (tables.asce, tables.asce);
    for (space, id) in [(Space::Primary, 0), (Space::Secondary, 2), (Space::Home, 3)] {
        for (access, kind) in [
            (Access::Read, 0x800),
            (Access::Write, 0x400),
            (Access::Fetch, 0x800),
        ] {
            let p = translate(&mut c, 0x12_3456_789a, space, access).unwrap_err();
            assert_eq!((p.code, p.nullifying), (pgm::REGION_THIRD, true));
            assert_eq!(p.translation_id, 0x12_3456_7000 | kind | id);
        }
    }
    c.acrs[4] = 1;
    let p = translate(&mut c, 0x5678, Space::Access(4), Access::Write).unwrap_err();
    assert_eq!((p.translation_id, p.access_id), (0x5401, 4));
}

#[test]
fn test_low_address_protection() {
    let mut c = cpu();
    c.crs[0] |= cr0::LOW_ADDRESS_PROTECTION;
    for (ea, protected) in [
        (0, true),
        (0x1ff, true),
        (0x200, false),
        (0xfff, false),
        (0x1000, true),
        (0x11ff, true),
        (0x1200, false),
        (0x2000, false),
        (0x10_0000_0000, false),
    ] {
        if ea < 0x1000 {
            assert!(c.translate(ea, Space::Operand, Access::Read).is_ok());
        }
        match translate(&mut c, ea, Space::Operand, Access::Write) {
            Ok(abs) => assert!(abs == ea && !protected),
            Err(p) if ea > 1 << 20 => assert_eq!(p.code, pgm::ADDRESSING),
            Err(p) => {
                assert!(protected, "{ea:x}");
                assert_eq!((p.code, p.nullifying), (pgm::PROTECTION, false));
                assert_eq!(p.translation_id, ea & !0xfff | 0x480);
            }
        }
    }
    // A store that begins in front of the protected bytes, and one that ends behind them.
    assert!(c.write_u64(0xffc, 0).is_err());
    assert!(c.write_u64(0x1fc, 0).is_err());
    assert!(c.write_u64(0x1200, 0).is_ok());
}

#[test]
fn test_low_address_protection_is_not_for_private_spaces() {
    let mut c = cpu();
    let tables = Tables::new(&mut c, 0x20000, 1);
    tables.map(&mut c, 0, 0x7000);
    tables.use_as_primary(&mut c);
    c.crs[0] |= cr0::LOW_ADDRESS_PROTECTION;
    assert!(c.write_u64(0, 1).is_err());
    c.crs[1] |= 0x100;
    c.psw_mask_changed();
    c.write_u64(0, 0x55).unwrap();
    c.write_u64(8, 0x66).unwrap();
    assert_eq!(
        (c.ram.read_u64(0x7000), c.ram.read_u64(0x7008)),
        (0x55, 0x66)
    );
}

#[test]
fn test_rest_of_a_page_with_low_address_protection_is_remembered() {
    let mut c = cpu();
    let tables = Tables::new(&mut c, 0x20000, 1);
    tables.map(&mut c, 0, 0x7000);
    tables.use_as_primary(&mut c);
    c.crs[0] |= cr0::LOW_ADDRESS_PROTECTION;
    c.write_u64(0x200, 1).unwrap();
    // Only the translation lookaside buffer knows the page now.
    let at = tables.page_entry(0);
    tables.change(&mut c, at, |e| e | 0x400);
    c.write_u64(0x208, 2).unwrap();
    assert_eq!(c.ram.read_u64(0x7208), 2);
    assert!(c.write_u64(0x1f8, 3).is_err());
    assert_eq!(interruption(&c).code, pgm::PROTECTION);
    c.flush_translations();
    assert!(c.write_u64(0x208, 2).is_err());
    assert_eq!(interruption(&c).code, pgm::PAGE_TRANSLATION);
}

#[test]
fn test_prefixing_swaps_two_areas() {
    let mut c = cpu();
    c.read_u64(0).unwrap();
    c.set_prefix(0x1_2000);
    for (real, abs) in [
        (0, 0x1_2000),
        (0x1fff, 0x1_3fff),
        (0x2000, 0x2000),
        (0x1_1fff, 0x1_1fff),
        (0x1_2000, 0),
        (0x1_3fff, 0x1fff),
        (0x1_4000, 0x1_4000),
    ] {
        assert_eq!(c.prefixed(real), abs);
        assert_eq!(c.translate(real, Space::Real, Access::Write), Ok(abs));
    }
    c.write_u64(0x1_2008, 0x77).unwrap();
    assert_eq!(c.ram.read_u64(8), 0x77);
    c.write_u64(8, 0x88).unwrap();
    assert_eq!(c.ram.read_u64(0x1_2008), 0x88);
}

fn set_key(c: &mut Cpu, key: u64) {
    c.psw_mask = c.psw_mask & !Psw::KEY | key << 52;
    c.psw_mask_changed();
}

#[test]
fn test_key_controlled_protection() {
    let mut c = cpu();
    c.ram.keys().set(0x5000, 0x30);
    c.ram.keys().set(0x6000, 0x38);
    for (key, ea, reads, writes) in [
        (0, 0x5000, true, true),
        (3, 0x5000, true, true),
        (4, 0x5000, true, false),
        (0, 0x6000, true, true),
        (3, 0x6000, true, true),
        (4, 0x6000, false, false),
    ] {
        // Translations of one key are not good for another one.
        set_key(&mut c, key);
        for _ in 0..2 {
            assert_eq!(c.read_u64(ea).is_ok(), reads);
            if !reads {
                let p = interruption(&c);
                assert_eq!((p.code, p.translation_id), (pgm::PROTECTION, ea | 0x808));
            }
            assert_eq!(c.write_u64(ea, 1).is_ok(), writes);
            if !writes {
                let p = interruption(&c);
                assert_eq!((p.code, p.translation_id), (pgm::PROTECTION, ea | 0x408));
            }
        }
    }
    // An access with another key than the PSW's.
    set_key(&mut c, 3);
    c.write_u64(0x6000, 1).unwrap();
    assert!(c
        .read_with_key(Space::Operand, 4, 0x6000, &mut [0])
        .is_err());
    assert!(c.write_with_key(Space::Operand, 4, 0x6000, &[0]).is_err());
    assert!(c.write_with_key(Space::Operand, 0, 0x6000, &[0]).is_ok());
}

#[test]
fn test_fetch_protection_override() {
    let mut c = cpu();
    c.ram.keys().set(0, 0x38);
    set_key(&mut c, 4);
    assert!(c.read_u8(0).is_err());
    c.crs[0] |= cr0::FETCH_PROTECTION_OVERRIDE;
    assert!(c.read_u8(2047).is_ok());
    assert!(c.read_u8(2048).is_err());
    assert!(c.write_u8(0, 0).is_err());
}

#[test]
fn test_reference_and_change_bits() {
    let mut c = cpu();
    c.set_g(5, 0x5000);
    let key = |c: &Cpu| c.ram.keys().get(0x5000);
    run(&mut c, "58205000").unwrap();
    assert_eq!(key(&c), 0x04);
    run(&mut c, "50205000").unwrap();
    assert_eq!(key(&c), 0x06);
    // RRBE: condition code 3, both were on.
    run(&mut c, "b22a0025").unwrap();
    assert_eq!((key(&c), c.cc.get()), (0x02, 3));
    run(&mut c, "58205000").unwrap();
    assert_eq!(key(&c), 0x06);
    run(&mut c, "50205000").unwrap();
    // SSKE clears both; a store sets both.
    c.set_g(2, 0xff10);
    run(&mut c, "b22b0025").unwrap();
    assert_eq!(key(&c), 0x10);
    run(&mut c, "50205000").unwrap();
    assert_eq!(key(&c), 0x16);
    // ISKE leaves the other bits of the register.
    c.set_g(2, u64::MAX);
    run(&mut c, "b2290025").unwrap();
    assert_eq!(c.g(2), !0xff | 0x16);
}

#[test]
fn test_spaces_do_not_mix() {
    let mut c = cpu();
    let spaces: Vec<_> = [0x20000, 0x40000, 0x60000]
        .into_iter()
        .map(|base| {
            let tables = Tables::new(&mut c, base, 1);
            tables.map(&mut c, 0x5000, base >> 4);
            c.ram.write(base >> 4, &base.to_be_bytes());
            tables
        })
        .collect();
    spaces[0].use_as_primary(&mut c);
    (c.crs[7], c.crs[13]) = (spaces[1].asce, spaces[2].asce);
    for (asc, base) in [(0, 0x20000), (2, 0x40000), (3, 0x60000)].repeat(3) {
        c.psw_mask = c.psw_mask & !Psw::ADDRESS_SPACE | asc << 46;
        c.psw_mask_changed();
        assert_eq!(c.read_u64(0x5000), Ok(base), "{asc}");
    }
    // Loading another ASCE flushes nothing and mixes nothing.
    c.psw_mask &= !Psw::ADDRESS_SPACE;
    for n in [1, 0, 2, 1, 0] {
        c.crs[1] = spaces[n].asce;
        c.psw_mask_changed();
        assert_eq!(c.read_u64(0x5000), Ok(0x20000 * (n as u64 + 1)));
    }
}

#[test]
fn test_numbers_of_spaces_run_out() {
    let mut c = cpu();
    let first = Tables::new(&mut c, 0x20000, 1);
    let second = Tables::new(&mut c, 0x40000, 1);
    first.map(&mut c, 0x5000, 0x7000);
    second.map(&mut c, 0x5000, 0x8000);
    c.ram.write(0x7000, &7_u64.to_be_bytes());
    c.ram.write(0x8000, &8_u64.to_be_bytes());
    first.use_as_primary(&mut c);
    assert_eq!(c.read_u64(0x5000), Ok(7));
    let mut tags = std::collections::HashMap::new();
    for n in 0..10_000 {
        // The primary space is in use while others come and go.
        c.crs[7] = second.asce + (n << 20);
        if n % 16 == 0 {
            c.crs[7] = second.asce;
            let mut buf = [0; 8];
            c.read_space(Space::Secondary, 0x5000, &mut buf).unwrap();
            assert_eq!(buf[7], 8);
        } else {
            assert_ne!(c.asn(Space::Secondary, 0), c.tlb.asn);
        }
        assert_eq!(c.read_u64(0x5000), Ok(7));
        if n % 3 == 0 {
            c.crs[1] = first.asce + (n << 20);
            c.psw_mask_changed();
            let owner = tags.entry(c.fetch_tag).or_insert(c.crs[1]);
            assert_eq!(*owner, c.crs[1]);
            c.crs[1] = first.asce;
            c.psw_mask_changed();
            let owner = tags.entry(c.fetch_tag).or_insert(c.crs[1]);
            assert_eq!(*owner, c.crs[1]);
        }
    }
}

#[test]
fn test_access_registers_select_spaces() {
    let mut c = cpu();
    let first = Tables::new(&mut c, 0x20000, 1);
    let second = Tables::new(&mut c, 0x40000, 1);
    first.map(&mut c, 0x5000, 0x7000);
    second.map(&mut c, 0x5000, 0x8000);
    first.use_as_primary(&mut c);
    c.crs[7] = second.asce;
    c.acrs[..6].copy_from_slice(&[1, 0, 1, 2, 0x0200_0000, 0x0100_0001]);
    let mut at = |r| {
        translate(&mut c, 0x5000, Space::Access(r), Access::Read)
            .map_err(|p| (p.code, p.nullifying, p.access_id))
    };
    // Access register 0 is not looked at.
    assert_eq!(at(0), Ok(0x7000));
    assert_eq!(at(1), Ok(0x7000));
    assert_eq!(at(2), Ok(0x8000));
    assert_eq!(at(3), Err((pgm::ALEN_TRANSLATION, true, 3)));
    assert_eq!(at(4), Err((pgm::ALET_SPECIFICATION, true, 4)));
    assert_eq!(at(5), Err((pgm::ALEN_TRANSLATION, true, 5)));
}
