// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the initrd goes.

use crate::Error;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// Kernels of all ages leave the memory from here on alone until they have found the initrd.
const PREFERRED: u64 = 16 * MIB;

/// The absolute address for an initrd of `size` bytes, page aligned.
///
/// Low in RAM, so that `mem=` does not cut it off, but clear of what the kernel may unpack
/// (`unpacked_end`) and a mebibyte of its first data; as high as possible if RAM is too small for
/// that. Never below `floor`, the end of what is loaded.
///
/// # Errors
///
/// If there is no room for it.
pub(crate) fn place(size: u64, floor: u64, unpacked_end: u64, ram_size: u64) -> Result<u64, Error> {
    let too_large = Error::InitrdTooLarge {
        size,
        floor,
        ram_size,
    };
    let fits = |addr: u64| addr.checked_add(size).is_some_and(|end| end <= ram_size);
    let preferred = unpacked_end
        .checked_add(MIB)
        .and_then(|end| end.max(floor).max(PREFERRED).checked_next_multiple_of(MIB));
    if let Some(addr) = preferred.filter(|&addr| fits(addr)) {
        return Ok(addr);
    }
    match ram_size.checked_sub(size).map(|addr| addr & !(PAGE - 1)) {
        Some(addr) if addr >= floor => Ok(addr),
        _ => Err(too_large),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_but_clear_of_the_kernel() {
        assert_eq!(place(5, 0x20000, 0x20000, 256 * MIB).unwrap(), 16 * MIB);
        assert_eq!(place(5, 16 * MIB, 16 * MIB, 256 * MIB).unwrap(), 17 * MIB);
        assert_eq!(
            place(5, 16 * MIB + 1, 16 * MIB + 1, 256 * MIB).unwrap(),
            18 * MIB
        );
        assert_eq!(place(16 * MIB, 0, 0, 32 * MIB).unwrap(), 16 * MIB);
        assert_eq!(place(5, 20 * MIB + 1, 0, 256 * MIB).unwrap(), 21 * MIB);
    }

    #[test]
    fn as_high_as_possible_in_little_ram() {
        assert_eq!(
            place(5, 4 * MIB, 16 * MIB, 16 * MIB).unwrap(),
            16 * MIB - PAGE
        );
        assert_eq!(place(PAGE, MIB, MIB, 2 * MIB).unwrap(), 2 * MIB - PAGE);
        assert_eq!(
            place(PAGE + 1, MIB, MIB, 2 * MIB).unwrap(),
            2 * MIB - 2 * PAGE
        );
        assert_eq!(place(MIB, MIB, MIB, 2 * MIB).unwrap(), MIB);
    }

    #[test]
    fn no_room_is_an_error() {
        for (size, floor, ram) in [
            (MIB, MIB + 1, 2 * MIB),
            (3 * MIB, 0, 2 * MIB),
            (u64::MAX, 0, 2 * MIB),
            (1, u64::MAX, 2 * MIB),
        ] {
            let placed = place(size, floor, floor, ram);
            assert!(
                matches!(placed, Err(Error::InitrdTooLarge { .. })),
                "{placed:?}"
            );
        }
    }
}
