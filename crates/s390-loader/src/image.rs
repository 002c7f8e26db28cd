// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Everything that one boot needs, kept so that the next boot finds it again.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use linux_loader::cmdline::Cmdline;
use s390_extint::Psw;
use vm_memory::GuestMemory;

use crate::kernel::{write, Kernel};
use crate::{initrd, parameter_area, Error};

/// No file larger than this is read.
pub const MAX_FILE_SIZE: u64 = 4 << 30;

/// A kernel with its initrd and command line.
///
/// It is loaded once for the first boot and again for each reboot.
#[derive(Clone, Debug)]
pub struct Image {
    kernel: Kernel,
    initrd: Vec<u8>,
    command_line: Option<Vec<u8>>,
}

/// A loaded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Absolute address of the first instruction.
    pub entry: u64,
    /// Absolute addresses of the kernel.
    pub kernel: Range<u64>,
    /// Absolute addresses of the initrd, if there is one.
    pub initrd: Option<Range<u64>>,
}

impl Boot {
    /// The PSW that CPU 0 starts with after an initial CPU reset: 64-bit addressing mode,
    /// everything disabled.
    pub const fn psw(&self) -> Psw {
        Psw::ipl(self.entry)
    }
}

impl Image {
    /// An image of this kernel file alone.
    ///
    /// # Errors
    ///
    /// As [`Kernel::parse`].
    pub fn new(kernel: Vec<u8>) -> Result<Self, Error> {
        Ok(Image {
            kernel: Kernel::parse(kernel)?,
            initrd: Vec::new(),
            command_line: None,
        })
    }

    /// Reads an image from files.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or as for [`Image::new`] and [`Image::with_initrd`].
    pub fn open(kernel: &Path, initrd: Option<&Path>) -> Result<Self, Error> {
        let image = Self::new(read(kernel)?)?;
        match initrd {
            Some(initrd) => image.with_initrd(read(initrd)?),
            None => Ok(image),
        }
    }

    /// Adds an initrd.
    ///
    /// # Errors
    ///
    /// If it is empty.
    pub fn with_initrd(mut self, initrd: Vec<u8>) -> Result<Self, Error> {
        if initrd.is_empty() {
            return Err(Error::EmptyInitrd);
        }
        self.initrd = initrd;
        Ok(self)
    }

    /// Sets the command line, in place of the one that an image may bring with it.
    ///
    /// # Errors
    ///
    /// If it is longer than this kernel takes.
    pub fn with_cmdline(self, cmdline: &Cmdline) -> Result<Self, Error> {
        match cmdline.as_cstring() {
            Ok(line) => self.with_command_line(line.as_bytes()),
            // A command line never has a NUL inside.
            Err(_) => self.with_command_line(b"\0"),
        }
    }

    /// Sets the command line from bytes of ASCII.
    ///
    /// # Errors
    ///
    /// If it is longer than this kernel takes, or not ASCII: a kernel takes the whole line as
    /// EBCDIC if one byte is 0x80 or more.
    pub fn with_command_line(mut self, line: &[u8]) -> Result<Self, Error> {
        parameter_area::check_command_line(line)?;
        let limit = self.command_line_limit();
        if line.len() > limit {
            return Err(Error::CommandLineTooLong {
                length: line.len(),
                limit,
            });
        }
        self.command_line = Some(line.to_vec());
        Ok(self)
    }

    /// The longest command line that this kernel takes, in characters.
    pub fn command_line_limit(&self) -> usize {
        parameter_area::command_line_size(&self.kernel).saturating_sub(1) as usize
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Loads kernel, initrd and parameter area into the first `ram_size` bytes of guest memory.
    /// Other memory keeps its contents: clearing RAM is for the reset that comes before.
    ///
    /// # Errors
    ///
    /// If something does not fit (nothing was written then), or guest memory is smaller than
    /// `ram_size`.
    pub fn load<M: GuestMemory + ?Sized>(&self, mem: &M, ram_size: u64) -> Result<Boot, Error> {
        self.kernel.check_fits(ram_size)?;
        let parameters = parameter_area::range(&self.kernel);
        if parameters.end > ram_size {
            return Err(Error::RamTooSmall {
                end: parameters.end,
                ram_size,
            });
        }
        let initrd = self.place_initrd(parameters.end, ram_size)?;

        self.kernel.load(mem, ram_size)?;
        if let Some(initrd) = &initrd {
            write(mem, initrd.start, &self.initrd)?;
        }
        parameter_area::store(
            mem,
            &self.kernel,
            initrd.as_ref().unwrap_or(&(0..0)),
            self.command_line.as_deref(),
        )?;
        Ok(Boot {
            entry: self.kernel.entry(),
            kernel: self.kernel.range(),
            initrd,
        })
    }

    fn place_initrd(
        &self,
        parameters_end: u64,
        ram_size: u64,
    ) -> Result<Option<Range<u64>>, Error> {
        if self.initrd.is_empty() {
            return Ok(None);
        }
        let size = self.initrd.len() as u64;
        let floor = self.kernel.range().end.max(parameters_end);
        let start = initrd::place(size, floor, self.kernel.unpacked_end(), ram_size)?;
        Ok(Some(start..start + size))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut contents = Vec::new();
    let count = File::open(path)
        .and_then(|file| file.take(MAX_FILE_SIZE + 1).read_to_end(&mut contents))
        .map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
    if count as u64 > MAX_FILE_SIZE {
        return Err(Error::FileTooLarge(path.to_owned()));
    }
    Ok(contents)
}
