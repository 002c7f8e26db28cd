// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Small programs that would notice if decoded blocks were not what storage says.

use s390_cpu::{Config, Memory, SoftVcpu, SoftVm};
use s390_extint::{lowcore, Psw};
use s390_hypervisor::{Intercept, RunState, Vcpu, VcpuExit};
use vm_memory::{Bytes, GuestAddress};

const CODE: u64 = 0x1000;
/// No instruction: how every program ends.
const END: &str = "0000";
const OPERATION: u16 = 1;
const ADDRESSING: u16 = 5;

struct Machine {
    memory: Memory,
    cpu: SoftVcpu,
}

impl Machine {
    fn new() -> Self {
        let memory = Memory::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        let vm = SoftVm::new(&memory, Config::default()).unwrap();
        let mut cpu = vm.new_vcpu(0).unwrap();
        cpu.handle().set_run_state(RunState::Operating).unwrap();
        cpu.set_gpr(5, CODE);
        let machine = Machine { memory, cpu };
        let new_psw = lowcore::PGM_NEW_PSW.offset.into();
        machine.write(new_psw, "00020001 80000000 00000000 00000000");
        machine
    }

    /// Writes hexadecimal text with spaces anywhere.
    fn write(&self, addr: u64, text: &str) {
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
        let digit = |b: u8| (b as char).to_digit(16).unwrap() as u8;
        for (addr, pair) in (addr..).zip(digits.chunks(2)) {
            let byte = digit(pair[0]) << 4 | digit(pair[1]);
            self.memory.write_obj(byte, GuestAddress(addr)).unwrap();
        }
    }

    /// Runs the program at `addr` until its first program interruption, which must have `code`.
    /// Returns the PSW then.
    #[track_caller]
    fn run_until(&mut self, addr: u64, code: u16) -> Psw {
        self.cpu.set_psw(Psw::ipl(addr));
        let exit = self.cpu.run().unwrap();
        assert!(
            matches!(exit, VcpuExit::Intercept(i) if i.code == Intercept::WAIT),
            "{exit:x?}"
        );
        let at = GuestAddress(lowcore::PGM_CODE.offset.into());
        let found: [u8; 2] = self.memory.read_obj(at).unwrap();
        assert_eq!(u16::from_be_bytes(found), code);
        let old = GuestAddress(lowcore::PGM_OLD_PSW.offset.into());
        Psw::from_bytes(self.memory.read_obj(old).unwrap())
    }

    /// Runs the program at `addr` to its end.
    #[track_caller]
    fn run(&mut self, addr: u64) {
        self.run_until(addr, OPERATION);
    }
}

#[test]
fn test_branches_inside_and_at_the_end_of_a_block() {
    let mut m = Machine::new();
    // lhi 1,5; (ahi 2,7; chi 1,3; je .+8; ahi 2,1; brct 1,.-16)
    m.write(
        CODE,
        "a7180005 a72a0007 a71e0003 a7840004 a72a0001 a716fff8",
    );
    m.write(CODE + 0x18, END);
    m.run(CODE);
    assert_eq!(m.cpu.gpr(2), 5 * 7 + 4);
    assert_eq!(m.cpu.instructions(), 1 + 5 * 5 - 1);
}

#[test]
fn test_store_into_the_running_block() {
    let mut m = Machine::new();
    // mvi 7(5),42; lhi 1,1: becomes lhi 1,42
    m.write(CODE, "922a5007 a7180001");
    m.write(CODE + 8, END);
    m.run(CODE);
    assert_eq!(m.cpu.gpr(1), 42);
}

#[test]
fn test_store_into_a_block_that_is_chained_to() {
    let mut m = Machine::new();
    // lhi 3,3; (j 0x1020; mvi 0x23(5),42; brct 3,.-8)
    m.write(CODE, "a7380003 a7f4000e 922a5023 a736fffc");
    m.write(CODE + 0x10, END);
    // lhi 1,1; ar 2,1; j 0x1008
    m.write(CODE + 0x20, "a7180001 1a21 a7f4fff1");
    m.run(CODE);
    assert_eq!(m.cpu.gpr(2), 1 + 42 + 42);
}

#[test]
fn test_store_into_a_block_that_is_called() {
    let mut m = Machine::new();
    // bras 14,0x1020; mvi 0x23(5),42; bras 14,0x1020
    m.write(CODE, "a7e50010 922a5023 a7e5000c");
    m.write(CODE + 0xc, END);
    // lhi 1,1; ar 2,1; br 14
    m.write(CODE + 0x20, "a7180001 1a21 07fe");
    m.run(CODE);
    assert_eq!(m.cpu.gpr(2), 1 + 42);
}

#[test]
fn test_store_of_several_registers_into_the_running_block() {
    let mut m = Machine::new();
    // stm 2,3,4(5): the two instructions behind it.
    m.write(CODE, "90235004 00000000 00000000");
    m.write(CODE + 0xc, END);
    m.cpu.set_gpr(2, 0xa718_002a);
    m.cpu.set_gpr(3, 0xa748_002b);
    m.run(CODE);
    assert_eq!((m.cpu.gpr(1), m.cpu.gpr(4)), (42, 43));
}

#[test]
fn test_host_writes_are_noticed() {
    let mut m = Machine::new();
    m.write(CODE, "a7180001");
    m.write(CODE + 4, END);
    m.run(CODE);
    m.write(CODE, "a7180002");
    m.run(CODE);
    assert_eq!(m.cpu.gpr(1), 2);
}

#[test]
fn test_store_beside_code() {
    let mut m = Machine::new();
    // st 1,0x800(5); l 2,0x800(5)
    m.write(CODE, "50105800 58205800");
    m.write(CODE + 8, END);
    m.cpu.set_gpr(1, 0x1234_5678);
    m.run(CODE);
    assert_eq!(m.cpu.gpr(2), 0x1234_5678);
}

#[test]
fn test_instruction_across_a_page_boundary() {
    let mut m = Machine::new();
    // ahi 2,1; nopr; ahi 2,2 across the boundary
    m.write(0x1ff8, "a72a0001 0700 a72a0002");
    m.write(0x2002, END);
    m.run(0x1ff8);
    assert_eq!(m.cpu.gpr(2), 3);
    m.write(0x2000, "0004");
    m.run(0x1ff8);
    assert_eq!(m.cpu.gpr(2), 3 + 1 + 4);
}

#[test]
fn test_operands_across_a_page_boundary() {
    let mut m = Machine::new();
    // stg 1,0(6); lg 2,0(6); l 3,2(6), twice: the second time both pages are known.
    m.write(CODE, "e31060000024 e32060000004 58306002");
    m.write(CODE + 0x10, "e31060000024 e32060000004 58306002");
    m.write(CODE + 0x20, END);
    m.cpu.set_gpr(1, 0x1122_3344_5566_7788);
    m.cpu.set_gpr(6, 0x3ffc);
    m.run(CODE);
    assert_eq!(m.cpu.gpr(2), 0x1122_3344_5566_7788);
    assert_eq!(m.cpu.gpr(3), 0x3344_5566);
    let left: [u8; 4] = m.memory.read_obj(GuestAddress(0x3ffc)).unwrap();
    assert_eq!(left, [0x11, 0x22, 0x33, 0x44]);
}

#[test]
fn test_interruption_in_the_middle_of_a_block() {
    let mut m = Machine::new();
    // lhi 1,1; lg 3,0(6), outside of storage; lhi 1,2
    m.write(CODE, "a7180001 e33060000004 a7180002");
    m.write(CODE + 0xe, END);
    m.cpu.set_gpr(6, 1 << 20);
    let old = m.run_until(CODE, ADDRESSING);
    assert_eq!((m.cpu.gpr(1), old.addr), (1, CODE + 10));
}

#[test]
fn test_execute_of_what_changes() {
    let mut m = Machine::new();
    // lhi 3,3; (ex 0,0x20(5); mvi 0x23(5),42; brct 3,.-8); the target is ahi 2,1
    m.write(CODE, "a7380003 44005020 922a5023 a736fffc");
    m.write(CODE + 0x10, END);
    m.write(CODE + 0x20, "a72a0001");
    m.run(CODE);
    assert_eq!(m.cpu.gpr(2), 1 + 42 + 42);
}
