// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory that devices read and write.

use core::cell::UnsafeCell;
use core::ptr;

use s390_virtio_guest::Buffer;

/// `N` bytes that the CPU only copies in and out of.
#[repr(align(8))]
pub struct Dma<const N: usize>(UnsafeCell<[u8; N]>);

// SAFETY: one CPU, no use from interruption handlers, and no reference is ever made to the bytes.
unsafe impl<const N: usize> Sync for Dma<N> {}

impl<const N: usize> Dma<N> {
    /// Zeros.
    pub const fn new() -> Self {
        Dma(UnsafeCell::new([0; N]))
    }

    /// The first `len` bytes, for a device to read.
    pub fn readable(&self, len: usize) -> Buffer {
        Buffer::readable(self.0.get() as u64, len.min(N) as u32)
    }

    /// The first `len` bytes, for a device to write.
    pub fn writable(&self, len: usize) -> Buffer {
        Buffer::writable(self.0.get() as u64, len.min(N) as u32)
    }

    /// `len` bytes from `offset` on, for a device to read.
    pub fn readable_at(&self, offset: usize, len: usize) -> Buffer {
        assert!(offset + len <= N);
        Buffer::readable(self.0.get() as u64 + offset as u64, len as u32)
    }

    /// `len` bytes from `offset` on, for a device to write.
    pub fn writable_at(&self, offset: usize, len: usize) -> Buffer {
        assert!(offset + len <= N);
        Buffer::writable(self.0.get() as u64 + offset as u64, len as u32)
    }

    /// Replaces the bytes from `offset` on.
    pub fn put(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= N);
        let start = self.0.get().cast::<u8>();
        for (i, &byte) in bytes.iter().enumerate() {
            // SAFETY: in bounds, as was just checked.
            unsafe { ptr::write_volatile(start.add(offset + i), byte) };
        }
    }

    /// Copies bytes from `offset` on.
    pub fn get(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= N);
        let start = self.0.get().cast::<u8>();
        for (i, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: in bounds, as was just checked.
            *byte = unsafe { ptr::read_volatile(start.add(offset + i)) };
        }
    }
}
