// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the frames of a network device go to and come from.

use std::io;
use std::os::fd::RawFd;

/// Longest frame a backend takes or gives: a 64 KiB IP packet behind an Ethernet header.
pub const MAX_FRAME: usize = 65_550;

/// A link that carries Ethernet frames without their check sequence.
pub trait NetBackend: Send {
    /// The descriptor to wait on, readable when a frame can be read and writable when one can be
    /// written; non-blocking.
    fn event_fd(&self) -> RawFd;

    /// Takes the next frame into `frame` and returns its length; [`io::ErrorKind::WouldBlock`]
    /// when there is none. What does not fit is cut off.
    fn read_frame(&mut self, frame: &mut [u8]) -> io::Result<usize>;

    /// Sends one frame as a whole; [`io::ErrorKind::WouldBlock`] when the link is full.
    fn write_frame(&mut self, frame: &[u8]) -> io::Result<()>;

    /// Goes on with a frame that was taken and could not be sent whole; called when the
    /// descriptor becomes writable.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
