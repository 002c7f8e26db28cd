// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loops of the input and the output queue: free of file descriptors and threads.

use std::io::{Read, Write};
use std::sync::Arc;

use super::input::ConsoleInput;
use super::metrics::ConsoleMetrics;
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::{Progress, SignalDriver, Transport};

/// Number of the queue of buffers for input.
pub(super) const RX_QUEUE: u16 = 0;
/// Number of the queue of output.
pub(super) const TX_QUEUE: u16 = 1;
/// Bytes moved at a time between guest memory and sink.
const CHUNK: usize = 4096;

/// Serves the two queues of an active console.
pub struct ConsoleHandler<T: Transport> {
    memory: Arc<T::Memory>,
    rx: T::Queue,
    tx: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    metrics: Arc<ConsoleMetrics>,
}

impl<T: Transport> std::fmt::Debug for ConsoleHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConsoleHandler")
    }
}

impl<T: Transport> ConsoleHandler<T> {
    /// A handler for the queue of input buffers `rx` and the queue of output `tx`.
    pub fn new(
        memory: Arc<T::Memory>,
        [rx, tx]: [T::Queue; 2],
        driver: Arc<dyn SignalDriver>,
        metrics: Arc<ConsoleMetrics>,
    ) -> Self {
        ConsoleHandler {
            memory,
            rx,
            tx,
            driver,
            metrics,
        }
    }

    /// Gives the guest what was typed, as far as it has buffers.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_rx(&mut self, input: &ConsoleInput) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        Drain {
            queue: &mut self.rx,
            memory,
            index: RX_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.rx_queue,
        }
        .run(|chain| {
            if chain.writable_bytes() == 0 {
                return Err(ChainError::Request("an input buffer without room"));
            }
            let bytes = input.pop(chain.writable_bytes() as usize);
            if bytes.is_empty() {
                return Ok(Disposition::Later);
            }
            let mut writer = chain.writer(memory)?;
            writer
                .write_all(&bytes)
                .map_err(|_| ChainError::Request("an input buffer without room"))?;
            metrics.rx_bytes.add(bytes.len() as u64);
            // Not longer than the chain, which is below 4 GiB.
            Ok(Disposition::Used(bytes.len() as u32))
        })
    }

    /// Gives `output` what the guest printed, at once: drivers spin until it is taken.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process_tx(&mut self, output: &mut dyn Write) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let progress = Drain {
            queue: &mut self.tx,
            memory,
            index: TX_QUEUE,
            driver: &*self.driver,
            metrics: &metrics.tx_queue,
        }
        .run(|chain| {
            let mut reader = chain.reader(memory)?;
            let mut chunk = [0; CHUNK];
            loop {
                let len = reader
                    .read(&mut chunk)
                    .map_err(|_| ChainError::Request("output that cannot be read"))?;
                if len == 0 {
                    break;
                }
                match output.write_all(&chunk[..len]) {
                    Ok(()) => metrics.tx_bytes.add(len as u64),
                    Err(_) => metrics.tx_errors.inc(),
                }
            }
            Ok(Disposition::Used(0))
        });
        if output.flush().is_err() {
            metrics.tx_errors.inc();
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use s390_vring::{BigEndian, Buffer};
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::test_utils::{bytes, memory, queue, Memory, Recorder, TestTransport};

    const BUFFER: u64 = 0x10000;

    fn handler(
        memory: &Arc<Memory>,
        signals: &Arc<Recorder>,
    ) -> ConsoleHandler<TestTransport<BigEndian>> {
        let rx = queue::<BigEndian>(memory, 0, 8).device_queue();
        let tx = queue::<BigEndian>(memory, 0x4000, 8).device_queue();
        ConsoleHandler::new(memory.clone(), [rx, tx], signals.clone(), Arc::default())
    }

    #[test]
    fn prints_at_once_and_in_order() {
        let (memory, signals) = (memory(), Arc::new(Recorder::default()));
        let mut handler = handler(&memory, &signals);
        let mut tx = queue::<BigEndian>(&memory, 0x4000, 8);
        let long: Vec<u8> = (0..9000u32).map(|i| b'a' + (i % 26) as u8).collect();
        memory.write_slice(&long, GuestAddress(BUFFER)).unwrap();
        tx.add_chain(&[
            Buffer::readable(BUFFER + 26, 3),
            Buffer::readable(BUFFER, 5),
        ]);
        tx.add_chain(&[Buffer::readable(BUFFER, 9000)]);
        let mut output = Vec::new();
        assert_eq!(handler.process_tx(&mut output).unwrap(), Progress::Idle);
        assert_eq!(output, [b"abcabcde".as_slice(), &long].concat());
        assert_eq!(tx.used_idx(), 2);
        assert_eq!(signals.take_used(), [TX_QUEUE]);
    }

    #[test]
    fn a_sink_that_fails_does_not_stop_the_guest() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (memory, signals) = (memory(), Arc::new(Recorder::default()));
        let mut handler = handler(&memory, &signals);
        let mut tx = queue::<BigEndian>(&memory, 0x4000, 8);
        tx.add_chain(&[Buffer::readable(BUFFER, 5)]);
        handler.process_tx(&mut Broken).unwrap();
        assert_eq!(tx.used_idx(), 1);
        assert_eq!(handler.metrics.tx_errors.get(), 1);
    }

    #[test]
    fn input_waits_for_buffers_and_buffers_for_input() {
        let (memory, signals) = (memory(), Arc::new(Recorder::default()));
        let mut handler = handler(&memory, &signals);
        let mut rx = queue::<BigEndian>(&memory, 0, 8);
        let input = ConsoleInput::new().unwrap();
        input.push(b"echo hello\n");
        assert_eq!(handler.process_rx(&input).unwrap(), Progress::Idle);
        assert_eq!(input.len(), 11);
        rx.add_chain(&[Buffer::writable(BUFFER, 2), Buffer::writable(BUFFER + 2, 4)]);
        rx.add_chain(&[Buffer::writable(BUFFER + 0x100, 64)]);
        rx.add_chain(&[Buffer::writable(BUFFER + 0x200, 64)]);
        handler.process_rx(&input).unwrap();
        assert_eq!(bytes(&memory, BUFFER, 6), *b"echo h");
        assert_eq!(bytes(&memory, BUFFER + 0x100, 5), *b"ello\n");
        assert_eq!((rx.used_element(0).1, rx.used_element(1).1), (6, 5));
        assert_eq!(rx.used_idx(), 2);
        assert_eq!(signals.take_used(), [RX_QUEUE]);
        input.push(b"x");
        handler.process_rx(&input).unwrap();
        assert_eq!(rx.used_idx(), 3);
    }

    #[test]
    fn an_input_buffer_for_reading_breaks_the_queue() {
        let (memory, signals) = (memory(), Arc::new(Recorder::default()));
        let mut handler = handler(&memory, &signals);
        let mut rx = queue::<BigEndian>(&memory, 0, 8);
        rx.add_chain(&[Buffer::readable(BUFFER, 8)]);
        let input = ConsoleInput::new().unwrap();
        assert!(handler.process_rx(&input).is_err());
    }
}
