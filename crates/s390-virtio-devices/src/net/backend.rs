// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the frames of a network device go to and come from.

use std::io;
use std::os::fd::RawFd;

use super::buffers::FrameBuffers;
use super::header::{HeaderOrder, Offloads, VnetHeader};

/// Longest frame a backend takes or gives: a 64 KiB IP packet behind an Ethernet header with a VLAN
/// tag.
pub const MAX_FRAME: usize = 65_535 + 18;

/// A link that carries Ethernet frames without their check sequence.
pub trait NetBackend: Send {
    /// The descriptor to wait on, the same for the backend's whole life: readable when a frame can
    /// be read or something else is to do, writable when a frame can be written; non-blocking. It
    /// is watched for edges, so all that there is must be read before the next one counts.
    fn event_fd(&self) -> RawFd;

    /// The descriptor had an event: the backend does what it has to do by itself. Reading and
    /// writing follow.
    ///
    /// # Errors
    ///
    /// The link was lost; what of it comes back by itself comes back with a later event.
    fn process_event(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// What log lines shall call the device in front.
    fn set_name(&mut self, name: &str) {
        let _ = name;
    }

    /// What the backend takes from the guest, and can be told to give to the guest. Nothing for a
    /// backend without headers.
    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    /// A driver begins, or changes its mind: what it takes from the backend, and the byte order
    /// of headers in both directions.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn set_offloads(&mut self, guest: Offloads, order: HeaderOrder) -> io::Result<()> {
        let _ = (guest, order);
        Ok(())
    }

    /// Takes the next frame into `frame`, which has room for [`MAX_FRAME`] bytes, and returns its
    /// length. `header` is all zeros and says afterwards what is left to the guest to do with it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no frame.
    fn read_frame(
        &mut self,
        header: &mut VnetHeader,
        frame: &mut FrameBuffers<'_>,
    ) -> io::Result<usize>;

    /// Sends one frame as a whole. `header` says what the guest left to do with it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the link is full.
    fn write_frame(&mut self, header: &VnetHeader, frame: &mut FrameBuffers<'_>) -> io::Result<()>;
}
