// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What must not be seen of blocks: where they begin and end, and where they are left.

mod common;

use common::{Guest, CODE, DATA, PROGRAM};
use s390_extint::lowcore;
use s390_hypervisor::Vcpu;

/// DIAG 0,0,0xfff.
const END: &str = "83000fff";

fn guest(text: &str) -> Guest {
    let mut g = Guest::new();
    g.load(0, &format!("{text} {END}"));
    g
}

#[test]
fn test_branches_inside_and_at_the_end_of_a_block() {
    // lhi 1,5; (ahi 2,7; chi 1,3; je .+8; ahi 2,1; brct 1,.-16)
    let mut g = guest("a7180005 a72a0007 a71e0003 a7840004 a72a0001 a716fff8");
    assert_eq!(g.run_to_diag(), 0xfff);
    assert_eq!(g.cpu.gpr(2), 5 * 7 + 4);
    assert_eq!(g.cpu.instructions(), 1 + 5 * 5 - 1 + 1);
}

#[test]
fn test_more_branches_than_a_block_has_room_for() {
    // A hundred times brc 8, which is not taken, and ahi 2,1.
    let mut g = guest(&"a7840002 a72a0001".repeat(100));
    g.cpu.set_cc(1);
    assert_eq!(g.run_to_diag(), 0xfff);
    assert_eq!(g.cpu.gpr(2), 100);
    assert_eq!(g.cpu.instructions(), 201);
}

#[test]
fn test_operands_across_a_page_boundary() {
    // stg 1,0(6); lg 2,0(6); l 3,2(6), twice: the second time both pages are known.
    let mut g = guest(&"e31060000024 e32060000004 58306002".repeat(2));
    g.cpu.set_gpr(1, 0x1122_3344_5566_7788);
    g.cpu.set_gpr(6, 0x7ffc);
    assert_eq!(g.run_to_diag(), 0xfff);
    assert_eq!(g.cpu.gpr(2), 0x1122_3344_5566_7788);
    assert_eq!(g.cpu.gpr(3), 0x3344_5566);
    assert_eq!(g.get(0x7ffc), [0x11, 0x22, 0x33, 0x44]);
}

#[test]
fn test_interruption_in_the_middle_of_a_block() {
    // lhi 1,1; lg 3,0(6), outside of storage; lhi 1,2
    let mut g = guest("a7180001 e33060000004 a7180002");
    g.cpu.set_gpr(6, common::STORAGE);
    assert_eq!(g.run_to_diag(), PROGRAM);
    assert_eq!(g.cpu.gpr(1), 1);
    assert_eq!(g.psw(lowcore::PGM_OLD_PSW).addr, CODE + 10);
    assert_eq!(g.cpu.instructions(), 2);
}

#[test]
fn test_execute_in_the_middle_of_a_block() {
    // lhi 3,3; (ex 0,DATA; brct 3,.-4); the target is ahi 2,1
    let mut g = guest(&format!("a7380003 44000{DATA:03x} a736fffe"));
    g.put(DATA, "a72a0001");
    assert_eq!(g.run_to_diag(), 0xfff);
    assert_eq!(g.cpu.gpr(2), 3);
}
