// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The buffers of a chain as a driver names them, and their rules.

use super::DriverError;
use crate::{ByteOrder, Descriptor, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE};

/// A buffer in physically contiguous memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Guest-physical address.
    pub addr: u64,
    /// Bytes, not zero.
    pub len: u32,
    /// Whether the device writes it; otherwise the device reads it.
    pub writable: bool,
}

impl Buffer {
    /// A buffer that the device reads.
    pub const fn readable(addr: u64, len: u32) -> Self {
        Buffer {
            addr,
            len,
            writable: false,
        }
    }

    /// A buffer that the device writes.
    pub const fn writable(addr: u64, len: u32) -> Self {
        Buffer {
            addr,
            len,
            writable: true,
        }
    }

    /// The descriptor of the buffer, linked to the one at `next` if there is one.
    pub(super) fn descriptor(&self, next: Option<u16>) -> Descriptor {
        let write = if self.writable { VIRTQ_DESC_F_WRITE } else { 0 };
        Descriptor {
            addr: self.addr,
            len: self.len,
            flags: write | next.map_or(0, |_| VIRTQ_DESC_F_NEXT),
            next: next.unwrap_or(0),
        }
    }
}

/// Checks the rules of virtio 1.2, 2.7.4 and 2.7.5; returns the bytes that the device may write.
pub(super) fn check(buffers: &[Buffer]) -> Result<u32, DriverError> {
    if buffers.is_empty() {
        return Err(DriverError::EmptyChain);
    }
    let (mut total, mut writable_bytes, mut writable) = (0u32, 0, false);
    for buffer in buffers {
        if buffer.len == 0 {
            return Err(DriverError::EmptyBuffer);
        }
        if writable && !buffer.writable {
            return Err(DriverError::ReadableAfterWritable);
        }
        writable = buffer.writable;
        total = total
            .checked_add(buffer.len)
            .ok_or(DriverError::ChainTooLarge)?;
        if writable {
            writable_bytes += buffer.len;
        }
    }
    Ok(writable_bytes)
}

/// Writes the indirect table of `buffers` into `table`, for
/// [`DriverQueue::add_indirect_chain`](crate::DriverQueue::add_indirect_chain).
///
/// # Errors
///
/// [`DriverError::ChainTooLong`] if the table is too short.
pub fn write_indirect_table<E: ByteOrder>(
    table: &mut [[u8; Descriptor::SIZE]],
    buffers: &[Buffer],
) -> Result<(), DriverError> {
    if buffers.len() > table.len() || buffers.len() > usize::from(u16::MAX) {
        return Err(DriverError::ChainTooLong);
    }
    for (i, (entry, buffer)) in table.iter_mut().zip(buffers).enumerate() {
        let next = (i + 1 < buffers.len()).then_some(i as u16 + 1);
        *entry = buffer.descriptor(next).to_bytes::<E>();
    }
    Ok(())
}
