// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How the driver side reaches the ring: memory that the device changes at any time.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// Memory shared with the device, holding one queue in a contiguous layout.
///
/// Values are those of native loads and stores; the queue converts the byte order. All offsets are in
/// bytes from the start of the ring, aligned to the access and below [`len`](RingMemory::len); an
/// implementation panics where they are not, which is a mistake of the driver.
pub trait RingMemory {
    /// Bytes of the memory.
    fn len(&self) -> usize;

    /// Whether there is no memory.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads 16 bits in one piece.
    fn load_u16(&self, offset: usize, order: Ordering) -> u16;

    /// Stores 16 bits in one piece.
    fn store_u16(&self, offset: usize, value: u16, order: Ordering);

    /// Loads 32 bits in one piece, relaxed.
    fn load_u32(&self, offset: usize) -> u32;

    /// Stores 32 bits in one piece, relaxed.
    fn store_u32(&self, offset: usize, value: u32);
}

/// Ring memory at a fixed address.
#[derive(Debug)]
pub struct RawRing {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to this value alone on the driver's side (see `RawRing::new`), and it is
// accessed by atomic operations only.
unsafe impl Send for RawRing {}

impl RawRing {
    /// Takes `len` bytes at `base` as ring memory.
    ///
    /// # Safety
    ///
    /// `base` is aligned to 4 bytes at least, and `len` bytes from it are mapped, readable and writable as long as the
    /// value exists. Nothing else in the program accesses them, except through atomic operations; the
    /// device may.
    pub unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        RawRing { base, len }
    }

    /// A pointer to a `T` within the memory.
    fn at<T>(&self, offset: usize) -> *mut T {
        let size = core::mem::size_of::<T>();
        assert!(
            offset % size == 0 && offset.checked_add(size).is_some_and(|end| end <= self.len),
            "ring access at offset {offset}"
        );
        self.base.as_ptr().wrapping_add(offset).cast()
    }
}

impl RingMemory for RawRing {
    fn len(&self) -> usize {
        self.len
    }

    fn load_u16(&self, offset: usize, order: Ordering) -> u16 {
        // SAFETY: `at` keeps the pointer aligned and within the memory that `new` was promised.
        unsafe { AtomicU16::from_ptr(self.at(offset)) }.load(order)
    }

    fn store_u16(&self, offset: usize, value: u16, order: Ordering) {
        // SAFETY: `at` keeps the pointer aligned and within the memory that `new` was promised.
        unsafe { AtomicU16::from_ptr(self.at(offset)) }.store(value, order);
    }

    fn load_u32(&self, offset: usize) -> u32 {
        // SAFETY: `at` keeps the pointer aligned and within the memory that `new` was promised.
        unsafe { AtomicU32::from_ptr(self.at(offset)) }.load(Ordering::Relaxed)
    }

    fn store_u32(&self, offset: usize, value: u32) {
        // SAFETY: `at` keeps the pointer aligned and within the memory that `new` was promised.
        unsafe { AtomicU32::from_ptr(self.at(offset)) }.store(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(4))]
    struct Aligned([u8; 8]);

    fn ring(memory: &mut Aligned) -> RawRing {
        let base = NonNull::from(&mut memory.0).cast();
        // SAFETY: the memory is aligned and outlives each test's use of the ring, and nothing else
        // accesses it meanwhile.
        unsafe { RawRing::new(base, 8) }
    }

    #[test]
    fn test_access() {
        let mut memory = Aligned([1, 2, 3, 4, 5, 6, 7, 8]);
        let ring = ring(&mut memory);
        assert_eq!((ring.len(), ring.is_empty()), (8, false));
        let half = ring.load_u16(6, Ordering::Acquire);
        assert_eq!(half.to_ne_bytes(), [7, 8]);
        assert_eq!(ring.load_u32(4).to_ne_bytes(), [5, 6, 7, 8]);
        ring.store_u16(2, u16::from_ne_bytes([9, 10]), Ordering::Release);
        ring.store_u32(4, u32::from_ne_bytes([11, 12, 13, 14]));
        assert_eq!(memory.0, [1, 2, 9, 10, 11, 12, 13, 14]);
    }

    #[test]
    #[should_panic(expected = "ring access at offset 8")]
    fn test_outside() {
        ring(&mut Aligned([0; 8])).load_u16(8, Ordering::Relaxed);
    }

    #[test]
    #[should_panic(expected = "ring access at offset 6")]
    fn test_half_outside_or_misaligned() {
        ring(&mut Aligned([0; 8])).store_u32(6, 0);
    }
}
