// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The byte order of what driver and device share, as a type.
//!
//! A legacy (pre-1.0) device speaks the guest's byte order, a modern one is always little-endian. Which
//! of the two it is follows from the transport, never from the processor the device runs on, so it is a
//! type parameter here and no `to_ne` appears anywhere.

use core::fmt::Debug;

/// The byte order of the rings, and of the request headers and config space of a device on them.
///
/// Each function converts between a value and its representation in the ring, read or written as a
/// native integer. The conversion is its own inverse, so one function serves both directions.
pub trait ByteOrder: Copy + Debug + Default + Eq + Send + Sync + 'static {
    /// Converts a 16-bit value to or from its representation in the ring.
    fn u16(value: u16) -> u16;
    /// Converts a 32-bit value to or from its representation in the ring.
    fn u32(value: u32) -> u32;
    /// Converts a 64-bit value to or from its representation in the ring.
    fn u64(value: u64) -> u64;
}

/// Most significant byte first: every legacy transport of an s390 guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BigEndian;

/// Least significant byte first: every modern (virtio 1.0 and later) transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LittleEndian;

impl ByteOrder for BigEndian {
    #[inline]
    fn u16(value: u16) -> u16 {
        value.to_be()
    }
    #[inline]
    fn u32(value: u32) -> u32 {
        value.to_be()
    }
    #[inline]
    fn u64(value: u64) -> u64 {
        value.to_be()
    }
}

impl ByteOrder for LittleEndian {
    #[inline]
    fn u16(value: u16) -> u16 {
        value.to_le()
    }
    #[inline]
    fn u32(value: u32) -> u32 {
        value.to_le()
    }
    #[inline]
    fn u64(value: u64) -> u64 {
        value.to_le()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_representation() {
        assert_eq!(BigEndian::u16(0x0102).to_ne_bytes(), [1, 2]);
        assert_eq!(BigEndian::u32(0x0102_0304).to_ne_bytes(), [1, 2, 3, 4]);
        assert_eq!(
            BigEndian::u64(0x0102).to_ne_bytes(),
            [0, 0, 0, 0, 0, 0, 1, 2]
        );
        assert_eq!(LittleEndian::u16(0x0102).to_ne_bytes(), [2, 1]);
        assert_eq!(LittleEndian::u32(0x0102_0304).to_ne_bytes(), [4, 3, 2, 1]);
        assert_eq!(
            LittleEndian::u64(0x0102).to_ne_bytes(),
            [2, 1, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn test_own_inverse() {
        fn check<E: ByteOrder>() {
            assert_eq!(E::u16(E::u16(0x1234)), 0x1234);
            assert_eq!(E::u32(E::u32(0x1234_5678)), 0x1234_5678);
            assert_eq!(E::u64(E::u64(0x1234_5678_9abc)), 0x1234_5678_9abc);
        }
        check::<BigEndian>();
        check::<LittleEndian>();
    }
}
