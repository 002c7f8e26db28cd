// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The host's end of a port.

use std::io::{self, ErrorKind, Write};
use std::os::fd::RawFd;

/// Where the output of a port goes to and its input comes from.
///
/// Everything that implements [`Write`] is one, with nobody who types: a sink that takes what it
/// is given at once, or says that it cannot.
pub trait PortBackend: Send {
    /// The descriptor to wait on, the same for the backend's whole life: readable or writable when
    /// there is something to read again, room to write again, or another peer. It is watched for
    /// edges. None for a backend on which nobody has to wait.
    fn event_fd(&self) -> Option<RawFd> {
        None
    }

    /// What log lines shall call the port: its device and its name.
    fn set_name(&mut self, name: &str) {
        let _ = name;
    }

    /// The descriptor had an event, or the port was opened or closed: the backend does what it
    /// has to do by itself. Reading and writing follow. `guest_listens`: whether the guest reads
    /// what comes; if not, a peer that has gone need not be waited for until all is read.
    fn process_event(&mut self, guest_listens: bool) {
        let _ = guest_listens;
    }

    /// Who is there: another number for every peer, or nobody. Without a peer, what the guest
    /// prints is dropped. It changes during the other calls only.
    fn peer(&self) -> Option<u64> {
        Some(0)
    }

    /// Takes up to `bytes.len()` bytes of input and returns how many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] when there are none.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let _ = bytes;
        Err(ErrorKind::WouldBlock.into())
    }

    /// Prints as many of `bytes` as there is room for, and returns how many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] when there is no room: the guest's output waits until there is an
    /// event. With any other error these bytes are lost.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Nothing follows for now.
    ///
    /// # Errors
    ///
    /// Something of what was taken is lost.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write + Send> PortBackend for W {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map_err(|error| match error.kind() {
            // Nobody would come back to it.
            ErrorKind::WouldBlock => io::Error::other(error),
            _ => error,
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(self)
    }
}
