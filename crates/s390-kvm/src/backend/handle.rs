// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What other threads may do to a CPU.

use std::sync::Arc;

use s390_extint::lowcore;
use s390_hypervisor::{Error, LocalInterrupt, Result, RunState, VcpuHandle};

use super::error::refused;
use super::gate::Gate;
use super::interrupt;
use super::vm::Shared;
use crate::bindings::{kvm_s390_irq, KVM_S390_INT_EXTERNAL_CALL};
use crate::ioctls::VcpuRemote;

/// A CPU as other threads see it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) address: u16,
    pub(crate) gate: Gate<VcpuRemote>,
    pub(crate) remote: VcpuRemote,
    // Behind the vCPU's files: what they use must outlive them.
    pub(crate) vm: Arc<Shared>,
}

impl Handle {
    /// Makes a local interruption pending in the kernel.
    pub(crate) fn pend(&self, irq: &kvm_s390_irq) -> Result<()> {
        self.remote.s390_irq(irq).map_err(|error| {
            if error.errno() == libc::EBUSY {
                return Error::IncorrectState;
            }
            let kind = irq.type_;
            refused(format!(
                "make interruption {kind:#x} pending for CPU {}",
                self.address
            ))(error)
        })
    }
}

/// Whether a prefix area may begin there.
pub(crate) fn check_prefix(prefix: u32, storage: u64) -> Result<()> {
    if prefix & 0x8000_1fff != 0 || u64::from(prefix) + lowcore::SIZE as u64 > storage {
        return Err(Error::Invalid("prefix"));
    }
    Ok(())
}

impl VcpuHandle for Handle {
    fn address(&self) -> u16 {
        self.address
    }

    fn inject(&self, interrupt: LocalInterrupt) -> Result<()> {
        match interrupt {
            LocalInterrupt::ExternalCall(cpu) => self.pend(&interrupt::external_call(cpu)),
            LocalInterrupt::EmergencySignal(cpu) => self.pend(&interrupt::emergency_signal(cpu)),
            LocalInterrupt::Program(code) => {
                self.gate.order(|orders| orders.program = Some(code));
                Ok(())
            }
            LocalInterrupt::Restart => {
                self.gate.order(|orders| {
                    orders.restart = true;
                    if orders.stop.is_none() {
                        orders.run_state = RunState::Operating;
                    }
                });
                Ok(())
            }
            LocalInterrupt::Stop { store_status } => {
                self.gate.order(|orders| {
                    orders.stop = Some(orders.stop == Some(true) || store_status);
                });
                Ok(())
            }
            LocalInterrupt::SetPrefix(prefix) => {
                check_prefix(prefix, self.vm.memory.size())?;
                self.gate.order(|orders| match orders.run_state {
                    RunState::Operating => Err(Error::IncorrectState),
                    RunState::Stopped => {
                        orders.set_prefix = Some(prefix);
                        Ok(())
                    }
                })
            }
        }
    }

    fn run_state(&self) -> RunState {
        self.gate.look(|orders| orders.run_state)
    }

    fn set_run_state(&self, state: RunState) -> Result<()> {
        self.gate.order(|orders| {
            orders.run_state = state;
            orders.stop = None;
        });
        Ok(())
    }

    /// The kernel answers SIGP sense itself, so that this is rarely asked; it costs an exit.
    fn external_call_pending(&self) -> bool {
        let call = u64::from(KVM_S390_INT_EXTERNAL_CALL);
        let _pause = self.gate.pause();
        self.remote
            .get_irq_state()
            .is_ok_and(|irqs| irqs.iter().any(|irq| irq.type_ == call))
    }

    fn kick(&self) {
        self.gate.kick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_multiple_of_8k_in_storage() {
        let storage = 1 << 20;
        assert!(check_prefix(0, storage).is_ok());
        assert!(check_prefix(0xf_e000, storage).is_ok());
        for wrong in [0x1000, 0x2001, 0x10_0000, 0x8000_0000, u32::MAX] {
            assert!(check_prefix(wrong, storage).is_err(), "{wrong:#x}");
        }
    }
}
