// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tables of what is known of each page of storage: as many entries as there are pages, most of
//! which are never touched.

use std::alloc::{alloc_zeroed, Layout};
use std::sync::atomic::{AtomicU64, AtomicU8};

/// Types of which zeros are a value.
///
/// # Safety
///
/// They must be one.
pub(crate) unsafe trait Zero {}

// SAFETY: an atomic integer is in memory what the integer is.
unsafe impl Zero for AtomicU8 {}

// SAFETY: an atomic integer is in memory what the integer is.
unsafe impl Zero for AtomicU64 {}

/// So many zeros, for which the host has no memory to give before they are used; `None` if it never
/// could.
pub(crate) fn zeroed<T: Zero>(len: usize) -> Option<Vec<T>> {
    let layout = Layout::array::<T>(len).ok()?;
    if layout.size() == 0 {
        return Some(Vec::new());
    }
    // SAFETY: the size is not 0.
    let start = unsafe { alloc_zeroed(layout) }.cast::<T>();
    if start.is_null() {
        return None;
    }
    // SAFETY: the memory was allocated for so many values, which its zeros are.
    Some(unsafe { Vec::from_raw_parts(start, len, len) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn zeros_or_nothing() {
        let zeros = zeroed::<AtomicU64>(1000).unwrap();
        assert_eq!(zeros.len(), 1000);
        assert!(zeros.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        assert!(zeroed::<AtomicU8>(0).unwrap().is_empty());
        assert!(zeroed::<AtomicU64>(usize::MAX).is_none());
        // The compiler may leave out memory that nobody uses, and so the refusal.
        let too_much = std::hint::black_box(zeroed::<AtomicU8>(isize::MAX as usize));
        assert!(too_much.is_none());
    }
}
