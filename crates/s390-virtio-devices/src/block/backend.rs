// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a block device stores its sectors in.

use std::io;

use vm_memory::VolatileSlice;

/// Bytes in a sector, the unit of every sector number in virtio block.
pub const SECTOR_SIZE: u64 = 512;

/// Storage behind a block device: a raw file, later an image format or an asynchronous engine.
///
/// Offsets and lengths are in bytes; the caller keeps them inside [`size`](Self::size). The slices
/// are guest memory: a backend moves the data straight between them and the storage, and must
/// expect their contents to change at any moment.
pub trait BlockBackend: Send {
    /// Size in bytes, a multiple of [`SECTOR_SIZE`].
    fn size(&self) -> u64;

    /// Whether writes are refused.
    fn is_read_only(&self) -> bool;

    /// Serial number for the get-id request: at most 20 bytes of ASCII.
    fn serial(&self) -> &str;

    /// Fills `data`, in order, with the bytes from `offset` on.
    fn read(&mut self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Stores `data`, in order, from `offset` on.
    fn write(&mut self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes every completed write durable.
    fn flush(&mut self) -> io::Result<()>;

    /// Changes [`size`](Self::size) to this many bytes, or to all that the storage has, and no
    /// data is lost: storage that is too small grows if it can, and what lies beyond a smaller
    /// size stays as it is.
    ///
    /// # Errors
    ///
    /// The storage cannot have that size. Nothing has changed then.
    fn resize(&mut self, size: Option<u64>) -> io::Result<()> {
        let _ = size;
        Err(io::ErrorKind::Unsupported.into())
    }
}
