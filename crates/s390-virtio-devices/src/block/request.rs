// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One request: 16 bytes of header, the data, and a status byte at the very end.

use std::io::{Read, Write};

use s390_vring::{ByteOrder, DescriptorChain, Reader, Writer};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN,
    VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
};
use vm_memory::bitmap::BS;
use vm_memory::GuestMemory;

use crate::drain::ChainError;

/// Bytes of the answer to a get-id request.
pub(super) const ID_BYTES: usize = 20;

/// Sectors in one segment of a discard: 1 GiB, which a file system gives up in a moment.
pub(super) const MAX_DISCARD_SECTORS: u32 = 1 << 21;
/// Segments in a discard.
pub(super) const MAX_DISCARD_SEGMENTS: u32 = 16;
/// Sectors of zeros: 32 MiB, since some storage has to write them one by one.
pub(super) const MAX_ZEROES_SECTORS: u32 = 1 << 16;
/// Segments of zeros.
pub(super) const MAX_ZEROES_SEGMENTS: u32 = 1;

/// Bytes of a segment (`struct virtio_blk_discard_write_zeroes`). It is little-endian on every
/// transport (virtio 1.2, section 5.2.6; Linux writes it so in the legacy interface as well).
const SEGMENT_BYTES: usize = 16;

/// What the driver asks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Read from this sector on.
    In(u64),
    /// Write from this sector on.
    Out(u64),
    /// Make what was written durable.
    Flush,
    /// Tell the serial number.
    GetId,
    /// Give sectors up.
    Discard,
    /// Make sectors zeros.
    WriteZeroes,
    /// A type that is not offered.
    Unsupported(u32),
}

/// A request with its buffers.
pub(super) struct Request<'a, M: GuestMemory> {
    pub(super) kind: Kind,
    /// Data from the driver.
    pub(super) out_data: Reader<'a, BS<'a, M::Bitmap>>,
    /// Room for data to the driver.
    pub(super) in_data: Writer<'a, BS<'a, M::Bitmap>>,
    status: Writer<'a, BS<'a, M::Bitmap>>,
}

impl<'a, M: GuestMemory> Request<'a, M> {
    /// Reads a request in byte order `E`. Where the buffers' borders are does not matter.
    pub(super) fn parse<E: ByteOrder>(
        chain: &DescriptorChain,
        memory: &'a M,
    ) -> Result<Self, ChainError> {
        let mut out_data = chain.reader(memory)?;
        let mut in_data = chain.writer(memory)?;
        let mut header = [0; 16];
        out_data
            .read_exact(&mut header)
            .map_err(|_| ChainError::Request("a block request without a whole header"))?;
        let data = in_data
            .available_bytes()
            .checked_sub(1)
            .ok_or(ChainError::Request("a block request without a status byte"))?;
        let status = in_data
            .split_at(data)
            .map_err(|_| ChainError::Request("a block request without a status byte"))?;
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = header;
        let sector = E::u64(u64::from_ne_bytes(sector));
        let kind = match E::u32(u32::from_ne_bytes([t0, t1, t2, t3])) {
            VIRTIO_BLK_T_IN => Kind::In(sector),
            VIRTIO_BLK_T_OUT => Kind::Out(sector),
            VIRTIO_BLK_T_FLUSH => Kind::Flush,
            VIRTIO_BLK_T_GET_ID => Kind::GetId,
            VIRTIO_BLK_T_DISCARD => Kind::Discard,
            VIRTIO_BLK_T_WRITE_ZEROES => Kind::WriteZeroes,
            other => Kind::Unsupported(other),
        };
        Ok(Request {
            kind,
            out_data,
            in_data,
            status,
        })
    }

    /// The segments of a discard or of zeros, if they are whole and at most `max`.
    pub(super) fn segments(&mut self, max: u32) -> Option<Vec<Segment>> {
        let bytes = self.out_data.available_bytes();
        let count = bytes / SEGMENT_BYTES;
        if bytes % SEGMENT_BYTES != 0 || count == 0 || count > max as usize {
            return None;
        }
        (0..count)
            .map(|_| {
                let mut segment = [0; SEGMENT_BYTES];
                self.out_data.read_exact(&mut segment).ok()?;
                let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, flags @ ..] = segment;
                Some(Segment {
                    sector: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
                    sectors: u32::from_le_bytes([n0, n1, n2, n3]),
                    flags: u32::from_le_bytes(flags),
                })
            })
            .collect()
    }

    /// Writes the status byte.
    pub(super) fn finish(mut self, status: u8) -> Result<(), ChainError> {
        self.status
            .write_all(&[status])
            .map_err(|_| ChainError::Request("a block request without a status byte"))
    }
}

/// A range of sectors to discard or to make zeros.
pub(super) struct Segment {
    pub(super) sector: u64,
    pub(super) sectors: u32,
    /// Bit 0 for zeros: they may be unmapped.
    pub(super) flags: u32,
}
