// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Features, configuration space and life of a network device.

use std::io;
use std::sync::Arc;

use s390_vring::ByteOrder;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_RX,
    VIRTIO_NET_F_CTRL_RX_EXTRA, VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_MAC,
    VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MTU, VIRTIO_NET_F_STATUS, VIRTIO_NET_S_LINK_UP,
};
use vmm_sys_util::eventfd::EventFd;

use super::backend::NetBackend;
use super::handler::{NetHandler, RX_QUEUE, TX_QUEUE};
use super::header::{HeaderOrder, Offloads};
use super::mac::MacAddress;
use super::metrics::NetMetrics;
use crate::device::copy_config;
use crate::event::QueueEvents;
use crate::metrics::DeviceMetrics;
use crate::rate_limiter::{RateLimiter, RateLimits};
use crate::{ActivateError, Activation, Transport, VirtioDevice};

/// Entries of receive, transmit and control queue.
const QUEUE_SIZES: [u16; 3] = [256, 256, 64];
/// Features of the device whatever its backend is.
const FEATURES: u64 = 1 << VIRTIO_NET_F_MAC
    | 1 << VIRTIO_NET_F_STATUS
    | 1 << VIRTIO_NET_F_MRG_RXBUF
    | 1 << VIRTIO_NET_F_CTRL_VQ
    | 1 << VIRTIO_NET_F_CTRL_RX
    | 1 << VIRTIO_NET_F_CTRL_RX_EXTRA
    | 1 << VIRTIO_NET_F_CTRL_VLAN
    | 1 << VIRTIO_NET_F_CTRL_MAC_ADDR;
/// `struct virtio_net_config` up to and with `status`, and with `mtu`.
const CONFIG_LEN: usize = 8;
const CONFIG_LEN_MTU: usize = 12;
/// Least MTU of a device (virtio 1.2, 5.1.4.1).
pub const MIN_MTU: u16 = 68;

/// A network interface: receive, transmit and control queue in front of a [`NetBackend`].
pub struct Net<T: Transport> {
    /// What log lines call it.
    pub(super) name: String,
    pub(super) backend: Box<dyn NetBackend>,
    mac: MacAddress,
    mtu: Option<u16>,
    link_up: bool,
    pub(super) events: QueueEvents,
    pub(super) rx_limiter: RateLimiter,
    pub(super) tx_limiter: RateLimiter,
    pub(super) handler: Option<NetHandler<T>>,
    /// The backend was told what a driver accepted, whose handler may be gone.
    agreed: bool,
    pub(super) metrics: Arc<NetMetrics>,
}

impl<T: Transport> std::fmt::Debug for Net<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net")
            .field("mac", &self.mac)
            .field("mtu", &self.mtu)
            .field("link_up", &self.link_up)
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
            name: "net".to_owned(),
            backend,
            mac,
            mtu: None,
            link_up: true,
            events: QueueEvents::new(QUEUE_SIZES.len())?,
            rx_limiter: RateLimiter::new(RateLimits::default())?,
            tx_limiter: RateLimiter::new(RateLimits::default())?,
            handler: None,
            agreed: false,
            metrics: Arc::default(),
        })
    }

    /// Tells the driver how long packets on this link may be, in bytes without the Ethernet
    /// header; [`MIN_MTU`] at least. Without it a driver assumes 1500.
    #[must_use]
    pub fn with_mtu(mut self, mtu: u16) -> Self {
        self.mtu = Some(mtu.max(MIN_MTU));
        self
    }

    /// Limits frames and bytes in each direction by itself. What waits for its turn waits in the
    /// guest or in the backend.
    pub fn set_rate_limits(&mut self, limits: RateLimits) {
        self.rx_limiter.set_limits(limits);
        self.tx_limiter.set_limits(limits);
    }

    /// The device's counters, which go on through resets.
    pub fn metrics(&self) -> Arc<NetMetrics> {
        self.metrics.clone()
    }

    /// Whether the link is up.
    pub fn is_link_up(&self) -> bool {
        self.link_up
    }

    /// Plugs the cable in or out: without it frames are dropped in both directions. The caller
    /// tells the driver that the configuration changed.
    pub fn set_link(&mut self, up: bool) {
        self.link_up = up;
        if let Some(handler) = &mut self.handler {
            handler.set_link(up);
        }
        // What waits for the other side is dropped now.
        self.events.wake(RX_QUEUE);
        self.events.wake(TX_QUEUE);
    }
}

impl<T: Transport> VirtioDevice<T> for Net<T> {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn device_features(&self) -> u64 {
        let offloads = self.backend.offloads();
        let mut features = FEATURES | offloads.features();
        if offloads.csum {
            features |= 1 << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS;
        }
        if self.mtu.is_some() {
            features |= 1 << VIRTIO_NET_F_MTU;
        }
        features
    }

    fn config_len(&self) -> usize {
        match self.mtu {
            Some(_) => CONFIG_LEN_MTU,
            None => CONFIG_LEN,
        }
    }

    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let mac = self.handler.as_ref().map_or(self.mac, NetHandler::mac);
        let status = match self.link_up {
            true => VIRTIO_NET_S_LINK_UP as u16,
            false => 0,
        };
        let mut config = [0; CONFIG_LEN_MTU];
        config[..6].copy_from_slice(&mac.0);
        // Status, pairs of queues, MTU.
        let numbers = [status, 1, self.mtu.unwrap_or(0)];
        for (field, number) in config[6..].chunks_mut(2).zip(numbers) {
            field.copy_from_slice(&T::Order::u16(number).to_ne_bytes());
        }
        copy_config(&config[..VirtioDevice::<T>::config_len(self)], offset, data);
    }

    fn write_config(&mut self, offset: usize, data: &[u8]) {
        let mac = data.first_chunk().filter(|_| offset == 0);
        if let (Some(mac), Some(handler)) = (mac, &mut self.handler) {
            handler.set_mac(MacAddress(*mac));
        }
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        self.events.as_slice()
    }

    fn set_name(&mut self, name: &str) {
        self.events.set_name(name);
        self.rx_limiter.set_name(name);
        self.tx_limiter.set_name(name);
        self.backend.set_name(name);
        name.clone_into(&mut self.name);
    }

    fn device_metrics(&self) -> Option<Arc<dyn DeviceMetrics>> {
        Some(self.metrics.clone())
    }

    fn activate(&mut self, activation: Activation<T>) -> Result<(), ActivateError> {
        let metrics = self.metrics.clone();
        self.agreed = true;
        let mut handler = NetHandler::new(activation, &mut *self.backend, self.mac, metrics)?;
        handler.set_link(self.link_up);
        self.handler = Some(handler);
        Ok(())
    }

    fn reset(&mut self) {
        self.handler = None;
        if !std::mem::take(&mut self.agreed) {
            return;
        }
        // What comes from now on is for a driver that may know of no offloads.
        let order = HeaderOrder::of::<T::Order>();
        if let Err(error) = self.backend.set_offloads(Offloads::default(), order) {
            log::debug!("{}: offloads stay: {error}", self.name);
        }
    }

    fn pause(&mut self) {
        self.events.pause();
    }

    fn resume(&mut self) {
        self.events.resume();
    }
}
