// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest memory: KVM on s390x takes it at multiples of 1 MiB only, in the host as in the guest.
//!
//! Nobody can be asked to map memory at such an address, so guest memory is a file without a
//! name, which the backend maps a second time at an address that suits KVM. Both mappings show
//! the same memory.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use nix::sys::memfd::{memfd_create, MFdFlags};
use vm_memory::bitmap::NewBitmap;
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, VolatileSlice,
};
use vmm_sys_util::errno;

use super::Error;

/// KVM's segments: the unit of a memory slot's addresses and size.
const SEGMENT: usize = 1 << 20;

/// Allocates guest memory as [`KvmVm`](crate::KvmVm) takes it: `size` bytes from address 0, all
/// zeros. `size` is a multiple of 1 MiB.
///
/// # Errors
///
/// [`Error::Memory`], [`Error::MemoryShape`]
pub fn guest_memory<B: NewBitmap>(size: u64) -> Result<GuestMemoryMmap<B>, Error> {
    let bytes = usize::try_from(size).map_err(|error| Error::Memory(size, error.into()))?;
    if bytes == 0 || bytes % SEGMENT != 0 {
        return Err(Error::MemoryShape);
    }
    let file = memfd_create("guest-memory", MFdFlags::MFD_CLOEXEC)
        .map_err(|error| Error::Memory(size, error.into()))?;
    let file = File::from(file);
    file.set_len(size)
        .map_err(|error| Error::Memory(size, error.into()))?;
    let range = (GuestAddress(0), bytes, Some(FileOffset::new(file, 0)));
    GuestMemoryMmap::from_ranges_with_files([range])
        .map_err(|error| Error::Memory(size, error.into()))
}

/// Guest memory where KVM can use it.
#[derive(Debug)]
pub(crate) struct SlotMapping {
    /// The address space that holds the mapping, 1 MiB larger.
    reserved: NonNull<u8>,
    /// Where in it the mapping begins.
    offset: usize,
    size: usize,
}

// SAFETY: it is memory of the process, not of a thread; all accesses are volatile.
unsafe impl Send for SlotMapping {}
// SAFETY: as above.
unsafe impl Sync for SlotMapping {}

impl SlotMapping {
    /// Maps guest memory once more.
    pub(crate) fn new(memory: &impl GuestMemoryBackend) -> Result<Self, Error> {
        let mut regions = memory.iter();
        let (Some(region), None) = (regions.next(), regions.next()) else {
            return Err(Error::MemoryShape);
        };
        let size = usize::try_from(region.len()).map_err(|_| Error::MemoryShape)?;
        if region.start_addr() != GuestAddress(0) || size % SEGMENT != 0 {
            return Err(Error::MemoryShape);
        }
        let file = region.file_offset().ok_or(Error::MemoryPrivate)?;
        let mapping = SlotMapping::reserve(size)?;
        let start = i64::try_from(file.start()).map_err(|_| Error::MemoryShape)?;
        // SAFETY: replaces a part of our own reservation, to which nobody has a reference.
        let mapped = unsafe {
            libc::mmap(
                mapping.as_ptr().cast(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE,
                file.file().as_raw_fd(),
                start,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(Error::host("map guest memory")(errno::Error::last()));
        }
        Ok(mapping)
    }

    /// Gives every page to the guest now, writable.
    ///
    /// For hosts that cannot copy on write: what one of their guests writes to a page that the
    /// host has write protected, as Linux does with pages that were only read, is a protection
    /// exception of the guest's.
    pub(crate) fn populate(&self) -> Result<(), Error> {
        // SAFETY: changes nothing in memory but what is not there yet.
        let result =
            unsafe { libc::madvise(self.as_ptr().cast(), self.size, libc::MADV_POPULATE_WRITE) };
        match result {
            0 => Ok(()),
            _ => Err(Error::host("provide all of guest memory")(
                errno::Error::last(),
            )),
        }
    }

    /// Reserves address space in which there is room for `size` bytes at a multiple of 1 MiB.
    fn reserve(size: usize) -> Result<Self, Error> {
        let room = size.checked_add(SEGMENT).ok_or(Error::MemoryShape)?;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let reserved = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                room,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if reserved == libc::MAP_FAILED {
            let error = errno::Error::last();
            return Err(Error::host("reserve address space")(error));
        }
        let reserved: NonNull<u8> = NonNull::new(reserved.cast())
            .ok_or_else(|| Error::host("reserve address space")(errno::Error::new(libc::EFAULT)))?;
        let address = reserved.as_ptr() as usize;
        Ok(SlotMapping {
            reserved,
            offset: address.next_multiple_of(SEGMENT) - address,
            size,
        })
    }

    /// The first byte, at a multiple of 1 MiB.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.reserved.as_ptr().wrapping_add(self.offset)
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size as u64
    }

    /// All of it.
    pub(crate) fn as_slice(&self) -> VolatileSlice<'_> {
        // SAFETY: mapped as long as `self`, and used by guest and host by volatile accesses only.
        unsafe { VolatileSlice::new(self.as_ptr(), self.size) }
    }
}

impl Drop for SlotMapping {
    fn drop(&mut self) {
        // SAFETY: reserved by `reserve` with this size; references to it have ended with `self`.
        unsafe { libc::munmap(self.reserved.as_ptr().cast(), self.size + SEGMENT) };
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::Bytes;

    use super::*;

    #[test]
    fn both_mappings_show_the_same_memory_and_one_suits_kvm() {
        for _ in 0..4 {
            let memory = guest_memory::<()>(2 << 20).unwrap();
            let mapping = SlotMapping::new(&memory).unwrap();
            assert_eq!(mapping.as_ptr() as usize % SEGMENT, 0);
            assert_eq!(mapping.size(), 2 << 20);
            memory.write_obj(0x55_u8, GuestAddress(0x1f_ffff)).unwrap();
            let slice = mapping.as_slice();
            assert_eq!(slice.read_obj::<u8>(0x1f_ffff).unwrap(), 0x55);
            slice.write_obj(0xaa_u8, 0).unwrap();
            assert_eq!(memory.read_obj::<u8>(GuestAddress(0)).unwrap(), 0xaa);
        }
    }

    #[test]
    fn populated_memory_is_there_and_as_it_was() {
        let memory = guest_memory::<()>(2 << 20).unwrap();
        memory.write_obj(0x55_u8, GuestAddress(0x1000)).unwrap();
        let mapping = SlotMapping::new(&memory).unwrap();
        let pages = mapping.size / 4096;
        let mut resident = vec![0_u8; pages];
        let mut count = || {
            let (at, size) = (mapping.as_ptr().cast(), mapping.size);
            // SAFETY: writes a byte for each page of the mapping.
            assert_eq!(unsafe { libc::mincore(at, size, resident.as_mut_ptr()) }, 0);
            resident.iter().filter(|&&byte| byte & 1 == 1).count()
        };
        assert!(count() < pages);
        mapping.populate().unwrap();
        // Emulators of s390x programs take no advice, and say nothing.
        if cfg!(not(target_arch = "s390x")) {
            assert_eq!(count(), pages);
        }
        assert_eq!(mapping.as_slice().read_obj::<u8>(0x1000).unwrap(), 0x55);
    }

    #[test]
    fn memory_has_the_shape_of_one_slot() {
        for size in [0, 4096, (1 << 20) + 4096] {
            let error = guest_memory::<()>(size).unwrap_err();
            assert!(matches!(error, Error::MemoryShape));
        }
        let refused = |ranges: &[(GuestAddress, usize)]| {
            let memory = GuestMemoryMmap::<()>::from_ranges(ranges).unwrap();
            SlotMapping::new(&memory).unwrap_err()
        };
        let at = GuestAddress;
        for ranges in [
            &[(at(0), 0x1000)][..],
            &[(at(1 << 20), 1 << 20)],
            &[(at(0), 1 << 20), (at(1 << 20), 1 << 20)],
        ] {
            assert!(matches!(refused(ranges), Error::MemoryShape));
        }
        let private = refused(&[(at(0), 1 << 20)]);
        assert!(matches!(private, Error::MemoryPrivate));
    }
}
