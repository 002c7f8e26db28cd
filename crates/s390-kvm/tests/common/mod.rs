// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest on either backend.
#![allow(dead_code)]

use std::sync::Arc;

use s390_cpu::{Config, Memory, SoftVm};
use s390_hypervisor::{
    ExternalInterrupt, Intercept, Psw, RunState, Vcpu, VcpuExit, VcpuHandle, Vm,
};
use s390_kvm::{guest_memory, KvmVm};
use vm_memory::{Bytes, GuestAddress};

pub const SIZE: u64 = 1 << 20;
pub const CODE: u64 = 0x10000;
pub const MASK: u64 = Psw::EXTENDED | Psw::BASIC;
/// Enabled for external interruptions.
pub const OPEN: u64 = MASK | Psw::EXTERNAL;
/// The subclass of service signals and, by convention, virtio.
pub const SERVICE: u64 = 0x200;

/// diag %r2,%r4,0x500
pub const DIAG: [u8; 4] = [0x83, 0x24, 0x05, 0x00];
/// lpswe 0x800
pub const LPSWE: [u8; 4] = [0xb2, 0xb2, 0x08, 0x00];
/// j .
pub const LOOP: [u8; 4] = [0xa7, 0xf4, 0x00, 0x00];

pub struct Guest {
    pub memory: Memory,
    pub vm: Box<dyn Vm>,
    pub cpu: Box<dyn Vcpu>,
    pub handle: Arc<dyn VcpuHandle>,
}

impl Guest {
    pub fn new(memory: Memory, vm: Box<dyn Vm>) -> Self {
        let cpu = vm.create_vcpu(0).unwrap();
        let handle = cpu.handle();
        let guest = Guest {
            memory,
            vm,
            cpu,
            handle,
        };
        // What no test expects ends in a disabled wait that says which one it was.
        for new_psw in (0x1a0..0x200).step_by(16) {
            guest.put_psw(new_psw, MASK | Psw::WAIT, new_psw);
        }
        guest
    }

    pub fn put(&self, addr: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(addr)).unwrap();
    }

    pub fn put_psw(&self, addr: u64, mask: u64, target: u64) {
        self.put(addr, &Psw { mask, addr: target }.to_bytes());
    }

    pub fn get<const N: usize>(&self, addr: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory
            .read_slice(&mut bytes, GuestAddress(addr))
            .unwrap();
        bytes
    }

    pub fn get_u16(&self, addr: u64) -> u16 {
        u16::from_be_bytes(self.get(addr))
    }

    pub fn get_psw(&self, addr: u64) -> Psw {
        Psw::from_bytes(self.get(addr))
    }

    /// Code, and a CPU that operates from its first byte.
    pub fn start(&mut self, mask: u64, code: &[&[u8]]) {
        self.put(CODE, &code.concat());
        self.cpu.set_psw(Psw { mask, addr: CODE });
        self.handle.set_run_state(RunState::Operating).unwrap();
    }

    /// Enables the CPU for these external interruptions, bits of control register 0.
    pub fn open_subclasses(&mut self, subclasses: u64) {
        let mut state = self.cpu.state().unwrap();
        state.crs[0] |= subclasses;
        self.cpu.set_state(&state).unwrap();
    }

    /// Runs to an intercept.
    pub fn intercept(&mut self) -> Intercept {
        match self.cpu.run().unwrap() {
            VcpuExit::Intercept(intercept) => intercept,
            exit => panic!("{exit:?}"),
        }
    }

    /// Expects the DIAGNOSE of the tests.
    pub fn diag(&mut self) {
        let intercept = self.intercept();
        let psw = self.cpu.psw();
        assert_eq!(
            intercept,
            Intercept::instruction(0x8324, 0x0500_0000),
            "{psw}"
        );
    }

    /// Expects a disabled wait, and returns its PSW.
    pub fn wait(&mut self) -> Psw {
        assert_eq!(self.intercept().code, Intercept::WAIT);
        self.cpu.psw()
    }

    pub fn external(&self) -> ExternalInterrupt {
        ExternalInterrupt {
            code: self.get_u16(0x86),
            subcode: self.get_u16(0x84),
            params: u32::from_be_bytes(self.get(0x80)),
            params2: u64::from_be_bytes(self.get(0x11b8)),
        }
    }
}

pub fn virtio(params: u32, params2: u64) -> ExternalInterrupt {
    ExternalInterrupt {
        code: 0x2603,
        subcode: 0x0d00,
        params,
        params2,
    }
}

/// A guest of the software CPU.
pub fn software() -> Guest {
    let memory = guest_memory(SIZE).unwrap();
    let vm = SoftVm::new(&memory, Config::default()).unwrap();
    Guest::new(memory, Box::new(vm))
}

/// A guest of KVM, where that is usable.
pub fn kvm() -> Option<Guest> {
    if let Err(error) = KvmVm::probe() {
        assert!(std::env::var_os("S390_KVM_REQUIRED").is_none(), "{error}");
        println!("SKIPPED on KVM: {error}");
        return None;
    }
    let memory = guest_memory(SIZE).unwrap();
    let vm = KvmVm::new(&memory).unwrap();
    Some(Guest::new(memory, Box::new(vm)))
}

/// Runs `test` on each backend.
pub fn on_both(test: impl Fn(Guest)) {
    test(software());
    on_kvm(test);
}

/// Runs `test` on KVM, where that is usable.
pub fn on_kvm(test: impl Fn(Guest)) {
    kvm().into_iter().for_each(test);
}
