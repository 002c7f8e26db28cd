// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The three queues in front of a link that is a list of frames.

mod control;
mod receive;
mod transmit;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::RawFd;

use s390_vring::mock::MockDriver;
use s390_vring::{BigEndian, Buffer, ByteOrder, LittleEndian, RingFeatures};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::rate_limiter::{Rate, RateLimits};
use crate::test_utils::{bytes, memory, queue, Memory, Recorder, TestTransport};

const RINGS: [u64; 3] = [0x8_0000, 0x9_0000, 0xa_0000];
const BUFFER: u64 = 0x10000;
const ANSWER: u64 = 0xf000;
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const MERGE: u64 = 1 << VIRTIO_NET_F_MRG_RXBUF;

/// A link with a list at each end.
#[derive(Default)]
struct Link {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
    full: bool,
    down: bool,
    /// Comes with each frame, and came with the last one.
    header: VnetHeader,
    agreed: Option<(Offloads, HeaderOrder)>,
    /// It keeps the offloads that it has.
    stubborn: bool,
}

impl NetBackend for Link {
    fn event_fd(&self) -> RawFd {
        unreachable!("handlers are free of file descriptors")
    }

    fn set_offloads(&mut self, guest: Offloads, order: HeaderOrder) -> io::Result<()> {
        if self.stubborn {
            return Err(ErrorKind::Unsupported.into());
        }
        self.agreed = Some((guest, order));
        Ok(())
    }

    fn read_frame(
        &mut self,
        header: &mut VnetHeader,
        frame: &mut FrameBuffers<'_>,
    ) -> io::Result<usize> {
        assert_eq!(frame.len(), MAX_FRAME);
        let next = self.incoming.pop_front();
        let next = next.ok_or(ErrorKind::WouldBlock)?;
        *header = self.header;
        frame.copy_from_slice(&next);
        Ok(next.len())
    }

    fn write_frame(&mut self, header: &VnetHeader, frame: &mut FrameBuffers<'_>) -> io::Result<()> {
        if self.full {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.down {
            return Err(io::Error::other("down"));
        }
        let mut bytes = Vec::new();
        frame.copy_to(0, &mut bytes);
        self.outgoing.push(bytes);
        self.header = *header;
        Ok(())
    }
}

struct Bench<'a, E: ByteOrder> {
    rx: MockDriver<'a, E, Memory>,
    tx: MockDriver<'a, E, Memory>,
    ctrl: MockDriver<'a, E, Memory>,
    handler: NetHandler<TestTransport<E>>,
    signals: Arc<Recorder>,
    link: Link,
    limiter: RateLimiter,
}

impl<'a, E: ByteOrder> Bench<'a, E> {
    fn new(memory: &'a Arc<Memory>, features: u64) -> Self {
        Self::with_size(memory, features, 8)
    }

    fn with_size(memory: &'a Arc<Memory>, features: u64, size: u16) -> Self {
        let ring_features = RingFeatures::from_bits(features);
        let [rx, tx, ctrl] =
            RINGS.map(|ring| MockDriver::new(&**memory, GuestAddress(ring), size, ring_features));
        let signals = Arc::new(Recorder::default());
        let mut link = Link::default();
        let activation = Activation {
            memory: memory.clone(),
            queues: [&rx, &tx, &ctrl].map(MockDriver::device_queue).into(),
            driver_features: features,
            driver: signals.clone(),
        };
        let handler = NetHandler::new(activation, &mut link, MAC, Arc::default());
        Bench {
            rx,
            tx,
            ctrl,
            handler: handler.unwrap(),
            signals,
            link,
            limiter: RateLimiter::new(RateLimits::default()).unwrap(),
        }
    }

    fn try_rx(&mut self) -> Result<Progress, HandlerError> {
        self.handler.process_rx(&mut self.link, &mut self.limiter)
    }

    fn process_rx(&mut self) -> Progress {
        self.try_rx().unwrap()
    }

    fn try_tx(&mut self) -> Result<Progress, HandlerError> {
        self.handler.process_tx(&mut self.link, &mut self.limiter)
    }

    fn process_tx(&mut self) -> Progress {
        self.try_tx().unwrap()
    }

    /// What the driver finds next in the used ring.
    fn received(&mut self) -> Option<u32> {
        let used = self.rx.driver().pop_used().unwrap();
        used.map(|used| used.len)
    }

    /// Sends a command; the answer.
    fn command(&mut self, memory: &Memory, bytes: &[u8]) -> u8 {
        memory.write_slice(bytes, GuestAddress(BUFFER)).unwrap();
        memory.write_obj(0xeeu8, GuestAddress(ANSWER)).unwrap();
        self.ctrl.add_chain(&[
            Buffer::readable(BUFFER, 2),
            Buffer::readable(BUFFER + 2, bytes.len() as u32 - 2),
            Buffer::writable(ANSWER, 1),
        ]);
        self.handler.process_ctrl(&mut self.link).unwrap();
        assert_eq!(self.ctrl.driver().pop_used().unwrap().unwrap().len, 1);
        assert_eq!(self.signals.take_used(), [CTRL_QUEUE]);
        memory.read_obj(GuestAddress(ANSWER)).unwrap()
    }
}

fn frame(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(seed)).collect()
}
