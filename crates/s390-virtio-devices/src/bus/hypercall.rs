// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The three hypercalls of the transport, and the machine reset.

use s390_hypercall::{Answer, HypercallHandler, EINVAL};
use vm_memory::GuestMemory;

use super::{BusError, VirtioBus};

impl<M: GuestMemory + Send + Sync + 'static> HypercallHandler for VirtioBus<M> {
    /// Every address below the end of RAM is a text of the early console, every other the
    /// address of a ring, which must be exact.
    fn notify(&self, addr: u64) -> Answer {
        if self.early_console.is_text(addr) {
            self.early_console.print(&*self.memory, addr);
            return Ok(0);
        }
        let Some((slot, queue)) = self.ring_at(addr) else {
            log::trace!("NOTIFY of {addr:#x}, where no ring is");
            return Ok(EINVAL);
        };
        match slot.notify(queue) {
            Ok(true) => Ok(0),
            Ok(false) => Ok(EINVAL),
            Err(error) => Ok(refuse(slot.name(), &error)),
        }
    }

    fn reset(&self, desc: u64) -> Answer {
        let Some(slot) = self.descriptor_at(desc) else {
            log::trace!("RESET of {desc:#x}, where no device is");
            return Ok(EINVAL);
        };
        let result = slot.reset();
        Ok(result.map_or_else(|error| refuse(slot.name(), &error), |()| 0))
    }

    fn set_status(&self, desc: u64) -> Answer {
        let Some(slot) = self.descriptor_at(desc) else {
            log::trace!("SET_STATUS of {desc:#x}, where no device is");
            return Ok(EINVAL);
        };
        let result = slot.set_status();
        Ok(result.map_or_else(|error| refuse(slot.name(), &error), |()| 0))
    }
}

impl<M: GuestMemory + Send + Sync + 'static> VirtioBus<M> {
    /// The devices' part of a machine reset (subsystem reset): they return to how they were before
    /// the guest's first instruction, and raise no interruption for what went before.
    pub fn machine_reset(&self) {
        log::trace!("machine reset");
        if let Err(error) = self.try_machine_reset() {
            log::error!("the devices cannot be reset: {error}");
        }
    }

    fn try_machine_reset(&self) -> Result<(), BusError> {
        let topology = self.topology();
        let mut lives: Vec<_> = topology.slots.iter().map(|slot| slot.power_off()).collect();
        // From here on no device signals; what they had signalled is for a guest that is gone.
        self.vm.clear_interrupts()?;
        topology.builder.zero(&*self.memory)?;
        for (slot, life) in topology.slots.iter().zip(&mut lives) {
            slot.rebuild(life)?;
        }
        Ok(())
    }
}

/// The VMM's own memory does not hold the page, which it checked when the device was added.
fn refuse(name: &str, error: &BusError) -> i64 {
    log::error!("{name}: {error}");
    EINVAL
}
