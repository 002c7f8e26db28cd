// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Features, configuration space and life of a block device.

use std::io;
use std::sync::Arc;

use s390_vring::ByteOrder;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_SIZE_MAX,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use vmm_sys_util::eventfd::EventFd;

use super::backend::{BlockBackend, SECTOR_SIZE};
use super::handler::BlockHandler;
use super::metrics::BlockMetrics;
use crate::device::copy_config;
use crate::event::QueueEvents;
use crate::{ActivateError, Activation, Transport, VirtioDevice};

const QUEUE_SIZE: u16 = 128;
/// Header and status take a descriptor each.
const SEG_MAX: u32 = QUEUE_SIZE as u32 - 2;
/// Bytes of a segment: what drivers cut requests to anyway.
const SIZE_MAX: u32 = 1 << 20;
/// `struct virtio_blk_config` up to and with `blk_size`.
const CONFIG_LEN: usize = 24;

/// A disk: one request queue in front of a [`BlockBackend`].
pub struct Block<T: Transport> {
    pub(super) backend: Box<dyn BlockBackend>,
    pub(super) events: QueueEvents,
    pub(super) handler: Option<BlockHandler<T>>,
    pub(super) metrics: Arc<BlockMetrics>,
}

impl<T: Transport> std::fmt::Debug for Block<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("size", &self.backend.size())
            .field("read_only", &self.backend.is_read_only())
            .field("active", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Block<T> {
    /// A disk on `backend`.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(backend: Box<dyn BlockBackend>) -> io::Result<Self> {
        Ok(Block {
            backend,
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
        self.backend.size()
    }

    /// Changes the capacity, see [`BlockBackend::resize`]; the transport has to announce the
    /// change.
    ///
    /// # Errors
    ///
    /// The storage cannot have that size. Nothing has changed then.
    pub fn resize(&mut self, size: Option<u64>) -> io::Result<()> {
        self.backend.resize(size)
    }

    fn config(&self) -> [u8; CONFIG_LEN] {
        let mut config = [0; CONFIG_LEN];
        let capacity = self.backend.size() / SECTOR_SIZE;
        config[..8].copy_from_slice(&T::Order::u64(capacity).to_ne_bytes());
        config[8..12].copy_from_slice(&T::Order::u32(SIZE_MAX).to_ne_bytes());
        config[12..16].copy_from_slice(&T::Order::u32(SEG_MAX).to_ne_bytes());
        // Geometry, at 16, belongs to a feature that is not offered.
        config[20..].copy_from_slice(&T::Order::u32(SECTOR_SIZE as u32).to_ne_bytes());
        config
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
        let mut features = 1 << VIRTIO_BLK_F_SIZE_MAX
            | 1 << VIRTIO_BLK_F_SEG_MAX
            | 1 << VIRTIO_BLK_F_BLK_SIZE
            | 1 << VIRTIO_BLK_F_FLUSH;
        if self.backend.is_read_only() {
            features |= 1 << VIRTIO_BLK_F_RO;
        }
        features
    }

    fn config_len(&self) -> usize {
        CONFIG_LEN
    }

    fn read_config(&self, offset: usize, data: &mut [u8]) {
        copy_config(&self.config(), offset, data);
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        self.events.as_slice()
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
        self.handler = None;
    }
}
