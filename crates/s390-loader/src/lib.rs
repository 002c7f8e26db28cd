// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

mod elf;
mod error;
mod foreign;
mod image;
mod initrd;
mod kernel;
mod kernel_loader;
mod parameter_area;
mod raw;

pub use error::Error;
pub use image::{Boot, Image, MAX_FILE_SIZE};
pub use kernel::{Kernel, Segment, ENTRY};
pub use kernel_loader::S390Image;
pub use parameter_area::{
    COMMAND_LINE, DEFAULT_COMMAND_LINE_SIZE, INITRD_SIZE, INITRD_START, MAX_COMMAND_LINE_SIZE,
    PARAMETER_AREA,
};
