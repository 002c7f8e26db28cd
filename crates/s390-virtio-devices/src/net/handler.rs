// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loops of receive and transmit queue: free of file descriptors and threads.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use s390_vring::{ByteOrder, DescriptorChain};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_net::VIRTIO_NET_F_MRG_RXBUF;
use vm_memory::GuestMemory;

use super::backend::{NetBackend, MAX_FRAME};
use super::metrics::NetMetrics;
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::{Progress, SignalDriver, Transport};

/// Number of the receive queue.
pub(super) const RX_QUEUE: u16 = 0;
/// Number of the transmit queue.
pub(super) const TX_QUEUE: u16 = 1;
/// `struct virtio_net_hdr`; `num_buffers` follows where the driver expects it.
const HEADER_LEN: usize = 10;
const HEADER_LEN_NUM_BUFFERS: usize = 12;
/// Two addresses and a type: nothing shorter is a frame.
const MIN_FRAME: usize = 14;
/// Frames that may be dropped in a row before other devices get their turn.
const MAX_DROPS: u32 = 256;

/// Serves the two queues of an active network device.
pub struct NetHandler<T: Transport> {
    memory: Arc<T::Memory>,
    rx: T::Queue,
    tx: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    metrics: Arc<NetMetrics>,
    header_len: usize,
    frame: Box<[u8]>,
    link_up: bool,
}

impl<T: Transport> std::fmt::Debug for NetHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetHandler")
            .field("header_len", &self.header_len)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> NetHandler<T> {
    /// A handler for the receive queue `rx` and the transmit queue `tx`; `driver_features` are
    /// those that the driver accepted.
    pub fn new(
        memory: Arc<T::Memory>,
        [rx, tx]: [T::Queue; 2],
        driver: Arc<dyn SignalDriver>,
        driver_features: u64,
        metrics: Arc<NetMetrics>,
    ) -> Self {
        let num_buffers = 1 << VIRTIO_NET_F_MRG_RXBUF | 1 << VIRTIO_F_VERSION_1;
        NetHandler {
            memory,
            rx,
            tx,
            driver,
            metrics,
            header_len: match driver_features & num_buffers {
                0 => HEADER_LEN,
                _ => HEADER_LEN_NUM_BUFFERS,
            },
            frame: vec![0; MAX_FRAME].into_boxed_slice(),
            link_up: true,
        }
    }

    /// Takes the link up, as it is at first, or down: then every frame is dropped, so that none
    /// of them arrives late.
    pub fn set_link(&mut self, up: bool) {
        self.link_up = up;
    }

    /// Gives the guest frames of `backend` while it has both frames and buffers. Without a
    /// buffer frames stay where they are.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_rx(&mut self, backend: &mut dyn NetBackend) -> Result<Progress, HandlerError> {
        if !self.link_up {
            return Ok(self.drop_frames(backend));
        }
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (frame, header_len) = (&mut self.frame, self.header_len);
        let driver = &*self.driver;
        Drain {
            queue: &mut self.rx,
            memory,
            index: RX_QUEUE,
            driver,
            metrics: &metrics.rx_queue,
        }
        .run(|chain| {
            let room = (chain.writable_bytes() as usize)
                .checked_sub(header_len)
                .ok_or(ChainError::Request(
                    "a receive buffer shorter than the header",
                ))?;
            for _ in 0..MAX_DROPS {
                let len = match backend.read_frame(frame) {
                    Ok(len) => len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        return Ok(Disposition::Later)
                    }
                    Err(error) => {
                        log::warn!(
                            "{}: queue {RX_QUEUE}: cannot receive: {error}",
                            driver.name()
                        );
                        metrics.rx_errors.inc();
                        return Ok(Disposition::Later);
                    }
                };
                if len < MIN_FRAME || len > room {
                    metrics.rx_dropped.inc();
                    continue;
                }
                put_frame::<T>(chain, memory, header_len, &frame[..len])?;
                metrics.rx_frames.inc();
                metrics.rx_bytes.add(len as u64);
                // A chain is below 4 GiB.
                return Ok(Disposition::Used((header_len + len) as u32));
            }
            Ok(Disposition::Again)
        })
    }

    fn drop_frames(&mut self, backend: &mut dyn NetBackend) -> Progress {
        for _ in 0..MAX_DROPS {
            if backend.read_frame(&mut self.frame).is_err() {
                return Progress::Idle;
            }
            self.metrics.rx_dropped.inc();
        }
        Progress::More
    }

    /// Gives `backend` the frames of the guest. While the link is full they stay in the queue.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_tx(&mut self, backend: &mut dyn NetBackend) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (buffer, header_len) = (&mut self.frame, self.header_len);
        let (driver, link_up) = (&*self.driver, self.link_up);
        Drain {
            queue: &mut self.tx,
            memory,
            index: TX_QUEUE,
            driver,
            metrics: &metrics.tx_queue,
        }
        .run(|chain| {
            let mut reader = chain.reader(memory)?;
            let len = (reader.available_bytes())
                .checked_sub(header_len)
                .ok_or(ChainError::Request("a frame shorter than the header"))?;
            reader.advance(header_len);
            let wanted = link_up && len >= MIN_FRAME;
            let Some(frame) = buffer.get_mut(..len).filter(|_| wanted) else {
                metrics.tx_dropped.inc();
                return Ok(Disposition::Used(0));
            };
            reader
                .read_exact(frame)
                .map_err(|_| ChainError::Request("a frame shorter than the header"))?;
            match backend.write_frame(frame) {
                Ok(()) => {
                    metrics.tx_frames.inc();
                    metrics.tx_bytes.add(len as u64);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    metrics.tx_waits.inc();
                    return Ok(Disposition::Later);
                }
                Err(error) => {
                    log::debug!(
                        "{}: queue {TX_QUEUE}: frame refused: {error}",
                        driver.name()
                    );
                    metrics.tx_errors.inc();
                }
            }
            Ok(Disposition::Used(0))
        })
    }
}

/// Writes header and frame into the buffers of `chain`, which are long enough.
fn put_frame<T: Transport>(
    chain: &DescriptorChain,
    memory: &T::Memory,
    header_len: usize,
    frame: &[u8],
) -> Result<(), ChainError>
where
    T::Memory: GuestMemory,
{
    // No checksum or segmentation is left to the driver: all fields but the number of buffers
    // are zero.
    let mut header = [0; HEADER_LEN_NUM_BUFFERS];
    header[HEADER_LEN..].copy_from_slice(&T::Order::u16(1).to_ne_bytes());
    let mut writer = chain.writer(memory)?;
    writer
        .write_all(&header[..header_len])
        .and_then(|()| writer.write_all(frame))
        .map_err(|_| ChainError::Request("a receive buffer shorter than the header"))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::os::fd::RawFd;

    use s390_vring::mock::MockDriver;
    use s390_vring::{BigEndian, Buffer, LittleEndian};
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::test_utils::{bytes, memory, queue, Memory, Recorder, TestTransport};

    const RX_RING: u64 = 0;
    const TX_RING: u64 = 0x4000;
    const BUFFER: u64 = 0x10000;

    /// A link with a list at each end.
    #[derive(Default)]
    struct Link {
        incoming: VecDeque<Vec<u8>>,
        outgoing: Vec<Vec<u8>>,
        full: bool,
        down: bool,
    }

    impl NetBackend for Link {
        fn event_fd(&self) -> RawFd {
            unreachable!("handlers are free of file descriptors")
        }

        fn read_frame(&mut self, frame: &mut [u8]) -> io::Result<usize> {
            let next = self.incoming.pop_front();
            let next = next.ok_or(ErrorKind::WouldBlock)?;
            frame[..next.len()].copy_from_slice(&next);
            Ok(next.len())
        }

        fn write_frame(&mut self, frame: &[u8]) -> io::Result<()> {
            if self.full {
                return Err(ErrorKind::WouldBlock.into());
            }
            if self.down {
                return Err(io::Error::other("down"));
            }
            self.outgoing.push(frame.to_vec());
            Ok(())
        }
    }

    struct Bench<'a, E: ByteOrder> {
        rx: MockDriver<'a, E, Memory>,
        tx: MockDriver<'a, E, Memory>,
        handler: NetHandler<TestTransport<E>>,
        signals: Arc<Recorder>,
        link: Link,
    }

    impl<'a, E: ByteOrder> Bench<'a, E> {
        fn new(memory: &'a Arc<Memory>, features: u64) -> Self {
            let rx = queue::<E>(memory, RX_RING, 8);
            let tx = queue::<E>(memory, TX_RING, 8);
            let signals = Arc::new(Recorder::default());
            let handler = NetHandler::new(
                memory.clone(),
                [rx.device_queue(), tx.device_queue()],
                signals.clone(),
                features,
                Arc::default(),
            );
            Bench {
                rx,
                tx,
                handler,
                signals,
                link: Link::default(),
            }
        }

        fn process_rx(&mut self) -> Progress {
            self.handler.process_rx(&mut self.link).unwrap()
        }

        fn process_tx(&mut self) -> Progress {
            self.handler.process_tx(&mut self.link).unwrap()
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
        assert_eq!(bench.handler.metrics.rx_dropped.get(), 3);
        assert_eq!(bench.handler.metrics.rx_frames.get(), 1);
        // A flood of them leaves other devices their turn.
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 70)]);
        bench.link.incoming.extend(vec![frame(61, 1); 300]);
        assert_eq!(bench.process_rx(), Progress::More);
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert_eq!(bench.handler.metrics.rx_dropped.get(), 303);
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
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 10 + 65_551)]);
        bench.process_tx();
        assert_eq!(bench.handler.metrics.tx_dropped.get(), 2);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 10 + 65_550)]);
        bench.process_tx();
        bench.link.down = true;
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
        bench.process_tx();
        let metrics = &bench.handler.metrics;
        assert_eq!((metrics.tx_frames.get(), metrics.tx_errors.get()), (1, 1));
        assert_eq!(bench.tx.used_idx(), 4);
    }

    #[test]
    fn chains_without_a_header_break_the_queue() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 9)]);
        assert!(bench.handler.process_rx(&mut bench.link).is_err());
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 9)]);
        assert!(bench.handler.process_tx(&mut bench.link).is_err());
    }

    #[test]
    fn a_link_that_is_down_drops_frames_in_both_directions() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, 0);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 2048)]);
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 70)]);
        bench.handler.set_link(false);
        bench.link.incoming = vec![vec![1; 60]; MAX_DROPS as usize + 1].into();
        assert_eq!(bench.process_rx(), Progress::More);
        assert_eq!(bench.process_rx(), Progress::Idle);
        bench.process_tx();
        assert_eq!((bench.rx.used_idx(), bench.tx.used_idx()), (0, 1));
        assert!(bench.link.incoming.is_empty() && bench.link.outgoing.is_empty());
        let metrics = &bench.handler.metrics;
        assert_eq!(metrics.rx_dropped.get(), u64::from(MAX_DROPS) + 1);
        assert_eq!(metrics.tx_dropped.get(), 1);

        bench.handler.set_link(true);
        bench.link.incoming.push_back(vec![2; 60]);
        bench.process_rx();
        assert_eq!(bench.rx.used_idx(), 1);
    }
}
