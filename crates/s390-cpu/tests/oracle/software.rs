// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The software CPU in the oracle's place: executes a case and tells the outcome in its terms.
//!
//! The storage of a case is mapped by dynamic address translation, and the case runs in the
//! problem state. The places where it may end hold no instruction: it always ends with a program
//! interruption, whose new PSW is a disabled wait.

use s390_cpu::{Config, Memory, SoftVcpu, SoftVm, Time};
use s390_extint::lowcore::{self, Field};
use s390_extint::Psw;
use s390_hypervisor::{Intercept, RunState, Vcpu, VcpuExit, VcpuState};
use vm_memory::{Bytes, GuestAddress};

use super::format::*;

/// Where things are in real storage.
mod real {
    pub const SEGMENT_TABLE: u64 = 0x1_0000;
    pub const PAGE_TABLES: u64 = 0x2_0000;
    pub const MEMORY: u64 = 0x4_0000;
    pub const READ_ONLY: u64 = 0x4_2000;
    pub const CODE: u64 = 0x8_0000;
    pub const SIZE: usize = 0x10_0000;
}

const PAGE: u64 = 0x1000;
const INVALID_SEGMENT: u64 = 0x20;
const INVALID_PAGE: u64 = 0x400;
const PROTECTED: u64 = 0x200;
/// Segment table, 2048 entries.
const ASCE: u64 = real::SEGMENT_TABLE | 3;
/// Additional floating-point registers and the FPC may be used.
const CR0_AFP: u64 = 0x4_0000;

/// Program interruptions of an access that user programs know as a segmentation fault.
const PROTECTION: u16 = 0x04;
const ADDRESSING: u16 = 0x05;
const TRANSLATION: [u16; 6] = [0x10, 0x11, 0x38, 0x39, 0x3a, 0x3b];

/// A software CPU with the storage that cases see.
pub struct Software {
    memory: Memory,
    cpu: SoftVcpu,
}

impl Software {
    /// Makes the machine and maps its storage.
    pub fn new() -> Self {
        let memory = Memory::from_ranges(&[(GuestAddress(0), real::SIZE)]).unwrap();
        let config = Config {
            time: Time::Virtual,
            ..Config::default()
        };
        let cpu = SoftVm::new(&memory, config).unwrap().new_vcpu(0).unwrap();
        let handle = cpu.handle();
        handle.set_run_state(RunState::Operating).unwrap();
        let software = Software { memory, cpu };
        for segment in 0..2048 {
            software.store(real::SEGMENT_TABLE + 8 * segment, INVALID_SEGMENT);
        }
        let code_size = u64::from(SLOTS) * SLOT_SIZE;
        software.map(0, CODE, real::CODE, code_size, 0);
        software.map(1, MEMORY, real::MEMORY, MEMORY_SIZE, 0);
        software.map(1, READ_ONLY, real::READ_ONLY, PAGE, PROTECTED);
        let wait = Psw {
            mask: Psw::WAIT | Psw::EXTENDED | Psw::BASIC,
            addr: 0,
        };
        let at = GuestAddress(lowcore::PGM_NEW_PSW.offset.into());
        software.memory.write_slice(&wait.to_bytes(), at).unwrap();
        software
    }

    fn store(&self, address: u64, value: u64) {
        self.memory
            .write_slice(&value.to_be_bytes(), GuestAddress(address))
            .unwrap();
    }

    /// Maps pages of one segment by page table number `table`.
    fn map(&self, table: u64, from: u64, to: u64, size: u64, flags: u64) {
        let origin = real::PAGE_TABLES + table * 0x800;
        let segment = real::SEGMENT_TABLE + (from >> 20) * 8;
        if self.fetch(segment) == INVALID_SEGMENT {
            self.store(segment, origin);
            for page in 0..256 {
                self.store(origin + 8 * page, INVALID_PAGE);
            }
        }
        for offset in (0..size).step_by(PAGE as usize) {
            let entry = origin + ((from + offset) >> 12 & 0xff) * 8;
            self.store(entry, (to + offset) | flags);
        }
    }

    fn fetch(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.memory
            .read_slice(&mut bytes, GuestAddress(address))
            .unwrap();
        u64::from_be_bytes(bytes)
    }

    fn lowcore(&self, field: Field) -> u64 {
        self.fetch(field.offset.into()) >> (64 - 8 * u32::from(field.size))
    }

    /// Executes a case.
    ///
    /// # Panics
    ///
    /// When the CPU ends in any other way than a case can, or stores outside of the window.
    pub fn run(&mut self, case: &Case) -> Outcome {
        let slot = real::CODE + (case.address(0) - CODE);
        let mut code = [0; SLOT_SIZE as usize];
        code[SLOT_CODE as usize..][..case.code.len()].copy_from_slice(&case.code);
        code[SLOT_TARGET as usize..][..case.target.len()].copy_from_slice(&case.target);
        self.memory.write_slice(&code, GuestAddress(slot)).unwrap();
        let window = GuestAddress(real::MEMORY + (WINDOW - MEMORY));
        self.memory
            .write_slice(&case.before.window, window)
            .unwrap();

        self.cpu.set_state(&enter(&case.before)).unwrap();
        let exit = self.cpu.run().unwrap();
        let end = matches!(exit, VcpuExit::Intercept(i) if i.code == Intercept::WAIT);
        assert!(end, "{exit:?}: {case:?}");
        self.outcome(case)
    }

    fn outcome(&self, case: &Case) -> Outcome {
        let state = self.cpu.state().unwrap();
        let mut old = [0; 16];
        let at = GuestAddress(lowcore::PGM_OLD_PSW.offset.into());
        self.memory.read_slice(&mut old, at).unwrap();
        let old = Psw::from_bytes(old);
        let mut after = State {
            gpr: state.gprs,
            fpr: state.fprs,
            ar: state.acrs,
            fpc: state.fpc,
            cc: old.cc(),
            program_mask: (old.mask >> 40 & 0xf) as u8,
            mode_31: old.mask & Psw::EXTENDED == 0,
            psw_address: old.addr,
            window: [0; WINDOW_SIZE],
        };
        let memory = self.window(case);
        after.window = memory;

        let length = self.lowcore(lowcore::PGM_ILC);
        let code = self.lowcore(lowcore::PGM_CODE) as u16;
        let data = self.lowcore(lowcore::DATA_EXC_CODE) as u8;
        let end = case.address(SLOT_CODE) + case.code.len() as u64;
        let places = [end, case.address(SLOT_FORWARD), case.address(SLOT_BACKWARD)];
        let at = old.addr.wrapping_sub(length);
        if code == 1 && places.contains(&at) {
            after.psw_address = at;
            return Outcome {
                after,
                signal: None,
            };
        }
        let signal = |number, code, address| Signal {
            number,
            code,
            address,
        };
        let signal = if code == PROTECTION || code == ADDRESSING || TRANSLATION.contains(&code) {
            if code == PROTECTION || code == ADDRESSING {
                // Suppressed, not nullified; Linux and the emulators leave the PSW there.
                after.psw_address = at;
            }
            let address = self.lowcore(lowcore::TRANS_EXC_ID) & !(PAGE - 1);
            signal(11, if code == PROTECTION { 2 } else { 1 }, address)
        } else {
            let (number, si_code) = suppressed(code, data);
            signal(number, si_code, at)
        };
        Outcome {
            after,
            signal: Some(signal),
        }
    }

    /// The window, and a check of what is around it.
    fn window(&self, case: &Case) -> [u8; WINDOW_SIZE] {
        let mut memory = [0; MEMORY_SIZE as usize];
        self.memory
            .read_slice(&mut memory, GuestAddress(real::MEMORY))
            .unwrap();
        let at = (WINDOW - MEMORY) as usize;
        let window = memory[at..at + WINDOW_SIZE].try_into().unwrap();
        memory[at..at + WINDOW_SIZE].fill(0);
        assert!(memory.iter().all(|&b| b == 0), "stored outside: {case:?}");
        window
    }
}

fn enter(before: &State) -> VcpuState {
    let mut psw = Psw {
        mask: Psw::DAT | Psw::PROBLEM | Psw::BASIC,
        addr: before.psw_address,
    };
    if !before.mode_31 {
        psw.mask |= Psw::EXTENDED;
    }
    psw.mask |= u64::from(before.program_mask) << 40;
    psw.set_cc(before.cc);
    let mut state = VcpuState {
        psw,
        gprs: before.gpr,
        acrs: before.ar,
        fprs: before.fpr,
        fpc: before.fpc,
        ..VcpuState::default()
    };
    state.crs[0] = CR0_AFP;
    state.crs[1] = ASCE;
    state
}

/// The signal that Linux makes of a program interruption with this code and data-exception code.
fn suppressed(code: u16, data: u8) -> (u8, u32) {
    const SIGILL: u8 = 4;
    const SIGFPE: u8 = 8;
    match code {
        0x01 => (SIGILL, 1),
        0x02 => (SIGILL, 5),
        0x03 => (SIGILL, 3),
        0x06 => (SIGILL, 2),
        0x07 => match data {
            0 => (SIGILL, 2),
            // Not IEEE exceptions: compare and trap, simulated by SET FPC AND SIGNAL.
            _ if data & 3 != 0 => (SIGFPE, 0),
            _ if data & 0x80 != 0 => (SIGFPE, 7),
            _ if data & 0x40 != 0 => (SIGFPE, 3),
            _ if data & 0x20 != 0 => (SIGFPE, 4),
            _ if data & 0x10 != 0 => (SIGFPE, 5),
            _ => (SIGFPE, 6),
        },
        0x08 => (SIGFPE, 2),
        0x09 | 0x0b => (SIGFPE, 1),
        0x0a => (SIGFPE, 2),
        _ => (0xff, code.into()),
    }
}
