// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! SIGNAL PROCESSOR (Principles of Operation, chapter 4, "CPU Signaling and Response").

use s390_hypervisor::{Error as Backend, Intercept, LocalInterrupt, ResetKind, RunState, Vcpu};
use vm_memory::{GuestAddress, GuestMemory, Permissions};

use crate::fault::Handled;
use crate::machine::Cpu;
use crate::orders::{self, accepts_emergency, Order, Reply};
use crate::{Machine, Outcome, Result};

/// Order codes.
mod order {
    pub const SENSE: u8 = 1;
    pub const EXTERNAL_CALL: u8 = 2;
    pub const EMERGENCY_SIGNAL: u8 = 3;
    pub const START: u8 = 4;
    pub const STOP: u8 = 5;
    pub const RESTART: u8 = 6;
    pub const STOP_AND_STORE_STATUS: u8 = 9;
    pub const INITIAL_CPU_RESET: u8 = 11;
    pub const CPU_RESET: u8 = 12;
    pub const SET_PREFIX: u8 = 13;
    pub const STORE_STATUS_AT_ADDRESS: u8 = 14;
    pub const SET_ARCHITECTURE: u8 = 18;
    pub const CONDITIONAL_EMERGENCY_SIGNAL: u8 = 19;
    pub const SENSE_RUNNING: u8 = 21;
}

/// Status bits, in the low word of R1.
pub(crate) mod status {
    /// The CPU is not running.
    pub const NOT_RUNNING: u32 = 0x400;
    /// The order needs another state of the CPU.
    pub const INCORRECT_STATE: u32 = 0x200;
    /// The parameter is not valid.
    pub const INVALID_PARAMETER: u32 = 0x100;
    /// An external call is pending.
    pub const EXTERNAL_CALL_PENDING: u32 = 0x80;
    /// The CPU is stopped.
    pub const STOPPED: u32 = 0x40;
    /// The order is not known, or not installed.
    pub const INVALID_ORDER: u32 = 0x02;
}

const PREFIX_MASK: u32 = 0x7fff_e000;
const PREFIX_SIZE: u64 = 0x2000;
const STATUS_MASK: u32 = 0x7fff_fe00;
const STATUS_SIZE: u64 = 0x200;

/// The answer to an order.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Condition code 0.
    Accepted,
    /// Condition code 1.
    Status(u32),
    /// Condition code 2.
    Busy,
    /// Condition code 3.
    NotOperational,
    /// The CPU reset itself: there is no register or condition code left to set.
    SelfReset,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Accepted => Answer::Accepted,
            Reply::Status(status) => Answer::Status(status),
            Reply::Busy => Answer::Busy,
        }
    }
}

impl<M: GuestMemory> Machine<M> {
    /// The order is the low byte of base plus displacement, the CPU address is in R3, the
    /// parameter in R1 or R1 + 1, whichever is odd, and status goes to R1.
    pub(crate) fn sigp(&self, vcpu: &mut dyn Vcpu, intercept: Intercept) -> Handled {
        let (r1, r3) = intercept.r1_r3();
        let (b2, d2) = intercept.base_displacement();
        let base = if b2 == 0 { 0 } else { vcpu.gpr(b2) };
        let order = base.wrapping_add(d2.into()) as u8;
        let target = vcpu.gpr(r3) as u16;
        let parameter = vcpu.gpr(r1 | 1) as u32;

        let cc = match self.order(vcpu, order, target, parameter)? {
            Answer::Accepted => 0,
            Answer::Status(status) => {
                let high = vcpu.gpr(r1) & !u64::from(u32::MAX);
                vcpu.set_gpr(r1, high | u64::from(status));
                1
            }
            Answer::Busy => 2,
            Answer::NotOperational => 3,
            Answer::SelfReset => return Ok(self.stopped()),
        };
        vcpu.set_cc(cc);
        Ok(Outcome::Resume)
    }

    fn order(&self, vcpu: &mut dyn Vcpu, code: u8, target: u16, parameter: u32) -> Result<Answer> {
        if code == order::SET_ARCHITECTURE {
            // For all CPUs, so the address does not matter.
            return Ok(self.set_architecture(vcpu.address()));
        }
        let Some(cpu) = self.cpu(target) else {
            return Ok(Answer::NotOperational);
        };
        match code {
            order::SENSE => Ok(sense(cpu)),
            order::SENSE_RUNNING => Ok(match cpu.handle.run_state() {
                RunState::Operating => Answer::Accepted,
                RunState::Stopped => Answer::Status(status::NOT_RUNNING),
            }),
            order::EXTERNAL_CALL if cpu.handle.external_call_pending() => {
                Ok(Answer::Status(status::EXTERNAL_CALL_PENDING))
            }
            order::EXTERNAL_CALL => {
                match inject(cpu, LocalInterrupt::ExternalCall(vcpu.address()))? {
                    // Another CPU was faster.
                    Answer::Status(_) => Ok(Answer::Status(status::EXTERNAL_CALL_PENDING)),
                    answer => Ok(answer),
                }
            }
            order::EMERGENCY_SIGNAL => inject(cpu, LocalInterrupt::EmergencySignal(vcpu.address())),
            order::CONDITIONAL_EMERGENCY_SIGNAL => {
                self.conditional_emergency(vcpu, cpu, parameter as u16)
            }
            order::START => {
                self.forget_disabled_wait(target);
                cpu.handle.set_run_state(RunState::Operating)?;
                Ok(Answer::Accepted)
            }
            order::RESTART => {
                self.forget_disabled_wait(target);
                inject(cpu, LocalInterrupt::Restart)
            }
            order::STOP => stop(cpu, false),
            order::STOP_AND_STORE_STATUS => stop(cpu, true),
            order::INITIAL_CPU_RESET => self.reset_order(vcpu, cpu, ResetKind::Initial),
            order::CPU_RESET => self.reset_order(vcpu, cpu, ResetKind::Normal),
            order::SET_PREFIX => self.set_prefix(cpu, parameter & PREFIX_MASK),
            order::STORE_STATUS_AT_ADDRESS => {
                self.store_status_at(vcpu, cpu, (parameter & STATUS_MASK).into())
            }
            // Among them 22 and 23: there is neither multithreading nor additional status.
            _ => Ok(Answer::Status(status::INVALID_ORDER)),
        }
    }

    /// CPUs begin in z/Architecture and cannot leave it: no parameter is valid, and while others
    /// run the order is not valid at all.
    fn set_architecture(&self, sender: u16) -> Answer {
        let runs = |cpu: &&Cpu| cpu.handle.run_state() == RunState::Operating;
        let others = self.cpus.iter().filter(|c| c.handle.address() != sender);
        Answer::Status(match others.clone().find(runs) {
            Some(_) => status::INCORRECT_STATE,
            None => status::INVALID_PARAMETER,
        })
    }

    fn set_prefix(&self, cpu: &Cpu, prefix: u32) -> Result<Answer> {
        if !self.is_storage(prefix.into(), PREFIX_SIZE) {
            return Ok(Answer::Status(status::INVALID_PARAMETER));
        }
        if cpu.handle.run_state() != RunState::Stopped {
            return Ok(Answer::Status(status::INCORRECT_STATE));
        }
        inject(cpu, LocalInterrupt::SetPrefix(prefix))
    }

    fn store_status_at(&self, vcpu: &dyn Vcpu, cpu: &Cpu, addr: u64) -> Result<Answer> {
        let address = cpu.handle.address();
        if address == vcpu.address() || cpu.handle.run_state() != RunState::Stopped {
            return Ok(Answer::Status(status::INCORRECT_STATE));
        }
        if !self.is_storage(addr, STATUS_SIZE) {
            return Ok(Answer::Status(status::INVALID_PARAMETER));
        }
        Ok(send(cpu, Order::StoreStatus(addr)))
    }

    fn reset_order(&self, vcpu: &mut dyn Vcpu, cpu: &Cpu, kind: ResetKind) -> Result<Answer> {
        if cpu.handle.address() == vcpu.address() {
            orders::reset(vcpu, kind)?;
            return Ok(Answer::SelfReset);
        }
        Ok(send(cpu, Order::Reset(kind)))
    }

    fn conditional_emergency(&self, vcpu: &dyn Vcpu, cpu: &Cpu, asn: u16) -> Result<Answer> {
        let sender = vcpu.address();
        if cpu.handle.address() != sender {
            return Ok(send(cpu, Order::ConditionalEmergency { asn, sender }));
        }
        if accepts_emergency(vcpu.psw(), &vcpu.state()?.crs, asn) {
            inject(cpu, LocalInterrupt::EmergencySignal(sender))
        } else {
            Ok(Answer::Status(status::INCORRECT_STATE))
        }
    }

    /// Whether all of this is RAM.
    fn is_storage(&self, addr: u64, size: u64) -> bool {
        addr + size <= self.config.memory_size
            && self
                .memory
                .check_range(GuestAddress(addr), size as usize, Permissions::ReadWrite)
    }
}

fn sense(cpu: &Cpu) -> Answer {
    let mut bits = 0;
    if cpu.handle.run_state() == RunState::Stopped {
        bits |= status::STOPPED;
    }
    if cpu.handle.external_call_pending() {
        bits |= status::EXTERNAL_CALL_PENDING;
    }
    match bits {
        0 => Answer::Accepted,
        bits => Answer::Status(bits),
    }
}

fn stop(cpu: &Cpu, store_status: bool) -> Result<Answer> {
    if !store_status && cpu.handle.run_state() == RunState::Stopped {
        return Ok(Answer::Accepted);
    }
    inject(cpu, LocalInterrupt::Stop { store_status })
}

fn send(cpu: &Cpu, order: Order) -> Answer {
    cpu.mailbox.send(order, || cpu.handle.kick()).into()
}

/// Makes a local interruption pending; what the CPU is not in the state for becomes status.
fn inject(cpu: &Cpu, interrupt: LocalInterrupt) -> Result<Answer> {
    match cpu.handle.inject(interrupt) {
        Ok(()) => Ok(Answer::Accepted),
        Err(Backend::IncorrectState) => Ok(Answer::Status(status::INCORRECT_STATE)),
        Err(Backend::Invalid(_)) => Ok(Answer::Status(status::INVALID_PARAMETER)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use s390_hypervisor::{LocalInterrupt, Psw, ResetKind, RunState, VcpuExit, VcpuHandle};

    use crate::test_utils::{FakeVcpu, Rig};
    use crate::Outcome;

    const HIGH: u64 = 0xaaaa_aaaa_0000_0000;

    /// R1 = 4 (status; parameter in 5), R3 = 6 (CPU address), order in register 7 plus 1.
    fn sigp(rig: &mut Rig, order: u64, target: u64, parameter: u64) -> (u8, u64) {
        rig.vcpu.state.gprs[4] = HIGH | 0x5555_5555;
        rig.vcpu.state.gprs[5] = HIGH | parameter;
        rig.vcpu.state.gprs[6] = 0x1234_0000 | target;
        rig.vcpu.state.gprs[7] = 0xff00 + order - 1;
        assert_eq!(rig.run(0xae46, 0x7001_0000), Outcome::Resume);
        assert!(rig.vcpu.programs.is_empty());
        (rig.vcpu.state.psw.cc(), rig.vcpu.state.gprs[4])
    }

    const ACCEPTED: (u8, u64) = (0, HIGH | 0x5555_5555);
    const BUSY: (u8, u64) = (2, HIGH | 0x5555_5555);

    fn stored(bits: u64) -> (u8, u64) {
        (1, HIGH | bits)
    }

    fn two() -> Rig {
        let rig = Rig::new(2);
        rig.others[0].set_run_state(RunState::Operating).unwrap();
        rig
    }

    #[test]
    fn sense_shows_stopped_and_external_call() {
        let mut rig = two();
        assert_eq!(sigp(&mut rig, 1, 0, 0), ACCEPTED);
        assert_eq!(sigp(&mut rig, 1, 1, 0), ACCEPTED);
        rig.others[0].set_external_call_pending(true);
        assert_eq!(sigp(&mut rig, 1, 1, 0), stored(0x80));
        rig.others[0].set_run_state(RunState::Stopped).unwrap();
        assert_eq!(sigp(&mut rig, 1, 1, 0), stored(0xc0));
        rig.others[0].set_external_call_pending(false);
        assert_eq!(sigp(&mut rig, 1, 1, 0), stored(0x40));
    }

    #[test]
    fn sense_running() {
        let mut rig = two();
        assert_eq!(sigp(&mut rig, 21, 1, 0), ACCEPTED);
        rig.others[0].set_run_state(RunState::Stopped).unwrap();
        assert_eq!(sigp(&mut rig, 21, 1, 0), stored(0x400));
    }

    #[test]
    fn no_such_cpu_is_not_operational_whatever_the_order() {
        for order in [1, 2, 3, 4, 5, 6, 9, 11, 12, 13, 14, 19, 21, 22, 23, 0, 255] {
            let mut rig = two();
            assert_eq!(sigp(&mut rig, order, 2, 0).0, 3);
        }
    }

    #[test]
    fn calls_and_emergency_signals_name_the_sender() {
        let mut rig = two();
        assert_eq!(sigp(&mut rig, 2, 1, 0), ACCEPTED);
        assert_eq!(sigp(&mut rig, 3, 1, 0), ACCEPTED);
        let expected = [
            LocalInterrupt::ExternalCall(0),
            LocalInterrupt::EmergencySignal(0),
        ];
        assert_eq!(rig.others[0].injected(), expected);
        rig.others[0].set_external_call_pending(true);
        assert_eq!(sigp(&mut rig, 2, 1, 0), stored(0x80));
        assert_eq!(rig.others[0].injected().len(), 2);
    }

    #[test]
    fn a_second_external_call_is_told_even_when_it_races() {
        let mut rig = two();
        rig.others[0].refuse_interrupts(true);
        assert_eq!(sigp(&mut rig, 2, 1, 0), stored(0x80));
        assert_eq!(sigp(&mut rig, 6, 1, 0), stored(0x200));
    }

    #[test]
    fn start_and_stop() {
        let mut rig = Rig::new(2);
        assert_eq!(sigp(&mut rig, 5, 1, 0), ACCEPTED);
        assert!(rig.others[0].injected().is_empty(), "it is stopped already");
        assert_eq!(sigp(&mut rig, 4, 1, 0), ACCEPTED);
        assert_eq!(rig.others[0].run_state(), RunState::Operating);
        assert_eq!(sigp(&mut rig, 5, 1, 0), ACCEPTED);
        assert_eq!(sigp(&mut rig, 9, 1, 0), ACCEPTED);
        assert_eq!(sigp(&mut rig, 6, 1, 0), ACCEPTED);
        let stop = |store_status| LocalInterrupt::Stop { store_status };
        let expected = [stop(false), stop(true), LocalInterrupt::Restart];
        assert_eq!(rig.others[0].injected(), expected);
    }

    #[test]
    fn a_stopped_cpu_stores_its_status_too() {
        let mut rig = Rig::new(2);
        assert_eq!(sigp(&mut rig, 9, 1, 0), ACCEPTED);
        let expected = [LocalInterrupt::Stop { store_status: true }];
        assert_eq!(rig.others[0].injected(), expected);
    }

    #[test]
    fn a_cpu_can_stop_itself() {
        let mut rig = two();
        assert_eq!(sigp(&mut rig, 5, 0, 0), ACCEPTED);
        let expected = [LocalInterrupt::Stop {
            store_status: false,
        }];
        assert_eq!(rig.vcpu.handle.injected(), expected);
    }

    #[test]
    fn set_prefix_needs_a_stopped_cpu_and_storage() {
        let mut rig = two();
        assert_eq!(sigp(&mut rig, 13, 1, 0x4000), stored(0x200));
        assert_eq!(sigp(&mut rig, 13, 0, 0x4000), stored(0x200));
        rig.others[0].set_run_state(RunState::Stopped).unwrap();
        // Bit 32 and the low 13 bits of the parameter do not count.
        assert_eq!(sigp(&mut rig, 13, 1, 0x8000_5fff), ACCEPTED);
        let expected = [LocalInterrupt::SetPrefix(0x4000)];
        assert_eq!(rig.others[0].injected(), expected);
        for beyond in [Rig::RAM, Rig::RAM + 0x10_0000, 0x7fff_e000] {
            assert_eq!(sigp(&mut rig, 13, 1, beyond), stored(0x100));
        }
        assert_eq!(sigp(&mut rig, 13, 1, Rig::RAM - 0x2000), ACCEPTED);
    }

    #[test]
    fn store_status_checks_state_and_address() {
        let mut rig = two();
        assert_eq!(sigp(&mut rig, 14, 1, 0x1000), stored(0x200));
        assert_eq!(sigp(&mut rig, 14, 0, 0x1000), stored(0x200));
        rig.others[0].set_run_state(RunState::Stopped).unwrap();
        assert_eq!(sigp(&mut rig, 14, 1, Rig::RAM), stored(0x100));
    }

    #[test]
    fn an_order_to_a_cpu_that_does_not_listen_is_busy_and_has_no_effect() {
        let mut rig = Rig::new(2);
        for order in [11, 12, 14, 19] {
            assert_eq!(sigp(&mut rig, order, 1, 0x1000), BUSY);
        }
        assert_eq!(rig.others[0].kicks(), 4);
        let mut target = rig.vcpu_of(1);
        let exit = rig.machine.handle_exit(&mut target, VcpuExit::Interrupted);
        assert_eq!(exit.unwrap(), Outcome::Resume);
        assert!(target.resets.is_empty() && target.stored_status.is_empty());
    }

    /// Runs `order` while CPU 1 answers its exits on a thread of its own.
    fn with_target(
        order: u64,
        parameter: u64,
        prepare: impl Fn(&mut FakeVcpu),
    ) -> ((u8, u64), FakeVcpu) {
        let mut rig = two();
        let mut target = rig.vcpu_of(1);
        prepare(&mut target);
        let machine = rig.machine.clone();
        let before = target.handle.kicks();
        let thread = std::thread::spawn(move || {
            let served = |t: &FakeVcpu| {
                !t.resets.is_empty() || !t.stored_status.is_empty() || t.looked_at() > 0
            };
            while !served(&target) {
                let _ = machine
                    .handle_exit(&mut target, VcpuExit::Interrupted)
                    .unwrap();
                std::thread::yield_now();
            }
            target
        });
        // A loaded host may let the order time out: then it is repeated, as a guest would.
        let answer = loop {
            let answer = sigp(&mut rig, order, 1, parameter);
            if answer.0 != 2 {
                break answer;
            }
        };
        let target = thread.join().unwrap();
        assert!(target.handle.kicks() > before);
        (answer, target)
    }

    #[test]
    fn resets_are_done_by_the_addressed_cpu_which_stops() {
        for (order, kind) in [(11, ResetKind::Initial), (12, ResetKind::Normal)] {
            let (answer, target) = with_target(order, 0, |_| ());
            assert_eq!(answer, ACCEPTED);
            assert_eq!(target.resets, [kind]);
            assert_eq!(target.handle.run_state(), RunState::Stopped);
        }
    }

    #[test]
    fn status_is_stored_when_the_order_is_accepted() {
        let stop = |t: &mut FakeVcpu| t.handle.set_run_state(RunState::Stopped).unwrap();
        let (answer, target) = with_target(14, 0x8000_13ff, stop);
        assert_eq!(answer, ACCEPTED);
        assert_eq!(target.stored_status, [0x1200]);
    }

    #[test]
    fn conditional_emergency_depends_on_the_addressed_cpu() {
        let (answer, target) = with_target(19, 7, |t| t.state.crs[4] = 7);
        assert_eq!(answer, ACCEPTED);
        let expected = [LocalInterrupt::EmergencySignal(0)];
        assert_eq!(target.handle.injected(), expected);

        let enabled = |t: &mut FakeVcpu| t.state.psw.mask |= Psw::EXTERNAL | Psw::IO;
        let (answer, target) = with_target(19, 7, enabled);
        assert_eq!(answer, stored(0x200));
        assert!(target.handle.injected().is_empty());
    }

    #[test]
    fn a_cpu_that_resets_itself_stops() {
        let mut rig = two();
        rig.vcpu.state.gprs[6] = 0;
        rig.vcpu.state.psw.set_cc(3);
        assert_eq!(rig.run(0xae46, 0x000b_0000), Outcome::Stopped);
        assert_eq!(rig.vcpu.resets, [ResetKind::Initial]);
        assert_eq!(rig.vcpu.handle.run_state(), RunState::Stopped);
    }

    #[test]
    fn the_architecture_cannot_be_changed() {
        for parameter in 0..3 {
            let mut rig = two();
            assert_eq!(sigp(&mut rig, 18, 0, parameter), stored(0x200));
            // The address does not count for this order.
            assert_eq!(sigp(&mut rig, 18, 0x77, parameter), stored(0x200));
            rig.others[0].set_run_state(RunState::Stopped).unwrap();
            assert_eq!(sigp(&mut rig, 18, 0, parameter), stored(0x100));
        }
    }

    #[test]
    fn other_orders_are_invalid() {
        for order in [0, 7, 8, 10, 15, 16, 17, 20, 22, 23, 24, 255] {
            let mut rig = two();
            assert_eq!(sigp(&mut rig, order, 1, 0), stored(0x02), "{order}");
            assert!(rig.others[0].injected().is_empty());
        }
    }

    #[test]
    fn the_parameter_is_in_the_odd_register_and_status_in_r1() {
        let mut rig = Rig::new(2);
        rig.vcpu.state.gprs[5] = HIGH | 0x6000;
        rig.vcpu.state.gprs[6] = 1;
        // R1 = 5 is odd itself.
        assert_eq!(rig.run(0xae56, 0x000d_0000), Outcome::Resume);
        let expected = [LocalInterrupt::SetPrefix(0x6000)];
        assert_eq!(rig.others[0].injected(), expected);
    }

    #[test]
    fn only_the_low_byte_of_the_order_and_halfword_of_the_address_count() {
        let mut rig = two();
        rig.vcpu.state.gprs[0] = 5;
        rig.vcpu.state.gprs[6] = 0xffff_ffff_ffff_0001;
        rig.vcpu.state.gprs[7] = 0xffff_ffff_ffff_ff02;
        assert_eq!(rig.run(0xae46, 0x7001_0000), Outcome::Resume);
        assert_eq!(
            rig.others[0].injected(),
            [LocalInterrupt::EmergencySignal(0)]
        );
        // A base field of zero is no register.
        assert_eq!(rig.run(0xae46, 0x0002_0000), Outcome::Resume);
        assert_eq!(rig.others[0].injected()[1], LocalInterrupt::ExternalCall(0));
    }
}
