// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A validated chain: a private copy of where its buffers are, which no guest can change any more.

use std::vec::Vec;

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

/// What a chain of more buffers has room for at once.
const SPILLED_SEGMENTS: usize = 32;

/// A chain of buffers that the driver made available, already validated as a whole.
///
/// It borrows nothing, so a device can keep it while the request is in flight and return it with
/// [`DeviceQueue::add_used`](crate::DeviceQueue::add_used) later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorChain {
    head_index: u16,
    /// How many of the segments are readable; the others follow and are writable.
    num_readable: u16,
    /// The segments, as long as they are few.
    few: [Segment; INLINE_SEGMENTS],
    num_few: u16,
    /// All segments, once they are many.
    many: Vec<Segment>,
}

impl DescriptorChain {
    #[inline(always)]
    pub(super) fn new(head_index: u16) -> Self {
        let none = Segment {
            addr: GuestAddress(0),
            len: 0,
        };
        DescriptorChain {
            head_index,
            num_readable: 0,
            few: [none; INLINE_SEGMENTS],
            num_few: 0,
            many: Vec::new(),
        }
    }

    /// Appends a segment; the caller keeps readable ones before writable ones, and to 65535 in all.
    #[inline(always)]
    pub(super) fn push(&mut self, segment: Segment, writable: bool) {
        self.num_readable += u16::from(!writable);
        if let Some(next) = self.few.get_mut(usize::from(self.num_few)) {
            *next = segment;
            self.num_few += 1;
        } else {
            if self.many.is_empty() {
                self.many.reserve(SPILLED_SEGMENTS);
                self.many.extend(self.few);
            }
            self.many.push(segment);
        }
    }

    #[inline]
    fn segments(&self) -> &[Segment] {
        if self.many.is_empty() {
            &self.few[..usize::from(self.num_few)]
        } else {
            &self.many
        }
    }

    /// Index of the chain's first descriptor, by which it is returned to the driver.
    #[inline]
    pub fn head_index(&self) -> u16 {
        self.head_index
    }

    /// The buffers the device reads, in order.
    #[inline]
    pub fn readable(&self) -> &[Segment] {
        &self.segments()[..usize::from(self.num_readable)]
    }

    /// The buffers the device writes, in order.
    #[inline]
    pub fn writable(&self) -> &[Segment] {
        &self.segments()[usize::from(self.num_readable)..]
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
