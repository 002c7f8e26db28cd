// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use super::*;
use crate::testing::{assert_interrupted, cpu, run, DATA};

#[test]
fn test_pack_and_unpack_are_inverse() {
    let mut buf = [0; 4];
    assert!(!pack(1234567, true, &mut buf));
    assert_eq!(buf, [0x12, 0x34, 0x56, 0x7d]);
    assert_eq!(unpack(&buf).unwrap().value(), -1234567);
    assert!(pack(12345678, false, &mut buf));
    assert_eq!(buf, [0x23, 0x45, 0x67, 0x8c]);
}

#[test]
fn test_invalid_digits_and_signs() {
    assert!(unpack(&[0x1a, 0x2c]).is_none());
    assert!(unpack(&[0xa1, 0x2c]).is_none());
    assert!(unpack(&[0x11, 0x29]).is_none());
    assert!(unpack(&[0x11, 0xac]).is_none());
}

const FIRST: u64 = DATA;
const SECOND: u64 = DATA + 0x100;
/// Program mask: decimal overflow.
const OVERFLOW: u64 = DECIMAL_OVERFLOW_MASK;

fn bytes(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// Runs `text` with operands `first` at 0(1) and `second` at 0(2); returns the first operand and
/// the condition code.
fn with(c: &mut Cpu, text: &str, first: &str, second: &str) -> Result<(Vec<u8>, u8), u16> {
    let first = bytes(first);
    c.ram.write(FIRST, &first);
    c.ram.write(SECOND, &bytes(second));
    c.set_g(1, FIRST);
    c.set_g(2, SECOND);
    run(c, text).map_err(|p| p.code)?;
    let mut after = vec![0; first.len()];
    c.ram.read(FIRST, &mut after);
    Ok((after, c.cc.get()))
}

#[track_caller]
fn check(text: &str, first: &str, second: &str, result: &str, cc: u8) {
    let outcome = with(&mut cpu(), text, first, second);
    assert_eq!(outcome, Ok((bytes(result), cc)), "{text} {first} {second}");
}

#[test]
fn test_add_and_subtract() {
    check("fa3110002000", "0000123c", "456d", "0000333d", 1);
    check("fa3110002000", "0000456f", "123b", "0000333c", 2);
    check("fb3110002000", "0000123c", "123a", "0000000c", 0);
    check("fb3110002000", "0000000d", "000d", "0000000c", 0);
    // Overflow: the digits that fit, and the sign of the true result.
    check("fa1110002000", "999d", "001d", "000d", 3);
    check("fa0110002000", "5c", "005c", "0c", 3);
    let mut c = cpu();
    c.psw_mask |= OVERFLOW;
    let outcome = with(&mut c, "fa1110002000", "999c", "002c");
    assert_eq!(outcome, Err(pgm::DECIMAL_OVERFLOW));
    let mut stored = [0; 2];
    c.ram.read(FIRST, &mut stored);
    assert_eq!((stored, c.cc.get()), ([0x00, 0x1c], 3));
    for (first, second) in [("1a2c", "001c"), ("001c", "1a2c"), ("0012", "001c")] {
        let outcome = with(&mut cpu(), "fa1110002000", first, second);
        assert_eq!(outcome, Err(pgm::DATA));
    }
}

#[test]
fn test_longest_operands() {
    let nines = "9".repeat(31);
    let (plus, minus) = (format!("{nines}c"), format!("{nines}d"));
    let eights = format!("{}8c", "9".repeat(30));
    check("faff10002000", &plus, &plus, &eights, 3);
    check(
        "faff10002000",
        &plus,
        &minus,
        &format!("{}c", "0".repeat(31)),
        0,
    );
}

#[test]
fn test_compare() {
    check("f91110002000", "000c", "000d", "000c", 0);
    check("f91110002000", "123d", "122d", "123d", 1);
    check("f93110002000", "0000124c", "123c", "0000124c", 2);
}

#[test]
fn test_zero_and_add() {
    check("f83110002000", "ffffffff", "123d", "0000123d", 1);
    check("f81310002000", "ffff", "0000123f", "123c", 2);
    check("f81310002000", "ffff", "0001000d", "000d", 3);
    check("f81110002000", "ffff", "000d", "000c", 0);
}

#[test]
fn test_multiply_and_divide() {
    check("fc4110002000", "000038460d", "321d", "012345660c", 0);
    check("fc4110002000", "000000000d", "321c", "000000000d", 0);
    check("fd4110002000", "012345678c", "321d", "38460d018c", 0);
    check("fd4110002000", "000000007d", "100c", "00000d007d", 0);
    for (text, first, second, code) in [
        ("fc4110002000", "001000000c", "321c", pgm::DATA),
        ("fc1110002000", "000c", "000c", pgm::SPECIFICATION),
        ("fcf810002000", "0c", "0c", pgm::SPECIFICATION),
        ("fd1110002000", "000c", "000c", pgm::SPECIFICATION),
        ("fd4110002000", "000000001c", "000c", pgm::DECIMAL_DIVIDE),
        ("fd4110002000", "100000000c", "001c", pgm::DECIMAL_DIVIDE),
    ] {
        let outcome = with(&mut cpu(), text, first, second);
        assert_eq!(outcome, Err(code), "{text} {first} {second}");
    }
}

#[test]
fn test_shift_and_round() {
    // By 3 to the left, by 3 to the right with and without rounding, by 32 to the right.
    check("f03010000003", "0012345c", "", "2345000c", 3);
    check("f03010000003", "0002345d", "", "2345000d", 1);
    check("f0351000003d", "0012545d", "", "0000013d", 1);
    check("f0301000003d", "0012545c", "", "0000012c", 2);
    check("f03510000020", "9999999c", "", "0000000c", 0);
    check("f0301000003d", "0000545d", "", "0000000c", 0);
    check("f03010000000", "0000000d", "", "0000000c", 0);
    let outcome = with(&mut cpu(), "f03a10000000", "0000000c", "");
    assert_eq!(outcome, Err(pgm::DATA));
    let all = format!("{}c", "1".repeat(31));
    check("f0f01000001f", &all, "", &format!("{}c", "0".repeat(31)), 3);
}

/// The examples of the Principles of Operation.
#[test]
fn test_edit() {
    let pattern = "4020206b2020214b202040c3d9";
    check(
        "de0c10002000",
        pattern,
        "0257426c",
        "4040f26bf5f7f44bf2f6404040",
        2,
    );
    check(
        "de0c10002000",
        pattern,
        "0000026d",
        "404040404040404bf2f640c3d9",
        1,
    );
    check(
        "de0c10002000",
        pattern,
        "0000000c",
        "404040404040404bf0f0404040",
        0,
    );
    // A field separator starts anew; the fill byte may be a digit selector.
    check(
        "de0710002000",
        "4020202220202040",
        "1c234c",
        "40f1f240f3f44040",
        2,
    );
    check("de0310002000", "20202021", "0012", "2020f1f2", 1);
    let outcome = with(&mut cpu(), "de0110002000", "4020", "a0");
    assert_eq!(outcome, Err(pgm::DATA));
}

#[test]
fn test_edit_and_mark() {
    let mut c = cpu();
    // R1 is also where the address goes.
    let pattern = "4020206b2020214b202040c3d9";
    with(&mut c, "df0c10002000", pattern, "0257426c").unwrap();
    assert_eq!(c.g(1), FIRST + 2);
    // Significance was forced: no mark.
    with(&mut c, "df0c10002000", pattern, "0000026d").unwrap();
    assert_eq!(c.g(1), FIRST);
    c.psw_mask &= !(s390_extint::Psw::EXTENDED | s390_extint::Psw::BASIC);
    c.psw_mask_changed();
    c.ram.write(FIRST, &bytes(pattern));
    c.ram.write(SECOND, &bytes("0257426c"));
    c.set_g(1, 0xffff_ffff_ab00_0000 | FIRST);
    run(&mut c, "df0c10002000").unwrap();
    assert_eq!(c.g(1), 0xffff_ffff_ab00_0002 | FIRST);
}

#[test]
fn test_nothing_is_stored_where_not_all_can_be() {
    let mut c = cpu();
    c.ram.write(0xf_ffff, &[0x1c]);
    c.set_g(1, 0xf_ffff);
    c.set_g(2, SECOND);
    c.ram.write(SECOND, &[0x1c]);
    for text in [
        "fa1010002000",
        "f81010002000",
        "f11010002000",
        "f21010002000",
        "f31010002000",
        "de0110002000",
    ] {
        assert_interrupted(&mut c, text, pgm::ADDRESSING);
        let mut last = [0];
        c.ram.read(0xf_ffff, &mut last);
        assert_eq!(last, [0x1c], "{text}");
    }
}
