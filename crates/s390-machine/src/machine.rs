// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine: what belongs to it, and the one way in for exits.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use s390_hypercall::{HypercallHandler, ProgramInterruption};
use s390_hypervisor::{Intercept, Psw, Vcpu, VcpuExit, VcpuHandle, Vm};
use s390_sclp::Sclp;
use vm_memory::GuestMemory;

use crate::fault::Fault;
use crate::orders::Mailbox;
use crate::watchdog::Watchdog;
use crate::{Error, MachineConfig, Outcome, Reboot, Result, SubsystemReset};

/// What a machine is put together from.
pub struct Parts<M> {
    /// What the guest can ask about.
    pub config: MachineConfig,
    /// Guest memory, as both the CPUs and the devices see it.
    pub memory: M,
    /// Takes the interruptions.
    pub vm: Arc<dyn Vm>,
    /// Answers service calls; shared with whoever feeds the console.
    pub sclp: Arc<Mutex<Sclp>>,
    /// Answers DIAGNOSE 0x500.
    pub hypercalls: Arc<dyn HypercallHandler + Send + Sync>,
    /// The devices' part of a subsystem reset.
    pub devices: Arc<dyn SubsystemReset + Send + Sync>,
    /// A handle for every CPU.
    pub cpus: Vec<Arc<dyn VcpuHandle>>,
}

/// A machine without its CPUs' threads: answers their exits, whichever backend they come from.
///
/// Shared by all CPU threads. Everything a guest can do with it is answered in the guest's
/// terms; an [`Error`] means that the host failed.
pub struct Machine<M> {
    pub(crate) config: MachineConfig,
    pub(crate) memory: M,
    pub(crate) vm: Arc<dyn Vm>,
    pub(crate) sclp: Arc<Mutex<Sclp>>,
    pub(crate) hypercalls: Arc<dyn HypercallHandler + Send + Sync>,
    pub(crate) devices: Arc<dyn SubsystemReset + Send + Sync>,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) watchdog: Watchdog,
    /// The CPU that was last stopped for waiting with interruptions disabled.
    pub(crate) halted: Mutex<Option<(u16, Psw)>>,
    /// CPUs are being stopped for a reset, which is no shutdown.
    pub(crate) resetting: AtomicBool,
}

/// What the machine knows of one CPU.
pub(crate) struct Cpu {
    pub handle: Arc<dyn VcpuHandle>,
    /// Orders that only the CPU's own thread can carry out.
    pub mailbox: Mailbox,
}

impl<M: GuestMemory> Machine<M> {
    /// Puts a machine together.
    pub fn new(parts: Parts<M>) -> Self {
        let cpu = |handle| Cpu {
            handle,
            mailbox: Mailbox::default(),
        };
        Machine {
            config: parts.config,
            memory: parts.memory,
            vm: parts.vm,
            sclp: parts.sclp,
            hypercalls: parts.hypercalls,
            devices: parts.devices,
            cpus: parts.cpus.into_iter().map(cpu).collect(),
            watchdog: Watchdog::default(),
            halted: Mutex::new(None),
            resetting: AtomicBool::new(false),
        }
    }

    /// Answers whatever [`Vcpu::run`] came back with. `vcpu` is the CPU that ran, and this its
    /// thread.
    ///
    /// # Errors
    ///
    /// The host failed, or the backend handed on an intercept that it should not.
    pub fn handle_exit(&self, vcpu: &mut dyn Vcpu, exit: VcpuExit) -> Result<Outcome> {
        let outcome = match exit {
            VcpuExit::Intercept(intercept) => self.handle(vcpu, intercept)?,
            VcpuExit::Reset(flags) => {
                Outcome::Reboot(Reboot::from_kvm_flags(flags, vcpu.address()))
            }
            VcpuExit::Interrupted => Outcome::Resume,
        };
        match self.serve_orders(vcpu)? {
            Some(stopped) if outcome == Outcome::Resume => Ok(stopped),
            _ => Ok(outcome),
        }
    }

    /// Answers an intercept of `vcpu`; [`handle_exit`](Self::handle_exit) does this and what
    /// else there is to an exit.
    ///
    /// # Errors
    ///
    /// The host failed, or the interception code is one of a backend's own business.
    pub fn handle(&self, vcpu: &mut dyn Vcpu, intercept: Intercept) -> Result<Outcome> {
        match intercept.code {
            Intercept::INSTRUCTION => self.instruction(vcpu, intercept),
            Intercept::OPERATION => {
                vcpu.inject_program(ProgramInterruption::OPERATION.0)?;
                Ok(Outcome::Resume)
            }
            Intercept::WAIT => self.disabled_wait(vcpu),
            Intercept::STOP => Ok(self.stopped()),
            Intercept::PROGRAM | Intercept::EXTERNAL_LOOP => Ok(Outcome::Crashed(vcpu.psw())),
            code => Err(Error::Intercept {
                code,
                ipa: intercept.ipa,
                ipb: intercept.ipb,
            }),
        }
    }

    /// Stops the guest's time, with that of its watchdog, until [`start_clock`](Self::start_clock):
    /// see [`Vm::stop_clock`].
    ///
    /// # Errors
    ///
    /// The backend failed.
    pub fn stop_clock(&self) -> Result<()> {
        self.watchdog.hold(Instant::now());
        Ok(self.vm.stop_clock()?)
    }

    /// Lets the guest's time go on from where it was stopped.
    ///
    /// # Errors
    ///
    /// The backend failed.
    pub fn start_clock(&self) -> Result<()> {
        self.watchdog.release(Instant::now());
        Ok(self.vm.start_clock()?)
    }

    fn instruction(&self, vcpu: &mut dyn Vcpu, intercept: Intercept) -> Result<Outcome> {
        match self.execute(vcpu, intercept) {
            Ok(outcome) => Ok(outcome),
            Err(Fault::Program(interruption)) => {
                vcpu.inject_program(interruption.0)?;
                Ok(Outcome::Resume)
            }
            Err(Fault::Translation(translation)) => {
                self.inject_translation(vcpu, translation)?;
                Ok(Outcome::Resume)
            }
            Err(Fault::Host(error)) => Err(error),
        }
    }

    /// The configuration that the machine was made with.
    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// The CPU with this address.
    pub(crate) fn cpu(&self, address: u16) -> Option<&Cpu> {
        self.cpus.iter().find(|cpu| cpu.handle.address() == address)
    }
}

impl<M> fmt::Debug for Machine<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("config", &self.config)
            .field("cpus", &self.cpus.len())
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for Parts<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("config", &self.config)
            .field("cpus", &self.cpus.len())
            .finish_non_exhaustive()
    }
}

/// Locks what no panic can leave half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
