// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Text that a guest prints with NOTIFY before it has a console: a short NUL-terminated string in
//! RAM.

use std::io::{self, Write};
use std::sync::Mutex;

use vm_memory::{Bytes, GuestAddress, GuestMemory};

use super::lock;

/// Linux sends up to 16 characters and the NUL at a time.
const MAX_BYTES: usize = 17;

/// The early console. What decides whether a NOTIFY is for it takes no lock: a sink that blocks
/// stops the CPUs that print, and no other.
pub(super) struct EarlyConsole {
    ram_size: u64,
    sink: Mutex<Box<dyn Write + Send>>,
}

impl EarlyConsole {
    /// RAM is what lies below `ram_size`.
    pub(super) fn new(ram_size: u64) -> Self {
        EarlyConsole {
            ram_size,
            sink: Mutex::new(Box::new(io::sink())),
        }
    }

    pub(super) fn set_sink(&self, sink: Box<dyn Write + Send>) {
        *lock(&self.sink) = sink;
    }

    /// Whether NOTIFY with this operand means a text.
    pub(super) fn is_text(&self, addr: u64) -> bool {
        addr < self.ram_size
    }

    /// Prints the text at `addr`, which is in RAM. What cannot be printed is lost: the guest
    /// does not look at the result.
    pub(super) fn print(&self, memory: &impl GuestMemory, addr: u64) {
        let mut text = [0; MAX_BYTES];
        let room = self.ram_size.saturating_sub(addr).min(MAX_BYTES as u64) as usize;
        let Ok(len) = memory.read(&mut text[..room], GuestAddress(addr)) else {
            return;
        };
        let text = &text[..len];
        let end = text.iter().position(|&c| c == 0).unwrap_or(len);
        let mut sink = lock(&self.sink);
        let written = sink.write_all(&text[..end]).and_then(|()| sink.flush());
        if written.is_err() {
            log::debug!("early console: {end} bytes lost");
        }
    }
}
