// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reader and writer: a chain's readable and writable bytes as two streams, without copies where the other
//! end can work on guest memory itself.

use std::io::{self, Read, Write};

use smallvec::SmallVec;
use vm_memory::bitmap::{BitmapSlice, WithBitmapSlice};
use vm_memory::{
    ByteValued, Bytes, GuestMemory, Permissions, ReadVolatile, VolatileSlice, WriteVolatile,
};

use super::{Error, Segment};

/// Buffers of up to this many pieces of host memory need no heap.
const INLINE_SLICES: usize = 4;

/// What is left of a list of buffers.
#[derive(Clone, Debug)]
struct Cursor<'a, B> {
    slices: SmallVec<[VolatileSlice<'a, B>; INLINE_SLICES]>,
    /// The first slice with bytes left; it starts with the first byte that is left.
    front: usize,
    available: usize,
    consumed: usize,
}

impl<'a, B: BitmapSlice> Cursor<'a, B> {
    fn new<M>(mem: &'a M, segments: &[Segment], access: Permissions) -> Result<Self, Error>
    where
        M: GuestMemory,
        M::Bitmap: WithBitmapSlice<'a, S = B>,
    {
        let mut slices = SmallVec::new();
        let mut available = 0;
        for segment in segments {
            let outside = Error::SegmentOutsideMemory {
                addr: segment.addr.0,
                len: segment.len,
            };
            let pieces = mem
                .get_slices(segment.addr, segment.len as usize, access)
                .map_err(|_| outside)?;
            for piece in pieces {
                let piece = piece.map_err(|_| outside)?;
                available += piece.len();
                slices.push(piece);
            }
        }
        Ok(Cursor {
            slices,
            front: 0,
            available,
            consumed: 0,
        })
    }

    fn remaining(&self) -> &[VolatileSlice<'a, B>] {
        &self.slices[self.front..]
    }

    /// Steps over `count` bytes, or over all that are left.
    fn advance(&mut self, count: usize) {
        let count = count.min(self.available);
        self.available -= count;
        self.consumed += count;
        let mut left = count;
        while let Some(slice) = self.slices.get_mut(self.front) {
            if left < slice.len() {
                if let Ok(rest) = slice.offset(left) {
                    *slice = rest;
                }
                return;
            }
            left -= slice.len();
            self.front += 1;
        }
    }

    /// Cuts the cursor after `offset` bytes and returns the rest.
    fn split_at(&mut self, offset: usize) -> Option<Self> {
        if offset > self.available {
            return None;
        }
        let mut rest = self.clone();
        rest.advance(offset);
        rest.consumed = 0;
        let mut left = offset;
        let mut end = self.front;
        while left > 0 {
            let slice = self.slices.get_mut(end)?;
            if left < slice.len() {
                *slice = slice.subslice(0, left).ok()?;
            }
            left -= left.min(slice.len());
            end += 1;
        }
        self.slices.truncate(end);
        self.available = offset;
        Some(rest)
    }

    /// Lets `transfer` work on slice after slice, up to `count` bytes, until it moves less than asked.
    fn transfer(
        &mut self,
        count: usize,
        mut transfer: impl FnMut(&VolatileSlice<'a, B>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut total = 0;
        while total < count {
            let Some(slice) = self.slices.get(self.front) else {
                break;
            };
            let wanted = slice.len().min(count - total);
            let slice = slice.subslice(0, wanted).map_err(io::Error::other)?;
            let moved = match transfer(&slice) {
                Ok(moved) => moved.min(wanted),
                // What was moved before counts; the error will come again if it is lasting.
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            };
            self.advance(moved);
            total += moved;
            if moved < wanted {
                break;
            }
        }
        Ok(total)
    }
}

fn volatile_error(error: vm_memory::VolatileMemoryError) -> io::Error {
    match error {
        vm_memory::VolatileMemoryError::IOError(error) => error,
        error => io::Error::other(error),
    }
}

/// Reads the readable bytes of a chain.
#[derive(Clone, Debug)]
pub struct Reader<'a, B = ()>(Cursor<'a, B>);

impl<'a, B: BitmapSlice> Reader<'a, B> {
    pub(super) fn new<M>(mem: &'a M, segments: &[Segment]) -> Result<Self, Error>
    where
        M: GuestMemory,
        M::Bitmap: WithBitmapSlice<'a, S = B>,
    {
        Cursor::new(mem, segments, Permissions::Read).map(Reader)
    }

    /// Bytes left to read.
    pub fn available_bytes(&self) -> usize {
        self.0.available
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> usize {
        self.0.consumed
    }

    /// Reads an object, whose fields keep the byte order they have in memory.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if fewer bytes are left; nothing is consumed then.
    pub fn read_obj<T: ByteValued>(&mut self) -> io::Result<T> {
        if self.available_bytes() < core::mem::size_of::<T>() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut object = T::zeroed();
        self.read_exact(object.as_mut_slice())?;
        Ok(object)
    }

    /// Moves up to `count` bytes from guest memory into `dst` without a copy in between.
    ///
    /// # Errors
    ///
    /// That of `dst`, if it comes before any byte was moved.
    pub fn read_to<W: WriteVolatile>(&mut self, dst: &mut W, count: usize) -> io::Result<usize> {
        self.0.transfer(count, |slice| {
            slice
                .write_volatile_to(0, dst, slice.len())
                .map_err(volatile_error)
        })
    }

    /// The bytes left, as pieces of host memory, for vectored I/O; then call [`advance`](Reader::advance).
    pub fn slices(&self) -> &[VolatileSlice<'a, B>] {
        self.0.remaining()
    }

    /// Steps over `count` bytes, or over all that are left.
    pub fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }

    /// Cuts the reader `offset` bytes from here and returns a reader of what follows.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if fewer bytes are left; the reader is unchanged then.
    pub fn split_at(&mut self, offset: usize) -> io::Result<Self> {
        self.0
            .split_at(offset)
            .map(Reader)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl<B: BitmapSlice> Read for Reader<'_, B> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        self.0.transfer(buf.len(), |slice| {
            let read = slice.read(&mut buf[done..], 0).map_err(volatile_error)?;
            done += read;
            Ok(read)
        })
    }
}

/// Writes the writable bytes of a chain.
#[derive(Clone, Debug)]
pub struct Writer<'a, B = ()>(Cursor<'a, B>);

impl<'a, B: BitmapSlice> Writer<'a, B> {
    pub(super) fn new<M>(mem: &'a M, segments: &[Segment]) -> Result<Self, Error>
    where
        M: GuestMemory,
        M::Bitmap: WithBitmapSlice<'a, S = B>,
    {
        Cursor::new(mem, segments, Permissions::Write).map(Writer)
    }

    /// Bytes left to write.
    pub fn available_bytes(&self) -> usize {
        self.0.available
    }

    /// Bytes written so far, by this writer.
    pub fn bytes_written(&self) -> usize {
        self.0.consumed
    }

    /// Writes an object, whose fields have the byte order they shall have in memory.
    ///
    /// # Errors
    ///
    /// `WriteZero` if fewer bytes are left; nothing is written then.
    pub fn write_obj<T: ByteValued>(&mut self, object: T) -> io::Result<()> {
        if self.available_bytes() < core::mem::size_of::<T>() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.write_all(object.as_slice())
    }

    /// Moves up to `count` bytes from `src` into guest memory without a copy in between.
    ///
    /// # Errors
    ///
    /// That of `src`, if it comes before any byte was moved.
    pub fn write_from<R: ReadVolatile>(&mut self, src: &mut R, count: usize) -> io::Result<usize> {
        self.0.transfer(count, |slice| {
            slice
                .read_volatile_from(0, src, slice.len())
                .map_err(volatile_error)
        })
    }

    /// The bytes left, as pieces of host memory, for vectored I/O; then call [`advance`](Writer::advance).
    pub fn slices(&self) -> &[VolatileSlice<'a, B>] {
        self.0.remaining()
    }

    /// Counts `count` bytes, or all that are left, as written through [`slices`](Writer::slices), and
    /// marks them dirty.
    pub fn advance(&mut self, count: usize) {
        let mut left = count;
        for slice in self.0.remaining() {
            let dirty = left.min(slice.len());
            slice.bitmap().mark_dirty(0, dirty);
            left -= dirty;
            if left == 0 {
                break;
            }
        }
        self.0.advance(count);
    }

    /// Cuts the writer `offset` bytes from here and returns a writer of what follows.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if fewer bytes are left; the writer is unchanged then.
    pub fn split_at(&mut self, offset: usize) -> io::Result<Self> {
        self.0
            .split_at(offset)
            .map(Writer)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl<B: BitmapSlice> Write for Writer<'_, B> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        self.0.transfer(buf.len(), |slice| {
            let written = slice.write(&buf[done..], 0).map_err(volatile_error)?;
            done += written;
            Ok(written)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::bitmap::{AtomicBitmap, Bitmap};
    use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

    use super::*;

    fn memory() -> GuestMemoryMmap<AtomicBitmap> {
        // The second buffer of `SEGMENTS` crosses the border.
        let regions = [(GuestAddress(0), 0x8000), (GuestAddress(0x8000), 0x8000)];
        GuestMemoryMmap::from_ranges(&regions).unwrap()
    }

    const SEGMENTS: [Segment; 3] = [
        Segment {
            addr: GuestAddress(0x1000),
            len: 3,
        },
        Segment {
            addr: GuestAddress(0x7ffe),
            len: 4,
        },
        Segment {
            addr: GuestAddress(0x500),
            len: 5,
        },
    ];
    const BYTES: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn fill(mem: &GuestMemoryMmap<AtomicBitmap>) {
        mem.write_slice(&BYTES[..3], GuestAddress(0x1000)).unwrap();
        mem.write_slice(&BYTES[3..7], GuestAddress(0x7ffe)).unwrap();
        mem.write_slice(&BYTES[7..], GuestAddress(0x500)).unwrap();
    }

    fn contents(mem: &GuestMemoryMmap<AtomicBitmap>) -> [u8; 12] {
        let mut bytes = [0; 12];
        Reader::new(mem, &SEGMENTS)
            .unwrap()
            .read_exact(&mut bytes)
            .unwrap();
        bytes
    }

    #[test]
    fn test_read() {
        let mem = memory();
        fill(&mem);
        let mut reader = Reader::new(&mem, &SEGMENTS).unwrap();
        assert_eq!((reader.available_bytes(), reader.bytes_read()), (12, 0));
        assert_eq!(reader.slices().len(), 4);
        assert_eq!(reader.read_obj::<[u8; 4]>().unwrap(), BYTES[..4]);
        assert_eq!((reader.available_bytes(), reader.bytes_read()), (8, 4));
        let error = reader.read_obj::<[u8; 9]>().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(reader.available_bytes(), 8);
        let mut rest = [0; 20];
        assert_eq!(reader.read(&mut rest).unwrap(), 8);
        assert_eq!(rest[..8], BYTES[4..]);
        assert_eq!(reader.read(&mut rest).unwrap(), 0);
        assert!(reader.slices().is_empty());
    }

    #[test]
    fn test_write() {
        let mem = memory();
        let mut writer = Writer::new(&mem, &SEGMENTS).unwrap();
        writer.write_obj([1u8, 2, 3, 4]).unwrap();
        assert_eq!((writer.available_bytes(), writer.bytes_written()), (8, 4));
        let error = writer.write_obj([0u8; 9]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert_eq!(writer.write(&[5, 6, 7, 8, 9, 10, 11, 12, 13]).unwrap(), 8);
        assert_eq!(writer.write(&[1]).unwrap(), 0);
        writer.flush().unwrap();
        assert_eq!(contents(&mem), BYTES);
    }

    #[test]
    fn test_split() {
        let mem = memory();
        fill(&mem);
        for skip in 0..4 {
            for at in 0..=12 - skip {
                let mut first = Reader::new(&mem, &SEGMENTS).unwrap();
                first.advance(skip);
                let mut second = first.split_at(at).unwrap();
                assert_eq!((first.bytes_read(), second.bytes_read()), (skip, 0));
                assert_eq!(first.available_bytes(), at);
                assert_eq!(second.available_bytes(), 12 - skip - at);
                for (reader, bytes) in [
                    (&mut first, &BYTES[skip..skip + at]),
                    (&mut second, &BYTES[skip + at..]),
                ] {
                    let total: usize = reader.slices().iter().map(VolatileSlice::len).sum();
                    assert_eq!(total, bytes.len());
                    let mut read = std::vec::Vec::new();
                    reader.read_to_end(&mut read).unwrap();
                    assert_eq!(read, bytes);
                }
                let mut writer = Writer::new(&mem, &SEGMENTS).unwrap();
                writer.advance(skip);
                let rest = writer.split_at(at).unwrap();
                assert_eq!(rest.available_bytes(), 12 - skip - at);
            }
        }
        let mut reader = Reader::new(&mem, &SEGMENTS).unwrap();
        assert!(reader.split_at(13).is_err());
        assert_eq!(reader.available_bytes(), 12);
    }

    #[test]
    fn test_transfer() {
        let mem = memory();
        fill(&mem);
        let mut sink = [0; 7];
        let mut reader = Reader::new(&mem, &SEGMENTS).unwrap();
        assert_eq!(reader.read_to(&mut &mut sink[..], 5).unwrap(), 5);
        assert_eq!(sink[..5], BYTES[..5]);
        assert_eq!(reader.bytes_read(), 5);

        let mut writer = Writer::new(&mem, &SEGMENTS).unwrap();
        // A source that ends early.
        assert_eq!(writer.write_from(&mut &[9u8; 6][..], 100).unwrap(), 6);
        assert_eq!(writer.bytes_written(), 6);
        assert_eq!(contents(&mem)[..7], [9, 9, 9, 9, 9, 9, 7]);
    }

    #[test]
    fn test_advance_marks_dirty() {
        let mem = memory();
        let dirty = |addr: u64| {
            let (region, at) = mem.to_region_addr(GuestAddress(addr)).unwrap();
            region.bitmap().dirty_at(at.0 as usize)
        };
        let mut writer = Writer::new(&mem, &SEGMENTS).unwrap();
        writer.advance(4);
        assert_eq!(writer.bytes_written(), 4);
        assert!(dirty(0x1000) && dirty(0x7ffe));
        assert!(!dirty(0x8000) && !dirty(0x500));
        let mut reader = Reader::new(&mem, &SEGMENTS).unwrap();
        reader.advance(100);
        assert_eq!((reader.available_bytes(), reader.bytes_read()), (0, 12));
        assert!(!dirty(0x8000) && !dirty(0x500));
    }

    #[test]
    fn test_outside_memory() {
        let mem = memory();
        for (addr, len) in [(0xffff, 2), (0x10000, 1), (u64::MAX, 2)] {
            let segment = Segment {
                addr: GuestAddress(addr),
                len,
            };
            let error = Error::SegmentOutsideMemory { addr, len };
            assert_eq!(Reader::new(&mem, &[segment]).err(), Some(error));
            assert_eq!(Writer::new(&mem, &[segment]).err(), Some(error));
        }
    }
}
