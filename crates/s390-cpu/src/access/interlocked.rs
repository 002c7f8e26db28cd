// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interlocked updates: fetch and store of an aligned operand with nobody's store in between.
//!
//! Operands are updated with host atomics, so that CPUs on several threads see what the
//! architecture promises. On a host without atomic quadwords these are only interlocked among
//! themselves.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering};

use portable_atomic::AtomicU128;
use vm_memory::bitmap::Bitmap;

use crate::access::PAGE_MASK;
use crate::cpu::{Cpu, Trap};
use crate::dat::{Access, Space};

impl Cpu {
    /// Calls `f` with the host address of `len` bytes that may be stored. They must not cross a
    /// page boundary, as no aligned operand does; the host address has their alignment.
    fn interlocked<T>(
        &mut self,
        ea: u64,
        len: usize,
        f: impl FnOnce(*mut u8) -> T,
    ) -> Result<T, Trap> {
        assert!(
            (ea ^ (ea + (len as u64 - 1))) & PAGE_MASK == 0,
            "inside a page"
        );
        if let Some(p) = self.fast(ea, len, true) {
            return Ok(f(p));
        }
        let abs = self.locate(Space::Operand, self.psw_key(), ea, Access::Write)?;
        self.check_own_block(abs, len)?;
        let result = f(self.ram.host(abs, len as u64));
        self.ram.code().mark_dirty(abs as usize, len);
        Ok(result)
    }
}

/// Defines the update and the compare-and-swap of a type.
macro_rules! updates {
    ($($update:ident $compare_and_swap:ident $t:ty, $atomic:ty;)*) => {$(
        // Not every width needs every form.
        #[allow(dead_code)]
        impl Cpu {
            /// Replaces the big-endian value at `ea` by what `f` makes of it; returns what was
            /// there. Interlocked if `ea` is aligned.
            pub(crate) fn $update(&mut self, ea: u64, f: impl Fn($t) -> $t) -> Result<$t, Trap> {
                const SIZE: usize = size_of::<$t>();
                if ea % SIZE as u64 != 0 {
                    let mut bytes = [0; SIZE];
                    self.check_write(ea, SIZE)?;
                    self.read_bytes(ea, &mut bytes)?;
                    let old = <$t>::from_be_bytes(bytes);
                    self.write_bytes(ea, &f(old).to_be_bytes())?;
                    return Ok(old);
                }
                self.interlocked(ea, SIZE, |p| {
                    // SAFETY: `interlocked` gives an address in guest memory, which is mapped
                    // as long as the CPU lives; it is as aligned as `ea` since pages are.
                    let cell = unsafe { <$atomic>::from_ptr(p.cast()) };
                    let change = |v| Some(f(<$t>::from_be(v)).to_be());
                    let old = cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
                    <$t>::from_be(old.unwrap_or_else(|old| old))
                })
            }

            /// Stores `new` at `ea`, which must be aligned, if `expected` is there. Returns what
            /// was there.
            pub(crate) fn $compare_and_swap(
                &mut self,
                ea: u64,
                expected: $t,
                new: $t,
            ) -> Result<$t, Trap> {
                assert!(ea % size_of::<$t>() as u64 == 0, "aligned");
                self.interlocked(ea, size_of::<$t>(), |p| {
                    // SAFETY: as above.
                    let cell = unsafe { <$atomic>::from_ptr(p.cast()) };
                    let (expected, new) = (expected.to_be(), new.to_be());
                    let old =
                        cell.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst);
                    <$t>::from_be(old.unwrap_or_else(|old| old))
                })
            }
        }
    )*};
}

updates! {
    update_u32 compare_and_swap_u32 u32, AtomicU32;
    update_u64 compare_and_swap_u64 u64, AtomicU64;
    update_u128 compare_and_swap_u128 u128, AtomicU128;
}

impl Cpu {
    /// Replaces the byte at `ea` by what `f` makes of it, interlocked; returns what was there.
    pub(crate) fn update_u8(&mut self, ea: u64, f: impl Fn(u8) -> u8) -> Result<u8, Trap> {
        self.interlocked(ea, 1, |p| {
            // SAFETY: `interlocked` gives an address in guest memory, which is mapped as long as
            // the CPU lives.
            let cell = unsafe { AtomicU8::from_ptr(p) };
            let old = cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |v| Some(f(v)));
            old.unwrap_or_else(|old| old)
        })
    }
}
