// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why an image cannot be booted.

use std::io;
use std::path::PathBuf;

use vm_memory::GuestMemoryError;

/// Why an image cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is larger than [`MAX_FILE_SIZE`](crate::MAX_FILE_SIZE).
    #[error("{0:?} is larger than 4 GiB")]
    FileTooLarge(PathBuf),
    /// The kernel file has no contents.
    #[error("the kernel is an empty file")]
    EmptyKernel,
    /// The initrd file has no contents.
    #[error("the initrd is an empty file")]
    EmptyInitrd,
    /// The file is something else.
    #[error("not an s390 kernel: the file is {0}")]
    Foreign(&'static str),
    /// An ELF file for another machine, by its `e_machine`.
    #[error("not an s390 kernel: the file is an ELF file for machine {0}, not for 22 (s390)")]
    ElfMachine(u16),
    /// An ELF file that is no program, by its `e_type`.
    #[error("not an s390 kernel: the file is an ELF file of type {0}, not an executable")]
    ElfType(u16),
    /// The size of program headers is not that of ELF64.
    #[error("the kernel's ELF program headers have {0} bytes each, not 56")]
    ElfProgramHeaderSize(u16),
    /// The file ends too early.
    #[error("the kernel is truncated: its {what} needs {needed} bytes, the file has {size}")]
    Truncated {
        /// What does not fit.
        what: &'static str,
        /// Bytes that the file would have to have.
        needed: u64,
        /// Bytes that it has.
        size: u64,
    },
    /// No ELF segment is to be loaded.
    #[error("the kernel's ELF file has no loadable segment")]
    NoSegments,
    /// A segment is larger in the file than in memory, or wraps around the address space.
    #[error("the kernel's ELF segment at {addr:#x} has an impossible size")]
    SegmentSize {
        /// Physical address of the segment.
        addr: u64,
    },
    /// Two segments claim the same memory.
    #[error("the kernel's ELF segment at {addr:#x} overlaps the one before it")]
    SegmentOverlap {
        /// Physical address of the higher segment.
        addr: u64,
    },
    /// The first instruction is not in the loaded image.
    #[error("the kernel's entry point {0:#x} is not in the loaded image")]
    Entry(u64),
    /// The kernel does not fit in RAM.
    #[error("the kernel ends at {end:#x}, but RAM has {ram_size:#x} bytes")]
    KernelTooLarge {
        /// First address behind the kernel and its zeroed data.
        end: u64,
        /// Size of RAM in bytes.
        ram_size: u64,
    },
    /// The initrd does not fit in RAM beside the kernel.
    #[error("the initrd of {size} bytes does not fit between {floor:#x} and the end of RAM at {ram_size:#x}")]
    InitrdTooLarge {
        /// Size of the initrd in bytes.
        size: u64,
        /// Lowest address that is free.
        floor: u64,
        /// Size of RAM in bytes.
        ram_size: u64,
    },
    /// The command line does not fit in the area that the kernel has for it.
    #[error("the command line has {length} characters, but this kernel takes at most {limit}")]
    CommandLineTooLong {
        /// Characters in the command line.
        length: usize,
        /// As many as fit, without the NUL.
        limit: usize,
    },
    /// A byte of 0x80 or more makes the kernel take the whole command line as EBCDIC; a NUL ends
    /// it.
    #[error(
        "the command line has the byte {byte:#04x} at position {position}, which is not ASCII text"
    )]
    CommandLineByte {
        /// The byte.
        byte: u8,
        /// Its index.
        position: usize,
    },
    /// RAM ends below the parameter area and the command line.
    #[error("the parameter area ends at {end:#x}, but RAM has {ram_size:#x} bytes")]
    RamTooSmall {
        /// First address behind the parameter area.
        end: u64,
        /// Size of RAM in bytes.
        ram_size: u64,
    },
    /// Guest memory is smaller than RAM is said to be.
    #[error("cannot write to guest memory")]
    Memory(#[source] GuestMemoryError),
}
