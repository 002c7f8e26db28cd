// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Features, configuration space and life of a block device.

use std::io;
use std::sync::Arc;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH,
    VIRTIO_BLK_F_GEOMETRY, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX,
    VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_WRITE_ZEROES,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use vmm_sys_util::eventfd::EventFd;

use super::backend::BlockBackend;
use super::config::{Config, CONFIG_LEN, WRITEBACK};
use super::disk::{BlockOptions, Disk};
use super::engine::EngineKind;
use super::handler::BlockHandler;
use super::metrics::BlockMetrics;
use crate::device::copy_config;
use crate::drain::HandlerError;
use crate::event::QueueEvents;
use crate::metrics::DeviceMetrics;
use crate::rate_limiter::RateLimits;
use crate::{ActivateError, Activation, Progress, Transport, VirtioDevice};

const QUEUE_SIZE: u16 = 128;
/// Header and status take a descriptor each.
const SEG_MAX: u32 = QUEUE_SIZE as u32 - 2;

/// A disk: one request queue in front of a [`BlockBackend`].
pub struct Block<T: Transport> {
    pub(super) disk: Disk,
    pub(super) events: QueueEvents,
    pub(super) handler: Option<BlockHandler<T>>,
    pub(super) metrics: Arc<BlockMetrics>,
}

impl<T: Transport> std::fmt::Debug for Block<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("disk", &self.disk)
            .field("active", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Block<T> {
    /// A disk on `backend`, which does one request after the other in the event loop's thread.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(backend: Box<dyn BlockBackend>) -> io::Result<Self> {
        let options = BlockOptions {
            engine: EngineKind::Inline,
            ..BlockOptions::default()
        };
        Self::with_options(backend, options)
    }

    /// A disk on `backend`, treated as `options` say.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors or threads, or has no such engine; or the size is no
    /// whole number of logical blocks.
    pub fn with_options(backend: Box<dyn BlockBackend>, options: BlockOptions) -> io::Result<Self> {
        Self::with_disk(Disk::new(Arc::from(backend), options)?)
    }

    /// A device for `disk`.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn with_disk(disk: Disk) -> io::Result<Self> {
        Ok(Block {
            disk,
            events: QueueEvents::new(1)?,
            handler: None,
            metrics: Arc::default(),
        })
    }

    /// The device's counters, which go on through resets.
    pub fn metrics(&self) -> Arc<BlockMetrics> {
        self.metrics.clone()
    }

    /// Capacity in bytes.
    pub fn size(&self) -> u64 {
        self.disk.backend.size()
    }

    /// Changes the capacity, see [`BlockBackend::resize`]; the transport has to announce the
    /// change.
    ///
    /// # Errors
    ///
    /// The storage cannot have that size. Nothing has changed then.
    pub fn resize(&mut self, size: Option<u64>) -> io::Result<()> {
        self.disk.resize(size)
    }

    /// What the guest may ask for.
    pub fn limits(&self) -> RateLimits {
        self.disk.limiter.limits()
    }

    /// Changes what the guest may ask for.
    pub fn set_limits(&mut self, limits: RateLimits) {
        self.disk.limiter.set_limits(limits);
    }

    /// Whether writes are durable only after a flush.
    pub fn is_write_back(&self) -> bool {
        self.disk.write_back
    }

    /// Waits for what has begun, and gives back what is done.
    fn settle(&mut self) {
        self.disk.engine.settle();
        if let Some(handler) = &mut self.handler {
            let result = handler.complete(&mut self.disk).map(|()| Progress::Idle);
            self.follow(result);
        }
    }

    /// Goes on as the handler said. If it gave up, so does the engine: nothing writes memory, and
    /// what was written is marked, before the driver hears of it.
    pub(super) fn follow(&mut self, result: Result<Progress, HandlerError>) {
        if let (Err(_), Some(handler)) = (&result, &mut self.handler) {
            handler.cancel(&mut self.disk);
        }
        self.events
            .follow(0, result, &mut self.handler, |handler| &*handler.driver);
    }

    fn config(&self) -> [u8; CONFIG_LEN] {
        let config = Config {
            size: self.disk.backend.size(),
            seg_max: SEG_MAX,
            topology: self.disk.topology(),
            write_back: self.disk.write_back,
        };
        config.bytes::<T::Order>()
    }
}

impl<T: Transport> VirtioDevice<T> for Block<T> {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn device_features(&self) -> u64 {
        let features = 1 << VIRTIO_BLK_F_SIZE_MAX
            | 1 << VIRTIO_BLK_F_SEG_MAX
            | 1 << VIRTIO_BLK_F_GEOMETRY
            | 1 << VIRTIO_BLK_F_BLK_SIZE
            | 1 << VIRTIO_BLK_F_FLUSH
            | 1 << VIRTIO_BLK_F_TOPOLOGY
            | 1 << VIRTIO_BLK_F_CONFIG_WCE;
        features
            | match self.disk.backend.is_read_only() {
                true => 1 << VIRTIO_BLK_F_RO,
                false => 1 << VIRTIO_BLK_F_DISCARD | 1 << VIRTIO_BLK_F_WRITE_ZEROES,
            }
    }

    fn config_len(&self) -> usize {
        CONFIG_LEN
    }

    fn read_config(&self, offset: usize, data: &mut [u8]) {
        copy_config(&self.config(), offset, data);
    }

    /// Takes the cache mode.
    fn write_config(&mut self, offset: usize, data: &[u8]) {
        let value = WRITEBACK.checked_sub(offset).and_then(|i| data.get(i));
        if let Some(&value) = value {
            self.disk.set_write_back(value != 0);
        }
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        self.events.as_slice()
    }

    fn set_name(&mut self, name: &str) {
        self.events.set_name(name);
        self.disk.set_name(name);
    }

    fn device_metrics(&self) -> Option<Arc<dyn DeviceMetrics>> {
        Some(self.metrics.clone())
    }

    fn activate(&mut self, activation: Activation<T>) -> Result<(), ActivateError> {
        let [queue] =
            <[_; 1]>::try_from(activation.queues).map_err(|_| "a block device has one queue")?;
        self.handler = Some(BlockHandler::new(
            activation.memory,
            queue,
            activation.driver,
            activation.driver_features,
            self.metrics.clone(),
        ));
        Ok(())
    }

    fn reset(&mut self) {
        if let Some(mut handler) = self.handler.take() {
            handler.cancel(&mut self.disk);
        }
        self.disk.reset();
    }

    fn pause(&mut self) {
        self.settle();
        self.events.pause();
    }

    fn resume(&mut self) {
        self.events.resume();
    }
}
