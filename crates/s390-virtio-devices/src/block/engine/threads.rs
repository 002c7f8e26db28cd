// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pool of threads, each of which does one operation at a time: for image formats, and for hosts
//! without io_uring.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::task::Poll;

use vmm_sys_util::eventfd::EventFd;

use super::{Completion, Engine, Operation};
use crate::block::BlockBackend;
use crate::pool::Pool;

/// Threads of a pool: enough to keep a disk busy, and few enough to have one pool for each.
const THREADS: usize = 4;

/// A pool of threads.
#[derive(Debug)]
pub struct ThreadPool {
    pool: Pool<Operation, io::Result<()>>,
    /// What was submitted and not started.
    submitted: Vec<(u16, Operation)>,
}

impl ThreadPool {
    /// A pool for `backend`.
    ///
    /// # Errors
    ///
    /// The host has no thread or file descriptor left.
    pub fn new(backend: Arc<dyn BlockBackend>) -> io::Result<Self> {
        let event = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?;
        Self::with_event(backend, event)
    }

    /// A pool that shares `event` with its owner.
    pub(super) fn with_event(backend: Arc<dyn BlockBackend>, event: EventFd) -> io::Result<Self> {
        let work = move |operation: &Operation| execute(operation, &*backend);
        Ok(ThreadPool {
            pool: Pool::new("block", THREADS, event, work)?,
            submitted: Vec::new(),
        })
    }
}

/// A backend that panics is a bug, but the guest's request must not stay in flight for ever.
fn execute(operation: &Operation, backend: &dyn BlockBackend) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(|| operation.execute(backend)))
        .unwrap_or_else(|_| Err(io::Error::other("the storage's code panicked")))
}

impl Engine for ThreadPool {
    fn submit(&mut self, tag: u16, operation: Operation) -> Poll<io::Result<()>> {
        self.submitted.push((tag, operation));
        Poll::Pending
    }

    fn start(&mut self) {
        self.pool.submit_all(&mut self.submitted);
    }

    fn next_completion(&mut self) -> Option<Completion> {
        let (tag, result) = self.pool.next_result()?;
        Some(Completion { tag, result })
    }

    fn wait(&mut self) {
        self.start();
        self.pool.wait();
    }

    fn cancel(&mut self) {
        self.submitted.clear();
        self.pool.cancel();
    }

    fn event(&self) -> Option<&EventFd> {
        Some(self.pool.event())
    }
}
