// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One device: status, features and configuration.
//!
//! Status and features live in the page; the host looks at them when a hypercall tells it to.
//! Features have no hypercall of their own: the host sees them with the next SET_STATUS or
//! NOTIFY.

use core::sync::atomic::{fence, Ordering};

use s390_hypercall::{RESET, SET_STATUS};
use s390_virtio_page::{status, Descriptor, PageBytes, VqConfig, MAX_FEATURE_BITS};

use crate::error::check;
use crate::{Error, Hypervisor};

/// A device of the page.
#[derive(Debug)]
pub struct Device<P, H> {
    page: P,
    page_address: u64,
    desc: Descriptor,
    host: H,
    /// The features accepted; remembered, since the host could rewrite what is in the page.
    accepted: u32,
}

impl<P: PageBytes, H: Hypervisor> Device<P, H> {
    pub(crate) fn new(page: P, page_address: u64, desc: Descriptor, host: H) -> Self {
        Device {
            page,
            page_address,
            desc,
            host,
            accepted: 0,
        }
    }

    /// The virtio device id.
    pub fn device_type(&self) -> u8 {
        self.desc.device_type()
    }

    /// Guest-physical address of the descriptor, by which the host knows the device.
    pub fn address(&self) -> u64 {
        self.page_address + self.desc.offset() as u64
    }

    /// Number of queues.
    pub fn num_queues(&self) -> u8 {
        self.desc.layout().num_vq
    }

    /// Bytes of configuration space.
    pub fn config_len(&self) -> usize {
        self.desc.layout().config_len.into()
    }

    /// The status byte.
    pub fn status(&self) -> u8 {
        self.desc.status(&self.page)
    }

    /// Sets further bits of the status byte and tells the host.
    pub fn add_status(&mut self, bits: u8) -> Result<(), Error> {
        let status = self.status() | bits;
        self.desc.set_status(&mut self.page, status);
        fence(Ordering::SeqCst);
        check(self.host.hypercall(SET_STATUS, self.address()))
    }

    /// Resets the device. Afterwards the host uses no buffer and sends no interruption any more.
    pub fn reset(&mut self) -> Result<(), Error> {
        fence(Ordering::SeqCst);
        self.accepted = 0;
        check(self.host.hypercall(RESET, self.address()))?;
        fence(Ordering::SeqCst);
        match self.status() {
            0 => Ok(()),
            status => Err(Error::NotReset(status)),
        }
    }

    /// First steps of every driver: reset, ACKNOWLEDGE, DRIVER, and acceptance of those features
    /// in `supported` that the host offers, which are the result.
    pub fn begin(&mut self, supported: u32) -> Result<u32, Error> {
        self.reset()?;
        self.add_status(status::ACKNOWLEDGE)?;
        self.add_status(status::DRIVER)?;
        Ok(self.finalize_features(supported))
    }

    /// Last step of every driver: its queues are in place.
    pub fn driver_ok(&mut self) -> Result<(), Error> {
        self.add_status(status::DRIVER_OK)
    }

    /// The driver gives up.
    pub fn fail(&mut self) -> Result<(), Error> {
        self.add_status(status::FAILED)
    }

    /// Features that the host offers, feature 0 in the lowest bit.
    pub fn host_features(&self) -> u32 {
        self.desc.host_features(&self.page)
    }

    /// Accepts exactly those features in `accepted` that the host offers, which are the result.
    pub fn finalize_features(&mut self, accepted: u32) -> u32 {
        self.accepted = self.desc.finalize_features(&mut self.page, accepted);
        self.accepted
    }

    /// The features accepted so far, feature 0 in the lowest bit.
    pub fn features(&self) -> u32 {
        self.accepted
    }

    /// Whether the host offers feature `bit`; if so, accepts it at once, as the first guests did.
    pub fn test_and_accept(&mut self, bit: u32) -> bool {
        let offered = self.desc.test_and_accept(&mut self.page, bit);
        if offered && bit < MAX_FEATURE_BITS {
            self.accepted |= 1 << bit;
        }
        offered
    }

    /// Copies configuration bytes from `offset` on.
    pub fn read_config(&self, offset: usize, data: &mut [u8]) -> Result<(), Error> {
        Ok(self.desc.read_config(&self.page, offset, data)?)
    }

    /// `N` configuration bytes from `offset` on; turn them into a number with `from_be_bytes`.
    pub fn config<const N: usize>(&self, offset: usize) -> Result<[u8; N], Error> {
        let mut data = [0; N];
        self.read_config(offset, &mut data)?;
        Ok(data)
    }

    /// Copies bytes to the configuration space. The host is not told.
    pub fn write_config(&mut self, offset: usize, data: &[u8]) -> Result<(), Error> {
        Ok(self.desc.write_config(&mut self.page, offset, data)?)
    }

    /// What the host says about queue `index`.
    pub fn queue_config(&self, index: u8) -> Result<VqConfig, Error> {
        self.desc
            .queue(&self.page, index)
            .ok_or(Error::NoSuchQueue(index))
    }

    pub(crate) fn set_token(&mut self, index: u8, token: u64) {
        self.desc.set_token(&mut self.page, index, token);
    }

    pub(crate) fn host(&self) -> &H {
        &self.host
    }
}
