// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A validated chain: a private copy of where its buffers are, which no guest can change any more.

use smallvec::SmallVec;
use vm_memory::bitmap::BS;
use vm_memory::{GuestAddress, GuestMemory};

use super::{Error, Reader, Writer};

/// A buffer in guest memory, all of it inside when the chain was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Guest-physical address of the buffer.
    pub addr: GuestAddress,
    /// Bytes of the buffer, never zero.
    pub len: u32,
}

/// Chains of up to this many buffers need no heap.
const INLINE_SEGMENTS: usize = 4;

/// A chain of buffers that the driver made available, already validated as a whole.
///
/// It borrows nothing, so a device can keep it while the request is in flight and return it with
/// [`DeviceQueue::add_used`](crate::DeviceQueue::add_used) later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorChain {
    head_index: u16,
    /// How many of the segments are readable; the others follow and are writable.
    num_readable: usize,
    segments: SmallVec<[Segment; INLINE_SEGMENTS]>,
}

impl DescriptorChain {
    #[inline]
    pub(super) fn new(head_index: u16) -> Self {
        DescriptorChain {
            head_index,
            num_readable: 0,
            segments: SmallVec::new(),
        }
    }

    /// Appends a segment; the caller keeps readable ones before writable ones.
    #[inline]
    pub(super) fn push(&mut self, segment: Segment, writable: bool) {
        self.segments.push(segment);
        if !writable {
            self.num_readable += 1;
        }
    }

    /// Index of the chain's first descriptor, by which it is returned to the driver.
    pub fn head_index(&self) -> u16 {
        self.head_index
    }

    /// The buffers the device reads, in order.
    pub fn readable(&self) -> &[Segment] {
        &self.segments[..self.num_readable]
    }

    /// The buffers the device writes, in order.
    pub fn writable(&self) -> &[Segment] {
        &self.segments[self.num_readable..]
    }

    /// Bytes in all readable buffers.
    pub fn readable_bytes(&self) -> u32 {
        self.readable().iter().map(|segment| segment.len).sum()
    }

    /// Bytes in all writable buffers.
    pub fn writable_bytes(&self) -> u32 {
        self.writable().iter().map(|segment| segment.len).sum()
    }

    /// A reader over the readable buffers.
    ///
    /// # Errors
    ///
    /// [`Error::SegmentOutsideMemory`] if `mem` has shrunk since the chain was taken.
    pub fn reader<'a, M: GuestMemory>(
        &self,
        mem: &'a M,
    ) -> Result<Reader<'a, BS<'a, M::Bitmap>>, Error> {
        Reader::new(mem, self.readable())
    }

    /// A writer over the writable buffers.
    ///
    /// # Errors
    ///
    /// [`Error::SegmentOutsideMemory`] if `mem` has shrunk since the chain was taken.
    pub fn writer<'a, M: GuestMemory>(
        &self,
        mem: &'a M,
    ) -> Result<Writer<'a, BS<'a, M::Bitmap>>, Error> {
        Writer::new(mem, self.writable())
    }
}
