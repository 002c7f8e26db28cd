// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pair of connected sockets: one frame is one datagram.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;

use super::backend::NetBackend;
use super::buffers::FrameBuffers;
use super::header::VnetHeader;

/// A link over a connected Unix datagram socket, for a peer in the same process or on the host.
#[derive(Debug)]
pub struct DatagramLink {
    socket: UnixDatagram,
}

impl DatagramLink {
    /// Takes over a connected socket and makes it non-blocking.
    pub fn new(socket: UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(DatagramLink { socket })
    }

    /// A link and the socket at its other end, which blocks.
    pub fn pair() -> io::Result<(Self, UnixDatagram)> {
        let (near, far) = UnixDatagram::pair()?;
        Ok((Self::new(near)?, far))
    }
}

impl NetBackend for DatagramLink {
    fn event_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    fn read_frame(
        &mut self,
        _: &mut VnetHeader,
        frame: &mut FrameBuffers<'_>,
    ) -> io::Result<usize> {
        frame.receive_from(&self.socket)
    }

    fn write_frame(&mut self, _: &VnetHeader, frame: &mut FrameBuffers<'_>) -> io::Result<()> {
        frame.send_to(&self.socket, &[]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(link: &mut DatagramLink) -> io::Result<usize> {
        let mut frame = [0; 64];
        let mut buffers = FrameBuffers::new();
        buffers.push_slice(&mut frame);
        link.read_frame(&mut VnetHeader::default(), &mut buffers)
    }

    #[test]
    fn carries_frames_one_by_one() {
        let (mut link, peer) = DatagramLink::pair().unwrap();
        let empty = read(&mut link).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        peer.send(b"first").unwrap();
        peer.send(b"second one").unwrap();
        assert_eq!(read(&mut link).unwrap(), 5);
        assert_eq!(read(&mut link).unwrap(), 10);
        // One that is longer than the room says how long it is.
        peer.send(&[7; 100]).unwrap();
        assert_eq!(read(&mut link).unwrap(), 100);
        let mut frame = *b"answer";
        let mut buffers = FrameBuffers::new();
        buffers.push_slice(&mut frame);
        link.write_frame(&VnetHeader::default(), &mut buffers)
            .unwrap();
        assert_eq!(peer.recv(&mut [0; 64]).unwrap(), 6);
    }
}
