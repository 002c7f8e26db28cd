// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Storage that insists on being used as its trait promises.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use s390_virtio_devices::block::BlockBackend;
use vm_memory::{Bytes, VolatileSlice};

/// Bytes that went to and from disks.
pub(crate) type Moved = Arc<AtomicU64>;

/// A disk in memory.
pub(crate) struct MemoryDisk {
    content: Mutex<Vec<u8>>,
    size: AtomicU64,
    moved: Moved,
}

impl MemoryDisk {
    /// The size that it begins with.
    pub(crate) const SIZE: u64 = 16 << 10;
    /// What it can grow to.
    pub(crate) const MAX_SIZE: u64 = 2 * Self::SIZE;

    pub(crate) fn new(moved: Moved) -> Self {
        MemoryDisk {
            content: Mutex::new(vec![0x5a; Self::MAX_SIZE as usize]),
            size: AtomicU64::new(Self::SIZE),
            moved,
        }
    }

    /// Lets `copy` have each slice and its place in the content.
    fn transfer(
        &self,
        data: &[VolatileSlice<'_>],
        offset: u64,
        copy: impl Fn(&VolatileSlice<'_>, &mut [u8]),
    ) {
        let mut content = self.content.lock().unwrap();
        let size = usize::try_from(self.size()).unwrap();
        let mut at = usize::try_from(offset).unwrap();
        for slice in data {
            copy(slice, &mut content[..size][at..at + slice.len()]);
            at += slice.len();
        }
        self.moved.fetch_add(at as u64 - offset, Ordering::Relaxed);
    }
}

impl BlockBackend for MemoryDisk {
    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        "fuzz"
    }

    fn read(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.transfer(data, offset, |slice, content| slice.copy_from(content));
        Ok(())
    }

    fn write(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.transfer(data, offset, |slice, content| {
            slice.copy_to(content);
        });
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        assert!(offset + len <= self.size());
        Ok(())
    }

    fn resize(&self, size: Option<u64>) -> io::Result<()> {
        let size = size.unwrap_or(Self::MAX_SIZE).min(Self::MAX_SIZE);
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }
}

/// A large disk that stores nothing, so that requests can be as large as guests can make them.
pub(crate) struct SparseDisk(pub(crate) Moved);

impl SparseDisk {
    const SIZE: u64 = 1 << 30;

    fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        assert!(offset + len <= Self::SIZE);
        self.0.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }
}

impl BlockBackend for SparseDisk {
    fn size(&self) -> u64 {
        Self::SIZE
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        "sparse"
    }

    fn read(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let mut len = 0;
        for slice in data {
            // That the memory is there.
            let _ = slice.write_slice(&[0], 0);
            let _ = slice.write_slice(&[0], slice.len().saturating_sub(1));
            len += slice.len() as u64;
        }
        self.check(offset, len)
    }

    fn write(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let len = data.iter().map(|slice| slice.len() as u64).sum();
        self.check(offset, len)
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        assert!(offset + len <= Self::SIZE);
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64, _: bool) -> io::Result<()> {
        self.check(offset, len)
    }
}
