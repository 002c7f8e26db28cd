// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DIAGNOSE 0x288: a timer that resets the machine unless the guest sets it again in time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use s390_hypercall::{Diagnose, ProgramInterruption};
use s390_hypervisor::Vcpu;
use vm_memory::GuestMemory;

use crate::fault::Handled;
use crate::machine::lock;
use crate::{Machine, Outcome};

/// Functions, in R1.
const INIT: u64 = 0;
const CHANGE: u64 = 1;
const CANCEL: u64 = 2;

/// The shortest time that is accepted, in seconds.
const MINIMUM: u64 = 15;

/// When the machine is to be reset.
#[derive(Debug, Default)]
pub(crate) struct Watchdog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    deadline: Option<Instant>,
    /// Since when the guest's time stands still.
    held: Option<Instant>,
}

impl Watchdog {
    /// Carries out a function; false if it is refused.
    fn function(&self, function: u64, seconds: u64, now: Instant) -> bool {
        let deadline = &mut lock(&self.0).deadline;
        *deadline = match function {
            CANCEL => None,
            CHANGE if deadline.is_none() => return false,
            INIT | CHANGE if seconds >= MINIMUM => {
                // Too far away for the host's clock is never.
                now.checked_add(Duration::from_secs(seconds))
            }
            _ => return false,
        };
        true
    }

    pub fn disarm(&self) {
        lock(&self.0).deadline = None;
    }

    /// When it expires; never while it is held.
    fn deadline(&self) -> Option<Instant> {
        let state = lock(&self.0);
        state.deadline.filter(|_| state.held.is_none())
    }

    /// Keeps the time that is left, until [`release`](Self::release).
    pub fn hold(&self, now: Instant) {
        lock(&self.0).held.get_or_insert(now);
    }

    pub fn release(&self, now: Instant) {
        let mut state = lock(&self.0);
        if let (Some(since), Some(deadline)) = (state.held.take(), state.deadline) {
            state.deadline = deadline.checked_add(now.saturating_duration_since(since));
        }
    }
}

impl<M: GuestMemory> Machine<M> {
    /// When the guest's watchdog expires. Then, unless this has changed, the VMM resets the
    /// machine: see [`Machine::reset`]. Never while the guest's clock is
    /// [stopped](Self::stop_clock), and later by as long as that took.
    pub fn watchdog_deadline(&self) -> Option<Instant> {
        self.watchdog.deadline()
    }

    /// Function in R1 (an even register), time in seconds in R1 + 1, action in R3: only 0,
    /// reset, is there.
    pub(crate) fn watchdog_function(&self, vcpu: &mut dyn Vcpu, diagnose: Diagnose) -> Handled {
        let Diagnose { r1, r3, .. } = diagnose;
        let accepted = r1 % 2 == 0
            && vcpu.gpr(r3) == 0
            && self
                .watchdog
                .function(vcpu.gpr(r1), vcpu.gpr(r1 + 1), Instant::now());
        if accepted {
            Ok(Outcome::Resume)
        } else {
            Err(ProgramInterruption::SPECIFICATION.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_utils::Rig;

    #[test]
    fn is_set_changed_and_cancelled() {
        let watchdog = Watchdog::default();
        let now = Instant::now();
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        assert!(!watchdog.function(CHANGE, 30, now), "not set yet");
        assert!(watchdog.function(INIT, 15, now));
        assert_eq!(watchdog.deadline(), after(15));
        assert!(watchdog.function(CHANGE, 60, now));
        assert_eq!(watchdog.deadline(), after(60));
        assert!(!watchdog.function(CHANGE, 14, now));
        assert!(!watchdog.function(3, 60, now));
        assert_eq!(watchdog.deadline(), after(60));
        assert!(watchdog.function(CANCEL, 0, now));
        assert_eq!(watchdog.deadline(), None);
        assert!(watchdog.function(INIT, u64::MAX, now));
    }

    #[test]
    fn keeps_the_time_that_is_left_while_it_is_held() {
        let watchdog = Watchdog::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(watchdog.function(INIT, 15, start));
        watchdog.hold(after(10));
        watchdog.hold(after(20));
        assert_eq!(watchdog.deadline(), None);
        watchdog.release(after(110));
        assert_eq!(watchdog.deadline(), Some(after(115)));
        watchdog.release(after(200));
        assert_eq!(watchdog.deadline(), Some(after(115)));
        // A reset of a machine that is paused.
        watchdog.hold(after(110));
        watchdog.disarm();
        watchdog.release(after(120));
        assert_eq!(watchdog.deadline(), None);
    }

    #[test]
    fn stands_still_with_the_clock() {
        let mut rig = Rig::with(1, |config| config.watchdog = true);
        rig.vcpu.state.gprs[2..5].copy_from_slice(&[0, 30, 0]);
        assert_eq!(rig.diagnose(0x24, 0x288), Outcome::Resume);
        let before = rig.machine.watchdog_deadline().unwrap();
        rig.machine.stop_clock().unwrap();
        assert_eq!(rig.machine.watchdog_deadline(), None);
        std::thread::sleep(Duration::from_millis(20));
        rig.machine.start_clock().unwrap();
        let late = rig.machine.watchdog_deadline().unwrap() - before;
        assert!(late >= Duration::from_millis(20), "{late:?}");
    }

    #[test]
    fn is_there_only_when_configured() {
        let mut rig = Rig::new(1);
        rig.vcpu.state.gprs[2..5].copy_from_slice(&[0, 30, 0]);
        assert_eq!(rig.diagnose(0x24, 0x288), Outcome::Resume);
        assert_eq!(rig.vcpu.programs, [0x0006]);

        let mut rig = Rig::with(1, |config| config.watchdog = true);
        rig.vcpu.state.gprs[2..5].copy_from_slice(&[0, 30, 0]);
        assert_eq!(rig.diagnose(0x24, 0x288), Outcome::Resume);
        assert!(rig.vcpu.programs.is_empty());
        assert!(rig.machine.watchdog_deadline().is_some());
    }

    #[test]
    fn odd_registers_and_other_actions_are_refused() {
        for (registers, action) in [(0x34, 0), (0x24, 1)] {
            let mut rig = Rig::with(1, |config| config.watchdog = true);
            rig.vcpu.state.gprs[2..5].copy_from_slice(&[0, 30, action]);
            assert_eq!(rig.diagnose(registers, 0x288), Outcome::Resume);
            assert_eq!(rig.vcpu.programs, [0x0006]);
        }
    }
}
