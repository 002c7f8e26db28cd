// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Opening disk images: what is wanted of them, their locks, and what can be wrong.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::backend::{BlockBackend, SECTOR_SIZE};
use super::qcow2::Qcow2;
use super::raw_file::RawFile;

/// How long to wait for the lock of an image.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Why a file cannot be a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
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
    /// Somebody else uses the image in a way that excludes this one.
    #[error("disk image {0} is in use by another disk or process")]
    InUse(String),
}

/// How the bytes of a disk lie in a file. It is never guessed: a guest could make a raw image look
/// like another format, and name any file of the host in it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageFormat {
    /// Sector n of the disk is bytes 512 n to 512 n + 511 of the file.
    #[default]
    Raw,
    /// QEMU's image format, version 2 or 3, with backing files.
    Qcow2,
}

/// How to open an image.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// Its format.
    pub format: ImageFormat,
    /// Whether writes are refused. Several processes may read one image, if none writes it.
    pub read_only: bool,
    /// Whether to go past the host's page cache (`O_DIRECT`).
    pub direct: bool,
}

impl ImageOptions {
    /// Opens the image at `path`.
    ///
    /// # Errors
    ///
    /// The file is none, or is in use.
    pub fn open(&self, path: &Path) -> Result<Box<dyn BlockBackend>, ImageError> {
        Ok(match self.format {
            ImageFormat::Raw => Box::new(RawFile::open_with(path, self)?),
            ImageFormat::Qcow2 => Box::new(Qcow2::open(path, self)?),
        })
    }

    /// Opens and locks the file, which is a regular file or a block device.
    pub(super) fn open_file(&self, path: &Path) -> Result<File, ImageError> {
        let name = || path.display().to_string();
        let open_error = |source| ImageError::Open {
            path: name(),
            source,
        };
        // A FIFO would wait for its other end.
        let flags = libc::O_NONBLOCK | if self.direct { libc::O_DIRECT } else { 0 };
        let file = OpenOptions::new()
            .read(true)
            .write(!self.read_only)
            .custom_flags(flags)
            .open(path)
            .map_err(|error| match error.raw_os_error() {
                Some(libc::EINVAL) if self.direct => open_error(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "its file system does no direct I/O",
                )),
                _ => open_error(error),
            })?;
        let kind = file.metadata().map_err(open_error)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(ImageError::Kind(name()));
        }
        match lock_in_time(&file, !self.read_only) {
            Ok(true) => Ok(file),
            Ok(false) => Err(ImageError::InUse(name())),
            Err(error) => {
                log::warn!("disk image {} cannot be locked: {error}", name());
                Ok(file)
            }
        }
    }
}

/// Where a file or a block device ends, in bytes.
pub(super) fn end_of(mut file: &File) -> io::Result<u64> {
    io::Seek::seek(&mut file, io::SeekFrom::End(0))
}

/// Stable across renames, and unique among the disks of one host.
pub(super) fn serial(file: &File) -> io::Result<String> {
    let metadata = file.metadata()?;
    Ok(format!("{:x}-{:x}", metadata.dev(), metadata.ino()))
}

/// Checks a disk's size.
pub(super) fn check_size(path: &Path, size: u64) -> Result<(), ImageError> {
    match size {
        0 => Err(ImageError::Empty(path.display().to_string())),
        _ if size % SECTOR_SIZE != 0 => Err(ImageError::OddSize {
            path: path.display().to_string(),
            size,
        }),
        _ => Ok(()),
    }
}

/// Locks a file, and waits a moment for that: the io_uring of a process that was killed lets go
/// of its files, and so of their locks, only some time after the process is gone.
fn lock_in_time(file: &File, exclusive: bool) -> io::Result<bool> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match lock_image(file, exclusive) {
            Ok(false) if Instant::now() < deadline => std::thread::sleep(LOCK_PATIENCE / 50),
            result => return result,
        }
    }
}

/// Locks all of a file as images are locked, for as long as the open file lives: shared, or
/// exclusively. False if somebody else has a lock that excludes it. QEMU's locks on bytes of its
/// images are such.
///
/// # Errors
///
/// The file system has no locks.
pub fn lock_image(file: &File, exclusive: bool) -> io::Result<bool> {
    // SAFETY: all zeros are a valid `flock`, a structure of integers.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = if exclusive {
        libc::F_WRLCK
    } else {
        libc::F_RDLCK
    } as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the command takes a pointer to a `flock`, which outlives the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } {
        0 => Ok(true),
        _ => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, read_only: bool) -> Result<File, ImageError> {
        let options = ImageOptions {
            read_only,
            ..ImageOptions::default()
        };
        options.open_file(path)
    }

    #[test]
    fn one_writer_or_several_readers() {
        let image = tempfile::NamedTempFile::new().unwrap();
        let path = image.path();
        let in_use = |result: Result<File, ImageError>| {
            assert_eq!(
                result.unwrap_err().to_string(),
                format!(
                    "disk image {} is in use by another disk or process",
                    path.display()
                )
            );
        };
        let writer = open(path, false).unwrap();
        in_use(open(path, false));
        in_use(open(path, true));
        drop(writer);
        let readers = [open(path, true).unwrap(), open(path, true).unwrap()];
        in_use(open(path, false));
        drop(readers);
        open(path, false).unwrap();
    }

    #[test]
    fn a_file_system_without_direct_io_is_named_as_the_cause() {
        let options = ImageOptions {
            read_only: true,
            direct: true,
            ..ImageOptions::default()
        };
        match options.open_file("/proc/version".as_ref()) {
            Err(ImageError::Open { source, .. }) => {
                assert_eq!(source.to_string(), "its file system does no direct I/O");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_image_has_a_serial_number_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["first", "second", "third"].map(|name| directory.path().join(name));
        let serial = |name: &Path| RawFile::open(name, true).unwrap().serial().to_owned();
        std::fs::write(&names[0], [0; 512]).unwrap();
        std::fs::write(&names[1], [0; 512]).unwrap();
        let first = serial(&names[0]);
        assert_ne!(first, serial(&names[1]));
        std::fs::rename(&names[0], &names[2]).unwrap();
        assert_eq!(first, serial(&names[2]));
        let metadata = directory.path().metadata().unwrap();
        assert!(first.starts_with(&format!("{:x}-", metadata.dev())));
    }

    #[test]
    fn a_lock_that_goes_away_is_waited_for() {
        let image = tempfile::NamedTempFile::new().unwrap();
        let writer = open(image.path(), false).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(LOCK_PATIENCE / 20);
                drop(writer);
            });
            open(image.path(), false).unwrap();
        });
    }

    #[test]
    fn only_files_and_block_devices() {
        let directory = tempfile::tempdir().unwrap();
        let error = open(directory.path(), true).unwrap_err();
        assert!(matches!(error, ImageError::Kind(_)), "{error}");
        let fifo = directory.path().join("fifo");
        let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
        // SAFETY: a string that ends with NUL.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let error = open(&fifo, true).unwrap_err();
        assert!(matches!(error, ImageError::Kind(_)), "{error}");
        assert!(open(Path::new("/dev/null"), true).is_err());
    }
}
