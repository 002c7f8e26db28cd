// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is no good image: one sentence each.

mod common;

use common::*;
use s390_loader::{Error, Image};

fn sentence(file: &[u8]) -> String {
    Image::new(file.to_vec()).unwrap_err().to_string()
}

fn kernel() -> Vec<u8> {
    elf(0x10000, &[(0x10000, &[7; 64], 64)])
}

fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = kernel();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn files_of_other_kinds_are_named() {
    let mut bzimage = vec![0; 0x20000];
    bzimage[0x1fe..0x206].copy_from_slice(b"\x55\xaa\xeb\x66HdrS");
    assert_eq!(
        sentence(&bzimage),
        "not an s390 kernel: the file is an x86 bzImage"
    );
    bzimage[..2].copy_from_slice(b"MZ");
    assert_eq!(
        sentence(&bzimage),
        "not an s390 kernel: the file is an x86 bzImage"
    );
    for (start, what) in [
        (
            &b"MZ\0\0"[..],
            "an EFI or PE image for another architecture",
        ),
        (b"\x1f\x8b\x08\0", "compressed with gzip, unpack it first"),
        (b"\xfd7zXZ\0\0", "compressed with xz, unpack it first"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd, unpack it first"),
        (b"070701", "a cpio archive, an initrd perhaps"),
        (b"#!/bin/sh\n", "a script"),
        (
            b"\0\0\0\0\0\0\0\0",
            "neither ELF nor a raw image (no S390EP at 0x10008, no IPL PSW at 0)",
        ),
    ] {
        for size in [start.len(), 0x20000] {
            let mut file = start.to_vec();
            file.resize(size, 0);
            assert_eq!(
                sentence(&file),
                format!("not an s390 kernel: the file is {what}")
            );
        }
    }
    assert_eq!(sentence(b""), "the kernel is an empty file");
    assert_eq!(
        sentence(b"x"),
        "not an s390 kernel: the file is neither ELF nor a raw image (no S390EP at 0x10008, no IPL PSW at 0)"
    );
}

#[test]
fn elf_files_of_other_kinds_are_named() {
    assert!(Image::new(kernel()).is_ok());
    // x86-64: little-endian, machine 62.
    let mut x86 = patched(5, &[1]);
    x86[18..20].copy_from_slice(&[62, 0]);
    assert_eq!(
        sentence(&x86),
        "not an s390 kernel: the file is an ELF file for machine 62, not for 22 (s390)"
    );
    assert!(sentence(&patched(18, &[0, 21])).contains("for machine 21, "));
    let mut little = patched(5, &[1]);
    little[18..20].copy_from_slice(&[22, 0]);
    assert_eq!(
        sentence(&little),
        "not an s390 kernel: the file is a little-endian ELF file"
    );
    assert_eq!(
        sentence(&patched(4, &[1])),
        "not an s390 kernel: the file is a 31-bit ELF file, 64-bit is needed"
    );
    assert_eq!(
        sentence(&patched(16, &[0, 1])),
        "not an s390 kernel: the file is an ELF file of type 1, not an executable"
    );
    assert!(
        Image::new(patched(16, &[0, 3])).is_ok(),
        "position-independent"
    );
}

#[test]
fn truncated_files_are_named() {
    let file = kernel();
    for (size, sentence_) in [
        (4, "its ELF header needs 64 bytes, the file has 4"),
        (63, "its ELF header needs 64 bytes, the file has 63"),
        (
            64,
            "its ELF program header table needs 120 bytes, the file has 64",
        ),
        (
            119,
            "its ELF program header table needs 120 bytes, the file has 119",
        ),
        (120, "its ELF segment needs 184 bytes, the file has 120"),
        (183, "its ELF segment needs 184 bytes, the file has 183"),
    ] {
        assert_eq!(
            sentence(&file[..size]),
            format!("the kernel is truncated: {sentence_}")
        );
    }
    let image = raw(0x20000, 0);
    for size in [8, 0x1000, 0x10000, 0x10001] {
        assert_eq!(
            sentence(&image[..size]),
            format!(
                "the kernel is truncated: its entry point needs 65538 bytes, the file has {size}"
            )
        );
    }
}

#[test]
fn contradictions_are_named() {
    assert_eq!(
        sentence(&elf_headers(0x10000, &[])),
        "the kernel's ELF file has no loadable segment"
    );
    assert_eq!(
        sentence(&patched(64, &2_u32.to_be_bytes())),
        "the kernel's ELF file has no loadable segment"
    );
    assert_eq!(
        sentence(&patched(54, &[0, 32])),
        "the kernel's ELF program headers have 32 bytes each, not 56"
    );
    // Less in memory than in the file; around the end of the address space.
    let size = "the kernel's ELF segment at 0x10000 has an impossible size";
    assert_eq!(sentence(&patched(64 + 40, &63_u64.to_be_bytes())), size);
    assert_eq!(sentence(&patched(64 + 40, &u64::MAX.to_be_bytes())), size);
    // Offsets that wrap around.
    assert!(sentence(&patched(32, &u64::MAX.to_be_bytes())).contains("truncated"));
    assert!(sentence(&patched(64 + 8, &u64::MAX.to_be_bytes())).contains("truncated"));
    assert_eq!(
        sentence(&elf(
            0x10000,
            &[(0x10000, &[7; 64], 1), (0x10040, &[7; 64], 0)]
        )),
        "the kernel's ELF segment at 0x10040 overlaps the one before it"
    );
    assert!(Image::new(elf(
        0x10000,
        &[(0x10000, &[7; 64], 0), (0x10040, &[7; 64], 0)]
    ))
    .is_ok());
}

#[test]
fn the_entry_point_is_an_instruction_of_the_file() {
    for entry in [
        0,
        0xfffe,
        0x10001,
        0x10040,
        0x1003f,
        0x10080,
        u64::MAX,
        u64::MAX - 1,
    ] {
        let file = elf(entry, &[(0x10000, &[7; 64], 64)]);
        assert!(
            matches!(Image::new(file), Err(Error::Entry(e)) if e == entry),
            "{entry:#x}"
        );
    }
    let last = elf(0x1003e, &[(0x10000, &[7; 64], 64)]);
    assert!(Image::new(last).is_ok());
}

#[test]
fn what_does_not_fit_in_ram_is_not_begun() {
    let ram = 2 * MIB;
    let mem = memory(ram);
    let check = |image: Image, ram: u64, sentence: &str| {
        assert_eq!(image.load(&mem, ram).unwrap_err().to_string(), sentence);
        assert!(untouched(&mem, 0, (2 * MIB + MIB) as usize));
    };
    let large = |zeroed| Image::new(elf(0x10_0000, &[(0x10_0000, &[7; 64], zeroed)])).unwrap();
    check(
        large(MIB),
        ram,
        "the kernel ends at 0x200040, but RAM has 0x200000 bytes",
    );
    let image = Image::new(raw(3 * MIB as usize, 0)).unwrap();
    check(
        image,
        ram,
        "the kernel ends at 0x300000, but RAM has 0x200000 bytes",
    );
    // The kernel is to blame, not the initrd that has no room beside it.
    let both = large(MIB).with_initrd(vec![1]).unwrap();
    check(
        both,
        ram,
        "the kernel ends at 0x200040, but RAM has 0x200000 bytes",
    );
    let image = Image::new(elf(0x2000, &[(0x2000, &[7; 64], 0)])).unwrap();
    check(
        image,
        0x10000,
        "the parameter area ends at 0x10800, but RAM has 0x10000 bytes",
    );
    let image = Image::new(raw(0x20000, 0)).unwrap();
    let image = image
        .with_initrd(vec![0; 2 * MIB as usize - 0x20000 + 1])
        .unwrap();
    check(
        image,
        ram,
        "the initrd of 1966081 bytes does not fit between 0x20000 and the end of RAM at 0x200000",
    );
    // The last byte of RAM may be used, the next one is another's.
    large(MIB - 64).load(&mem, ram).unwrap();
    assert!(untouched(&mem, ram, MIB as usize));
}

#[test]
fn memory_smaller_than_ram_is_an_error() {
    let mem = memory(MIB);
    let image = Image::new(elf(0x10_0000, &[(0x10_0000, &[7; 64], 8 * MIB)])).unwrap();
    assert!(matches!(image.load(&mem, 16 * MIB), Err(Error::Memory(_))));
}
