// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CPUs that have nothing left to do: disabled waits, and the last CPU that stops.

use std::sync::atomic::Ordering;

use s390_hypervisor::{RunState, Vcpu};

use crate::machine::lock;
use crate::{Machine, Outcome, Result};

/// The address of a disabled wait that means "shut down" (Linux and KVM).
const SHUTDOWN: u64 = 0xfff;

impl<M> Machine<M> {
    /// Only an order of another CPU can end a disabled wait. So the CPU is stopped; the wait
    /// tells how the machine ended once the others have stopped, too.
    pub(crate) fn disabled_wait(&self, vcpu: &mut dyn Vcpu) -> Result<Outcome> {
        *lock(&self.halted) = Some((vcpu.address(), vcpu.psw()));
        vcpu.handle().set_run_state(RunState::Stopped)?;
        Ok(self.stopped())
    }

    /// A CPU has stopped.
    pub(crate) fn stopped(&self) -> Outcome {
        let running = |state| state == RunState::Operating;
        if self.resetting.load(Ordering::Acquire)
            || self.cpus.iter().any(|cpu| running(cpu.handle.run_state()))
        {
            return Outcome::Stopped;
        }
        match *lock(&self.halted) {
            Some((_, psw)) if psw.addr != SHUTDOWN => Outcome::DisabledWait(psw),
            _ => Outcome::PowerOff,
        }
    }

    /// The CPU with this address goes on: its disabled wait says nothing about the machine any
    /// more.
    pub(crate) fn forget_disabled_wait(&self, cpu: u16) {
        lock(&self.halted).take_if(|halted| halted.0 == cpu);
    }
}

#[cfg(test)]
mod tests {
    use s390_hypervisor::{Intercept, Psw, RunState, VcpuExit, VcpuHandle};

    use crate::test_utils::Rig;
    use crate::Outcome;

    fn intercept(code: u8) -> Intercept {
        Intercept {
            code,
            ..Intercept::default()
        }
    }

    fn wait(rig: &mut Rig, addr: u64) -> Outcome {
        rig.vcpu.state.psw = Psw {
            mask: Psw::WAIT,
            addr,
        };
        rig.handle(intercept(Intercept::WAIT))
    }

    #[test]
    fn a_disabled_wait_at_0xfff_is_a_shutdown() {
        assert_eq!(wait(&mut Rig::new(1), 0xfff), Outcome::PowerOff);
    }

    #[test]
    fn any_other_disabled_wait_is_a_crash() {
        for addr in [0, 0xffe, 0x1000, 0x8bad_cccc] {
            let psw = Psw {
                mask: Psw::WAIT,
                addr,
            };
            assert_eq!(wait(&mut Rig::new(1), addr), Outcome::DisabledWait(psw));
        }
    }

    #[test]
    fn the_machine_ends_when_its_last_cpu_does() {
        let mut rig = Rig::new(2);
        rig.others[0].set_run_state(RunState::Operating).unwrap();
        assert_eq!(wait(&mut rig, 0xfff), Outcome::Stopped);
        assert_eq!(rig.vcpu.handle.run_state(), RunState::Stopped);
        rig.others[0].set_run_state(RunState::Stopped).unwrap();
        assert_eq!(rig.handle(intercept(Intercept::STOP)), Outcome::PowerOff);
    }

    #[test]
    fn a_crash_is_not_hidden_by_the_cpu_that_stops_last() {
        let mut rig = Rig::new(2);
        rig.others[0].set_run_state(RunState::Operating).unwrap();
        assert_eq!(wait(&mut rig, 0x1234), Outcome::Stopped);
        rig.others[0].set_run_state(RunState::Stopped).unwrap();
        let psw = Psw {
            mask: Psw::WAIT,
            addr: 0x1234,
        };
        let outcome = rig.handle(intercept(Intercept::STOP));
        assert_eq!(outcome, Outcome::DisabledWait(psw));
    }

    #[test]
    fn a_wait_that_was_ended_is_forgotten() {
        for order in [4, 6] {
            // CPU 1 waits and is started again by CPU 0, which stops last.
            let mut rig = Rig::new(2);
            let mut other = rig.vcpu_of(1);
            other.state.psw = Psw {
                mask: Psw::WAIT,
                addr: 0x1234,
            };
            let exit = VcpuExit::Intercept(intercept(Intercept::WAIT));
            let outcome = rig.machine.handle_exit(&mut other, exit).unwrap();
            assert_eq!(outcome, Outcome::Stopped);
            rig.vcpu.state.gprs[3] = 1;
            assert_eq!(rig.run(0xae03, order << 16), Outcome::Resume);
            rig.others[0].set_run_state(RunState::Stopped).unwrap();
            rig.vcpu.handle.set_run_state(RunState::Stopped).unwrap();
            assert_eq!(rig.handle(intercept(Intercept::STOP)), Outcome::PowerOff);
        }
    }

    #[test]
    fn orders_to_others_do_not_make_a_crash_forgotten() {
        let mut rig = Rig::new(3);
        let mut other = rig.vcpu_of(1);
        other.state.psw = Psw {
            mask: Psw::WAIT,
            addr: 0x1234,
        };
        let psw = other.state.psw;
        let exit = VcpuExit::Intercept(intercept(Intercept::WAIT));
        let _ = rig.machine.handle_exit(&mut other, exit).unwrap();
        rig.vcpu.state.gprs[3] = 2;
        assert_eq!(rig.run(0xae03, 4 << 16), Outcome::Resume);
        rig.others[1].set_run_state(RunState::Stopped).unwrap();
        rig.vcpu.handle.set_run_state(RunState::Stopped).unwrap();
        let outcome = rig.handle(intercept(Intercept::STOP));
        assert_eq!(outcome, Outcome::DisabledWait(psw));
    }

    #[test]
    fn the_last_stop_is_a_shutdown() {
        let mut rig = Rig::new(1);
        rig.vcpu.handle.set_run_state(RunState::Stopped).unwrap();
        assert_eq!(rig.handle(intercept(Intercept::STOP)), Outcome::PowerOff);
    }

    #[test]
    fn interruption_loops_are_crashes() {
        for code in [Intercept::PROGRAM, Intercept::EXTERNAL_LOOP] {
            let mut rig = Rig::new(1);
            let psw = rig.vcpu.state.psw;
            assert_eq!(rig.handle(intercept(code)), Outcome::Crashed(psw));
        }
    }

    #[test]
    fn operation_intercepts_are_operation_exceptions() {
        let mut rig = Rig::new(1);
        assert_eq!(rig.handle(intercept(Intercept::OPERATION)), Outcome::Resume);
        assert_eq!(rig.vcpu.programs, [0x0001]);
    }

    #[test]
    fn unknown_intercepts_are_the_backends_fault() {
        let mut rig = Rig::new(1);
        let error = rig
            .machine
            .handle(&mut rig.vcpu, intercept(0x40))
            .unwrap_err();
        assert!(error.to_string().contains("0x40"), "{error}");
    }
}
