// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! As much of HTTP/1.1 as the control socket needs: one request and one response a connection,
//! each with a length.
//!
//! The other side is not trusted to be quick, nor to be brief, nor to speak HTTP.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFlags, PollTimeout};

use crate::wait::{wait_for, Wake};

/// Most bytes before the body.
const MAX_HEAD: usize = 8 << 10;
/// Most header lines.
const MAX_HEADERS: usize = 64;
/// Most bytes of a request's body.
pub(super) const MAX_REQUEST: usize = 64 << 10;
/// Most bytes of a response's body.
pub(super) const MAX_RESPONSE: usize = 16 << 20;

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The other side closed the connection before the message was complete.
    #[error("the connection was closed in the middle of a message")]
    Closed,
    /// The other side took too long.
    #[error("the message took too long")]
    Timeout,
    /// This side shall stop.
    #[error("the machine ends")]
    Stopped,
    /// The message is too long.
    #[error("the message is too long")]
    TooLong,
    /// Not HTTP.
    #[error("this is not HTTP/1.1: {0}")]
    Malformed(#[from] httparse::Error),
    /// HTTP, but a part of it that is not spoken here.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// The first line and what the header lines say of the body.
struct Head<T> {
    line: T,
    len: usize,
    content_length: usize,
}

/// One end of a connection, for one message in each direction.
pub(super) struct Connection<'a> {
    stream: &'a UnixStream,
    /// Ends a wait when its far end is closed.
    stop: &'a UnixStream,
    deadline: Instant,
    received: Vec<u8>,
}

impl<'a> Connection<'a> {
    /// Both messages have to be over within `time`.
    pub(super) fn new(stream: &'a UnixStream, stop: &'a UnixStream, time: Duration) -> Self {
        Connection {
            stream,
            stop,
            deadline: Instant::now() + time,
            received: Vec::new(),
        }
    }

    /// Receives a request.
    pub(super) fn read_request(&mut self) -> Result<Request, HttpError> {
        let head = self.read_head(|bytes| {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut request = httparse::Request::new(&mut headers);
            let httparse::Status::Complete(len) = request.parse(bytes)? else {
                return Ok(None);
            };
            Ok(Some(Head {
                line: (
                    request.method.unwrap_or_default().to_owned(),
                    request.path.unwrap_or_default().to_owned(),
                ),
                len,
                content_length: content_length(request.headers)?,
            }))
        })?;
        let (method, path) = head.line;
        let body = self.read_body(head.len, head.content_length, MAX_REQUEST)?;
        Ok(Request { method, path, body })
    }

    /// Receives a response.
    pub(super) fn read_response(&mut self) -> Result<Response, HttpError> {
        let head = self.read_head(|bytes| {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(len) = response.parse(bytes)? else {
                return Ok(None);
            };
            Ok(Some(Head {
                line: response.code.unwrap_or_default(),
                len,
                content_length: content_length(response.headers)?,
            }))
        })?;
        let body = self.read_body(head.len, head.content_length, MAX_RESPONSE)?;
        Ok(Response {
            status: head.line,
            body,
        })
    }

    /// Sends a request; without a body, if there is none.
    pub(super) fn write_request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<(), HttpError> {
        let body = body.unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        self.write(head, body)
    }

    /// Sends a response.
    pub(super) fn write_response(
        &mut self,
        status: u16,
        content_type: &str,
        body: &[u8],
    ) -> Result<(), HttpError> {
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            reason(status),
            body.len()
        );
        self.write(head, body)
    }

    fn write(&mut self, head: String, body: &[u8]) -> Result<(), HttpError> {
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        self.stream.set_nonblocking(true)?;
        let mut rest = &message[..];
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not before: whoever ends the machine has the answer, unless he does not read.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLOUT)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_head<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<Head<T>>, HttpError>,
    ) -> Result<Head<T>, HttpError> {
        loop {
            self.fill()?;
            if let Some(head) = parse(&self.received)? {
                return Ok(head);
            }
            if self.received.len() > MAX_HEAD {
                return Err(HttpError::TooLong);
            }
        }
    }

    fn read_body(&mut self, head: usize, len: usize, max: usize) -> Result<Vec<u8>, HttpError> {
        if len > max {
            return Err(HttpError::TooLong);
        }
        while self.received.len() - head < len {
            self.fill()?;
        }
        Ok(self.received[head..head + len].to_vec())
    }

    /// Receives some more bytes.
    fn fill(&mut self) -> Result<(), HttpError> {
        self.wait(PollFlags::POLLIN)?;
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes)? {
            0 => Err(HttpError::Closed),
            len => {
                self.received.extend_from_slice(&bytes[..len]);
                Ok(())
            }
        }
    }

    /// Waits until the stream is ready, as long as there is time and nobody stops.
    fn wait(&self, events: PollFlags) -> Result<(), HttpError> {
        // Rounded up, so that the wait is not repeated for the last fraction.
        let timeout = self.time_left()?.as_millis() + 1;
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match wait_for(Some((self.stream.as_fd(), events)), self.stop, timeout) {
            Wake::Stop => Err(HttpError::Stopped),
            Wake::Timeout => Err(HttpError::Timeout),
            Wake::Ready => Ok(()),
        }
    }

    fn time_left(&self) -> Result<Duration, HttpError> {
        self.deadline
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
            .ok_or(HttpError::Timeout)
    }
}

/// Length of the body that follows these header lines.
fn content_length(headers: &[httparse::Header<'_>]) -> Result<usize, HttpError> {
    const BAD: HttpError = HttpError::Unsupported("the Content-Length makes no sense");
    let mut length = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let sentence = "a body needs a Content-Length, transfer encodings are not spoken here";
            return Err(HttpError::Unsupported(sentence));
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| BAD)?;
            let value: u32 = text.trim().parse().map_err(|_| BAD)?;
            if length.replace(value).is_some_and(|other| other != value) {
                return Err(BAD);
            }
        }
    }
    Ok(length.unwrap_or(0) as usize)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// What a server makes of these bytes, after which the client closes its writing half or not.
    fn request(bytes: &[u8], close: bool) -> Result<Request, HttpError> {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (stop, _open) = UnixStream::pair().unwrap();
        far.write_all(bytes).unwrap();
        if close {
            far.shutdown(std::net::Shutdown::Write).unwrap();
        }
        Connection::new(&near, &stop, Duration::from_millis(100)).read_request()
    }

    #[test]
    fn requests_and_responses_arrive() {
        let (near, far) = UnixStream::pair().unwrap();
        let (stop, _open) = UnixStream::pair().unwrap();
        let time = Duration::from_secs(10);
        let mut client = Connection::new(&near, &stop, time);
        let mut server = Connection::new(&far, &stop, time);
        client.write_request("PUT", "/x", Some(b"{}")).unwrap();
        let request = server.read_request().unwrap();
        assert_eq!((&*request.method, &*request.path), ("PUT", "/x"));
        assert_eq!(request.body, b"{}");
        let body = vec![7; 100_000];
        server.write_response(200, "text/plain", &body).unwrap();
        let response = client.read_response().unwrap();
        assert_eq!((response.status, response.body), (200, body));
    }

    #[test]
    fn a_request_as_curl_sends_it() {
        let bytes =
            b"PUT /api HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\
                      content-length: 3\r\n\r\nabcd";
        assert_eq!(request(bytes, false).unwrap().body, b"abc");
    }

    #[test]
    fn broken_clients_get_an_error() {
        let long = [b"GET /", vec![b'a'; 9000].as_slice()].concat();
        let many = [
            b"GET / HTTP/1.1\r\n".as_slice(),
            &b"a: b\r\n".repeat(MAX_HEADERS + 1),
            b"\r\n",
        ]
        .concat();
        type Check = fn(&HttpError) -> bool;
        let cases: [(&[u8], bool, Check); 10] = [
            (b"", true, |e| matches!(e, HttpError::Closed)),
            (b"", false, |e| matches!(e, HttpError::Timeout)),
            (b"GET / HTT", false, |e| matches!(e, HttpError::Timeout)),
            (b"\0\xff\0\xff\r\n\r\n", true, |e| {
                matches!(e, HttpError::Malformed(_))
            }),
            (&long, false, |e| matches!(e, HttpError::TooLong)),
            (&many, false, |e| matches!(e, HttpError::Malformed(_))),
            (
                b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort",
                true,
                |e| matches!(e, HttpError::Closed),
            ),
            (
                b"PUT / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n",
                false,
                |e| matches!(e, HttpError::TooLong),
            ),
            (
                b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                false,
                |e| matches!(e, HttpError::Unsupported(_)),
            ),
            (
                b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                false,
                |e| matches!(e, HttpError::Unsupported(_)),
            ),
        ];
        for (bytes, close, check) in cases {
            let error = request(bytes, close).unwrap_err();
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
            assert!(check(&error), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_end_of_the_machine_ends_a_wait() {
        let (near, _far) = UnixStream::pair().unwrap();
        let (stop, open) = UnixStream::pair().unwrap();
        drop(open);
        let error = Connection::new(&near, &stop, Duration::from_secs(60)).read_request();
        assert!(matches!(error, Err(HttpError::Stopped)));
    }

    /// How a response ends that no socket takes as a whole.
    fn long_response(near: &UnixStream, stop: &UnixStream, seconds: f32) -> HttpError {
        let time = Duration::from_secs_f32(seconds);
        let body = vec![0; MAX_RESPONSE];
        Connection::new(near, stop, time)
            .write_response(200, "text/plain", &body)
            .unwrap_err()
    }

    #[test]
    fn who_does_not_read_holds_up_nobody() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (stop, open) = UnixStream::pair().unwrap();
        let error = long_response(&near, &stop, 0.1);
        assert!(matches!(error, HttpError::Timeout), "{error}");
        // Nor one who reads a little now and then: every single write has its time.
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut some = vec![0; 64 << 10];
                while !done.load(Ordering::Relaxed) && far.read(&mut some).unwrap() > 0 {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let error = long_response(&near, &stop, 0.3);
            done.store(true, Ordering::Relaxed);
            // What wakes a reader that has taken everything.
            drop(near);
            assert!(matches!(error, HttpError::Timeout), "{error}");
        });
        let (near, _far) = UnixStream::pair().unwrap();
        drop(open);
        let error = long_response(&near, &stop, 60.0);
        assert!(matches!(error, HttpError::Stopped), "{error}");
    }

    #[test]
    fn who_ends_the_machine_has_the_answer() {
        let (near, far) = UnixStream::pair().unwrap();
        let (stop, open) = UnixStream::pair().unwrap();
        drop(open);
        let time = Duration::from_secs(10);
        Connection::new(&near, &stop, time)
            .write_response(200, "text/plain", b"done")
            .unwrap();
        let (stop, _open) = UnixStream::pair().unwrap();
        let response = Connection::new(&far, &stop, time).read_response();
        assert_eq!(response.unwrap().body, b"done");
    }
}
