// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's consoles at the host's end: one output for all of them, one keyboard.

mod escape;
mod keyboard;
mod output;

use std::fs::File;

pub(crate) use keyboard::{Keyboard, KeyboardThread};
pub(crate) use output::{ConsoleOutput, Source};

use crate::config::ConsoleConfig;
use crate::terminal::RawMode;
use crate::vm::Stopper;
use crate::{Error, Result};

/// The host's end of the consoles.
pub(crate) struct Console {
    output: ConsoleOutput,
    /// There is a keyboard; in raw mode if it is that of a terminal.
    keyboard: Option<Option<RawMode>>,
}

impl Console {
    /// Opens what the user asked for.
    pub(crate) fn open(config: &ConsoleConfig) -> Result<Self> {
        Ok(match config {
            ConsoleConfig::Stdio => Console {
                output: ConsoleOutput::new(std::io::stdout()),
                keyboard: Some(RawMode::enter()?),
            },
            ConsoleConfig::File(path) => Console {
                output: ConsoleOutput::new(File::create(path).map_err(|source| {
                    Error::ConsoleFile {
                        path: path.clone(),
                        source,
                    }
                })?),
                keyboard: None,
            },
            ConsoleConfig::None => Console {
                output: ConsoleOutput::new(std::io::sink()),
                keyboard: None,
            },
        })
    }

    /// Where the guest's consoles print.
    pub(crate) fn output(&self) -> ConsoleOutput {
        self.output.clone()
    }

    /// Begins to read standard input, if the guest has a keyboard. The terminal is given back
    /// when the result is dropped.
    pub(crate) fn start_keyboard(
        self,
        keyboard: Keyboard,
        stopper: Stopper,
    ) -> Result<Option<(KeyboardThread, Option<RawMode>)>> {
        match self.keyboard {
            Some(mode) => Ok(Some((KeyboardThread::start(keyboard, stopper)?, mode))),
            None => Ok(None),
        }
    }
}
