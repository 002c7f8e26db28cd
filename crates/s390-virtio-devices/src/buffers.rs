// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest memory that an operation in flight reads or writes, and its form for vectored I/O.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use vm_memory::bitmap::BitmapSlice;
use vm_memory::VolatileSlice;

/// Pieces of guest memory, which stay mapped as long as this lives: an operation owns its buffers
/// and can be done by any thread, at any time.
///
/// They have no dirty bitmap. Whoever lets a device write to them marks them when it is done.
pub struct Buffers {
    slices: Vec<VolatileSlice<'static>>,
    /// Keeps what the slices point to.
    memory: Arc<dyn Any + Send + Sync>,
}

// SAFETY: guest memory is shared by threads anyway, and `memory`, which may be sent, keeps it
// mapped; the slices are but pointers and lengths.
unsafe impl Send for Buffers {}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers")
            .field("slices", &self.slices.len())
            .field("bytes", &self.len())
            .finish()
    }
}

impl Buffers {
    /// These pieces of `memory`.
    ///
    /// # Safety
    ///
    /// Every slice must stay valid as long as `memory` lives.
    pub unsafe fn new<B: BitmapSlice>(
        slices: &[VolatileSlice<'_, B>],
        memory: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        let slices = slices
            .iter()
            .filter(|slice| !slice.is_empty())
            .map(|slice| {
                // SAFETY: valid as long as `memory`, as the caller promises, and so as long as
                // this struct, which lends the slice out for no longer than it lives.
                unsafe { VolatileSlice::new(slice.ptr_guard_mut().as_ptr(), slice.len()) }
            })
            .collect();
        Buffers { slices, memory }
    }

    /// The pieces, in order; none is empty.
    pub fn slices(&self) -> &[VolatileSlice<'_>] {
        &self.slices
    }

    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.slices.iter().map(VolatileSlice::len).sum()
    }

    /// Leaves the first `at` bytes, and returns the others.
    pub(super) fn split_off(&mut self, at: usize) -> Buffers {
        Buffers {
            slices: split_off(&mut self.slices, at),
            memory: self.memory.clone(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Copies from the bytes that start at `offset`; returns how many there were, at most those
    /// that `data` has room for.
    pub fn read(&self, offset: usize, data: &mut [u8]) -> usize {
        let mut done = 0;
        for slice in self.from(offset) {
            done += slice.copy_to(&mut data[done..]);
        }
        done
    }

    /// Copies `data` to the bytes that start at `offset`; returns how many there was room for.
    pub fn write(&self, offset: usize, data: &[u8]) -> usize {
        let mut done = 0;
        for slice in self.from(offset) {
            let len = slice.len().min(data.len() - done);
            slice.copy_from(&data[done..done + len]);
            done += len;
        }
        done
    }

    /// `len` bytes from `offset` on, or as many of them as there are.
    pub(crate) fn vectors(&self, offset: usize, len: usize) -> Vec<libc::iovec> {
        let mut left = len;
        let mut vectors = vectors(&self.from(offset).collect::<Vec<_>>());
        vectors.retain_mut(|vector| {
            vector.iov_len = vector.iov_len.min(left);
            left -= vector.iov_len;
            vector.iov_len > 0
        });
        vectors
    }

    /// The pieces from `offset` on.
    fn from(&self, offset: usize) -> impl Iterator<Item = VolatileSlice<'_>> {
        let mut skip = offset;
        self.slices.iter().filter_map(move |slice| {
            let here = skip.min(slice.len());
            skip -= here;
            slice.offset(here).ok().filter(|rest| !rest.is_empty())
        })
    }
}

/// The same pieces of memory as a system call takes them. They are as good as `data` is.
pub(crate) fn vectors(data: &[VolatileSlice<'_>]) -> Vec<libc::iovec> {
    data.iter()
        .filter(|slice| !slice.is_empty())
        .map(|slice| libc::iovec {
            iov_base: slice.ptr_guard_mut().as_ptr().cast(),
            iov_len: slice.len(),
        })
        .collect()
}

/// Cuts `slices` after so many bytes, and returns what was cut off.
pub(crate) fn split_off<'a>(
    slices: &mut Vec<VolatileSlice<'a>>,
    at: usize,
) -> Vec<VolatileSlice<'a>> {
    let mut left = at;
    for index in 0..slices.len() {
        let len = slices[index].len();
        if left < len {
            let mut rest = slices.split_off(index);
            // In the middle of this one, unless at its start.
            if let (1.., Ok((head, tail))) = (left, rest[0].split_at(left)) {
                slices.push(head);
                rest[0] = tail;
            }
            return rest;
        }
        left -= len;
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_across_pieces() {
        let mut memory = [[1u8, 2, 3], [4, 5, 6]];
        let pieces = memory
            .each_mut()
            .map(|piece| VolatileSlice::from(&mut piece[..]));
        // SAFETY: `memory` lives longer than the buffers.
        let buffers = unsafe { Buffers::new(&pieces, Arc::new(())) };
        let mut data = [0; 4];
        assert_eq!(buffers.read(1, &mut data), 4);
        assert_eq!(data, [2, 3, 4, 5]);
        assert_eq!(buffers.read(5, &mut data), 1);
        assert_eq!(buffers.read(6, &mut data), 0);
        assert_eq!(buffers.read(usize::MAX, &mut data), 0);
        assert_eq!(buffers.write(2, &[9, 8]), 2);
        assert_eq!(buffers.write(5, &[7, 7]), 1);
        let lens = |offset, len| {
            let vectors = buffers.vectors(offset, len);
            vectors.iter().map(|v| v.iov_len).collect::<Vec<_>>()
        };
        assert_eq!(lens(0, 6), [3, 3]);
        assert_eq!(lens(2, 2), [1, 1]);
        assert_eq!(lens(3, usize::MAX), [3]);
        assert!(lens(0, 0).is_empty());
        assert_eq!(memory, [[1, 2, 9], [8, 5, 7]]);
    }

    #[test]
    fn slices_are_cut_anywhere() {
        for (at, wanted) in [
            (0, vec![]),
            (1, vec![1]),
            (3, vec![3]),
            (4, vec![3, 1]),
            (7, vec![3, 4]),
            (9, vec![3, 4, 2]),
            (10, vec![3, 4, 2]),
        ] {
            let mut memory: Vec<u8> = (0..9).collect();
            let all = VolatileSlice::from(&mut memory[..]);
            let part = |start, len| all.subslice(start, len).unwrap();
            let mut slices = vec![part(0, 3), part(3, 4), part(7, 2)];
            let rest = split_off(&mut slices, at);
            let lens: Vec<usize> = slices.iter().map(VolatileSlice::len).collect();
            assert_eq!(lens, wanted, "{at}");
            slices.extend(rest);
            let mut bytes = Vec::new();
            for slice in slices {
                let mut copy = vec![0u8; slice.len()];
                slice.copy_to(&mut copy[..]);
                bytes.extend(copy);
            }
            assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
    }
}
