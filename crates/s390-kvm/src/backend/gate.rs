// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where a CPU passes on its way into the guest, and where others leave what they want of it.
//!
//! It is also where a stopped CPU sleeps: KVM does not run one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use s390_hypervisor::RunState;

/// What calls a CPU's thread out of the guest.
pub(crate) trait Doorbell {
    /// The next entry is to succeed.
    fn silence(&self);

    /// `thread` is to leave the guest, or not to enter it. It is between [`Gate::next`] and
    /// [`Gate::left`].
    fn ring(&self, thread: libc::pthread_t);
}

/// What others want of a CPU.
#[derive(Debug)]
pub(crate) struct Orders {
    pub run_state: RunState,
    kicked: bool,
    pub set_prefix: Option<u32>,
    /// Stop; whether to store the status then.
    pub stop: Option<bool>,
    pub restart: bool,
    /// A program interruption for the intercepted instruction.
    pub program: Option<u16>,
    /// Threads that want the CPU to stay outside for a moment.
    pauses: u32,
    /// The CPU's thread, while it is in the guest or about to be.
    inside: Option<libc::pthread_t>,
    /// It was called since it went in.
    called: bool,
}

/// What a CPU has to do next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Go into the guest, then call [`Gate::left`].
    Enter,
    /// Go back to the caller.
    Kicked,
    /// Tell the kernel of the new run state.
    Apply(RunState),
    /// Change the prefix.
    SetPrefix(u32),
    /// The run state is "stopped" now.
    Stop { store_status: bool, was: RunState },
    /// Make a restart interruption pending.
    Restart,
    /// Make a program interruption pending.
    Program(u16),
}

/// The gate of one CPU.
#[derive(Debug)]
pub(crate) struct Gate<D> {
    orders: Mutex<Orders>,
    changed: Condvar,
    doorbell: D,
}

impl<D: Doorbell> Gate<D> {
    /// That of a stopped CPU.
    pub(crate) fn new(doorbell: D) -> Self {
        Gate {
            orders: Mutex::new(Orders {
                run_state: RunState::Stopped,
                kicked: false,
                set_prefix: None,
                stop: None,
                restart: false,
                program: None,
                pauses: 0,
                inside: None,
                called: false,
            }),
            changed: Condvar::new(),
            doorbell,
        }
    }

    /// What the CPU has to do next, `applied` being the run state that the kernel knows of. Sleeps
    /// as long as that is nothing.
    pub(crate) fn next(&self, applied: RunState) -> Turn {
        let mut orders = self.lock();
        loop {
            if let Some(turn) = orders.take(applied) {
                return turn;
            }
            if orders.run_state == RunState::Operating && orders.pauses == 0 {
                break;
            }
            orders = self.wait(orders);
        }
        self.doorbell.silence();
        orders.called = false;
        // SAFETY: no argument, cannot fail.
        orders.inside = Some(unsafe { libc::pthread_self() });
        Turn::Enter
    }

    /// The CPU is out of the guest again; true if it was called.
    pub(crate) fn left(&self) -> bool {
        let mut orders = self.lock();
        orders.inside = None;
        self.changed.notify_all();
        orders.called
    }

    /// Looks at the orders, on no account to change them.
    pub(crate) fn look<T>(&self, f: impl FnOnce(&Orders) -> T) -> T {
        f(&self.lock())
    }

    /// Changes the orders and calls the CPU.
    pub(crate) fn order<T>(&self, f: impl FnOnce(&mut Orders) -> T) -> T {
        let mut orders = self.lock();
        let result = f(&mut orders);
        self.call(&mut orders);
        result
    }

    /// Makes the CPU go back to its caller.
    pub(crate) fn kick(&self) {
        self.order(|orders| orders.kicked = true);
    }

    /// Drops what is pending, as a CPU reset does.
    pub(crate) fn reset(&self) {
        self.order(|orders| {
            orders.set_prefix = None;
            orders.stop = None;
            orders.restart = false;
            orders.program = None;
        });
    }

    /// Keeps the CPU outside the guest until the guard is dropped.
    pub(crate) fn pause(&self) -> Pause<'_, D> {
        let mut orders = self.lock();
        orders.pauses += 1;
        self.call(&mut orders);
        while orders.inside.is_some() {
            orders = self.wait(orders);
        }
        Pause(self)
    }

    fn call(&self, orders: &mut Orders) {
        if let Some(thread) = orders.inside {
            orders.called = true;
            self.doorbell.ring(thread);
        }
        self.changed.notify_all();
    }

    fn wait<'a>(&self, orders: MutexGuard<'a, Orders>) -> MutexGuard<'a, Orders> {
        self.changed
            .wait(orders)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A CPU outside the guest, see [`Gate::pause`].
pub(crate) struct Pause<'a, D: Doorbell>(&'a Gate<D>);

impl<D: Doorbell> Drop for Pause<'_, D> {
    fn drop(&mut self) {
        self.0.lock().pauses -= 1;
        self.0.changed.notify_all();
    }
}

impl Orders {
    /// Takes the next order, in the order in which a CPU can carry them out.
    fn take(&mut self, applied: RunState) -> Option<Turn> {
        if std::mem::take(&mut self.kicked) {
            return Some(Turn::Kicked);
        }
        if let Some(prefix) = self.set_prefix.take() {
            return Some(Turn::SetPrefix(prefix));
        }
        if let Some(store_status) = self.stop.take() {
            let was = std::mem::replace(&mut self.run_state, RunState::Stopped);
            return Some(Turn::Stop { store_status, was });
        }
        if std::mem::take(&mut self.restart) {
            self.run_state = RunState::Operating;
            return Some(Turn::Restart);
        }
        if self.run_state != applied {
            return Some(Turn::Apply(self.run_state));
        }
        match self.run_state {
            RunState::Operating => self.program.take().map(Turn::Program),
            RunState::Stopped => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use RunState::{Operating, Stopped};

    /// Counts, and is a guest that runs until it is called.
    #[derive(Debug, Default)]
    struct Bell(AtomicU32);

    impl Doorbell for Bell {
        fn silence(&self) {
            self.0.store(0, Ordering::SeqCst);
        }

        fn ring(&self, _: libc::pthread_t) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn gate(run_state: RunState) -> Gate<Bell> {
        let gate = Gate::new(Bell::default());
        gate.order(|orders| orders.run_state = run_state);
        gate
    }

    /// Runs the guest until somebody calls.
    fn guest(gate: &Gate<Bell>) -> bool {
        while gate.doorbell.0.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        gate.left()
    }

    #[test]
    fn the_kernel_hears_of_a_run_state_before_the_guest_runs() {
        let gate = gate(Operating);
        assert_eq!(gate.next(Stopped), Turn::Apply(Operating));
        assert_eq!(gate.next(Operating), Turn::Enter);
        assert!(!gate.left());
    }

    #[test]
    fn a_kick_is_seen_once_and_even_by_a_stopped_cpu() {
        let gate = gate(Stopped);
        gate.kick();
        gate.kick();
        assert_eq!(gate.next(Stopped), Turn::Kicked);
        gate.order(|orders| orders.run_state = Operating);
        assert_eq!(gate.next(Operating), Turn::Enter);
    }

    #[test]
    fn whoever_is_outside_is_not_called() {
        let gate = gate(Operating);
        gate.kick();
        assert_eq!(gate.doorbell.0.load(Ordering::SeqCst), 0);
        assert_eq!(gate.next(Operating), Turn::Kicked);
        assert_eq!(gate.next(Operating), Turn::Enter);
        gate.kick();
        assert_eq!(gate.doorbell.0.load(Ordering::SeqCst), 1);
        assert!(gate.left());
        gate.kick();
        assert_eq!(gate.doorbell.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_kick_ends_guest_and_sleep() {
        for state in [Operating, Stopped] {
            let gate = gate(state);
            std::thread::scope(|scope| {
                let cpu = scope.spawn(|| loop {
                    match gate.next(state) {
                        Turn::Enter => assert!(guest(&gate)),
                        turn => return turn,
                    }
                });
                gate.kick();
                assert_eq!(cpu.join().unwrap(), Turn::Kicked);
            });
        }
    }

    #[test]
    fn stop_then_restart_leaves_the_cpu_operating() {
        let gate = gate(Operating);
        gate.order(|orders| (orders.restart, orders.stop) = (true, Some(true)));
        let stop = Turn::Stop {
            store_status: true,
            was: Operating,
        };
        assert_eq!(gate.next(Operating), stop);
        assert_eq!(gate.look(|orders| orders.run_state), Stopped);
        assert_eq!(gate.next(Stopped), Turn::Restart);
        assert_eq!(gate.next(Stopped), Turn::Apply(Operating));
        assert_eq!(gate.next(Operating), Turn::Enter);
    }

    #[test]
    fn a_program_interruption_waits_for_the_start() {
        let gate = gate(Stopped);
        gate.order(|orders| orders.program = Some(6));
        gate.kick();
        assert_eq!(gate.next(Stopped), Turn::Kicked);
        gate.order(|orders| orders.run_state = Operating);
        assert_eq!(gate.next(Operating), Turn::Program(6));
        assert_eq!(gate.next(Operating), Turn::Enter);
    }

    #[test]
    fn a_reset_drops_what_is_pending_and_keeps_the_run_state() {
        let gate = gate(Operating);
        gate.order(|orders| {
            orders.set_prefix = Some(0x2000);
            orders.stop = Some(true);
            orders.restart = true;
            orders.program = Some(6);
        });
        gate.reset();
        assert_eq!(gate.next(Operating), Turn::Enter);
    }

    #[test]
    fn the_prefix_changes_before_anything_uses_it() {
        let gate = gate(Stopped);
        gate.order(|orders| {
            orders.stop = Some(true);
            orders.set_prefix = Some(0x2000);
        });
        assert_eq!(gate.next(Stopped), Turn::SetPrefix(0x2000));
        let stop = Turn::Stop {
            store_status: true,
            was: Stopped,
        };
        assert_eq!(gate.next(Stopped), stop);
    }

    #[test]
    fn a_pause_finds_the_cpu_outside() {
        let gate = gate(Operating);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while gate.next(Operating) == Turn::Enter {
                    guest(&gate);
                }
            });
            for _ in 0..100 {
                let _pause = gate.pause();
                assert!(gate.look(|orders| orders.inside.is_none()));
            }
            gate.kick();
        });
    }
}
