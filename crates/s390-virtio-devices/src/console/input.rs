// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What was typed and not yet read by the guest.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmm_sys_util::eventfd::EventFd;

/// More than this many bytes ahead of the guest are refused.
const CAPACITY: usize = 64 * 1024;

/// The way into a console, for whoever reads the keyboard. Clones are the same way.
#[derive(Clone, Debug)]
pub struct ConsoleInput {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    pub(super) event: Arc<EventFd>,
}

impl ConsoleInput {
    pub(super) fn new() -> io::Result<Self> {
        Ok(ConsoleInput {
            bytes: Arc::default(),
            event: Arc::new(EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?),
        })
    }

    /// Types `bytes` and returns how many were taken; the rest does not fit now.
    pub fn push(&self, bytes: &[u8]) -> usize {
        let taken = {
            let mut queue = self.lock();
            let taken = bytes.len().min(CAPACITY - queue.len());
            queue.extend(&bytes[..taken]);
            taken
        };
        // Only a counter that is full fails, and then the event is set anyway.
        let _ = self.event.write(1);
        taken
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes up to `bytes.len()` bytes, and returns how many.
    pub(super) fn pop(&self, bytes: &mut [u8]) -> usize {
        let mut queue = self.lock();
        let len = queue.len().min(bytes.len());
        for (byte, typed) in bytes.iter_mut().zip(queue.drain(..len)) {
            *byte = typed;
        }
        len
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_more_than_its_capacity() {
        let input = ConsoleInput::new().unwrap();
        assert_eq!(input.push(&vec![b'a'; CAPACITY - 1]), CAPACITY - 1);
        assert_eq!(input.push(b"xyz"), 1);
        let mut bytes = vec![0; CAPACITY - 1];
        assert_eq!(input.pop(&mut bytes), CAPACITY - 1);
        assert_eq!((input.pop(&mut bytes), bytes[0]), (1, b'x'));
        assert!(input.is_empty());
    }
}
