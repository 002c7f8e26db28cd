// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Lets a server answer messages, in threads or at once, and keeps the order that 9P asks for.

use std::fmt;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use vmm_sys_util::eventfd::EventFd;

use super::server::{put_error, Answered, FileServer, Header, Kind, HEADER_LEN};
use crate::buffers::Buffers;
use crate::pool::Pool;

/// A message on its way through the server.
struct Job {
    header: Header,
    request: Buffers,
    reply: Buffers,
    flight: Flight,
}

/// A server and the threads that it works in.
pub struct Engine {
    server: Arc<dyn FileServer>,
    flights: Arc<Flights>,
    /// None if messages are answered when they are submitted.
    pool: Option<Pool<Job, Answered>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for `server` with so many threads; with none, it answers in that of its caller.
    ///
    /// # Errors
    ///
    /// The host has no thread or file descriptor left.
    pub fn new(server: Arc<dyn FileServer>, threads: usize) -> io::Result<Self> {
        let pool = match threads {
            0 => None,
            _ => {
                let event = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?;
                let server = server.clone();
                let work = move |job: &Job| answer(&*server, job);
                Some(Pool::new("9p", threads, event, work)?)
            }
        };
        Ok(Engine {
            server,
            flights: Arc::default(),
            pool,
        })
    }

    /// Begins to answer a message, or does it. The result has the same `slot`.
    pub(super) fn submit(
        &self,
        slot: u16,
        header: Header,
        request: Buffers,
        reply: Buffers,
    ) -> Poll<Answered> {
        let job = Job {
            header,
            request,
            reply,
            flight: Flights::begin(&self.flights, header.tag),
        };
        match &self.pool {
            None => Poll::Ready(answer(&*self.server, &job)),
            Some(pool) => {
                pool.submit(slot, job);
                Poll::Pending
            }
        }
    }

    /// The next answer, with the slot of its message.
    pub(super) fn next_answer(&self) -> Option<(u16, Answered)> {
        self.pool.as_ref()?.next_result()
    }

    /// Waits until all messages are answered.
    pub(super) fn wait(&self) {
        if let Some(pool) = &self.pool {
            pool.wait();
        }
    }

    /// Gives up what has not begun, waits for the rest, and lets the server forget its client.
    pub(super) fn reset(&self) {
        if let Some(pool) = &self.pool {
            pool.cancel();
        }
        self.server.reset();
    }

    /// Readable when there are answers.
    pub(super) fn event(&self) -> Option<&EventFd> {
        self.pool.as_ref().map(Pool::event)
    }
}

fn answer(server: &dyn FileServer, job: &Job) -> Answered {
    let Job {
        header,
        request,
        reply,
        flight,
    } = job;
    match Kind::of(header.number) {
        // The answer to a Tflush comes after that to the request which it is about.
        Some(Kind::Flush) => {
            let mut tag = [0; 2];
            request.read(HEADER_LEN, &mut tag);
            let tag = u16::from_le_bytes(tag);
            flight.wait_for_earlier(|earlier| earlier == tag);
        }
        // A new session begins when the old one has come to rest.
        Some(Kind::Version) => flight.wait_for_earlier(|_| true),
        _ => {}
    }
    // A server that panics is a bug, but the request must not stay in flight for ever.
    catch_unwind(AssertUnwindSafe(|| server.answer(*header, request, reply)))
        .unwrap_or_else(|_| put_error(*header, libc::EIO, reply))
}

/// The messages that are in flight, each with its number, which grows, and its tag.
#[derive(Debug, Default)]
struct Flights {
    list: Mutex<(u64, Vec<(u64, u16)>)>,
    landed: Condvar,
}

/// A message's entry there. It ends when the answer has its place among the results.
#[derive(Debug)]
struct Flight {
    flights: Arc<Flights>,
    number: u64,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, (u64, Vec<(u64, u16)>)> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(this: &Arc<Self>, tag: u16) -> Flight {
        let mut list = this.lock();
        list.0 += 1;
        let number = list.0;
        list.1.push((number, tag));
        Flight {
            flights: this.clone(),
            number,
        }
    }
}

impl Flight {
    /// Waits for the earlier messages with such tags. They have threads by now, since jobs begin
    /// in their order, and wait for none but still earlier ones.
    fn wait_for_earlier(&self, is: impl Fn(u16) -> bool) {
        let list = self.flights.lock();
        let waits = |list: &mut (u64, Vec<(u64, u16)>)| {
            let mut earlier = list.1.iter().filter(|(number, _)| *number < self.number);
            earlier.any(|(_, tag)| is(*tag))
        };
        let list = self.flights.landed.wait_while(list, waits);
        drop(list.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights
            .lock()
            .1
            .retain(|(number, _)| *number != self.number);
        self.flights.landed.notify_all();
    }
}
