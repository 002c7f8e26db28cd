// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device's way to its driver: interruptions with the tokens of its queues.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use s390_extint::{ExternalInterrupt, VirtioEvent};
use s390_hypervisor::Vm;
use s390_virtio_page::{status, DeviceLayout, DeviceView};
use vm_memory::GuestMemory;

use super::error::BusError;
use crate::metrics::{Counter, DeviceMetrics, QueueMetrics};
use crate::SignalDriver;

/// What a device of the bus holds to signal its driver. It takes no lock.
pub(super) struct DriverSignal<M> {
    pub(super) name: String,
    pub(super) layout: DeviceLayout,
    pub(super) memory: Arc<M>,
    pub(super) vm: Arc<dyn Vm>,
    pub(super) metrics: Option<Arc<dyn DeviceMetrics>>,
    pub(super) broken: AtomicBool,
    /// Times that the driver broke a rule.
    pub(super) breaches: Counter,
    /// Interruptions that the backend did not take.
    pub(super) lost: Counter,
}

impl<M: GuestMemory> DriverSignal<M> {
    /// The device in the page.
    pub(super) fn view(&self) -> DeviceView<'_, M> {
        DeviceView::new(&self.layout, &*self.memory)
    }

    /// The token is read now and not at activation: the guest may have taken the queue away.
    fn queue_event(&self, queue: u16) -> Result<(), BusError> {
        let name = &self.name;
        match self.view().token(queue.into())? {
            Some(token) => {
                log::trace!("{name}: queue {queue}: used, interruption with token {token:#x}");
                self.interrupt(queue, VirtioEvent::Vring { token })
            }
            // The guest does not know the queue by any name: it would call through a null
            // pointer.
            None => {
                log::trace!("{name}: queue {queue}: used, no interruption without a token");
                Ok(())
            }
        }
    }

    /// Tells the driver of a new configuration, under the first token that there is.
    pub(super) fn config_event(&self) -> Result<(), BusError> {
        for queue in 0..self.queues() {
            if let Some(token) = self.view().token(queue.into())? {
                let name = &self.name;
                log::trace!("{name}: configuration changed, interruption with token {token:#x}");
                return self.interrupt(queue, VirtioEvent::ConfigChanged { token });
            }
        }
        Ok(())
    }

    /// The counters of a queue.
    pub(super) fn metrics(&self, queue: u16) -> Option<&QueueMetrics> {
        self.metrics.as_ref()?.of_queue(queue)
    }

    fn queues(&self) -> u16 {
        self.layout.layout().num_vq.into()
    }

    /// Interrupts in the name of `queue`.
    fn interrupt(&self, queue: u16, event: VirtioEvent) -> Result<(), BusError> {
        self.inject(event)?;
        if let Some(metrics) = self.metrics(queue) {
            metrics.interrupts.inc();
        }
        Ok(())
    }

    /// Tells the guest that the device was added.
    pub(super) fn added_event(&self) -> Result<(), BusError> {
        let (name, desc) = (&self.name, self.layout.address());
        log::trace!("{name}: device added, interruption with {desc:#x}");
        self.inject(VirtioEvent::DeviceAdded { desc })
    }

    /// Takes back what was signalled and has not arrived: it would come under a token that is
    /// void.
    pub(super) fn retract(&self) -> Result<(), BusError> {
        for queue in 0..self.queues() {
            if let Some(token) = self.view().token(queue.into())? {
                for event in [
                    VirtioEvent::Vring { token },
                    VirtioEvent::ConfigChanged { token },
                ] {
                    self.vm.retract(ExternalInterrupt::virtio(event))?;
                }
            }
        }
        Ok(())
    }

    fn inject(&self, event: VirtioEvent) -> Result<(), BusError> {
        Ok(self.vm.inject(ExternalInterrupt::virtio(event))?)
    }
}

impl<M: GuestMemory + Send + Sync> SignalDriver for DriverSignal<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn signal_used_queue(&self, queue: u16) {
        if let Err(error) = self.queue_event(queue) {
            if let Some(number) = self.lost.occasion() {
                let name = &self.name;
                log::error!("{name}: queue {queue}: interruption {number} lost: {error}");
            }
        }
    }

    fn driver_config(&self, offset: usize, data: &mut [u8]) -> bool {
        self.view().read_config(offset, data).is_ok()
    }

    fn needs_reset(&self, reason: &dyn Error) {
        if self.broken.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Some(number) = self.breaches.occasion() {
            let name = &self.name;
            let cause = reason.source().map(|cause| format!(": {cause}"));
            let cause = cause.unwrap_or_default();
            log::warn!(
                "{name}: stopped until the guest resets it (breach {number}): {reason}{cause}"
            );
        }
        if let Err(error) = self.view().add_status(status::DEVICE_NEEDS_RESET) {
            log::error!("{}: {error}", self.name);
        }
    }
}
