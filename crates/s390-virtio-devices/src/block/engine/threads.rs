// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pool of threads, each of which does one operation at a time: for image formats, and for hosts
//! without io_uring.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;

use vmm_sys_util::eventfd::EventFd;

use super::{Completion, Engine, Operation};
use crate::block::BlockBackend;

/// Threads of a pool: enough to keep a disk busy, and few enough to have one pool for each.
const THREADS: usize = 4;

/// A pool of threads.
pub struct ThreadPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    backend: Arc<dyn BlockBackend>,
    state: Mutex<State>,
    /// There is work, or none will come.
    work: Condvar,
    /// An operation is done.
    done: Condvar,
    event: EventFd,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(u16, Operation)>,
    running: usize,
    completions: VecDeque<Completion>,
    stop: bool,
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
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
        let mut pool = ThreadPool {
            shared: Arc::new(Shared {
                backend,
                state: Mutex::default(),
                work: Condvar::new(),
                done: Condvar::new(),
                event,
            }),
            threads: Vec::with_capacity(THREADS),
        };
        for _ in 0..THREADS {
            let shared = pool.shared.clone();
            let thread = std::thread::Builder::new()
                .name("block".into())
                .spawn(move || shared.work())?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.stop {
            let Some((tag, operation)) = state.queue.pop_front() else {
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.running += 1;
            drop(state);
            let result = self.execute(&operation);
            drop(operation);
            state = self.lock();
            state.running -= 1;
            state.completions.push_back(Completion { tag, result });
            self.done.notify_all();
            // Only a counter that is full fails, and then the event is set anyway.
            let _ = self.event.write(1);
        }
    }

    /// A backend that panics is a bug, but the guest's request must not stay in flight for ever.
    fn execute(&self, operation: &Operation) -> io::Result<()> {
        let execute = || operation.execute(&*self.backend);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(execute))
            .unwrap_or_else(|_| Err(io::Error::other("the storage's code panicked")))
    }
}

impl Engine for ThreadPool {
    fn submit(&mut self, tag: u16, operation: Operation) -> Poll<io::Result<()>> {
        self.shared.lock().queue.push_back((tag, operation));
        self.shared.work.notify_one();
        Poll::Pending
    }

    fn start(&mut self) {}

    fn next_completion(&mut self) -> Option<Completion> {
        self.shared.lock().completions.pop_front()
    }

    fn wait(&mut self) {
        let state = self.shared.lock();
        let busy = |state: &mut State| state.running > 0 || !state.queue.is_empty();
        let state = self.shared.done.wait_while(state, busy);
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }

    fn cancel(&mut self) {
        self.shared.lock().queue.clear();
        self.wait();
        self.shared.lock().completions.clear();
    }

    fn event(&self) -> Option<&EventFd> {
        Some(&self.shared.event)
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.queue.clear();
            state.stop = true;
        }
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // It catches panics itself.
            let _ = thread.join();
        }
    }
}
