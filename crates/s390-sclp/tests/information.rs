// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Read SCP information and read CPU information, byte by byte.

mod common;

use common::*;
use s390_sclp::{Config, MAX_CPUS};

/// A zeroed SCCB of 4096 bytes with these bytes in it.
fn golden(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut sccb = vec![0; 4096];
    for (at, bytes) in parts {
        sccb[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    sccb
}

#[test]
fn scp_information() {
    let config = Config {
        load_parameter: *b"LINUX 1 ",
        hmfai: 0x1234_5678,
        esop: true,
        ..Config::new(3000 << 20, 2)
    };
    for command in [READ_SCP_INFO, READ_SCP_INFO_FORCED] {
        let mut machine = Machine::new(config);
        let (completion, answer) = machine.call(command, &sccb(0, &[0xee; 4088]));
        assert_eq!(completion.parameter, SCCB);
        let expected = golden(&[
            (0, b"\x10\x00"),
            (6, b"\x00\x10"),
            // 750 increments of 4 MiB.
            (8, b"\x02\xee\x04"),
            // Two CPUs at 128.
            (16, b"\x00\x02\x00\x80"),
            (24, b"\xd3\xc9\xd5\xe4\xe7\x40\xf1\x40"),
            (48, b"\x08\x00\x00\x00\x00\x00\x00\x00"),
            (85, b"\x02"),
            (120, b"\x00\x01"),
            (124, b"\x12\x34\x56\x78"),
            (128 + 16, b"\x01"),
        ]);
        assert_eq!(answer, expected);
    }
}

#[test]
fn the_simplest_machine() {
    let mut machine = Machine::small();
    let (_, answer) = machine.call(READ_SCP_INFO, &sccb(0, &[0xee; 4088]));
    let expected = golden(&[
        (0, b"\x10\x00"),
        (6, b"\x00\x10"),
        (8, b"\x00\x01\x01"),
        (16, b"\x00\x01\x00\x80"),
        (24, b"\x40\x40\x40\x40\x40\x40\x40\x40"),
        (48, b"\x08"),
    ]);
    assert_eq!(answer, expected);
}

#[test]
fn wide_numbers_go_to_the_wide_fields() {
    // Increments of 1 GiB, no byte: 1020 of them.
    let mut machine = Machine::new(Config::new(1020 << 30, 1));
    let (_, answer) = machine.call(READ_SCP_INFO, &sccb(0, &[0; 4088]));
    assert_eq!(answer[8..11], [0x03, 0xfc, 0]);
    assert_eq!(answer[100..112], [0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // 65537 increments, no halfword.
    let mut machine = Machine::new(Config::new(65537 << 20, 1));
    let (_, answer) = machine.call(READ_SCP_INFO, &sccb(0, &[0; 4088]));
    assert_eq!(answer[8..11], [0, 0, 1]);
    assert_eq!(answer[100..112], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
}

#[test]
fn cpu_information() {
    let mut machine = Machine::new(Config::new(RAM, 3));
    let (_, answer) = machine.call(READ_CPU_INFO, &sccb(0, &[0xee; 4088]));
    let expected = golden(&[
        (0, b"\x10\x00"),
        (6, b"\x00\x10"),
        // Three configured CPUs at 24, no standby CPUs at 72.
        (8, b"\x00\x03\x00\x18\x00\x00\x00\x48"),
        (24 + 16, b"\x01"),
        (24 + 32, b"\x02"),
    ]);
    assert_eq!(answer, expected);
}

#[test]
fn every_cpu_fits_on_the_page() {
    let mut machine = Machine::new(Config::new(RAM, MAX_CPUS));
    let (_, answer) = machine.call(READ_SCP_INFO, &sccb(0, &[0; 4088]));
    assert_eq!(answer[6..8], [0x00, 0x10]);
    assert_eq!(answer[4096 - 16], 247);
    assert_eq!(answer[120..122], [0, 247]);
}

#[test]
fn a_short_sccb_is_refused_and_left_alone() {
    for (command, needed) in [(READ_SCP_INFO, 128 + 32), (READ_CPU_INFO, 24 + 32)] {
        let mut machine = Machine::new(Config::new(RAM, 2));
        assert_eq!(
            machine.response(command, &sccb(0, &vec![0; needed - 8])),
            0x0010
        );
        let mut short = sccb(0, &vec![0xee; needed - 8 - 1]);
        let (_, answer) = machine.call(command, &short);
        short[6..8].copy_from_slice(&[0x03, 0x00]);
        assert_eq!(answer, short);
    }
}
