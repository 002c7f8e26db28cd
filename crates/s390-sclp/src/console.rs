// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The terminal behind the consoles: where output goes, and the input that waits for the guest.

use std::collections::VecDeque;
use std::fmt;

/// Bytes of input that wait for the guest at most.
pub const INPUT_CAPACITY: usize = 4096;

/// Where the guest's console output goes.
///
/// Called while the guest's CPU waits for its service call: an implementation that cannot write at
/// once must buffer or drop, not block. Text is a byte stream as a terminal takes it: what the
/// guest wrote to the VT220 console unchanged, line-mode lines in Latin-1, each ended by `\r\n`.
///
/// Implemented for closures.
pub trait ConsoleSink: Send {
    /// Takes a piece of output, never empty.
    fn write(&mut self, bytes: &[u8]);
}

impl<F: FnMut(&[u8]) + Send> ConsoleSink for F {
    fn write(&mut self, bytes: &[u8]) {
        self(bytes)
    }
}

/// One of the two consoles.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Console {
    /// The VT220 terminal.
    #[default]
    Vt220,
    /// The line-mode console.
    LineMode,
}

pub(crate) struct Terminal {
    sink: Box<dyn ConsoleSink>,
    pub input: VecDeque<u8>,
    /// Input goes to the console that wrote last: people type where they see the prompt.
    pub last_writer: Console,
}

impl Terminal {
    pub fn new(sink: Box<dyn ConsoleSink>) -> Self {
        Terminal {
            sink,
            input: VecDeque::new(),
            last_writer: Console::default(),
        }
    }

    pub fn write(&mut self, console: Console, bytes: &[u8]) {
        self.last_writer = console;
        if !bytes.is_empty() {
            self.sink.write(bytes);
        }
    }

    pub fn room(&self) -> usize {
        INPUT_CAPACITY.saturating_sub(self.input.len())
    }

    pub fn reset(&mut self) {
        self.input.clear();
        self.last_writer = Console::default();
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal")
            .field("input", &self.input.len())
            .field("last_writer", &self.last_writer)
            .finish_non_exhaustive()
    }
}
