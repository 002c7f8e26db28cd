// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The receive queue: frames go from the backend straight into the guest's buffers.
//!
//! Nobody knows how long the next frame is. So as many buffers are held ready as recent frames
//! needed, and behind them memory of the host, which takes what is left over of a longer one.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use s390_vring::{ByteOrder, DescriptorChain, DeviceQueue, Writer};
use smallvec::SmallVec;
use vm_memory::bitmap::{BitmapSlice, BS};
use vm_memory::GuestMemory;

use super::backend::{NetBackend, MAX_FRAME};
use super::buffers::{FrameBuffers, MAX_PIECES};
use super::filter::{RxFilter, FILTERED};
use super::handler::{MIN_FRAME, RX_QUEUE};
use super::header::{Offloads, VnetHeader};
use super::metrics::NetMetrics;
use crate::drain::{ChainError, Drain, HandlerError};
use crate::metrics::Counter;
use crate::rate_limiter::RateLimiter;
use crate::{Progress, SignalDriver, Transport};

/// Frames in a row, given or dropped, before other devices get their turn.
const BUDGET: u32 = 256;
/// Bytes of the header that the driver finds in front: with the number of buffers, if it merges
/// them.
const MAX_HEADER: usize = VnetHeader::LEN + 2;

/// What the queue works with.
pub(super) struct RxContext<'a, M> {
    pub(super) memory: &'a M,
    pub(super) backend: &'a mut dyn NetBackend,
    pub(super) limiter: &'a mut RateLimiter,
    pub(super) filter: &'a RxFilter,
    /// What the guest takes.
    pub(super) offloads: Offloads,
    pub(super) link_up: bool,
    pub(super) driver: &'a dyn SignalDriver,
    pub(super) metrics: &'a NetMetrics,
}

/// The receive queue of an active device.
pub(super) struct RxQueue<T: Transport> {
    queue: T::Queue,
    header_len: usize,
    /// Whether a frame may go into several chains.
    merge: bool,
    /// Chains that were taken from the queue and are empty yet.
    held: VecDeque<DescriptorChain>,
    /// Bytes of all of them.
    room: usize,
    /// Length that the next frame probably has.
    expected: usize,
    /// A frame that was read and waits for more buffers.
    waiting: Option<Frame>,
    /// What did not fit into the buffers.
    spill: Box<[u8]>,
}

/// A frame that was read.
struct Frame {
    header: VnetHeader,
    len: usize,
    /// Its first bytes, for the filter.
    start: [u8; FILTERED],
    /// How many of the bytes behind `start` are where they belong, in the held chains. The others
    /// are in `spill`.
    direct: usize,
}

impl Frame {
    fn start(&self) -> &[u8] {
        &self.start[..FILTERED.min(self.len)]
    }
}

impl<T: Transport> RxQueue<T> {
    /// `header_len`: bytes of the header; `merge`: whether frames may go into several chains.
    pub(super) fn new(queue: T::Queue, header_len: usize, merge: bool) -> Self {
        RxQueue {
            queue,
            header_len,
            merge,
            held: VecDeque::new(),
            room: 0,
            expected: 0,
            waiting: None,
            spill: vec![0; MAX_FRAME].into_boxed_slice(),
        }
    }

    /// Whether a frame was read that the guest has not got.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Gives the guest frames of the backend, while it has both frames and buffers.
    pub(super) fn process(
        &mut self,
        mut context: RxContext<'_, T::Memory>,
    ) -> Result<Progress, HandlerError> {
        let mut used = 0;
        let progress = self
            .pass(&mut context, &mut used)
            .map_err(|error| error.of_queue(RX_QUEUE))?;
        Drain {
            queue: &mut self.queue,
            memory: context.memory,
            index: RX_QUEUE,
            driver: context.driver,
            metrics: &context.metrics.rx_queue,
        }
        .signal(used)?;
        Ok(progress)
    }

    fn pass(
        &mut self,
        context: &mut RxContext<'_, T::Memory>,
        used: &mut u16,
    ) -> Result<Progress, ChainError> {
        let (memory, metrics) = (context.memory, context.metrics);
        self.queue.disable_notification(memory)?;
        for _ in 0..BUDGET {
            match &self.waiting {
                Some(frame) => self.hold(memory, frame.len, usize::MAX)?,
                None => self.hold(memory, self.expected, MAX_PIECES)?,
            }
            // Without a buffer frames stay where they are; but a link that is down has none.
            if self.held.is_empty() && context.link_up {
                if self.more(memory)? {
                    continue;
                }
                return Ok(Progress::Idle);
            }
            let waited = self.waiting.take();
            let is_new = waited.is_none();
            let frame = match waited {
                Some(frame) => frame,
                None => {
                    if context.link_up && !context.limiter.is_ready() {
                        metrics.rx_limited.inc();
                        return Ok(Progress::Idle);
                    }
                    match self.read(memory, context.backend)? {
                        Ok(frame) => frame,
                        Err(error) => {
                            if error.kind() != ErrorKind::WouldBlock {
                                let name = context.driver.name();
                                log::debug!("{name}: queue {RX_QUEUE}: cannot receive: {error}");
                                metrics.rx_errors.inc();
                            }
                            return Ok(Progress::Idle);
                        }
                    }
                }
            };
            // One that has waited, too: the driver may have changed its mind meanwhile.
            if let Some(reason) = Self::refusal(&frame, context) {
                reason.inc();
                self.drop_frame(memory, &frame)?;
                continue;
            }
            if is_new {
                context.limiter.take(frame.len as u64);
                self.expected = frame.len.max(self.expected - self.expected / 8);
                self.hold(memory, frame.len, usize::MAX)?;
            }
            if self.room >= self.header_len + frame.len {
                self.give(memory, metrics, context.offloads, frame)?;
                *used += 1;
            } else if self.is_all() {
                metrics.rx_dropped_long.inc();
                self.drop_frame(memory, &frame)?;
            } else {
                self.mark(memory, &frame)?;
                self.waiting = Some(frame);
                if is_new {
                    metrics.rx_waits.inc();
                }
                if !self.more(memory)? {
                    return Ok(Progress::Idle);
                }
            }
        }
        Ok(Progress::More)
    }

    /// Why the guest does not get this frame, if it does not; too few buffers are no reason here.
    fn refusal<'a>(frame: &Frame, context: &RxContext<'a, T::Memory>) -> Option<&'a Counter> {
        let metrics = context.metrics;
        if !context.link_up {
            Some(&metrics.rx_dropped_link)
        } else if frame.len < MIN_FRAME {
            Some(&metrics.rx_dropped_short)
        } else if frame.len > MAX_FRAME {
            Some(&metrics.rx_dropped_long)
        } else if !context.filter.wants(frame.start()) {
            Some(&metrics.rx_dropped_filter)
        } else if !context.offloads.allow(&frame.header) {
            Some(&metrics.rx_dropped_offload)
        } else {
            None
        }
    }

    /// Asks to be told of more buffers; whether there are some already.
    fn more(&mut self, memory: &T::Memory) -> Result<bool, ChainError> {
        let more = self.queue.enable_notification(memory)?;
        if more {
            self.queue.disable_notification(memory)?;
        }
        Ok(more)
    }

    /// Takes chains out of the queue until there is room for a frame of `len` bytes, or so many
    /// `buffers`: one chain at least, and only one if a frame must be in one.
    fn hold(&mut self, memory: &T::Memory, len: usize, buffers: usize) -> Result<(), ChainError> {
        let most = match self.merge {
            true => usize::from(self.queue.size()),
            false => 1,
        };
        while self.held.is_empty()
            || (self.room < self.header_len + len
                && self.held.len() < most
                && self.held_buffers() < buffers)
        {
            let Some(chain) = self.queue.pop_descriptor_chain(memory)? else {
                break;
            };
            let room = chain.writable_bytes() as usize;
            if room < self.header_len {
                return Err(ChainError::Request(
                    "a receive buffer shorter than the header",
                ));
            }
            self.room += room;
            self.held.push_back(chain);
        }
        Ok(())
    }

    /// Whether the driver has no buffer left that it could add to those that are held.
    fn is_all(&self) -> bool {
        !self.merge || self.held_buffers() >= usize::from(self.queue.size())
    }

    /// Buffers of all held chains.
    pub(super) fn held_buffers(&self) -> usize {
        self.held.iter().map(|chain| chain.writable().len()).sum()
    }

    /// Reads one frame into the held chains, behind where its header will be.
    fn read(
        &mut self,
        memory: &T::Memory,
        backend: &mut dyn NetBackend,
    ) -> Result<io::Result<Frame>, ChainError> {
        let mut frame = Frame {
            header: VnetHeader::default(),
            len: 0,
            start: [0; FILTERED],
            direct: 0,
        };
        let mut buffers = FrameBuffers::new();
        buffers.push_slice(&mut frame.start);
        let writers = self.writers(memory)?;
        let mut skip = self.header_len + FILTERED;
        let mut room = MAX_FRAME - FILTERED;
        for slice in writers.iter().flat_map(Writer::slices) {
            let skipped = skip.min(slice.len());
            skip -= skipped;
            let Ok(slice) = slice.offset(skipped) else {
                break;
            };
            let len = buffers.push_guest(&slice, room);
            room -= len;
            if len < slice.len() {
                break;
            }
        }
        let spill = room;
        buffers.push_slice(&mut self.spill[..spill]);
        let result = backend.read_frame(&mut frame.header, &mut buffers);
        Ok(result.map(|len| {
            frame.len = len;
            let behind_start = len.saturating_sub(FILTERED);
            frame.direct = behind_start.min(MAX_FRAME - FILTERED - spill);
            frame
        }))
    }

    /// Completes a frame for which there is room, and returns its chains to the driver.
    fn give(
        &mut self,
        memory: &T::Memory,
        metrics: &NetMetrics,
        offloads: Offloads,
        frame: Frame,
    ) -> Result<(), ChainError> {
        let mut chains = SmallVec::<[(u16, u32); 8]>::new();
        let mut left = self.header_len + frame.len;
        for chain in &self.held {
            // What is left is far below 4 GiB.
            let len = chain.writable_bytes().min(left as u32);
            chains.push((chain.head_index(), len));
            left -= len as usize;
            if left == 0 {
                break;
            }
        }
        let mut header = [0; MAX_HEADER];
        // Without an agreement there is nothing in it but, maybe, that the checksum was verified.
        if offloads.csum {
            header[..VnetHeader::LEN].copy_from_slice(&frame.header.0);
        }
        // At most as many as the queue has entries.
        let num_buffers = T::Order::u16(chains.len() as u16);
        header[VnetHeader::LEN..].copy_from_slice(&num_buffers.to_ne_bytes());

        let mut buffers = Buffers(self.writers(memory)?);
        let spilled = frame.len - frame.start().len() - frame.direct;
        buffers.put(&header[..self.header_len])?;
        buffers.put(frame.start())?;
        buffers.advance(frame.direct);
        buffers.put(&self.spill[..spilled])?;
        drop(buffers);

        self.queue.add_used_batch(memory, &chains)?;
        for chain in self.held.drain(..chains.len()) {
            self.room -= chain.writable_bytes() as usize;
        }
        metrics.rx_frames.inc();
        metrics.rx_bytes.add(frame.len as u64);
        metrics.rx_gso.add(frame.header.is_gso().into());
        metrics
            .rx_partial_csum
            .add(frame.header.needs_csum().into());
        metrics.rx_queue.chains.add(chains.len() as u64);
        let written: u32 = chains.iter().map(|(_, len)| len).sum();
        metrics.rx_queue.bytes.add(written.into());
        Ok(())
    }

    /// Marks what was read of a frame that the guest does not get, and puts chains back that were
    /// taken for it: more than any frame can be read into.
    fn drop_frame(&mut self, memory: &T::Memory, frame: &Frame) -> Result<(), ChainError> {
        self.mark(memory, frame)?;
        let mut buffers = self.held_buffers();
        while let Some(chain) = self.held.pop_back() {
            buffers -= chain.writable().len();
            if buffers < MAX_PIECES {
                self.held.push_back(chain);
                break;
            }
            self.room -= chain.writable_bytes() as usize;
            self.queue.go_to_previous_position();
        }
        Ok(())
    }

    /// Marks what was read into the held chains as written, which it is although the guest does
    /// not get it, or not yet.
    fn mark(&mut self, memory: &T::Memory, frame: &Frame) -> Result<(), ChainError> {
        if frame.direct > 0 {
            let len = self.header_len + FILTERED + frame.direct;
            Buffers(self.writers(memory)?).advance(len);
        }
        Ok(())
    }

    fn writers<'a>(&self, memory: &'a T::Memory) -> Result<Writers<'a, T>, ChainError> {
        let writers = self.held.iter().map(|chain| chain.writer(memory));
        Ok(writers.collect::<Result<_, _>>()?)
    }
}

type Writers<'a, T> =
    SmallVec<[Writer<'a, BS<'a, <<T as Transport>::Memory as GuestMemory>::Bitmap>>; 2]>;

/// The held chains as one buffer.
struct Buffers<W>(W);

impl<'a, B: BitmapSlice, const N: usize> Buffers<SmallVec<[Writer<'a, B>; N]>>
where
    [Writer<'a, B>; N]: smallvec::Array<Item = Writer<'a, B>>,
{
    fn put(&mut self, mut bytes: &[u8]) -> Result<(), ChainError> {
        for writer in &mut self.0 {
            let (now, later) = bytes.split_at(bytes.len().min(writer.available_bytes()));
            writer
                .write_all(now)
                .map_err(|_| ChainError::Request("a receive buffer that is gone"))?;
            bytes = later;
        }
        Ok(())
    }

    /// Steps over bytes that are there already.
    fn advance(&mut self, mut len: usize) {
        for writer in &mut self.0 {
            let now = len.min(writer.available_bytes());
            writer.advance(now);
            len -= now;
        }
    }
}
