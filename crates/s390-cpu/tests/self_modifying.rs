// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Instruction fetch is coherent: whoever stores into instructions, the next execution sees it.

mod common;

use common::{run_beside, wait_for_byte, Guest, CODE, DATA};
use s390_hypervisor::Vcpu;
use vm_memory::{Bytes, GuestAddress};

/// The function code of the DIAGNOSE at the end of every program.
const ENDED: u16 = 0x777;

/// The counter in register 2 goes into the immediate operand of the instruction right behind
/// the store; what that loads is added up.
#[test]
fn test_store_into_the_next_instruction() {
    let mut guest = Guest::new();
    guest.cpu.set_gpr(2, 5);
    guest.cpu.set_gpr(5, CODE);
    guest.load(
        0,
        "4220 5007 ; stc %r2,7(%r5)
         a718 0000 ; lhi %r1,0
         1a31      ; ar %r3,%r1
         a726 fffb ; brct %r2,.-10
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    assert_eq!(guest.cpu.gpr(3), 5 + 4 + 3 + 2 + 1);
}

/// The same by a move of several bytes.
#[test]
fn test_move_into_the_next_instruction() {
    let mut guest = Guest::new();
    guest.cpu.set_gpr(5, CODE);
    guest.put(DATA, "a718 0063 ; lhi %r1,99");
    guest.load(
        0,
        "d203 5006 0400 ; mvc 6(4,%r5),0x400
         a718 0000      ; lhi %r1,0
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    assert_eq!(guest.cpu.gpr(1), 99);
}

/// A function in the same page and one in another, each called, changed and called again.
#[test]
fn test_store_into_another_block() {
    for function in [CODE + 0x200, CODE + 0x2000, CODE + 0x1000 - 4] {
        let mut guest = Guest::new();
        guest.cpu.set_gpr(2, 40);
        guest.cpu.set_gpr(5, function);
        guest.put(
            function,
            "a718 0000 ; lhi %r1,0
             07fe      ; br %r14",
        );
        guest.load(
            0,
            "4220 5003 ; stc %r2,3(%r5)
             0de5      ; basr %r14,%r5
             1a31      ; ar %r3,%r1
             a726 fffc ; brct %r2,.-8
             8300 0777",
        );
        assert_eq!(guest.run_to_diag(), ENDED);
        assert_eq!(guest.cpu.gpr(3), (1..=40).sum::<u64>(), "{function:#x}");
    }
}

/// Blocks that were chained to the changed one by relative branches must lose it, too.
#[test]
fn test_store_into_a_chained_block() {
    let mut guest = Guest::new();
    guest.cpu.set_gpr(2, 3);
    guest.cpu.set_gpr(5, CODE + 0x100);
    guest.put(
        CODE + 0x100,
        "a718 0000 ; lhi %r1,0
         a7f4 ff82 ; j CODE + 8",
    );
    guest.load(
        0,
        "4220 5003 ; stc %r2,3(%r5)
         a7f4 007e ; j CODE + 0x100
         1a31      ; ar %r3,%r1
         a726 fffb ; brct %r2,CODE
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    assert_eq!(guest.cpu.gpr(3), 3 + 2 + 1);
}

/// An instruction of six bytes in two pages; the store changes its part in the second.
#[test]
fn test_store_into_an_instruction_that_crosses_pages() {
    let function = CODE + 0x1000 - 4;
    let mut guest = Guest::new();
    guest.cpu.set_gpr(2, 3);
    guest.cpu.set_gpr(5, function);
    guest.put(
        function,
        "c011 0000 0000 ; lgfi %r1,0
         07fe           ; br %r14",
    );
    guest.load(
        0,
        "4220 5005 ; stc %r2,5(%r5)
         0de5      ; basr %r14,%r5
         1a31      ; ar %r3,%r1
         a726 fffc ; brct %r2,.-8
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    assert_eq!(guest.cpu.gpr(3), 3 + 2 + 1);
}

/// The page was stored to, and so is fast to store to, before it held instructions.
#[test]
fn test_store_into_a_page_that_became_code_later() {
    let function = CODE + 0x1000;
    let mut guest = Guest::new();
    guest.cpu.set_gpr(2, 3);
    guest.cpu.set_gpr(5, function);
    guest.put(
        function,
        "a718 0000 ; lhi %r1,0
         07fe      ; br %r14",
    );
    guest.load(
        0,
        "4220 5800 ; stc %r2,0x800(%r5)
         0de5      ; basr %r14,%r5
         4220 5003 ; stc %r2,3(%r5)
         0de5      ; basr %r14,%r5
         1a31      ; ar %r3,%r1
         a726 fff9 ; brct %r2,.-14
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    assert_eq!(guest.cpu.gpr(3), 3 + 2 + 1);
}

/// EXECUTE fetches its target anew every time.
#[test]
fn test_store_into_the_target_of_an_execute() {
    let mut guest = Guest::new();
    guest.cpu.set_gpr(2, 3);
    guest.put(DATA, "a718 0000 ; lhi %r1,0");
    guest.load(
        0,
        "4220 0403 ; stc %r2,0x403
         4400 0400 ; ex 0,0x400
         1a31      ; ar %r3,%r1
         a726 fffb ; brct %r2,.-10
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    assert_eq!(guest.cpu.gpr(3), 3 + 2 + 1);
}

/// COMPARE AND SWAP is a store like any other.
#[test]
fn test_interlocked_update_of_an_instruction() {
    let mut guest = Guest::new();
    guest.cpu.set_gpr(5, CODE);
    guest.cpu.set_gpr(1, 0xa718_0000);
    guest.cpu.set_gpr(2, 0xa718_0005);
    guest.load(
        0,
        "ba12 5004 ; cs %r1,%r2,4(%r5)
         a718 0000 ; lhi %r1,0
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    assert_eq!(guest.cpu.gpr(1), 5);
}

/// A store beside instructions, in the same page and in the same 64 bytes, changes nothing.
#[test]
fn test_store_beside_instructions() {
    let mut guest = Guest::new();
    guest.cpu.set_gpr(2, 1000);
    guest.cpu.set_gpr(5, CODE);
    guest.load(
        0,
        "4220 5018 ; stc %r2,0x18(%r5)
         4220 5800 ; stc %r2,0x800(%r5)
         a726 fffc ; brct %r2,.-8
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    assert_eq!(guest.get::<1>(CODE + 0x18), [1]);
    assert_eq!(guest.get::<1>(CODE + 0x800), [1]);
}

/// A write through vm-memory while the CPU is not running: a disk read into the page cache.
#[test]
fn test_write_between_two_runs() {
    let mut guest = Guest::new();
    guest.load(
        0,
        "a718 0001 ; lhi %r1,1
         8300 0777",
    );
    assert_eq!(guest.run_to_diag(), ENDED);
    for value in [7, 9] {
        guest.put_bytes(CODE + 3, &[value]);
        guest.cpu.set_psw(common::psw(0, CODE));
        assert_eq!(guest.run_to_diag(), ENDED);
        assert_eq!(guest.cpu.gpr(1), u64::from(value));
    }
}

/// A write through vm-memory from another thread while the guest runs in a loop that only the
/// write can end.
#[test]
fn test_write_by_another_thread() {
    for at in [CODE + 6, CODE + 0x100, CODE + 0x1000 - 2] {
        let mut guest = Guest::new();
        guest.load(
            0,
            "9201 0400 ; mvi 0x400,1
             07f5      ; br %r5",
        );
        guest.cpu.set_gpr(5, at);
        guest.put(
            at,
            "a7f4 0000 ; j .
             8300 0777",
        );
        let (exit, ()) = run_beside(&mut guest, |memory, _| {
            wait_for_byte(memory, DATA);
            // One byte, so that nobody sees half of it: j .+4
            memory.write_obj(2_u8, GuestAddress(at + 3)).unwrap();
        });
        assert_eq!(exit.base_displacement().1, ENDED);
    }
}

/// The loop is in two pages that branch to each other; the write goes to one of them.
#[test]
fn test_write_by_another_thread_into_one_of_two_pages() {
    let mut guest = Guest::new();
    guest.put(
        CODE + 0x1000,
        "a704 0002 ; brc 0,.+4
         a7f4 f800 ; j CODE + 4
         8300 0777",
    );
    guest.load(
        0,
        "9201 0400 ; mvi 0x400,1
         a7f4 07fe ; j CODE + 0x1000",
    );
    let (exit, ()) = run_beside(&mut guest, |memory, _| {
        wait_for_byte(memory, DATA);
        // The branch that was not taken is: brc 15,.+8
        memory.write_obj(4_u8, GuestAddress(CODE + 0x1003)).unwrap();
        memory
            .write_obj(0xf4_u8, GuestAddress(CODE + 0x1001))
            .unwrap();
    });
    assert_eq!(exit.base_displacement().1, ENDED);
}
