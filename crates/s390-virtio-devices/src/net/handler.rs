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
        }
    }

    /// Gives the guest frames of `backend` while it has both frames and buffers. Without a
    /// buffer frames stay where they are.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_rx(&mut self, backend: &mut dyn NetBackend) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (frame, header_len) = (&mut self.frame, self.header_len);
        Drain {
            queue: &mut self.rx,
            memory,
            index: RX_QUEUE,
            driver: &*self.driver,
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
                        log::warn!("net: cannot receive: {error}");
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

    /// Gives `backend` the frames of the guest. While the link is full they stay in the queue.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_tx(&mut self, backend: &mut dyn NetBackend) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let (buffer, header_len) = (&mut self.frame, self.header_len);
        Drain {
            queue: &mut self.tx,
            memory,
            index: TX_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.tx_queue,
        }
        .run(|chain| {
            let mut reader = chain.reader(memory)?;
            let len = (reader.available_bytes())
                .checked_sub(header_len)
                .ok_or(ChainError::Request("a frame shorter than the header"))?;
            reader.advance(header_len);
            let Some(frame) = buffer.get_mut(..len).filter(|_| len >= MIN_FRAME) else {
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
                    log::debug!("net: frame refused: {error}");
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
