// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A stream socket on which every frame follows its length, four bytes in network order: what
//! QEMU's `-netdev stream` speaks, and passt.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::backend::{NetBackend, MAX_FRAME};

/// Bytes in front of a frame.
const LENGTH: usize = 4;
/// Bytes that are received at a time.
const CHUNK: usize = 64 << 10;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {path}")]
pub struct StreamError {
    /// Path as given.
    path: String,
    /// Cause.
    #[source]
    source: io::Error,
}

/// A link over a connected Unix stream socket.
#[derive(Debug)]
pub struct StreamLink {
    socket: UnixStream,
    received: Vec<u8>,
    /// Bytes of `received` that were handed on.
    taken: usize,
    /// The rest of a frame that the socket did not take whole.
    unsent: Vec<u8>,
    /// The other side is gone, or does not keep to the framing.
    over: bool,
}

impl StreamLink {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn connect(path: &Path) -> Result<Self, StreamError> {
        UnixStream::connect(path)
            .and_then(Self::new)
            .map_err(|source| StreamError {
                path: path.display().to_string(),
                source,
            })
    }

    /// Takes over a connected socket and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// The socket cannot be made so.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(StreamLink {
            socket,
            received: Vec::new(),
            taken: 0,
            unsent: Vec::new(),
            over: false,
        })
    }

    /// The bytes received and not handed on.
    fn rest(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    /// Length of the frame that is next, once that is known.
    fn next_length(&self) -> Option<usize> {
        let length = self.rest().first_chunk::<LENGTH>()?;
        Some(u32::from_be_bytes(*length) as usize)
    }

    /// Receives some more bytes.
    fn fill(&mut self) -> io::Result<()> {
        self.received.drain(..self.taken);
        self.taken = 0;
        let start = self.received.len();
        self.received.resize(start + CHUNK, 0);
        let result = loop {
            match self.socket.read(&mut self.received[start..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let len = result.as_ref().copied().unwrap_or(0);
        self.received.truncate(start + len);
        match result {
            Ok(0) => Err(self.end(ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            Err(error) => Err(self.end(error)),
        }
    }

    /// Nothing comes or goes any more, because of `error`.
    fn end(&mut self, error: io::Error) -> io::Error {
        self.over = true;
        self.unsent.clear();
        self.received.clear();
        self.taken = 0;
        // So that the other side hears of it.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        error
    }
}

impl NetBackend for StreamLink {
    fn event_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    fn read_frame(&mut self, frame: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.next_length() {
                Some(len) if len > MAX_FRAME => {
                    let sentence = format!("a frame of {len} bytes on a stream");
                    return Err(self.end(io::Error::new(ErrorKind::InvalidData, sentence)));
                }
                Some(len) if self.rest().len() >= LENGTH + len => {
                    let start = self.taken + LENGTH;
                    let fits = len.min(frame.len());
                    frame[..fits].copy_from_slice(&self.received[start..start + fits]);
                    self.taken = start + len;
                    return Ok(fits);
                }
                _ => {}
            }
            if self.over {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.fill()?;
        }
    }

    fn write_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        self.flush()?;
        if self.over {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if !self.unsent.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        // No frame is longer than MAX_FRAME.
        self.unsent
            .extend_from_slice(&(frame.len() as u32).to_be_bytes());
        self.unsent.extend_from_slice(frame);
        // What is left of it now goes first next time.
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(len) => drop(self.unsent.drain(..len)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.end(error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (StreamLink, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (StreamLink::new(near).unwrap(), far)
    }

    fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u32).to_be_bytes()[..], frame].concat()
    }

    fn read(link: &mut StreamLink) -> Result<Vec<u8>, ErrorKind> {
        let mut frame = vec![0; MAX_FRAME];
        let len = link.read_frame(&mut frame).map_err(|e| e.kind())?;
        frame.truncate(len);
        Ok(frame)
    }

    #[test]
    fn frames_arrive_however_they_are_cut() {
        let (mut link, mut peer) = pair();
        assert_eq!(read(&mut link), Err(ErrorKind::WouldBlock));
        let frames: Vec<Vec<u8>> = (0..100usize).map(|i| vec![i as u8; 60 + 13 * i]).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
        let mut arrived = Vec::new();
        for piece in bytes.chunks(97) {
            peer.write_all(piece).unwrap();
            while let Ok(frame) = read(&mut link) {
                arrived.push(frame);
            }
        }
        assert!(arrived == frames);
        // Longer than the place for it: cut off, and the next one is whole.
        peer.write_all(&[framed(&[1; 100]), framed(&[2; 50])].concat())
            .unwrap();
        assert_eq!(link.read_frame(&mut [0; 64]).unwrap(), 64);
        assert_eq!(read(&mut link), Ok(vec![2; 50]));
        let longest = vec![3; MAX_FRAME];
        peer.set_nonblocking(false).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| peer.write_all(&framed(&longest)).unwrap());
            while read(&mut link).map_or(true, |frame| frame != longest) {
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn a_full_socket_takes_whole_frames_in_order() {
        let (mut link, mut peer) = pair();
        let mut sent = 0u32;
        let frame = |number: u32| number.to_be_bytes().repeat(300);
        while link.write_frame(&frame(sent)).is_ok() {
            sent += 1;
        }
        assert!(sent > 1);
        peer.set_nonblocking(true).unwrap();
        let mut bytes = Vec::new();
        let mut chunk = [0; 1000];
        let mut wanted = sent;
        while wanted < 2 * sent || !link.unsent.is_empty() {
            if let Ok(len) = peer.read(&mut chunk) {
                bytes.extend_from_slice(&chunk[..len]);
            }
            match wanted < 2 * sent {
                true => wanted += u32::from(link.write_frame(&frame(wanted)).is_ok()),
                false => link.flush().unwrap(),
            }
        }
        while let Ok(len @ 1..) = peer.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..len]);
        }
        let expected: Vec<u8> = (0..2 * sent).flat_map(|n| framed(&frame(n))).collect();
        assert!(bytes == expected);
    }

    #[test]
    fn an_end_is_an_error_once_and_silence_then() {
        let (mut link, mut peer) = pair();
        peer.write_all(&[framed(b"last words here"), vec![0, 0]].concat())
            .unwrap();
        drop(peer);
        assert_eq!(read(&mut link), Ok(b"last words here".to_vec()));
        assert_eq!(read(&mut link), Err(ErrorKind::UnexpectedEof));
        assert_eq!(read(&mut link), Err(ErrorKind::WouldBlock));
        let error = link.write_frame(&[0; 60]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_link() {
        let (mut link, mut peer) = pair();
        peer.write_all(&[0xff; 100]).unwrap();
        assert_eq!(read(&mut link), Err(ErrorKind::InvalidData));
        assert_eq!(read(&mut link), Err(ErrorKind::WouldBlock));
        assert!(link.write_frame(&[0; 60]).is_err());
        assert_eq!(peer.read(&mut [0; 10]).unwrap_or(0), 0);
    }

    #[test]
    fn nobody_there() {
        let error = StreamLink::connect(Path::new("/nonexistent/socket")).unwrap_err();
        assert_eq!(error.to_string(), "cannot connect to /nonexistent/socket");
    }
}
