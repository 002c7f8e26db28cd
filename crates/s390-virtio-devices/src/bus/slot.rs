// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One device on the bus and the turns of its life.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use s390_hypervisor::Vm;
use s390_virtio_page::words::{DeviceType, Features, Status};
use s390_virtio_page::{status, DeviceLayout, DeviceView};
use s390_vring::{BigEndian, Layout, Queue, RingFeatures};
use vm_memory::{GuestAddress, GuestMemory};

use super::driver_signal::DriverSignal;
use super::error::BusError;
use super::{lock, DeviceId, SharedDevice};
use crate::metrics::Counter;
use crate::{ActivateError, Activation};

/// A device, its place in the page, and whether it runs.
///
/// Locks are taken in the order `pause`, `life`, `device`. The event loop takes `device` alone.
pub(super) struct Slot<M> {
    signal: Arc<DriverSignal<M>>,
    device: SharedDevice<M>,
    events: Vec<Arc<vmm_sys_util::eventfd::EventFd>>,
    life: Mutex<Life>,
    pause: Mutex<Pause>,
    /// Whether the device is active; for NOTIFY, which takes no lock then.
    active: AtomicBool,
}

/// What SET_STATUS and RESET change, and the configuration.
#[derive(Default)]
pub(super) struct Life {
    driver_ok: bool,
    /// The status byte as it was last announced.
    status: u8,
    /// The driver has given up, and none has begun since.
    failed: bool,
    /// What the driver had accepted when the device became active.
    features: u32,
    /// The configuration space as host and driver last agreed on it: what differs in the page was
    /// written by the driver, what differs in the device was changed by the host.
    config: Vec<u8>,
}

/// A pause, and what the guest is to be told after it.
#[derive(Default)]
struct Pause {
    paused: bool,
    added: bool,
    config_changed: bool,
}

impl Life {
    /// Whether `status` says FAILED for the first time. The bit itself stays through the next
    /// driver's life: Linux binds again after a failed probe without a RESET.
    fn gives_up(&self, status: u8) -> bool {
        status & !self.status & status::FAILED != 0
    }
}

impl<M: GuestMemory + Send + Sync + 'static> Slot<M> {
    pub(super) fn new(
        id: DeviceId,
        layout: DeviceLayout,
        device: SharedDevice<M>,
        memory: Arc<M>,
        vm: Arc<dyn Vm>,
    ) -> Result<Arc<Self>, BusError> {
        let name = format!("virtio{} {}", id.0, DeviceType(layout.device_type()));
        let (events, metrics) = {
            let mut device = lock(&device);
            device.set_name(&name);
            (device.queue_events().to_vec(), device.device_metrics())
        };
        let slot = Slot {
            signal: Arc::new(DriverSignal {
                name,
                layout,
                memory,
                vm,
                metrics,
                broken: AtomicBool::new(false),
                breaches: Counter::default(),
                lost: Counter::default(),
            }),
            device,
            events,
            life: Mutex::default(),
            pause: Mutex::default(),
            active: AtomicBool::new(false),
        };
        slot.rebuild(&mut lock(&slot.life))?;
        Ok(Arc::new(slot))
    }

    pub(super) fn layout(&self) -> &DeviceLayout {
        &self.signal.layout
    }

    pub(super) fn view(&self) -> DeviceView<'_, M> {
        self.signal.view()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.signal.broken.load(Ordering::SeqCst)
    }

    /// Whether the device has a driver that uses the event index.
    pub(super) fn has_event_index(&self) -> Result<bool, BusError> {
        let accepted = self.view().accepted_features()?;
        let ring = RingFeatures::from_bits(accepted.into());
        Ok(ring.event_idx && self.active.load(Ordering::SeqCst))
    }

    pub(super) fn name(&self) -> &str {
        &self.signal.name
    }

    /// NOTIFY of queue `index`. Returns whether the ring is a good one.
    pub(super) fn notify(&self, index: u16) -> Result<bool, BusError> {
        log::trace!("{}: queue {index}: NOTIFY", self.name());
        if let Some(metrics) = self.signal.metrics(index) {
            metrics.kicks.inc();
        }
        if !self.active.load(Ordering::SeqCst) {
            self.early_kick()?;
        }
        // A driver that hears of it can give up; one that does not would wait for ever.
        if self.is_broken() {
            return Ok(false);
        }
        self.wake(index);
        Ok(true)
    }

    /// Drivers up to Linux 3.18 use their queues before they say DRIVER_OK. Accepted features
    /// are final by then, except with Linux 2.6.27 to 2.6.30, see [`renegotiate`](Self::renegotiate).
    fn early_kick(&self) -> Result<(), BusError> {
        let mut life = lock(&self.life);
        let status = self.view().status()?;
        let failed = life.failed || life.gives_up(status);
        if status & status::DRIVER != 0 && !failed {
            self.start(&mut life)?;
        }
        Ok(())
    }

    /// SET_STATUS: the guest wrote the status byte.
    pub(super) fn set_status(&self) -> Result<(), BusError> {
        let pause = lock(&self.pause);
        let mut life = lock(&self.life);
        let status = self.view().status()?;
        log::trace!(
            "{}: SET_STATUS {status:#04x}: {}",
            self.name(),
            Status(status)
        );
        if status == 0 {
            return self.reset_locked(&mut life);
        }
        if life.gives_up(status) {
            // It frees its queues without a RESET.
            self.stop(&mut life);
            self.signal.retract()?;
            life.failed = true;
        } else if status & status::DRIVER_OK == 0 {
            // A driver that begins: rings and configuration are as they were left by the previous
            // one, which may be the same driver before a rebind without a RESET.
            self.stop(&mut life);
            self.signal.retract()?;
            self.view().zero_rings()?;
            self.renew_config(&mut life)?;
        } else if !life.failed {
            if !life.driver_ok {
                self.renegotiate(&pause, &mut life)?;
            }
            self.take_config(&mut life)?;
            self.start(&mut life)?;
            life.driver_ok = true;
        }
        life.status = status;
        Ok(())
    }

    /// RESET.
    pub(super) fn reset(&self) -> Result<(), BusError> {
        log::trace!("{}: RESET", self.name());
        self.reset_locked(&mut lock(&self.life))
    }

    fn reset_locked(&self, life: &mut Life) -> Result<(), BusError> {
        self.stop(life);
        self.signal.retract()?;
        self.view().reset()?;
        self.renew_config(life)?;
        self.signal.broken.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// The device's part of a machine reset: it stops. The page comes later, when all have; until
    /// then the caller keeps the lock, so that nobody takes what is left there for the driver's.
    pub(super) fn power_off(&self) -> MutexGuard<'_, Life> {
        {
            // That was for a guest that is gone.
            let mut pause = lock(&self.pause);
            (pause.added, pause.config_changed) = (false, false);
        }
        let mut life = lock(&self.life);
        self.stop(&mut life);
        self.signal.broken.store(false, Ordering::SeqCst);
        life
    }

    /// Writes the device into a page where it is not: its part of a machine reset, after
    /// [`power_off`](Self::power_off).
    pub(super) fn rebuild(&self, life: &mut Life) -> Result<(), BusError> {
        life.config = self.device_config();
        Ok(self.view().rebuild(&life.config)?)
    }

    /// See [`VirtioBus::pause`](super::VirtioBus::pause).
    pub(super) fn pause(&self) {
        lock(&self.pause).paused = true;
        lock(&self.device).pause();
    }

    /// See [`VirtioBus::resume`](super::VirtioBus::resume).
    pub(super) fn resume(&self) -> Result<(), BusError> {
        let before = std::mem::take(&mut *lock(&self.pause));
        lock(&self.device).resume();
        let announced = match before.added {
            true => self.announce(),
            false => Ok(()),
        };
        let told = match before.config_changed {
            true => self.config_changed(),
            false => Ok(()),
        };
        announced.and(told)
    }

    /// See [`VirtioBus::announce`](super::VirtioBus::announce).
    pub(super) fn announce(&self) -> Result<(), BusError> {
        let mut pause = lock(&self.pause);
        if pause.paused {
            pause.added = true;
            return Ok(());
        }
        self.signal.added_event()
    }

    /// See [`VirtioBus::config_changed`](super::VirtioBus::config_changed).
    pub(super) fn config_changed(&self) -> Result<(), BusError> {
        let mut pause = lock(&self.pause);
        if pause.paused {
            pause.config_changed = true;
            return Ok(());
        }
        let mut life = lock(&self.life);
        // What the driver wrote since the last look must not be lost.
        self.take_config(&mut life)?;
        self.show_config(&mut life)?;
        // Drivers up to Linux 3.17 call through a driver that must be bound.
        if life.driver_ok {
            self.signal.config_event()?;
        }
        Ok(())
    }

    /// See [`VirtioBus::look_at_config`](super::VirtioBus::look_at_config).
    pub(super) fn look_at_config(&self) -> Result<(), BusError> {
        self.take_config(&mut lock(&self.life))
    }

    fn device_config(&self) -> Vec<u8> {
        let mut config = vec![0; self.layout().layout().config_len.into()];
        lock(&self.device).read_config(0, &mut config);
        config
    }

    /// Gives the next driver the device's configuration, whatever the last one wrote.
    fn renew_config(&self, life: &mut Life) -> Result<(), BusError> {
        life.config = self.device_config();
        Ok(self.view().write_config(0, &life.config)?)
    }

    /// Shows the driver what the host changed. No other byte is stored: the driver may write its
    /// own at any moment.
    fn show_config(&self, life: &mut Life) -> Result<(), BusError> {
        let config = self.device_config();
        let mut end = 0;
        while let Some(skipped) = config[end..]
            .iter()
            .zip(&life.config[end..])
            .position(|(new, old)| new != old)
        {
            let start = end + skipped;
            let changed = config[start..]
                .iter()
                .zip(&life.config[start..])
                .take_while(|(new, old)| new != old);
            end = start + changed.count();
            self.view().write_config(start, &config[start..end])?;
        }
        life.config = config;
        Ok(())
    }

    /// The driver writes its configuration space without telling anybody: look now. What the host
    /// changed meanwhile stays.
    fn take_config(&self, life: &mut Life) -> Result<(), BusError> {
        let mut page = vec![0; life.config.len()];
        self.view().read_config(0, &mut page)?;
        if page != life.config {
            let mut device = lock(&self.device);
            let mut config = page.clone();
            device.read_config(0, &mut config);
            for ((byte, new), old) in config.iter_mut().zip(&page).zip(&life.config) {
                if new != old {
                    *byte = *new;
                }
            }
            device.write_config(0, &config);
            life.config = page;
        }
        Ok(())
    }

    /// Activates the device, unless it is active or broken. A device that refuses is broken.
    fn start(&self, life: &mut Life) -> Result<(), BusError> {
        if self.active.load(Ordering::SeqCst) || self.is_broken() {
            return Ok(());
        }
        let accepted = self.view().accepted_features()?;
        match self.activate(accepted.into()) {
            Ok(()) => {
                let features = Features {
                    device_type: self.layout().device_type(),
                    bits: accepted,
                };
                log::debug!(
                    "{}: active, features {accepted:#x}: {features}",
                    self.name()
                );
                life.features = accepted;
                self.active.store(true, Ordering::SeqCst);
                // What was added without a notification that reached us.
                (0u16..)
                    .take(self.events.len())
                    .for_each(|index| self.wake(index));
            }
            Err(error) => crate::SignalDriver::needs_reset(&*self.signal, &*error),
        }
        Ok(())
    }

    fn activate(&self, driver_features: u64) -> Result<(), ActivateError> {
        let memory = &self.signal.memory;
        let mut queues = Vec::with_capacity(self.layout().queues().len());
        for place in self.layout().queues() {
            let size = place.ring.num();
            let mut queue = Queue::<BigEndian>::new(size)?;
            let layout = Layout::legacy(size).ok_or("no ring has that size")?;
            queue.set_layout(GuestAddress(place.address), &layout)?;
            queue.set_features(RingFeatures::from_bits(driver_features))?;
            queue.activate(&**memory)?;
            // At the start, unless it was in use before DRIVER_OK.
            let position = queue.used_idx(&**memory, Ordering::Relaxed)?;
            queue.set_next_avail(position);
            queue.set_next_used(position);
            queues.push(queue);
        }
        lock(&self.device).activate(Activation {
            memory: memory.clone(),
            queues,
            driver_features,
            driver: self.signal.clone(),
        })
    }

    /// Lets a device that is active since an early kick begin again if its driver has accepted other
    /// features since: Linux 2.6.27 to 2.6.30 write them down behind their probe, together with
    /// DRIVER_OK. No chain is lost by this: what the device has is given back or, taken in its order, is
    /// taken again.
    fn renegotiate(&self, pause: &Pause, life: &mut Life) -> Result<(), BusError> {
        let accepted = self.view().accepted_features()?;
        if !self.active.load(Ordering::SeqCst) || accepted == life.features {
            return Ok(());
        }
        {
            let mut device = lock(&self.device);
            device.pause();
            device.reset();
            if !pause.paused {
                device.resume();
            }
        }
        self.active.store(false, Ordering::SeqCst);
        // What the driver has written there since shows as a difference.
        life.config = self.device_config();
        Ok(())
    }

    /// Stops the device: when this returns it writes no ring and sends no interruption.
    fn stop(&self, life: &mut Life) {
        *life = Life {
            config: std::mem::take(&mut life.config),
            ..Life::default()
        };
        self.active.store(false, Ordering::SeqCst);
        lock(&self.device).reset();
    }

    fn wake(&self, index: u16) {
        if let Some(event) = self.events.get(usize::from(index)) {
            // Only a counter that is full fails, and then the event is set anyway.
            let _ = event.write(1);
        }
    }
}
