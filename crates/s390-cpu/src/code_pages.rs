// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which storage holds decoded instructions, and who must hear that it changed.
//!
//! On s390 instruction fetch is coherent: a store by a CPU or by a device takes effect on
//! instructions without any flush. [`CodePages`] is the dirty bitmap of guest memory, so every
//! write through vm-memory passes here, as do the stores of the CPUs to pages with code.

use std::collections::BTreeSet;
use std::sync::atomic::{fence, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use vm_memory::bitmap::{Bitmap, NewBitmap, RefSlice, WithBitmapSlice};

use crate::shared::{Attention, CpuShared};
use crate::zeroed::zeroed;

const PAGE_SHIFT: usize = 12;
/// A page is watched in 64 pieces, so that data beside code does not cost the code.
const GRANULE_SHIFT: usize = 6;

/// The pages that hold decoded instructions. Use it as the bitmap type of the guest's
/// `GuestMemoryMmap`.
#[derive(Debug, Default)]
pub struct CodePages {
    /// One bit per 64 bytes, one word per page.
    granules: Vec<AtomicU64>,
    listeners: RwLock<Vec<Arc<CpuShared>>>,
}

/// Pages that were written after a CPU decoded instructions in them. A set, so that it does not
/// grow without bound while this CPU is stopped and others go on.
#[derive(Debug, Default)]
pub(crate) struct StalePages(Mutex<BTreeSet<u64>>);

impl StalePages {
    pub(crate) fn take(&self) -> BTreeSet<u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(|e| e.into_inner()))
    }

    fn push(&self, page: u64) {
        self.0
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .insert(page);
    }
}

/// Bits of the granules that `[start, end]` (offsets in a page, inclusive) touches.
fn mask(start: usize, end: usize) -> u64 {
    let (first, last) = (start >> GRANULE_SHIFT, end >> GRANULE_SHIFT);
    (u64::MAX << first) & (u64::MAX >> (63 - last))
}

impl CodePages {
    /// Whether it covers so many bytes of memory.
    pub(crate) fn covers(&self, len: u64) -> bool {
        len.div_ceil(1 << PAGE_SHIFT) <= self.granules.len() as u64
    }

    pub(crate) fn listen(&self, cpu: Arc<CpuShared>) {
        self.listeners
            .write()
            .unwrap_or_else(|e| e.into_inner())
            .push(cpu);
    }

    pub(crate) fn unlisten(&self, cpu: &Arc<CpuShared>) {
        self.listeners
            .write()
            .unwrap_or_else(|e| e.into_inner())
            .retain(|other| !Arc::ptr_eq(other, cpu));
    }

    /// Watches `[addr, addr + len)`, which lies in one page. Must come before the bytes are
    /// read. Returns whether the page held no code so far.
    pub(crate) fn watch(&self, addr: u64, len: usize) -> bool {
        let page = (addr >> PAGE_SHIFT) as usize;
        let start = addr as usize & 0xfff;
        let before = match self.granules.get(page) {
            Some(word) => {
                word.fetch_or(mask(start, (start + len - 1).min(0xfff)), Ordering::SeqCst)
            }
            None => return false,
        };
        fence(Ordering::SeqCst);
        before == 0
    }

    /// Whether the page that holds absolute address `addr` has watched code.
    pub(crate) fn has_code(&self, addr: u64) -> bool {
        self.granules
            .get((addr >> PAGE_SHIFT) as usize)
            .is_some_and(|w| w.load(Ordering::Relaxed) != 0)
    }

    #[cold]
    fn stale(&self, page: usize) {
        self.granules[page].store(0, Ordering::SeqCst);
        for cpu in self
            .listeners
            .read()
            .unwrap_or_else(|e| e.into_inner())
            .iter()
        {
            cpu.stale_pages.push(page as u64);
            cpu.attention.raise(Attention::STALE_CODE);
        }
    }
}

impl<'a> WithBitmapSlice<'a> for CodePages {
    type S = RefSlice<'a, Self>;
}

impl Bitmap for CodePages {
    fn mark_dirty(&self, offset: usize, len: usize) {
        if len == 0 {
            return;
        }
        // The bytes are written; the CPU sets the granule before it reads them. With a full
        // fence on both sides at least one of the two sees the other.
        fence(Ordering::SeqCst);
        let end = offset.saturating_add(len - 1);
        for page in
            offset >> PAGE_SHIFT..=(end >> PAGE_SHIFT).min(self.granules.len().wrapping_sub(1))
        {
            let base = page << PAGE_SHIFT;
            let bits = mask(offset.max(base) - base, end.min(base | 0xfff) - base);
            if self
                .granules
                .get(page)
                .is_some_and(|w| w.load(Ordering::Relaxed) & bits != 0)
            {
                self.stale(page);
            }
        }
    }

    fn dirty_at(&self, _offset: usize) -> bool {
        false
    }

    fn slice_at(&self, offset: usize) -> RefSlice<'_, Self> {
        RefSlice::new(self, offset)
    }
}

impl NewBitmap for CodePages {
    fn with_len(len: usize) -> Self {
        CodePages {
            // For what is missing, no CPU can be made.
            granules: zeroed(len.div_ceil(1 << PAGE_SHIFT)).unwrap_or_default(),
            listeners: RwLock::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_mask_covers_touched_granules() {
        assert_eq!(mask(0, 0), 1);
        assert_eq!(mask(63, 64), 3);
        assert_eq!(mask(0, 0xfff), u64::MAX);
        assert_eq!(mask(0xfff, 0xfff), 1 << 63);
    }

    #[test]
    fn test_write_beside_code_is_not_stale() {
        let pages = CodePages::with_len(0x4000);
        let cpu = Arc::new(CpuShared::default());
        pages.listen(cpu.clone());
        assert!(pages.watch(0x1040, 0x20));
        assert!(!pages.watch(0x1080, 0x20));
        pages.mark_dirty(0x1000, 0x40);
        assert!(cpu.stale_pages.take().is_empty());
        pages.mark_dirty(0x0fff, 0x42);
        assert!(cpu.stale_pages.take().into_iter().eq([1]));
        assert!(!pages.has_code(0x1040));
    }

    #[test]
    fn test_ranges_beyond_memory_are_ignored() {
        let pages = CodePages::with_len(0x2000);
        pages.mark_dirty(0x1fff, usize::MAX);
        pages.mark_dirty(0x8000, 1);
        assert!(!pages.watch(0x8000, 4));
    }
}
