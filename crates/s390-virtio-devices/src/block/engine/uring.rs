// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! io_uring: the kernel moves data between a raw file and guest memory while the event loop goes
//! on. What io_uring is not made for goes to threads.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::Poll;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use vmm_sys_util::eventfd::EventFd;

use super::{Completion, Engine, Operation, ThreadPool, MAX_IN_FLIGHT};
use crate::block::raw_file::{self, RawFile};
use crate::block::BlockBackend;
use crate::buffers::vectors;

/// An io_uring for a raw file.
pub struct IoUring {
    ring: io_uring::IoUring,
    event: EventFd,
    fd: RawFd,
    backend: Arc<dyn BlockBackend>,
    /// What log lines call the device.
    name: String,
    /// What is in the kernel, by tag.
    transfers: Vec<Option<Transfer>>,
    in_flight: usize,
    /// Nobody is interested any more: what is done in part is not gone on with.
    cancelled: bool,
    completions: Vec<Completion>,
    /// For the rest; made when it is needed.
    threads: Option<ThreadPool>,
}

/// An operation that the kernel works on. The kernel reads `vectors` and what they point to: both
/// stay where they are until its completion was seen.
struct Transfer {
    operation: Operation,
    vectors: Vec<libc::iovec>,
    /// Vectors that are done.
    done: usize,
    offset: u64,
}

// SAFETY: the vectors point into the operation's buffers, which may be sent.
unsafe impl Send for Transfer {}

impl fmt::Debug for IoUring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoUring")
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl IoUring {
    /// An engine for `backend`, which must be a raw file.
    ///
    /// # Errors
    ///
    /// The backend is none, or the host has no io_uring.
    pub fn new(backend: Arc<dyn BlockBackend>) -> io::Result<Self> {
        let fd = backend
            .as_raw_file()
            .map(RawFile::as_raw_fd)
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "not a raw image"))?;
        let ring = io_uring::IoUring::new(MAX_IN_FLIGHT.into())?;
        let event = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        Ok(IoUring {
            ring,
            event,
            fd,
            backend,
            name: "block".to_owned(),
            transfers: (0..MAX_IN_FLIGHT).map(|_| None).collect(),
            in_flight: 0,
            cancelled: false,
            completions: Vec::new(),
            threads: None,
        })
    }

    fn threads(&mut self) -> io::Result<&mut ThreadPool> {
        if self.threads.is_none() {
            let event = self.event.try_clone()?;
            self.threads = Some(ThreadPool::with_event(self.backend.clone(), event)?);
        }
        self.threads
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Puts what is left of a transfer into the submission queue.
    fn push(&mut self, tag: u16) {
        let fd = types::Fd(self.fd);
        let Some(Some(transfer)) = self.transfers.get(usize::from(tag)) else {
            return;
        };
        let vectors = transfer.rest();
        let (first, count) = (vectors.as_ptr(), vectors.len() as u32);
        let entry = match &transfer.operation {
            Operation::Read { .. } => opcode::Readv::new(fd, first, count)
                .offset(transfer.offset)
                .build(),
            Operation::Write { durable, .. } => opcode::Writev::new(fd, first, count)
                .offset(transfer.offset)
                .rw_flags(if *durable { libc::RWF_DSYNC } else { 0 })
                .build(),
            _ => opcode::Fsync::new(fd)
                .flags(types::FsyncFlags::DATASYNC)
                .build(),
        };
        self.push_entry(&entry.user_data(tag.into()));
    }

    fn push_entry(&mut self, entry: &Entry) {
        // SAFETY: the entry's vectors, and the guest memory that they point to, are owned by
        // `transfers` until the completion was seen; dropping this waits for it.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            // The queue has a place for every tag: the kernel has not taken what is there.
            self.enter(0);
        }
    }

    /// Tells the kernel of what was pushed, and waits for so many completions.
    fn enter(&mut self, wait: usize) {
        match self.ring.submit_and_wait(wait) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // No resources now (EAGAIN, EBUSY): it stays in the queue for the next time,
                // which has to come.
                log::debug!("{}: io_uring: {error}", self.name);
                let _ = self.event.write(1);
                if wait > 0 {
                    std::thread::yield_now();
                }
            }
        }
    }

    fn next_entry(&mut self) -> Option<io_uring::cqueue::Entry> {
        self.ring.completion().next()
    }

    /// Takes what the kernel has done.
    fn reap(&mut self) {
        let mut again = false;
        while let Some(entry) = self.next_entry() {
            let tag = entry.user_data() as u16;
            let slot = self.transfers.get_mut(usize::from(tag));
            let Some(transfer) = slot.and_then(Option::as_mut) else {
                continue;
            };
            match transfer.step(entry.result()) {
                Poll::Pending if !self.cancelled => {
                    self.push(tag);
                    again = true;
                }
                step => {
                    let result = match step {
                        Poll::Ready(result) => result,
                        Poll::Pending => Err(io::ErrorKind::Interrupted.into()),
                    };
                    self.transfers[usize::from(tag)] = None;
                    self.in_flight -= 1;
                    self.completions.push(Completion { tag, result });
                }
            }
        }
        if again {
            self.enter(0);
        }
    }
}

impl Transfer {
    /// Vectors that are not done, or only in part.
    fn rest(&self) -> &[libc::iovec] {
        &self.vectors[self.done..]
    }

    /// The kernel has done a part: it is done, or there is more.
    fn step(&mut self, result: i32) -> Poll<io::Result<()>> {
        let moved = match usize::try_from(result) {
            Ok(moved) => moved,
            Err(_) => match io::Error::from_raw_os_error(-result) {
                error if error.kind() == io::ErrorKind::Interrupted => return Poll::Pending,
                error if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                error => return Poll::Ready(Err(error)),
            },
        };
        if self.vectors.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if moved == 0 {
            return Poll::Ready(Err(match self.operation {
                Operation::Read { .. } => io::ErrorKind::UnexpectedEof.into(),
                _ => io::ErrorKind::WriteZero.into(),
            }));
        }
        self.offset += moved as u64;
        let rest = raw_file::advance(&mut self.vectors[self.done..], moved).len();
        self.done = self.vectors.len() - rest;
        match rest {
            0 => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

impl Engine for IoUring {
    fn submit(&mut self, tag: u16, operation: Operation) -> Poll<io::Result<()>> {
        let file = self.backend.as_raw_file();
        let suits = |data: &super::Buffers| file.is_some_and(|file| file.suits(data.slices()));
        let (vectors, offset) = match &operation {
            Operation::Read { data, offset } | Operation::Write { data, offset, .. }
                if suits(data) =>
            {
                (vectors(data.slices()), *offset)
            }
            Operation::Flush => (Vec::new(), 0),
            _ => {
                return match self.threads() {
                    Ok(threads) => threads.submit(tag, operation),
                    Err(error) => Poll::Ready(Err(error)),
                };
            }
        };
        let Some(slot) = self.transfers.get_mut(usize::from(tag)) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        *slot = Some(Transfer {
            operation,
            vectors,
            done: 0,
            offset,
        });
        self.in_flight += 1;
        self.push(tag);
        Poll::Pending
    }

    fn start(&mut self) {
        if !self.ring.submission().is_empty() {
            self.enter(0);
        }
        if let Some(threads) = &mut self.threads {
            threads.start();
        }
    }

    fn next_completion(&mut self) -> Option<Completion> {
        if self.completions.is_empty() {
            self.reap();
        }
        let threads = self.threads.as_mut();
        self.completions
            .pop()
            .or_else(|| threads.and_then(Engine::next_completion))
    }

    fn wait(&mut self) {
        self.reap();
        while self.in_flight > 0 {
            self.enter(1);
            self.reap();
        }
        if let Some(threads) = &mut self.threads {
            threads.wait();
        }
    }

    fn cancel(&mut self) {
        if let Some(threads) = &mut self.threads {
            threads.cancel();
        }
        self.cancelled = true;
        self.start();
        if self.in_flight > 0 {
            // What the kernel cannot stop is waited for: everything, before Linux 6.0.
            let any = types::CancelBuilder::any();
            let _ = self.ring.submitter().register_sync_cancel(None, any);
        }
        self.wait();
        self.completions.clear();
        self.cancelled = false;
    }

    fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    fn event(&self) -> Option<&EventFd> {
        Some(&self.event)
    }
}

impl Drop for IoUring {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::buffers;
    use super::*;
    use crate::test_utils::memory;

    #[test]
    fn what_the_kernel_has_not_done_is_left() {
        let data = buffers(&memory(), &[(0, 100), (0x1000, 200)]);
        let vectors = vectors(data.slices());
        let start = vectors[1].iov_base as usize;
        let mut transfer = Transfer {
            operation: Operation::Read { data, offset: 512 },
            vectors,
            done: 0,
            offset: 512,
        };
        // Interrupted, or short of resources.
        for error in [libc::EINTR, libc::EAGAIN] {
            assert!(transfer.step(-error).is_pending());
            assert_eq!((transfer.rest().len(), transfer.offset), (2, 512));
        }
        assert!(transfer.step(150).is_pending());
        assert_eq!(transfer.offset, 662);
        let rest = transfer.rest();
        assert_eq!(rest.len(), 1);
        assert_eq!(
            (rest[0].iov_base as usize, rest[0].iov_len),
            (start + 50, 150)
        );
        assert!(matches!(transfer.step(150), Poll::Ready(Ok(()))));
        let Poll::Ready(Err(error)) = transfer.step(-libc::EIO) else {
            panic!("no error");
        };
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    }
}
