// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The elements of the rings and their flags (virtio 1.2, 2.7.5 to 2.7.8): 16-byte descriptors and
//! 8-byte used elements, as values and as bytes.

use crate::ByteOrder;

/// `VIRTQ_DESC_F_NEXT`: the chain goes on at [`Descriptor::next`].
pub const VIRTQ_DESC_F_NEXT: u16 = 1;
/// `VIRTQ_DESC_F_WRITE`: the device writes this buffer (otherwise it reads it).
pub const VIRTQ_DESC_F_WRITE: u16 = 2;
/// `VIRTQ_DESC_F_INDIRECT`: the buffer holds a table of descriptors.
pub const VIRTQ_DESC_F_INDIRECT: u16 = 4;
/// `VIRTQ_AVAIL_F_NO_INTERRUPT`: the driver asks not to be interrupted (without `EVENT_IDX`).
pub const VIRTQ_AVAIL_F_NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY`: the device asks not to be notified (without `EVENT_IDX`).
pub const VIRTQ_USED_F_NO_NOTIFY: u16 = 1;

/// Feature bit `VIRTIO_F_NOTIFY_ON_EMPTY` (legacy only).
pub const VIRTIO_F_NOTIFY_ON_EMPTY: u32 = 24;
/// Feature bit `VIRTIO_RING_F_INDIRECT_DESC`.
pub const VIRTIO_RING_F_INDIRECT_DESC: u32 = 28;
/// Feature bit `VIRTIO_RING_F_EVENT_IDX`.
pub const VIRTIO_RING_F_EVENT_IDX: u32 = 29;

/// What driver and device agreed on about the ring itself.
///
/// Everything is off by default, as a driver from April 2008 has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingFeatures {
    /// `VIRTIO_F_NOTIFY_ON_EMPTY`: interrupt when the last buffer is used even if the driver asked for none.
    pub notify_on_empty: bool,
    /// `VIRTIO_RING_F_INDIRECT_DESC`: chains may continue in an indirect table.
    pub indirect_desc: bool,
    /// `VIRTIO_RING_F_EVENT_IDX`: both sides say at which index they want to hear of progress.
    pub event_idx: bool,
}

impl RingFeatures {
    /// Picks the ring's features out of acknowledged feature bits (bit i of the word is feature i).
    pub const fn from_bits(bits: u64) -> Self {
        RingFeatures {
            notify_on_empty: bits >> VIRTIO_F_NOTIFY_ON_EMPTY & 1 != 0,
            indirect_desc: bits >> VIRTIO_RING_F_INDIRECT_DESC & 1 != 0,
            event_idx: bits >> VIRTIO_RING_F_EVENT_IDX & 1 != 0,
        }
    }

    /// The feature bits (bit i of the word is feature i).
    pub const fn bits(self) -> u64 {
        (self.notify_on_empty as u64) << VIRTIO_F_NOTIFY_ON_EMPTY
            | (self.indirect_desc as u64) << VIRTIO_RING_F_INDIRECT_DESC
            | (self.event_idx as u64) << VIRTIO_RING_F_EVENT_IDX
    }
}

/// One entry of a descriptor table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Guest-physical address of the buffer.
    pub addr: u64,
    /// Bytes in the buffer.
    pub len: u32,
    /// `VIRTQ_DESC_F_*`.
    pub flags: u16,
    /// Index of the next descriptor, where `VIRTQ_DESC_F_NEXT` is set.
    pub next: u16,
}

impl Descriptor {
    /// Bytes of a descriptor in memory.
    pub const SIZE: usize = 16;

    /// Reads a descriptor from its bytes in memory.
    #[inline]
    pub fn from_bytes<E: ByteOrder>(bytes: [u8; Self::SIZE]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = bytes;
        Descriptor {
            addr: E::u64(u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
            len: E::u32(u32::from_ne_bytes([l0, l1, l2, l3])),
            flags: E::u16(u16::from_ne_bytes([f0, f1])),
            next: E::u16(u16::from_ne_bytes([n0, n1])),
        }
    }

    /// The bytes of the descriptor in memory.
    #[inline]
    pub fn to_bytes<E: ByteOrder>(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..8].copy_from_slice(&E::u64(self.addr).to_ne_bytes());
        bytes[8..12].copy_from_slice(&E::u32(self.len).to_ne_bytes());
        bytes[12..14].copy_from_slice(&E::u16(self.flags).to_ne_bytes());
        bytes[14..16].copy_from_slice(&E::u16(self.next).to_ne_bytes());
        bytes
    }

    /// Whether the chain goes on at `next`.
    pub const fn has_next(&self) -> bool {
        self.flags & VIRTQ_DESC_F_NEXT != 0
    }

    /// Whether the device writes the buffer.
    pub const fn is_write_only(&self) -> bool {
        self.flags & VIRTQ_DESC_F_WRITE != 0
    }

    /// Whether the buffer holds a table of descriptors.
    pub const fn refers_to_indirect_table(&self) -> bool {
        self.flags & VIRTQ_DESC_F_INDIRECT != 0
    }
}

/// Whether a side that asked to hear of `event` must hear of progress from `old` to `new`
/// (virtio 1.2, 2.7.7.2 and 2.7.10: `event` lies among the indices just passed, modulo 2^16).
#[inline]
pub const fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BigEndian, LittleEndian};

    #[test]
    fn test_descriptor_bytes() {
        let desc = Descriptor {
            addr: 0x0102_0304_0506_0708,
            len: 0x090a_0b0c,
            flags: 0x0d0e,
            next: 0x0f10,
        };
        let be = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        let le = [8, 7, 6, 5, 4, 3, 2, 1, 12, 11, 10, 9, 14, 13, 16, 15];
        assert_eq!(desc.to_bytes::<BigEndian>(), be);
        assert_eq!(desc.to_bytes::<LittleEndian>(), le);
        assert_eq!(Descriptor::from_bytes::<BigEndian>(be), desc);
        assert_eq!(Descriptor::from_bytes::<LittleEndian>(le), desc);
    }

    #[test]
    fn test_feature_bits() {
        for bits in [0, 1 << 24, 1 << 28, 1 << 29, 0x3100_0000] {
            assert_eq!(RingFeatures::from_bits(bits).bits(), bits);
        }
        assert_eq!(
            RingFeatures::from_bits(!0x3100_0000),
            RingFeatures::default()
        );
        assert!(RingFeatures::from_bits(1 << 29).event_idx);
        assert!(RingFeatures::from_bits(1 << 28).indirect_desc);
        assert!(RingFeatures::from_bits(1 << 24).notify_on_empty);
    }

    #[test]
    fn test_need_event() {
        assert!(need_event(0, 1, 0));
        assert!(!need_event(1, 1, 0));
        assert!(need_event(1, 2, 1));
        assert!(!need_event(0, 2, 1));
        assert!(need_event(0xffff, 0, 0xffff));
        assert!(need_event(2, 5, 1));
        assert!(!need_event(5, 5, 1));
        assert!(!need_event(7, 7, 7));
    }
}
