// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What carries out the commands.

use std::sync::Arc;
use std::time::Duration;

use s390_hypervisor::{VcpuHandle, Vm};
use s390_machine::{Reboot, RebootKind};
use s390_virtio_devices::bus::BusError;
use s390_virtio_devices::console::ConsoleSize;
use serde_json::{json, Value};
use vm_memory::{Bytes, GuestAddress};

use super::api::Command;
use crate::config::Hotplug;
use crate::devices::{Device, Devices};
use crate::reboot::Rebooter;
use crate::vm::{Power, Shared, Stopper};
use crate::{Error, Result};

/// CPUs leave the guest at once; something is wrong with one that takes this long.
const PAUSE_TIME: Duration = Duration::from_secs(3);

/// A running machine, for whoever commands it.
pub(crate) struct Manager {
    pub(crate) shared: Arc<Shared>,
    pub(crate) devices: Arc<Devices>,
    pub(crate) vm: Arc<dyn Vm>,
    pub(crate) rebooter: Arc<Rebooter>,
    pub(crate) cpus: Vec<Arc<dyn VcpuHandle>>,
    pub(crate) power: Power,
    pub(crate) stopper: Stopper,
    pub(crate) hotplug: Hotplug,
}

/// What a command comes to.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was done.
    None,
    /// It was done, and there is something to say.
    Json(Value),
    /// The bytes that were asked for.
    Bytes(Vec<u8>),
}

impl Manager {
    pub(super) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Carries out a command.
    pub(super) fn execute(&self, command: Command) -> Result<Answer> {
        match command {
            Command::Info => self.info(),
            Command::Counters => self.counters(),
            Command::Page => self.page(),
            Command::Pause => self.pause(),
            Command::Resume => self.resume(),
            Command::PowerButton => match self.power.button() {
                true => Ok(Answer::None),
                false => Err(Error::NotListening),
            },
            Command::Reset => self.reset(),
            Command::AddDisk(disk) => self.added(self.devices.add_disk(&disk)?),
            Command::AddNet(net) => self.added(self.devices.add_net(&net)?),
            Command::AddShare(share) => self.added(self.devices.add_share(&share)?),
            Command::ResizeDisk { disk, size } => {
                let size = self.devices.resize_disk(&disk, size)?;
                Ok(Answer::Json(json!({ "size": size })))
            }
            Command::Link { net, up } => self.devices.set_link(net, up).map(|()| Answer::None),
            Command::Balloon { size } => self.devices.set_balloon(size).map(|()| Answer::None),
            Command::BalloonStatistics => self.devices.balloon_statistics().map(Answer::Json),
            Command::ConsoleSize { columns, rows } => {
                let size = ConsoleSize { columns, rows };
                self.devices.resize_console(size).map(|()| Answer::None)
            }
        }
    }

    fn info(&self) -> Result<Answer> {
        let devices = self.devices.list();
        let devices = devices.iter().map(|device| self.devices.state(device));
        Ok(Answer::Json(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "state": if self.rebooter.is_paused() { "paused" } else { "running" },
            "memory": self.shared.ram_size,
            "cpus": self.cpus.len(),
            "hotplug": self.hotplug != Hotplug::Never,
            "pending-interruptions": self.vm.pending_interrupts()?,
            "devices": devices.collect::<Result<Vec<_>>>()?,
        })))
    }

    fn counters(&self) -> Result<Answer> {
        let devices = self.devices.list();
        let counters = devices
            .iter()
            .map(|device| Ok((device.name.clone(), self.devices.counters(device)?)));
        Ok(Answer::Json(counters.collect::<Result<Value>>()?))
    }

    fn page(&self) -> Result<Answer> {
        let mut page = vec![0; s390_virtio_page::PAGE_SIZE];
        // The page lies right behind RAM.
        self.shared
            .memory
            .read_slice(&mut page, GuestAddress(self.shared.ram_size))
            .map_err(Error::GuestMemory)?;
        Ok(Answer::Bytes(page))
    }

    /// CPUs first: nothing begins any more. Then time, which shall not pass for those who do
    /// nothing, and then what is in flight.
    fn pause(&self) -> Result<Answer> {
        let kick = || self.cpus.iter().for_each(|cpu| cpu.kick());
        if !self.rebooter.pause(kick, PAUSE_TIME) {
            self.resume()?;
            return Err(Error::NotPaused);
        }
        self.shared.machine.stop_clock()?;
        self.devices.pause();
        Ok(Answer::None)
    }

    /// The CPUs go on whatever happens.
    fn resume(&self) -> Result<Answer> {
        let devices = self.devices.resume();
        let clock = self.shared.machine.start_clock();
        self.rebooter.resume();
        devices?;
        clock?;
        Ok(Answer::None)
    }

    fn reset(&self) -> Result<Answer> {
        log::info!("the machine is reset from outside");
        let reboot = Reboot {
            kind: RebootKind::ReIpl { clear: true },
            cpu: self.cpus.first().map_or(0, |cpu| cpu.address()),
        };
        self.rebooter.request(&self.shared.machine, reboot)?;
        Ok(Answer::None)
    }

    /// Tells the guest of a new device, if that is wanted and it understands. The device is there
    /// in any case.
    fn added(&self, device: Device) -> Result<Answer> {
        let announced = match self.hotplug {
            Hotplug::Never => Ok(false),
            Hotplug::Shown => self.devices.announce(&device).map(|()| true),
            Hotplug::Always => self.devices.announce_unchecked(&device).map(|()| true),
        };
        let id = device.name;
        Ok(Answer::Json(match announced {
            Err(error @ BusError::UnknownGuest) => {
                json!({ "id": id, "announced": false, "reason": error.to_string() })
            }
            announced => json!({ "id": id, "announced": announced? }),
        }))
    }
}
