// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The threads that run the CPUs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

use s390_hypervisor::{RunState, Vcpu, VcpuHandle};
use s390_machine::{Outcome, Reboot, RebootKind};

use crate::vm::{Shared, Stopper};
use crate::{End, Error, Result};

/// A thread for each CPU; they end when this is dropped.
pub(crate) struct VcpuThreads {
    stop: Arc<AtomicBool>,
    threads: Vec<(Arc<dyn VcpuHandle>, JoinHandle<()>)>,
}

impl VcpuThreads {
    /// Starts a thread for each of `vcpus`. How the guest ends goes to `stopper`.
    pub(crate) fn start(
        vcpus: Vec<Box<dyn Vcpu>>,
        shared: &Arc<Shared>,
        stopper: &Stopper,
    ) -> Result<Self> {
        let mut this = VcpuThreads {
            stop: Arc::default(),
            threads: Vec::with_capacity(vcpus.len()),
        };
        for mut vcpu in vcpus {
            let (stop, shared, stopper) = (this.stop.clone(), shared.clone(), stopper.clone());
            let handle = vcpu.handle();
            let thread = std::thread::Builder::new()
                .name(format!("cpu{}", vcpu.address()))
                .spawn(move || {
                    stopper.watch(|| {
                        if let Some(end) = run(&mut *vcpu, &shared, &stop)? {
                            stopper.stop(Ok(end));
                        }
                        Ok(())
                    });
                })
                .map_err(Error::host("start a thread"))?;
            this.threads.push((handle, thread));
        }
        Ok(this)
    }
}

impl Drop for VcpuThreads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for (handle, thread) in self.threads.drain(..) {
            handle.kick();
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Runs a CPU until the guest ends, or until it shall stop.
fn run(vcpu: &mut dyn Vcpu, shared: &Shared, stop: &AtomicBool) -> Result<Option<End>> {
    while !stop.load(Ordering::Acquire) {
        let exit = vcpu.run()?;
        match shared.machine.handle_exit(vcpu, exit)? {
            Outcome::Resume | Outcome::Stopped => {}
            Outcome::PowerOff => return Ok(Some(End::PowerOff)),
            Outcome::DisabledWait(psw) => return Ok(Some(End::DisabledWait(psw))),
            Outcome::Crashed(psw) => return Ok(Some(End::Crashed(psw))),
            Outcome::Reboot(reboot) => shared.reboot(vcpu, reboot)?,
        }
    }
    Ok(None)
}

impl Shared {
    /// Loads the image and lets `vcpu`, which was reset, begin with it.
    pub(crate) fn boot(&self, vcpu: &mut dyn Vcpu) -> Result<()> {
        let boot = self.image.load(&*self.memory, self.ram_size)?;
        vcpu.set_psw(boot.psw());
        vcpu.handle().set_run_state(RunState::Operating)?;
        Ok(())
    }

    /// Resets the machine, in the thread of a CPU, and boots again if the guest wants that.
    fn reboot(&self, vcpu: &mut dyn Vcpu, reboot: Reboot) -> Result<()> {
        log::info!("the guest reboots: {:?}", reboot.kind);
        self.machine.reset(vcpu, reboot)?;
        if let RebootKind::ReIpl { .. } = reboot.kind {
            self.boot(vcpu)?;
        }
        Ok(())
    }
}
