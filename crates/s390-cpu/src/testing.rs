// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! For unit tests: a CPU that runs a few instructions.

use std::sync::Arc;

use s390_extint::Psw;
use vm_memory::GuestAddress;

use crate::access::Ram;
use crate::block::decode_one;
use crate::cpu::{Cpu, Fault, Flow, ProgramInterruption};
use crate::shared::Floating;
use crate::table::execute;
use crate::timing::{Clock, Time};
use crate::{CpuModel, Memory};

/// Where [`run`] puts instructions.
pub(crate) const CODE: u64 = 0x1000;
/// Where tests keep operands.
pub(crate) const DATA: u64 = 0x2000;

/// A CPU with 1 MiB of storage, in the 64-bit mode, with floating point enabled.
pub(crate) fn cpu() -> Box<Cpu> {
    let [cpu] = cpus();
    cpu
}

/// CPUs of one machine.
pub(crate) fn cpus<const N: usize>() -> [Box<Cpu>; N] {
    let memory = Memory::from_ranges(&[(GuestAddress(0), 1 << 20)]).expect("1 MiB");
    let ram = Ram::new(&memory).expect("one region");
    let clock = Arc::new(Clock::new(Time::Virtual));
    let floating = Arc::<Floating>::default();
    std::array::from_fn(|n| {
        let (address, clock) = (n as u16, clock.clone());
        let mut cpu = Cpu::new(
            address,
            CpuModel::max(),
            ram.clone(),
            clock,
            floating.clone(),
        );
        floating.add_cpu(address, cpu.shared.clone());
        cpu.crs[0] |= 0x40000;
        cpu.set_psw(Psw::ipl(CODE));
        cpu
    })
}

/// Puts instruction text, in hexadecimal with spaces anywhere, at an absolute address; returns
/// its length in bytes.
pub(crate) fn load(cpu: &mut Cpu, addr: u64, text: &str) -> u64 {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
    let digit = |b: u8| (b as char).to_digit(16).expect("a hexadecimal digit") as u8;
    let text: Vec<u8> = digits
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect();
    cpu.ram.write(addr, &text);
    text.len() as u64
}

/// Runs instruction text, in hexadecimal with spaces anywhere, from [`CODE`] until the PSW points
/// elsewhere, at most as many instructions as there are halfwords in the text.
pub(crate) fn run(cpu: &mut Cpu, text: &str) -> Result<(), ProgramInterruption> {
    let len = load(cpu, CODE, text);
    cpu.psw_addr = CODE;
    for _ in 0..len / 2 {
        step(cpu)?;
        if !(CODE..CODE + len).contains(&cpu.psw_addr) {
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
    cpu.place.addr = cpu.psw_addr;
    let Ok(flow) = execute(cpu, &insn) else {
        return Err(fault(cpu));
    };
    match flow {
        Flow::Next | Flow::Sync | Flow::Intercept => cpu.psw_addr = cpu.next_addr(&insn),
        Flow::Taken => cpu.psw_addr = insn.imm as u64,
        Flow::Jump => cpu.psw_addr = cpu.jump,
        Flow::NewPsw | Flow::Again | Flow::Stale | Flow::End => {}
    }
    Ok(flow)
}

/// Asserts that the instruction text ends in a program interruption with this code.
#[track_caller]
pub(crate) fn assert_interrupted(cpu: &mut Cpu, text: &str, code: u16) {
    assert_eq!(run(cpu, text).map_err(|p| p.code), Err(code), "{text}");
}

/// Translation tables of one address space: for every level one table, so that all entries that
/// are made at a level are in the same table.
pub(crate) struct Space {
    base: u64,
    top: u64,
    /// Designates the uppermost table, in full length.
    pub(crate) asce: u64,
}

impl Space {
    /// Makes tables of invalid entries in the 0x14800 bytes from `base`, the uppermost one of
    /// the type `top`, 0 segment to 3 region-first.
    pub(crate) fn new(c: &mut Cpu, base: u64, top: u64) -> Self {
        let asce = (base + top * 0x4000) | top << 2 | 3;
        let space = Space { base, top, asce };
        for at in (base..base + 0x10000).step_by(8) {
            c.ram
                .write(at, &(0x20 | (at - base) >> 14 << 2).to_be_bytes());
        }
        for at in (base + 0x10000..base + 0x10800).step_by(8) {
            c.ram.write(at, &0x400_u64.to_be_bytes());
        }
        space
    }

    /// Where the segment table is; the other tables follow, 16 KiB each.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Where the entry for `va` is in the region or segment table of this type.
    pub(crate) fn entry(&self, level: u64, va: u64) -> u64 {
        self.base + level * 0x4000 + (va >> (20 + 11 * level) & 0x7ff) * 8
    }

    /// Where the page-table entry for `va` is.
    pub(crate) fn page_entry(&self, va: u64) -> u64 {
        self.base + 0x10000 + (va >> 12 & 0xff) * 8
    }

    /// Changes the entry at `at`, which flushes nothing.
    pub(crate) fn change(&self, c: &mut Cpu, at: u64, f: impl Fn(u64) -> u64) {
        let e = f(c.ram.read_u64(at));
        c.ram.write(at, &e.to_be_bytes());
    }

    /// Maps the page of `va` to the one at `real`.
    pub(crate) fn map(&self, c: &mut Cpu, va: u64, real: u64) {
        for level in 1..=self.top {
            let next = (self.base + (level - 1) * 0x4000) | level << 2 | 3;
            self.change(c, self.entry(level, va), |_| next);
        }
        self.change(c, self.entry(0, va), |_| self.base + 0x10000);
        self.change(c, self.page_entry(va), |_| real);
    }

    /// Makes this the primary space, and turns DAT on.
    pub(crate) fn use_as_primary(&self, c: &mut Cpu) {
        c.crs[1] = self.asce;
        c.psw_mask |= Psw::DAT;
        c.psw_mask_changed();
    }
}
