// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the parts of a device lie in the page.
//!
//! One device is a 5-byte descriptor, `num_vq` queue entries of 24 bytes, the host's and the
//! guest's feature bitmap and the configuration space, without any padding in between; the next
//! device follows at the very next byte.

/// Size of the page in bytes; devices that do not fit do not exist.
pub const PAGE_SIZE: usize = 4096;
/// Size of the descriptor at the head of a device.
pub const DESC_SIZE: usize = 5;
/// Size of one queue entry: two u64, one u16, and 6 bytes of tail padding.
pub const VQCONFIG_SIZE: usize = 24;
/// Bytes in each of the two feature bitmaps that this crate's builder writes.
pub const FEATURE_LEN: u8 = 4;
/// Feature bits that a guest looks at, however long the bitmap is.
pub const MAX_FEATURE_BITS: u32 = 32;

/// Descriptor: virtio device id (u8, written by the host).
pub const OFFSET_TYPE: usize = 0;
/// Descriptor: number of queue entries (u8, written by the host).
pub const OFFSET_NUM_VQ: usize = 1;
/// Descriptor: bytes in one feature bitmap (u8, written by the host).
pub const OFFSET_FEATURE_LEN: usize = 2;
/// Descriptor: bytes of configuration space (u8, written by the host).
pub const OFFSET_CONFIG_LEN: usize = 3;
/// Descriptor: virtio status (u8, written by the guest; by the host at reset).
pub const OFFSET_STATUS: usize = 4;

/// The type byte behind the last device.
pub const TYPE_END: u8 = 0;

/// Queue entry: the guest's name for the queue (big-endian u64, written by the guest).
pub const VQCONFIG_TOKEN: usize = 0;
/// Queue entry: guest-physical address of the ring (big-endian u64, written by the host).
pub const VQCONFIG_ADDRESS: usize = 8;
/// Queue entry: ring entries (big-endian u16, written by the host).
pub const VQCONFIG_NUM: usize = 16;

/// The bits of a token that count; the lowest is reserved and treated as zero.
pub const TOKEN_MASK: u64 = !1;

/// The three lengths that fix a device's layout. All offsets count from its descriptor.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DescLayout {
    /// Number of queue entries.
    pub num_vq: u8,
    /// Bytes in one feature bitmap.
    pub feature_len: u8,
    /// Bytes of configuration space.
    pub config_len: u8,
}

impl DescLayout {
    /// Bytes from the descriptor to the end of the configuration space.
    pub const fn size(&self) -> usize {
        self.config() + self.config_len as usize
    }

    /// Offset of the entry of queue `index`, which must be below `num_vq`.
    pub const fn vqconfig(&self, index: u8) -> usize {
        DESC_SIZE + VQCONFIG_SIZE * index as usize
    }

    /// Offset of the bitmap of features that the host offers.
    pub const fn host_features(&self) -> usize {
        DESC_SIZE + VQCONFIG_SIZE * self.num_vq as usize
    }

    /// Offset of the bitmap of features that the guest accepted.
    pub const fn guest_features(&self) -> usize {
        self.host_features() + self.feature_len as usize
    }

    /// Offset of the configuration space.
    pub const fn config(&self) -> usize {
        self.guest_features() + self.feature_len as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn layout(num_vq: u8, config_len: u8) -> DescLayout {
        DescLayout {
            num_vq,
            feature_len: FEATURE_LEN,
            config_len,
        }
    }

    #[test]
    fn parts_follow_without_padding() {
        let net = layout(3, 8);
        assert_eq!(net.vqconfig(0), 5);
        assert_eq!(net.vqconfig(2) + VQCONFIG_ADDRESS, 13 + 48);
        assert_eq!(net.vqconfig(2) + VQCONFIG_NUM, 21 + 48);
        assert_eq!(net.host_features(), 77);
        assert_eq!(net.guest_features(), 81);
        assert_eq!(net.config(), 85);
        assert_eq!(net.size(), 93);
    }

    #[test]
    fn page_holds_the_known_numbers_of_devices() {
        for (layout, size, capacity) in [
            (layout(1, 60), 97, 42), // block
            (layout(3, 12), 97, 42), // net
            (layout(1, 0), 37, 110), // rng
            (layout(64, 12), 1561, 2),
        ] {
            assert_eq!(layout.size(), size);
            assert_eq!(PAGE_SIZE / size, capacity);
        }
    }
}
