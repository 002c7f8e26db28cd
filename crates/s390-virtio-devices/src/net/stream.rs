// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A stream socket whose peer is a program like passt: every frame follows its length, 32 bits,
//! most significant byte first, as in QEMU's `-netdev stream`.
//!
//! A stream has no borders between frames, so what arrives goes through a buffer, as many frames
//! as there are with one call; what is sent goes straight from the guest's memory.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::timerfd::TimerFd;

use super::backend::{NetBackend, MAX_FRAME};
use super::buffers::FrameBuffers;
use super::header::VnetHeader;

/// Bytes of the length in front of a frame.
const PREFIX: usize = 4;
/// Room for two of the longest frames: one that is read and one that arrives.
const BUFFER: usize = 2 * (PREFIX + MAX_FRAME);
/// Time between two tries to connect again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a stream socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Nobody listens there, or it is no socket at all.
    #[error("cannot connect to {}", path.display())]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The host is out of file descriptors.
    #[error("cannot wait for a socket")]
    Wait(#[source] io::Error),
}

/// A link over a Unix stream socket that a program on the host listens on. When the connection is
/// lost it is tried again every second, and the guest's frames are refused meanwhile.
pub struct StreamLink {
    path: PathBuf,
    /// What log lines call the device.
    name: String,
    /// Ready when the socket or the timer is: the socket changes, this one does not.
    epoll: Epoll,
    timer: TimerFd,
    socket: Option<Socket>,
    /// What has arrived is between `start` and `end`.
    received: Box<[u8]>,
    start: usize,
    end: usize,
    /// The end of a frame whose beginning is on its way.
    unsent: Vec<u8>,
}

impl std::fmt::Debug for StreamLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamLink")
            .field("path", &self.path)
            .field("connected", &self.socket.is_some())
            .finish_non_exhaustive()
    }
}

/// What log lines call it.
impl std::fmt::Display for StreamLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.path.display())
    }
}

impl StreamLink {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// Nobody listens there now. (Only a connection that was there is tried again.)
    pub fn connect(path: &Path) -> Result<Self, StreamError> {
        let timer = TimerFd::new().map_err(|error| StreamError::Wait(error.into()))?;
        let epoll = Epoll::new().map_err(StreamError::Wait)?;
        let event = EpollEvent::new(EventSet::IN, 0);
        (epoll.ctl(ControlOperation::Add, timer.as_raw_fd(), event)).map_err(StreamError::Wait)?;
        let mut link = StreamLink {
            path: path.to_owned(),
            name: "net".to_owned(),
            epoll,
            timer,
            socket: None,
            received: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            unsent: Vec::new(),
        };
        link.try_connect().map_err(|source| StreamError::Connect {
            path: path.to_owned(),
            source,
        })?;
        Ok(link)
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    fn try_connect(&mut self) -> io::Result<()> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A peer that does not accept must not keep the thread.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(&self.path)?)?;
        let events = EventSet::IN | EventSet::OUT | EventSet::EDGE_TRIGGERED;
        let event = EpollEvent::new(events, 1);
        self.epoll
            .ctl(ControlOperation::Add, socket.as_raw_fd(), event)?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Gives the connection up, which takes the socket out of the epoll too.
    fn disconnect(&mut self, why: io::Error) -> io::Error {
        self.socket = None;
        self.forget_rest();
        self.unsent.clear();
        if let Err(error) = self.timer.reset(RETRY, Some(RETRY)) {
            log::error!("{self}: never again: {error}");
        }
        log::warn!("{self}: connection lost, trying again: {why}");
        ErrorKind::NotConnected.into()
    }

    /// The timer's turn, if there is no connection.
    fn reconnect(&mut self) -> io::Result<()> {
        if self.socket.is_some() || !self.timer_expired()? {
            return Ok(());
        }
        match self.try_connect() {
            Ok(()) => {
                log::info!("{self}: connected again");
                self.timer.clear().map_err(io::Error::from)
            }
            Err(error) => {
                log::debug!("{self}: still nobody: {error}");
                Ok(())
            }
        }
    }

    /// Takes the timer's event, if there is one: reading the timer waits for it.
    fn timer_expired(&mut self) -> io::Result<bool> {
        let mut events = [EpollEvent::default(); 2];
        let count = self.epoll.wait(0, &mut events)?;
        let expired = events[..count].iter().any(|event| event.data() == 0);
        if expired {
            self.timer.wait().map_err(io::Error::from)?;
        }
        Ok(expired)
    }

    /// Sends what is left of a frame; `WouldBlock` if something still is.
    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let Some(socket) = &self.socket else {
                return Err(ErrorKind::NotConnected.into());
            };
            // Nothing of Rust's sockets sends a signal.
            match socket.send_with_flags(&self.unsent, libc::MSG_NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                Err(error) => return Err(self.disconnect(error)),
            }
        }
        Ok(())
    }

    /// Where the next frame is in the buffer, if all of it is there.
    fn next_frame(&mut self) -> io::Result<Option<std::ops::Range<usize>>> {
        let arrived = &self.received[self.start..self.end];
        let Some((prefix, rest)) = arrived.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*prefix) as usize;
        if len > MAX_FRAME {
            let error = format!("a frame of {len} bytes is announced");
            return Err(self.disconnect(io::Error::other(error)));
        }
        let first = self.start + PREFIX;
        Ok((rest.len() >= len).then_some(first..first + len))
    }

    /// Forgets what has arrived behind the last whole frame: nothing follows that belongs to it.
    fn forget_rest(&mut self) {
        let mut end = self.start;
        while let Some((prefix, rest)) = self.received[end..self.end].split_first_chunk::<PREFIX>()
        {
            let len = u32::from_be_bytes(*prefix) as usize;
            if len > MAX_FRAME || len > rest.len() {
                break;
            }
            end += PREFIX + len;
        }
        self.end = end;
    }

    /// Receives once; `WouldBlock` if nothing has arrived.
    fn receive(&mut self) -> io::Result<()> {
        let Some(socket) = &mut self.socket else {
            return Err(ErrorKind::WouldBlock.into());
        };
        if self.received.len() - self.end < PREFIX + MAX_FRAME {
            // The frame that is incomplete is the only one left.
            self.received.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match socket.read(&mut self.received[self.end..]) {
            Ok(0) => Err(self.disconnect(ErrorKind::UnexpectedEof.into())),
            Ok(len) => {
                self.end += len;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            Err(error) => Err(self.disconnect(error)),
        }
    }
}

impl NetBackend for StreamLink {
    fn event_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    fn process_event(&mut self) -> io::Result<()> {
        if self.socket.is_none() {
            return self.reconnect();
        }
        // The event is taken: the next one is seen as a new one.
        self.epoll.wait(0, &mut [EpollEvent::default(); 2])?;
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    fn read_frame(
        &mut self,
        _: &mut VnetHeader,
        frame: &mut FrameBuffers<'_>,
    ) -> io::Result<usize> {
        loop {
            if let Some(range) = self.next_frame()? {
                self.start = range.end;
                return Ok(frame.copy_from_slice(&self.received[range]));
            }
            self.receive()?;
        }
    }

    fn write_frame(&mut self, _: &VnetHeader, frame: &mut FrameBuffers<'_>) -> io::Result<()> {
        self.flush()?;
        let Some(socket) = &self.socket else {
            return Err(ErrorKind::NotConnected.into());
        };
        // A frame is far below 4 GiB.
        let prefix = (frame.len() as u32).to_be_bytes();
        let sent = match frame.send_to(socket, &prefix) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
            Err(error) => return Err(self.disconnect(error)),
        };
        if sent < PREFIX + frame.len() {
            keep_rest(&mut self.unsent, &prefix, frame, sent);
        }
        Ok(())
    }
}

/// Keeps what is behind the first `sent` bytes of a frame and its prefix.
fn keep_rest(unsent: &mut Vec<u8>, prefix: &[u8; PREFIX], frame: &FrameBuffers<'_>, sent: usize) {
    unsent.extend_from_slice(prefix.get(sent..).unwrap_or_default());
    frame.copy_to(sent.saturating_sub(PREFIX), unsent);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};

    use tempfile::TempDir;

    use super::*;

    struct Bench {
        link: StreamLink,
        peer: UnixStream,
        listener: UnixListener,
        _directory: TempDir,
    }

    fn bench() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let link = StreamLink::connect(&path).unwrap();
        let (peer, _) = listener.accept().unwrap();
        Bench {
            link,
            peer,
            listener,
            _directory: directory,
        }
    }

    fn read(link: &mut StreamLink) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; MAX_FRAME];
        let mut buffers = FrameBuffers::new();
        buffers.push_slice(&mut frame);
        let len = link.read_frame(&mut VnetHeader::default(), &mut buffers)?;
        frame.truncate(len);
        Ok(frame)
    }

    fn write(link: &mut StreamLink, frame: &[u8]) -> io::Result<()> {
        let mut frame = frame.to_vec();
        let half = frame.len() / 2;
        let (first, second) = frame.split_at_mut(half);
        let mut buffers = FrameBuffers::new();
        buffers.push_slice(first);
        buffers.push_slice(second);
        link.write_frame(&VnetHeader::default(), &mut buffers)
    }

    fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    fn frame(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + len) as u8).collect()
    }

    fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u32).to_be_bytes(), frame].concat()
    }

    /// Waits until the link has an event, and lets it have it.
    fn wait(link: &mut StreamLink) {
        let epoll = Epoll::new().unwrap();
        let event = EpollEvent::new(EventSet::IN, 0);
        (epoll.ctl(ControlOperation::Add, link.event_fd(), event)).unwrap();
        assert_eq!(epoll.wait(10_000, &mut [event]).unwrap(), 1);
        link.process_event().unwrap();
    }

    #[test]
    fn frames_follow_their_length() {
        let mut bench = bench();
        assert_eq!(kind(read(&mut bench.link)), ErrorKind::WouldBlock);
        for len in (60..1515).chain([9014, MAX_FRAME]) {
            write(&mut bench.link, &frame(len)).unwrap();
            let mut sent = vec![0; PREFIX + len];
            bench.peer.read_exact(&mut sent).unwrap();
            assert_eq!(sent, framed(&frame(len)));
            bench.peer.write_all(&sent).unwrap();
            assert_eq!(read(&mut bench.link).unwrap(), frame(len));
        }
        assert_eq!(kind(read(&mut bench.link)), ErrorKind::WouldBlock);
    }

    #[test]
    fn frames_arrive_in_any_pieces() {
        let mut bench = bench();
        let lengths = [60, MAX_FRAME, 0, 1514, 61, MAX_FRAME, 9000];
        let stream: Vec<u8> = lengths
            .iter()
            .flat_map(|len| framed(&frame(*len)))
            .collect();
        for size in [1000, 65_536, 200_000] {
            let mut received = Vec::new();
            for piece in stream.chunks(size) {
                // More at once than the socket holds.
                let (mut peer, piece) = (bench.peer.try_clone().unwrap(), piece.to_vec());
                let writer = std::thread::spawn(move || peer.write_all(&piece).unwrap());
                while !writer.is_finished() {
                    received.extend(std::iter::from_fn(|| read(&mut bench.link).ok()));
                }
                received.extend(std::iter::from_fn(|| read(&mut bench.link).ok()));
                writer.join().unwrap();
            }
            assert!(received == lengths.map(frame), "pieces of {size}");
        }
        for byte in framed(&frame(60)) {
            assert_eq!(kind(read(&mut bench.link)), ErrorKind::WouldBlock);
            bench.peer.write_all(&[byte]).unwrap();
        }
        assert_eq!(read(&mut bench.link).unwrap(), frame(60));
    }

    #[test]
    fn a_full_socket_loses_nothing() {
        let mut bench = bench();
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        // Until a part of a frame waits here.
        while bench.link.unsent.is_empty() {
            match write(&mut bench.link, &frame(MAX_FRAME)) {
                Ok(()) => sent.extend(framed(&frame(MAX_FRAME))),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    let mut some = vec![0; 40_000];
                    bench.peer.read_exact(&mut some).unwrap();
                    received.extend(some);
                }
            }
        }
        // Nothing overtakes it, not even when there is room again.
        assert_eq!(
            kind(write(&mut bench.link, &frame(60))),
            ErrorKind::WouldBlock
        );
        while write(&mut bench.link, &frame(60)).is_err() {
            let mut some = vec![0; 40_000];
            bench.peer.read_exact(&mut some).unwrap();
            received.extend(some);
        }
        sent.extend(framed(&frame(60)));
        let mut peer = bench.peer.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            let first = received.len();
            received.resize(sent.len(), 0);
            peer.read_exact(&mut received[first..]).unwrap();
            assert!(received == sent);
        });
        while !bench.link.unsent.is_empty() {
            wait(&mut bench.link);
        }
        reader.join().unwrap();
    }

    #[test]
    fn the_rest_of_a_frame_begins_anywhere() {
        let (whole, mut bytes) = (framed(&frame(60)), frame(60));
        let mut buffers = FrameBuffers::new();
        buffers.push_slice(&mut bytes);
        for sent in 0..=whole.len() {
            let mut unsent = Vec::new();
            keep_rest(&mut unsent, &60u32.to_be_bytes(), &buffers, sent);
            assert_eq!(unsent, whole[sent..]);
        }
    }

    #[test]
    fn a_lost_connection_comes_back() {
        let mut bench = bench();
        bench.peer.write_all(&framed(&frame(60))).unwrap();
        // A frame that is cut off goes with the connection.
        bench.peer.write_all(&framed(&frame(60))[..30]).unwrap();
        drop(bench.peer);
        wait(&mut bench.link);
        assert_eq!(read(&mut bench.link).unwrap(), frame(60));
        assert_eq!(kind(read(&mut bench.link)), ErrorKind::NotConnected);
        assert!(!bench.link.is_connected());
        assert_eq!(kind(read(&mut bench.link)), ErrorKind::WouldBlock);
        assert_eq!(
            kind(write(&mut bench.link, &frame(60))),
            ErrorKind::NotConnected
        );
        while !bench.link.is_connected() {
            wait(&mut bench.link);
        }
        let (mut peer, _) = bench.listener.accept().unwrap();
        peer.write_all(&framed(&frame(77))).unwrap();
        assert_eq!(read(&mut bench.link).unwrap(), frame(77));
        write(&mut bench.link, &frame(78)).unwrap();
        let mut sent = [0; PREFIX + 78];
        peer.read_exact(&mut sent).unwrap();
        assert_eq!(sent[..], framed(&frame(78)));
    }

    #[test]
    fn frames_that_have_arrived_stay_when_the_connection_goes() {
        let mut bench = bench();
        for len in [60, 61, 62] {
            bench.peer.write_all(&framed(&frame(len))).unwrap();
        }
        bench.peer.write_all(&framed(&frame(63))[..30]).unwrap();
        assert_eq!(read(&mut bench.link).unwrap(), frame(60));
        drop(bench.peer);
        assert_eq!(
            kind(write(&mut bench.link, &frame(60))),
            ErrorKind::NotConnected
        );
        assert_eq!(read(&mut bench.link).unwrap(), frame(61));
        while !bench.link.is_connected() {
            wait(&mut bench.link);
        }
        let (mut peer, _) = bench.listener.accept().unwrap();
        peer.write_all(&framed(&frame(64))).unwrap();
        // Of the last one only a part had come.
        for len in [62, 64] {
            assert_eq!(read(&mut bench.link).unwrap(), frame(len));
        }
    }

    #[test]
    fn the_rest_of_a_frame_goes_with_the_connection() {
        let mut bench = bench();
        while bench.link.unsent.is_empty() {
            if write(&mut bench.link, &frame(MAX_FRAME)).is_err() {
                bench.peer.read_exact(&mut [0; 40_000]).unwrap();
            }
        }
        drop(bench.peer);
        while !bench.link.is_connected() || !bench.link.unsent.is_empty() {
            let _ = read(&mut bench.link);
            wait(&mut bench.link);
        }
        let (mut peer, _) = bench.listener.accept().unwrap();
        write(&mut bench.link, &frame(60)).unwrap();
        let mut sent = [0; PREFIX + 60];
        peer.read_exact(&mut sent).unwrap();
        assert_eq!(sent[..], framed(&frame(60)));
    }

    #[test]
    fn a_length_that_no_frame_has_ends_the_connection() {
        for len in [MAX_FRAME as u32 + 1, u32::MAX] {
            let mut bench = bench();
            bench.peer.write_all(&len.to_be_bytes()).unwrap();
            assert_eq!(kind(read(&mut bench.link)), ErrorKind::NotConnected);
            assert_eq!(bench.peer.read(&mut [0]).unwrap(), 0);
        }
    }

    #[test]
    fn nobody_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let error = StreamLink::connect(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot connect to {}", path.display())
        );
        std::fs::write(&path, "").unwrap();
        assert!(StreamLink::connect(&path).is_err());
        let long = directory.path().join("x".repeat(200));
        assert!(StreamLink::connect(&long).is_err());
    }
}
