// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The configuration space of a block device: `struct virtio_blk_config`.

use s390_vring::ByteOrder;

use super::backend::{Topology, SECTOR_SIZE};
use super::request::{
    MAX_DISCARD_SECTORS, MAX_DISCARD_SEGMENTS, MAX_ZEROES_SECTORS, MAX_ZEROES_SEGMENTS,
};

/// Bytes of the configuration space, up to and with the limits of write-zeroes.
pub(super) const CONFIG_LEN: usize = 60;
/// Where the driver chooses the cache mode: 1 for write-back, 0 for write-through.
pub(super) const WRITEBACK: usize = 32;

/// Bytes of a segment: what drivers cut requests to anyway.
const SIZE_MAX: u32 = 1 << 20;
/// The geometry that everybody takes for a large disk.
const HEADS: u8 = 16;
const SECTORS: u8 = 63;

/// What the configuration space tells.
pub(super) struct Config {
    /// Size of the disk in bytes.
    pub(super) size: u64,
    /// Buffers in a request.
    pub(super) seg_max: u32,
    /// How the storage likes to be used.
    pub(super) topology: Topology,
    /// Whether writes are durable only after a flush.
    pub(super) write_back: bool,
}

impl Config {
    /// The bytes, in byte order `E`.
    pub(super) fn bytes<E: ByteOrder>(&self) -> [u8; CONFIG_LEN] {
        let mut bytes = [0; CONFIG_LEN];
        let u16_bytes = |value: u16| E::u16(value).to_ne_bytes();
        let u32_bytes = |value: u32| E::u32(value).to_ne_bytes();
        let capacity = self.size / SECTOR_SIZE;
        bytes[..8].copy_from_slice(&E::u64(capacity).to_ne_bytes());
        bytes[8..12].copy_from_slice(&u32_bytes(SIZE_MAX));
        bytes[12..16].copy_from_slice(&u32_bytes(self.seg_max));

        let cylinders = capacity / u64::from(HEADS) / u64::from(SECTORS);
        let cylinders = u16::try_from(cylinders).unwrap_or(u16::MAX);
        bytes[16..18].copy_from_slice(&u16_bytes(cylinders));
        bytes[18] = HEADS;
        bytes[19] = SECTORS;

        // Sizes of the topology are in logical blocks.
        let logical = self.topology.logical_block;
        let blocks = |bytes: u32| bytes / logical;
        bytes[20..24].copy_from_slice(&u32_bytes(logical));
        bytes[24] = blocks(self.topology.physical_block).ilog2() as u8;
        // The alignment offset, at 25, is 0.
        let min_io = u16::try_from(blocks(self.topology.min_io)).unwrap_or(u16::MAX);
        bytes[26..28].copy_from_slice(&u16_bytes(min_io));
        bytes[28..32].copy_from_slice(&u32_bytes(blocks(self.topology.opt_io)));
        bytes[WRITEBACK] = self.write_back.into();
        // The number of queues, at 34, belongs to a feature that is not offered.

        let alignment = (u64::from(logical) / SECTOR_SIZE) as u32;
        bytes[36..40].copy_from_slice(&u32_bytes(MAX_DISCARD_SECTORS));
        bytes[40..44].copy_from_slice(&u32_bytes(MAX_DISCARD_SEGMENTS));
        bytes[44..48].copy_from_slice(&u32_bytes(alignment));
        bytes[48..52].copy_from_slice(&u32_bytes(MAX_ZEROES_SECTORS));
        bytes[52..56].copy_from_slice(&u32_bytes(MAX_ZEROES_SEGMENTS));
        // Write-zeroes may unmap.
        bytes[56] = 1;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use s390_vring::{BigEndian, LittleEndian};

    use super::*;

    const CONFIG: Config = Config {
        size: 20 << 30,
        seg_max: 126,
        topology: Topology {
            logical_block: 512,
            physical_block: 4096,
            min_io: 65536,
            opt_io: 1 << 20,
        },
        write_back: true,
    };

    #[test]
    fn every_field_is_in_its_place() {
        let bytes = CONFIG.bytes::<BigEndian>();
        let field = |range: std::ops::Range<usize>| {
            let bytes = bytes[range].iter();
            bytes.fold(0u64, |n, &byte| n << 8 | u64::from(byte))
        };
        for (range, value) in [
            (0..8, 20 << 21),
            (8..12, 1 << 20),
            (12..16, 126),
            (16..18, 41610),
            (18..19, 16),
            (19..20, 63),
            (20..24, 512),
            (24..25, 3),
            (25..26, 0),
            (26..28, 128),
            (28..32, 2048),
            (32..33, 1),
            (33..36, 0),
            (36..40, MAX_DISCARD_SECTORS.into()),
            (40..44, MAX_DISCARD_SEGMENTS.into()),
            (44..48, 1),
            (48..52, MAX_ZEROES_SECTORS.into()),
            (52..56, MAX_ZEROES_SEGMENTS.into()),
            (56..57, 1),
            (57..60, 0),
        ] {
            assert_eq!(field(range.clone()), value, "{range:?}");
        }
        let little = CONFIG.bytes::<LittleEndian>();
        assert_eq!(little[..8], (20u64 << 21).to_le_bytes());
        assert_eq!(little[26..28], [128, 0]);
    }

    #[test]
    fn sizes_are_in_logical_blocks() {
        let config = Config {
            topology: Topology {
                logical_block: 2048,
                ..CONFIG.topology
            },
            ..CONFIG
        };
        let bytes = config.bytes::<BigEndian>();
        // Where discards begin, and only that, is in sectors.
        assert_eq!(bytes[20..24], 2048u32.to_be_bytes());
        assert_eq!(bytes[24..28], [1, 0, 0, 32]);
        assert_eq!(bytes[28..32], 512u32.to_be_bytes());
        assert_eq!(bytes[44..48], 4u32.to_be_bytes());
    }

    #[test]
    fn what_does_not_fit_is_the_largest_that_does() {
        let config = Config {
            size: 1 << 50,
            topology: Topology {
                min_io: 1 << 31,
                ..CONFIG.topology
            },
            ..CONFIG
        };
        let bytes = config.bytes::<BigEndian>();
        // Cylinders, and the smallest request.
        assert_eq!([&bytes[16..18], &bytes[26..28]], [[0xff; 2]; 2]);
    }
}
