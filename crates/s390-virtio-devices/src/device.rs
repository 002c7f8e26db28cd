// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a device is to its transport, and what a transport is to its devices.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use s390_vring::{ByteOrder, DeviceQueue};
use vm_memory::GuestMemory;
use vmm_sys_util::eventfd::EventFd;

use crate::metrics::DeviceMetrics;

/// What a transport fixes for the devices that it carries, as types.
///
/// Devices are generic over it: the same block device serves big-endian legacy rings and
/// little-endian modern ones, and no code asks for the byte order at run time.
pub trait Transport: 'static {
    /// Byte order of request headers and configuration space.
    type Order: ByteOrder;
    /// The virtqueue.
    type Queue: DeviceQueue + Send;
    /// Guest memory, which queues and buffers lie in.
    type Memory: GuestMemory + Send + Sync + 'static;
}

/// How a device reaches its driver. Callable from any thread, without any lock held by the
/// transport.
pub trait SignalDriver: Send + Sync {
    /// What log lines call the device: its place on the transport and its kind.
    fn name(&self) -> &str;

    /// Buffers of queue `queue` were used and the driver wants to hear of it.
    fn signal_used_queue(&self, queue: u16);

    /// The driver broke a rule and the device has stopped its queues. It works again after a
    /// reset.
    fn needs_reset(&self, reason: &dyn Error);

    /// Copies configuration bytes from `offset` on as the driver has left them, and returns whether
    /// there are such. The transport of 2008 does not hear of a driver's stores: a device that
    /// lets its driver choose how requests are done looks here when it begins one. Other transports
    /// call [`write_config`](VirtioDevice::write_config) at each store, and this does nothing.
    fn driver_config(&self, offset: usize, data: &mut [u8]) -> bool {
        let _ = (offset, data);
        false
    }
}

/// What a device gets when its driver is ready.
pub struct Activation<T: Transport> {
    /// Guest memory.
    pub memory: Arc<T::Memory>,
    /// The queues, configured and ready, as many as
    /// [`queue_max_sizes`](VirtioDevice::queue_max_sizes) names.
    pub queues: Vec<T::Queue>,
    /// The features that the driver accepted, a subset of those offered; feature 0 in the lowest
    /// bit.
    pub driver_features: u64,
    /// The way back to the driver.
    pub driver: Arc<dyn SignalDriver>,
}

impl<T: Transport> fmt::Debug for Activation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activation")
            .field("queues", &self.queues.len())
            .field(
                "driver_features",
                &format_args!("{:#x}", self.driver_features),
            )
            .finish_non_exhaustive()
    }
}

/// Why a device did not start.
pub type ActivateError = Box<dyn Error + Send + Sync>;

/// A virtio device, as a transport sees it.
///
/// The names are those of rust-vmm's `virtio-device`, the rules those of legacy virtio: the
/// transport keeps status and feature words, there is no `FEATURES_OK`, and `activate` may come
/// before `DRIVER_OK`, at the first notification, because drivers up to Linux 3.18 use their
/// queues that early. If the driver accepts other features with `DRIVER_OK`, as it does up to Linux
/// 2.6.30, the transport lets the device pause, be reset, resume and be activated again, its queues
/// at the chain behind the last one that was used.
pub trait VirtioDevice<T: Transport>: Send {
    /// The virtio device id (virtio 1.2, section 5).
    fn device_type(&self) -> u32;

    /// Entries of each queue: powers of two.
    fn queue_max_sizes(&self) -> &[u16];

    /// The features that the device offers, without those of the ring; feature 0 in the lowest
    /// bit.
    fn device_features(&self) -> u64;

    /// Bytes of configuration space, enough for the fields of every offered feature: a driver
    /// treats an access beyond as a bug of the host.
    fn config_len(&self) -> usize;

    /// Copies configuration bytes from `offset` on; what lies outside is 0.
    fn read_config(&self, offset: usize, data: &mut [u8]);

    /// The driver changed configuration bytes from `offset` on; a device takes what it lets a
    /// driver decide and ignores the rest. It may be inactive, and a CPU may wait: what takes its
    /// time is for the event loop.
    fn write_config(&mut self, offset: usize, data: &[u8]) {
        let _ = (offset, data);
    }

    /// One event per queue, the same for the device's whole life. The transport writes it when
    /// the driver notifies.
    fn queue_events(&self) -> &[Arc<EventFd>];

    /// The device has its place on the transport, and this is what log lines shall call it. The
    /// transport says so once, before anything else happens.
    fn set_name(&mut self, name: &str) {
        let _ = name;
    }

    /// The counters of the device, in which the transport counts notifications and interruptions.
    fn device_metrics(&self) -> Option<Arc<dyn DeviceMetrics>> {
        None
    }

    /// Starts work on the queues. The transport signals every queue event afterwards, so that
    /// what is in the queues already is not missed.
    ///
    /// # Errors
    ///
    /// The device cannot work with these queues or features; it stays inactive.
    fn activate(&mut self, activation: Activation<T>) -> Result<(), ActivateError>;

    /// Stops: after the return the device touches neither queues nor memory and signals nothing,
    /// until it is activated again.
    fn reset(&mut self);

    /// Waits for what is being done, and begins nothing more until [`resume`](Self::resume): after
    /// the return the device touches neither queues nor memory and signals nothing. Events wait
    /// meanwhile, those of the queues and those of the other side: nothing of either is lost. A
    /// device that is activated or reset while it is paused stays paused.
    fn pause(&mut self);

    /// Goes on after a pause with the events that wait.
    fn resume(&mut self);
}

/// Copies from `config`, the configuration space as it is, for
/// [`read_config`](VirtioDevice::read_config).
pub(crate) fn copy_config(config: &[u8], offset: usize, data: &mut [u8]) {
    data.fill(0);
    let Some(source) = config.get(offset..) else {
        return;
    };
    let len = source.len().min(data.len());
    data[..len].copy_from_slice(&source[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_reads_outside_are_zero() {
        let mut data = [9; 4];
        copy_config(&[1, 2, 3], 1, &mut data);
        assert_eq!(data, [2, 3, 0, 0]);
        copy_config(&[1, 2, 3], usize::MAX, &mut data);
        assert_eq!(data, [0; 4]);
    }
}
