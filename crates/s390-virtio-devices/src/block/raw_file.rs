// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The raw image: sector n of the disk is bytes 512 n to 512 n + 511 of the file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use vm_memory::VolatileSlice;

use super::backend::{BlockBackend, SECTOR_SIZE};

/// Most slices that one system call takes (`IOV_MAX` of Linux).
const MAX_SLICES: usize = 1024;

/// Why a file cannot be a disk.
#[derive(Debug, thiserror::Error)]
pub enum RawFileError {
    /// The file cannot be opened.
    #[error("cannot open disk image {path}")]
    Open {
        /// Path as given.
        path: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Neither a regular file nor a block device.
    #[error("disk image {0} is neither a regular file nor a block device")]
    Kind(String),
    /// The size is no multiple of the sector size.
    #[error("disk image {path} has {size} bytes, which is no multiple of {SECTOR_SIZE}")]
    OddSize {
        /// Path as given.
        path: String,
        /// Size in bytes.
        size: u64,
    },
    /// There is not even one sector.
    #[error("disk image {0} is empty")]
    Empty(String),
}

/// A raw image in a regular file or on a block device of the host.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    size: u64,
    read_only: bool,
    serial: String,
}

impl RawFile {
    /// Opens the image at `path`, which must hold a whole number of sectors.
    pub fn open(path: &Path, read_only: bool) -> Result<Self, RawFileError> {
        let name = || path.display().to_string();
        let open_error = |source| RawFileError::Open {
            path: name(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(!read_only)
            .open(path)
            .map_err(open_error)?;
        let metadata = file.metadata().map_err(open_error)?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(RawFileError::Kind(name()));
        }
        let size = end_of(&file).map_err(open_error)?;
        if size == 0 {
            return Err(RawFileError::Empty(name()));
        }
        if size % SECTOR_SIZE != 0 {
            return Err(RawFileError::OddSize { path: name(), size });
        }
        // Stable across renames and unique among the disks of one host.
        let serial = format!("{:x}-{:x}", metadata.dev(), metadata.ino());
        Ok(RawFile {
            file,
            size,
            read_only,
            serial: serial.chars().take(20).collect(),
        })
    }

    /// Moves all of `data` with `transfer`, which returns how many bytes one call moved.
    fn transfer_all(
        &self,
        data: &[VolatileSlice<'_>],
        mut offset: u64,
        end_error: io::ErrorKind,
        transfer: impl Fn(&[libc::iovec], libc::off64_t) -> isize,
    ) -> io::Result<()> {
        // The guards keep the mappings behind the pointers for the whole transfer.
        let guards: Vec<_> = data.iter().map(|slice| slice.ptr_guard_mut()).collect();
        let mut vectors: Vec<libc::iovec> = guards
            .iter()
            .filter(|guard| guard.len() != 0)
            .map(|guard| libc::iovec {
                iov_base: guard.as_ptr().cast(),
                iov_len: guard.len(),
            })
            .collect();
        let mut rest = vectors.as_mut_slice();
        while !rest.is_empty() {
            let position = libc::off64_t::try_from(offset)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let moved = transfer(&rest[..rest.len().min(MAX_SLICES)], position);
            let moved = match usize::try_from(moved) {
                Ok(0) => return Err(end_error.into()),
                Ok(moved) => moved,
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => continue,
                    error => return Err(error),
                },
            };
            offset += moved as u64;
            rest = advance(rest, moved);
        }
        Ok(())
    }
}

impl BlockBackend for RawFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn serial(&self) -> &str {
        &self.serial
    }

    fn read(&mut self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let fd = self.file.as_raw_fd();
        self.transfer_all(
            data,
            offset,
            io::ErrorKind::UnexpectedEof,
            |vectors, offset| {
                // SAFETY: every vector covers guest memory that its pointer guard keeps mapped, and
                // guest memory may be written at any time.
                unsafe {
                    libc::preadv64(fd, vectors.as_ptr(), vectors.len() as libc::c_int, offset)
                }
            },
        )
    }

    fn write(&mut self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let fd = self.file.as_raw_fd();
        self.transfer_all(data, offset, io::ErrorKind::WriteZero, |vectors, offset| {
            // SAFETY: every vector covers guest memory that its pointer guard keeps mapped; the
            // kernel only reads it.
            unsafe { libc::pwritev64(fd, vectors.as_ptr(), vectors.len() as libc::c_int, offset) }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn resize(&mut self, size: Option<u64>) -> io::Result<()> {
        let stored = end_of(&self.file)?;
        let size = size.unwrap_or(stored - stored % SECTOR_SIZE);
        if size == 0 || size % SECTOR_SIZE != 0 {
            let sentence = format!("{size} bytes are no whole number of sectors");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
        }
        if size > stored {
            if self.read_only || !self.file.metadata()?.is_file() {
                let sentence = format!("there are only {stored} bytes, and they cannot grow");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
            }
            self.file.set_len(size)?;
        }
        self.size = size;
        Ok(())
    }
}

/// Where a file or a block device ends, in bytes.
fn end_of(mut file: &File) -> io::Result<u64> {
    io::Seek::seek(&mut file, io::SeekFrom::End(0))
}

/// What is left of `vectors` after their first `moved` bytes.
fn advance(mut vectors: &mut [libc::iovec], mut moved: usize) -> &mut [libc::iovec] {
    while let Some(first) = vectors.first_mut() {
        if moved < first.iov_len {
            first.iov_base = first.iov_base.cast::<u8>().wrapping_add(moved).cast();
            first.iov_len -= moved;
            break;
        }
        moved -= first.iov_len;
        vectors = &mut vectors[1..];
    }
    vectors
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;

    fn image(bytes: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn moves_data_between_file_and_several_slices() {
        let content: Vec<u8> = (0..2048u32).map(|i| i as u8 ^ (i >> 8) as u8).collect();
        let file = image(&content);
        let mut disk = RawFile::open(file.path(), false).unwrap();
        assert_eq!(disk.size(), 2048);
        let (mut a, mut b) = ([0u8; 500], [0u8; 524]);
        disk.read(&[a.as_mut_slice().into(), b.as_mut_slice().into()], 512)
            .unwrap();
        assert_eq!([a.as_slice(), b.as_slice()].concat(), content[512..1536]);

        a.fill(7);
        b.fill(9);
        disk.write(&[b.as_mut_slice().into(), a.as_mut_slice().into()], 1024)
            .unwrap();
        disk.flush().unwrap();
        let after = std::fs::read(file.path()).unwrap();
        assert_eq!(after[..1024], content[..1024]);
        assert_eq!(after[1024..1548], [9; 524]);
        assert_eq!(after[1548..], [7; 500]);
    }

    #[test]
    fn more_slices_than_one_call_takes() {
        let file = image(&[0; 4096]);
        let mut disk = RawFile::open(file.path(), false).unwrap();
        let mut bytes: Vec<[u8; 2]> = (0..2048u16).map(u16::to_be_bytes).collect();
        let slices: Vec<_> = bytes
            .iter_mut()
            .map(|pair| VolatileSlice::from(pair.as_mut_slice()))
            .collect();
        disk.write(&slices, 0).unwrap();
        let after = std::fs::read(file.path()).unwrap();
        assert_eq!(after[4094..], 2047u16.to_be_bytes());
        assert_eq!(after[2048..2050], 1024u16.to_be_bytes());
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let file = image(&[1; 1024]);
        let mut disk = RawFile::open(file.path(), true).unwrap();
        file.as_file().set_len(512).unwrap();
        let mut data = [0u8; 1024];
        let error = disk.read(&[data.as_mut_slice().into()], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn growing_grows_the_file_and_shrinking_keeps_it() {
        let file = image(&[5; 1024]);
        let mut disk = RawFile::open(file.path(), false).unwrap();
        disk.resize(Some(2048)).unwrap();
        assert_eq!(disk.size(), 2048);
        let mut data = [9u8; 512];
        disk.read(&[data.as_mut_slice().into()], 1536).unwrap();
        assert_eq!(data, [0; 512]);
        disk.resize(Some(512)).unwrap();
        assert_eq!(disk.size(), 512);
        assert_eq!(
            std::fs::read(file.path()).unwrap(),
            [[5; 1024], [0; 1024]].concat()
        );
        // All that there is, whoever made it grow; without the part of a sector.
        file.as_file().set_len(4100).unwrap();
        disk.resize(None).unwrap();
        assert_eq!(disk.size(), 4096);
    }

    #[test]
    fn refuses_sizes_that_cannot_be() {
        let file = image(&[5; 1024]);
        let mut disk = RawFile::open(file.path(), false).unwrap();
        for size in [0, 1, 513, u64::MAX - 511] {
            assert!(disk.resize(Some(size)).is_err(), "{size}");
        }
        let mut disk = RawFile::open(file.path(), true).unwrap();
        let error = disk.resize(Some(2048)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there are only 1024 bytes, and they cannot grow"
        );
        assert_eq!(disk.size(), 1024);
        assert_eq!(std::fs::read(file.path()).unwrap(), [5; 1024]);
    }

    #[test]
    fn refuses_what_is_no_disk() {
        let sentence = |path: &Path| RawFile::open(path, false).unwrap_err().to_string();
        assert!(sentence(image(&[0; 513]).path())
            .ends_with("has 513 bytes, which is no multiple of 512"));
        assert!(sentence(image(&[]).path()).ends_with("is empty"));
        assert!(sentence(Path::new("/nonexistent/disk")).starts_with("cannot open disk image"));
        let directory = tempfile::tempdir().unwrap();
        let error = RawFile::open(directory.path(), true).unwrap_err();
        assert!(matches!(error, RawFileError::Kind(_)));
    }

    #[test]
    fn a_read_only_image_stays_unwritten() {
        let file = image(&[3; 512]);
        let mut disk = RawFile::open(file.path(), true).unwrap();
        assert!(disk.is_read_only());
        let mut data = [0u8; 512];
        assert!(disk.write(&[data.as_mut_slice().into()], 0).is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), [3; 512]);
    }
}
