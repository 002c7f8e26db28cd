// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! For unit tests: a CPU that runs a few instructions.

use std::sync::Arc;

use s390_extint::Psw;
use vm_memory::GuestAddress;

use crate::access::Ram;
use crate::block::decode_one;
use crate::cpu::{Cpu, Fault, Flow, ProgramInterruption};
use crate::table::execute;
use crate::timing::{Clock, Time};
use crate::{CpuModel, Memory};

/// Where [`run`] puts instructions.
pub(crate) const CODE: u64 = 0x1000;
/// Where tests keep operands.
pub(crate) const DATA: u64 = 0x2000;

/// A CPU with 1 MiB of storage, in the 64-bit mode, with floating point enabled.
pub(crate) fn cpu() -> Box<Cpu> {
    let memory = Memory::from_ranges(&[(GuestAddress(0), 1 << 20)]).expect("1 MiB");
    let ram = Ram::new(&memory).expect("one region");
    let clock = Arc::new(Clock::new(Time::Virtual));
    let mut cpu = Cpu::new(0, CpuModel::max(), ram, clock, Arc::default());
    cpu.crs[0] |= 0x40000;
    cpu.set_psw(Psw::ipl(CODE));
    cpu
}

/// Runs instruction text, in hexadecimal with spaces anywhere, from [`CODE`] until the PSW points
/// elsewhere, at most as many instructions as there are halfwords in the text.
pub(crate) fn run(cpu: &mut Cpu, text: &str) -> Result<(), ProgramInterruption> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
    let digit = |b: u8| (b as char).to_digit(16).expect("a hexadecimal digit") as u8;
    let text: Vec<u8> = digits
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect();
    cpu.ram.write(CODE, &text);
    cpu.psw_addr = CODE;
    for _ in 0..text.len() / 2 {
        step(cpu)?;
        if !(CODE..CODE + text.len() as u64).contains(&cpu.psw_addr) {
            break;
        }
    }
    Ok(())
}

/// Runs the instruction at the PSW's address.
pub(crate) fn step(cpu: &mut Cpu) -> Result<Flow, ProgramInterruption> {
    let fault = |cpu: &Cpu| match cpu.fault {
        Fault::Program(p) => p,
        Fault::OwnBlock | Fault::NotFast => panic!("no block is running"),
    };
    let Ok(insn) = decode_one(cpu, cpu.psw_addr, 0) else {
        return Err(fault(cpu));
    };
    cpu.block_addr = cpu.psw_addr;
    let Ok(flow) = execute(cpu, &insn) else {
        return Err(fault(cpu));
    };
    match flow {
        Flow::Next | Flow::Sync | Flow::Intercept => cpu.psw_addr = cpu.next_addr(&insn),
        Flow::Taken => cpu.psw_addr = insn.imm as u64,
        Flow::Jump => cpu.psw_addr = cpu.jump,
        Flow::NewPsw | Flow::Again | Flow::Stale => {}
    }
    Ok(flow)
}

/// Asserts that the instruction text ends in a program interruption with this code.
#[track_caller]
pub(crate) fn assert_interrupted(cpu: &mut Cpu, text: &str, code: u16) {
    assert_eq!(run(cpu, text).map_err(|p| p.code), Err(code), "{text}");
}
