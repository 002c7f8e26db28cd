// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The request queue's loop: free of file descriptors and threads.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use super::metrics::RngMetrics;
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::{Progress, SignalDriver, Transport};

/// Most bytes in an answer. Some drivers of Linux 6.1 hang on a longer one that comes before
/// their first read, and none of them needs more at a time.
const MAX_BYTES: usize = 32;

/// Serves the request queue of an active entropy device.
pub struct RngHandler<T: Transport> {
    memory: Arc<T::Memory>,
    queue: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    metrics: Arc<RngMetrics>,
}

impl<T: Transport> std::fmt::Debug for RngHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RngHandler")
    }
}

impl<T: Transport> RngHandler<T> {
    /// A handler for `queue`.
    pub fn new(
        memory: Arc<T::Memory>,
        queue: T::Queue,
        driver: Arc<dyn SignalDriver>,
        metrics: Arc<RngMetrics>,
    ) -> Self {
        RngHandler {
            memory,
            queue,
            driver,
            metrics,
        }
    }

    /// Answers what is in the queue with bytes of `source`.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process(&mut self, source: &mut dyn Read) -> Result<Progress, HandlerError> {
        let (memory, metrics) = (&*self.memory, &*self.metrics);
        let driver = &*self.driver;
        Drain {
            queue: &mut self.queue,
            memory,
            index: 0,
            driver,
            metrics: &metrics.queue,
        }
        .run(|chain| {
            let mut writer = chain.writer(memory)?;
            let mut bytes = [0; MAX_BYTES];
            let wanted = writer.available_bytes().min(MAX_BYTES);
            if wanted == 0 {
                return Err(ChainError::Request("an entropy request without room"));
            }
            let len = match read(source, &mut bytes[..wanted]) {
                Ok(len) => len.min(wanted),
                Err(error) => {
                    if let Some(number) = metrics.errors.occasion() {
                        let name = driver.name();
                        log::warn!("{name}: queue 0: failure {number} of the source: {error}");
                    }
                    0
                }
            };
            writer
                .write_all(&bytes[..len])
                .map_err(|_| ChainError::Request("an entropy request without room"))?;
            metrics.bytes.add(len as u64);
            // At most MAX_BYTES.
            Ok(Disposition::Used(len as u32))
        })
    }
}

fn read(source: &mut dyn Read, bytes: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match source.read(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use s390_vring::{BigEndian, Buffer};

    use super::*;
    use crate::test_utils::{bytes, memory, queue, Recorder, TestTransport};

    const BUFFER: u64 = 0x10000;

    #[test]
    fn answers_with_at_most_32_bytes() {
        let (memory, signals) = (memory(), Arc::new(Recorder::default()));
        let mut mock = queue::<BigEndian>(&memory, 0, 8);
        let mut handler = RngHandler::<TestTransport<BigEndian>>::new(
            memory.clone(),
            mock.device_queue(),
            signals.clone(),
            Arc::default(),
        );
        mock.add_chain(&[Buffer::writable(BUFFER, 64)]);
        mock.add_chain(&[
            Buffer::writable(BUFFER + 0x100, 3),
            Buffer::writable(BUFFER + 0x200, 4),
        ]);
        let source: Vec<u8> = (1..=100).collect();
        handler.process(&mut source.as_slice()).unwrap();
        assert_eq!((mock.used_element(0).1, mock.used_element(1).1), (32, 7));
        assert_eq!(
            bytes(&memory, BUFFER, 64),
            [&source[..32], &[0; 32]].concat()
        );
        assert_eq!(bytes(&memory, BUFFER + 0x100, 3), [33, 34, 35]);
        assert_eq!(bytes(&memory, BUFFER + 0x200, 4), [36, 37, 38, 39]);
        assert_eq!(signals.take_used(), [0]);

        mock.add_chain(&[Buffer::readable(BUFFER, 64)]);
        assert!(handler.process(&mut source.as_slice()).is_err());
    }
}
