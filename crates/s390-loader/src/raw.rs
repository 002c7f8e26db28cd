// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Raw images, `arch/s390/boot/image` and `bzImage`: memory from address 0 on, low page included.

use crate::kernel::{Segment, ENTRY};
use crate::Error;

/// Kernels since 3.10 have this in front of their second entry point.
const MAGIC_AT: usize = 0x10008;
const MAGIC: &[u8] = b"S390EP";

/// First word of the ESA/390 PSW at address 0 that makes an image IPL-able from a card reader:
/// nothing enabled, bit 12 one as ESA/390 wants it.
const IPL_PSW: [u8; 4] = [0x00, 0x08, 0x00, 0x00];
/// Addressing-mode bit of its second word, 31-bit mode; the rest is the address.
const IPL_PSW_AMODE: u32 = 0x8000_0000;

pub(crate) fn has_magic(file: &[u8]) -> bool {
    file.get(MAGIC_AT..).is_some_and(|f| f.starts_with(MAGIC))
}

pub(crate) fn has_ipl_psw(file: &[u8]) -> bool {
    let Some(psw) = file.first_chunk::<8>() else {
        return false;
    };
    let addr = u32::from_be_bytes([psw[4], psw[5], psw[6], psw[7]]);
    psw.starts_with(&IPL_PSW) && addr & IPL_PSW_AMODE != 0 && addr % 2 == 0
}

/// A raw image is one segment at 0. Nothing in the file tells how long it should be; only that it
/// must reach its entry point can be checked.
pub(crate) fn segment(file: &[u8]) -> Result<Segment, Error> {
    let size = file.len() as u64;
    if size <= ENTRY + 1 {
        return Err(Error::Truncated {
            what: "entry point",
            needed: ENTRY + 2,
            size,
        });
    }
    Ok(Segment {
        addr: 0,
        file: 0..file.len(),
        mem_size: size,
    })
}
