// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Resetting the machine: one sequence, whether the guest or the VMM wants it.
//!
//! 1. [`Machine::begin_reset`]: every CPU is stopped and leaves [`Vcpu::run`].
//! 2. Once no CPU runs: [`Machine::subsystem_reset`], once.
//! 3. [`Machine::reset_cpu`] for each CPU, on its thread.
//! 4. For [`RebootKind::ReIpl`] the VMM loads the operating system and sets the PSW.
//! 5. [`Machine::start`].
//!
//! [`Machine::reset`] is steps 1 to 3 for a VMM that has all CPUs at hand.

use std::sync::atomic::Ordering;

use s390_hypervisor::{Psw, ResetKind, RunState, Vcpu};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::machine::lock;
use crate::{Error, Machine, Reboot, RebootKind, Result};

/// What is reset with the machine and is no CPU. A closure is one, too.
pub trait SubsystemReset {
    /// Devices return to how they were before the guest's first instruction, and raise no
    /// interruption afterwards for what went before. No CPU runs meanwhile.
    fn subsystem_reset(&self);
}

impl<F: Fn()> SubsystemReset for F {
    fn subsystem_reset(&self) {
        self();
    }
}

impl<M: GuestMemory> Machine<M> {
    /// Steps 1 to 3. No CPU in `cpus` may be running, and all must be there.
    ///
    /// # Errors
    ///
    /// The host failed, or the machine has no CPU that `reboot` names.
    pub fn reset<'a>(
        &self,
        cpus: impl IntoIterator<Item = &'a mut dyn Vcpu>,
        reboot: Reboot,
    ) -> Result<()> {
        self.begin_reset()?;
        self.subsystem_reset()?;
        for vcpu in cpus {
            self.reset_cpu(vcpu, reboot)?;
        }
        Ok(())
    }

    /// Stops every CPU and makes it leave [`Vcpu::run`]. That the last one stops is no shutdown
    /// until [`Machine::start`].
    ///
    /// # Errors
    ///
    /// The backend failed.
    pub fn begin_reset(&self) -> Result<()> {
        self.resetting.store(true, Ordering::Release);
        for cpu in &self.cpus {
            cpu.handle.set_run_state(RunState::Stopped)?;
            cpu.mailbox.clear();
            cpu.handle.kick();
        }
        Ok(())
    }

    /// Resets everything that is no CPU: devices, SCLP, watchdog, and then the floating
    /// interruptions, so that none that a device raised on the way survives.
    ///
    /// # Errors
    ///
    /// The backend failed.
    pub fn subsystem_reset(&self) -> Result<()> {
        self.devices.subsystem_reset();
        lock(&self.sclp).reset();
        self.watchdog.disarm();
        *lock(&self.halted) = None;
        self.vm.clear_interrupts()?;
        Ok(())
    }

    /// Resets one CPU; the one that is to run afterwards gets its PSW, unless the VMM loads the
    /// operating system again.
    ///
    /// # Errors
    ///
    /// The backend failed, or there is no storage to load a PSW from.
    pub fn reset_cpu(&self, vcpu: &mut dyn Vcpu, reboot: Reboot) -> Result<()> {
        let chosen = vcpu.address() == reboot.cpu;
        // Another CPU may have started it since they were all stopped.
        vcpu.handle().set_run_state(RunState::Stopped)?;
        vcpu.reset(match reboot.kind {
            RebootKind::ModifiedClear | RebootKind::ReIpl { .. } => ResetKind::Clear,
            RebootKind::LoadNormal if chosen => ResetKind::Initial,
            RebootKind::LoadNormal => ResetKind::Normal,
        })?;
        let loads = !matches!(reboot.kind, RebootKind::ReIpl { .. });
        if chosen && loads {
            vcpu.set_psw(self.load_psw()?);
        }
        Ok(())
    }

    /// Lets the CPU with this address run: after a reset, and at the very beginning.
    ///
    /// # Errors
    ///
    /// The backend failed, or there is no such CPU.
    pub fn start(&self, cpu: u16) -> Result<()> {
        let handle = &self.cpu(cpu).ok_or(Error::NoCpu(cpu))?.handle;
        self.resetting.store(false, Ordering::Release);
        handle.set_run_state(RunState::Operating)?;
        Ok(())
    }

    /// The PSW at absolute 0, in the short format of ESA/390: eight bytes, bit 12 one, a 31-bit
    /// address.
    fn load_psw(&self) -> Result<Psw> {
        const SHORT: u64 = 0x0008_0000_0000_0000;
        const ADDRESS: u64 = 0x7fff_ffff;
        let mut bytes = [0; 8];
        self.memory
            .read_slice(&mut bytes, GuestAddress(0))
            .map_err(Error::Memory)?;
        let short = u64::from_be_bytes(bytes);
        Ok(Psw {
            // A PSW without bit 12 is not short: then the bit makes the long one invalid, too.
            mask: (short & !ADDRESS) ^ SHORT,
            addr: short & ADDRESS,
        })
    }
}

#[cfg(test)]
mod tests {
    use s390_hypervisor::{
        ExternalInterrupt, Intercept, Psw, ResetKind, RunState, Vcpu, VcpuHandle,
    };

    use s390_sclp::SclpState;

    use crate::machine::lock;
    use crate::test_utils::Rig;
    use crate::{Error, Outcome, Reboot, RebootKind};

    fn reset(rig: &mut Rig, kind: RebootKind) -> Vec<Vec<ResetKind>> {
        let mut other = rig.vcpu_of(1);
        let cpus: [&mut dyn Vcpu; 2] = [&mut rig.vcpu, &mut other];
        rig.machine.reset(cpus, Reboot { kind, cpu: 0 }).unwrap();
        vec![rig.vcpu.resets.clone(), other.resets]
    }

    #[test]
    fn everything_is_reset_and_stopped() {
        let mut rig = Rig::new(2);
        rig.others[0].set_run_state(RunState::Operating).unwrap();
        let resets = reset(&mut rig, RebootKind::ReIpl { clear: true });
        assert_eq!(resets, [[ResetKind::Clear], [ResetKind::Clear]]);
        assert_eq!(rig.vcpu.handle.run_state(), RunState::Stopped);
        assert_eq!(rig.others[0].run_state(), RunState::Stopped);
        assert_eq!(rig.others[0].kicks(), 1);
        assert_eq!(rig.device.resets(), 1);
        // Cleared after the device was reset: it raised one then.
        assert!(rig.vm.injected().is_empty());
    }

    #[test]
    fn a_cpu_that_was_started_meanwhile_is_stopped_again() {
        let rig = Rig::new(2);
        rig.machine.begin_reset().unwrap();
        rig.others[0].set_run_state(RunState::Operating).unwrap();
        let kind = RebootKind::ModifiedClear;
        let mut other = rig.vcpu_of(1);
        rig.machine
            .reset_cpu(&mut other, Reboot { kind, cpu: 0 })
            .unwrap();
        assert_eq!(rig.others[0].run_state(), RunState::Stopped);
    }

    #[test]
    fn the_sclp_is_reset() {
        let rig = Rig::new(1);
        let _ = lock(&rig.machine.sclp).request_shutdown();
        rig.machine.subsystem_reset().unwrap();
        assert_eq!(lock(&rig.machine.sclp).state(), SclpState::default());
    }

    #[test]
    fn cpus_are_reset_as_the_kind_says() {
        let clear = reset(&mut Rig::new(2), RebootKind::ModifiedClear);
        assert_eq!(clear, [[ResetKind::Clear], [ResetKind::Clear]]);
        let normal = reset(&mut Rig::new(2), RebootKind::LoadNormal);
        assert_eq!(normal, [[ResetKind::Initial], [ResetKind::Normal]]);
    }

    #[test]
    fn the_program_in_storage_goes_on_with_the_short_psw() {
        for kind in [RebootKind::ModifiedClear, RebootKind::LoadNormal] {
            let mut rig = Rig::new(2);
            rig.put(0, 0x0008_0000_8001_0000);
            reset(&mut rig, kind);
            let psw = Psw {
                mask: Psw::BASIC,
                addr: 0x10000,
            };
            assert_eq!(rig.vcpu.state.psw, psw);
        }
        // A new load gets its PSW from the loader.
        let mut rig = Rig::new(2);
        rig.put(0, 0x0008_0000_8001_0000);
        reset(&mut rig, RebootKind::ReIpl { clear: false });
        assert_eq!(rig.vcpu.state.psw, Psw::default());
    }

    #[test]
    fn a_long_psw_at_zero_is_invalid() {
        let mut rig = Rig::new(2);
        rig.put(0, 0x0000_0001_8000_0400);
        reset(&mut rig, RebootKind::LoadNormal);
        assert_eq!(rig.vcpu.state.psw.mask, 0x0008_0001_8000_0000);
    }

    #[test]
    fn stopping_for_a_reset_is_no_shutdown() {
        let mut rig = Rig::new(1);
        rig.machine.begin_reset().unwrap();
        let stop = Intercept {
            code: Intercept::STOP,
            ..Intercept::default()
        };
        assert_eq!(rig.handle(stop), Outcome::Stopped);
        rig.machine.start(0).unwrap();
        assert_eq!(rig.vcpu.handle.run_state(), RunState::Operating);
        rig.vcpu.handle.set_run_state(RunState::Stopped).unwrap();
        assert_eq!(rig.handle(stop), Outcome::PowerOff);
    }

    #[test]
    fn the_watchdog_and_earlier_waits_are_forgotten() {
        let mut rig = Rig::with(1, |config| config.watchdog = true);
        rig.vcpu.state.gprs[2..5].copy_from_slice(&[0, 30, 0]);
        assert_eq!(rig.diagnose(0x24, 0x288), Outcome::Resume);
        rig.vcpu.state.psw = Psw {
            mask: Psw::WAIT,
            addr: 0x111,
        };
        let wait = Intercept {
            code: Intercept::WAIT,
            ..Intercept::default()
        };
        let _ = rig.handle(wait);
        rig.machine.begin_reset().unwrap();
        rig.machine.subsystem_reset().unwrap();
        rig.machine.start(0).unwrap();
        assert_eq!(rig.machine.watchdog_deadline(), None);
        rig.vcpu.handle.set_run_state(RunState::Stopped).unwrap();
        let stop = Intercept {
            code: Intercept::STOP,
            ..wait
        };
        assert_eq!(rig.handle(stop), Outcome::PowerOff);
    }

    #[test]
    fn guest_and_vmm_reach_the_same_sequence() {
        let mut rig = Rig::new(1);
        rig.vcpu.state.gprs[4] = 3;
        let Outcome::Reboot(reboot) = rig.diagnose(0x24, 0x308) else {
            panic!("subcode 3 is a reboot");
        };
        let kind = RebootKind::ReIpl { clear: true };
        assert_eq!(reboot, Reboot { kind, cpu: 0 });
        rig.vm.pretend(ExternalInterrupt::service(8, false));
        let cpus: [&mut dyn Vcpu; 1] = [&mut rig.vcpu];
        rig.machine.reset(cpus, reboot).unwrap();
        assert!(rig.vm.injected().is_empty());
    }

    #[test]
    fn only_cpus_that_exist_start() {
        let rig = Rig::new(1);
        assert!(matches!(rig.machine.start(7), Err(Error::NoCpu(7))));
    }
}
