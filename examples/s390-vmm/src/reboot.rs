// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A reset of the machine in place, in which the threads of all CPUs take part.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use s390_cpu::Memory;
use s390_hypervisor::Vcpu;
use s390_machine::{Machine, Reboot, RebootKind};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::vm::Shared;
use crate::{Error, Result};

/// Brings the CPUs' threads together for a reset: none may run while the machine is reset, and
/// each resets its own CPU.
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
        log::info!("the guest resets the machine: {:?}", reboot.kind);
        self.lock().requested.get_or_insert(reboot);
        Ok(machine.begin_reset()?)
    }

    /// Takes part in the reset that was requested, if any, with the thread's CPU.
    pub(crate) fn take_part(&self, vcpu: &mut dyn Vcpu, shared: &Shared) -> Result<()> {
        let Some(reboot) = self.lock().requested else {
            return Ok(());
        };
        match self.meet() {
            Meeting::Cancelled => return Ok(()),
            Meeting::Last => {
                shared.machine.subsystem_reset()?;
                shared.clear_storage(reboot.kind)?;
            }
            Meeting::Other => {}
        }
        if self.meet() == Meeting::Cancelled {
            return Ok(());
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
        Ok(())
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
