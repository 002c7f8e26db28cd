// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can be wrong with a queue: mistakes of the VMM in setting it up, and of the guest in using it.

/// Errors of the device side of a queue.
///
/// [`is_guest_fault`](Error::is_guest_fault) tells the two kinds apart: after a guest's fault the device
/// is broken until it is reset, and nothing else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A queue's size is no power of two up to 32768.
    #[error("queue size {0} is no power of two up to 32768")]
    InvalidSize(u16),
    /// The size exceeds what the device offers.
    #[error("queue size {size} is above the device's maximum {max_size}")]
    SizeAboveMax {
        /// The size asked for.
        size: u16,
        /// The largest size of this queue.
        max_size: u16,
    },
    /// A part of the queue is not aligned as it must be.
    #[error("ring address {addr:#x} is no multiple of {align}")]
    Misaligned {
        /// Guest-physical address of the part.
        addr: u64,
        /// The required alignment in bytes.
        align: u64,
    },
    /// A part of the queue lies outside guest memory or crosses a gap in it.
    #[error("ring of {len} bytes at {addr:#x} is not in one piece of guest memory")]
    RingOutsideMemory {
        /// Guest-physical address of the part.
        addr: u64,
        /// Bytes of the part.
        len: usize,
    },
    /// Size, addresses and features are frozen while the queue is in use.
    #[error("the queue is in use and cannot be configured")]
    InUse,
    /// The queue was used before its activation.
    #[error("the queue is not active")]
    NotReady,
    /// The device returned a buffer that cannot exist.
    #[error("head {head} is outside a queue of {size} entries")]
    InvalidHead {
        /// The head the device passed in.
        head: u16,
        /// Entries of the queue.
        size: u16,
    },
    /// The driver made more buffers available than the queue has entries.
    #[error("the available index {avail_idx} is more than {size} ahead of {next_avail}")]
    AvailIndexAhead {
        /// The index found in the ring.
        avail_idx: u16,
        /// The index of the next buffer the device looks at.
        next_avail: u16,
        /// Entries of the queue.
        size: u16,
    },
    /// A chain starts or goes on outside its descriptor table.
    #[error("descriptor {index} is outside a table of {size} entries")]
    DescriptorIndex {
        /// The index in the available ring or in a descriptor.
        index: u16,
        /// Entries of the table.
        size: u16,
    },
    /// A chain has more descriptors than it may have, mostly because it loops.
    #[error("the chain at head {head} loops or has more than {max} descriptors")]
    ChainTooLong {
        /// The chain's head.
        head: u16,
        /// The most descriptors it may have.
        max: u16,
    },
    /// The buffers of a chain add up to 4 GiB or more.
    #[error("the chain at head {head} has more than 4294967295 bytes")]
    ChainTooLarge {
        /// The chain's head.
        head: u16,
    },
    /// A buffer to be read by the device follows one to be written.
    #[error("the chain at head {head} has a readable descriptor behind a writable one")]
    ReadableAfterWritable {
        /// The chain's head.
        head: u16,
    },
    /// A buffer lies outside guest memory.
    #[error("a buffer of {len} bytes at {addr:#x} is outside guest memory")]
    SegmentOutsideMemory {
        /// Guest-physical address of the buffer.
        addr: u64,
        /// Bytes of the buffer.
        len: u32,
    },
    /// An indirect descriptor without the feature's negotiation.
    #[error("the chain at head {head} has an indirect descriptor, which was not negotiated")]
    IndirectNotNegotiated {
        /// The chain's head.
        head: u16,
    },
    /// An indirect descriptor that is not the end of its chain, or sits in an indirect table.
    #[error("the chain at head {head} has an indirect descriptor where none may be")]
    IndirectMisplaced {
        /// The chain's head.
        head: u16,
    },
    /// An indirect table whose length is zero, no multiple of 16, or beyond 65535 descriptors.
    #[error("an indirect table has {len} bytes")]
    IndirectTableLength {
        /// The length in the descriptor.
        len: u32,
    },
    /// A chain was made available again before it was returned.
    #[error("the chain at head {head} is available again before it was used")]
    HeadInFlight {
        /// The chain's head.
        head: u16,
    },
    /// Memory that a guest must not reach is part of its memory.
    #[error("a shadow ring of {len} bytes at {addr:#x} is in guest memory")]
    ShadowInGuestMemory {
        /// Address of the shadow.
        addr: u64,
        /// Bytes of the shadow.
        len: usize,
    },
    /// The memory that a device was given lacks the shadow ring.
    #[error("the shadow ring at {addr:#x} is not in the device's view of memory")]
    ShadowOutsideMemory {
        /// Address of the shadow.
        addr: u64,
    },
}

impl Error {
    /// Whether the guest is to blame, rather than the VMM.
    pub fn is_guest_fault(&self) -> bool {
        matches!(
            self,
            Error::AvailIndexAhead { .. }
                | Error::DescriptorIndex { .. }
                | Error::ChainTooLong { .. }
                | Error::ChainTooLarge { .. }
                | Error::ReadableAfterWritable { .. }
                | Error::SegmentOutsideMemory { .. }
                | Error::IndirectNotNegotiated { .. }
                | Error::IndirectMisplaced { .. }
                | Error::IndirectTableLength { .. }
                | Error::HeadInFlight { .. }
        )
    }
}
