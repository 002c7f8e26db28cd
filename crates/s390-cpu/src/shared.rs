// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What other threads may touch of a CPU, and of the interruptions that no CPU owns.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use s390_extint::{Error, ExternalInterrupt, PendingQueue, Pushed};
use s390_hypervisor::RunState;

use crate::code_pages::StalePages;

/// Reasons for a CPU to look up from its blocks: one bit each. They say "look"; what there is
/// to see is kept elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Attention(AtomicU32);

impl Attention {
    /// Decoded instructions were overwritten.
    pub(crate) const STALE_CODE: u32 = 1;
    /// An interruption became pending, for this CPU or floating.
    pub(crate) const INTERRUPTION: u32 = 2;
    /// `run` shall return.
    pub(crate) const KICK: u32 = 4;
    /// Start, stop, or another order that changes the run state.
    pub(crate) const ORDER: u32 = 8;
    /// Another CPU changed translations or storage keys.
    pub(crate) const FLUSH: u32 = 16;

    pub(crate) fn raise(&self, bits: u32) {
        self.0.fetch_or(bits, Ordering::Release);
    }

    /// All bits that are set, which are cleared.
    pub(crate) fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Acquire)
    }

    /// Cheap test between two blocks.
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// What was asked of one CPU and not done yet.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) run_state: RunState,
    /// A program interruption for the instruction that was intercepted.
    pub(crate) program: Option<u16>,
    /// Addresses of the CPUs that sent an emergency signal.
    pub(crate) emergency: BTreeSet<u16>,
    /// Address of the CPU that sent an external call.
    pub(crate) external_call: Option<u16>,
    pub(crate) restart: bool,
    /// Stop; whether to store the status then.
    pub(crate) stop: Option<bool>,
    pub(crate) set_prefix: Option<u32>,
}

impl Default for Orders {
    /// Those of a CPU that was just made: stopped, and nothing pending.
    fn default() -> Self {
        Orders {
            run_state: RunState::Stopped,
            program: None,
            emergency: BTreeSet::new(),
            external_call: None,
            restart: false,
            stop: None,
            set_prefix: None,
        }
    }
}

impl Orders {
    /// Drops everything that is pending, as a CPU reset does.
    pub(crate) fn clear(&mut self) {
        *self = Orders {
            run_state: self.run_state,
            ..Default::default()
        };
    }

    /// Whether the CPU must look at them before it goes on.
    fn any(&self) -> bool {
        self.run_state == RunState::Stopped
            || self.program.is_some()
            || !self.emergency.is_empty()
            || self.external_call.is_some()
            || self.restart
            || self.stop.is_some()
            || self.set_prefix.is_some()
    }
}

/// Flushes of the translation lookaside buffer that other CPUs asked for. They wait until it is
/// done, but only for a CPU that is running: the others do it before they go on.
#[derive(Debug, Default)]
pub(crate) struct Flushes {
    wanted: AtomicU64,
    done: AtomicU64,
    running: AtomicBool,
}

impl Flushes {
    /// The CPU starts to use its translations.
    pub(crate) fn enter(&self) {
        self.running.store(true, Ordering::SeqCst);
    }

    /// The CPU will not use its translations until it entered again.
    pub(crate) fn leave(&self) {
        self.running.store(false, Ordering::SeqCst);
    }

    /// Asks for a flush, and returns its number.
    fn want(&self) -> u64 {
        self.wanted.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Whether the CPU may still use what flush `number` shall drop.
    pub(crate) fn is_outstanding(&self, number: u64) -> bool {
        self.running.load(Ordering::SeqCst) && self.done.load(Ordering::SeqCst) < number
    }

    /// The number of the newest flush, if it is not done.
    pub(crate) fn due(&self) -> Option<u64> {
        let wanted = self.wanted.load(Ordering::SeqCst);
        (wanted != self.done.load(Ordering::Relaxed)).then_some(wanted)
    }

    pub(crate) fn set_done(&self, number: u64) {
        self.done.store(number, Ordering::SeqCst);
    }
}

/// The part of a CPU that other threads hold on to.
#[derive(Debug)]
pub(crate) struct CpuShared {
    pub(crate) attention: Attention,
    pub(crate) stale_pages: StalePages,
    pub(crate) flushes: Flushes,
    orders: Mutex<Orders>,
    /// [`Orders::any`] as of the last change.
    any_orders: AtomicBool,
    wake: Condvar,
}

impl Default for CpuShared {
    fn default() -> Self {
        CpuShared {
            attention: Attention::default(),
            stale_pages: StalePages::default(),
            flushes: Flushes::default(),
            orders: Mutex::default(),
            any_orders: AtomicBool::new(true),
            wake: Condvar::new(),
        }
    }
}

impl CpuShared {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Looks at the orders or changes them. The CPU itself does it this way; others use
    /// [`CpuShared::order`], which also gets its attention.
    pub(crate) fn with_orders<T>(&self, f: impl FnOnce(&mut Orders) -> T) -> T {
        let mut orders = self.lock();
        let result = f(&mut orders);
        self.any_orders.store(orders.any(), Ordering::Release);
        result
    }

    /// Changes the orders and gets the CPU's attention, even out of a wait.
    pub(crate) fn order<T>(&self, bits: u32, f: impl FnOnce(&mut Orders) -> T) -> T {
        let result = self.with_orders(f);
        self.call(bits);
        result
    }

    /// Whether there are orders, without waiting for the lock.
    #[inline]
    pub(crate) fn has_orders(&self) -> bool {
        self.any_orders.load(Ordering::Acquire)
    }

    /// Gets the CPU's attention, even out of a wait.
    pub(crate) fn call(&self, bits: u32) {
        self.attention.raise(bits);
        // A CPU on its way into the wait looked at its attention under this lock.
        drop(self.lock());
        self.wake.notify_all();
    }

    /// Sleeps until somebody wants attention, or for this long.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        let orders = self.lock();
        let idle = |_: &mut Orders| !self.attention.any();
        match timeout {
            None => drop(self.wake.wait_while(orders, idle)),
            Some(timeout) => drop(self.wake.wait_timeout_while(orders, timeout, idle)),
        }
    }
}

/// Interruptions for whichever CPU is enabled first, and the CPUs to tell.
#[derive(Debug, Default)]
pub(crate) struct Floating {
    queue: Mutex<PendingQueue>,
    any: AtomicBool,
    cpus: Mutex<Vec<(u16, Arc<CpuShared>)>>,
}

impl Floating {
    fn with_queue<T>(&self, f: impl FnOnce(&mut PendingQueue) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(|e| e.into_inner());
        let result = f(&mut queue);
        self.any.store(!queue.is_empty(), Ordering::Release);
        result
    }

    fn cpus(&self) -> MutexGuard<'_, Vec<(u16, Arc<CpuShared>)>> {
        self.cpus.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds a CPU; `false` if the address is taken.
    pub(crate) fn add_cpu(&self, address: u16, cpu: Arc<CpuShared>) -> bool {
        let mut cpus = self.cpus();
        let free = cpus.iter().all(|(taken, _)| *taken != address);
        if free {
            cpus.push((address, cpu));
        }
        free
    }

    pub(crate) fn remove_cpu(&self, address: u16) {
        self.cpus().retain(|(taken, _)| *taken != address);
    }

    /// Asks every CPU but this one to flush its translations; returns whom, and which flush.
    pub(crate) fn want_flushes(&self, but: &CpuShared) -> Vec<(Arc<CpuShared>, u64)> {
        let mut wanted = Vec::new();
        for (_, cpu) in self
            .cpus()
            .iter()
            .filter(|(_, cpu)| !std::ptr::eq(&**cpu, but))
        {
            wanted.push((cpu.clone(), cpu.flushes.want()));
            cpu.attention.raise(Attention::FLUSH);
        }
        wanted
    }

    /// Makes an interruption pending and wakes whoever may take it.
    pub(crate) fn push(&self, interrupt: ExternalInterrupt) -> Result<(), Error> {
        if self.with_queue(|q| q.push(interrupt))? == Pushed::Queued {
            for (_, cpu) in self.cpus().iter() {
                cpu.call(Attention::INTERRUPTION);
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self, interrupt: ExternalInterrupt) {
        self.with_queue(|q| q.remove(|pending| *pending == interrupt));
    }

    pub(crate) fn clear(&self) {
        self.with_queue(PendingQueue::clear);
    }

    pub(crate) fn len(&self) -> usize {
        self.with_queue(|q| q.len())
    }

    /// Takes the next one that a CPU with this PSW mask and control register 0 is enabled for.
    #[inline]
    pub(crate) fn pop(&self, psw_mask: u64, cr0: u64) -> Option<ExternalInterrupt> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.with_queue(|q| q.pop_enabled(psw_mask, cr0))
    }
}

#[cfg(test)]
mod tests {
    use s390_extint::VirtioEvent;

    use super::*;

    #[test]
    fn an_interruption_can_be_taken_back() {
        let floating = Floating::default();
        let of = |token| ExternalInterrupt::virtio(VirtioEvent::Vring { token });
        floating.push(of(16)).unwrap();
        floating.push(of(32)).unwrap();
        assert_eq!(floating.len(), 2);
        floating.remove(of(16));
        assert_eq!(floating.len(), 1);
        assert_eq!(floating.pop(!0, !0), Some(of(32)));
        assert_eq!(floating.pop(!0, !0), None);
        floating.push(of(16)).unwrap();
        floating.remove(of(16));
        assert!(!floating.any.load(Ordering::Acquire));
    }
}
