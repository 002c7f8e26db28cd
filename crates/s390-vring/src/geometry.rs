// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the three parts of a split queue lie: offsets within each part, and the contiguous layout that
//! legacy transports prescribe (virtio 1.2, 2.7.2).

use crate::Descriptor;

/// Most entries a split queue may have (virtio 1.2, 2.7).
pub const MAX_QUEUE_SIZE: u16 = 32768;

/// Alignment of the used ring in the legacy s390 transport, in bytes (`KVM_S390_VIRTIO_RING_ALIGN`).
pub const LEGACY_RING_ALIGN: u32 = 4096;

/// Offset of `flags` in the available and in the used ring.
pub const RING_FLAGS_OFFSET: usize = 0;
/// Offset of `idx` in the available and in the used ring.
pub const RING_IDX_OFFSET: usize = 2;
/// Offset of the first element in the available and in the used ring.
pub const RING_ELEMENTS_OFFSET: usize = 4;
/// Bytes of an element of the available ring: the index of a chain's head.
pub const AVAIL_ELEMENT_SIZE: usize = 2;
/// Bytes of an element of the used ring: `id` and `len`, 32 bits each.
pub const USED_ELEMENT_SIZE: usize = 8;
/// Required alignment of the descriptor table in bytes.
pub const DESC_TABLE_ALIGN: u64 = 16;
/// Required alignment of the available ring in bytes.
pub const AVAIL_RING_ALIGN: u64 = 2;
/// Required alignment of the used ring in bytes.
pub const USED_RING_ALIGN: u64 = 4;

/// Whether a split queue may have `size` entries: a power of two up to [`MAX_QUEUE_SIZE`].
pub const fn is_valid_size(size: u16) -> bool {
    size.is_power_of_two() && size <= MAX_QUEUE_SIZE
}

/// Bytes of a descriptor table of `size` entries.
pub const fn desc_table_size(size: u16) -> usize {
    Descriptor::SIZE * size as usize
}

/// Bytes of an available ring of `size` entries, `used_event` included.
pub const fn avail_ring_size(size: u16) -> usize {
    used_event_offset(size) + 2
}

/// Bytes of a used ring of `size` entries, `avail_event` included.
pub const fn used_ring_size(size: u16) -> usize {
    avail_event_offset(size) + 2
}

/// Offset of `used_event` in an available ring of `size` entries.
pub const fn used_event_offset(size: u16) -> usize {
    RING_ELEMENTS_OFFSET + AVAIL_ELEMENT_SIZE * size as usize
}

/// Offset of `avail_event` in a used ring of `size` entries.
pub const fn avail_event_offset(size: u16) -> usize {
    RING_ELEMENTS_OFFSET + USED_ELEMENT_SIZE * size as usize
}

/// A queue in one piece of memory: descriptor table, available ring, padding, used ring.
///
/// All offsets are from the start of the piece, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u16,
    used: usize,
}

impl Layout {
    /// The layout of a queue of `size` entries whose used ring starts at a multiple of `align` bytes.
    ///
    /// `None` unless `size` is a power of two up to [`MAX_QUEUE_SIZE`] and `align` a power of two
    /// from [`USED_RING_ALIGN`] on.
    pub const fn contiguous(size: u16, align: u32) -> Option<Self> {
        if !is_valid_size(size) || !align.is_power_of_two() || (align as u64) < USED_RING_ALIGN {
            return None;
        }
        // At most 32768 * 18 + 6 rounded up to 2^31: no overflow in 32 bits.
        let end = (desc_table_size(size) + avail_ring_size(size)) as u32;
        Some(Layout {
            size,
            used: end.next_multiple_of(align) as usize,
        })
    }

    /// The layout in the legacy s390 transport: the used ring starts at a multiple of 4096.
    ///
    /// `None` unless `size` is a power of two up to [`MAX_QUEUE_SIZE`].
    pub const fn legacy(size: u16) -> Option<Self> {
        Self::contiguous(size, LEGACY_RING_ALIGN)
    }

    /// Entries of the queue.
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// Offset of the descriptor table.
    pub const fn desc_table(&self) -> usize {
        0
    }

    /// Offset of the available ring.
    pub const fn avail_ring(&self) -> usize {
        desc_table_size(self.size)
    }

    /// Offset of the used ring.
    pub const fn used_ring(&self) -> usize {
        self.used
    }

    /// Offset of `used_event`, at the end of the available ring.
    pub const fn used_event(&self) -> usize {
        self.avail_ring() + used_event_offset(self.size)
    }

    /// Offset of `avail_event`, at the end of the used ring.
    pub const fn avail_event(&self) -> usize {
        self.used + avail_event_offset(self.size)
    }

    /// Bytes of the whole queue.
    pub const fn bytes(&self) -> usize {
        self.used + used_ring_size(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_legacy_layout() {
        // size, available ring, used ring, bytes
        for (size, avail, used, bytes) in [
            (8, 128, 4096, 4166),
            (32, 512, 4096, 4358),
            (64, 1024, 4096, 4614),
            (128, 2048, 4096, 5126),
            (256, 4096, 8192, 10246),
            (512, 8192, 12288, 16390),
            (1024, 16384, 20480, 28678),
        ] {
            let layout = Layout::legacy(size).unwrap();
            assert_eq!(layout.size(), size);
            assert_eq!(layout.desc_table(), 0);
            assert_eq!(layout.avail_ring(), avail);
            assert_eq!(layout.used_ring(), used);
            assert_eq!(layout.bytes(), bytes);
            assert_eq!(layout.used_event(), avail + 4 + 2 * size as usize);
            assert_eq!(layout.avail_event(), used + 4 + 8 * size as usize);
        }
    }

    #[test]
    fn test_every_size() {
        for size in 0..=u16::MAX {
            let layout = Layout::legacy(size);
            assert_eq!(layout.is_some(), size.is_power_of_two());
        }
        let largest = Layout::legacy(MAX_QUEUE_SIZE).unwrap();
        assert_eq!(largest.bytes(), 593920 + 6 + 8 * 32768);
    }

    #[test]
    fn test_alignment() {
        assert!(Layout::contiguous(8, 0).is_none());
        assert!(Layout::contiguous(8, 2).is_none());
        assert!(Layout::contiguous(8, 4097).is_none());
        assert_eq!(Layout::contiguous(8, 4).unwrap().used_ring(), 152);
        assert_eq!(
            Layout::contiguous(32768, 1 << 31).unwrap().used_ring(),
            1 << 31
        );
    }
}
