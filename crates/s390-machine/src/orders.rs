// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Orders that only the addressed CPU's own thread can carry out.
//!
//! The sender posts an order, kicks the CPU and waits for the reply, but not for ever: two CPUs
//! may be waiting for each other. An order that nobody has taken by then is withdrawn and the
//! sender told "busy", which is what the architecture has for this.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use s390_hypervisor::{LocalInterrupt, Psw, ResetKind, RunState, Vcpu};
use vm_memory::GuestMemory;

use crate::machine::lock;
use crate::sigp::status;
use crate::{Machine, Outcome, Result};

/// How long a sender waits for its order to be taken.
const PATIENCE: Duration = Duration::from_millis(20);

/// An order.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Reset the CPU, which stops.
    Reset(ResetKind),
    /// Store the status of the stopped CPU at this absolute address.
    StoreStatus(u64),
    /// Take an emergency signal from this CPU if one of the conditions holds.
    ConditionalEmergency { asn: u16, sender: u16 },
}

/// What became of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Accepted,
    Status(u32),
    Busy,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Posted(Order),
    Taken,
    Done(Reply),
}

/// Room for one order.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    slot: Mutex<Slot>,
    changed: Condvar,
}

impl Mailbox {
    /// Posts `order`, calls `kick` and waits for the reply.
    pub fn send(&self, order: Order, kick: impl FnOnce()) -> Reply {
        let mut slot = lock(&self.slot);
        if !matches!(*slot, Slot::Empty) {
            return Reply::Busy;
        }
        *slot = Slot::Posted(order);
        kick();
        let posted = |slot: &mut Slot| matches!(slot, Slot::Posted(_));
        let (slot, _) = self
            .changed
            .wait_timeout_while(slot, PATIENCE, posted)
            .unwrap_or_else(PoisonError::into_inner);
        // A CPU that has taken the order is at work on it and waits for nobody.
        let mut slot = self
            .changed
            .wait_while(slot, |slot| matches!(slot, Slot::Taken))
            .unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *slot) {
            Slot::Done(reply) => reply,
            _ => Reply::Busy,
        }
    }

    /// Takes the order that waits, if any. [`Mailbox::reply`] must follow.
    fn take(&self) -> Option<Order> {
        let mut slot = lock(&self.slot);
        let Slot::Posted(order) = *slot else {
            return None;
        };
        *slot = Slot::Taken;
        self.changed.notify_all();
        Some(order)
    }

    fn reply(&self, reply: Reply) {
        *lock(&self.slot) = Slot::Done(reply);
        self.changed.notify_all();
    }

    /// Withdraws an order that waits, as a reset does.
    pub fn clear(&self) {
        let mut slot = lock(&self.slot);
        if matches!(*slot, Slot::Posted(_)) {
            *slot = Slot::Done(Reply::Busy);
            self.changed.notify_all();
        }
    }
}

impl<M: GuestMemory> Machine<M> {
    /// Carries out the order that waits for `vcpu`. Returns what the CPU is to do if that
    /// stopped it.
    pub(crate) fn serve_orders(&self, vcpu: &mut dyn Vcpu) -> Result<Option<Outcome>> {
        let Some(cpu) = self.cpu(vcpu.address()) else {
            return Ok(None);
        };
        let Some(order) = cpu.mailbox.take() else {
            return Ok(None);
        };
        let result = carry_out(vcpu, order);
        cpu.mailbox.reply(*result.as_ref().unwrap_or(&Reply::Busy));
        result?;
        Ok(matches!(order, Order::Reset(_)).then(|| self.stopped()))
    }
}

fn carry_out(vcpu: &mut dyn Vcpu, order: Order) -> Result<Reply> {
    match order {
        Order::Reset(kind) => {
            reset(vcpu, kind)?;
            Ok(Reply::Accepted)
        }
        Order::StoreStatus(addr) => {
            if vcpu.handle().run_state() != RunState::Stopped {
                return Ok(Reply::Status(status::INCORRECT_STATE));
            }
            vcpu.store_status(addr)?;
            Ok(Reply::Accepted)
        }
        Order::ConditionalEmergency { asn, sender } => {
            let crs = vcpu.state()?.crs;
            if !accepts_emergency(vcpu.psw(), &crs, asn) {
                return Ok(Reply::Status(status::INCORRECT_STATE));
            }
            vcpu.handle()
                .inject(LocalInterrupt::EmergencySignal(sender))?;
            Ok(Reply::Accepted)
        }
    }
}

/// Both resets that SIGP can order leave the CPU stopped.
pub(crate) fn reset(vcpu: &mut dyn Vcpu, kind: ResetKind) -> Result<()> {
    vcpu.handle().set_run_state(RunState::Stopped)?;
    vcpu.reset(kind)?;
    Ok(())
}

/// The conditions of the conditional emergency signal (Principles of Operation, chapter 4,
/// "Signal-Processor Orders"): the CPU is disabled for I/O or external interruptions, or waits
/// at another address than zero, or does not wait and works in the address space `asn`.
pub(crate) fn accepts_emergency(psw: Psw, crs: &[u64; 16], asn: u16) -> bool {
    let both = Psw::EXTERNAL | Psw::IO;
    let disabled = psw.mask & both != both;
    let waits = psw.mask & Psw::WAIT != 0;
    let works_in_space = crs[3] as u16 == asn || crs[4] as u16 == asn;
    disabled || (waits && psw.addr != 0) || (!waits && works_in_space)
}

#[cfg(test)]
mod tests {
    use s390_hypervisor::VcpuHandle;

    use super::*;
    use crate::test_utils::{FakeHandle, FakeVcpu};

    #[test]
    fn an_order_that_nobody_takes_is_withdrawn() {
        let mailbox = Mailbox::default();
        let order = Order::Reset(ResetKind::Normal);
        assert_eq!(mailbox.send(order, || ()), Reply::Busy);
        assert_eq!(mailbox.take(), None);
    }

    #[test]
    fn a_second_order_finds_the_cpu_busy() {
        let mailbox = Mailbox::default();
        *lock(&mailbox.slot) = Slot::Taken;
        let order = Order::Reset(ResetKind::Normal);
        let kick = || panic!("a busy CPU is not kicked");
        assert_eq!(mailbox.send(order, kick), Reply::Busy);
    }

    #[test]
    fn the_reply_of_the_other_thread_comes_back() {
        let mailbox = Mailbox::default();
        let reply = std::thread::scope(|scope| {
            scope.spawn(|| loop {
                if let Some(order) = mailbox.take() {
                    assert_eq!(order, Order::StoreStatus(0x1200));
                    return mailbox.reply(Reply::Status(0x40));
                }
                std::thread::yield_now();
            });
            // On a host so loaded that the thread was not run in time, busy is right, too.
            loop {
                let reply = mailbox.send(Order::StoreStatus(0x1200), || ());
                if reply != Reply::Busy {
                    break reply;
                }
            }
        });
        assert_eq!(reply, Reply::Status(0x40));
        assert_eq!(mailbox.take(), None);
    }

    #[test]
    fn status_of_a_cpu_that_started_meanwhile_is_not_stored() {
        let mut vcpu = FakeVcpu::new(FakeHandle::new(1));
        vcpu.handle.set_run_state(RunState::Operating).unwrap();
        let reply = carry_out(&mut vcpu, Order::StoreStatus(0x1200)).unwrap();
        assert_eq!(reply, Reply::Status(status::INCORRECT_STATE));
        assert!(vcpu.stored_status.is_empty());
    }

    #[test]
    fn conditions_of_the_conditional_emergency_signal() {
        let mut crs = [0; 16];
        crs[3] = 0xffff_0003;
        crs[4] = 0xffff_0004;
        let open = Psw::EXTERNAL | Psw::IO;
        let psw = |mask, addr| Psw { mask, addr };
        assert!(accepts_emergency(psw(Psw::EXTERNAL, 0), &crs, 9));
        assert!(accepts_emergency(psw(Psw::IO, 0), &crs, 9));
        assert!(!accepts_emergency(psw(open, 8), &crs, 9));
        assert!(accepts_emergency(psw(open, 8), &crs, 3));
        assert!(accepts_emergency(psw(open, 8), &crs, 4));
        assert!(accepts_emergency(psw(open | Psw::WAIT, 8), &crs, 9));
        assert!(!accepts_emergency(psw(open | Psw::WAIT, 0), &crs, 3));
    }
}
