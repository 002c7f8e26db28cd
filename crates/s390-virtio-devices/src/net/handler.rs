// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loops of receive, transmit and control queue: free of file descriptors and threads.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_ERR, VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_OK,
};

use super::backend::{NetBackend, MAX_FRAME};
use super::buffers::FrameBuffers;
use super::ctrl::Command;
use super::filter::RxFilter;
use super::header::{HeaderOrder, Offloads, VnetHeader, GUEST_OFFLOADS};
use super::mac::MacAddress;
use super::metrics::NetMetrics;
use super::rx::{RxContext, RxQueue};
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::rate_limiter::RateLimiter;
use crate::{ActivateError, Activation, Progress, SignalDriver, Transport};

/// Number of the receive queue.
pub(super) const RX_QUEUE: u16 = 0;
/// Number of the transmit queue.
pub(super) const TX_QUEUE: u16 = 1;
/// Number of the control queue.
pub(super) const CTRL_QUEUE: u16 = 2;
/// Two addresses and a type: nothing shorter is a frame.
pub(super) const MIN_FRAME: usize = 14;

/// Serves the queues of an active network device.
pub struct NetHandler<T: Transport> {
    memory: Arc<T::Memory>,
    rx: RxQueue<T>,
    tx: T::Queue,
    ctrl: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    metrics: Arc<NetMetrics>,
    features: u64,
    /// Bytes of the header: with the number of buffers, if the driver expects it.
    header_len: usize,
    /// What the guest takes now.
    guest: Offloads,
    filter: RxFilter,
    link_up: bool,
}

impl<T: Transport> std::fmt::Debug for NetHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetHandler")
            .field("features", &format_args!("{:#x}", self.features))
            .field("link_up", &self.link_up)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> NetHandler<T> {
    /// A handler for an interface with address `mac` whose driver is ready; its link is up. The
    /// backend is told what the driver accepted.
    ///
    /// # Errors
    ///
    /// There are not three queues, or the backend refuses.
    pub fn new(
        activation: Activation<T>,
        backend: &mut dyn NetBackend,
        mac: MacAddress,
        metrics: Arc<NetMetrics>,
    ) -> Result<Self, ActivateError> {
        let [rx, tx, ctrl] = <[_; 3]>::try_from(activation.queues)
            .map_err(|_| "a network device has three queues")?;
        let features = activation.driver_features;
        let has = |bit: u32| features & 1 << bit != 0;
        let merge = has(VIRTIO_NET_F_MRG_RXBUF);
        let header_len = match merge || has(VIRTIO_F_VERSION_1) {
            true => VnetHeader::LEN + 2,
            false => VnetHeader::LEN,
        };
        let guest = Offloads::of_guest(features);
        backend.set_offloads(guest, HeaderOrder::of::<T::Order>())?;
        Ok(NetHandler {
            memory: activation.memory,
            rx: RxQueue::new(rx, header_len, merge),
            tx,
            ctrl,
            driver: activation.driver,
            metrics,
            features,
            header_len,
            guest,
            filter: RxFilter::new(
                mac,
                has(VIRTIO_NET_F_CTRL_MAC_ADDR),
                has(VIRTIO_NET_F_CTRL_VLAN),
            ),
            link_up: true,
        })
    }

    /// Plugs the cable in or out: without it frames are dropped in both directions.
    pub fn set_link(&mut self, up: bool) {
        self.link_up = up;
    }

    /// The interface's address, which its driver may have changed.
    pub fn mac(&self) -> MacAddress {
        self.filter.mac
    }

    /// The driver wrote another address into the configuration space, as it does if it has no
    /// command for that.
    pub(super) fn set_mac(&mut self, mac: MacAddress) {
        if self.features & 1 << VIRTIO_NET_F_CTRL_MAC_ADDR == 0 && mac.is_interface() {
            self.filter.mac = mac;
        }
    }

    /// Gives the guest frames of `backend` while it has both frames and buffers, at the rate of
    /// `limiter`. Without a buffer frames stay where they are.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_rx(
        &mut self,
        backend: &mut dyn NetBackend,
        limiter: &mut RateLimiter,
    ) -> Result<Progress, HandlerError> {
        let context = RxContext {
            memory: &*self.memory,
            backend,
            limiter,
            filter: &self.filter,
            offloads: self.guest,
            link_up: self.link_up,
            driver: &*self.driver,
            metrics: &self.metrics,
        };
        self.rx.process(context)
    }

    /// Gives `backend` the frames of the guest, at the rate of `limiter`. While the link is full
    /// they stay in the queue.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_tx(
        &mut self,
        backend: &mut dyn NetBackend,
        limiter: &mut RateLimiter,
    ) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (header_len, link_up) = (self.header_len, self.link_up);
        let host = Offloads::of_host(self.features);
        let name = self.driver.name();
        Drain {
            queue: &mut self.tx,
            memory,
            index: TX_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.tx_queue,
        }
        .run(|chain| {
            let mut reader = chain.reader(memory)?;
            let mut bytes = [0; VnetHeader::LEN + 2];
            reader
                .read_exact(&mut bytes[..header_len])
                .map_err(|_| ChainError::Request("a frame shorter than the header"))?;
            let mut header = VnetHeader::default();
            header.0.copy_from_slice(&bytes[..VnetHeader::LEN]);
            let len = reader.available_bytes();
            let mut frame = FrameBuffers::new();
            for slice in reader.slices() {
                frame.push_guest(slice, MAX_FRAME);
            }
            let reason = if !link_up {
                &metrics.tx_dropped_link
            } else if len < MIN_FRAME {
                &metrics.tx_dropped_short
            } else if len > MAX_FRAME || frame.len() < len {
                &metrics.tx_dropped_long
            } else if !host.allow(&header) {
                &metrics.tx_dropped_offload
            } else {
                if !limiter.is_ready() {
                    metrics.tx_limited.inc();
                    return Ok(Disposition::Later);
                }
                match backend.write_frame(&header, &mut frame) {
                    Ok(()) => {
                        limiter.take(len as u64);
                        metrics.tx_frames.inc();
                        metrics.tx_bytes.add(len as u64);
                        metrics.tx_gso.add(header.is_gso().into());
                        metrics.tx_partial_csum.add(header.needs_csum().into());
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        metrics.tx_waits.inc();
                        return Ok(Disposition::Later);
                    }
                    Err(error) => {
                        log::debug!("{name}: queue {TX_QUEUE}: frame refused: {error}");
                        metrics.tx_errors.inc();
                    }
                }
                return Ok(Disposition::Used(0));
            };
            reason.inc();
            Ok(Disposition::Used(0))
        })
    }

    /// Does what the driver commands.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_ctrl(&mut self, backend: &mut dyn NetBackend) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (filter, features, guest) = (&mut self.filter, self.features, &mut self.guest);
        Drain {
            queue: &mut self.ctrl,
            memory,
            index: CTRL_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.ctrl_queue,
        }
        .run(|chain| {
            let command = Command::read::<T::Order, _>(&mut chain.reader(memory)?)
                .filter(|command| features & 1 << command.feature() != 0);
            let done = match command {
                Some(Command::GuestOffloads(bits)) => {
                    let offloads = Offloads::of_guest(bits);
                    let done = bits & !(features & GUEST_OFFLOADS) == 0
                        && backend
                            .set_offloads(offloads, HeaderOrder::of::<T::Order>())
                            .is_ok();
                    if done {
                        *guest = offloads;
                    }
                    done
                }
                Some(command) => filter.apply(command),
                None => false,
            };
            if !done {
                metrics.ctrl_refused.inc();
            }
            let answer = if done { VIRTIO_NET_OK } else { VIRTIO_NET_ERR };
            chain
                .writer(memory)?
                .write_all(&[answer as u8])
                .map_err(|_| ChainError::Request("a command without room for the answer"))?;
            Ok(Disposition::Used(1))
        })
    }
}

impl<T: Transport> Drop for NetHandler<T> {
    fn drop(&mut self) {
        if self.rx.has_waiting() {
            self.metrics.rx_dropped_reset.inc();
        }
    }
}

#[cfg(test)]
mod tests;
