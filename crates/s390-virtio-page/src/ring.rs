// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Geometry of a legacy split virtqueue (virtio 1.2, section 2.7.2, "Legacy Interfaces").
//!
//! Descriptor table and available ring lie back to back; the used ring starts at the next
//! multiple of [`RING_ALIGN`].

/// Alignment of a ring and of the used ring inside it, in bytes.
pub const RING_ALIGN: u64 = 4096;
/// The most entries a ring may have.
pub const MAX_RING_NUM: u16 = 1024;

const ALIGN: usize = RING_ALIGN as usize;

/// The layout of a ring of a given number of entries. All offsets count from its address.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RingLayout {
    num: u16,
}

impl RingLayout {
    /// The layout for `num` entries: a power of two, at most [`MAX_RING_NUM`].
    pub const fn new(num: u16) -> Option<Self> {
        if num.is_power_of_two() && num <= MAX_RING_NUM {
            Some(RingLayout { num })
        } else {
            None
        }
    }

    /// Number of entries.
    pub const fn num(&self) -> u16 {
        self.num
    }

    /// Offset of the available ring: `flags`, `idx`, the entries, `used_event`.
    pub const fn avail(&self) -> usize {
        16 * self.num as usize
    }

    /// Offset of `used_event`, the last halfword of the available ring.
    pub const fn used_event(&self) -> usize {
        self.avail() + 4 + 2 * self.num as usize
    }

    /// Offset of the used ring: `flags`, `idx`, the entries, `avail_event`.
    pub const fn used(&self) -> usize {
        (self.used_event() + 2).next_multiple_of(ALIGN)
    }

    /// Offset of `avail_event`, the last halfword of the used ring.
    pub const fn avail_event(&self) -> usize {
        self.used() + 4 + 8 * self.num as usize
    }

    /// Size of the ring in bytes.
    pub const fn size(&self) -> usize {
        self.avail_event() + 2
    }

    /// Size of the whole pages that the ring occupies, in bytes.
    pub const fn area(&self) -> usize {
        self.size().next_multiple_of(ALIGN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_agree_with_the_published_table() {
        for (num, avail, used, size, pages) in [
            (8, 128, 4096, 4166, 2),
            (32, 512, 4096, 4358, 2),
            (64, 1024, 4096, 4614, 2),
            (128, 2048, 4096, 5126, 2),
            (256, 4096, 8192, 10246, 3),
            (512, 8192, 12288, 16390, 5),
            (1024, 16384, 20480, 28678, 8),
        ] {
            let ring = RingLayout::new(num).unwrap();
            assert_eq!(ring.num(), num);
            assert_eq!(ring.avail(), avail);
            assert_eq!(ring.used(), used);
            assert_eq!(ring.size(), size);
            assert_eq!(ring.area(), pages * 4096);
            assert_eq!(ring.used_event(), avail + 4 + 2 * usize::from(num));
            assert_eq!(ring.avail_event(), used + 4 + 8 * usize::from(num));
        }
    }

    #[test]
    fn only_powers_of_two_up_to_1024() {
        for num in 0..=u16::MAX {
            let valid = (0..=10).any(|shift| num == 1 << shift);
            assert_eq!(RingLayout::new(num).is_some(), valid, "{num}");
        }
    }
}
