// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest memory that an operation in flight reads or writes.

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
    _memory: Arc<dyn Any + Send + Sync>,
}

// SAFETY: guest memory is shared by threads anyway, and `_memory`, which may be sent, keeps it
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
        Buffers {
            slices,
            _memory: memory,
        }
    }

    /// The pieces, in order; none is empty.
    pub fn slices(&self) -> &[VolatileSlice<'_>] {
        &self.slices
    }

    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.slices.iter().map(VolatileSlice::len).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }
}
