// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A whole machine for the tests of this crate: CPU 0 issues, the others are handles.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use s390_extint::ExternalInterrupt;
use s390_hypercall::{Answer, HypercallHandler, EINVAL};
use s390_hypervisor::{Intercept, RunState, VcpuExit, VcpuHandle};
use s390_sclp::{Config, Sclp};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::test_utils::{FakeHandle, FakeVcpu, FakeVm};
use crate::{Machine, MachineConfig, Outcome, Parts, SubsystemReset};

/// Knows one ring, and raises an interruption when reset.
#[derive(Debug)]
pub(crate) struct Device {
    vm: Arc<FakeVm>,
    resets: AtomicUsize,
}

impl Device {
    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::Relaxed)
    }
}

impl HypercallHandler for Device {
    fn notify(&self, addr: u64) -> Answer {
        Ok(if addr == Rig::RING { 0 } else { EINVAL })
    }
}

impl SubsystemReset for Device {
    fn subsystem_reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
        self.vm.pretend(ExternalInterrupt::service(0, true));
    }
}

pub(crate) struct Rig {
    pub machine: Arc<Machine<GuestMemoryMmap>>,
    pub memory: GuestMemoryMmap,
    pub vcpu: FakeVcpu,
    /// CPU 1 and up, stopped.
    pub others: Vec<Arc<FakeHandle>>,
    pub vm: Arc<FakeVm>,
    pub device: Arc<Device>,
}

impl Rig {
    pub const RAM: u64 = 2 << 20;
    pub const RING: u64 = Self::RAM + 0x1000;

    pub fn new(cpus: u16) -> Self {
        Self::with(cpus, |_| ())
    }

    pub fn with(cpus: u16, configure: impl FnOnce(&mut MachineConfig)) -> Self {
        let mut config = MachineConfig::new(Self::RAM);
        configure(&mut config);
        let regions = [(GuestAddress(0), Self::RAM as usize + 0x10_0000)];
        let memory = GuestMemoryMmap::from_ranges(&regions).unwrap();
        let vm = Arc::new(FakeVm::default());
        let device = Arc::new(Device {
            vm: vm.clone(),
            resets: AtomicUsize::new(0),
        });
        let sclp = Sclp::new(Config::new(Self::RAM, cpus), Box::new(|_: &[u8]| ())).unwrap();
        let mut handles: Vec<_> = (0..cpus).map(FakeHandle::new).collect();
        let machine = Machine::new(Parts {
            config,
            memory: memory.clone(),
            vm: vm.clone(),
            sclp: Arc::new(Mutex::new(sclp)),
            hypercalls: device.clone(),
            devices: device.clone(),
            cpus: handles.iter().map(|h| h.clone() as _).collect(),
        });
        let vcpu = FakeVcpu::new(handles.remove(0));
        vcpu.handle.set_run_state(RunState::Operating).unwrap();
        Rig {
            machine: Arc::new(machine),
            memory,
            vcpu,
            others: handles,
            vm,
            device,
        }
    }

    /// A CPU behind the handle of one of the others.
    pub fn vcpu_of(&self, address: u16) -> FakeVcpu {
        FakeVcpu::new(self.others[usize::from(address) - 1].clone())
    }

    pub fn handle(&mut self, intercept: Intercept) -> Outcome {
        let exit = VcpuExit::Intercept(intercept);
        self.machine.handle_exit(&mut self.vcpu, exit).unwrap()
    }

    /// CPU 0 issues an instruction.
    pub fn run(&mut self, ipa: u16, ipb: u32) -> Outcome {
        self.handle(Intercept::instruction(ipa, ipb))
    }

    /// CPU 0 issues DIAGNOSE with these register fields.
    pub fn diagnose(&mut self, registers: u8, function: u16) -> Outcome {
        self.run(0x8300 | u16::from(registers), u32::from(function) << 16)
    }

    /// Stores a doubleword.
    pub fn put(&self, at: u64, value: u64) {
        let bytes = value.to_be_bytes();
        self.memory.write_obj(bytes, GuestAddress(at)).unwrap();
    }

    /// Loads a doubleword.
    pub fn get(&self, at: u64) -> u64 {
        u64::from_be_bytes(self.memory.read_obj(GuestAddress(at)).unwrap())
    }
}
