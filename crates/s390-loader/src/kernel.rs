// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A kernel file, taken apart into what goes where in memory.

use std::ops::Range;

use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::{elf, foreign, raw, Error};

/// Where a Linux image is entered.
pub const ENTRY: u64 = 0x10000;

/// ELF files of kernels up to 3.2 name this entry point, that of an IPL from a card reader.
const CARD_READER_ENTRY: u64 = 0x800;

/// A piece of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Absolute address.
    pub addr: u64,
    /// The bytes of the file that go there.
    pub file: Range<usize>,
    /// Size in memory in bytes: what the file does not fill is zeroed.
    pub mem_size: u64,
}

impl Segment {
    /// First address behind the segment.
    pub const fn end(&self) -> u64 {
        // Checked when the segment was made.
        self.addr + self.mem_size
    }

    /// Where `size` bytes at `addr` are in the file, if they are all there.
    fn file_range(&self, addr: u64, size: usize) -> Option<Range<usize>> {
        let offset = usize::try_from(addr.checked_sub(self.addr)?).ok()?;
        let start = self.file.start.checked_add(offset)?;
        let end = start.checked_add(size)?;
        (end <= self.file.end).then_some(start..end)
    }
}

/// A kernel file that was recognised and checked.
#[derive(Clone, Debug)]
pub struct Kernel {
    file: Vec<u8>,
    segments: Vec<Segment>,
    entry: u64,
    /// The file may unpack itself.
    raw: bool,
}

impl Kernel {
    /// Recognises a kernel: a big-endian ELF64 file for s390, or a raw image, which has the magic
    /// "S390EP" at 0x10008 or an IPL PSW at 0.
    ///
    /// # Errors
    ///
    /// If the file is something else, is truncated, or contradicts itself.
    pub fn parse(file: Vec<u8>) -> Result<Self, Error> {
        if file.is_empty() {
            return Err(Error::EmptyKernel);
        }
        let raw = !file.starts_with(elf::MAGIC);
        let (entry, segments) = if !raw {
            let elf = elf::parse(&file)?;
            let entry = match elf.entry {
                CARD_READER_ENTRY => ENTRY,
                entry => entry,
            };
            (entry, elf.segments)
        } else if raw::has_magic(&file) {
            (ENTRY, vec![raw::segment(&file)?])
        } else if let Some(what) = foreign::known(&file) {
            return Err(Error::Foreign(what));
        } else if raw::has_ipl_psw(&file) {
            (ENTRY, vec![raw::segment(&file)?])
        } else {
            return Err(Error::Foreign(foreign::unknown()));
        };
        let kernel = Kernel {
            file,
            segments,
            entry,
            raw,
        };
        if entry % 2 != 0 || kernel.stored::<2>(entry).is_none() {
            return Err(Error::Entry(entry));
        }
        Ok(kernel)
    }

    /// Address of the first instruction.
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// The segments in the order of their addresses, at least one, without overlap.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The absolute addresses from the first to the last segment.
    pub fn range(&self) -> Range<u64> {
        let first = self.segments.first().map_or(0, |s| s.addr);
        let last = self.segments.last().map_or(0, Segment::end);
        first..last
    }

    /// The end of the memory that the kernel is likely to use before it looks for the initrd. A
    /// raw image may unpack itself, to four times its size at most in practice.
    pub(crate) fn unpacked_end(&self) -> u64 {
        let end = self.range().end;
        end.saturating_mul(if self.raw { 4 } else { 1 })
    }

    /// Whether a segment has a byte in `range`.
    pub(crate) fn overlaps(&self, range: &Range<u64>) -> bool {
        self.segments
            .iter()
            .any(|s| s.addr < range.end && range.start < s.end())
    }

    /// `N` bytes that the file puts at `addr`.
    pub(crate) fn stored<const N: usize>(&self, addr: u64) -> Option<[u8; N]> {
        let range = self.segments.iter().find_map(|s| s.file_range(addr, N))?;
        self.file[range].try_into().ok()
    }

    /// Whether the kernel fits in RAM.
    pub(crate) fn check_fits(&self, ram_size: u64) -> Result<(), Error> {
        let end = self.range().end;
        if end > ram_size {
            return Err(Error::KernelTooLarge { end, ram_size });
        }
        Ok(())
    }

    /// Writes the segments into guest memory, the zeros behind their file contents included.
    ///
    /// # Errors
    ///
    /// If the kernel does not fit in `ram_size` bytes (nothing was written then), or guest memory
    /// is smaller than that.
    pub fn load<M: GuestMemory + ?Sized>(&self, mem: &M, ram_size: u64) -> Result<(), Error> {
        self.check_fits(ram_size)?;
        for segment in &self.segments {
            let bytes = &self.file[segment.file.clone()];
            write(mem, segment.addr, bytes)?;
            zero(mem, segment.addr + bytes.len() as u64..segment.end())?;
        }
        Ok(())
    }
}

pub(crate) fn write<M: GuestMemory + ?Sized>(
    mem: &M,
    addr: u64,
    bytes: &[u8],
) -> Result<(), Error> {
    mem.write_slice(bytes, GuestAddress(addr))
        .map_err(Error::Memory)
}

pub(crate) fn zero<M: GuestMemory + ?Sized>(mem: &M, range: Range<u64>) -> Result<(), Error> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut at = range.start;
    while at < range.end {
        let count = (range.end - at).min(ZEROS.len() as u64);
        write(mem, at, &ZEROS[..count as usize])?;
        at += count;
    }
    Ok(())
}
