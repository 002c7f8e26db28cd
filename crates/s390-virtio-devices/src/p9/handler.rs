// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The request queue's loop: free of file descriptors and threads.

use std::any::Any;
use std::io::Read;
use std::sync::Arc;
use std::task::Poll;

use s390_vring::{DescriptorChain, DeviceQueue};
use vm_memory::bitmap::BitmapSlice;
use vm_memory::{GuestMemory, VolatileSlice};

use super::engine::Engine;
use super::metrics::P9Metrics;
use super::server::{Answered, Header, Outcome, HEADER_LEN, RLERROR_LEN};
use crate::buffers::Buffers;
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::slots::Slots;
use crate::{Progress, SignalDriver, Transport};

/// Serves the request queue of an active 9P device. Its chains are a message to read and room for
/// the answer.
pub struct P9Handler<T: Transport> {
    memory: Arc<T::Memory>,
    queue: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    metrics: Arc<P9Metrics>,
    requests: Requests,
}

/// Requests that the engine has.
struct Requests {
    in_flight: Slots<(DescriptorChain, Header)>,
    /// For the log.
    driver: Arc<dyn SignalDriver>,
}

impl<T: Transport> std::fmt::Debug for P9Handler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("P9Handler")
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> P9Handler<T> {
    /// A handler for `queue`.
    pub fn new(
        memory: Arc<T::Memory>,
        queue: T::Queue,
        driver: Arc<dyn SignalDriver>,
        metrics: Arc<P9Metrics>,
    ) -> Self {
        let slots = queue.size();
        P9Handler {
            memory,
            queue,
            driver: driver.clone(),
            metrics,
            requests: Requests {
                in_flight: Slots::new(slots),
                driver,
            },
        }
    }

    /// Requests that the engine works on.
    pub fn in_flight(&self) -> usize {
        self.requests.in_flight.len()
    }

    /// Gives back what is answered, and begins what is in the queue.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process(&mut self, engine: &Engine) -> Result<Progress, HandlerError> {
        self.turn(engine, true)
    }

    /// Gives back what is answered, and begins nothing.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn complete(&mut self, engine: &Engine) -> Result<Progress, HandlerError> {
        self.turn(engine, false)
    }

    fn turn(&mut self, engine: &Engine, begin: bool) -> Result<Progress, HandlerError> {
        let memory = &*self.memory;
        let (requests, metrics) = (&mut self.requests, &*self.metrics);
        let mut drain = Drain {
            queue: &mut self.queue,
            memory,
            index: 0,
            driver: &*self.driver,
            metrics: &metrics.queue,
        };
        let mut used = requests.complete(&mut drain, engine, metrics)?;
        let mut progress = Progress::Idle;
        if begin {
            let done;
            (progress, done) = drain.take(|chain| {
                let keeper: Arc<dyn Any + Send + Sync> = self.memory.clone();
                requests.begin(chain, memory, keeper, engine, metrics)
            })?;
            used += done;
        }
        drain.signal(used)?;
        Ok(progress)
    }
}

impl Requests {
    /// Gives back to the driver what the engine has answered; returns how many that were.
    fn complete<Q: DeviceQueue, M: GuestMemory>(
        &mut self,
        drain: &mut Drain<'_, Q, M>,
        engine: &Engine,
        metrics: &P9Metrics,
    ) -> Result<u16, HandlerError> {
        let mut used = 0;
        while let Some((slot, answered)) = engine.next_answer() {
            let Some((chain, header)) = self.in_flight.take(slot) else {
                continue;
            };
            self.finish(&chain, drain.memory, header, answered, metrics)
                .and_then(|()| drain.give_back(&chain, answered.len))
                .map_err(|error| drain.error(error))?;
            used += 1;
        }
        Ok(used)
    }

    /// Begins the request in `chain`, or answers it.
    fn begin<M: GuestMemory>(
        &mut self,
        chain: &DescriptorChain,
        memory: &M,
        keeper: Arc<dyn Any + Send + Sync>,
        engine: &Engine,
        metrics: &P9Metrics,
    ) -> Result<Disposition, ChainError> {
        let Some(slot) = self.in_flight.next_tag() else {
            return Ok(Disposition::Later);
        };
        let mut reader = chain.reader(memory)?;
        let writer = chain.writer(memory)?;
        let request = buffers(reader.slices(), keeper.clone());
        let reply = buffers(writer.slices(), keeper);
        let mut header = [0; HEADER_LEN];
        reader
            .read_exact(&mut header)
            .map_err(|_| ChainError::Request("a 9P message without a header"))?;
        if reply.len() < RLERROR_LEN {
            return Err(ChainError::Request(
                "a 9P message without room for an answer",
            ));
        }
        let header = Header::new(header);
        match engine.submit(slot, header, request, reply) {
            Poll::Ready(answered) => {
                self.finish(chain, memory, header, answered, metrics)?;
                Ok(Disposition::Used(answered.len))
            }
            Poll::Pending => {
                self.in_flight.put((chain.clone(), header));
                Ok(Disposition::Kept)
            }
        }
    }

    /// Marks what was written, and counts.
    fn finish<M: GuestMemory>(
        &self,
        chain: &DescriptorChain,
        memory: &M,
        header: Header,
        answered: Answered,
        metrics: &P9Metrics,
    ) -> Result<(), ChainError> {
        chain.writer(memory)?.advance(answered.len as usize);
        match answered.outcome {
            Outcome::Done => {}
            Outcome::Read(bytes) => {
                metrics.reads.inc();
                metrics.read_bytes.add(bytes.into());
            }
            Outcome::Written(bytes) => {
                metrics.writes.inc();
                metrics.write_bytes.add(bytes.into());
            }
            Outcome::Failed(_) => metrics.errors.inc(),
        }
        let (name, outcome) = (self.driver.name(), answered.outcome);
        log::trace!("{name}: queue 0: {header}: {outcome}");
        Ok(())
    }
}

/// Buffers in the memory that `keeper` keeps.
fn buffers<B: BitmapSlice>(
    slices: &[VolatileSlice<'_, B>],
    keeper: Arc<dyn Any + Send + Sync>,
) -> Buffers {
    // SAFETY: the slices are of the guest memory that `keeper` is.
    unsafe { Buffers::new(slices, keeper) }
}

#[cfg(test)]
mod tests {
    use s390_vring::mock::MockDriver;
    use s390_vring::{BigEndian, Buffer};
    use vm_memory::bitmap::{AtomicBitmap, Bitmap};
    use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

    use super::super::server::FileServer;
    use super::*;
    use crate::test_utils::Recorder;

    type Marked = GuestMemoryMmap<AtomicBitmap>;

    /// Answers with 5000 zeros.
    struct Zeros;

    impl FileServer for Zeros {
        fn answer(&self, _: Header, _: &Buffers, reply: &Buffers) -> Answered {
            reply.write(0, &[0; 5000]);
            Answered {
                len: 5000,
                outcome: Outcome::Done,
            }
        }

        fn reset(&self) {}
    }

    /// For the same reason as what a disk has read.
    #[test]
    fn an_answer_is_marked_dirty() {
        for threads in [0, 1] {
            let memory = Arc::new(Marked::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap());
            let features = s390_vring::RingFeatures::default();
            let mut mock = MockDriver::<BigEndian, _>::new(&*memory, GuestAddress(0), 8, features);
            let mut handler = P9Handler::<crate::S390Legacy<Marked>>::new(
                memory.clone(),
                mock.device_queue(),
                Arc::new(Recorder::default()),
                Arc::default(),
            );
            let engine = Engine::new(Arc::new(Zeros), threads).unwrap();
            mock.add_chain(&[
                Buffer::readable(0x1_0000, 11),
                Buffer::writable(0x2_0000, 0x4000),
            ]);
            handler.process(&engine).unwrap();
            engine.wait();
            handler.complete(&engine).unwrap();
            assert_eq!((handler.in_flight(), mock.used_idx()), (0, 1));
            let region = memory.find_region(GuestAddress(0)).unwrap();
            let dirty = |page: &u64| region.bitmap().dirty_at(*page as usize);
            let pages: Vec<_> = (0x1_0000..0x4_0000).step_by(0x1000).filter(dirty).collect();
            assert_eq!(pages, [0x2_0000, 0x2_1000]);
        }
    }
}
