// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The backend: virtual machine and virtual CPUs behind the traits of `s390-hypervisor`.

use std::sync::Arc;

use s390_extint::lowcore;
use s390_extint::{ExternalInterrupt, Psw};
use s390_hypervisor::{
    Error as BackendError, LocalInterrupt, ResetKind, Result as BackendResult, RunState, Vcpu,
    VcpuExit, VcpuHandle, VcpuState, Vm,
};

use crate::access::{Memory, Ram};
use crate::cpu::Cpu;
use crate::engine::{Engine, Stop};
use crate::interrupt::NoLowcore;
use crate::model::CpuModel;
use crate::shared::{Attention, CpuShared, Floating};
use crate::timing::{Clock, Time};

/// Why a virtual machine cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The software CPU takes guest memory as one piece.
    #[error("guest memory is not one region that starts at address 0")]
    MemoryShape,
    /// A CPU needs its prefix area.
    #[error("guest memory of {0} bytes has no room for the prefix area of 8 KiB")]
    MemorySize(u64),
    /// Storage keys, and what is known of code in storage, need memory of the host.
    #[error("the host has no room for what is to be known of {0} bytes of guest memory")]
    Bookkeeping(u64),
}

/// What a virtual machine is like.
#[derive(Clone, Debug)]
pub struct Config {
    /// The model of every CPU.
    pub model: CpuModel,
    /// Where the time comes from.
    pub time: Time,
}

impl Default for Config {
    /// Every facility, and the host's time.
    fn default() -> Self {
        Config {
            model: CpuModel::max(),
            time: Time::Host,
        }
    }
}

/// A virtual machine whose CPUs are software.
///
/// Each CPU runs on the thread that calls its [`Vcpu::run`].
#[derive(Debug)]
pub struct SoftVm {
    ram: Ram,
    model: CpuModel,
    clock: Arc<Clock>,
    floating: Arc<Floating>,
}

impl SoftVm {
    /// A machine with all of `memory` as its storage.
    ///
    /// # Errors
    ///
    /// [`Error::MemoryShape`], [`Error::MemorySize`], [`Error::Bookkeeping`]
    pub fn new(memory: &Memory, config: Config) -> Result<Self, Error> {
        let ram = Ram::new(memory)?;
        if ram.size() < lowcore::SIZE as u64 {
            return Err(Error::MemorySize(ram.size()));
        }
        Ok(SoftVm {
            ram,
            model: config.model,
            clock: Arc::new(Clock::new(config.time)),
            floating: Arc::default(),
        })
    }

    /// Adds the CPU with this address, as [`Vm::create_vcpu`] does, with its type known.
    ///
    /// # Errors
    ///
    /// [`BackendError::Invalid`] if there is such a CPU already.
    pub fn new_vcpu(&self, address: u16) -> BackendResult<SoftVcpu> {
        let cpu = Cpu::new(
            address,
            self.model,
            self.ram.clone(),
            self.clock.clone(),
            self.floating.clone(),
        );
        if !self.floating.add_cpu(address, cpu.shared.clone()) {
            return Err(BackendError::Invalid("CPU address: it is taken"));
        }
        let handle = Arc::new(Handle {
            address,
            storage: self.ram.size(),
            shared: cpu.shared.clone(),
        });
        Ok(SoftVcpu {
            engine: Engine::new(cpu),
            handle,
        })
    }
}

impl Vm for SoftVm {
    fn create_vcpu(&self, address: u16) -> BackendResult<Box<dyn Vcpu>> {
        Ok(Box::new(self.new_vcpu(address)?))
    }

    fn inject(&self, interrupt: ExternalInterrupt) -> BackendResult<()> {
        self.floating
            .push(interrupt)
            .map_err(|e| BackendError::Backend {
                action: format!("make external interruption {:#06x} pending", interrupt.code),
                source: Box::new(e),
            })
    }

    fn retract(&self, interrupt: ExternalInterrupt) -> BackendResult<()> {
        self.floating.remove(interrupt);
        Ok(())
    }

    fn clear_interrupts(&self) -> BackendResult<()> {
        self.floating.clear();
        Ok(())
    }

    fn pending_interrupts(&self) -> BackendResult<Option<usize>> {
        Ok(Some(self.floating.len()))
    }

    fn stop_clock(&self) -> BackendResult<()> {
        self.clock.stop();
        Ok(())
    }

    fn start_clock(&self) -> BackendResult<()> {
        self.clock.start();
        Ok(())
    }
}

/// A CPU in software.
pub struct SoftVcpu {
    engine: Engine,
    handle: Arc<Handle>,
}

impl std::fmt::Debug for SoftVcpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.engine.cpu.fmt(f)
    }
}

impl Drop for SoftVcpu {
    fn drop(&mut self) {
        let cpu = &self.engine.cpu;
        cpu.ram.code().unlisten(&cpu.shared);
        cpu.floating.remove_cpu(cpu.address);
    }
}

impl SoftVcpu {
    /// Instructions that completed since the CPU was made, which this backend always counts.
    pub fn instructions(&self) -> u64 {
        self.cpu().instructions
    }

    fn cpu(&self) -> &Cpu {
        &self.engine.cpu
    }

    fn cpu_mut(&mut self) -> &mut Cpu {
        &mut self.engine.cpu
    }
}

impl Vcpu for SoftVcpu {
    fn address(&self) -> u16 {
        self.cpu().address
    }

    fn run(&mut self) -> BackendResult<VcpuExit> {
        match self.engine.run() {
            Stop::Intercept(intercept) => Ok(VcpuExit::Intercept(intercept)),
            Stop::Kicked => Ok(VcpuExit::Interrupted),
            Stop::Failed(e) => Err(BackendError::Backend {
                action: format!("run CPU {}", self.address()),
                source: Box::new(e),
            }),
        }
    }

    fn psw(&self) -> Psw {
        self.cpu().psw()
    }

    fn set_psw(&mut self, psw: Psw) {
        self.cpu_mut().set_psw(psw);
    }

    fn gpr(&self, n: u8) -> u64 {
        self.cpu().g(n & 15)
    }

    fn set_gpr(&mut self, n: u8, value: u64) {
        self.cpu_mut().set_g(n & 15, value);
    }

    fn prefix(&self) -> u32 {
        self.cpu().prefix
    }

    fn state(&self) -> BackendResult<VcpuState> {
        Ok(self.cpu().state())
    }

    fn set_state(&mut self, state: &VcpuState) -> BackendResult<()> {
        check_prefix(state.prefix, self.cpu().ram.size())?;
        self.cpu_mut().set_state(state);
        Ok(())
    }

    fn inject_program(&mut self, code: u16) -> BackendResult<()> {
        self.handle.inject(LocalInterrupt::Program(code))
    }

    fn reset(&mut self, kind: ResetKind) -> BackendResult<()> {
        self.engine.reset(kind);
        Ok(())
    }

    fn store_status(&mut self, addr: u64) -> BackendResult<()> {
        if !self
            .cpu()
            .ram
            .contains(addr, lowcore::SAVE_AREA_SIZE as u64)
        {
            return Err(BackendError::Invalid(
                "status address: it is outside storage",
            ));
        }
        self.cpu_mut().store_status(addr);
        Ok(())
    }

    fn instructions(&self) -> Option<u64> {
        Some(self.instructions())
    }

    fn handle(&self) -> Arc<dyn VcpuHandle> {
        self.handle.clone()
    }
}

/// What other threads may do to a CPU.
#[derive(Debug)]
struct Handle {
    address: u16,
    /// Size of storage, which a prefix area must be in.
    storage: u64,
    shared: Arc<CpuShared>,
}

fn check_prefix(prefix: u32, storage: u64) -> BackendResult<()> {
    if prefix & 0x8000_1fff != 0 || u64::from(prefix) + lowcore::SIZE as u64 > storage {
        return Err(BackendError::Invalid("prefix"));
    }
    Ok(())
}

impl VcpuHandle for Handle {
    fn address(&self) -> u16 {
        self.address
    }

    fn inject(&self, interrupt: LocalInterrupt) -> BackendResult<()> {
        if let LocalInterrupt::SetPrefix(prefix) = interrupt {
            check_prefix(prefix, self.storage)?;
        }
        let bits = Attention::INTERRUPTION | Attention::ORDER;
        self.shared.order(bits, |o| {
            match interrupt {
                LocalInterrupt::Program(code) => o.program = Some(code),
                LocalInterrupt::Restart => o.restart = true,
                LocalInterrupt::Stop { store_status } => {
                    o.stop = Some(o.stop == Some(true) || store_status);
                }
                LocalInterrupt::ExternalCall(_) if o.external_call.is_some() => {
                    return Err(BackendError::IncorrectState)
                }
                LocalInterrupt::ExternalCall(cpu) => o.external_call = Some(cpu),
                LocalInterrupt::EmergencySignal(cpu) => drop(o.emergency.insert(cpu)),
                LocalInterrupt::SetPrefix(_) if o.run_state != RunState::Stopped => {
                    return Err(BackendError::IncorrectState)
                }
                LocalInterrupt::SetPrefix(prefix) => o.set_prefix = Some(prefix),
            }
            Ok(())
        })
    }

    fn run_state(&self) -> RunState {
        self.shared.with_orders(|o| o.run_state)
    }

    fn set_run_state(&self, state: RunState) -> BackendResult<()> {
        self.shared.order(Attention::ORDER, |o| {
            o.run_state = state;
            o.stop = None;
        });
        Ok(())
    }

    fn external_call_pending(&self) -> bool {
        self.shared.with_orders(|o| o.external_call.is_some())
    }

    fn kick(&self) {
        self.shared.call(Attention::KICK);
    }
}

impl Cpu {
    pub(crate) fn state(&self) -> VcpuState {
        VcpuState {
            psw: self.psw(),
            gprs: std::array::from_fn(|n| self.g(n as u8)),
            acrs: self.acrs,
            crs: self.crs,
            fprs: self.fprs,
            fpc: self.fpc,
            prefix: self.prefix,
            todpr: self.todpr,
            cpu_timer: self.timers.cpu_timer(),
            clock_comparator: self.timers.comparator,
        }
    }

    fn set_state(&mut self, state: &VcpuState) {
        for (n, &value) in (0..).zip(&state.gprs) {
            self.set_g(n, value);
        }
        self.acrs = state.acrs;
        self.crs = state.crs;
        self.fprs = state.fprs;
        self.fpc = state.fpc;
        self.todpr = state.todpr;
        self.timers.set_cpu_timer(state.cpu_timer);
        self.timers.comparator = state.clock_comparator;
        self.set_prefix(state.prefix);
        self.set_psw(state.psw);
    }

    /// Stores the status at absolute address `addr`, which has room for it.
    fn store_status(&mut self, addr: u64) {
        let state = self.state();
        let mut area = [0; lowcore::SAVE_AREA_SIZE];
        self.ram.read(addr, &mut area);
        let mut put = |field: lowcore::Field, at: u16, bytes: &[u8]| {
            let from = usize::from(field.offset - lowcore::SAVE_AREA + at);
            area[from..from + bytes.len()].copy_from_slice(bytes);
        };
        for n in 0..16_u16 {
            let r = usize::from(n);
            put(lowcore::SAVE_FPRS, n * 8, &state.fprs[r].to_be_bytes());
            put(lowcore::SAVE_GPRS, n * 8, &state.gprs[r].to_be_bytes());
            put(lowcore::SAVE_ACRS, n * 4, &state.acrs[r].to_be_bytes());
            put(lowcore::SAVE_CRS, n * 8, &state.crs[r].to_be_bytes());
        }
        put(lowcore::SAVE_PSW, 0, &state.psw.to_bytes());
        put(lowcore::SAVE_PREFIX, 0, &state.prefix.to_be_bytes());
        put(lowcore::SAVE_FPC, 0, &state.fpc.to_be_bytes());
        put(lowcore::SAVE_TODPR, 0, &state.todpr.to_be_bytes());
        put(lowcore::SAVE_CPU_TIMER, 0, &state.cpu_timer.to_be_bytes());
        let comparator = state.clock_comparator.to_be_bytes();
        put(lowcore::SAVE_CLOCK_COMPARATOR, 0, &comparator[..7]);
        self.ram.write(addr, &area);
    }

    /// Stores the status where SIGP stop-and-store-status puts it: in the CPU's own lowcore.
    pub(crate) fn store_status_in_lowcore(&mut self) -> Result<(), NoLowcore> {
        let addr = u64::from(self.prefix) + u64::from(lowcore::SAVE_AREA);
        if !self.ram.contains(addr, lowcore::SAVE_AREA_SIZE as u64) {
            return Err(NoLowcore(self.prefix));
        }
        self.store_status(addr);
        Ok(())
    }
}
