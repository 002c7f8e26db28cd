// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Output on its way out: a buffer, and a thread that alone waits for whoever reads it.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::{Error, Result};

/// Bytes that may wait.
const CAPACITY: usize = 64 << 10;
/// Bytes that are written at a time.
const PIECE: usize = 4096;
/// A reader that takes nothing for so long at the end of a run is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way into the buffer. Clones are the same way.
#[derive(Clone)]
pub(crate) struct Output(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Somebody has given more than there was room for.
    overdrawn: AtomicBool,
    /// There is room again for somebody who was refused.
    room: EventFd,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<u8>,
    /// Bytes that the thread is writing.
    writing: usize,
    /// Pieces that it has written.
    written: u64,
    refused: bool,
    error: Option<io::Error>,
    /// Nothing more will come.
    closed: bool,
    /// The thread has ended.
    done: bool,
}

impl State {
    fn len(&self) -> usize {
        self.waiting.len() + self.writing
    }
}

impl Output {
    /// Takes as many of `bytes` as there is room for, and returns how many. After less than all,
    /// [`room`](Self::room) says when to try again.
    pub(crate) fn offer(&self, bytes: &[u8]) -> usize {
        let mut state = self.0.lock();
        let taken = bytes.len().min(CAPACITY.saturating_sub(state.len()));
        state.refused |= taken < bytes.len();
        state.waiting.extend(&bytes[..taken]);
        self.0.changed.notify_all();
        taken
    }

    /// Takes all of `bytes`, for somebody who then waits with
    /// [`wait_for_room`](Self::wait_for_room) before there are more.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        state.waiting.extend(bytes);
        let overdrawn = state.len() > CAPACITY;
        self.0.overdrawn.store(overdrawn, Ordering::Relaxed);
        self.0.changed.notify_all();
    }

    /// Waits until there is room, but no longer than this; returns whether there is.
    pub(crate) fn wait_for_room(&self, timeout: Duration) -> bool {
        let overdrawn = |_: &mut State| self.0.overdrawn.load(Ordering::Relaxed);
        if self.0.overdrawn.load(Ordering::Relaxed) {
            let state = self.0.lock();
            let changed = &self.0.changed;
            let result = changed.wait_timeout_while(state, timeout, overdrawn);
            return !result.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        }
        true
    }

    /// Readable once there is room, after some bytes were not taken.
    pub(crate) fn room(&self) -> RawFd {
        self.0.room.as_raw_fd()
    }

    /// Takes the event of [`room`](Self::room).
    pub(crate) fn take_room(&self) {
        // An empty event means that somebody else took it, which loses nothing.
        let _ = self.0.room.read();
    }

    /// What went wrong since the last call.
    pub(crate) fn error(&self) -> io::Result<()> {
        self.0.lock().error.take().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's work.
    fn write(&self, sink: &mut dyn Write) {
        let mut piece = Vec::with_capacity(PIECE);
        while self.next(&mut piece) {
            let result = sink.write_all(&piece).and_then(|()| sink.flush());
            let mut state = self.lock();
            if let Err(error) = result {
                // These bytes are lost; the guest goes on.
                log::debug!("console output: {error}");
                state.error = Some(error);
            }
            state.writing = 0;
            state.written += 1;
            if state.len() <= CAPACITY / 2 {
                self.overdrawn.store(false, Ordering::Relaxed);
                if std::mem::take(&mut state.refused) {
                    // Only a counter that is full fails, and then the event is set anyway.
                    let _ = self.room.write(1);
                }
            }
            self.changed.notify_all();
        }
        self.lock().done = true;
        self.changed.notify_all();
    }

    /// Waits for the next piece; false when there will be none.
    fn next(&self, piece: &mut Vec<u8>) -> bool {
        let nothing = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let state = self.changed.wait_while(self.lock(), nothing);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let len = state.waiting.len().min(PIECE);
        piece.clear();
        piece.extend(state.waiting.drain(..len));
        state.writing = len;
        len > 0
    }
}

/// The thread that writes. It ends when this is dropped, and has written everything then, unless
/// nobody reads it.
#[derive(Debug)]
pub(crate) struct WriterThread {
    output: Output,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    /// A thread that writes to `sink`.
    pub(crate) fn start(mut sink: impl Write + Send + 'static) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            overdrawn: AtomicBool::new(false),
            room: EventFd::new(EFD_NONBLOCK).map_err(Error::host("create an event"))?,
        });
        let output = Output(shared.clone());
        let thread = std::thread::Builder::new()
            .name("output".into())
            .spawn(move || shared.write(&mut sink))
            .map_err(Error::host("start a thread"))?;
        Ok(WriterThread {
            output,
            thread: Some(thread),
        })
    }

    /// The way to it.
    pub(crate) fn output(&self) -> Output {
        self.output.clone()
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        let shared = &self.output.0;
        let mut state = shared.lock();
        state.closed = true;
        shared.changed.notify_all();
        while !state.done {
            let written = state.written;
            let waits = |state: &mut State| !state.done && state.written == written;
            let result = shared.changed.wait_timeout_while(state, PATIENCE, waits);
            let (now, timeout) = result.unwrap_or_else(PoisonError::into_inner);
            state = now;
            if timeout.timed_out() {
                // The thread is left behind in its call, and ends with the process.
                log::warn!("{} bytes of output that nobody reads are lost", state.len());
                return;
            }
        }
        drop(state);
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, Receiver, Sender};

    use super::*;

    /// Says that it was called, and then waits for a word, or for the end of its patience.
    struct Slow {
        called: Sender<Vec<u8>>,
        go_on: Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.called.send(bytes.to_vec());
            let _ = self.go_on.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (WriterThread, Receiver<Vec<u8>>, Sender<()>) {
        let (called, calls) = channel();
        let (go, go_on) = channel();
        (
            WriterThread::start(Slow { called, go_on }).unwrap(),
            calls,
            go,
        )
    }

    fn is_set(output: &Output) -> bool {
        output.0.room.read().is_ok()
    }

    #[test]
    fn takes_what_there_is_room_for_and_says_when_there_is_more() {
        let (writer, calls, go) = slow();
        let output = writer.output();
        assert_eq!(output.offer(b"first"), 5);
        assert_eq!(calls.recv().unwrap(), b"first");
        let many: Vec<u8> = (0..CAPACITY).map(|i| i as u8).collect();
        assert_eq!(output.offer(&many), CAPACITY - 5);
        assert_eq!(output.offer(b"x"), 0);
        assert!(!is_set(&output));
        go.send(()).unwrap();
        let mut rest = Vec::new();
        while rest.len() < CAPACITY / 2 {
            assert!(!is_set(&output), "{} are enough", rest.len());
            rest.extend(calls.recv().unwrap());
            go.send(()).unwrap();
        }
        // It has been said, and once, when the next piece comes.
        rest.extend(calls.recv().unwrap());
        assert!(is_set(&output));
        go.send(()).unwrap();
        while rest.len() < CAPACITY - 5 {
            rest.extend(calls.recv().unwrap());
            go.send(()).unwrap();
        }
        assert!(rest == many[..CAPACITY - 5]);
        assert!(!is_set(&output));
    }

    #[test]
    fn who_gives_too_much_has_to_wait() {
        let (writer, calls, go) = slow();
        let output = writer.output();
        let soon = Duration::from_millis(1);
        output.push(&vec![b'a'; CAPACITY]);
        assert!(output.wait_for_room(soon));
        output.push(b"b");
        assert!(!output.wait_for_room(soon));
        assert_eq!(output.offer(b"c"), 0);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| while !output.wait_for_room(PATIENCE) {});
            let mut len = 0;
            while len <= CAPACITY {
                len += calls.recv().unwrap().len();
                go.send(()).unwrap();
            }
            waits.join().unwrap();
        });
    }

    #[test]
    fn everything_is_written_at_the_end_and_nobody_waits_for_a_reader_that_is_stuck() {
        let (reader, sink) = io::pipe().unwrap();
        let writer = WriterThread::start(sink).unwrap();
        writer.output().push(&[b'a'; 20_000]);
        drop(writer);
        let text = io::read_to_string(reader).unwrap();
        assert_eq!(text.len(), 20_000);

        let (writer, calls, _go) = slow();
        writer.output().push(b"lost");
        calls.recv().unwrap();
        drop(writer);
    }

    #[test]
    fn an_error_is_told_once() {
        let (reader, sink) = io::pipe().unwrap();
        drop(reader);
        let writer = WriterThread::start(sink).unwrap();
        let output = writer.output();
        output.push(b"to nobody");
        drop(writer);
        assert_eq!(
            output.error().unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        output.error().unwrap();
    }
}
