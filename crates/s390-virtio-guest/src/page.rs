// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The real descriptor page, shared with the host.

use core::ptr;

use s390_virtio_page::{PageBytes, PAGE_SIZE};

/// A page in memory, accessed by volatile bytes.
#[derive(Copy, Clone, Debug)]
pub struct VolatilePage {
    start: *mut u8,
}

// SAFETY: every access is one volatile byte, and `new`'s caller promised that the page stays.
unsafe impl Send for VolatilePage {}
// SAFETY: as above; nothing is cached between accesses.
unsafe impl Sync for VolatilePage {}

impl VolatilePage {
    /// The page that starts at `start`.
    ///
    /// # Safety
    ///
    /// The 4096 bytes there stay readable and writable, and Rust code reaches them through this
    /// type only. On a real machine, find out first whether they are there (LOAD USING REAL
    /// ADDRESS with a handler for the addressing exception).
    pub const unsafe fn new(start: *mut u8) -> Self {
        VolatilePage { start }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < PAGE_SIZE);
        // SAFETY: the offset is inside the page, which `new`'s caller vouches for.
        unsafe { self.start.add(offset) }
    }
}

impl PageBytes for VolatilePage {
    fn read(&self, offset: usize) -> u8 {
        // SAFETY: `at` points into the page.
        unsafe { ptr::read_volatile(self.at(offset)) }
    }

    fn write(&mut self, offset: usize, value: u8) {
        // SAFETY: as above.
        unsafe { ptr::write_volatile(self.at(offset), value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_land_where_they_belong() {
        let mut memory = [0u8; PAGE_SIZE];
        // SAFETY: the array outlives the page and is not used meanwhile.
        let mut page = unsafe { VolatilePage::new(memory.as_mut_ptr()) };
        page.write(0, 1);
        page.write(4095, 2);
        assert_eq!((page.read(0), page.read(4095), page.read(1)), (1, 2, 0));
        assert_eq!((memory[0], memory[4095]), (1, 2));
    }

    #[test]
    #[should_panic]
    fn the_end_of_the_page_is_the_end() {
        let mut memory = [0u8; PAGE_SIZE];
        // SAFETY: as above.
        let page = unsafe { VolatilePage::new(memory.as_mut_ptr()) };
        page.read(PAGE_SIZE);
    }
}
