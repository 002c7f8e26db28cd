// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A small machine for tests: 1 MiB, one CPU, virtual time, and interruption handlers that exit.
#![allow(dead_code)]

use std::sync::Arc;

use s390_cpu::{Config, CpuModel, Memory, SoftVcpu, SoftVm, Time};
use s390_extint::lowcore::{self, Field};
use s390_hypervisor::{Intercept, Psw, RunState, Vcpu, VcpuExit, VcpuHandle};
use vm_memory::{Bytes, GuestAddress};

/// Bytes of storage.
pub const STORAGE: u64 = 1 << 20;
/// Where the guest's program is.
pub const CODE: u64 = 0x4000;
/// Operands that instructions reach without a base register.
pub const DATA: u64 = 0x400;
/// The PSW mask of the 64-bit mode.
pub const MODE64: u64 = Psw::EXTENDED | Psw::BASIC;

/// The function code of the DIAGNOSE that a handler consists of, and a hundred times which is
/// its place in page 3.
pub const EXTERNAL: u16 = 1;
pub const SUPERVISOR_CALL: u16 = 2;
pub const PROGRAM: u16 = 3;
pub const RESTART: u16 = 4;

const HANDLERS: [(u16, Field); 4] = [
    (EXTERNAL, lowcore::EXT_NEW_PSW),
    (SUPERVISOR_CALL, lowcore::SVC_NEW_PSW),
    (PROGRAM, lowcore::PGM_NEW_PSW),
    (RESTART, lowcore::RESTART_NEW_PSW),
];

/// A machine with one CPU, which operates.
pub struct Guest {
    pub memory: Memory,
    pub vm: SoftVm,
    pub cpu: SoftVcpu,
}

/// Where the handler of a class of interruptions begins.
pub fn handler(class: u16) -> u64 {
    0x3000 + u64::from(class) * 0x100
}

impl Guest {
    pub fn new() -> Self {
        Self::with_time(Time::Virtual)
    }

    pub fn with_time(time: Time) -> Self {
        let memory = Memory::from_ranges(&[(GuestAddress(0), STORAGE as usize)]).unwrap();
        let model = CpuModel::max();
        let vm = SoftVm::new(&memory, Config { model, time }).unwrap();
        let cpu = vm.new_vcpu(0).unwrap();
        cpu.handle().set_run_state(RunState::Operating).unwrap();
        let guest = Guest { memory, vm, cpu };
        for (class, field) in HANDLERS {
            guest.put(handler(class), &format!("8300 {class:04x}"));
            guest.put_psw(field.offset.into(), MODE64, handler(class));
        }
        guest
    }

    /// Puts a program at [`CODE`] and the PSW on it, in the 64-bit mode with this more in the
    /// mask.
    pub fn load(&mut self, mask: u64, text: &str) {
        self.put(CODE, text);
        self.cpu.set_psw(psw(mask, CODE));
    }

    pub fn handle(&self) -> Arc<dyn VcpuHandle> {
        self.cpu.handle()
    }

    // --- storage -------------------------------------------------------------------------

    /// Writes [`bytes`].
    pub fn put(&self, addr: u64, hex: &str) {
        self.put_bytes(addr, &bytes(hex));
    }

    pub fn put_bytes(&self, addr: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(addr)).unwrap();
    }

    pub fn put_u64(&self, addr: u64, value: u64) {
        self.put_bytes(addr, &value.to_be_bytes());
    }

    pub fn put_psw(&self, addr: u64, mask: u64, at: u64) {
        self.put_bytes(addr, &Psw { mask, addr: at }.to_bytes());
    }

    pub fn get<const N: usize>(&self, addr: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory
            .read_slice(&mut bytes, GuestAddress(addr))
            .unwrap();
        bytes
    }

    pub fn u16(&self, field: Field) -> u16 {
        u16::from_be_bytes(self.get(field.offset.into()))
    }

    pub fn u32(&self, field: Field) -> u32 {
        u32::from_be_bytes(self.get(field.offset.into()))
    }

    pub fn u64(&self, field: Field) -> u64 {
        u64::from_be_bytes(self.get(field.offset.into()))
    }

    pub fn psw(&self, field: Field) -> Psw {
        Psw::from_bytes(self.get(field.offset.into()))
    }

    // --- registers -----------------------------------------------------------------------

    pub fn set_cr(&mut self, n: usize, value: u64) {
        let mut state = self.cpu.state().unwrap();
        state.crs[n] = value;
        self.cpu.set_state(&state).unwrap();
    }

    // --- running -------------------------------------------------------------------------

    /// Runs until the guest needs the host, and says for what.
    #[track_caller]
    pub fn run(&mut self) -> Intercept {
        match self.cpu.run().unwrap() {
            VcpuExit::Intercept(intercept) => intercept,
            other => panic!("{other:?}"),
        }
    }

    /// [`Guest::run`] where a broken CPU would not come back.
    #[track_caller]
    pub fn run_watched(&mut self) -> Intercept {
        run_beside(self, |_, _| ()).0
    }

    /// Runs until a DIAGNOSE and returns its function code.
    #[track_caller]
    pub fn run_to_diag(&mut self) -> u16 {
        let i = self.run();
        assert_eq!(
            (i.code, i.ipa >> 8),
            (Intercept::INSTRUCTION, 0x83),
            "{i:x?}"
        );
        i.base_displacement().1
    }

    /// Runs until a program interruption, and returns its code, its length code, and what the
    /// old PSW has.
    #[track_caller]
    pub fn run_to_program(&mut self) -> (u16, u16, Psw) {
        assert_eq!(self.run_to_diag(), PROGRAM);
        assert_eq!(self.cpu.psw().addr, handler(PROGRAM) + 4);
        (
            self.u16(lowcore::PGM_CODE),
            self.u16(lowcore::PGM_ILC),
            self.psw(lowcore::PGM_OLD_PSW),
        )
    }

    /// Runs until an external interruption, and returns its code and where it came.
    #[track_caller]
    pub fn run_to_external(&mut self) -> (u16, u64) {
        assert_eq!(self.run_to_diag(), EXTERNAL);
        (
            self.u16(lowcore::EXT_CODE),
            self.psw(lowcore::EXT_OLD_PSW).addr,
        )
    }

    /// Returns from the external interruption.
    pub fn return_from_external(&mut self) {
        self.cpu.set_psw(self.psw(lowcore::EXT_OLD_PSW));
    }
}

pub fn psw(mask: u64, addr: u64) -> Psw {
    Psw {
        mask: MODE64 | mask,
        addr,
    }
}

/// Bytes from hexadecimal digits with spaces anywhere; what follows a semicolon is a comment.
pub fn bytes(hex: &str) -> Vec<u8> {
    let code = hex.lines().map(|line| line.split(';').next().unwrap_or(""));
    let digits: Vec<u32> = code
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hexadecimal digit"))
        .collect();
    digits.chunks(2).map(|d| (d[0] << 4 | d[1]) as u8).collect()
}

/// Runs `f` while the CPU runs on a thread of its own until the guest needs the host. Should it
/// not within a minute, it is kicked and the test fails.
#[track_caller]
pub fn run_beside<T>(guest: &mut Guest, f: impl FnOnce(&Memory, &SoftVm) -> T) -> (Intercept, T) {
    let handle = guest.handle();
    let (memory, vm, cpu) = (&guest.memory, &guest.vm, &mut guest.cpu);
    std::thread::scope(|scope| {
        let (done, wait) = std::sync::mpsc::channel();
        let runner = scope.spawn(move || {
            let exit = cpu.run().unwrap();
            let _ = done.send(());
            exit
        });
        let result = f(memory, vm);
        if wait
            .recv_timeout(std::time::Duration::from_secs(60))
            .is_err()
        {
            handle.kick();
        }
        match runner.join().unwrap() {
            VcpuExit::Intercept(intercept) => (intercept, result),
            other => panic!("the guest did not get there: {other:?}"),
        }
    })
}

/// Waits until the byte at `addr` is no longer zero.
pub fn wait_for_byte(memory: &Memory, addr: u64) {
    while memory.read_obj::<u8>(GuestAddress(addr)).unwrap() == 0 {
        std::thread::yield_now();
    }
}
