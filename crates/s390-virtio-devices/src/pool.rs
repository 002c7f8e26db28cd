// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pool of threads, each of which does one job at a time, and an event that tells of results.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use vmm_sys_util::eventfd::EventFd;

/// Threads that turn jobs `J` into results `R`. Jobs begin in the order in which they come.
///
/// A pool that is dropped waits for the jobs that have begun.
pub(crate) struct Pool<J, R> {
    shared: Arc<Shared<J, R>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<J, R> {
    /// Must not panic: its job would stay in flight for ever.
    work: Box<dyn Fn(&J) -> R + Send + Sync>,
    state: Mutex<State<J, R>>,
    /// There is a job, or none will come.
    begin: Condvar,
    /// A job is done.
    done: Condvar,
    event: EventFd,
}

struct State<J, R> {
    queue: VecDeque<(u16, J)>,
    running: usize,
    results: VecDeque<(u16, R)>,
    stop: bool,
}

impl<J, R> fmt::Debug for Pool<J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

impl<J: Send + 'static, R: Send + 'static> Pool<J, R> {
    /// So many threads called `name`, which do `work` and write `event` after each job.
    pub(crate) fn new(
        name: &str,
        threads: usize,
        event: EventFd,
        work: impl Fn(&J) -> R + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let mut pool = Pool {
            shared: Arc::new(Shared {
                work: Box::new(work),
                state: Mutex::new(State {
                    queue: VecDeque::new(),
                    running: 0,
                    results: VecDeque::new(),
                    stop: false,
                }),
                begin: Condvar::new(),
                done: Condvar::new(),
                event,
            }),
            threads: Vec::with_capacity(threads),
        };
        for _ in 0..threads {
            let shared = pool.shared.clone();
            let thread = std::thread::Builder::new()
                .name(name.into())
                .spawn(move || shared.run())?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }
}

impl<J, R> Pool<J, R> {
    /// Hands over a job; its result will have the same tag.
    pub(crate) fn submit(&self, tag: u16, job: J) {
        self.shared.lock().queue.push_back((tag, job));
        self.shared.begin.notify_one();
    }

    /// Hands over several jobs at once, and leaves `jobs` empty.
    pub(crate) fn submit_all(&self, jobs: &mut Vec<(u16, J)>) {
        let wanted = jobs.len().min(self.threads.len());
        if wanted > 0 {
            self.shared.lock().queue.extend(jobs.drain(..));
        }
        for _ in 0..wanted {
            self.shared.begin.notify_one();
        }
    }

    /// The next result, with the tag of its job.
    pub(crate) fn next_result(&self) -> Option<(u16, R)> {
        self.shared.lock().results.pop_front()
    }

    /// Waits until every job is done. Results stay to be fetched.
    pub(crate) fn wait(&self) {
        let state = self.shared.lock();
        let busy = |state: &mut State<J, R>| state.running > 0 || !state.queue.is_empty();
        let state = self.shared.done.wait_while(state, busy);
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }

    /// Gives up what has not begun, waits for the rest, and forgets the results.
    pub(crate) fn cancel(&self) {
        self.shared.lock().queue.clear();
        self.wait();
        self.shared.lock().results.clear();
    }

    /// Readable when there are results.
    pub(crate) fn event(&self) -> &EventFd {
        &self.shared.event
    }
}

impl<J, R> Shared<J, R> {
    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.stop {
            let Some((tag, job)) = state.queue.pop_front() else {
                state = self
                    .begin
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.running += 1;
            drop(state);
            let result = (self.work)(&job);
            state = self.lock();
            state.results.push_back((tag, result));
            // Whoever waits for the job finds its result.
            drop(job);
            state.running -= 1;
            self.done.notify_all();
            // Only a counter that is full fails, and then the event is set anyway.
            let _ = self.event.write(1);
        }
    }
}

impl<J, R> Drop for Pool<J, R> {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.begin.notify_all();
        for thread in self.threads.drain(..) {
            // It has nothing that panics.
            let _ = thread.join();
        }
    }
}
