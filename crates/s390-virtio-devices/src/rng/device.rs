// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Life of an entropy device, which has neither features nor configuration space.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use vmm_sys_util::eventfd::EventFd;

use super::handler::RngHandler;
use super::metrics::RngMetrics;
use crate::event::QueueEvents;
use crate::metrics::DeviceMetrics;
use crate::{ActivateError, Activation, Transport, VirtioDevice};

/// Virtio device id of an entropy source (virtio 1.2, section 5).
const VIRTIO_ID_RNG: u32 = 4;
const QUEUE_SIZE: u16 = 8;

/// An entropy source: one request queue in front of a stream of random bytes.
pub struct Rng<T: Transport> {
    pub(super) source: Box<dyn Read + Send>,
    pub(super) events: QueueEvents,
    pub(super) handler: Option<RngHandler<T>>,
    pub(super) metrics: Arc<RngMetrics>,
}

impl<T: Transport> std::fmt::Debug for Rng<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rng")
            .field("active", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Rng<T> {
    /// An entropy device that hands out the bytes of `source`, which should not block.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(source: Box<dyn Read + Send>) -> io::Result<Self> {
        Ok(Rng {
            source,
            events: QueueEvents::new(1)?,
            handler: None,
            metrics: Arc::default(),
        })
    }

    /// An entropy device that hands out the bytes of the host's `/dev/urandom`.
    ///
    /// # Errors
    ///
    /// There is no such file, or the host is out of file descriptors.
    pub fn host() -> io::Result<Self> {
        Self::new(Box::new(File::open("/dev/urandom")?))
    }

    /// The device's counters, which go on through resets.
    pub fn metrics(&self) -> Arc<RngMetrics> {
        self.metrics.clone()
    }
}

impl<T: Transport> VirtioDevice<T> for Rng<T> {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn device_features(&self) -> u64 {
        0
    }

    fn config_len(&self) -> usize {
        0
    }

    fn read_config(&self, _: usize, data: &mut [u8]) {
        data.fill(0);
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        self.events.as_slice()
    }

    fn set_name(&mut self, name: &str) {
        self.events.set_name(name);
    }

    fn device_metrics(&self) -> Option<Arc<dyn DeviceMetrics>> {
        Some(self.metrics.clone())
    }

    fn activate(&mut self, activation: Activation<T>) -> Result<(), ActivateError> {
        let [queue] =
            <[_; 1]>::try_from(activation.queues).map_err(|_| "an entropy device has one queue")?;
        self.handler = Some(RngHandler::new(
            activation.memory,
            queue,
            activation.driver,
            self.metrics.clone(),
        ));
        Ok(())
    }

    fn reset(&mut self) {
        self.handler = None;
    }

    fn pause(&mut self) {
        self.events.pause();
    }

    fn resume(&mut self) {
        self.events.resume();
    }
}
