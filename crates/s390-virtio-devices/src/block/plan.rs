// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What becomes of a request: an answer, or an operation for the engine.

use std::any::Any;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};
use vm_memory::bitmap::BitmapSlice;
use vm_memory::VolatileSlice;

use super::backend::SECTOR_SIZE;
use super::disk::Disk;
use super::engine::{Operation, Range};
use super::request::{
    Kind, Request, Segment, ID_BYTES, MAX_DISCARD_SECTORS, MAX_DISCARD_SEGMENTS,
    MAX_ZEROES_SECTORS, MAX_ZEROES_SEGMENTS,
};
use crate::buffers::Buffers;
use crate::Transport;

/// What becomes of a request.
pub(super) enum Plan {
    /// It is answered at once.
    Answer(u32),
    /// It is for the engine.
    Start(Operation, Job),
}

/// What there is to know when a request is done.
#[derive(Copy, Clone)]
pub(super) struct Job {
    pub(super) action: Action,
    pub(super) sector: u64,
    /// Bytes of data.
    pub(super) bytes: usize,
}

#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    Write,
    Flush,
    Discard,
    WriteZeroes,
}

/// For the log.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Read => "read",
            Action::Write => "write",
            Action::Flush => return f.write_str("flush"),
            Action::Discard => "discard",
            Action::WriteZeroes => "write-zeroes",
        };
        write!(f, "{action} at sector {}", self.sector)
    }
}

/// Decides what to do with a request. One that is malformed as a request of its kind, but whose
/// status can be told, is answered.
pub(super) fn plan<T: Transport>(
    request: &mut Request<'_, T::Memory>,
    keeper: Arc<dyn Any + Send + Sync>,
    disk: &Disk,
    durable: bool,
) -> Plan {
    let size = disk.backend.size();
    let read_only = disk.backend.is_read_only();
    let job = |action, sector, bytes| Job {
        action,
        sector,
        bytes,
    };
    match request.kind {
        Kind::In(sector) => {
            let bytes = request.in_data.available_bytes();
            let Some(offset) = offset(sector, bytes as u64, size) else {
                return Plan::Answer(VIRTIO_BLK_S_IOERR);
            };
            let data = buffers(request.in_data.slices(), keeper);
            Plan::Start(
                Operation::Read { data, offset },
                job(Action::Read, sector, bytes),
            )
        }
        Kind::Out(sector) => {
            let bytes = request.out_data.available_bytes();
            let Some(offset) = offset(sector, bytes as u64, size).filter(|_| !read_only) else {
                return Plan::Answer(VIRTIO_BLK_S_IOERR);
            };
            let data = buffers(request.out_data.slices(), keeper);
            let operation = Operation::Write {
                data,
                offset,
                durable,
            };
            Plan::Start(operation, job(Action::Write, sector, bytes))
        }
        Kind::Flush => Plan::Start(Operation::Flush, job(Action::Flush, 0, 0)),
        Kind::GetId => {
            let mut id = [0; ID_BYTES];
            let serial = disk.backend.serial().as_bytes();
            let len = serial.len().min(ID_BYTES);
            id[..len].copy_from_slice(&serial[..len]);
            let room = request.in_data.available_bytes().min(ID_BYTES);
            match request.in_data.write_all(&id[..room]) {
                Ok(()) => Plan::Answer(VIRTIO_BLK_S_OK),
                Err(_) => Plan::Answer(VIRTIO_BLK_S_IOERR),
            }
        }
        Kind::Discard => {
            let Some(segments) = request.segments(MAX_DISCARD_SEGMENTS) else {
                return Plan::Answer(VIRTIO_BLK_S_IOERR);
            };
            match ranges(&segments, MAX_DISCARD_SECTORS, 0, size, read_only) {
                Ok(ranges) => Plan::Start(
                    Operation::Discard(ranges),
                    job(Action::Discard, segments[0].sector, 0),
                ),
                Err(status) => Plan::Answer(status),
            }
        }
        Kind::WriteZeroes => {
            let Some(segments) = request.segments(MAX_ZEROES_SEGMENTS) else {
                return Plan::Answer(VIRTIO_BLK_S_IOERR);
            };
            let flags = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
            match ranges(&segments, MAX_ZEROES_SECTORS, flags, size, read_only) {
                Ok(ranges) => {
                    let bytes = ranges.iter().map(|range| range.len as usize).sum();
                    Plan::Start(
                        Operation::WriteZeroes { ranges, durable },
                        job(Action::WriteZeroes, segments[0].sector, bytes),
                    )
                }
                Err(status) => Plan::Answer(status),
            }
        }
        Kind::Unsupported(_) => Plan::Answer(VIRTIO_BLK_S_UNSUPP),
    }
}

/// Byte offset of a transfer, if it is one of whole sectors inside the disk.
fn offset(sector: u64, bytes: u64, size: u64) -> Option<u64> {
    let offset = sector.checked_mul(SECTOR_SIZE)?;
    let end = offset.checked_add(bytes)?;
    (bytes % SECTOR_SIZE == 0 && end <= size).then_some(offset)
}

/// The ranges of `segments`, none longer than `max` sectors or with other flags than `flags`; or
/// the status of a request that has such.
fn ranges(
    segments: &[Segment],
    max: u32,
    flags: u32,
    size: u64,
    read_only: bool,
) -> Result<Vec<Range>, u32> {
    if read_only {
        return Err(VIRTIO_BLK_S_IOERR);
    }
    let range = |segment: &Segment| {
        if segment.flags & !flags != 0 {
            return Err(VIRTIO_BLK_S_UNSUPP);
        }
        let len = u64::from(segment.sectors) * SECTOR_SIZE;
        match offset(segment.sector, len, size) {
            Some(offset) if (1..=max).contains(&segment.sectors) => Ok(Range {
                offset,
                len,
                unmap: segment.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0,
            }),
            _ => Err(VIRTIO_BLK_S_IOERR),
        }
    };
    segments.iter().map(range).collect()
}

/// Guest memory for an operation in flight.
fn buffers<B: BitmapSlice>(
    slices: &[VolatileSlice<'_, B>],
    keeper: Arc<dyn Any + Send + Sync>,
) -> Buffers {
    // SAFETY: the callers' slices are of the guest memory that `keeper` is, whose regions stay
    // where they are as long as it lives.
    unsafe { Buffers::new(slices, keeper) }
}
