// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The page as bytes: no part of it is aligned, so nothing wider is ever accessed.

use crate::PAGE_SIZE;

/// The bytes of a descriptor page.
///
/// This crate calls it with offsets below [`PAGE_SIZE`] only. A guest implements it by volatile
/// accesses to the real page.
pub trait PageBytes {
    /// The byte at `offset`.
    fn read(&self, offset: usize) -> u8;

    /// Replaces the byte at `offset`.
    fn write(&mut self, offset: usize, value: u8);
}

impl PageBytes for [u8; PAGE_SIZE] {
    fn read(&self, offset: usize) -> u8 {
        self[offset]
    }

    fn write(&mut self, offset: usize, value: u8) {
        self[offset] = value;
    }
}

impl<P: PageBytes + ?Sized> PageBytes for &mut P {
    fn read(&self, offset: usize) -> u8 {
        (**self).read(offset)
    }

    fn write(&mut self, offset: usize, value: u8) {
        (**self).write(offset, value);
    }
}

pub(crate) fn read_array<const N: usize>(page: &impl PageBytes, offset: usize) -> [u8; N] {
    core::array::from_fn(|i| page.read(offset + i))
}

pub(crate) fn write_all(page: &mut impl PageBytes, offset: usize, bytes: &[u8]) {
    for (i, &byte) in bytes.iter().enumerate() {
        page.write(offset + i, byte);
    }
}
