// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The parameter area of a Linux image: where the initrd is, and the command line.

use std::ops::Range;

use vm_memory::GuestMemory;

use crate::kernel::{write, zero, Kernel};
use crate::Error;

/// Absolute address of the parameter area, big-endian doublewords.
pub const PARAMETER_AREA: u64 = 0x10400;
/// Address of the initrd, a doubleword.
pub const INITRD_START: u64 = 0x10408;
/// Size of the initrd in bytes, a doubleword.
pub const INITRD_SIZE: u64 = 0x10410;
/// How many bytes the image has for the command line, NUL included: a doubleword that the image
/// holds; 0 in older ones.
const COMMAND_LINE_SIZE: u64 = 0x10430;
/// Absolute address of the command line, ended by NUL.
pub const COMMAND_LINE: u64 = 0x10480;

/// Size of the command line area if the image says nothing.
pub const DEFAULT_COMMAND_LINE_SIZE: u64 = 896;
/// Largest size that an image is believed; the largest that a kernel can be configured for.
pub const MAX_COMMAND_LINE_SIZE: u64 = 1 << 20;

/// Checks that a command line is ASCII and has no NUL.
pub(crate) fn check_command_line(line: &[u8]) -> Result<(), Error> {
    match line.iter().position(|c| !matches!(c, 1..=0x7f)) {
        Some(position) => Err(Error::CommandLineByte {
            byte: line[position],
            position,
        }),
        None => Ok(()),
    }
}

/// Bytes that the kernel has for its command line, NUL included.
pub(crate) fn command_line_size(kernel: &Kernel) -> u64 {
    match kernel.stored(COMMAND_LINE_SIZE).map(u64::from_be_bytes) {
        None | Some(0) => DEFAULT_COMMAND_LINE_SIZE,
        Some(size) => size.min(MAX_COMMAND_LINE_SIZE),
    }
}

/// Everything that [`store`] may write.
pub(crate) fn range(kernel: &Kernel) -> Range<u64> {
    PARAMETER_AREA..COMMAND_LINE + command_line_size(kernel)
}

/// Writes the parameter area. What the image has there stays, but for the fields that are ours;
/// where it has nothing, a whole area is made. No `command_line` leaves the image's own.
pub(crate) fn store<M: GuestMemory + ?Sized>(
    mem: &M,
    kernel: &Kernel,
    initrd: &Range<u64>,
    command_line: Option<&[u8]>,
) -> Result<(), Error> {
    if !kernel.overlaps(&range(kernel)) {
        zero(mem, range(kernel))?;
    }
    write(mem, INITRD_START, &initrd.start.to_be_bytes())?;
    let size = initrd.end - initrd.start;
    write(mem, INITRD_SIZE, &size.to_be_bytes())?;
    if let Some(line) = command_line {
        write(mem, COMMAND_LINE, line)?;
        write(mem, COMMAND_LINE + line.len() as u64, &[0])?;
    }
    Ok(())
}
