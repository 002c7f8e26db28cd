// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The threads that run the CPUs.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use s390_hypervisor::{Vcpu, VcpuHandle};
use s390_machine::Outcome;

use crate::reboot::Rebooter;
use crate::stats::{thread_time, CpuStats, Stats};
use crate::vm::{Shared, Stopper};
use crate::{End, Error, Result};

/// Time after which a CPU that waits for room for its output looks for what else there is to do.
const ROOM_TIME: Duration = Duration::from_millis(10);

/// A thread for each CPU; they end when this is dropped.
pub(crate) struct VcpuThreads {
    rebooter: Arc<Rebooter>,
    threads: Vec<(Arc<dyn VcpuHandle>, JoinHandle<()>)>,
}

impl VcpuThreads {
    /// Starts a thread for each of `vcpus`, which meet at `rebooter`. How the guest ends goes to
    /// `stopper`, and what they did to `stats`.
    pub(crate) fn start(
        vcpus: Vec<Box<dyn Vcpu>>,
        shared: &Arc<Shared>,
        rebooter: &Arc<Rebooter>,
        stopper: &Stopper,
        stats: &Stats,
    ) -> Result<Self> {
        let mut this = VcpuThreads {
            rebooter: rebooter.clone(),
            threads: Vec::with_capacity(vcpus.len()),
        };
        for mut vcpu in vcpus {
            let (rebooter, shared) = (rebooter.clone(), shared.clone());
            let (stopper, stats) = (stopper.clone(), stats.clone());
            let handle = vcpu.handle();
            let thread = std::thread::Builder::new()
                .name(format!("cpu{}", vcpu.address()))
                .spawn(move || {
                    stopper.watch(|| {
                        let mut exits = 0;
                        let end = run(&mut *vcpu, &shared, &rebooter, &mut exits);
                        let did = CpuStats {
                            instructions: vcpu.instructions(),
                            exits,
                            time: thread_time(),
                        };
                        stats.record(vcpu.address(), did);
                        if let Some(end) = end? {
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
        self.rebooter.stop();
        for (handle, thread) in self.threads.drain(..) {
            handle.kick();
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Runs a CPU until the guest ends, or until it shall stop. Counts the exits.
fn run(
    vcpu: &mut dyn Vcpu,
    shared: &Shared,
    rebooter: &Rebooter,
    exits: &mut u64,
) -> Result<Option<End>> {
    while !rebooter.is_stopped() {
        rebooter.park();
        if rebooter.take_part(vcpu, shared)? {
            // The machine may still be paused.
            continue;
        }
        // A CPU that has printed more than anybody reads waits, where it can be paused and ended.
        if !shared.output.wait_for_room(ROOM_TIME) {
            continue;
        }
        let exit = vcpu.run()?;
        *exits += 1;
        match shared.machine.handle_exit(vcpu, exit)? {
            Outcome::Resume | Outcome::Stopped => {}
            Outcome::PowerOff => return Ok(Some(End::PowerOff)),
            Outcome::DisabledWait(psw) => return Ok(Some(End::DisabledWait(psw))),
            Outcome::Crashed(psw) => return Ok(Some(End::Crashed(psw))),
            Outcome::Reboot(reboot) => {
                log::info!("the guest resets the machine: {:?}", reboot.kind);
                rebooter.request(&shared.machine, reboot)?;
            }
        }
    }
    Ok(None)
}
