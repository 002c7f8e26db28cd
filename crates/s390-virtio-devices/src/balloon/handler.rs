// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loops of the three queues: free of file descriptors and threads.

use std::io::Read;
use std::sync::Arc;

use s390_vring::{ByteOrder, DescriptorChain};

use super::metrics::BalloonMetrics;
use super::pages::{give_back, runs, BALLOON_PAGE_SIZE};
use super::statistics::Statistics;
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::{Progress, SignalDriver, Transport};

/// Number of the queue of pages that go into the balloon.
pub(super) const INFLATE_QUEUE: u16 = 0;
/// Number of the queue of pages that come out of it.
pub(super) const DEFLATE_QUEUE: u16 = 1;
/// Number of the queue of statistics.
pub(super) const STATISTICS_QUEUE: u16 = 2;
/// Most pages in one request: four times what Linux sends. Each may cost the host a system call.
const MAX_PAGES: usize = 1024;

/// Serves the queues of an active balloon.
pub struct BalloonHandler<T: Transport> {
    memory: Arc<T::Memory>,
    inflate: T::Queue,
    deflate: T::Queue,
    statistics: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    metrics: Arc<BalloonMetrics>,
    /// Pages of RAM: those behind are page and rings of the transport, or nothing.
    ram_pages: u64,
    /// The chain at the head of the statistics queue was read, and is kept until new ones are
    /// wanted.
    kept: bool,
    wanted: bool,
}

impl<T: Transport> std::fmt::Debug for BalloonHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BalloonHandler")
    }
}

impl<T: Transport> BalloonHandler<T> {
    /// A handler for the queues in the order of their numbers, in a guest with `ram_size` bytes
    /// of RAM from address 0.
    pub fn new(
        memory: Arc<T::Memory>,
        [inflate, deflate, statistics]: [T::Queue; 3],
        driver: Arc<dyn SignalDriver>,
        ram_size: u64,
        metrics: Arc<BalloonMetrics>,
    ) -> Self {
        BalloonHandler {
            memory,
            inflate,
            deflate,
            statistics,
            driver,
            metrics,
            ram_pages: ram_size / BALLOON_PAGE_SIZE,
            kept: false,
            wanted: false,
        }
    }

    /// Gives the pages that the guest does not use back to the host.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_inflate(&mut self) -> Result<Progress, HandlerError> {
        let (memory, metrics, ram_pages) = (&*self.memory, &*self.metrics, self.ram_pages);
        let driver = &*self.driver;
        Drain {
            queue: &mut self.inflate,
            memory,
            index: INFLATE_QUEUE,
            driver,
            metrics: &metrics.inflate_queue,
        }
        .run(|chain| {
            let mut pages = pages::<T>(chain, memory)?;
            let all = pages.len();
            pages.retain(|&page| u64::from(page) < ram_pages);
            metrics.outside.add((all - pages.len()) as u64);
            runs(&mut pages, |address, len, count| {
                match give_back(memory, address, len) {
                    Ok(()) => metrics.inflated.add(count),
                    Err(error) => {
                        let (name, address) = (driver.name(), address.0);
                        log::debug!(
                            "{name}: queue {INFLATE_QUEUE}: {len} bytes at {address:#x}: {error}"
                        );
                        metrics.kept.add(count);
                    }
                }
            });
            Ok(Disposition::Used(0))
        })
    }

    /// Hears of the pages that the guest uses again, which it gets as it touches them.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_deflate(&mut self) -> Result<Progress, HandlerError> {
        let (memory, metrics, ram_pages) = (&*self.memory, &*self.metrics, self.ram_pages);
        Drain {
            queue: &mut self.deflate,
            memory,
            index: DEFLATE_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.deflate_queue,
        }
        .run(|chain| {
            let pages = pages::<T>(chain, memory)?;
            let (inside, outside): (Vec<u32>, Vec<u32>) =
                pages.iter().partition(|&&page| u64::from(page) < ram_pages);
            metrics.deflated.add(inside.len() as u64);
            metrics.outside.add(outside.len() as u64);
            Ok(Disposition::Used(0))
        })
    }

    /// Reads statistics, if there are new ones, into `statistics`. The guest gets its buffer back
    /// when [`request_statistics`](Self::request_statistics) was called, and sends new ones.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_statistics(
        &mut self,
        statistics: &mut Option<Statistics>,
    ) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (kept, wanted) = (&mut self.kept, &mut self.wanted);
        Drain {
            queue: &mut self.statistics,
            memory,
            index: STATISTICS_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.statistics_queue,
        }
        .run(|chain| {
            if !*kept {
                let mut reader = chain.reader(memory)?;
                *statistics = Some(Statistics::read::<T::Order>(&mut reader));
                metrics.reports.inc();
                *kept = true;
            }
            if !std::mem::take(wanted) {
                return Ok(Disposition::Later);
            }
            *kept = false;
            Ok(Disposition::Used(0))
        })
    }

    /// Lets the guest have its buffer back at the next
    /// [`process_statistics`](Self::process_statistics).
    pub fn request_statistics(&mut self) {
        self.wanted = true;
    }
}

/// The page numbers in a request.
fn pages<T: Transport>(
    chain: &DescriptorChain,
    memory: &T::Memory,
) -> Result<Vec<u32>, ChainError> {
    let bytes = chain.readable_bytes() as usize;
    if bytes > MAX_PAGES * 4 {
        return Err(ChainError::Request("a balloon request with too many pages"));
    }
    // A part of a number at the end is none.
    let mut numbers = vec![0; bytes - bytes % 4];
    chain
        .reader(memory)?
        .read_exact(&mut numbers)
        .map_err(|_| ChainError::Request("a balloon request that cannot be read"))?;
    let numbers = numbers.chunks_exact(4);
    Ok(numbers
        .map(|bytes| T::Order::u32(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
        .collect())
}

#[cfg(test)]
mod tests {
    use s390_vring::mock::MockDriver;
    use s390_vring::{BigEndian, Buffer, LittleEndian};
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::balloon::pages::tests::left_behind;
    use crate::test_utils::{bytes, memory, queue, Memory, Recorder, TestTransport};

    const RINGS: [u64; 3] = [0, 0x2000, 0x4000];
    const BUFFER: u64 = 0x8000;
    /// Memory ends at 0x10_0000.
    const RAM: u64 = 0x8_0000;

    struct Bench<'a, E: ByteOrder> {
        memory: &'a Arc<Memory>,
        queues: [MockDriver<'a, E, Memory>; 3],
        handler: BalloonHandler<TestTransport<E>>,
        signals: Arc<Recorder>,
    }

    impl<'a, E: ByteOrder> Bench<'a, E> {
        fn new(memory: &'a Arc<Memory>) -> Self {
            let queues = RINGS.map(|ring| queue::<E>(memory, ring, 8));
            let signals = Arc::new(Recorder::default());
            let handler = BalloonHandler::new(
                memory.clone(),
                [0, 1, 2].map(|i: usize| queues[i].device_queue()),
                signals.clone(),
                RAM,
                Arc::default(),
            );
            Bench {
                memory,
                queues,
                handler,
                signals,
            }
        }

        fn add(&mut self, queue: usize, pages: &[u32]) {
            let numbers: Vec<u8> = pages
                .iter()
                .flat_map(|&page| E::u32(page).to_ne_bytes())
                .collect();
            self.memory
                .write_slice(&numbers, GuestAddress(BUFFER))
                .unwrap();
            self.queues[queue].add_chain(&[Buffer::readable(BUFFER, numbers.len() as u32)]);
        }
    }

    fn inflates<E: ByteOrder>() {
        let memory = memory();
        let mut bench = Bench::<E>::new(&memory);
        memory
            .write_slice(&[7; 0x10_0000 - 0x4_0000], GuestAddress(0x4_0000))
            .unwrap();
        // In any order, one of them twice; the last three are no RAM.
        bench.add(0, &[0x51, 0x50, 0x7f, 0x51, 0x80, 0xff, u32::MAX]);
        bench.handler.process_inflate().unwrap();
        assert_eq!(bench.signals.take_used(), [INFLATE_QUEUE]);
        for page in 0x40..0x100u64 {
            let given = [0x50, 0x51, 0x7f].contains(&page);
            let expected = [if given { left_behind() } else { 7 }; 4096];
            assert!(bytes(&memory, page << 12, 4096) == expected, "{page:#x}");
        }
        let metrics = &bench.handler.metrics;
        assert_eq!((metrics.inflated.get(), metrics.outside.get()), (3, 3));
        assert_eq!(metrics.inflate_queue.bytes.get(), 28);

        bench.add(1, &[0x50, 0x80]);
        bench.handler.process_deflate().unwrap();
        assert_eq!(bench.signals.take_used(), [DEFLATE_QUEUE]);
        let metrics = &bench.handler.metrics;
        assert_eq!((metrics.deflated.get(), metrics.outside.get()), (1, 4));
    }

    #[test]
    fn pages_of_ram_go_back_to_the_host_and_no_others() {
        inflates::<BigEndian>();
        inflates::<LittleEndian>();
    }

    #[test]
    fn requests_without_end_break_the_queue() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory);
        let longest = (MAX_PAGES * 4) as u32;
        memory
            .write_slice(&[0xff; MAX_PAGES * 4 + 4], GuestAddress(BUFFER))
            .unwrap();
        bench.queues[0].add_chain(&[Buffer::readable(BUFFER, longest)]);
        bench.queues[0].add_chain(&[Buffer::readable(BUFFER, 3)]);
        bench.handler.process_inflate().unwrap();
        assert_eq!(bench.queues[0].used_idx(), 2);
        bench.queues[0].add_chain(&[Buffer::readable(BUFFER, longest + 4)]);
        assert!(bench.handler.process_inflate().is_err());
    }

    #[test]
    fn statistics_are_kept_until_new_ones_are_wanted() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory);
        let mut statistics = None;
        let send = |bench: &mut Bench<'_, BigEndian>, free: u64| {
            let entry = [[0, 4].as_slice(), &free.to_be_bytes()].concat();
            memory.write_slice(&entry, GuestAddress(BUFFER)).unwrap();
            bench.queues[2].add_chain(&[Buffer::readable(BUFFER, 10)]);
        };
        let free = |statistics: &Option<Statistics>| statistics.as_ref().unwrap().iter().next();
        send(&mut bench, 100);
        for _ in 0..2 {
            bench.handler.process_statistics(&mut statistics).unwrap();
            assert_eq!(free(&statistics), Some(("free-memory", 100)));
            assert_eq!(bench.queues[2].used_idx(), 0);
        }
        bench.handler.request_statistics();
        bench.handler.process_statistics(&mut statistics).unwrap();
        assert_eq!(bench.queues[2].used_idx(), 1);
        assert_eq!(bench.signals.take_used(), [STATISTICS_QUEUE]);
        send(&mut bench, 50);
        bench.handler.process_statistics(&mut statistics).unwrap();
        assert_eq!(free(&statistics), Some(("free-memory", 50)));
        assert_eq!(bench.queues[2].used_idx(), 1);
    }
}
