// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a block device stores its sectors in.

use std::io;

use vm_memory::VolatileSlice;

use super::raw_file::RawFile;

/// Bytes in a sector, the unit of every sector number in virtio block.
pub const SECTOR_SIZE: u64 = 512;

/// How storage likes to be used.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Bytes that can be written without a read before: requests should be multiples of it, and
    /// start at one. A power of two, at least [`SECTOR_SIZE`].
    pub logical_block: u32,
    /// Bytes that the medium writes at once; less than a logical block counts as one.
    pub physical_block: u32,
    /// Smallest request that is not slow, in bytes; less than a logical block counts as one.
    pub min_io: u32,
    /// Best request in bytes; 0 if all are alike.
    pub opt_io: u32,
}

impl Default for Topology {
    fn default() -> Self {
        Topology {
            logical_block: SECTOR_SIZE as u32,
            physical_block: SECTOR_SIZE as u32,
            min_io: SECTOR_SIZE as u32,
            opt_io: 0,
        }
    }
}

/// Storage behind a block device: a raw file or an image format.
///
/// Requests come from several threads at once. Offsets and lengths are in bytes; the caller keeps
/// them inside [`size`](Self::size). The slices are guest memory: a backend moves the data straight
/// between them and the storage, and must expect their contents to change at any moment.
pub trait BlockBackend: Send + Sync {
    /// Size in bytes, a multiple of [`SECTOR_SIZE`].
    fn size(&self) -> u64;

    /// Whether writes are refused.
    fn is_read_only(&self) -> bool;

    /// Serial number for the get-id request, in ASCII: a guest gets the first 20 bytes.
    fn serial(&self) -> &str;

    /// How the storage likes to be used.
    fn topology(&self) -> Topology {
        Topology::default()
    }

    /// Fills `data`, in order, with the bytes from `offset` on.
    fn read(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Stores `data`, in order, from `offset` on.
    fn write(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes every completed write durable.
    fn flush(&self) -> io::Result<()>;

    /// The bytes are not needed any more; what they are afterwards is undefined. Storage that has
    /// no use for the hint does nothing.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Makes the bytes zeros, and may give up their storage if `unmap`.
    fn write_zeroes(&self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        let _ = unmap;
        write_zeros(self, offset, len)
    }

    /// Changes [`size`](Self::size) to this many bytes, or to all that the storage has, and no
    /// data is lost: storage that is too small grows if it can, and what lies beyond a smaller
    /// size stays as it is.
    ///
    /// # Errors
    ///
    /// The storage cannot have that size. Nothing has changed then.
    fn resize(&self, size: Option<u64>) -> io::Result<()> {
        let _ = size;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The raw file, if it is one and nothing more: an engine may do its requests without asking
    /// the backend.
    fn as_raw_file(&self) -> Option<&RawFile> {
        None
    }
}

/// Stores zeros the long way.
pub(super) fn write_zeros<B: BlockBackend + ?Sized>(
    backend: &B,
    offset: u64,
    len: u64,
) -> io::Result<()> {
    const CHUNK: u64 = 64 << 10;
    let mut zeros = vec![0; CHUNK.min(len) as usize];
    let mut done = 0;
    while done < len {
        let chunk = CHUNK.min(len - done) as usize;
        backend.write(&[VolatileSlice::from(&mut zeros[..chunk])], offset + done)?;
        done += chunk as u64;
    }
    Ok(())
}
