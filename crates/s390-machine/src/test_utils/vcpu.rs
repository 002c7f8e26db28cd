// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A CPU that runs nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use s390_hypervisor::{
    Error, LocalInterrupt, Psw, ResetKind, Result, RunState, Vcpu, VcpuExit, VcpuHandle, VcpuState,
};

use crate::machine::lock;

/// A CPU whose exits are made up and whose state is plain to see.
#[derive(Debug)]
pub struct FakeVcpu {
    /// The state.
    pub state: VcpuState,
    /// What [`Vcpu::run`] returns next; when empty, [`VcpuExit::Interrupted`].
    pub exits: VecDeque<VcpuExit>,
    /// Codes of the program interruptions that were injected.
    pub programs: Vec<u16>,
    /// Resets that were done.
    pub resets: Vec<ResetKind>,
    /// Addresses at which the status was stored.
    pub stored_status: Vec<u64>,
    /// The handle.
    pub handle: Arc<FakeHandle>,
    looked_at: AtomicUsize,
}

impl FakeVcpu {
    /// A CPU in the 64-bit supervisor state behind `handle`.
    pub fn new(handle: Arc<FakeHandle>) -> Self {
        FakeVcpu {
            state: VcpuState {
                psw: Psw::ipl(0x1_0004),
                ..VcpuState::default()
            },
            exits: VecDeque::new(),
            programs: Vec::new(),
            resets: Vec::new(),
            stored_status: Vec::new(),
            handle,
            looked_at: AtomicUsize::new(0),
        }
    }

    /// How often the whole state was asked for.
    pub fn looked_at(&self) -> usize {
        self.looked_at.load(Ordering::Relaxed)
    }
}

impl Vcpu for FakeVcpu {
    fn address(&self) -> u16 {
        self.handle.address
    }

    fn run(&mut self) -> Result<VcpuExit> {
        Ok(self.exits.pop_front().unwrap_or(VcpuExit::Interrupted))
    }

    fn psw(&self) -> Psw {
        self.state.psw
    }

    fn set_psw(&mut self, psw: Psw) {
        self.state.psw = psw;
    }

    fn gpr(&self, n: u8) -> u64 {
        self.state.gprs[usize::from(n)]
    }

    fn set_gpr(&mut self, n: u8, value: u64) {
        self.state.gprs[usize::from(n)] = value;
    }

    fn prefix(&self) -> u32 {
        self.state.prefix
    }

    fn state(&self) -> Result<VcpuState> {
        self.looked_at.fetch_add(1, Ordering::Relaxed);
        Ok(self.state.clone())
    }

    fn set_state(&mut self, state: &VcpuState) -> Result<()> {
        self.state = state.clone();
        Ok(())
    }

    fn inject_program(&mut self, code: u16) -> Result<()> {
        self.programs.push(code);
        Ok(())
    }

    fn reset(&mut self, kind: ResetKind) -> Result<()> {
        self.resets.push(kind);
        if kind != ResetKind::Normal {
            self.state.psw = Psw::default();
        }
        Ok(())
    }

    fn store_status(&mut self, addr: u64) -> Result<()> {
        self.stored_status.push(addr);
        Ok(())
    }

    fn handle(&self) -> Arc<dyn VcpuHandle> {
        self.handle.clone()
    }
}

/// The handle of a [`FakeVcpu`].
#[derive(Debug)]
pub struct FakeHandle {
    address: u16,
    run_state: Mutex<RunState>,
    injected: Mutex<Vec<LocalInterrupt>>,
    external_call_pending: AtomicBool,
    refuses: AtomicBool,
    kicks: AtomicUsize,
}

impl FakeHandle {
    /// The handle of a stopped CPU with this address.
    pub fn new(address: u16) -> Arc<Self> {
        Arc::new(FakeHandle {
            address,
            run_state: Mutex::new(RunState::Stopped),
            injected: Mutex::default(),
            external_call_pending: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            kicks: AtomicUsize::new(0),
        })
    }

    /// What was injected.
    pub fn injected(&self) -> Vec<LocalInterrupt> {
        lock(&self.injected).clone()
    }

    /// How often the CPU was kicked.
    pub fn kicks(&self) -> usize {
        self.kicks.load(Ordering::Relaxed)
    }

    /// Whether [`VcpuHandle::inject`] is to fail with an incorrect state.
    pub fn refuse_interrupts(&self, refuse: bool) {
        self.refuses.store(refuse, Ordering::Relaxed);
    }

    /// What [`VcpuHandle::external_call_pending`] is to say.
    pub fn set_external_call_pending(&self, pending: bool) {
        self.external_call_pending.store(pending, Ordering::Relaxed);
    }
}

impl VcpuHandle for FakeHandle {
    fn address(&self) -> u16 {
        self.address
    }

    fn inject(&self, interrupt: LocalInterrupt) -> Result<()> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(Error::IncorrectState);
        }
        lock(&self.injected).push(interrupt);
        Ok(())
    }

    fn run_state(&self) -> RunState {
        *lock(&self.run_state)
    }

    fn set_run_state(&self, state: RunState) -> Result<()> {
        *lock(&self.run_state) = state;
        Ok(())
    }

    fn external_call_pending(&self) -> bool {
        self.external_call_pending.load(Ordering::Relaxed)
    }

    fn kick(&self) {
        self.kicks.fetch_add(1, Ordering::Relaxed);
    }
}
