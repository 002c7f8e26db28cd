// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A reset of the machine in place, in which the threads of all CPUs take part.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use s390_cpu::Memory;
use s390_hypervisor::Vcpu;
use s390_machine::{Machine, Reboot, RebootKind};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::vm::Shared;
use crate::{Error, Result};

/// Brings the CPUs' threads together: for a reset, during which none may run and in which each
/// resets its own CPU, and for as long as the machine is paused.
#[derive(Debug)]
pub(crate) struct Rebooter {
    cpus: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The reset that everybody has to take part in.
    requested: Option<Reboot>,
    /// Threads that have arrived at the present meeting.
    arrived: usize,
    /// Meetings so far.
    meetings: u64,
    /// Threads wait here before they run their CPUs.
    paused: bool,
    /// Threads that do so.
    parked: usize,
    /// The threads shall end, and wait for nobody.
    stopped: bool,
}

/// Who comes last to a meeting does what has to be done once.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Meeting {
    /// All others wait for this thread's next meeting.
    Last,
    /// One of the others.
    Other,
    /// There will be no meeting any more.
    Cancelled,
}

impl Rebooter {
    pub(crate) fn new(cpus: usize) -> Self {
        Rebooter {
            cpus,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Asks every thread to take part in a reset. If there is one under way already, that one is
    /// enough.
    pub(crate) fn request(&self, machine: &Machine<Memory>, reboot: Reboot) -> Result<()> {
        let mut state = self.lock();
        state.requested.get_or_insert(reboot);
        // Still locked: the reset must not be over before its CPUs are stopped.
        machine.begin_reset()?;
        // Those that are held because of a pause have to take part.
        self.changed.notify_all();
        Ok(())
    }

    /// Takes part in the reset that was requested, if any, with the thread's CPU; returns whether
    /// there was one.
    pub(crate) fn take_part(&self, vcpu: &mut dyn Vcpu, shared: &Shared) -> Result<bool> {
        let Some(reboot) = self.lock().requested else {
            return Ok(false);
        };
        match self.meet() {
            Meeting::Cancelled => return Ok(true),
            Meeting::Last => {
                shared.machine.subsystem_reset()?;
                shared.clear_storage(reboot.kind)?;
            }
            Meeting::Other => {}
        }
        if self.meet() == Meeting::Cancelled {
            return Ok(true);
        }
        shared.machine.reset_cpu(vcpu, reboot)?;
        if vcpu.address() == reboot.cpu && matches!(reboot.kind, RebootKind::ReIpl { .. }) {
            shared.load_image(vcpu)?;
        }
        if self.meet() == Meeting::Last {
            self.lock().requested = None;
            shared.machine.start(reboot.cpu)?;
        }
        // Nobody looks for a request before it is gone.
        self.meet();
        Ok(true)
    }

    /// Holds every CPU before it runs on; `kick` makes those that run come here. Returns when
    /// all are held, and whether they are: not when they do not come within `timeout`, or the
    /// machine ends.
    pub(crate) fn pause(&self, kick: impl FnOnce(), timeout: Duration) -> bool {
        self.lock().paused = true;
        kick();
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| {
                state.paused && state.parked < self.cpus && !state.stopped
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.parked == self.cpus
    }

    /// Lets the CPUs run on.
    pub(crate) fn resume(&self) {
        self.lock().paused = false;
        self.changed.notify_all();
    }

    /// Whether the machine is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// Does what must not be done while the machine is paused, which it does not become meanwhile.
    pub(crate) fn unless_paused<R>(&self, body: impl FnOnce() -> R) -> Option<R> {
        let state = self.lock();
        (!state.paused).then(body)
    }

    /// Waits while the machine is paused, but not longer than until a reset is requested.
    pub(crate) fn park(&self) {
        let waits = |state: &mut State| state.paused && state.requested.is_none() && !state.stopped;
        let mut state = self.lock();
        if !waits(&mut state) {
            return;
        }
        state.parked += 1;
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, waits)
            .unwrap_or_else(PoisonError::into_inner);
        state.parked -= 1;
    }

    /// Ends all meetings.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Whether the threads shall end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for the threads of all CPUs.
    fn meet(&self) -> Meeting {
        let mut state = self.lock();
        if state.stopped {
            return Meeting::Cancelled;
        }
        state.arrived += 1;
        if state.arrived == self.cpus {
            state.arrived = 0;
            state.meetings += 1;
            self.changed.notify_all();
            return Meeting::Last;
        }
        let meeting = state.meetings;
        let state = self
            .changed
            .wait_while(state, |state| state.meetings == meeting && !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        match state.meetings == meeting {
            true => Meeting::Cancelled,
            false => Meeting::Other,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Loads the image and lets `vcpu`, which was reset and is stopped, begin with it.
    pub(crate) fn load_image(&self, vcpu: &mut dyn Vcpu) -> Result<()> {
        let boot = self.image.load(&*self.memory, self.ram_size)?;
        vcpu.set_psw(boot.psw());
        Ok(())
    }

    fn clear_storage(&self, kind: RebootKind) -> Result<()> {
        match kind {
            RebootKind::ReIpl { clear: true } => {
                clear(&*self.memory, self.ram_size).map_err(Error::GuestMemory)
            }
            _ => Ok(()),
        }
    }
}

/// Zeroes memory from 0 on. What is zero already is only read, so that memory that the guest
/// never touched stays unallocated.
fn clear(memory: &impl GuestMemory, size: u64) -> Result<(), vm_memory::GuestMemoryError> {
    const CHUNK: u64 = 64 << 10;
    let mut chunk = vec![0; CHUNK as usize];
    for start in (0..size).step_by(CHUNK as usize) {
        let chunk = &mut chunk[..CHUNK.min(size - start) as usize];
        memory.read_slice(chunk, GuestAddress(start))?;
        if chunk.iter().any(|&byte| byte != 0) {
            chunk.fill(0);
            memory.write_slice(chunk, GuestAddress(start))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use vm_memory::GuestMemoryMmap;

    use super::*;

    #[test]
    fn one_of_all_comes_last() {
        const CPUS: usize = 4;
        let rebooter = Rebooter::new(CPUS);
        let last = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CPUS {
                scope.spawn(|| {
                    for round in 0..1000 {
                        if rebooter.meet() == Meeting::Last {
                            last.fetch_add(1, Ordering::SeqCst);
                        }
                        assert_ne!(rebooter.meet(), Meeting::Cancelled);
                        assert_eq!(last.load(Ordering::SeqCst), round + 1);
                        rebooter.meet();
                    }
                });
            }
        });
        assert_eq!(last.into_inner(), 1000);
    }

    #[test]
    fn nobody_waits_for_a_thread_that_ended() {
        let rebooter = Rebooter::new(2);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| rebooter.meet());
            rebooter.stop();
            assert_eq!(waiting.join().unwrap(), Meeting::Cancelled);
        });
        assert_eq!(rebooter.meet(), Meeting::Cancelled);
    }

    #[test]
    fn a_pause_holds_all_cpus_until_it_ends() {
        const CPUS: usize = 3;
        let rebooter = Rebooter::new(CPUS);
        let ran = AtomicUsize::new(0);
        let second = Duration::from_secs(10);
        std::thread::scope(|scope| {
            for _ in 0..CPUS {
                scope.spawn(|| {
                    while !rebooter.is_stopped() {
                        rebooter.park();
                        ran.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for _ in 0..100 {
                assert!(rebooter.pause(|| {}, second));
                let before = ran.load(Ordering::SeqCst);
                std::thread::yield_now();
                assert_eq!(ran.load(Ordering::SeqCst), before);
                rebooter.resume();
            }
            assert!(rebooter.pause(|| {}, second));
            // Nobody is held when the machine ends.
            rebooter.stop();
        });
        assert!(!rebooter.pause(|| {}, second));
    }

    #[test]
    fn a_cpu_that_does_not_come_is_not_waited_for_without_end() {
        let rebooter = Rebooter::new(1);
        assert!(!rebooter.pause(|| {}, Duration::from_millis(1)));
        assert!(rebooter.is_paused());
    }

    #[test]
    fn a_reset_wakes_the_cpus_of_a_paused_machine() {
        let rebooter = Rebooter::new(1);
        // Before there is a thread: it would not stop here, and a real one comes again.
        rebooter.lock().paused = true;
        std::thread::scope(|scope| {
            let cpu = scope.spawn(|| rebooter.park());
            assert!(rebooter.pause(|| {}, Duration::from_secs(10)));
            rebooter.lock().requested = Some(Reboot {
                kind: RebootKind::LoadNormal,
                cpu: 0,
            });
            rebooter.changed.notify_all();
            cpu.join().unwrap();
        });
        assert!(rebooter.is_paused());
    }

    #[test]
    fn clears_what_is_not_clear() {
        let size = 3 << 20;
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), size)]).unwrap();
        for addr in [0, 1 << 20, (2 << 20) - 1, 2 << 20] {
            memory.write_obj(0xeeu8, GuestAddress(addr)).unwrap();
        }
        clear(&memory, 2 << 20).unwrap();
        for (addr, byte) in [(0, 0), (1 << 20, 0), ((2 << 20) - 1, 0), (2 << 20, 0xee)] {
            assert_eq!(memory.read_obj::<u8>(GuestAddress(addr)).unwrap(), byte);
        }
    }
}
