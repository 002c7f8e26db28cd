// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How requests are carried out: at once, by threads, or by io_uring.

mod bounded;
mod inline;
#[cfg(test)]
mod tests;
mod threads;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod uring;

use std::io;
use std::sync::Arc;
use std::task::Poll;

use vmm_sys_util::eventfd::EventFd;

use super::backend::BlockBackend;
use crate::buffers::Buffers;
pub(super) use bounded::Bounded;
pub use inline::Inline;
pub use threads::ThreadPool;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub use uring::IoUring;

/// A range of a disk, in bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where it starts.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// For zeros: whether the storage may be given up.
    pub unmap: bool,
}

/// What an engine does. Ranges are inside the disk.
#[derive(Debug)]
pub enum Operation {
    /// Fills the buffers from `offset` on.
    Read {
        /// Where to.
        data: Buffers,
        /// Byte offset in the disk.
        offset: u64,
    },
    /// Stores the buffers from `offset` on.
    Write {
        /// Where from.
        data: Buffers,
        /// Byte offset in the disk.
        offset: u64,
        /// Whether the data has to be durable when the operation is done.
        durable: bool,
    },
    /// Makes durable what was done before.
    Flush,
    /// Gives ranges up.
    Discard(Vec<Range>),
    /// Makes ranges zeros.
    WriteZeroes {
        /// Which ones.
        ranges: Vec<Range>,
        /// Whether they have to be durable when the operation is done.
        durable: bool,
    },
}

impl Operation {
    /// Does it, now and in this thread.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn execute(&self, backend: &dyn BlockBackend) -> io::Result<()> {
        match self {
            Operation::Read { data, offset } => backend.read(data.slices(), *offset),
            Operation::Write {
                data,
                offset,
                durable,
            } => {
                backend.write(data.slices(), *offset)?;
                flush_if(*durable, backend)
            }
            Operation::Flush => backend.flush(),
            Operation::Discard(ranges) => ranges
                .iter()
                .try_for_each(|range| backend.discard(range.offset, range.len)),
            Operation::WriteZeroes { ranges, durable } => {
                for range in ranges {
                    backend.write_zeroes(range.offset, range.len, range.unmap)?;
                }
                flush_if(*durable, backend)
            }
        }
    }
}

impl Operation {
    /// Whether what it or earlier ones wrote is durable when it is done.
    pub(super) fn is_durable(&self) -> bool {
        match self {
            Operation::Read { .. } | Operation::Discard(_) => false,
            Operation::Flush => true,
            Operation::Write { durable, .. } | Operation::WriteZeroes { durable, .. } => *durable,
        }
    }

    /// Bytes that it moves.
    fn bytes(&self) -> u64 {
        match self {
            Operation::Read { data, .. } | Operation::Write { data, .. } => data.len() as u64,
            Operation::Flush | Operation::Discard(_) => 0,
            Operation::WriteZeroes { ranges, .. } => ranges.iter().map(|range| range.len).sum(),
        }
    }

    /// Leaves no more than `piece` bytes, or one range, and returns what was cut off. Cuts are at
    /// multiples of `piece` on the disk.
    fn split_off(&mut self, piece: u64) -> Option<Operation> {
        match self {
            Operation::Read { data, offset } => {
                let (data, offset) = split_data(data, *offset, piece)?;
                Some(Operation::Read { data, offset })
            }
            Operation::Write {
                data,
                offset,
                durable,
            } => {
                let (data, offset) = split_data(data, *offset, piece)?;
                let durable = *durable;
                Some(Operation::Write {
                    data,
                    offset,
                    durable,
                })
            }
            Operation::Flush => None,
            Operation::Discard(ranges) => split_ranges(ranges, u64::MAX).map(Operation::Discard),
            Operation::WriteZeroes { ranges, durable } => {
                let durable = *durable;
                split_ranges(ranges, piece).map(|ranges| Operation::WriteZeroes { ranges, durable })
            }
        }
    }
}

fn split_data(data: &mut Buffers, offset: u64, piece: u64) -> Option<(Buffers, u64)> {
    if data.len() as u64 <= piece {
        return None;
    }
    let head = piece - offset % piece;
    Some((data.split_off(head as usize), offset + head))
}

fn split_ranges(ranges: &mut Vec<Range>, piece: u64) -> Option<Vec<Range>> {
    let first = ranges.first_mut()?;
    let whole = *first;
    if whole.len > piece {
        first.len = piece - whole.offset % piece;
        let mut rest = ranges.split_off(1);
        let done = ranges[0].len;
        rest.insert(
            0,
            Range {
                offset: whole.offset + done,
                len: whole.len - done,
                ..whole
            },
        );
        return Some(rest);
    }
    (ranges.len() > 1).then(|| ranges.split_off(1))
}

fn flush_if(durable: bool, backend: &dyn BlockBackend) -> io::Result<()> {
    match durable {
        true => backend.flush(),
        false => Ok(()),
    }
}

/// An operation that is done.
#[derive(Debug)]
pub struct Completion {
    /// The tag that it was submitted with.
    pub tag: u16,
    /// How it ended.
    pub result: io::Result<()>,
}

/// Carries out operations, several at a time and in any order.
///
/// An engine that is dropped waits for what is in flight: nothing writes guest memory afterwards.
pub trait Engine: Send {
    /// Begins an operation, or does it. The caller chooses tags below
    /// [`MAX_IN_FLIGHT`] so that no two operations in flight have the same.
    fn submit(&mut self, tag: u16, operation: Operation) -> Poll<io::Result<()>>;

    /// Hands the host what was submitted: until this is called, nothing has to happen.
    fn start(&mut self);

    /// The next operation that is done.
    fn next_completion(&mut self) -> Option<Completion>;

    /// Waits until nothing is in flight. Completions stay to be fetched.
    fn wait(&mut self);

    /// Like [`wait`](Self::wait), for a caller who is not interested any more: what has not begun
    /// need not be done, and there are no completions.
    fn cancel(&mut self) {
        self.wait();
        while self.next_completion().is_some() {}
    }

    /// What log lines shall call the device whose engine this is.
    fn set_name(&mut self, name: &str) {
        let _ = name;
    }

    /// Readable when there are completions; none if every operation is done when it is submitted.
    fn event(&self) -> Option<&EventFd> {
        None
    }
}

/// Operations in flight of one engine.
pub const MAX_IN_FLIGHT: u16 = 128;

/// Which engine.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// io_uring for raw files if the host has it, otherwise threads.
    #[default]
    Auto,
    /// io_uring.
    IoUring,
    /// A pool of threads.
    Threads,
    /// One operation after the other, in the thread of the event loop.
    Inline,
}

impl EngineKind {
    /// An engine for `backend`.
    ///
    /// # Errors
    ///
    /// The host cannot do it.
    pub fn create(self, backend: Arc<dyn BlockBackend>) -> io::Result<Box<dyn Engine>> {
        self.create_or_fall_back(backend).map(|(engine, _)| engine)
    }

    /// The same, and why it is not the best that [`Auto`](Self::Auto) may be.
    pub(super) fn create_or_fall_back(
        self,
        backend: Arc<dyn BlockBackend>,
    ) -> io::Result<(Box<dyn Engine>, Option<io::Error>)> {
        let engine = match self {
            EngineKind::Auto => match io_uring(backend.clone()) {
                Ok(engine) => engine,
                Err(error) => return Ok((Box::new(ThreadPool::new(backend)?), Some(error))),
            },
            EngineKind::IoUring => io_uring(backend)?,
            EngineKind::Threads => Box::new(ThreadPool::new(backend)?),
            EngineKind::Inline => Box::new(Inline::new(backend)),
        };
        Ok((engine, None))
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn io_uring(backend: Arc<dyn BlockBackend>) -> io::Result<Box<dyn Engine>> {
    Ok(Box::new(IoUring::new(backend)?))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn io_uring(_: Arc<dyn BlockBackend>) -> io::Result<Box<dyn Engine>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "io_uring is not used on this architecture",
    ))
}
