// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A reader for what a loader needs of big-endian ELF64 (ELF-64 object file format, version 1.5).

use std::ops::Range;

use crate::kernel::Segment;
use crate::Error;

pub(crate) const MAGIC: &[u8] = b"\x7fELF";

const EI_CLASS: usize = 4;
const ELFCLASS64: u8 = 2;
const EI_DATA: usize = 5;
const ELFDATA2MSB: u8 = 2;
const E_TYPE: usize = 16;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const E_MACHINE: usize = 18;
const EM_S390: u16 = 22;
const E_ENTRY: usize = 24;
const E_PHOFF: usize = 32;
const E_PHENTSIZE: usize = 54;
const E_PHNUM: usize = 56;
const HEADER: usize = 64;

const P_TYPE: usize = 0;
const PT_LOAD: u32 = 1;
const P_OFFSET: usize = 8;
const P_PADDR: usize = 24;
const P_FILESZ: usize = 32;
const P_MEMSZ: usize = 40;
const PROGRAM_HEADER: usize = 56;

/// What an ELF file says.
#[derive(Debug)]
pub(crate) struct Elf {
    pub entry: u64,
    /// Sorted by address, without overlap.
    pub segments: Vec<Segment>,
}

pub(crate) fn parse(file: &[u8]) -> Result<Elf, Error> {
    let header = slice(file, 0, HEADER as u64, "ELF header")?;
    let header = &file[header];
    let machine = match header[EI_DATA] {
        ELFDATA2MSB => be16(header, E_MACHINE),
        // In a little-endian file, so is this field.
        _ => be16(header, E_MACHINE).swap_bytes(),
    };
    if machine != EM_S390 {
        return Err(Error::ElfMachine(machine));
    }
    if header[EI_DATA] != ELFDATA2MSB {
        return Err(Error::Foreign("a little-endian ELF file"));
    }
    if header[EI_CLASS] != ELFCLASS64 {
        return Err(Error::Foreign("a 31-bit ELF file, 64-bit is needed"));
    }
    let elf_type = be16(header, E_TYPE);
    if !matches!(elf_type, ET_EXEC | ET_DYN) {
        return Err(Error::ElfType(elf_type));
    }
    Ok(Elf {
        entry: be64(header, E_ENTRY),
        segments: segments(file, header)?,
    })
}

fn segments(file: &[u8], header: &[u8]) -> Result<Vec<Segment>, Error> {
    let count = usize::from(be16(header, E_PHNUM));
    let entry_size = be16(header, E_PHENTSIZE);
    if count == 0 {
        return Err(Error::NoSegments);
    }
    if usize::from(entry_size) != PROGRAM_HEADER {
        return Err(Error::ElfProgramHeaderSize(entry_size));
    }
    let table_size = (count * PROGRAM_HEADER) as u64;
    let table = slice(
        file,
        be64(header, E_PHOFF),
        table_size,
        "ELF program header table",
    )?;

    let mut segments = Vec::new();
    for header in file[table].chunks_exact(PROGRAM_HEADER) {
        let mem_size = be64(header, P_MEMSZ);
        if be32(header, P_TYPE) != PT_LOAD || mem_size == 0 {
            continue;
        }
        let addr = be64(header, P_PADDR);
        let file_size = be64(header, P_FILESZ);
        if file_size > mem_size || addr.checked_add(mem_size).is_none() {
            return Err(Error::SegmentSize { addr });
        }
        segments.push(Segment {
            addr,
            file: slice(file, be64(header, P_OFFSET), file_size, "ELF segment")?,
            mem_size,
        });
    }
    segments.sort_by_key(|s| s.addr);
    match segments
        .windows(2)
        .find(|pair| pair[0].end() > pair[1].addr)
    {
        Some(pair) => Err(Error::SegmentOverlap { addr: pair[1].addr }),
        None if segments.is_empty() => Err(Error::NoSegments),
        None => Ok(segments),
    }
}

/// The range of `size` bytes at `offset`, if the file has it.
fn slice(file: &[u8], offset: u64, size: u64, what: &'static str) -> Result<Range<usize>, Error> {
    let end = offset.saturating_add(size);
    if end > file.len() as u64 {
        return Err(Error::Truncated {
            what,
            needed: end,
            size: file.len() as u64,
        });
    }
    // Both are at most the length of a slice.
    Ok(offset as usize..end as usize)
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from(be16(bytes, at)) << 16 | u32::from(be16(bytes, at + 2))
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}
