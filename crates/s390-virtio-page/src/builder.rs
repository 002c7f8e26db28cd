// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The host's plan of the page: which device lies where, and where its rings are.
//!
//! The page sits at the end of the guest's RAM, the rings behind it in whole pages of their own,
//! at addresses that never change. The plan is a function of the RAM size and of the devices in
//! the order in which they were added.

use alloc::vec::Vec;

use crate::bytes::write_all;
use crate::{
    DescLayout, PageBytes, RingLayout, DESC_SIZE, FEATURE_LEN, OFFSET_CONFIG_LEN,
    OFFSET_FEATURE_LEN, OFFSET_NUM_VQ, OFFSET_STATUS, OFFSET_TYPE, PAGE_SIZE, TYPE_END,
    VQCONFIG_ADDRESS, VQCONFIG_NUM, VQCONFIG_SIZE,
};

/// Unit of RAM and of the memory behind it, in bytes: the strictest rule any KVM host has.
const MIB: u64 = 1 << 20;
/// More RAM than this is no s390 machine, and sums stay far from an overflow.
const MAX_RAM: u64 = 1 << 53;

/// Why a device or a page was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The RAM size in bytes is 0, no multiple of 1 MiB, or too large.
    #[error(
        "a RAM size of {0} bytes is not usable: \
         it must be a multiple of 1 MiB, more than 0 and at most 8 PiB"
    )]
    RamSize(u64),
    /// Device type 0 ends the list and is no device.
    #[error("0 is not a device type")]
    DeviceType,
    /// More than 255 queues.
    #[error("a device cannot have {0} queues: at most 255")]
    TooManyQueues(usize),
    /// A queue size that is no power of two up to 1024.
    #[error("a queue cannot have {0} entries: it must be a power of two, at most 1024")]
    QueueSize(u16),
    /// More than 255 bytes of configuration space.
    #[error("a configuration space cannot have {0} bytes: at most 255")]
    ConfigTooLong(usize),
    /// The device needs more bytes than are left in the page.
    #[error("the device needs {needed} bytes of the device page, which has {left} left")]
    PageFull {
        /// Bytes that the device needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The rings need more bytes than are left in the memory set aside for them.
    #[error("the device's rings need {needed} bytes, and {left} are left for rings")]
    RingMemoryFull {
        /// Bytes that the rings need.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
}

/// What a device wants to be in the page.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DeviceSpec<'a> {
    /// Virtio device id, not 0.
    pub device_type: u8,
    /// Entries of each queue: powers of two up to 1024.
    pub queues: &'a [u16],
    /// Features offered, feature 0 in the lowest bit.
    pub features: u32,
    /// Bytes of configuration space; at most 255, enough for every feature offered.
    pub config_len: usize,
}

/// Where a queue's ring is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct QueueLayout {
    /// Guest-physical address of the ring, a multiple of 4096; also the key of NOTIFY.
    pub address: u64,
    /// The ring's geometry.
    pub ring: RingLayout,
}

/// The host's own copy of what it wrote about one device. It, not the page, says where things
/// are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLayout {
    page_address: u64,
    offset: usize,
    device_type: u8,
    features: u32,
    layout: DescLayout,
    queues: Vec<QueueLayout>,
}

impl DeviceLayout {
    /// Guest-physical address of the descriptor: the operand of RESET and SET_STATUS.
    pub fn address(&self) -> u64 {
        self.page_address + self.offset as u64
    }

    /// Offset of the descriptor in the page.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Virtio device id.
    pub fn device_type(&self) -> u8 {
        self.device_type
    }

    /// Features offered, feature 0 in the lowest bit.
    pub fn features(&self) -> u32 {
        self.features
    }

    /// Lengths and offsets of the device's parts.
    pub fn layout(&self) -> DescLayout {
        self.layout
    }

    /// The rings, in the order of the queues.
    pub fn queues(&self) -> &[QueueLayout] {
        &self.queues
    }

    /// Writes the device as it is before any guest has touched it: no token, no feature
    /// accepted, status 0. `config` beyond the configuration space is ignored, missing bytes
    /// are 0. The type byte comes last, so that a running guest sees the device whole or not
    /// at all.
    pub fn write(&self, page: &mut impl PageBytes, config: &[u8]) {
        page.write(self.offset + OFFSET_TYPE, TYPE_END);
        let end = self.offset + self.layout.size();
        if end < PAGE_SIZE {
            page.write(end, TYPE_END);
        }
        for at in self.offset + DESC_SIZE..end {
            page.write(at, 0);
        }
        let at = self.offset;
        for (i, queue) in self.queues.iter().enumerate() {
            let at = at + DESC_SIZE + VQCONFIG_SIZE * i;
            write_all(page, at + VQCONFIG_ADDRESS, &queue.address.to_be_bytes());
            write_all(page, at + VQCONFIG_NUM, &queue.ring.num().to_be_bytes());
        }
        let features = self.features.to_le_bytes();
        write_all(page, at + self.layout.host_features(), &features);
        let len = config.len().min(self.layout.config_len.into());
        write_all(page, at + self.layout.config(), &config[..len]);
        page.write(at + OFFSET_NUM_VQ, self.layout.num_vq);
        page.write(at + OFFSET_FEATURE_LEN, self.layout.feature_len);
        page.write(at + OFFSET_CONFIG_LEN, self.layout.config_len);
        page.write(at + OFFSET_STATUS, 0);
        page.write(at + OFFSET_TYPE, self.device_type);
    }
}

/// Places devices in the page and rings behind it. See the [crate] documentation for an example.
#[derive(Clone, Debug)]
pub struct PageBuilder {
    page_address: u64,
    next_offset: usize,
    next_ring: u64,
    end: Option<u64>,
}

impl PageBuilder {
    /// A page at guest-physical address `ram_size`: RAM starts at 0 and has no holes. The size
    /// is a multiple of 1 MiB, and must be exactly what SCLP reports as increment size times
    /// number of increments.
    ///
    /// # Errors
    ///
    /// [`BuildError::RamSize`]
    pub fn new(ram_size: u64) -> Result<Self, BuildError> {
        if ram_size == 0 || ram_size % MIB != 0 || ram_size > MAX_RAM {
            return Err(BuildError::RamSize(ram_size));
        }
        Ok(PageBuilder {
            page_address: ram_size,
            next_offset: 0,
            next_ring: ram_size + PAGE_SIZE as u64,
            end: None,
        })
    }

    /// Guest-physical address of the page.
    pub fn page_address(&self) -> u64 {
        self.page_address
    }

    /// Places a device behind the others, or refuses it and changes nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with `spec`, or what there is no room for: [`BuildError::PageFull`],
    /// [`BuildError::RingMemoryFull`].
    pub fn add(&mut self, spec: &DeviceSpec<'_>) -> Result<DeviceLayout, BuildError> {
        if spec.device_type == TYPE_END {
            return Err(BuildError::DeviceType);
        }
        let queues = spec.queues.len();
        let layout = DescLayout {
            num_vq: u8::try_from(queues).map_err(|_| BuildError::TooManyQueues(queues))?,
            feature_len: FEATURE_LEN,
            config_len: u8::try_from(spec.config_len)
                .map_err(|_| BuildError::ConfigTooLong(spec.config_len))?,
        };
        let left = PAGE_SIZE - self.next_offset;
        if layout.size() > left {
            return Err(BuildError::PageFull {
                needed: layout.size(),
                left,
            });
        }

        let mut next_ring = self.next_ring;
        let mut queues = Vec::with_capacity(queues);
        for &num in spec.queues {
            let ring = RingLayout::new(num).ok_or(BuildError::QueueSize(num))?;
            queues.push(QueueLayout {
                address: next_ring,
                ring,
            });
            next_ring += ring.area() as u64;
        }
        if let Some(end) = self.end.filter(|&end| next_ring > end) {
            return Err(BuildError::RingMemoryFull {
                needed: next_ring - self.next_ring,
                left: end - self.next_ring,
            });
        }

        let device = DeviceLayout {
            page_address: self.page_address,
            offset: self.next_offset,
            device_type: spec.device_type,
            features: spec.features,
            layout,
            queues,
        };
        self.next_offset += layout.size();
        self.next_ring = next_ring;
        Ok(device)
    }

    /// Bytes of guest memory for RAM, page and rings, rounded up to 1 MiB.
    pub fn total_size(&self) -> u64 {
        self.end
            .unwrap_or_else(|| self.next_ring.next_multiple_of(MIB))
    }

    /// Ends the growth of [`total_size`](Self::total_size), which it returns: memory is about to
    /// be allocated. At least `spare` bytes stay free for the rings of devices that are added
    /// later, which are refused beyond that.
    pub fn fix_size(&mut self, spare: u32) -> u64 {
        let end = self.next_ring + u64::from(spare);
        *self.end.get_or_insert(end.next_multiple_of(MIB))
    }

    /// End of the page and of all rings placed so far; what lies from
    /// [`page_address`](Self::page_address) up to here is zeroed at a machine reset.
    pub fn used_end(&self) -> u64 {
        self.next_ring
    }
}
