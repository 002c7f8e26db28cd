// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loops of receive, transmit and control queue: free of file descriptors and threads.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_ERR, VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_OK,
};

use super::backend::{NetBackend, MAX_FRAME};
use super::buffers::FrameBuffers;
use super::ctrl::Command;
use super::filter::RxFilter;
use super::header::{HeaderOrder, Offloads, VnetHeader, GUEST_OFFLOADS};
use super::mac::MacAddress;
use super::metrics::NetMetrics;
use super::rx::{RxContext, RxQueue};
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::rate_limiter::RateLimiter;
use crate::{ActivateError, Activation, Progress, SignalDriver, Transport};

/// Number of the receive queue.
pub(super) const RX_QUEUE: u16 = 0;
/// Number of the transmit queue.
pub(super) const TX_QUEUE: u16 = 1;
/// Number of the control queue.
pub(super) const CTRL_QUEUE: u16 = 2;
/// Two addresses and a type: nothing shorter is a frame.
pub(super) const MIN_FRAME: usize = 14;

/// Serves the queues of an active network device.
pub struct NetHandler<T: Transport> {
    memory: Arc<T::Memory>,
    rx: RxQueue<T>,
    tx: T::Queue,
    ctrl: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    metrics: Arc<NetMetrics>,
    features: u64,
    /// Bytes of the header: with the number of buffers, if the driver expects it.
    header_len: usize,
    /// What the guest takes now.
    guest: Offloads,
    filter: RxFilter,
    link_up: bool,
}

impl<T: Transport> std::fmt::Debug for NetHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetHandler")
            .field("features", &format_args!("{:#x}", self.features))
            .field("link_up", &self.link_up)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> NetHandler<T> {
    /// A handler for an interface with address `mac` whose driver is ready; its link is up. The
    /// backend is told what the driver accepted.
    ///
    /// # Errors
    ///
    /// There are not three queues, or the backend refuses.
    pub fn new(
        activation: Activation<T>,
        backend: &mut dyn NetBackend,
        mac: MacAddress,
        metrics: Arc<NetMetrics>,
    ) -> Result<Self, ActivateError> {
        let [rx, tx, ctrl] = <[_; 3]>::try_from(activation.queues)
            .map_err(|_| "a network device has three queues")?;
        let features = activation.driver_features;
        let has = |bit: u32| features & 1 << bit != 0;
        let merge = has(VIRTIO_NET_F_MRG_RXBUF);
        let header_len = match merge || has(VIRTIO_F_VERSION_1) {
            true => VnetHeader::LEN + 2,
            false => VnetHeader::LEN,
        };
        let guest = Offloads::of_guest(features);
        backend.set_offloads(guest, HeaderOrder::of::<T::Order>())?;
        Ok(NetHandler {
            memory: activation.memory,
            rx: RxQueue::new(rx, header_len, merge),
            tx,
            ctrl,
            driver: activation.driver,
            metrics,
            features,
            header_len,
            guest,
            filter: RxFilter::new(
                mac,
                has(VIRTIO_NET_F_CTRL_MAC_ADDR),
                has(VIRTIO_NET_F_CTRL_VLAN),
            ),
            link_up: true,
        })
    }

    /// Plugs the cable in or out: without it frames are dropped in both directions.
    pub fn set_link(&mut self, up: bool) {
        self.link_up = up;
    }

    /// The interface's address, which its driver may have changed.
    pub fn mac(&self) -> MacAddress {
        self.filter.mac
    }

    /// The driver wrote another address into the configuration space, as it does if it has no
    /// command for that.
    pub(super) fn set_mac(&mut self, mac: MacAddress) {
        if self.features & 1 << VIRTIO_NET_F_CTRL_MAC_ADDR == 0 && mac.is_interface() {
            self.filter.mac = mac;
        }
    }

    /// Gives the guest frames of `backend` while it has both frames and buffers, at the rate of
    /// `limiter`. Without a buffer frames stay where they are.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_rx(
        &mut self,
        backend: &mut dyn NetBackend,
        limiter: &mut RateLimiter,
    ) -> Result<Progress, HandlerError> {
        let context = RxContext {
            memory: &*self.memory,
            backend,
            limiter,
            filter: &self.filter,
            offloads: self.guest,
            link_up: self.link_up,
            driver: &*self.driver,
            metrics: &self.metrics,
        };
        self.rx.process(context)
    }

    /// Gives `backend` the frames of the guest, at the rate of `limiter`. While the link is full
    /// they stay in the queue.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_tx(
        &mut self,
        backend: &mut dyn NetBackend,
        limiter: &mut RateLimiter,
    ) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (header_len, link_up) = (self.header_len, self.link_up);
        let host = Offloads::of_host(self.features);
        let name = self.driver.name();
        Drain {
            queue: &mut self.tx,
            memory,
            index: TX_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.tx_queue,
        }
        .run(|chain| {
            let mut reader = chain.reader(memory)?;
            let mut bytes = [0; VnetHeader::LEN + 2];
            reader
                .read_exact(&mut bytes[..header_len])
                .map_err(|_| ChainError::Request("a frame shorter than the header"))?;
            let mut header = VnetHeader::default();
            header.0.copy_from_slice(&bytes[..VnetHeader::LEN]);
            let len = reader.available_bytes();
            let mut frame = FrameBuffers::new();
            for slice in reader.slices() {
                frame.push_guest(slice, MAX_FRAME);
            }
            let reason = if !link_up {
                &metrics.tx_dropped_link
            } else if len < MIN_FRAME {
                &metrics.tx_dropped_short
            } else if len > MAX_FRAME || frame.len() < len {
                &metrics.tx_dropped_long
            } else if !host.allow(&header) {
                &metrics.tx_dropped_offload
            } else {
                if !limiter.is_ready() {
                    metrics.tx_limited.inc();
                    return Ok(Disposition::Later);
                }
                match backend.write_frame(&header, &mut frame) {
                    Ok(()) => {
                        limiter.take(len as u64);
                        metrics.tx_frames.inc();
                        metrics.tx_bytes.add(len as u64);
                        metrics.tx_gso.add(header.is_gso().into());
                        metrics.tx_partial_csum.add(header.needs_csum().into());
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        metrics.tx_waits.inc();
                        return Ok(Disposition::Later);
                    }
                    Err(error) => {
                        log::debug!("{name}: frame refused: {error}");
                        metrics.tx_errors.inc();
                    }
                }
                return Ok(Disposition::Used(0));
            };
            reason.inc();
            Ok(Disposition::Used(0))
        })
    }

    /// Does what the driver commands.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_ctrl(&mut self, backend: &mut dyn NetBackend) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (filter, features, guest) = (&mut self.filter, self.features, &mut self.guest);
        Drain {
            queue: &mut self.ctrl,
            memory,
            index: CTRL_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.ctrl_queue,
        }
        .run(|chain| {
            let command = Command::read::<T::Order, _>(&mut chain.reader(memory)?)
                .filter(|command| features & 1 << command.feature() != 0);
            let done = match command {
                Some(Command::GuestOffloads(bits)) => {
                    let offloads = Offloads::of_guest(bits);
                    let done = bits & !(features & GUEST_OFFLOADS) == 0
                        && backend
                            .set_offloads(offloads, HeaderOrder::of::<T::Order>())
                            .is_ok();
                    if done {
                        *guest = offloads;
                    }
                    done
                }
                Some(command) => filter.apply(command),
                None => false,
            };
            if !done {
                metrics.ctrl_refused.inc();
            }
            let answer = if done { VIRTIO_NET_OK } else { VIRTIO_NET_ERR };
            chain
                .writer(memory)?
                .write_all(&[answer as u8])
                .map_err(|_| ChainError::Request("a command without room for the answer"))?;
            Ok(Disposition::Used(1))
        })
    }
}

impl<T: Transport> Drop for NetHandler<T> {
    fn drop(&mut self) {
        if self.rx.has_waiting() {
            self.metrics.rx_dropped_reset.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::num::NonZeroU64;
    use std::os::fd::RawFd;

    use s390_vring::mock::MockDriver;
    use s390_vring::{BigEndian, Buffer, ByteOrder, LittleEndian};
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::rate_limiter::{Rate, RateLimits};
    use crate::test_utils::{bytes, memory, queue, Memory, Recorder, TestTransport};

    const RINGS: [u64; 3] = [0, 0x4000, 0x8000];
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
    }

    impl NetBackend for Link {
        fn event_fd(&self) -> RawFd {
            unreachable!("handlers are free of file descriptors")
        }

        fn set_offloads(&mut self, guest: Offloads, order: HeaderOrder) -> io::Result<()> {
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

        fn write_frame(
            &mut self,
            header: &VnetHeader,
            frame: &mut FrameBuffers<'_>,
        ) -> io::Result<()> {
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
            let [rx, tx, ctrl] = RINGS.map(|ring| queue::<E>(memory, ring, 8));
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

    #[test]
    fn receives_behind_a_header_of_zeros() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        let buffers = [
            Buffer::writable(BUFFER, 10),
            Buffer::writable(BUFFER + 0x1000, 1514),
        ];
        memory
            .write_slice(&[0xee; 16], GuestAddress(BUFFER))
            .unwrap();
        bench.rx.add_chain(&buffers);
        bench.link.incoming.push_back(frame(1514, 3));
        assert_eq!(bench.process_rx(), Progress::Idle);
        let used = bench.rx.driver().pop_used().unwrap().unwrap();
        assert_eq!(used.len, 1524);
        assert_eq!(
            bytes(&memory, BUFFER, 11),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xee]
        );
        assert_eq!(bytes(&memory, BUFFER + 0x1000, 1514), frame(1514, 3));
        assert_eq!(bench.signals.take_used(), [RX_QUEUE]);
    }

    #[test]
    fn the_number_of_buffers_has_the_drivers_byte_order() {
        fn header<E: ByteOrder>(features: u64) -> Vec<u8> {
            let memory = memory();
            let mut bench = Bench::<E>::new(&memory, features);
            bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
            bench.link.incoming.push_back(frame(60, 1));
            bench.process_rx();
            assert_eq!(bench.rx.driver().pop_used().unwrap().unwrap().len, 72);
            bytes(&memory, BUFFER + 10, 2)
        }
        assert_eq!(header::<BigEndian>(1 << VIRTIO_NET_F_MRG_RXBUF), [0, 1]);
        assert_eq!(header::<LittleEndian>(1 << VIRTIO_F_VERSION_1), [1, 0]);
    }

    #[test]
    fn frames_wait_for_buffers() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.link.incoming.extend([frame(60, 1), frame(61, 2)]);
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!(bench.link.incoming.len(), 2);
        // The driver is asked to tell of the buffer that is missing.
        assert_eq!(bench.rx.used_flags(), 0);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!(bench.link.incoming.len(), 1);
        assert_eq!(bench.rx.driver().pop_used().unwrap().unwrap().len, 70);
    }

    #[test]
    fn buffers_wait_for_frames() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!(bench.rx.used_idx(), 0);
        assert!(bench.signals.take_used().is_empty());
        bench.link.incoming.push_back(frame(60, 1));
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!(bench.rx.used_idx(), 1);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 70)]);
        bench
            .link
            .incoming
            .extend([frame(61, 1), frame(13, 1), frame(0, 1), frame(60, 5)]);
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!(bytes(&memory, BUFFER + 10, 60), frame(60, 5));
        let metrics = bench.handler.metrics.clone();
        assert_eq!(
            (
                metrics.rx_dropped_long.get(),
                metrics.rx_dropped_short.get()
            ),
            (1, 2)
        );
        assert_eq!(metrics.rx_frames.get(), 1);
        // A flood of them leaves other devices their turn.
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 70)]);
        bench.link.incoming.extend(vec![frame(61, 1); 300]);
        assert_eq!(bench.process_rx(), Progress::More);
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!(metrics.rx_dropped_long.get(), 301);
    }

    #[test]
    fn sends_frames_from_any_cut_of_the_buffers() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        memory
            .write_slice(&frame(100, 7), GuestAddress(BUFFER + 10))
            .unwrap();
        bench.tx.add_chain(&[
            Buffer::readable(BUFFER, 10),
            Buffer::readable(BUFFER + 10, 100),
        ]);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
        bench.tx.add_chain(&[
            Buffer::readable(BUFFER, 3),
            Buffer::readable(BUFFER + 3, 107),
        ]);
        assert_eq!(bench.process_tx(), Progress::Idle);
        assert_eq!(bench.link.outgoing, vec![frame(100, 7); 3]);
        assert_eq!(bench.tx.used_element(2).1, 0);
        assert_eq!(bench.signals.take_used(), [TX_QUEUE]);
    }

    #[test]
    fn a_full_link_keeps_the_frame_in_the_queue() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
        bench.link.full = true;
        assert_eq!(bench.process_tx(), Progress::Idle);
        assert_eq!(bench.tx.used_idx(), 0);
        bench.link.full = false;
        assert_eq!(bench.process_tx(), Progress::Idle);
        assert_eq!((bench.tx.used_idx(), bench.link.outgoing.len()), (1, 1));
        assert_eq!(bench.handler.metrics.tx_waits.get(), 1);
    }

    #[test]
    fn frames_that_cannot_be_sent_are_counted() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 23)]);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 10 + 65_554)]);
        bench.process_tx();
        let metrics = bench.handler.metrics.clone();
        let dropped = [&metrics.tx_dropped_short, &metrics.tx_dropped_long];
        assert_eq!(dropped.map(|counter| counter.get()), [1, 1]);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 10 + 65_553)]);
        bench.process_tx();
        bench.link.down = true;
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
        bench.process_tx();
        assert_eq!((metrics.tx_frames.get(), metrics.tx_errors.get()), (1, 1));
        assert_eq!(bench.tx.used_idx(), 4);
    }

    #[test]
    fn chains_without_a_header_break_the_queue() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 9)]);
        assert!(bench.try_rx().is_err());
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 9)]);
        assert!(bench.try_tx().is_err());
    }

    #[test]
    fn a_long_frame_goes_into_several_buffers() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, MERGE);
        // The second time, as many buffers are held ready as the first one needed.
        for round in 0..2 {
            memory
                .write_slice(&[0xee; 0x1000], GuestAddress(BUFFER))
                .unwrap();
            for n in 0..4 {
                bench
                    .rx
                    .add_chain(&[Buffer::writable(BUFFER + 0x400 * n, 0x100)]);
            }
            let long = frame(3 * 0x100 - 20, 7);
            bench.link.incoming.push_back(long.clone());
            assert_eq!(bench.process_rx(), Progress::Idle);
            let used = [(); 4].map(|()| bench.received());
            assert_eq!(used, [Some(256), Some(256), Some(256 - 8), None]);
            assert_eq!(bytes(&memory, BUFFER, 12)[10..], [0, 3]);
            let received = [
                &bytes(&memory, BUFFER, 0x100)[12..],
                &bytes(&memory, BUFFER + 0x400, 0x100),
                &bytes(&memory, BUFFER + 0x800, 0x100 - 8),
            ]
            .concat();
            assert!(received == long, "round {round}");
            assert_eq!(bytes(&memory, BUFFER + 0x800 + 0xf8, 1), [0xee]);
            assert_eq!(bench.signals.take_used(), [RX_QUEUE]);
            // The fourth takes the next frame.
            bench.link.incoming.push_back(frame(60, 9));
            bench.process_rx();
            assert_eq!(bench.received(), Some(72));
            assert_eq!(bytes(&memory, BUFFER + 0xc0c, 60), frame(60, 9));
            bench.signals.take_used();
        }
    }

    #[test]
    fn a_long_frame_waits_for_its_last_buffer() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, MERGE);
        let long = frame(500, 3);
        bench.link.incoming.push_back(long.clone());
        for n in 0..2 {
            bench
                .rx
                .add_chain(&[Buffer::writable(BUFFER + 0x100 * n, 0x100)]);
            assert_eq!(bench.process_rx(), Progress::Idle);
            assert!(bench.link.incoming.is_empty());
            assert_eq!(bench.received().is_some(), n == 1);
            // The driver is asked to tell of more buffers.
            assert!(n == 1 || bench.rx.used_flags() == 0);
        }
        assert_eq!(bench.received(), Some(256));
        assert_eq!(bytes(&memory, BUFFER + 12, 500), long);
        assert_eq!(bench.handler.metrics.rx_waits.get(), 1);
        assert_eq!(bench.handler.metrics.rx_frames.get(), 1);
    }

    #[test]
    fn a_frame_that_waits_at_a_reset_is_counted() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, MERGE);
        bench.link.incoming.push_back(frame(500, 3));
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 0x100)]);
        bench.process_rx();
        let metrics = bench.handler.metrics.clone();
        drop(bench);
        assert_eq!(metrics.rx_dropped_reset.get(), 1);
    }

    #[test]
    fn a_frame_longer_than_all_buffers_is_dropped() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, MERGE);
        for n in 0..8 {
            bench.rx.add_chain(&[Buffer::writable(BUFFER + 12 * n, 12)]);
        }
        bench.link.incoming.extend([frame(97, 1), frame(84, 1)]);
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!(bench.handler.metrics.rx_dropped_long.get(), 1);
        assert_eq!(bench.rx.used_idx(), 8);
        assert_eq!(bytes(&memory, BUFFER + 12, 84), frame(84, 1));
    }

    #[test]
    fn every_length_through_every_cut() {
        let memory = memory();
        for (features, header) in [(0, 10usize), (MERGE, 12)] {
            for cut in [header, header + 1, header + 17, 64, 1600] {
                let mut bench = Bench::<BigEndian>::new(&memory, features);
                for len in (14..200).chain([1513, 1514]) {
                    let total = header + len;
                    let count = total.div_ceil(cut);
                    if count > 8 {
                        continue;
                    }
                    let pieces: Vec<_> = (0..count)
                        .map(|n| Buffer::writable(BUFFER + (cut * n) as u64, cut as u32))
                        .collect();
                    match features {
                        0 => _ = bench.rx.add_chain(&pieces),
                        _ => pieces
                            .iter()
                            .for_each(|piece| _ = bench.rx.add_chain(&[*piece])),
                    }
                    let sent = frame(len, 11);
                    bench.link.incoming.push_back(sent.clone());
                    bench.process_rx();
                    let used: u32 = std::iter::from_fn(|| bench.received()).sum();
                    assert_eq!(used as usize, total, "{len} in pieces of {cut}");
                    assert_eq!(bytes(&memory, BUFFER + header as u64, len), sent);
                }
            }
        }
    }

    #[test]
    fn headers_ask_for_what_was_agreed() {
        let memory = memory();
        // GUEST_CSUM and GUEST_TSO4, CSUM.
        let mut bench = Bench::<BigEndian>::new(&memory, 1 << 1 | 1 << 7 | 1);
        let agreed = Offloads {
            csum: true,
            tso4: true,
            ..Offloads::default()
        };
        assert_eq!(bench.link.agreed, Some((agreed, HeaderOrder::Big)));
        bench.link.header = VnetHeader([1, 1, 0, 54, 5, 0xb4, 0, 34, 0, 16]);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
        bench.link.incoming.push_back(frame(60, 1));
        bench.process_rx();
        assert_eq!(bytes(&memory, BUFFER, 10), bench.link.header.0);
        // TCP over IPv6 was not agreed on.
        bench.link.header.0[1] = 4;
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
        bench.link.incoming.push_back(frame(60, 1));
        bench.process_rx();
        assert_eq!(bench.handler.metrics.rx_dropped_offload.get(), 1);

        for (header, sent) in [([1, 0], 1), ([1, 1], 1), ([0, 0], 2), ([0x80, 0x80], 2)] {
            memory
                .write_slice(&header, GuestAddress(BUFFER + 0x800))
                .unwrap();
            bench.tx.add_chain(&[Buffer::readable(BUFFER + 0x800, 110)]);
            bench.process_tx();
            assert_eq!(bench.link.outgoing.len(), sent, "{header:?}");
        }
        assert_eq!(bench.handler.metrics.tx_dropped_offload.get(), 2);
    }

    #[test]
    fn a_verified_checksum_is_no_news_for_a_guest_that_did_not_ask() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.link.header = VnetHeader([2, 0, 0, 54, 0, 0, 0, 0, 0, 0]);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
        bench.link.incoming.push_back(frame(60, 1));
        bench.process_rx();
        assert_eq!(bytes(&memory, BUFFER, 10), [0; 10]);
    }

    #[test]
    fn nothing_passes_without_a_link() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.handler.set_link(false);
        // Frames go away, with a buffer and without.
        bench.link.incoming.push_back(frame(60, 1));
        bench.process_rx();
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
        bench.link.incoming.push_back(frame(60, 1));
        bench.process_rx();
        bench.process_tx();
        let metrics = bench.handler.metrics.clone();
        assert_eq!(metrics.rx_dropped_link.get(), 2);
        assert_eq!(metrics.tx_dropped_link.get(), 1);
        assert_eq!((bench.rx.used_idx(), bench.tx.used_idx()), (0, 1));
        bench.handler.set_link(true);
        bench.link.incoming.push_back(frame(61, 1));
        bench.process_rx();
        assert_eq!(bench.received(), Some(71));
    }

    #[test]
    fn frames_wait_for_the_rate_limit() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.limiter.set_limits(RateLimits {
            ops: None,
            // No second frame while this test runs.
            bytes: Some(Rate {
                per_second: NonZeroU64::MIN,
                burst: 60,
            }),
        });
        for _ in 0..2 {
            bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
            bench.link.incoming.push_back(frame(60, 1));
        }
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!((bench.rx.used_idx(), bench.link.incoming.len()), (1, 1));
        assert_eq!(bench.handler.metrics.rx_limited.get(), 1);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
        assert_eq!(bench.process_tx(), Progress::Idle);
        assert_eq!(bench.handler.metrics.tx_limited.get(), 1);
        bench.limiter.set_limits(RateLimits::default());
        bench.process_rx();
        bench.process_tx();
        assert_eq!((bench.rx.used_idx(), bench.tx.used_idx()), (2, 1));
    }

    #[test]
    fn commands_change_what_is_received() {
        let memory = memory();
        // CTRL_VQ, CTRL_RX, CTRL_VLAN, CTRL_RX_EXTRA, CTRL_MAC_ADDR.
        let mut bench = Bench::<BigEndian>::new(&memory, 0x9e_0000);
        fn receives(bench: &mut Bench<'_, BigEndian>, to: [u8; 6]) -> bool {
            bench
                .rx
                .add_chain(&[Buffer::writable(BUFFER + 0x1000, 100)]);
            let mut sent = frame(60, 0);
            sent[..6].copy_from_slice(&to);
            bench.link.incoming.push_back(sent);
            bench.process_rx();
            bench.signals.take_used();
            bench.received().is_some()
        }
        let other = [2, 0, 0, 0, 0, 9];
        assert!(receives(&mut bench, other));
        assert_eq!(bench.command(&memory, &[0, 0, 0]), 0);
        assert!(!receives(&mut bench, other));
        assert!(receives(&mut bench, MAC.0));
        assert_eq!(bench.command(&memory, &[1, 1, 2, 0, 0, 0, 0, 9]), 0);
        assert_eq!(bench.handler.mac().0, other);
        assert!(receives(&mut bench, other));
        assert!(!receives(&mut bench, MAC.0));
        assert_eq!(bench.command(&memory, &[2, 0, 0x0f, 0xff]), 0);
        let metrics = bench.handler.metrics.clone();
        assert_eq!(metrics.rx_dropped_filter.get(), 2);
        // No such VLAN, no such command, and one that was not agreed on.
        assert_eq!(bench.command(&memory, &[2, 0, 0x10, 0]), 1);
        assert_eq!(bench.command(&memory, &[9, 0, 0]), 1);
        assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1);
        assert_eq!(metrics.ctrl_refused.get(), 3);
        // The driver has a command: what it writes elsewhere does not count.
        bench.handler.set_mac(MAC);
        assert_eq!(bench.handler.mac().0, other);
    }

    #[test]
    fn the_guest_changes_its_offloads() {
        let memory = memory();
        // GUEST_CSUM, CTRL_GUEST_OFFLOADS, GUEST_TSO4, CTRL_VQ.
        let mut bench = Bench::<BigEndian>::new(&memory, 0x2_0086);
        assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 2]), 0);
        let csum = Offloads {
            csum: true,
            ..Offloads::default()
        };
        assert_eq!(bench.link.agreed, Some((csum, HeaderOrder::Big)));
        assert_eq!(bench.handler.guest, csum);
        // TCP over IPv6 was not among them, and a control queue is no offload.
        assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 0, 1, 2]), 1);
        assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 2, 0, 2]), 1);
        assert_eq!(bench.handler.guest, csum);
    }

    #[test]
    fn a_command_without_room_for_the_answer_breaks_the_queue() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0x9e_0000);
        bench.ctrl.add_chain(&[Buffer::readable(BUFFER, 3)]);
        assert!(bench.handler.process_ctrl(&mut bench.link).is_err());
    }

    #[test]
    fn an_old_driver_writes_its_address() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.handler.set_mac(MacAddress([1, 0, 0, 0, 0, 9]));
        assert_eq!(bench.handler.mac(), MAC);
        bench.handler.set_mac(MacAddress([2, 0, 0, 0, 0, 9]));
        assert_eq!(bench.handler.mac().0[5], 9);
    }
}
