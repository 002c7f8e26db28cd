// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The virtual CPU.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use s390_extint::lowcore;
use s390_hypervisor::{
    Error, Intercept, LocalInterrupt, Psw, ResetKind, Result, RunState, Vcpu, VcpuExit, VcpuHandle,
    VcpuState,
};
use vm_memory::Bytes;

use super::error::refused;
use super::exit::translate;
use super::gate::{Gate, Turn};
use super::handle::{check_prefix, Handle};
use super::vm::Shared;
use super::{interrupt, signal};
use crate::bindings::*;
use crate::ioctls::VcpuFd;

/// A CPU of the host's.
#[derive(Debug)]
pub struct KvmVcpu {
    fd: VcpuFd,
    /// The run state that the kernel knows of.
    applied: RunState,
    /// The thread that the signal can reach.
    listening: Option<ThreadId>,
    // Behind the vCPU's file: it has what the file uses.
    handle: Arc<Handle>,
}

impl KvmVcpu {
    pub(super) fn new(vm: &Arc<Shared>, address: u16) -> Result<Self> {
        let mut fd = vm.vm.create_vcpu(address.into()).map_err(|error| {
            if error.errno() == libc::EEXIST {
                return Error::Invalid("CPU address: it is taken");
            }
            refused(format!("create CPU {address}"))(error)
        })?;
        fd.clear_reset()
            .map_err(refused(format!("reset CPU {address}")))?;
        let handle = Handle {
            address,
            gate: Gate::new(fd.remote()),
            remote: fd.remote(),
            vm: vm.clone(),
        };
        let mut vcpu = KvmVcpu {
            fd,
            applied: RunState::Operating,
            listening: None,
            handle: Arc::new(handle),
        };
        vcpu.apply(RunState::Stopped)?;
        vm.add_cpu(&vcpu.handle);
        Ok(vcpu)
    }

    /// The CPU as the ioctls see it.
    pub fn fd(&self) -> &VcpuFd {
        &self.fd
    }

    /// Tells the kernel whether the CPU runs.
    fn apply(&mut self, state: RunState) -> Result<()> {
        let mp_state = match state {
            RunState::Operating => KVM_MP_STATE_OPERATING,
            RunState::Stopped => KVM_MP_STATE_STOPPED,
        };
        self.fd
            .set_mp_state(kvm_mp_state { mp_state })
            .map_err(refused(format!("start or stop CPU {}", self.address())))?;
        self.applied = state;
        Ok(())
    }

    fn set_prefix(&mut self, prefix: u32) {
        self.fd.sync_regs_mut().prefix = prefix.into();
        self.fd.set_sync_dirty_reg(KVM_SYNC_PREFIX);
    }

    /// Makes a program interruption pending. Part of what the kernel stores with it is in the
    /// lowcore already, and shall stay as it is.
    fn pend_program(&self, code: u16) -> Result<()> {
        let storage = self.handle.vm.memory.as_slice();
        let at = |field: lowcore::Field| self.prefix() as usize + usize::from(field.offset);
        let mut identification = [0; 8];
        let mut access = [0];
        // A prefix without storage: the interruption itself will fail, which the kernel tells.
        let _ = storage.read_slice(&mut identification, at(lowcore::TRANS_EXC_ID));
        let _ = storage.read_slice(&mut access, at(lowcore::EXC_ACCESS_ID));
        let identification = u64::from_be_bytes(identification);
        self.handle
            .pend(&interrupt::program(code, identification, access[0]))
    }

    fn one_reg(&self, id: u64) -> Result<u64> {
        self.fd.get_one_reg(id).map_err(refused("read a register"))
    }

    fn set_one_reg(&mut self, id: u64, value: u64) -> Result<()> {
        let result = self.fd.set_one_reg(id, value);
        result.map_err(refused("set a register"))
    }

    fn stopped() -> VcpuExit {
        VcpuExit::Intercept(Intercept {
            code: Intercept::STOP,
            ..Intercept::default()
        })
    }

    /// Runs the guest once. `None`: it was left because somebody called.
    fn enter(&mut self) -> Result<Option<VcpuExit>> {
        let result = self.fd.run();
        let called = self.handle.gate.left();
        let exit = match result {
            Ok(exit) => {
                translate(exit).map_err(refused(format!("go on with CPU {}", self.address())))?
            }
            Err(error) if error.errno() == libc::EINTR => None,
            Err(error) => return Err(refused(format!("run CPU {}", self.address()))(error)),
        };
        if exit == Some(Self::stopped()) {
            self.handle.set_run_state(RunState::Stopped)?;
        }
        Ok(match exit {
            // A signal of somebody else's.
            None if !called => Some(VcpuExit::Interrupted),
            exit => exit,
        })
    }
}

impl Vcpu for KvmVcpu {
    fn address(&self) -> u16 {
        self.handle.address
    }

    fn run(&mut self) -> Result<VcpuExit> {
        let thread = Some(thread::current().id());
        if self.listening != thread {
            signal::listen()?;
            self.listening = thread;
        }
        loop {
            match self.handle.gate.next(self.applied) {
                Turn::Kicked => return Ok(VcpuExit::Interrupted),
                Turn::Apply(state) => self.apply(state)?,
                Turn::SetPrefix(prefix) => self.set_prefix(prefix),
                Turn::Stop { store_status, was } => {
                    self.apply(RunState::Stopped)?;
                    if store_status {
                        let lowcore = u64::from(self.prefix());
                        self.store_status(lowcore + u64::from(lowcore::SAVE_AREA))?;
                    }
                    if was == RunState::Operating {
                        return Ok(Self::stopped());
                    }
                }
                Turn::Restart => self.handle.pend(&interrupt::restart())?,
                Turn::Program(code) => self.pend_program(code)?,
                Turn::Enter => {
                    if let Some(exit) = self.enter()? {
                        return Ok(exit);
                    }
                }
            }
        }
    }

    fn psw(&self) -> Psw {
        let kvm_s390_psw { mask, addr } = self.fd.psw();
        Psw { mask, addr }
    }

    fn set_psw(&mut self, psw: Psw) {
        self.fd.set_psw(kvm_s390_psw {
            mask: psw.mask,
            addr: psw.addr,
        });
    }

    fn gpr(&self, n: u8) -> u64 {
        self.fd.sync_regs().gprs[usize::from(n & 15)]
    }

    fn set_gpr(&mut self, n: u8, value: u64) {
        self.fd.sync_regs_mut().gprs[usize::from(n & 15)] = value;
        self.fd.set_sync_dirty_reg(KVM_SYNC_GPRS);
    }

    fn prefix(&self) -> u32 {
        self.fd.sync_regs().prefix as u32
    }

    fn state(&self) -> Result<VcpuState> {
        let sregs = self.fd.get_sregs();
        let sregs = sregs.map_err(refused("read access and control registers"))?;
        let fpu = self.fd.get_fpu();
        let fpu = fpu.map_err(refused("read floating-point registers"))?;
        Ok(VcpuState {
            psw: self.psw(),
            gprs: self.fd.sync_regs().gprs,
            acrs: sregs.acrs,
            crs: sregs.crs,
            fprs: fpu.fprs,
            fpc: fpu.fpc,
            prefix: self.prefix(),
            todpr: self.one_reg(KVM_REG_S390_TODPR)? as u32,
            cpu_timer: self.one_reg(KVM_REG_S390_CPU_TIMER)?,
            clock_comparator: self.one_reg(KVM_REG_S390_CLOCK_COMP)?,
        })
    }

    fn set_state(&mut self, state: &VcpuState) -> Result<()> {
        check_prefix(state.prefix, self.handle.vm.memory.size())?;
        let sregs = kvm_sregs {
            acrs: state.acrs,
            crs: state.crs,
        };
        let result = self.fd.set_sregs(&sregs);
        result.map_err(refused("set access and control registers"))?;
        let fpu = kvm_fpu {
            fpc: state.fpc,
            fprs: state.fprs,
        };
        let result = self.fd.set_fpu(&fpu);
        result.map_err(refused("set floating-point registers"))?;
        self.set_one_reg(KVM_REG_S390_TODPR, state.todpr.into())?;
        self.set_one_reg(KVM_REG_S390_CPU_TIMER, state.cpu_timer)?;
        self.set_one_reg(KVM_REG_S390_CLOCK_COMP, state.clock_comparator)?;
        self.set_prefix(state.prefix);
        self.fd.sync_regs_mut().gprs = state.gprs;
        self.fd.set_sync_dirty_reg(KVM_SYNC_GPRS);
        self.set_psw(state.psw);
        Ok(())
    }

    fn inject_program(&mut self, code: u16) -> Result<()> {
        self.handle.inject(LocalInterrupt::Program(code))
    }

    fn reset(&mut self, kind: ResetKind) -> Result<()> {
        self.handle.gate.reset();
        let result = match kind {
            ResetKind::Normal => self.fd.normal_reset(),
            ResetKind::Initial => self.fd.initial_reset(),
            ResetKind::Clear => self.fd.clear_reset(),
        };
        result.map_err(refused(format!("reset CPU {}", self.address())))?;
        if kind != ResetKind::Normal {
            self.set_prefix(0);
            self.set_psw(Psw::default());
        }
        Ok(())
    }

    fn store_status(&mut self, addr: u64) -> Result<()> {
        let memory = &self.handle.vm.memory;
        let end = addr.checked_add(lowcore::SAVE_AREA_SIZE as u64);
        if end.is_none_or(|end| end > memory.size()) {
            return Err(Error::Invalid("status address: it is outside storage"));
        }
        let result = self.fd.store_status(addr);
        result.map_err(refused(format!("store status of CPU {}", self.address())))?;
        // The kernel does not know yet what was set since the last exit.
        let at =
            |field: lowcore::Field| addr as usize + usize::from(field.offset - lowcore::SAVE_AREA);
        let storage = memory.as_slice();
        storage
            .write_slice(&self.psw().to_bytes(), at(lowcore::SAVE_PSW))
            .and_then(|()| {
                let prefix = self.prefix().to_be_bytes();
                storage.write_slice(&prefix, at(lowcore::SAVE_PREFIX))
            })
            .map_err(refused("store the PSW"))
    }

    fn handle(&self) -> Arc<dyn VcpuHandle> {
        self.handle.clone()
    }
}
