// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Features, configuration space and life of a balloon.

use std::io;
use std::sync::Arc;

use vmm_sys_util::eventfd::EventFd;

use super::handler::{BalloonHandler, STATISTICS_QUEUE};
use super::metrics::BalloonMetrics;
use super::pages::BALLOON_PAGE_SIZE;
use super::statistics::Statistics;
use crate::device::copy_config;
use crate::event::QueueEvents;
use crate::metrics::DeviceMetrics;
use crate::{ActivateError, Activation, Transport, VirtioDevice};

/// Virtio device id of a memory balloon (virtio 1.2, section 5).
const VIRTIO_ID_BALLOON: u32 = 5;
/// Feature: there is a queue of statistics.
const VIRTIO_BALLOON_F_STATS_VQ: u32 = 1;
const QUEUE_SIZE: u16 = 128;
/// `struct virtio_balloon_config`: pages wanted, pages there are. It is little-endian on every
/// transport.
const CONFIG_LEN: usize = 8;
const ACTUAL: usize = 4;

/// Why a balloon cannot have a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a balloon in {ram_size} bytes of RAM cannot have {size}: it must be less, and a multiple of {BALLOON_PAGE_SIZE}")]
pub struct BalloonError {
    /// Size that was wanted, in bytes.
    size: u64,
    /// Size of RAM in bytes.
    ram_size: u64,
}

/// A balloon: memory that the guest leaves to the host when it is asked to.
pub struct Balloon<T: Transport> {
    ram_size: u64,
    /// Pages that shall be in the balloon.
    target: u32,
    /// Pages that are, as the guest says.
    actual: u32,
    pub(super) statistics: Option<Statistics>,
    pub(super) events: QueueEvents,
    pub(super) handler: Option<BalloonHandler<T>>,
    pub(super) metrics: Arc<BalloonMetrics>,
}

impl<T: Transport> std::fmt::Debug for Balloon<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Balloon")
            .field("target", &self.target)
            .field("actual", &self.actual)
            .field("active", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Balloon<T> {
    /// An empty balloon in a guest with `ram_size` bytes of RAM from address 0. No page behind
    /// them is ever taken.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(ram_size: u64) -> io::Result<Self> {
        Ok(Balloon {
            ram_size,
            target: 0,
            actual: 0,
            statistics: None,
            events: QueueEvents::new(3)?,
            handler: None,
            metrics: Arc::default(),
        })
    }

    /// The device's counters, which go on through resets.
    pub fn metrics(&self) -> Arc<BalloonMetrics> {
        self.metrics.clone()
    }

    /// Lets the balloon be `size` bytes large, the guest willing; the transport has to announce
    /// the change.
    ///
    /// # Errors
    ///
    /// The size is no multiple of [`BALLOON_PAGE_SIZE`], or the guest does not have so much.
    pub fn set_target(&mut self, size: u64) -> Result<(), BalloonError> {
        let error = BalloonError {
            size,
            ram_size: self.ram_size,
        };
        if size % BALLOON_PAGE_SIZE != 0 || size >= self.ram_size {
            return Err(error);
        }
        self.target = u32::try_from(size / BALLOON_PAGE_SIZE).map_err(|_| error)?;
        Ok(())
    }

    /// Bytes that shall be in the balloon.
    pub fn target(&self) -> u64 {
        u64::from(self.target) * BALLOON_PAGE_SIZE
    }

    /// Bytes that are in the balloon, as the guest says. It says so in its configuration space,
    /// at which the transport has to look.
    pub fn actual(&self) -> u64 {
        u64::from(self.actual) * BALLOON_PAGE_SIZE
    }

    /// What the guest last said of its memory.
    pub fn statistics(&self) -> Option<&Statistics> {
        self.statistics.as_ref()
    }

    /// Asks the guest for new statistics, which come some time later, if it has a driver.
    pub fn request_statistics(&mut self) {
        if let Some(handler) = &mut self.handler {
            handler.request_statistics();
            if let Some(event) = self.events.as_slice().get(usize::from(STATISTICS_QUEUE)) {
                // Only a counter that is full fails, and then the event is set anyway.
                let _ = event.write(1);
            }
        }
    }
}

impl<T: Transport> VirtioDevice<T> for Balloon<T> {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_BALLOON
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE; 3]
    }

    fn device_features(&self) -> u64 {
        1 << VIRTIO_BALLOON_F_STATS_VQ
    }

    fn config_len(&self) -> usize {
        CONFIG_LEN
    }

    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let mut config = [0; CONFIG_LEN];
        config[..ACTUAL].copy_from_slice(&self.target.to_le_bytes());
        config[ACTUAL..].copy_from_slice(&self.actual.to_le_bytes());
        copy_config(&config, offset, data);
    }

    /// The driver decides how many pages there are.
    fn write_config(&mut self, offset: usize, data: &[u8]) {
        let mut config = [0; CONFIG_LEN];
        VirtioDevice::<T>::read_config(self, 0, &mut config);
        for (byte, new) in config.iter_mut().skip(offset).zip(data) {
            *byte = *new;
        }
        let [_, _, _, _, actual @ ..] = config;
        self.actual = u32::from_le_bytes(actual);
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
        let queues =
            <[_; 3]>::try_from(activation.queues).map_err(|_| "a balloon has three queues")?;
        self.handler = Some(BalloonHandler::new(
            activation.memory,
            queues,
            activation.driver,
            self.ram_size,
            self.metrics.clone(),
        ));
        Ok(())
    }

    /// The guest has all of its memory again.
    fn reset(&mut self) {
        self.handler = None;
        self.actual = 0;
        self.statistics = None;
    }

    fn pause(&mut self) {
        self.events.pause();
    }

    fn resume(&mut self) {
        self.events.resume();
    }
}

#[cfg(test)]
mod tests {
    use s390_vring::BigEndian;

    use super::*;
    use crate::test_utils::TestTransport;

    type BigBalloon = Balloon<TestTransport<BigEndian>>;

    fn config(balloon: &BigBalloon) -> [u8; CONFIG_LEN] {
        let mut config = [0; CONFIG_LEN];
        balloon.read_config(0, &mut config);
        config
    }

    #[test]
    fn the_configuration_is_little_endian_on_every_transport() {
        let mut balloon = BigBalloon::new(1 << 20).unwrap();
        balloon.set_target(0x3000).unwrap();
        assert_eq!(config(&balloon), [3, 0, 0, 0, 0, 0, 0, 0]);
        // Of what the driver writes only its own half counts.
        balloon.write_config(0, &[9, 9, 9, 9, 2, 0, 0, 0]);
        assert_eq!(config(&balloon), [3, 0, 0, 0, 2, 0, 0, 0]);
        balloon.write_config(5, &[1]);
        assert_eq!(balloon.actual(), 0x102 * 0x1000);
        balloon.write_config(usize::MAX, &[1]);
        assert_eq!((balloon.target(), balloon.actual()), (0x3000, 0x102000));
        VirtioDevice::reset(&mut balloon);
        assert_eq!((balloon.target(), balloon.actual()), (0x3000, 0));
    }

    #[test]
    fn not_all_of_ram_fits_into_a_balloon() {
        let mut balloon = BigBalloon::new(1 << 20).unwrap();
        balloon.set_target((1 << 20) - 4096).unwrap();
        for size in [1, 1 << 20, u64::MAX - 4095] {
            assert!(balloon.set_target(size).is_err(), "{size}");
        }
        assert_eq!(balloon.target(), (1 << 20) - 4096);
        let error = balloon.set_target(1).unwrap_err().to_string();
        assert!(error.starts_with("a balloon in 1048576 bytes of RAM cannot have 1: "));
    }
}
