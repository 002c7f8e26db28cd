// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Kernels made to measure, and memory that shows what was written.
#![allow(dead_code)]

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub const MIB: u64 = 1 << 20;
/// What untouched memory holds.
pub const UNTOUCHED: u8 = 0xaa;

/// Guest memory of `ram_size` bytes and a mebibyte behind it, all of it [`UNTOUCHED`].
pub fn memory(ram_size: u64) -> GuestMemoryMmap<()> {
    let size = (ram_size + MIB) as usize;
    let mem = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size)]).unwrap();
    mem.write_slice(&vec![UNTOUCHED; size], GuestAddress(0))
        .unwrap();
    mem
}

pub fn read(mem: &GuestMemoryMmap<()>, addr: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    mem.read_slice(&mut bytes, GuestAddress(addr)).unwrap();
    bytes
}

pub fn read_u64(mem: &GuestMemoryMmap<()>, addr: u64) -> u64 {
    u64::from_be_bytes(read(mem, addr, 8).try_into().unwrap())
}

/// Text up to its NUL.
pub fn read_text(mem: &GuestMemoryMmap<()>, addr: u64) -> String {
    let bytes = read(mem, addr, 4096);
    let end = bytes.iter().position(|&c| c == 0).unwrap();
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

pub fn untouched(mem: &GuestMemoryMmap<()>, addr: u64, count: usize) -> bool {
    read(mem, addr, count).iter().all(|&c| c == UNTOUCHED)
}

/// A program header: type, offset, vaddr, paddr, file size, memory size.
#[derive(Copy, Clone, Debug)]
pub struct Phdr {
    pub p_type: u32,
    pub offset: u64,
    pub paddr: u64,
    pub file_size: u64,
    pub mem_size: u64,
}

/// An ELF64 header for s390 with program headers right behind it.
pub fn elf_headers(entry: u64, phdrs: &[Phdr]) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend(2_u16.to_be_bytes());
    elf.extend(22_u16.to_be_bytes());
    elf.extend(1_u32.to_be_bytes());
    elf.extend(entry.to_be_bytes());
    elf.extend(64_u64.to_be_bytes());
    elf.extend(0_u64.to_be_bytes());
    elf.extend(0_u32.to_be_bytes());
    for half in [64, 56, phdrs.len() as u16, 0, 0, 0] {
        elf.extend(half.to_be_bytes());
    }
    for p in phdrs {
        elf.extend(p.p_type.to_be_bytes());
        elf.extend(7_u32.to_be_bytes());
        elf.extend(p.offset.to_be_bytes());
        // The virtual address is not for the loader.
        elf.extend((p.paddr ^ 0xffff_0000_0000).to_be_bytes());
        elf.extend(p.paddr.to_be_bytes());
        elf.extend(p.file_size.to_be_bytes());
        elf.extend(p.mem_size.to_be_bytes());
        elf.extend(4096_u64.to_be_bytes());
    }
    elf
}

/// An ELF kernel of segments (address, contents, zeroed bytes behind them).
pub fn elf(entry: u64, segments: &[(u64, &[u8], u64)]) -> Vec<u8> {
    let mut offset = (64 + 56 * segments.len()) as u64;
    let mut phdrs = Vec::new();
    for (paddr, contents, zeroed) in segments {
        let file_size = contents.len() as u64;
        phdrs.push(Phdr {
            p_type: 1,
            offset,
            paddr: *paddr,
            file_size,
            mem_size: file_size + zeroed,
        });
        offset += file_size;
    }
    let mut elf = elf_headers(entry, &phdrs);
    for (_, contents, _) in segments {
        elf.extend(*contents);
    }
    elf
}

/// A raw image of `size` bytes with the magic of kernels since 3.10 and an area for the command
/// line of `command_line_size` bytes (0 in older kernels).
pub fn raw(size: usize, command_line_size: u64) -> Vec<u8> {
    let mut image: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
    image[..8].copy_from_slice(b"\x00\x08\x00\x00\x80\x01\x00\x00");
    image[0x10008..0x10010].copy_from_slice(b"S390EP\0\x01");
    if size >= 0x10800 {
        image[0x10400..0x10800].fill(0);
        image[0x10400..0x10408].copy_from_slice(&0x1234_u64.to_be_bytes());
        image[0x10430..0x10438].copy_from_slice(&command_line_size.to_be_bytes());
        image[0x10480..0x1048f].copy_from_slice(b"root=/dev/ram0\0");
    }
    image
}
