// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's half: finding devices in the page and talking to them through it.
//!
//! A [`Descriptor`] can only be had from a scan that checked it against the end of the page, and
//! it keeps the lengths it was checked with. So no access leaves the page, whatever its bytes
//! say later.

use core::fmt;

use crate::bytes::{read_array, write_all};
use crate::{
    DescLayout, PageBytes, MAX_FEATURE_BITS, OFFSET_CONFIG_LEN, OFFSET_FEATURE_LEN, OFFSET_NUM_VQ,
    OFFSET_STATUS, OFFSET_TYPE, PAGE_SIZE, TYPE_END, VQCONFIG_ADDRESS, VQCONFIG_NUM,
    VQCONFIG_TOKEN,
};

/// A device that claims bytes behind the end of the page.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// Offset of its descriptor in the page.
    pub offset: usize,
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the device at {:#x} runs over the end of the page",
            self.offset
        )
    }
}

impl core::error::Error for Overrun {}

/// An access outside a device's configuration space.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ConfigRange;

impl fmt::Display for ConfigRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the access is outside the configuration space")
    }
}

impl core::error::Error for ConfigRange {}

/// What the host says about one queue.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct VqConfig {
    /// The guest's own name for the queue; 0 when it has none.
    pub token: u64,
    /// Guest-physical address of the ring, also the operand of NOTIFY.
    pub address: u64,
    /// Entries in the ring.
    pub num: u16,
}

/// Finds the devices of a page, in order.
pub fn scan<P: PageBytes>(page: &P) -> Scan<'_, P> {
    Scan { page, offset: 0 }
}

/// The iterator that [`scan`] returns. It ends at the terminator, at the end of the page, or
/// behind the first device that does not fit.
#[derive(Debug)]
pub struct Scan<'a, P> {
    page: &'a P,
    offset: usize,
}

impl<P: PageBytes> Iterator for Scan<'_, P> {
    type Item = Result<Descriptor, Overrun>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = Descriptor::read(self.page, self.offset).transpose()?;
        self.offset = match &found {
            Ok(descriptor) => descriptor.offset + descriptor.layout.size(),
            Err(_) => PAGE_SIZE,
        };
        Some(found)
    }
}

/// A device in the page: where it is, and the lengths it had when it was found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    offset: usize,
    device_type: u8,
    layout: DescLayout,
}

impl Descriptor {
    /// The device whose descriptor starts at `offset`, or `None` if the list ends there.
    ///
    /// # Errors
    ///
    /// [`Overrun`]: the device claims bytes behind the end of the page.
    pub fn read<P: PageBytes>(page: &P, offset: usize) -> Result<Option<Self>, Overrun> {
        if offset >= PAGE_SIZE || page.read(offset + OFFSET_TYPE) == TYPE_END {
            return Ok(None);
        }
        if offset + OFFSET_STATUS >= PAGE_SIZE {
            return Err(Overrun { offset });
        }
        let layout = DescLayout {
            num_vq: page.read(offset + OFFSET_NUM_VQ),
            feature_len: page.read(offset + OFFSET_FEATURE_LEN),
            config_len: page.read(offset + OFFSET_CONFIG_LEN),
        };
        if offset + layout.size() > PAGE_SIZE {
            return Err(Overrun { offset });
        }
        Ok(Some(Descriptor {
            offset,
            device_type: page.read(offset + OFFSET_TYPE),
            layout,
        }))
    }

    /// Offset of the descriptor in the page; page address plus this is the operand of RESET and
    /// SET_STATUS.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The virtio device id.
    pub const fn device_type(&self) -> u8 {
        self.device_type
    }

    /// Number of queues and lengths of features and configuration space.
    pub const fn layout(&self) -> DescLayout {
        self.layout
    }

    /// The status byte (see [`status`](crate::status)).
    pub fn status(&self, page: &impl PageBytes) -> u8 {
        page.read(self.offset + OFFSET_STATUS)
    }

    /// Writes the status byte; the host learns of it by SET_STATUS.
    pub fn set_status(&self, page: &mut impl PageBytes, status: u8) {
        page.write(self.offset + OFFSET_STATUS, status);
    }

    /// Queue `index`, or `None` if the device does not have it.
    pub fn queue(&self, page: &impl PageBytes, index: u8) -> Option<VqConfig> {
        let at = self.queue_offset(index)?;
        Some(VqConfig {
            token: u64::from_be_bytes(read_array(page, at + VQCONFIG_TOKEN)),
            address: u64::from_be_bytes(read_array(page, at + VQCONFIG_ADDRESS)),
            num: u16::from_be_bytes(read_array(page, at + VQCONFIG_NUM)),
        })
    }

    /// Writes the token that the host repeats with every interruption of queue `index`; 0 stops
    /// them. Does nothing for a queue that the device does not have.
    pub fn set_token(&self, page: &mut impl PageBytes, index: u8, token: u64) {
        if let Some(at) = self.queue_offset(index) {
            write_all(page, at + VQCONFIG_TOKEN, &token.to_be_bytes());
        }
    }

    /// The first 32 features that the host offers, feature 0 in the lowest bit.
    pub fn host_features(&self, page: &impl PageBytes) -> u32 {
        self.bitmap(page, self.layout.host_features())
    }

    /// The first 32 features that were accepted, feature 0 in the lowest bit.
    pub fn guest_features(&self, page: &impl PageBytes) -> u32 {
        self.bitmap(page, self.layout.guest_features())
    }

    /// Whether the host offers feature `bit`; if so, accepts it. The way of the first guests,
    /// which had no separate step to conclude the negotiation.
    pub fn test_and_accept(&self, page: &mut impl PageBytes, bit: u32) -> bool {
        // Not `>`: the bit just behind the bitmap belongs to the next part of the device.
        if bit / 8 >= u32::from(self.layout.feature_len) {
            return false;
        }
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        let offered = page.read(self.offset + self.layout.host_features() + byte) & mask != 0;
        if offered {
            let at = self.offset + self.layout.guest_features() + byte;
            let accepted = page.read(at) | mask;
            page.write(at, accepted);
        }
        offered
    }

    /// Accepts exactly the features in `accepted` (feature 0 in the lowest bit), forgetting what
    /// was accepted before. Features that the host does not offer are left out. The result is
    /// what was accepted.
    pub fn finalize_features(&self, page: &mut impl PageBytes, accepted: u32) -> u32 {
        let accepted = accepted & self.host_features(page);
        let at = self.offset + self.layout.guest_features();
        let bytes = accepted.to_le_bytes();
        for i in 0..usize::from(self.layout.feature_len) {
            page.write(at + i, bytes.get(i).copied().unwrap_or(0));
        }
        accepted
    }

    /// Copies configuration bytes from `offset` on. There is no generation count: the host may
    /// change them meanwhile.
    ///
    /// # Errors
    ///
    /// [`ConfigRange`]: not all of the bytes are in the configuration space; none was copied.
    pub fn read_config(
        &self,
        page: &impl PageBytes,
        offset: usize,
        data: &mut [u8],
    ) -> Result<(), ConfigRange> {
        let at = self.config_offset(offset, data.len())?;
        for (i, byte) in data.iter_mut().enumerate() {
            *byte = page.read(at + i);
        }
        Ok(())
    }

    /// Copies bytes to the configuration space. The host is not told.
    ///
    /// # Errors
    ///
    /// [`ConfigRange`]: not all of the bytes are in the configuration space; none was copied.
    pub fn write_config(
        &self,
        page: &mut impl PageBytes,
        offset: usize,
        data: &[u8],
    ) -> Result<(), ConfigRange> {
        let at = self.config_offset(offset, data.len())?;
        write_all(page, at, data);
        Ok(())
    }

    fn queue_offset(&self, index: u8) -> Option<usize> {
        (index < self.layout.num_vq).then(|| self.offset + self.layout.vqconfig(index))
    }

    fn config_offset(&self, offset: usize, len: usize) -> Result<usize, ConfigRange> {
        match offset.checked_add(len) {
            Some(end) if end <= usize::from(self.layout.config_len) => {
                Ok(self.offset + self.layout.config() + offset)
            }
            _ => Err(ConfigRange),
        }
    }

    fn bitmap(&self, page: &impl PageBytes, at: usize) -> u32 {
        let len = usize::from(self.layout.feature_len).min(MAX_FEATURE_BITS as usize / 8);
        (0..len).fold(0, |bits, i| {
            bits | u32::from(page.read(self.offset + at + i)) << (8 * i)
        })
    }
}
