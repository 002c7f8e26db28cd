// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Images in QEMU's format qcow2, by way of the library imago.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use imago::file::File as ImageFile;
use imago::format::gate::ImplicitOpenGate;
use imago::format::PreallocateMode;
use imago::io_buffers::{IoVector, IoVectorMut};
use imago::qcow2::Qcow2 as Format;
use imago::{FormatAccess, FormatDriverBuilder, StorageOpenOptions};
use vm_memory::VolatileSlice;

use super::backend::{write_zeros, BlockBackend, Topology, SECTOR_SIZE};
use super::image::{check_size, serial, ImageError, ImageOptions};

/// Most slices that one system call takes (`IOV_MAX` of Linux), and so imago.
const MAX_SLICES: usize = 1024;

/// A qcow2 image with its backing files.
///
/// Its metadata is cached, so that it takes a flush to make a write durable. A VMM that dies
/// before leaves an image that is consistent, but for clusters that nobody refers to.
pub struct Qcow2 {
    /// Discarding takes mappings away that other requests may be using: it goes alone.
    image: RwLock<FormatAccess<ImageFile>>,
    size: AtomicU64,
    read_only: bool,
    serial: String,
}

impl fmt::Debug for Qcow2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qcow2")
            .field("size", &self.size)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

impl Qcow2 {
    /// Opens the image at `path`, and the backing files that it names.
    ///
    /// # Errors
    ///
    /// A file is no such image, or is in use.
    pub fn open(path: &Path, options: &ImageOptions) -> Result<Self, ImageError> {
        let open_error = |source| ImageError::Open {
            path: path.display().to_string(),
            source,
        };
        let file = options.open_file(path)?;
        let serial = serial(&file).map_err(open_error)?;
        let storage = StorageOpenOptions::new()
            .direct(options.direct)
            .write(!options.read_only)
            .filename(path);
        let image = ImageFile::from_open_file(file, storage)
            .and_then(|file| {
                Format::<ImageFile>::builder(file)
                    .write(!options.read_only)
                    .storage_open_options(StorageOpenOptions::new().direct(options.direct))
                    .open(BackingGate)
            })
            .map(FormatAccess::new)
            .map_err(open_error)?;
        check_size(path, image.size())?;
        Ok(Qcow2 {
            size: image.size().into(),
            image: RwLock::new(image),
            read_only: options.read_only,
            serial,
        })
    }

    fn image(&self) -> RwLockReadGuard<'_, FormatAccess<ImageFile>> {
        self.image.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockBackend for Qcow2 {
    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn serial(&self) -> &str {
        &self.serial
    }

    fn topology(&self) -> Topology {
        Topology {
            physical_block: 4096,
            min_io: 4096,
            ..Topology::default()
        }
    }

    fn read(&self, data: &[VolatileSlice<'_>], mut offset: u64) -> io::Result<()> {
        let image = self.image();
        for data in data.chunks(MAX_SLICES) {
            let (vector, _guard) = IoVectorMut::from_volatile_slice(data);
            let len = vector.len();
            image.readv(vector, offset)?;
            offset += len;
        }
        Ok(())
    }

    fn write(&self, data: &[VolatileSlice<'_>], mut offset: u64) -> io::Result<()> {
        let image = self.image();
        for data in data.chunks(MAX_SLICES) {
            let (vector, _guard) = IoVector::from_volatile_slice(data);
            let len = vector.len();
            image.writev(vector, offset)?;
            offset += len;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let image = self.image();
        image.flush()?;
        image.sync()
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
        hint(image.discard_to_any(offset, len))
    }

    fn write_zeroes(&self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        let result = if unmap {
            let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
            image.discard_to_zero(offset, len)
        } else {
            self.image().write_zeroes(offset, len)
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                write_zeros(self, offset, len)
            }
            result => result,
        }
    }

    fn resize(&self, size: Option<u64>) -> io::Result<()> {
        let image = self.image();
        let size = size.unwrap_or(image.size());
        if size == 0 || size % SECTOR_SIZE != 0 {
            let sentence = format!("{size} bytes are no whole number of sectors");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
        }
        if size > image.size() {
            image.resize_grow(size, PreallocateMode::None)?;
        }
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }
}

/// A discard that cannot be done is none.
fn hint(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

/// Opens what an image refers to: backing files, which nobody writes, and external data files. All
/// are locked like the image itself.
struct BackingGate;

impl ImplicitOpenGate<ImageFile> for BackingGate {
    fn open_format<F: FormatDriverBuilder<ImageFile>>(
        &mut self,
        builder: F,
    ) -> io::Result<FormatAccess<ImageFile>> {
        Ok(FormatAccess::new(builder.open(BackingGate)?))
    }

    fn open_storage(&mut self, options: StorageOpenOptions) -> io::Result<ImageFile> {
        let path = options
            .get_filename()
            .ok_or(io::ErrorKind::InvalidInput)?
            .to_owned();
        let file_options = ImageOptions {
            read_only: !options.get_writable(),
            direct: options.get_direct(),
            ..ImageOptions::default()
        };
        let file = file_options
            .open_file(&path)
            .map_err(|error| io::Error::other(Explained(error)))?;
        ImageFile::from_open_file(file, options)
    }
}

/// An error with its cause in one sentence, for those who print errors without causes.
#[derive(Debug)]
struct Explained(ImageError);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        match std::error::Error::source(&self.0) {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Explained {}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use imago::{FormatCreateBuilder, Storage, StorageCreateOptions};

    use super::*;
    use crate::test_utils::is_put_off;

    const SIZE: u64 = 8 << 20;

    fn create(path: &Path, backing: Option<&Path>) {
        create_with_size(path, SIZE, backing);
    }

    fn create_with_size(path: &Path, size: u64, backing: Option<&Path>) {
        let file = StorageCreateOptions::new().filename(path);
        let file = ImageFile::create_open(file).unwrap();
        let mut builder = Format::<ImageFile>::create_builder(file).size(size);
        if let Some(backing) = backing {
            builder = builder.backing(backing.to_str().unwrap().into(), "qcow2".into());
        }
        builder.create().unwrap();
    }

    fn open(path: &Path, read_only: bool) -> Result<Qcow2, ImageError> {
        let options = ImageOptions {
            format: super::super::ImageFormat::Qcow2,
            read_only,
            direct: false,
        };
        Qcow2::open(path, &options)
    }

    fn sentence(path: &Path, read_only: bool) -> String {
        let error = open(path, read_only).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    }

    fn read(disk: &Qcow2, offset: u64) -> Vec<u8> {
        let mut data = vec![0xee; 1024];
        disk.read(&[VolatileSlice::from(&mut data[..])], offset)
            .unwrap();
        data
    }

    fn write(disk: &Qcow2, byte: u8, offset: u64) {
        let mut data = vec![byte; 1024];
        let (a, b) = data.split_at_mut(100);
        disk.write(&[a.into(), b.into()], offset).unwrap();
    }

    #[test]
    fn what_was_flushed_is_there_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        create(&path, None);
        {
            let disk = open(&path, false).unwrap();
            assert_eq!((disk.size(), disk.is_read_only()), (SIZE, false));
            let Topology {
                physical_block,
                min_io,
                ..
            } = disk.topology();
            assert_eq!((physical_block, min_io), (4096, 4096));
            assert_eq!(read(&disk, 0), [0; 1024]);
            write(&disk, 7, 5 << 20);
            write(&disk, 8, SIZE - 1024);
            disk.flush().unwrap();
            // As if the process were gone.
            std::mem::forget(disk);
        }
        let copy = directory.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        let disk = open(&copy, true).unwrap();
        assert_eq!(read(&disk, 5 << 20), [7; 1024]);
        assert_eq!(read(&disk, SIZE - 1024), [8; 1024]);
        assert_eq!(read(&disk, (5 << 20) + 1024), [0; 1024]);
        assert!(disk
            .write(&[VolatileSlice::from(&mut [1u8; 512][..])], 0)
            .is_err());
        // Nothing of it is left that could not be flushed.
        disk.flush().unwrap();
    }

    #[test]
    fn zeroes_discards_and_more_slices_than_one_call_takes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        create(&path, None);
        let disk = open(&path, false).unwrap();
        for unmap in [false, true] {
            write(&disk, 7, 0);
            write(&disk, 9, 1 << 20);
            disk.write_zeroes(512, 2 << 20, unmap).unwrap();
            assert_eq!(read(&disk, 0), [[7; 512], [0; 512]].concat());
            assert_eq!(read(&disk, 1 << 20), [0; 1024]);
        }
        write(&disk, 7, 0);
        disk.discard(0, SIZE).unwrap();
        assert_eq!(read(&disk, 0), [0; 1024]);
        let mut words: Vec<[u8; 2]> = (0..2048u16).map(u16::to_be_bytes).collect();
        let slices: Vec<_> = words
            .iter_mut()
            .map(|word| VolatileSlice::from(word.as_mut_slice()))
            .collect();
        disk.write(&slices, 4096).unwrap();
        assert_eq!(read(&disk, 4096 + 3072)[1022..], 2047u16.to_be_bytes());
        assert_eq!(read(&disk, 4096)[..4], [0, 0, 0, 1]);
        disk.read(&slices, 8192).unwrap();
        disk.read(&slices, 4096).unwrap();
        let numbers = words.into_iter().map(u16::from_be_bytes);
        assert!(numbers.eq(0..2048));
    }

    #[test]
    fn zeros_keep_their_clusters_unless_they_may_go() {
        for unmap in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("disk");
            create(&path, None);
            let disk = open(&path, false).unwrap();
            let len = |offset| {
                write(&disk, 7, offset);
                disk.flush().unwrap();
                path.metadata().unwrap().len()
            };
            let before = len(0);
            disk.write_zeroes(0, 64 << 10, unmap).unwrap();
            disk.flush().unwrap();
            assert_eq!(len(1 << 20) > before, !unmap);
        }
    }

    #[test]
    fn an_old_image_has_no_zeros_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        create(&path, None);
        // The fields of version 3 follow those of version 2.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4..8].copy_from_slice(&2u32.to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
        let disk = open(&path, false).unwrap();
        for unmap in [false, true] {
            write(&disk, 7, 0);
            disk.discard(0, SIZE).unwrap();
            disk.write_zeroes(512, SIZE - 512, unmap).unwrap();
            assert_eq!(read(&disk, 0), [[7; 512], [0; 512]].concat());
        }
    }

    #[test]
    fn a_flush_reaches_the_medium() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        create(&path, None);
        let disk = open(&path, false).unwrap();
        write(&disk, 7, 0);
        let file = std::fs::File::open(&path).unwrap();
        match is_put_off(&file) {
            Ok(true) => {}
            told => return eprintln!("the file system does not tell: {told:?}"),
        }
        disk.flush().unwrap();
        assert!(!is_put_off(&file).unwrap());
    }

    #[test]
    fn backing_files_are_read_and_locked() {
        let directory = tempfile::tempdir().unwrap();
        let [base, overlay, other] = ["base", "overlay", "other"].map(|n| directory.path().join(n));
        create(&base, None);
        {
            let disk = open(&base, false).unwrap();
            write(&disk, 3, 4096);
            disk.flush().unwrap();
            create(&overlay, Some(&base));
            // Whoever writes the base would pull the rug from under the overlay.
            assert!(sentence(&overlay, false).ends_with("is in use by another disk or process"));
        }
        create(&other, Some(&base));
        let disk = open(&overlay, false).unwrap();
        let second = open(&other, false).unwrap();
        assert_eq!(read(&disk, 4096), [3; 1024]);
        write(&disk, 4, 4096);
        assert_eq!(read(&second, 4096), [3; 1024]);
        assert!(sentence(&base, false).ends_with("is in use by another disk or process"));
        std::fs::remove_file(&base).unwrap();
        drop(disk);
        assert!(sentence(&overlay, false).contains("No such file or directory"));
    }

    #[test]
    fn an_image_grows_and_its_disk_shrinks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        create(&path, None);
        let disk = open(&path, false).unwrap();
        disk.resize(Some(2 * SIZE)).unwrap();
        write(&disk, 5, 2 * SIZE - 1024);
        disk.resize(Some(SIZE)).unwrap();
        assert_eq!(disk.size(), SIZE);
        disk.resize(None).unwrap();
        assert_eq!(disk.size(), 2 * SIZE);
        assert_eq!(read(&disk, 2 * SIZE - 1024), [5; 1024]);
        for size in [0, 513] {
            assert!(disk.resize(Some(size)).is_err(), "{size}");
        }
        drop(disk);
        let disk = open(&path, true).unwrap();
        assert_eq!(disk.size(), 2 * SIZE);
        assert!(disk.resize(Some(3 * SIZE)).is_err());
    }

    #[test]
    fn what_is_no_qcow2_image_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("disk");
        for content in [vec![], vec![0; 4096], b"QFI\xfb\0\0\0\x03".to_vec()] {
            std::fs::write(&path, content).unwrap();
            assert!(sentence(&path, false).starts_with("cannot open disk image"));
        }
        for (size, what) in [(0, "is empty"), (513, "no multiple of 512")] {
            std::fs::remove_file(&path).unwrap();
            create_with_size(&path, size, None);
            assert!(sentence(&path, false).ends_with(what));
        }
        // A raw image is never taken for one, whatever it looks like.
        std::fs::remove_file(&path).unwrap();
        create(&path, None);
        let raw = super::super::RawFile::open(&path, true).unwrap();
        assert!(raw.size() < SIZE);
    }
}
