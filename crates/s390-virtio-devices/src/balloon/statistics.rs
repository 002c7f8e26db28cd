// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a guest says of its memory.

use std::io::Read;

use s390_vring::ByteOrder;

/// Bytes of one figure: a tag of two bytes and a value of eight.
const ENTRY: usize = 10;

/// The names of the tags, from 0 (virtio 1.2, section 5.5.6.4).
const NAMES: [&str; 10] = [
    "swap-in",
    "swap-out",
    "major-faults",
    "minor-faults",
    "free-memory",
    "total-memory",
    "available-memory",
    "disk-caches",
    "hugetlb-allocations",
    "hugetlb-failures",
];

/// The figures of a guest, as it last sent them; it sends those that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics([Option<u64>; NAMES.len()]);

impl Statistics {
    /// Reads what the guest sent. Unknown tags and a part of an entry at the end are ignored.
    pub(super) fn read<E: ByteOrder>(source: &mut impl Read) -> Self {
        let mut this = Statistics::default();
        let mut entry = [0; ENTRY];
        // Twice as many as there are names, should some come more than once.
        for _ in 0..2 * NAMES.len() {
            if source.read_exact(&mut entry).is_err() {
                break;
            }
            let [t0, t1, value @ ..] = entry;
            let tag = E::u16(u16::from_ne_bytes([t0, t1]));
            if let Some(figure) = this.0.get_mut(usize::from(tag)) {
                *figure = Some(E::u64(u64::from_ne_bytes(value)));
            }
        }
        this
    }

    /// The figures with their names: bytes of memory, and numbers of events since the guest was
    /// booted.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let figures = NAMES.iter().zip(&self.0);
        figures.filter_map(|(name, figure)| figure.map(|figure| (*name, figure)))
    }
}

#[cfg(test)]
mod tests {
    use s390_vring::{BigEndian, LittleEndian};

    use super::*;

    #[test]
    fn both_byte_orders_and_unknown_tags() {
        let mut big = Vec::new();
        let mut little = Vec::new();
        for (tag, value) in [(4u16, 1u64 << 20), (5, 2 << 20), (77, 1), (4, 3 << 20)] {
            big.extend(tag.to_be_bytes());
            big.extend(value.to_be_bytes());
            little.extend(tag.to_le_bytes());
            little.extend(value.to_le_bytes());
        }
        big.extend([0, 1, 2]);
        let statistics = Statistics::read::<BigEndian>(&mut big.as_slice());
        assert_eq!(
            statistics.iter().collect::<Vec<_>>(),
            [("free-memory", 3 << 20), ("total-memory", 2 << 20)]
        );
        assert_eq!(
            Statistics::read::<LittleEndian>(&mut little.as_slice()),
            statistics
        );
    }
}
