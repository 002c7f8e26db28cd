// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Features, configuration space and life of a network device.

use std::io;
use std::sync::Arc;

use s390_vring::ByteOrder;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{VIRTIO_NET_F_MAC, VIRTIO_NET_F_STATUS, VIRTIO_NET_S_LINK_UP};
use vmm_sys_util::eventfd::EventFd;

use super::backend::NetBackend;
use super::handler::NetHandler;
use super::mac::MacAddress;
use super::metrics::NetMetrics;
use crate::device::copy_config;
use crate::event::QueueEvents;
use crate::{ActivateError, Activation, Transport, VirtioDevice};

const QUEUE_SIZE: u16 = 256;
/// `struct virtio_net_config` up to and with `status`.
const CONFIG_LEN: usize = 8;

/// A network interface: a receive and a transmit queue in front of a [`NetBackend`].
pub struct Net<T: Transport> {
    pub(super) backend: Box<dyn NetBackend>,
    pub(super) mac: MacAddress,
    link_up: bool,
    pub(super) events: QueueEvents,
    pub(super) handler: Option<NetHandler<T>>,
    pub(super) metrics: Arc<NetMetrics>,
}

impl<T: Transport> std::fmt::Debug for Net<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net")
            .field("mac", &self.mac)
            .field("active", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Net<T> {
    /// An interface with address `mac` on `backend`, its link up.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(backend: Box<dyn NetBackend>, mac: MacAddress) -> io::Result<Self> {
        Ok(Net {
            backend,
            mac,
            link_up: true,
            events: QueueEvents::new(2)?,
            handler: None,
            metrics: Arc::default(),
        })
    }

    /// Takes the link up or down; the transport has to announce the change. While it is down
    /// frames are dropped in both directions.
    pub fn set_link(&mut self, up: bool) {
        self.link_up = up;
        if let Some(handler) = &mut self.handler {
            handler.set_link(up);
        }
    }

    /// The device's counters, which go on through resets.
    pub fn metrics(&self) -> Arc<NetMetrics> {
        self.metrics.clone()
    }
}

impl<T: Transport> VirtioDevice<T> for Net<T> {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE; 2]
    }

    fn device_features(&self) -> u64 {
        1 << VIRTIO_NET_F_MAC | 1 << VIRTIO_NET_F_STATUS
    }

    fn config_len(&self) -> usize {
        CONFIG_LEN
    }

    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let mut config = [0; CONFIG_LEN];
        config[..6].copy_from_slice(&self.mac.0);
        let status = match self.link_up {
            true => T::Order::u16(VIRTIO_NET_S_LINK_UP as u16),
            false => 0,
        };
        config[6..].copy_from_slice(&status.to_ne_bytes());
        copy_config(&config, offset, data);
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        self.events.as_slice()
    }

    fn activate(&mut self, activation: Activation<T>) -> Result<(), ActivateError> {
        let queues =
            <[_; 2]>::try_from(activation.queues).map_err(|_| "a network device has two queues")?;
        let mut handler = NetHandler::new(
            activation.memory,
            queues,
            activation.driver,
            activation.driver_features,
            self.metrics.clone(),
        );
        handler.set_link(self.link_up);
        self.handler = Some(handler);
        Ok(())
    }

    fn reset(&mut self) {
        self.handler = None;
    }
}
