// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The other ends of a network interface's link.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use s390_virtio_devices::net::{DatagramLink, StreamLink};

/// Long enough for any machine: a test that waits so long has failed.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// What is at the other end of the guest's cable.
pub trait Peer {
    /// The next frame that the guest has sent.
    fn receive(&mut self) -> Vec<u8>;
    fn send(&mut self, frame: &[u8]);
}

/// A datagram socket.
pub struct Datagrams(pub UnixDatagram);

impl Datagrams {
    pub fn new() -> (DatagramLink, Self) {
        let (link, peer) = DatagramLink::pair().unwrap();
        peer.set_read_timeout(PATIENCE).unwrap();
        (link, Datagrams(peer))
    }
}

impl Peer for Datagrams {
    fn receive(&mut self) -> Vec<u8> {
        let mut frame = vec![0; 1 << 17];
        let len = self.0.recv(&mut frame).unwrap();
        frame.truncate(len);
        frame
    }

    fn send(&mut self, frame: &[u8]) {
        self.0.send(frame).unwrap();
    }
}

/// A program like passt.
pub struct Stream {
    listener: UnixListener,
    pub socket: UnixStream,
    _directory: tempfile::TempDir,
}

impl Stream {
    pub fn new() -> (StreamLink, Self) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let link = StreamLink::connect(&path).unwrap();
        let socket = Self::accept(&listener);
        let peer = Stream {
            listener,
            socket,
            _directory: directory,
        };
        (link, peer)
    }

    fn accept(listener: &UnixListener) -> UnixStream {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(PATIENCE).unwrap();
        socket.set_write_timeout(PATIENCE).unwrap();
        socket
    }

    /// Ends the connection.
    pub fn hang_up(&self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }

    /// Waits until the link has come back.
    pub fn accept_again(&mut self) {
        self.socket = Self::accept(&self.listener);
    }

    /// A frame behind its length.
    pub fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u32).to_be_bytes(), frame].concat()
    }
}

impl Peer for Stream {
    fn receive(&mut self) -> Vec<u8> {
        let mut len = [0; 4];
        self.socket.read_exact(&mut len).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        self.socket.read_exact(&mut frame).unwrap();
        frame
    }

    fn send(&mut self, frame: &[u8]) {
        self.socket.write_all(&Self::framed(frame)).unwrap();
    }
}
