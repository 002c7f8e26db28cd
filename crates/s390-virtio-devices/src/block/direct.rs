// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Direct I/O: what the host's file system asks of addresses, offsets and lengths.

use std::alloc::{self, Layout};
use std::fs::File;
use std::io;

use rustix::fs::{statx, AtFlags, StatxFlags};
use vm_memory::VolatileSlice;

/// What everybody can do.
const PAGE: u32 = 4096;

/// Powers of two that direct I/O is aligned to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Alignment {
    /// Of addresses in memory.
    pub(super) memory: u32,
    /// Of offsets in the file, and of lengths.
    pub(super) offset: u32,
}

impl Alignment {
    /// What `file` asks for; a page on kernels that do not tell (before Linux 6.1).
    pub(super) fn of(file: &File) -> Self {
        let stat = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
        // What is not told is 0.
        let (memory, offset) = stat.map_or((0, 0), |stat| {
            (stat.stx_dio_mem_align, stat.stx_dio_offset_align)
        });
        let known = |n: u32| if n.is_power_of_two() { n } else { PAGE };
        Alignment {
            memory: known(memory),
            offset: known(offset),
        }
    }

    /// Whether direct I/O can work on these pieces of memory as they are.
    pub(super) fn suits(&self, data: &[VolatileSlice<'_>]) -> bool {
        let fits = |n: usize, unit: u32| n & (unit as usize - 1) == 0;
        data.iter().all(|slice| {
            fits(slice.ptr_guard().as_ptr() as usize, self.memory) && fits(slice.len(), self.memory)
        })
    }
}

/// Most bytes of bounced data in memory: how much a request moves is the guest's choice.
const BOUNCE_BYTES: usize = 1 << 20;

/// Memory that suits any direct I/O, for the rare data that does not.
pub(super) struct Bounce {
    start: *mut u8,
    layout: Layout,
}

impl Bounce {
    /// Zeros, for so much data or a large part of it: never more than a mebibyte.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        let len = len.clamp(1, BOUNCE_BYTES);
        let layout = Layout::from_size_align(len, PAGE as usize).map_err(io::Error::other)?;
        // SAFETY: the layout has at least one byte.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        if start.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(Bounce { start, layout })
    }

    /// All of it.
    pub(super) fn slice(&self) -> VolatileSlice<'_> {
        // SAFETY: this many bytes were allocated, and live as long as `self`, which has no other
        // access to them.
        unsafe { VolatileSlice::new(self.start, self.layout.size()) }
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { alloc::dealloc(self.start, self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_and_length_has_to_suit() {
        let alignment = Alignment {
            memory: 512,
            offset: 512,
        };
        let bounce = Bounce::new(8192).unwrap();
        let all = bounce.slice();
        let part = |start, len| all.subslice(start, len).unwrap();
        assert!(alignment.suits(&[part(0, 512), part(1024, 2048)]));
        assert!(!alignment.suits(&[part(0, 512), part(1028, 2048)]));
        assert!(!alignment.suits(&[part(0, 500), part(512, 12)]));
    }

    #[test]
    fn no_request_decides_on_the_size_of_a_bounce_buffer() {
        let len = |bytes| Bounce::new(bytes).unwrap().slice().len();
        assert_eq!([len(0), len(4096)], [1, 4096]);
        assert_eq!(len(u32::MAX as usize), BOUNCE_BYTES);
    }

    #[test]
    fn every_file_has_an_alignment() {
        let file = tempfile::tempfile().unwrap();
        let alignment = Alignment::of(&file);
        assert!(alignment.memory.is_power_of_two() && alignment.offset.is_power_of_two());
        // Of a character device nothing is told.
        let null = File::open("/dev/null").unwrap();
        let wanted = Alignment {
            memory: 4096,
            offset: 4096,
        };
        assert_eq!(Alignment::of(&null), wanted);
    }
}
