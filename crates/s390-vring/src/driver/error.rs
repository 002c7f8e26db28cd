// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can go wrong on the driver's side.

use core::fmt;

/// Errors of the driver side of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverError {
    /// The ring memory is smaller than the layout, or there is not one [`Slot`](crate::Slot) per entry.
    TooSmall,
    /// A chain needs at least one buffer.
    EmptyChain,
    /// A buffer has no bytes.
    EmptyBuffer,
    /// A buffer the device reads follows one that it writes.
    ReadableAfterWritable,
    /// The buffers of a chain add up to 4 GiB or more.
    ChainTooLarge,
    /// More buffers than the indirect table or, at any time, the queue has room for.
    ChainTooLong,
    /// Not enough free descriptors now; some come back with the next used chain.
    QueueFull,
    /// The indirect feature was not negotiated.
    IndirectNotNegotiated,
    /// The device claims to have used more chains than it was given: it is broken.
    UsedIndexAhead {
        /// The index found in the used ring.
        used_idx: u16,
    },
    /// The device returned a chain it does not have: it is broken.
    UnknownHead {
        /// The head found in the used ring.
        id: u32,
    },
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DriverError::TooSmall => f.write_str("the ring memory or the slots are too few"),
            DriverError::EmptyChain => f.write_str("the chain has no buffer"),
            DriverError::EmptyBuffer => f.write_str("a buffer has no bytes"),
            DriverError::ReadableAfterWritable => {
                f.write_str("a readable buffer follows a writable one")
            }
            DriverError::ChainTooLarge => f.write_str("the chain has more than 4294967295 bytes"),
            DriverError::ChainTooLong => f.write_str("the chain has too many buffers"),
            DriverError::QueueFull => f.write_str("the queue has too few free descriptors"),
            DriverError::IndirectNotNegotiated => {
                f.write_str("indirect descriptors were not negotiated")
            }
            DriverError::UsedIndexAhead { used_idx } => {
                write!(
                    f,
                    "the used index {used_idx} is ahead of the available chains"
                )
            }
            DriverError::UnknownHead { id } => {
                write!(f, "the device returned chain {id}, which it does not have")
            }
        }
    }
}

impl core::error::Error for DriverError {}
