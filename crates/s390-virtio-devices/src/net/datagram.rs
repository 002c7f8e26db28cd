// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pair of connected sockets: one frame is one datagram.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;

use super::backend::NetBackend;

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

    fn read_frame(&mut self, frame: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(frame)
    }

    fn write_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_frames_one_by_one() {
        let (mut link, peer) = DatagramLink::pair().unwrap();
        let mut frame = [0; 64];
        let empty = link.read_frame(&mut frame).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        peer.send(b"first").unwrap();
        peer.send(b"second one").unwrap();
        assert_eq!(link.read_frame(&mut frame).unwrap(), 5);
        assert_eq!(link.read_frame(&mut frame).unwrap(), 10);
        link.write_frame(b"answer").unwrap();
        assert_eq!(peer.recv(&mut frame).unwrap(), 6);
    }
}
