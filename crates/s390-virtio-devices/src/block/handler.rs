// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The request queue's loop: free of file descriptors and threads.

use std::any::Any;
use std::io::{self, Write};
use std::sync::Arc;
use std::task::Poll;

use s390_vring::{DescriptorChain, DeviceQueue};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP,
};
use vm_memory::GuestMemory;

use super::config::WRITEBACK;
use super::disk::Disk;
use super::engine::{Operation, MAX_IN_FLIGHT};
use super::metrics::BlockMetrics;
use super::plan::{plan, Action, Job, Plan};
use super::request::Request;
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::metrics::Counter;
use crate::slots::Slots;
use crate::{Progress, SignalDriver, Transport};

/// Serves the request queue of an active block device.
pub struct BlockHandler<T: Transport> {
    pub(super) memory: Arc<T::Memory>,
    pub(super) queue: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    pub(super) metrics: Arc<BlockMetrics>,
    requests: Requests,
}

/// Requests that are not in the queue and not with the driver.
struct Requests {
    in_flight: Slots<InFlight>,
    /// The driver never flushes, so that each write has to be durable by itself.
    write_through: bool,
    /// For the log.
    driver: Arc<dyn SignalDriver>,
    /// The flush that ends write-back is in flight.
    flushing: bool,
    /// It failed, and the driver has not been told.
    not_durable: Option<io::Error>,
    /// A chain waits for room.
    full: bool,
}

/// What the engine works on.
enum InFlight {
    Request(DescriptorChain, Job),
    /// The flush that ends write-back, of which the driver does not know.
    LastFlush,
}

impl<T: Transport> std::fmt::Debug for BlockHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockHandler")
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> BlockHandler<T> {
    /// A handler for `queue`; `driver_features` are those that the driver accepted.
    pub fn new(
        memory: Arc<T::Memory>,
        queue: T::Queue,
        driver: Arc<dyn SignalDriver>,
        driver_features: u64,
        metrics: Arc<BlockMetrics>,
    ) -> Self {
        BlockHandler {
            memory,
            queue,
            driver: driver.clone(),
            metrics,
            requests: Requests {
                driver,
                in_flight: Slots::new(MAX_IN_FLIGHT),
                write_through: driver_features >> VIRTIO_BLK_F_FLUSH & 1 == 0,
                flushing: false,
                not_durable: None,
                full: false,
            },
        }
    }

    /// Requests that the engine works on.
    pub fn in_flight(&self) -> usize {
        self.requests.in_flight.len()
    }

    /// Gives back what is done, and begins what is in the queue. An error of the storage goes to
    /// the driver as the status of its request.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process(&mut self, disk: &mut Disk) -> Result<Progress, HandlerError> {
        self.turn(disk, true)
    }

    /// Gives back what is done, and begins nothing.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn complete(&mut self, disk: &mut Disk) -> Result<(), HandlerError> {
        self.turn(disk, false).map(drop)
    }

    /// Lets go of everything that is in flight: nothing of it is done or given back after this.
    pub(super) fn cancel(&mut self, disk: &mut Disk) {
        disk.engine.cancel();
        self.requests.forget(&*self.memory);
    }

    fn turn(&mut self, disk: &mut Disk, begin: bool) -> Result<Progress, HandlerError> {
        let memory = &*self.memory;
        let requests = &mut self.requests;
        let metrics = &*self.metrics;
        let mut drain = Drain {
            queue: &mut self.queue,
            memory,
            index: 0,
            driver: &*self.driver,
            metrics: &metrics.queue,
        };
        let mut used = requests.complete(&mut drain, disk, metrics)?;
        let mut progress = Progress::Idle;
        if begin {
            requests.full = false;
            let (stopped, done) = drain.take(|chain| {
                let keeper: Arc<dyn Any + Send + Sync> = self.memory.clone();
                requests.begin::<T>(chain, memory, keeper, disk, metrics)
            })?;
            used += done;
            disk.engine.start();
            // Some are done by now: one interruption less.
            used += requests.complete(&mut drain, disk, metrics)?;
            // If nothing is in flight, no completion's event brings another turn.
            progress = match requests.full && requests.in_flight.len() == 0 {
                true => Progress::More,
                false => stopped,
            };
        }
        drain.signal(used)?;
        Ok(progress)
    }
}

impl Requests {
    /// Gives back to the driver what the engine has done; returns how many that were.
    fn complete<Q: DeviceQueue, M: GuestMemory>(
        &mut self,
        drain: &mut Drain<'_, Q, M>,
        disk: &mut Disk,
        metrics: &BlockMetrics,
    ) -> Result<u16, HandlerError> {
        let mut used = 0;
        while let Some(completion) = disk.engine.next_completion() {
            match self.in_flight.take(completion.tag) {
                Some(InFlight::Request(chain, job)) => {
                    self.finish(&chain, drain.memory, job, completion.result, metrics)
                        .and_then(|len| drain.give_back(&chain, len))
                        .map_err(|error| drain.error(error))?;
                    used += 1;
                }
                Some(InFlight::LastFlush) => {
                    self.flushing = false;
                    self.flushed(completion.result, metrics);
                }
                None => {}
            }
        }
        Ok(used)
    }

    /// Begins the request in `chain`, or answers it.
    fn begin<T: Transport>(
        &mut self,
        chain: &DescriptorChain,
        memory: &T::Memory,
        keeper: Arc<dyn Any + Send + Sync>,
        disk: &mut Disk,
        metrics: &BlockMetrics,
    ) -> Result<Disposition, ChainError> {
        let tag = self.in_flight.next_tag();
        let Some(tag) = tag.filter(|_| disk.engine.has_room()) else {
            self.full = true;
            return Ok(Disposition::Later);
        };
        // Only now: a driver chooses the mode before it makes the request available.
        let mut mode = [0];
        if self.driver.driver_config(WRITEBACK, &mut mode) {
            disk.set_write_back(mode != [0]);
        }
        if !self.cache_is_clean(tag, disk, metrics) {
            return Ok(Disposition::Later);
        }
        let mut request = Request::parse::<T::Order>(chain, memory)?;
        let durable = self.write_through || !disk.write_back;
        let (operation, job) = match plan::<T>(&mut request, keeper, disk, durable) {
            Plan::Start(operation, job) => (operation, job),
            Plan::Answer(status) => {
                match status {
                    VIRTIO_BLK_S_IOERR => metrics.errors.inc(),
                    VIRTIO_BLK_S_UNSUPP => {
                        metrics.unsupported.inc();
                        let (name, kind) = (self.driver.name(), request.kind);
                        log::debug!("{name}: queue 0: {kind:?} is not supported");
                    }
                    _ => {}
                }
                let data = request.in_data.bytes_written();
                request.finish(status as u8)?;
                return Ok(Disposition::Used(written(chain, data)));
            }
        };
        if !disk.limiter.try_take(job.bytes as u64) {
            metrics.throttled.inc();
            return Ok(Disposition::Later);
        }
        let lost = match operation.is_durable() {
            true => self.not_durable.take(),
            false => None,
        };
        let result = match lost {
            Some(error) => Poll::Ready(Err(error)),
            None => disk.engine.submit(tag, operation),
        };
        match result {
            Poll::Ready(result) => {
                let len = self.finish(chain, memory, job, result, metrics)?;
                Ok(Disposition::Used(len))
            }
            Poll::Pending => {
                self.in_flight.put(InFlight::Request(chain.clone(), job));
                Ok(Disposition::Kept)
            }
        }
    }

    /// Whether requests may begin. After the cache was turned off they wait until what it held is
    /// durable: for all that is in flight, and then for a flush, under `tag`.
    fn cache_is_clean(&mut self, tag: u16, disk: &mut Disk, metrics: &BlockMetrics) -> bool {
        if disk.flush_due && self.in_flight.len() == 0 {
            disk.flush_due = false;
            match disk.engine.submit(tag, Operation::Flush) {
                Poll::Ready(result) => self.flushed(result, metrics),
                Poll::Pending => {
                    self.in_flight.put(InFlight::LastFlush);
                    self.flushing = true;
                }
            }
        }
        !disk.flush_due && !self.flushing
    }

    /// The driver asked for no flush whose failure it could be told. So the next request whose success
    /// would promise that what was written is durable fails instead.
    fn flushed(&mut self, result: io::Result<()>, metrics: &BlockMetrics) {
        if let Err(error) = result {
            let job = Job {
                action: Action::Flush,
                sector: 0,
                bytes: 0,
            };
            self.log(job, &error, metrics);
            self.not_durable = Some(error);
        }
    }

    /// Tells the driver how its request ended; returns the length for the used ring.
    fn finish<M: GuestMemory>(
        &mut self,
        chain: &DescriptorChain,
        memory: &M,
        job: Job,
        result: io::Result<()>,
        metrics: &BlockMetrics,
    ) -> Result<u32, ChainError> {
        const NO_STATUS: ChainError = ChainError::Request("a block request without a status byte");
        let mut data = chain.writer(memory)?;
        let before_status = data.available_bytes().checked_sub(1).ok_or(NO_STATUS)?;
        let mut status = data.split_at(before_status).map_err(|_| NO_STATUS)?;
        if job.action == Action::Read {
            // Part of it may have been written even if it failed.
            data.advance(job.bytes);
        }
        let byte = match &result {
            Ok(()) => {
                count(job, metrics);
                VIRTIO_BLK_S_OK
            }
            Err(error) => {
                metrics.errors.inc();
                self.log(job, error, metrics);
                VIRTIO_BLK_S_IOERR
            }
        };
        status.write_all(&[byte as u8]).map_err(|_| NO_STATUS)?;
        let read = match result.is_ok() && job.action == Action::Read {
            true => job.bytes,
            false => 0,
        };
        Ok(written(chain, read))
    }

    /// Forgets what was in flight, after the engine was told to do so. Reads may have been done
    /// already, in part or in whole.
    fn forget<M: GuestMemory>(&mut self, memory: &M) {
        for request in self.in_flight.drain() {
            let InFlight::Request(chain, job) = request else {
                continue;
            };
            if job.action == Action::Read {
                // Memory that is gone needs no mark.
                if let Ok(mut data) = chain.writer(memory) {
                    data.advance(job.bytes);
                }
            }
        }
    }

    /// A guest must not fill the host's log, however often it asks for what cannot be read.
    fn log(&self, job: Job, error: &io::Error, metrics: &BlockMetrics) {
        let (level, times) = match metrics.failures.occasion() {
            Some(number) => (log::Level::Warn, format!(" (failure {number})")),
            None => (log::Level::Debug, String::new()),
        };
        let name = self.driver.name();
        log::log!(level, "{name}: queue 0: {job} failed{times}: {error}");
    }
}

/// The length for the used ring of a chain with so much data and a status byte at its end. It tells
/// of bytes from the start on, without a gap (virtio 1.2, 2.7.8.2), and so of the status only if all
/// data before it was written. Drivers look at the status byte itself.
fn written(chain: &DescriptorChain, data: usize) -> u32 {
    let all = chain.writable_bytes();
    match u32::try_from(data) {
        Ok(data) if data + 1 < all => data,
        _ => all,
    }
}

fn count(job: Job, metrics: &BlockMetrics) {
    let (requests, bytes): (&Counter, Option<&Counter>) = match job.action {
        Action::Read => (&metrics.reads, Some(&metrics.read_bytes)),
        Action::Write => (&metrics.writes, Some(&metrics.write_bytes)),
        Action::Flush => (&metrics.flushes, None),
        Action::Discard => (&metrics.discards, None),
        Action::WriteZeroes => (&metrics.write_zeroes, None),
    };
    requests.inc();
    if let Some(counter) = bytes {
        counter.add(job.bytes as u64);
    }
}

#[cfg(test)]
mod tests;
