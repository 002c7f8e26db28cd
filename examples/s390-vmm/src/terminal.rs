// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The terminal of standard input, handed to the guest key by key and given back at the end.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

use nix::sys::termios::{
    tcgetattr, tcsetattr, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices, Termios,
};

use s390_virtio_devices::console::ConsoleSize;
use terminal_size::{terminal_size_of, Height, Width};

use crate::{Error, Result};

/// What guests are told of a console that is no terminal.
const DEFAULT_SIZE: ConsoleSize = ConsoleSize {
    columns: 80,
    rows: 24,
};

/// The size of the terminal on standard output; that of an ordinary one, if it is none.
pub(crate) fn size() -> ConsoleSize {
    terminal_size_of(io::stdout()).map_or(DEFAULT_SIZE, |(Width(columns), Height(rows))| {
        ConsoleSize { columns, rows }
    })
}

/// What the terminal was like before [`RawMode`]. A process has one terminal.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Gives the terminal back, if it is in raw mode.
pub(crate) fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        if let Err(errno) = tcsetattr(io::stdin(), SetArg::TCSANOW, &before) {
            log::warn!("the terminal stays as the guest had it: {errno}");
        }
    }
}

/// Standard input as a terminal in raw mode, until this is dropped.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Changes the terminal, if standard input is one. Output goes through the terminal's
    /// processing as before, so that the VMM's own lines look right.
    pub(crate) fn enter() -> Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let error = |errno: nix::Error| Error::host("set up the terminal")(errno.into());
        let before = tcgetattr(&stdin).map_err(error)?;
        let mut raw = before.clone();
        raw.input_flags -= InputFlags::IGNBRK
            | InputFlags::BRKINT
            | InputFlags::PARMRK
            | InputFlags::ISTRIP
            | InputFlags::INLCR
            | InputFlags::IGNCR
            | InputFlags::ICRNL
            | InputFlags::IXON;
        raw.local_flags -= LocalFlags::ECHO
            | LocalFlags::ECHONL
            | LocalFlags::ICANON
            | LocalFlags::ISIG
            | LocalFlags::IEXTEN;
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(&stdin, SetArg::TCSANOW, &raw).map_err(error)?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        Ok(Some(RawMode(())))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        give_back();
    }
}
