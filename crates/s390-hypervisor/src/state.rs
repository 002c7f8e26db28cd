// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The state of a virtual CPU as plain data.

use s390_extint::Psw;

/// Everything a virtual CPU holds that a guest can see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VcpuState {
    /// Program status word.
    pub psw: Psw,
    /// General registers.
    pub gprs: [u64; 16],
    /// Access registers.
    pub acrs: [u32; 16],
    /// Control registers.
    pub crs: [u64; 16],
    /// Floating-point registers.
    pub fprs: [u64; 16],
    /// Floating-point-control register.
    pub fpc: u32,
    /// Prefix, a multiple of 8 KiB.
    pub prefix: u32,
    /// TOD programmable register.
    pub todpr: u32,
    /// CPU timer, in TOD units (2^-12 microseconds), as of the moment of reading.
    pub cpu_timer: u64,
    /// Clock comparator, in TOD units.
    pub clock_comparator: u64,
}

/// Which CPU reset (Principles of Operation, chapter 4, "Resets").
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// CPU reset: pending interruptions are dropped, registers stay.
    Normal,
    /// Initial CPU reset: also PSW, prefix, timers and control registers.
    Initial,
    /// Clear reset: also general, floating-point and access registers.
    Clear,
}

/// An interruption or order for one CPU.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LocalInterrupt {
    /// A program interruption with this code, for the instruction that was intercepted.
    Program(u16),
    /// Restart; starts a stopped CPU.
    Restart,
    /// Stop, keeping the registers; `store_status` first writes them to the lowcore.
    Stop {
        /// Store status at absolute address 0 plus prefix once stopped.
        store_status: bool,
    },
    /// External call from the CPU with this address.
    ExternalCall(u16),
    /// Emergency signal from the CPU with this address.
    EmergencySignal(u16),
    /// Set the prefix of a stopped CPU.
    SetPrefix(u32),
}

/// Whether a CPU runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Executing instructions or in an enabled wait.
    Operating,
    /// Stopped: waits for a start or restart order.
    Stopped,
}
