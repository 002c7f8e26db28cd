// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A port behind a listening Unix stream socket, with one client at a time.

use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

use socket2::Socket;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use super::backend::PortBackend;

/// Data of the client's events; 0 is the listener's.
const CLIENT: u64 = 1;

/// The host's end of a port for programs that connect to a socket, one after the other: the next
/// one is accepted when the present one has gone. One that closes its sending half has gone.
#[derive(Debug)]
pub struct SocketPort {
    /// What log lines call it.
    name: String,
    listener: UnixListener,
    /// Ready when one of the sockets is: the client changes, this one does not.
    epoll: Epoll,
    client: Option<Client>,
    /// Clients so far.
    clients: u64,
}

#[derive(Debug)]
struct Client {
    socket: Socket,
    /// It sends no more than what has arrived.
    has_gone: bool,
}

impl SocketPort {
    /// A port for those who come to `listener`.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let port = SocketPort {
            name: "console port".to_owned(),
            listener,
            epoll: Epoll::new()?,
            client: None,
            clients: 0,
        };
        port.watch(port.listener.as_raw_fd(), EventSet::IN, 0)?;
        Ok(port)
    }

    fn watch(&self, fd: RawFd, events: EventSet, data: u64) -> io::Result<()> {
        let event = EpollEvent::new(events | EventSet::EDGE_TRIGGERED, data);
        self.epoll.ctl(ControlOperation::Add, fd, event)
    }

    /// Takes what has happened; whether the client has gone is part of it.
    fn take_events(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::default(); 2];
        let count = self.epoll.wait(0, &mut events)?;
        let gone = EventSet::READ_HANG_UP | EventSet::HANG_UP | EventSet::ERROR;
        for event in &events[..count] {
            if let (CLIENT, Some(client)) = (event.data(), &mut self.client) {
                client.has_gone |= event.event_set().intersects(gone);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        let (stream, _) = match self.listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
        stream.set_nonblocking(true)?;
        let events = EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP;
        self.watch(stream.as_raw_fd(), events, CLIENT)?;
        self.clients += 1;
        self.client = Some(Client {
            socket: OwnedFd::from(stream).into(),
            has_gone: false,
        });
        Ok(())
    }

    /// The result of a call on the client's socket, which may be its last. What it has sent is to be
    /// read nevertheless.
    fn checked(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        if let (Err(error), Some(client)) = (&result, &mut self.client) {
            if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
                log::debug!("{}: the client has gone: {error}", self.name);
                client.has_gone = true;
                if !matches!(client.socket.peek(&mut [MaybeUninit::uninit()]), Ok(1..)) {
                    // Closing takes it out of the epoll too.
                    self.client = None;
                }
            }
        }
        result
    }
}

impl PortBackend for SocketPort {
    fn event_fd(&self) -> Option<RawFd> {
        Some(self.epoll.as_raw_fd())
    }

    fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    fn process_event(&mut self, guest_listens: bool) {
        let mut step = || {
            self.take_events()?;
            if !guest_listens && self.client.as_ref().is_some_and(|client| client.has_gone) {
                self.client = None;
            }
            match self.client {
                Some(_) => Ok(()),
                None => self.accept(),
            }
        };
        if let Err(error) = step() {
            log::warn!("{}: cannot accept a client: {error}", self.name);
        }
    }

    fn peer(&self) -> Option<u64> {
        self.client.as_ref().map(|_| self.clients)
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(client) = &mut self.client else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let result = match Read::read(&mut client.socket, bytes) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            result => result,
        };
        self.checked(result)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(client) = &self.client else {
            return Err(ErrorKind::NotConnected.into());
        };
        // Nothing of Rust's sockets sends a signal.
        let result = client.socket.send_with_flags(bytes, libc::MSG_NOSIGNAL);
        self.checked(result)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn port() -> (SocketPort, impl Fn() -> UnixStream) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let connect = move || {
            let _directory = &directory;
            UnixStream::connect(&path).unwrap()
        };
        (SocketPort::new(listener).unwrap(), connect)
    }

    fn read(port: &mut SocketPort) -> Result<Vec<u8>, ErrorKind> {
        let mut bytes = [0; 64];
        let len = port.read(&mut bytes).map_err(|error| error.kind())?;
        Ok(bytes[..len].to_vec())
    }

    #[test]
    fn one_client_after_the_other() {
        let (mut port, connect) = port();
        port.process_event(true);
        assert_eq!(port.peer(), None);
        assert_eq!(read(&mut port), Err(ErrorKind::WouldBlock));
        assert!(port.write(b"nobody").is_err());

        let mut first = connect();
        let mut second = connect();
        port.process_event(true);
        assert_eq!(port.peer(), Some(1));
        first.write_all(b"hello").unwrap();
        assert_eq!(port.write(b"welcome").unwrap(), 7);
        second.write_all(b"me too").unwrap();
        assert_eq!(read(&mut port).unwrap(), b"hello");
        assert_eq!(read(&mut port), Err(ErrorKind::WouldBlock));
        let mut bytes = [0; 7];
        first.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"welcome");

        // What it has sent is read before it is known to have gone.
        first.write_all(b"bye").unwrap();
        drop(first);
        port.process_event(true);
        assert_eq!(port.peer(), Some(1));
        assert_eq!(read(&mut port).unwrap(), b"bye");
        assert_eq!(read(&mut port), Err(ErrorKind::UnexpectedEof));
        assert_eq!(port.peer(), None);
        port.process_event(true);
        assert_eq!(port.peer(), Some(2));
        assert_eq!(read(&mut port).unwrap(), b"me too");
    }

    #[test]
    fn a_client_that_nobody_listens_to_does_not_stay_when_it_has_gone() {
        let (mut port, connect) = port();
        let mut first = connect();
        first.write_all(b"hello").unwrap();
        port.process_event(false);
        assert_eq!(port.peer(), Some(1));
        drop(first);
        port.process_event(true);
        let _second = connect();
        assert_eq!(port.peer(), Some(1));
        // The guest's end was closed since.
        port.process_event(false);
        assert_eq!(port.peer(), Some(2));
        assert_eq!(read(&mut port), Err(ErrorKind::WouldBlock));
    }

    #[test]
    fn what_a_client_has_sent_is_read_although_it_takes_nothing_any_more() {
        let (mut port, connect) = port();
        let mut first = connect();
        port.process_event(true);
        first.write_all(b"hello").unwrap();
        drop(first);
        assert_eq!(port.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(port.peer(), Some(1));
        assert_eq!(read(&mut port).unwrap(), b"hello");
        assert_eq!(read(&mut port), Err(ErrorKind::UnexpectedEof));
        assert_eq!(port.peer(), None);
        // Unless nobody wants it.
        let mut second = connect();
        port.process_event(true);
        second.write_all(b"hello").unwrap();
        drop(second);
        assert!(port.write(b"x").is_err());
        port.process_event(false);
        assert_eq!(port.peer(), None);
    }

    #[test]
    fn a_client_that_does_not_read_is_no_error_and_one_that_has_gone_is() {
        let (mut port, connect) = port();
        let client = connect();
        port.process_event(true);
        let full = loop {
            match port.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        assert_eq!(port.peer(), Some(1));
        drop(client);
        assert_eq!(port.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(port.peer(), None);
    }
}
