// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The host's access to one device in guest memory: status, features, configuration, tokens and
//! the headers of the rings.
//!
//! Offsets and lengths come from the host's own [`DeviceLayout`] only.

use core::sync::atomic::{fence, AtomicU8, Ordering};

use vm_memory::bitmap::Bitmap;
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryError, Permissions, VolatileMemory};

use crate::{
    DeviceLayout, PageBuilder, FEATURE_LEN, OFFSET_STATUS, OFFSET_TYPE, PAGE_SIZE, TOKEN_MASK,
    VQCONFIG_TOKEN,
};

/// Why an access to a device failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Page or rings are not in guest memory.
    #[error("the device page is not in guest memory")]
    Memory(#[from] GuestMemoryError),
    /// The access is outside the configuration space.
    #[error("{len} bytes at {offset} are outside the configuration space")]
    ConfigRange {
        /// First byte of the access.
        offset: usize,
        /// Bytes of the access.
        len: usize,
    },
    /// The device has no such queue.
    #[error("the device has no queue {0}")]
    NoSuchQueue(usize),
}

type Result<T> = core::result::Result<T, ViewError>;

/// One device of the page in guest memory, seen by the host.
#[derive(Debug)]
pub struct DeviceView<'a, M: ?Sized> {
    device: &'a DeviceLayout,
    mem: &'a M,
}

impl<'a, M: GuestMemory + ?Sized> DeviceView<'a, M> {
    /// The view of `device` in `mem`.
    pub fn new(device: &'a DeviceLayout, mem: &'a M) -> Self {
        DeviceView { device, mem }
    }

    /// The status byte that the guest wrote (see [`status`](crate::status)).
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn status(&self) -> Result<u8> {
        Ok(self.mem.read_obj(self.at(OFFSET_STATUS))?)
    }

    /// Replaces the status byte.
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn set_status(&self, status: u8) -> Result<()> {
        Ok(self.mem.write_obj(status, self.at(OFFSET_STATUS))?)
    }

    /// Sets bits of the status byte. The guest, which stores the byte at any moment, loses none of
    /// its own by this.
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn add_status(&self, bits: u8) -> Result<()> {
        let slices = self
            .mem
            .get_slices(self.at(OFFSET_STATUS), 1, Permissions::ReadWrite)?;
        for slice in slices {
            let slice = slice?;
            slice
                .get_atomic_ref::<AtomicU8>(0)
                .map_err(GuestMemoryError::from)?
                .fetch_or(bits, Ordering::SeqCst);
            slice.bitmap().mark_dirty(0, 1);
        }
        Ok(())
    }

    /// The features that the guest accepted, as far as they were offered; feature 0 in the
    /// lowest bit.
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn accepted_features(&self) -> Result<u32> {
        let mut bytes = [0; FEATURE_LEN as usize];
        let at = self.at(self.device.layout().guest_features());
        self.mem.read_slice(&mut bytes, at)?;
        Ok(u32::from_le_bytes(bytes) & self.device.features())
    }

    /// Reads configuration bytes, which the guest may have written.
    ///
    /// # Errors
    ///
    /// [`ViewError::ConfigRange`], [`ViewError::Memory`]
    pub fn read_config(&self, offset: usize, data: &mut [u8]) -> Result<()> {
        let at = self.config(offset, data.len())?;
        Ok(self.mem.read_slice(data, at)?)
    }

    /// Writes configuration bytes, for the guest to read after a config-changed interruption.
    ///
    /// # Errors
    ///
    /// [`ViewError::ConfigRange`], [`ViewError::Memory`]
    pub fn write_config(&self, offset: usize, data: &[u8]) -> Result<()> {
        let at = self.config(offset, data.len())?;
        self.mem.write_slice(data, at)?;
        fence(Ordering::Release);
        Ok(())
    }

    /// The guest's token for a queue, its reserved bit cleared; `None` while there is none, and
    /// then the queue cannot interrupt.
    ///
    /// # Errors
    ///
    /// [`ViewError::NoSuchQueue`], [`ViewError::Memory`]
    pub fn token(&self, queue: usize) -> Result<Option<u64>> {
        let index = u8::try_from(queue)
            .ok()
            .filter(|&index| index < self.device.layout().num_vq)
            .ok_or(ViewError::NoSuchQueue(queue))?;
        let mut bytes = [0; 8];
        let at = self.at(self.device.layout().vqconfig(index) + VQCONFIG_TOKEN);
        self.mem.read_slice(&mut bytes, at)?;
        let token = u64::from_be_bytes(bytes) & TOKEN_MASK;
        Ok((token != 0).then_some(token))
    }

    /// The page's share of RESET, to be done before the hypercall returns: status, accepted
    /// features and tokens become 0, and so do indices, flags and event words of the rings. An
    /// interruption under an old token would reach memory that the guest has freed. Descriptor
    /// tables and ring entries stay, since the guest walks them once more to take its buffers
    /// back.
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn reset(&self) -> Result<()> {
        self.set_status(0)?;
        let layout = self.device.layout();
        let at = self.at(layout.guest_features());
        self.mem.write_slice(&[0; FEATURE_LEN as usize], at)?;
        for index in 0..layout.num_vq {
            let at = self.at(layout.vqconfig(index) + VQCONFIG_TOKEN);
            self.mem.write_slice(&[0; size_of::<u64>()], at)?;
        }
        self.zero_ring_indices()
    }

    /// Zeroes `flags` and `idx` of available and used ring, `used_event` and `avail_event` of
    /// every queue, and nothing else.
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn zero_ring_indices(&self) -> Result<()> {
        for queue in self.device.queues() {
            let (base, ring) = (queue.address, queue.ring);
            for (offset, len) in [
                (ring.avail(), 4),
                (ring.used_event(), 2),
                (ring.used(), 4),
                (ring.avail_event(), 2),
            ] {
                zero(self.mem, base + offset as u64, len)?;
            }
        }
        Ok(())
    }

    /// Zeroes all ring memory of the device: part of a machine reset, and due whenever a driver
    /// begins (SET_STATUS without DRIVER_OK). A guest binds a driver again without a RESET in
    /// between, and does not clear the rings itself.
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn zero_rings(&self) -> Result<()> {
        for queue in self.device.queues() {
            zero(self.mem, queue.address, queue.ring.area() as u64)?;
        }
        Ok(())
    }

    /// Writes the device as no guest has touched it, see [`DeviceLayout::write`], and zeroes its
    /// rings. Right for a machine reset, and for a device added to a running guest: the type
    /// byte is stored last. The byte behind the device is not touched: it is 0, or the type of
    /// the next device.
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn rebuild(&self, config: &[u8]) -> Result<()> {
        let mut page = [0; PAGE_SIZE];
        self.device.write(&mut page, config);
        let start = self.device.offset();
        let size = self.device.layout().size();
        self.zero_rings()?;
        self.mem
            .store(0u8, self.at(OFFSET_TYPE), Ordering::Release)?;
        self.mem
            .write_slice(&page[start + 1..start + size], self.at(1))?;
        let device_type = self.device.device_type();
        self.mem
            .store(device_type, self.at(OFFSET_TYPE), Ordering::Release)?;
        Ok(())
    }

    fn at(&self, offset: usize) -> GuestAddress {
        GuestAddress(self.device.address() + offset as u64)
    }

    fn config(&self, offset: usize, len: usize) -> Result<GuestAddress> {
        match offset.checked_add(len) {
            Some(end) if end <= usize::from(self.device.layout().config_len) => {
                Ok(self.at(self.device.layout().config() + offset))
            }
            _ => Err(ViewError::ConfigRange { offset, len }),
        }
    }
}

impl PageBuilder {
    /// Zeroes page and rings: the first step of a machine reset, before every device is
    /// [rebuilt](DeviceView::rebuild) in order.
    ///
    /// # Errors
    ///
    /// [`ViewError::Memory`]
    pub fn zero<M: GuestMemory + ?Sized>(&self, mem: &M) -> Result<()> {
        zero(
            mem,
            self.page_address(),
            self.used_end() - self.page_address(),
        )
    }
}

fn zero<M: GuestMemory + ?Sized>(mem: &M, address: u64, len: u64) -> Result<()> {
    const CHUNK: u64 = PAGE_SIZE as u64;
    let mut done = 0;
    while done < len {
        let now = CHUNK.min(len - done);
        mem.write_slice(
            &[0; PAGE_SIZE][..now as usize],
            GuestAddress(address + done),
        )?;
        done += now;
    }
    Ok(())
}
