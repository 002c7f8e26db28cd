// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The raw image: sector n of the disk is bytes 512 n to 512 n + 511 of the file.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{fallocate, FallocateFlags};
use rustix::io::{retry_on_intr, Errno};
use vm_memory::VolatileSlice;

use super::backend::{write_zeros, BlockBackend, Topology, SECTOR_SIZE};
use super::direct::{Alignment, Bounce};
use super::image::{check_size, end_of, serial, ImageError, ImageOptions};
use crate::buffers::{split_off, vectors};

/// Most slices that one system call takes (`IOV_MAX` of Linux).
const MAX_SLICES: usize = 1024;

/// A raw image in a regular file or on a block device of the host.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    size: AtomicU64,
    read_only: bool,
    serial: String,
    topology: Topology,
    /// With direct I/O.
    alignment: Option<Alignment>,
}

impl RawFile {
    /// Opens the image at `path`, which must hold a whole number of sectors, through the host's
    /// page cache.
    ///
    /// # Errors
    ///
    /// The file is no raw image, or is in use.
    pub fn open(path: &Path, read_only: bool) -> Result<Self, ImageError> {
        let options = ImageOptions {
            read_only,
            ..ImageOptions::default()
        };
        Self::open_with(path, &options)
    }

    /// Opens the image at `path` as a raw one, whatever format the options name.
    ///
    /// # Errors
    ///
    /// The file is no raw image, or is in use.
    pub fn open_with(path: &Path, options: &ImageOptions) -> Result<Self, ImageError> {
        let file = options.open_file(path)?;
        let open_error = |source| ImageError::Open {
            path: path.display().to_string(),
            source,
        };
        let alignment = options.direct.then(|| Alignment::of(&file));
        let topology = topology(&file, alignment).map_err(open_error)?;
        let size = end_of(&file).map_err(open_error)?;
        check_size(path, size)?;
        Ok(RawFile {
            size: size.into(),
            read_only: options.read_only,
            serial: serial(&file).map_err(open_error)?,
            topology,
            alignment,
            file,
        })
    }

    /// Whether the kernel can move `data` as it is, with one system call.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn suits(&self, data: &[VolatileSlice<'_>]) -> bool {
        data.len() <= MAX_SLICES && self.alignment.is_none_or(|a| a.suits(data))
    }

    /// Moves all of `data` with `transfer`, which returns how many bytes one call moved.
    fn transfer_all(
        &self,
        data: &[VolatileSlice<'_>],
        mut offset: u64,
        end_error: io::ErrorKind,
        transfer: impl Fn(&[libc::iovec], libc::off64_t) -> isize,
    ) -> io::Result<()> {
        let mut vectors = vectors(data);
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

    fn read_vectors(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let fd = self.file.as_raw_fd();
        let end_error = io::ErrorKind::UnexpectedEof;
        self.transfer_all(data, offset, end_error, |vectors, offset| {
            // SAFETY: every vector covers memory that `data` borrows for the whole call, and
            // guest memory may be written at any time.
            unsafe { libc::preadv64(fd, vectors.as_ptr(), vectors.len() as libc::c_int, offset) }
        })
    }

    fn write_vectors(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let fd = self.file.as_raw_fd();
        self.transfer_all(data, offset, io::ErrorKind::WriteZero, |vectors, offset| {
            // SAFETY: every vector covers memory that `data` borrows for the whole call; the
            // kernel only reads it.
            unsafe { libc::pwritev64(fd, vectors.as_ptr(), vectors.len() as libc::c_int, offset) }
        })
    }

    /// Memory for data that direct I/O cannot work on.
    fn bounce(&self, data: &[VolatileSlice<'_>]) -> io::Result<Option<Bounce>> {
        match self.alignment {
            Some(alignment) if !alignment.suits(data) => {
                Bounce::new(data.iter().map(VolatileSlice::len).sum()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Moves all of `data` by way of `bounce`, as much at a time as it holds.
    fn bounce_all(
        bounce: &Bounce,
        data: &[VolatileSlice<'_>],
        mut offset: u64,
        transfer: impl Fn(VolatileSlice<'_>, &[VolatileSlice<'_>], u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let room = bounce.slice();
        let mut rest = data.to_vec();
        while !rest.is_empty() {
            let after = split_off(&mut rest, room.len());
            let len = rest.iter().map(VolatileSlice::len).sum();
            let room = room.subslice(0, len).map_err(io::Error::other)?;
            transfer(room, &rest, offset)?;
            offset += len as u64;
            rest = after;
        }
        Ok(())
    }

    /// `fallocate`; false if the file cannot do that.
    fn allocate(&self, mode: FallocateFlags, offset: u64, len: u64) -> io::Result<bool> {
        match retry_on_intr(|| fallocate(&self.file, mode, offset, len)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NODEV) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is in the range is gone, and the file is as long as before.
const PUNCH_HOLE: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);

impl AsRawFd for RawFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl BlockBackend for RawFile {
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
        self.topology
    }

    fn read(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let Some(bounce) = self.bounce(data)? else {
            return self.read_vectors(data, offset);
        };
        Self::bounce_all(&bounce, data, offset, |mut source, data, offset| {
            self.read_vectors(&[source], offset)?;
            for slice in data {
                source.copy_to_volatile_slice(*slice);
                source = source.offset(slice.len()).map_err(io::Error::other)?;
            }
            Ok(())
        })
    }

    fn write(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let Some(bounce) = self.bounce(data)? else {
            return self.write_vectors(data, offset);
        };
        Self::bounce_all(&bounce, data, offset, |room, data, offset| {
            let mut target = room;
            for slice in data {
                slice.copy_to_volatile_slice(target);
                target = target.offset(slice.len()).map_err(io::Error::other)?;
            }
            self.write_vectors(&[room], offset)
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.allocate(PUNCH_HOLE, offset, len).map(drop)
    }

    fn write_zeroes(&self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        // A hole reads as zeros too, but may lack space later.
        let mode = match unmap {
            true => PUNCH_HOLE,
            false => FallocateFlags::ZERO_RANGE,
        };
        match self.allocate(mode, offset, len)? {
            true => Ok(()),
            false => write_zeros(self, offset, len),
        }
    }

    fn resize(&self, size: Option<u64>) -> io::Result<()> {
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
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }

    fn as_raw_file(&self) -> Option<&RawFile> {
        Some(self)
    }
}

/// How the storage behind `file` likes to be used.
fn topology(file: &File, alignment: Option<Alignment>) -> io::Result<Topology> {
    let metadata = file.metadata()?;
    let mut topology = if metadata.file_type().is_block_device() {
        block_device_topology(file)
    } else {
        let block = u32::try_from(metadata.blksize()).unwrap_or(0);
        Topology {
            physical_block: block,
            min_io: block,
            ..Topology::default()
        }
    };
    // The guest may ask for a logical block, and gets direct I/O of no less than that.
    if let Some(alignment) = alignment {
        topology.logical_block = topology.logical_block.max(alignment.offset);
    }
    Ok(topology)
}

fn block_device_topology(file: &File) -> Topology {
    let ask = |request: libc::Ioctl| {
        let mut answer: libc::c_uint = 0;
        // SAFETY: each of the requests below stores an integer of 32 bits.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), request, &mut answer) };
        if result == 0 {
            answer
        } else {
            0
        }
    };
    // From linux/fs.h: _IO(0x12, n), the same on every architecture that we build for.
    const BLKIOMIN: libc::Ioctl = 0x1278;
    const BLKIOOPT: libc::Ioctl = 0x1279;
    const BLKPBSZGET: libc::Ioctl = 0x127b;
    Topology {
        // What the host's page cache takes; direct I/O may ask for more.
        logical_block: SECTOR_SIZE as u32,
        physical_block: ask(BLKPBSZGET),
        min_io: ask(BLKIOMIN),
        opt_io: ask(BLKIOOPT),
    }
}

/// What is left of `vectors` after their first `moved` bytes.
pub(super) fn advance(mut vectors: &mut [libc::iovec], mut moved: usize) -> &mut [libc::iovec] {
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
    use std::cell::RefCell;
    use std::io::Write;

    use rustix::fs::{fcntl_add_seals, memfd_create, MemfdFlags, SealFlags};
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
        let disk = RawFile::open(file.path(), false).unwrap();
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
        let disk = RawFile::open(file.path(), false).unwrap();
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
    fn a_call_that_is_interrupted_or_moves_a_part_is_followed_by_another() {
        let file = image(&[0; 1024]);
        let disk = RawFile::open(file.path(), false).unwrap();
        let (mut a, mut b) = ([0u8; 4], [0u8; 4]);
        let data = [a.as_mut_slice().into(), b.as_mut_slice().into()];
        let calls = RefCell::new(Vec::new());
        let eof = io::ErrorKind::UnexpectedEof;
        disk.transfer_all(&data, 512, eof, |vectors, offset| {
            calls.borrow_mut().push((vectors.len(), offset));
            match calls.borrow().len() {
                1 => {
                    nix::errno::Errno::EINTR.set();
                    -1
                }
                2 => 5,
                _ => 3,
            }
        })
        .unwrap();
        assert_eq!(calls.into_inner(), [(2, 512), (2, 512), (1, 517)]);
    }

    #[test]
    fn zeros_keep_their_storage_unless_it_may_go() {
        const HALF: u64 = 1 << 20;
        let file = image(&[1; 2 * HALF as usize]);
        let disk = RawFile::open(file.path(), false).unwrap();
        let stored = || {
            let metadata = file.as_file().metadata().unwrap();
            assert_eq!(metadata.len(), 2 * HALF);
            metadata.blocks() * 512
        };
        disk.write_zeroes(0, 2 * HALF, false).unwrap();
        let before = stored();
        assert!(before >= 2 * HALF);
        disk.write_zeroes(0, HALF, true).unwrap();
        // But for blocks of the file system's own.
        assert!(stored() < before - HALF + HALF / 8);
        assert!(std::fs::read(file.path()).unwrap() == [0; 2 * HALF as usize]);
        disk.discard(HALF, HALF).unwrap();
        assert!(stored() < before - 2 * HALF + HALF / 8);
    }

    #[test]
    fn what_a_file_cannot_do_is_done_otherwise() {
        let file = image(&[1; 1024]);
        let mut disk = RawFile::open(file.path(), false).unwrap();
        // A device that has no ranges, and nothing to flush.
        let null = File::options().read(true).write(true).open("/dev/null");
        disk.file = null.unwrap();
        disk.discard(0, 512).unwrap();
        disk.write_zeroes(0, 512, true).unwrap();
        assert!(disk.flush().is_err());
        let error = disk.resize(Some(2048)).unwrap_err();
        assert!(error.to_string().ends_with("cannot grow"), "{error}");
        // A file system that cannot zero ranges; and one file that cannot be written.
        let memory = memfd_create("disk", MemfdFlags::ALLOW_SEALING);
        disk.file = memory.unwrap().into();
        disk.file.write_all(&[1; 200_000]).unwrap();
        disk.write_zeroes(256, 150_000, false).unwrap();
        let mut data = [2u8; 200_000];
        disk.read(&[data.as_mut_slice().into()], 0).unwrap();
        assert!(data[..] == [&[1; 256][..], &[0; 150_000], &[1; 49_744]].concat());
        fcntl_add_seals(&disk.file, SealFlags::WRITE).unwrap();
        assert!(disk.discard(0, 512).is_err());
        assert!(disk.write_zeroes(0, 512, true).is_err());
    }

    #[test]
    fn blocks_are_those_of_the_file_system_and_of_direct_io() {
        let file = image(&[0; 512]);
        let block = file.as_file().metadata().unwrap().blksize() as u32;
        let mut wanted = Topology {
            logical_block: 512,
            physical_block: block,
            min_io: block,
            opt_io: 0,
        };
        assert_eq!(topology(file.as_file(), None).unwrap(), wanted);
        let alignment = Alignment {
            memory: 4,
            offset: 8192,
        };
        wanted.logical_block = 8192;
        assert_eq!(topology(file.as_file(), Some(alignment)).unwrap(), wanted);
    }

    #[test]
    fn any_length_goes_through_one_bounce_buffer() {
        const LEN: usize = 5 << 19;
        let file = image(&[0; LEN + 512]);
        let mut disk = RawFile::open(file.path(), false).unwrap();
        // As if the file system asked for it; memory starts at an odd address.
        disk.alignment = Some(Alignment {
            memory: 512,
            offset: 512,
        });
        let mut memory: Vec<u8> = (0..LEN + 513).map(|i| (i / 509 + i) as u8).collect();
        let content = memory[1..].to_vec();
        let all = VolatileSlice::from(&mut memory[1..]);
        let (a, b) = all.split_at(700_001).unwrap();
        disk.write(&[a, b], 0).unwrap();
        assert!(std::fs::read(file.path()).unwrap() == content);
        disk.read(&[b, a], 0).unwrap();
        let (start, end) = content.split_at(b.len());
        assert!(memory[1..] == [end, start].concat());
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let file = image(&[1; 1024]);
        let disk = RawFile::open(file.path(), true).unwrap();
        file.as_file().set_len(512).unwrap();
        let mut data = [0u8; 1024];
        let error = disk.read(&[data.as_mut_slice().into()], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn growing_grows_the_file_and_shrinking_keeps_it() {
        let file = image(&[5; 1024]);
        let disk = RawFile::open(file.path(), false).unwrap();
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
        let disk = RawFile::open(file.path(), false).unwrap();
        for size in [0, 1, 513, u64::MAX - 511] {
            assert!(disk.resize(Some(size)).is_err(), "{size}");
        }
        drop(disk);
        let disk = RawFile::open(file.path(), true).unwrap();
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
        assert!(matches!(error, ImageError::Kind(_)));
    }

    #[test]
    fn a_read_only_image_stays_unwritten() {
        let file = image(&[3; 512]);
        let disk = RawFile::open(file.path(), true).unwrap();
        assert!(disk.is_read_only());
        let mut data = [0u8; 512];
        assert!(disk.write(&[data.as_mut_slice().into()], 0).is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), [3; 512]);
    }
}
