// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's consoles at the host's end: one output for all of them, one keyboard.

mod escape;
mod file;
mod keyboard;
mod output;
mod ports;
mod writer;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use file::OutputFile;
pub(crate) use keyboard::{Keyboard, KeyboardThread};
pub(crate) use output::ConsoleOutput;
pub(crate) use ports::Port;
pub(crate) use writer::WriterThread;

use crate::config::ConsoleConfig;
use crate::terminal::RawMode;
use crate::vm::Stopper;
use crate::{Error, Result};

/// The host's end of the consoles. What was printed has been written when this is dropped, and a
/// terminal is given back.
pub(crate) struct Console {
    // Dropped in this order.
    writer: WriterThread,
    /// In raw mode, if standard input is a terminal.
    _mode: Option<RawMode>,
    has_keyboard: bool,
    file: Option<OutputFile>,
}

impl Console {
    /// Opens what the user asked for.
    pub(crate) fn open(config: &ConsoleConfig) -> Result<Self> {
        let mut output_file = None;
        let (sink, has_keyboard): (Box<dyn Write + Send>, _) = match config {
            // Without Rust's buffer, whose lock would be held while nobody reads.
            ConsoleConfig::Stdio => {
                let stdout = std::io::stdout().as_fd().try_clone_to_owned();
                let stdout = stdout.map_err(Error::host("use standard output"))?;
                (Box::new(File::from(stdout)), true)
            }
            ConsoleConfig::File(path) => {
                let file = output_file.insert(OutputFile::open("console", path)?);
                (Box::new(file.sink()?), false)
            }
            ConsoleConfig::None => (Box::new(std::io::sink()), false),
        };
        Ok(Console {
            writer: WriterThread::start(sink)?,
            _mode: match has_keyboard {
                true => RawMode::enter()?,
                false => None,
            },
            has_keyboard,
            file: output_file,
        })
    }

    /// Empties the file, if it is one: to be called when every other file is open, and locked.
    pub(crate) fn begin(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), OutputFile::begin)
    }

    /// Where the guest's consoles print.
    pub(crate) fn output(&self) -> ConsoleOutput {
        ConsoleOutput::new(self.writer.output())
    }

    /// Begins to read standard input, if the guest has a keyboard.
    pub(crate) fn start_keyboard(
        &self,
        keyboard: Keyboard,
        stopper: Stopper,
    ) -> Result<Option<KeyboardThread>> {
        match self.has_keyboard {
            true => KeyboardThread::start(keyboard, stopper).map(Some),
            false => Ok(None),
        }
    }
}
