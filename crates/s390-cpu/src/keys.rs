// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Storage keys: one byte per 4 KiB block, shared by all CPUs.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::zeroed::zeroed;

/// Fetch-protection bit.
pub(crate) const FETCH_PROTECTION: u8 = 0x08;
/// Reference bit.
pub(crate) const REFERENCE: u8 = 0x04;
/// Change bit.
pub(crate) const CHANGE: u8 = 0x02;
/// All bits that a key has.
pub(crate) const ALL: u8 = 0xfe;

/// The storage keys of a machine.
#[derive(Debug)]
pub(crate) struct StorageKeys(Vec<AtomicU8>);

impl StorageKeys {
    /// Keys for so many bytes of storage; `None` if the host has no room for them.
    pub(crate) fn new(storage_size: u64) -> Option<Self> {
        zeroed(storage_size.div_ceil(0x1000) as usize).map(StorageKeys)
    }

    /// The key of the block at absolute address `abs`, which is inside storage.
    pub(crate) fn get(&self, abs: u64) -> u8 {
        self.0[(abs >> 12) as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, abs: u64, key: u8) {
        self.0[(abs >> 12) as usize].store(key & ALL, Ordering::Relaxed);
    }

    pub(crate) fn set_bits(&self, abs: u64, bits: u8) {
        if self.get(abs) & bits != bits {
            self.0[(abs >> 12) as usize].fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// Clears bits and returns the key before.
    pub(crate) fn clear_bits(&self, abs: u64, bits: u8) -> u8 {
        self.0[(abs >> 12) as usize].fetch_and(!bits, Ordering::Relaxed)
    }
}

/// Key-controlled protection: whether an access with `key` (not 0) may go where the storage key
/// is `storage_key`.
pub(crate) fn permits(storage_key: u8, key: u8, write: bool) -> bool {
    key == storage_key >> 4 || !write && storage_key & FETCH_PROTECTION == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_key_controlled_protection() {
        assert!(permits(0x30, 3, true));
        assert!(!permits(0x30, 4, true));
        assert!(permits(0x30, 4, false));
        assert!(!permits(0x38, 4, false));
        assert!(permits(0x38, 3, false));
    }
}
