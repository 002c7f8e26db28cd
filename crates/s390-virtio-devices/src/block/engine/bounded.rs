// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! An engine that is given a bounded amount of data at a time, however much the guest asks for: a
//! RESET and a pause wait for what has begun, and so do the event loop and every other device
//! meanwhile.

use std::collections::VecDeque;
use std::io;
use std::task::Poll;

use vmm_sys_util::eventfd::EventFd;

use super::{Completion, Engine, Operation, MAX_IN_FLIGHT};

/// Most bytes of an operation as the engine gets it. Drivers that obey the announced limits of
/// segments may send more, but Linux does not.
pub(super) const PIECE: u64 = 4 << 20;
/// With so many bytes in flight nothing more begins. One piece may go beyond.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// Cuts operations to pieces, one of which the inner engine gets at a time.
pub(in crate::block) struct Bounded {
    engine: Box<dyn Engine>,
    /// What the engine works on, by tag.
    pieces: Vec<Option<Piece>>,
    /// Bytes of these.
    in_flight: u64,
    /// What goes on in the next turn.
    later: VecDeque<(u16, Operation)>,
    /// Bytes done in this one, by an engine that does a piece while it is submitted.
    done: u64,
    completions: VecDeque<Completion>,
    /// For an engine that has none.
    event: EventFd,
}

struct Piece {
    bytes: u64,
    /// What follows.
    rest: Option<Operation>,
}

impl Bounded {
    /// Around `engine`.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub(in crate::block) fn new(engine: Box<dyn Engine>) -> io::Result<Self> {
        Ok(Bounded {
            engine,
            pieces: (0..MAX_IN_FLIGHT).map(|_| None).collect(),
            in_flight: 0,
            later: VecDeque::new(),
            done: 0,
            completions: VecDeque::new(),
            event: EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?,
        })
    }

    /// Whether another operation may be submitted now. If not, one may when another completes; or,
    /// if none is in flight, in the next turn.
    pub(in crate::block) fn has_room(&self) -> bool {
        let later = self.later.len() as u64 * PIECE;
        self.in_flight + self.done.max(later) < MAX_BYTES
    }

    /// Begins an operation, or does it.
    pub(in crate::block) fn submit(
        &mut self,
        tag: u16,
        mut operation: Operation,
    ) -> Poll<io::Result<()>> {
        let rest = operation.split_off(PIECE);
        let bytes = operation.bytes();
        match self.engine.submit(tag, operation) {
            Poll::Pending => {
                self.in_flight += bytes;
                if let Some(slot) = self.pieces.get_mut(usize::from(tag)) {
                    *slot = Some(Piece { bytes, rest });
                }
                Poll::Pending
            }
            Poll::Ready(result) => {
                self.done += bytes;
                match (result, rest) {
                    (Ok(()), Some(rest)) => {
                        self.later.push_back((tag, rest));
                        Poll::Pending
                    }
                    (result, _) => Poll::Ready(result),
                }
            }
        }
    }

    /// Goes on with what was put off, and hands the host what was submitted.
    pub(in crate::block) fn start(&mut self) {
        while self.done < MAX_BYTES {
            let Some((tag, operation)) = self.later.pop_front() else {
                break;
            };
            if let Poll::Ready(result) = self.submit(tag, operation) {
                self.completions.push_back(Completion { tag, result });
            }
        }
        self.done = 0;
        self.engine.start();
        if !self.later.is_empty() {
            // Only a counter that is full fails, and then the event is set anyway.
            let _ = self.event().write(1);
        }
    }

    /// The next operation that is done.
    pub(in crate::block) fn next_completion(&mut self) -> Option<Completion> {
        if let Some(completion) = self.completions.pop_front() {
            return Some(completion);
        }
        while let Some((completion, rest)) = self.next_piece() {
            let Some(rest) = rest else {
                return Some(completion);
            };
            let tag = completion.tag;
            match self.submit(tag, rest) {
                Poll::Pending => self.engine.start(),
                Poll::Ready(result) => return Some(Completion { tag, result }),
            }
        }
        None
    }

    /// The next piece that the engine has done, and what follows: nothing after a failure.
    fn next_piece(&mut self) -> Option<(Completion, Option<Operation>)> {
        while let Some(completion) = self.engine.next_completion() {
            let slot = self.pieces.get_mut(usize::from(completion.tag));
            if let Some(Piece { bytes, rest }) = slot.and_then(Option::take) {
                self.in_flight -= bytes;
                let rest = rest.filter(|_| completion.result.is_ok());
                return Some((completion, rest));
            }
        }
        None
    }

    /// Waits for the pieces that have begun, and puts off what follows. Their completions have set
    /// the event, which brings the next turn.
    pub(in crate::block) fn settle(&mut self) {
        self.engine.wait();
        while let Some((completion, rest)) = self.next_piece() {
            match rest {
                Some(rest) => self.later.push_back((completion.tag, rest)),
                None => self.completions.push_back(completion),
            }
        }
    }

    /// Waits for the pieces that have begun, and forgets all operations.
    pub(in crate::block) fn cancel(&mut self) {
        self.later.clear();
        self.pieces.fill_with(|| None);
        self.engine.cancel();
        self.completions.clear();
        (self.in_flight, self.done) = (0, 0);
    }

    /// For [`Engine::set_name`].
    pub(in crate::block) fn set_name(&mut self, name: &str) {
        self.engine.set_name(name);
    }

    /// Readable when there are completions, or something to go on with.
    pub(in crate::block) fn event(&self) -> &EventFd {
        self.engine.event().unwrap_or(&self.event)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar, Mutex};

    use vm_memory::{Bytes, GuestAddress, VolatileSlice};

    use super::super::tests::buffers;
    use super::super::{Inline, Range, ThreadPool};
    use super::*;
    use crate::block::BlockBackend;
    use crate::test_utils::{bytes, memory, Memory};

    const MIB: usize = 1 << 20;
    /// Where reads fail.
    const BAD: u64 = 1 << 39;

    /// Storage without end that remembers what it was asked for, and whose reads wait for a gate.
    #[derive(Default)]
    struct Log {
        requests: Mutex<Vec<(u64, u64)>>,
        flushes: AtomicUsize,
        closed: Mutex<bool>,
        opened: Condvar,
    }

    impl Log {
        fn add(&self, offset: u64, len: u64) -> io::Result<()> {
            self.requests.lock().unwrap().push((offset, len));
            let closed = self.closed.lock().unwrap();
            drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
            Ok(())
        }

        fn take(&self) -> Vec<(u64, u64)> {
            std::mem::take(&mut self.requests.lock().unwrap())
        }
    }

    impl BlockBackend for Log {
        fn size(&self) -> u64 {
            1 << 40
        }

        fn is_read_only(&self) -> bool {
            false
        }

        fn serial(&self) -> &str {
            ""
        }

        fn read(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
            let len = data.iter().map(VolatileSlice::len).sum::<usize>();
            if offset == BAD {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Which piece it was.
            for slice in data {
                slice.write_obj((offset / PIECE) as u8, 0).unwrap();
            }
            self.add(offset, len as u64)
        }

        fn write(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
            self.read(data, offset)
        }

        fn flush(&self) -> io::Result<()> {
            self.flushes.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }

        fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
            self.add(offset, len)
        }

        fn write_zeroes(&self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
            assert!(unmap, "nobody asked for others");
            self.add(offset, len)
        }
    }

    fn engines(log: &Arc<Log>) -> [Bounded; 2] {
        let inline = Box::new(Inline::new(log.clone()));
        let threads = Box::new(ThreadPool::new(log.clone()).unwrap());
        [inline as Box<dyn Engine>, threads].map(|engine| Bounded::new(engine).unwrap())
    }

    fn read(memory: &Arc<Memory>, mib: usize, offset: u64) -> Operation {
        Operation::Read {
            data: buffers(memory, &vec![(0, MIB); mib]),
            offset,
        }
    }

    /// Waits for an operation.
    fn next(engine: &mut Bounded) -> Completion {
        loop {
            if let Some(completion) = engine.next_completion() {
                return completion;
            }
            engine.start();
            engine.settle();
        }
    }

    /// The result of one operation.
    fn run(engine: &mut Bounded, operation: Operation) -> io::Result<()> {
        match engine.submit(9, operation) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                engine.start();
                let completion = next(engine);
                assert_eq!(completion.tag, 9);
                assert!(engine.next_completion().is_none() && engine.has_room());
                completion.result
            }
        }
    }

    #[test]
    fn large_operations_are_done_in_pieces() {
        let memory = memory();
        let log = Arc::new(Log::default());
        for mut engine in engines(&log) {
            run(&mut engine, read(&memory, 11, 1 << 20)).unwrap();
            let (mib, piece) = (MIB as u64, PIECE);
            let pieces = [(mib, 3 * mib), (piece, piece), (2 * piece, piece)];
            assert_eq!(log.take(), pieces);
            assert_eq!(bytes(&memory, 0, 1), [2]);
            // Up to a piece, wherever it starts, nothing is cut.
            run(&mut engine, read(&memory, 4, 1 << 20)).unwrap();
            assert_eq!(log.take(), [(mib, piece)]);

            // Each piece is as durable as the whole.
            let write = Operation::Write {
                data: buffers(&memory, &[(0, MIB); 9]),
                offset: 0,
                durable: true,
            };
            log.flushes.store(0, Ordering::SeqCst);
            run(&mut engine, write).unwrap();
            assert_eq!(log.take().len(), 3);
            assert_eq!(log.flushes.load(Ordering::SeqCst), 3);
            let range = |offset, len| Range {
                offset,
                len,
                unmap: true,
            };
            let ranges = vec![range(512, piece + 512), range(0, 512)];
            let zeroes = Operation::WriteZeroes {
                ranges,
                durable: true,
            };
            run(&mut engine, zeroes).unwrap();
            let pieces = [(512, piece - 512), (piece, 1024), (0, 512)];
            assert_eq!(log.take(), pieces);
            assert_eq!(log.flushes.load(Ordering::SeqCst), 6);
            let ranges = vec![range(0, 1 << 30), range(1 << 30, 1 << 30)];
            run(&mut engine, Operation::Discard(ranges)).unwrap();
            assert_eq!(log.take(), [(0, 1 << 30), (1 << 30, 1 << 30)]);
        }
    }

    #[test]
    fn nothing_is_done_after_a_piece_that_failed() {
        let memory = memory();
        let log = Arc::new(Log::default());
        for mut engine in engines(&log) {
            let error = run(&mut engine, read(&memory, 16, BAD - PIECE)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(log.take(), [(BAD - PIECE, PIECE)]);
        }
    }

    #[test]
    fn cancelling_waits_for_the_pieces_that_have_begun() {
        let memory = memory();
        let log = Arc::new(Log::default());
        let [_, mut engine] = engines(&log);
        let range = |offset| Range {
            offset,
            len: PIECE,
            unmap: false,
        };
        // Ranges are pieces, too.
        let discard = Operation::Discard(vec![range(0), range(PIECE)]);
        for operation in [read(&memory, 64, 0), discard] {
            *log.closed.lock().unwrap() = true;
            assert!(engine.submit(3, operation).is_pending());
            engine.start();
            while log.requests.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    *log.closed.lock().unwrap() = false;
                    log.opened.notify_all();
                });
                engine.cancel();
            });
            assert!(engine.next_completion().is_none() && engine.has_room());
            assert_eq!(log.take(), [(0, PIECE)]);
        }
    }

    /// An engine that is done with everything when it is started, and does no flush.
    #[derive(Default)]
    struct Quick {
        submitted: VecDeque<Completion>,
        done: VecDeque<Completion>,
    }

    impl Engine for Quick {
        fn submit(&mut self, tag: u16, operation: Operation) -> Poll<io::Result<()>> {
            let result = match operation {
                Operation::Flush => Err(io::ErrorKind::Unsupported.into()),
                _ => Ok(()),
            };
            self.submitted.push_back(Completion { tag, result });
            Poll::Pending
        }

        fn start(&mut self) {
            self.done.append(&mut self.submitted);
        }

        fn next_completion(&mut self) -> Option<Completion> {
            self.done.pop_front()
        }

        fn wait(&mut self) {
            self.start();
        }
    }

    fn quick() -> Bounded {
        Bounded::new(Box::new(Quick::default())).unwrap()
    }

    #[test]
    fn what_follows_a_piece_is_started() {
        let memory = memory();
        let mut engine = quick();
        assert!(engine.submit(9, read(&memory, 64, 0)).is_pending());
        engine.start();
        // However late in its turn the handler asks.
        assert!(engine.next_completion().is_some());
    }

    #[test]
    fn nothing_is_heard_of_what_was_cancelled() {
        let mut engine = quick();
        for tag in [8, 9] {
            assert!(engine.submit(tag, Operation::Flush).is_pending());
        }
        engine.start();
        engine.cancel();
        run(&mut engine, Operation::Discard(Vec::new())).unwrap();
    }

    #[test]
    fn nothing_is_left_of_what_was_cancelled() {
        let memory = memory();
        let log = Arc::new(Log::default());
        for mut engine in engines(&log) {
            for turns in [2, 0] {
                for tag in 0.. {
                    if !engine.has_room() {
                        break;
                    }
                    // The first ones are done in two turns, if they are done in the event loop.
                    let mib = if tag < 2 { 8 } else { 100 };
                    assert!(engine.submit(tag, read(&memory, mib, 0)).is_pending());
                }
                (0..turns).for_each(|_| engine.start());
                engine.cancel();
                assert!(engine.has_room());
            }
            assert_eq!(Arc::strong_count(&memory), 1);
            log.take();
            engine.start();
            assert!(engine.next_completion().is_none());
            assert!(log.take().is_empty());
        }
    }

    #[test]
    fn what_is_in_flight_is_bounded() {
        let memory = memory();
        let log = Arc::new(Log::default());
        let zeroes = || Operation::WriteZeroes {
            ranges: vec![Range {
                offset: 0,
                len: 100 << 20,
                unmap: true,
            }],
            durable: false,
        };
        for mut engine in engines(&log) {
            for operation in [
                &(|| read(&memory, 100, 0)) as &dyn Fn() -> Operation,
                &zeroes,
            ] {
                let mut tag = 0;
                while engine.has_room() {
                    let _ = engine.submit(tag, operation());
                    tag += 1;
                }
                assert_eq!(u64::from(tag), MAX_BYTES / PIECE);
                // What is put off is in flight, too.
                engine.start();
                engine.settle();
                assert_eq!((engine.in_flight, engine.has_room()), (0, false));
                for _ in 0..tag {
                    next(&mut engine);
                }
                let wanted = 25 * usize::from(tag);
                assert_eq!(log.take().len(), wanted);
                assert!(engine.has_room());
            }
        }
    }

    #[test]
    fn an_engine_in_the_event_loop_does_a_bounded_part_a_turn() {
        let memory = memory();
        let log = Arc::new(Log::default());
        let [mut engine, _] = engines(&log);
        assert!(engine.submit(0, read(&memory, 68, 0)).is_pending());
        let mut turns = 0;
        loop {
            engine.start();
            turns += 1;
            let bytes: u64 = log.take().iter().map(|(_, len)| len).sum();
            assert!(bytes <= MAX_BYTES, "{bytes}");
            if engine.next_completion().is_some() {
                break;
            }
            assert_eq!(engine.event().read().unwrap(), 1);
        }
        assert_eq!(turns, 3);
        assert!(engine.event().read().is_err());
        assert_eq!(memory.read_obj::<u8>(GuestAddress(0)).unwrap(), 16);
    }
}
