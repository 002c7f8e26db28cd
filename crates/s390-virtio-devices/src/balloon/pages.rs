// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Giving pages of guest memory back to the host.

use std::io;

use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestAddress, GuestMemory, Permissions};

/// Bytes in a page of the balloon, whatever the pages of guest and host are.
pub const BALLOON_PAGE_SIZE: u64 = 4096;

/// Calls `give` with the runs of successive pages in `pages`, as address and length in bytes,
/// after which the order of `pages` is another.
pub(super) fn runs(pages: &mut [u32], mut give: impl FnMut(GuestAddress, usize, u64)) {
    pages.sort_unstable();
    for run in pages.chunk_by(|a, b| b - a <= 1) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            let count = u64::from(last - first) + 1;
            let address = GuestAddress(u64::from(*first) * BALLOON_PAGE_SIZE);
            give(address, (count * BALLOON_PAGE_SIZE) as usize, count);
        }
    }
}

/// Lets the host have the memory behind `len` bytes at `address`, both multiples of
/// [`BALLOON_PAGE_SIZE`]. The guest finds zeros there afterwards.
pub(super) fn give_back<M: GuestMemory>(
    memory: &M,
    address: GuestAddress,
    len: usize,
) -> io::Result<()> {
    // SAFETY: a question about a constant of the host.
    let host_page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    if u64::try_from(host_page).map_or(true, |size| size > BALLOON_PAGE_SIZE) {
        // The host would take more than what was given.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let slices = memory
        .get_slices(address, len, Permissions::Write)
        .map_err(io::Error::other)?;
    for slice in slices {
        let slice = slice.map_err(io::Error::other)?;
        let guard = slice.ptr_guard_mut();
        let start = guard.as_ptr().cast::<libc::c_void>();
        // Memory that is shared is a file's, which has to get a hole; of memory that is private
        // the host refuses that.
        // SAFETY: the guard keeps the range mapped. What is lost is the content of guest memory,
        // which may change at any time.
        let lost = unsafe {
            let removed = libc::madvise(start, guard.len(), libc::MADV_REMOVE) == 0;
            let dropped = libc::madvise(start, guard.len(), libc::MADV_DONTNEED) == 0;
            removed || dropped
        };
        let result = match lost {
            true => Ok(()),
            false => Err(io::Error::last_os_error()),
        };
        // Even then a part may be gone, and that is a write like any other.
        slice.bitmap().mark_dirty(0, slice.len());
        result?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use vm_memory::{Bytes, GuestMemoryBackend, GuestMemoryMmap};

    use super::*;

    #[test]
    fn successive_pages_make_one_run() {
        let mut found = Vec::new();
        runs(
            &mut [7, 3, 9, 8, 3, 4, 0, u32::MAX],
            |address, len, pages| {
                found.push((address.0, len, pages));
            },
        );
        assert_eq!(
            found,
            [
                (0, 0x1000, 1),
                (0x3000, 0x2000, 2),
                (0x7000, 0x3000, 3),
                (0x0fff_ffff_f000, 0x1000, 1),
            ]
        );
        runs(&mut [], |_, _, _| unreachable!());
    }

    /// What the host leaves in a page of sevens that it was given: zeros, except that emulators of
    /// user programs do as if, and keep the content.
    pub(in super::super) fn left_behind() -> u8 {
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        memory.write_slice(&[7; 0x1000], GuestAddress(0)).unwrap();
        let page = memory.get_host_address(GuestAddress(0)).unwrap();
        // SAFETY: the page is mapped for as long as `memory` lives.
        let result = unsafe { libc::madvise(page.cast(), 0x1000, libc::MADV_DONTNEED) };
        assert_eq!(result, 0);
        memory.read_obj(GuestAddress(0x800)).unwrap()
    }

    #[test]
    fn pages_given_back_are_zeros_and_their_neighbours_stay() {
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        memory.write_slice(&[7; 0x4000], GuestAddress(0)).unwrap();
        give_back(&memory, GuestAddress(0x1000), 0x2000).unwrap();
        let mut bytes = vec![1; 0x4000];
        memory.read_slice(&mut bytes, GuestAddress(0)).unwrap();
        let given = [left_behind(); 0x2000];
        let expected = [[7; 0x1000].as_slice(), &given, &[7; 0x1000]].concat();
        assert!(bytes == expected);
        assert!(give_back(&memory, GuestAddress(1 << 20), 0x1000).is_err());
    }
}
