// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The traits that both backends implement.

use std::sync::Arc;

use s390_extint::{ExternalInterrupt, Psw};

use crate::{LocalInterrupt, ResetKind, RunState, VcpuExit, VcpuState};

/// What a backend can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backend refused a call.
    #[error("cannot {action}")]
    Backend {
        /// What was asked, as a verb phrase: "create virtual CPU 0".
        action: String,
        /// Why it was refused.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The CPU must be stopped for this order.
    #[error("the CPU is not in the right state for this order")]
    IncorrectState,
    /// An argument is outside what the architecture allows.
    #[error("invalid {0}")]
    Invalid(&'static str),
}

/// The result of asking a backend.
pub type Result<T> = std::result::Result<T, Error>;

/// A virtual machine: memory that is already attached, and floating interruptions.
pub trait Vm: Send + Sync {
    /// Adds the CPU with this address; it is stopped, in the state after a clear reset.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: there is one with this address. Or the backend refused.
    fn create_vcpu(&self, address: u16) -> Result<Box<dyn Vcpu>>;

    /// Makes an external interruption pending for whichever CPU is enabled for it first:
    /// service signal (0x2401) and virtio (0x2603). Callable from any thread.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: such an interruption does not float. Or the backend refused: too many are
    /// pending.
    fn inject(&self, interrupt: ExternalInterrupt) -> Result<()>;

    /// Drops this interruption where it is pending, because what it speaks of is gone: a queue
    /// that was reset. The other pending ones are delivered as if nothing had happened. Nobody may
    /// [`inject`](Self::inject) it meanwhile; the CPUs may run.
    ///
    /// A backend whose interruptions cannot be taken back does nothing, which is the default: the
    /// guest then gets one that is late, as it may on real hardware.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: such an interruption does not float. Or the backend refused.
    fn retract(&self, interrupt: ExternalInterrupt) -> Result<()> {
        let _ = interrupt;
        Ok(())
    }

    /// Drops every pending floating interruption, as a subsystem reset does.
    ///
    /// # Errors
    ///
    /// The backend refused.
    fn clear_interrupts(&self) -> Result<()>;

    /// How many floating interruptions are pending; `None` from a backend that cannot tell, which
    /// is the default.
    ///
    /// # Errors
    ///
    /// The backend refused.
    fn pending_interrupts(&self) -> Result<Option<usize>> {
        Ok(None)
    }

    /// Stops the guest's time, as QEMU does for a machine that it stops: TOD clock, and with it
    /// clock comparators and CPU timers, stand still until [`start_clock`](Self::start_clock).
    /// A guest that was paused so misses no timer and does not see how long it took: its time of
    /// day is late from then on. To be called when no CPU runs; nothing happens when the clock is
    /// stopped already, or the backend has none of its own.
    ///
    /// # Errors
    ///
    /// The backend refused.
    fn stop_clock(&self) -> Result<()> {
        Ok(())
    }

    /// Lets the guest's time go on from where it was stopped; nothing happens if it was not.
    ///
    /// # Errors
    ///
    /// The backend refused.
    fn start_clock(&self) -> Result<()> {
        Ok(())
    }
}

/// A virtual CPU, owned by the thread that runs it.
pub trait Vcpu: Send {
    /// CPU address, as SIGP and STAP see it.
    fn address(&self) -> u16;

    /// Runs the guest until the host is needed. An enabled wait and the stopped state sleep
    /// inside; [`VcpuHandle::kick`] ends them early.
    ///
    /// # Errors
    ///
    /// The backend refused, or the CPU left the guest for a reason that it does not know.
    fn run(&mut self) -> Result<VcpuExit>;

    /// The PSW; after an instruction intercept it points past the instruction.
    fn psw(&self) -> Psw;

    /// Replaces the PSW.
    fn set_psw(&mut self, psw: Psw);

    /// Sets the condition code in the PSW.
    fn set_cc(&mut self, cc: u8) {
        let mut psw = self.psw();
        psw.set_cc(cc);
        self.set_psw(psw);
    }

    /// General register `n` (0 to 15).
    fn gpr(&self, n: u8) -> u64;

    /// Replaces general register `n` (0 to 15).
    fn set_gpr(&mut self, n: u8, value: u64);

    /// The prefix register.
    fn prefix(&self) -> u32;

    /// All of the CPU's state.
    ///
    /// # Errors
    ///
    /// The backend refused.
    fn state(&self) -> Result<VcpuState>;

    /// Replaces all of the CPU's state.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: the prefix is no multiple of 8 KiB in storage. Or the backend refused.
    fn set_state(&mut self, state: &VcpuState) -> Result<()>;

    /// A program interruption for the intercepted instruction: the old PSW is the present one
    /// (past the instruction), the length code that of the instruction.
    ///
    /// # Errors
    ///
    /// The backend refused.
    fn inject_program(&mut self, code: u16) -> Result<()>;

    /// Resets this CPU. It keeps its run state; use the handle to start or stop it.
    ///
    /// # Errors
    ///
    /// The backend refused.
    fn reset(&mut self, kind: ResetKind) -> Result<()>;

    /// Stores the CPU's status at absolute address `addr` in the layout of SIGP
    /// store-status-at-address (a 512-byte area whose first byte corresponds to 0x1200).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: the area is not in storage. Or the backend refused.
    fn store_status(&mut self, addr: u64) -> Result<()>;

    /// Instructions of the guest that completed since the CPU was made; `None` where the backend
    /// does not count them. One that caused a program interruption does not count.
    fn instructions(&self) -> Option<u64> {
        None
    }

    /// A handle for other threads.
    fn handle(&self) -> Arc<dyn VcpuHandle>;
}

/// What other threads may do to a CPU.
pub trait VcpuHandle: Send + Sync {
    /// CPU address.
    fn address(&self) -> u16;

    /// Makes a local interruption pending.
    ///
    /// # Errors
    ///
    /// [`Error::IncorrectState`]: the CPU must be stopped for it, or one that is pending must be taken
    /// first. [`Error::Invalid`]: the prefix is not in storage. Or the backend refused.
    fn inject(&self, interrupt: LocalInterrupt) -> Result<()>;

    /// Whether the CPU is stopped.
    fn run_state(&self) -> RunState;

    /// Starts or stops the CPU without an interruption (SIGP start, machine reset).
    ///
    /// # Errors
    ///
    /// The backend refused.
    fn set_run_state(&self, state: RunState) -> Result<()>;

    /// Whether an external call is pending (SIGP sense).
    fn external_call_pending(&self) -> bool;

    /// Makes [`Vcpu::run`] return [`VcpuExit::Interrupted`] soon, also out of a wait.
    fn kick(&self);
}
