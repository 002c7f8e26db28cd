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
