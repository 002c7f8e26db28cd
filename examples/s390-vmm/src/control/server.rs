// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The listening side: one client after the other, none of which can hold up the rest for long.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::PollTimeout;
use serde_json::json;

use super::api::{ApiError, Command};
use super::http::{Connection, HttpError, Request};
use super::manager::{Answer, Manager};
use crate::end::sentence;
use crate::socket::ListeningSocket;
use crate::wait::{wait, Wake};
use crate::{Error, Result};

/// A client has to be done with its request, and with taking the answer, within this time.
const CLIENT_TIME: Duration = Duration::from_secs(5);
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// The thread that answers clients, until this is dropped.
#[derive(Debug)]
pub(crate) struct ControlThread {
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl ControlThread {
    /// Begins to answer.
    pub(crate) fn start(socket: ListeningSocket, manager: Manager) -> Result<Self> {
        let (far, stop) = UnixStream::pair().map_err(Error::host("create a socket"))?;
        let stopper = manager.stopper();
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                stopper.watch(|| {
                    run(&socket, &manager, &far);
                    Ok(())
                });
            })
            .map_err(Error::host("start a thread"))?;
        Ok(ControlThread {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

fn run(socket: &ListeningSocket, manager: &Manager, stop: &UnixStream) {
    loop {
        match wait(Some(socket.as_ref().as_fd()), stop, PollTimeout::NONE) {
            Wake::Stop => return,
            Wake::Timeout => continue,
            Wake::Ready => {}
        }
        match socket.as_ref().accept() {
            Ok((stream, _)) => {
                if let Err(error) = serve(&stream, manager, stop) {
                    log::debug!("control: {error}");
                }
            }
            // A client that is gone, or no file descriptor for it: the next one may fare better,
            // but the wait would end at once.
            Err(error) => {
                log::warn!("control: cannot accept a client: {error}");
                let _ = wait(None, stop, 100u8);
            }
        }
    }
}

/// Answers the one request of a client.
fn serve(stream: &UnixStream, manager: &Manager, stop: &UnixStream) -> Result<(), HttpError> {
    let answer = match Connection::new(stream, stop, CLIENT_TIME).read_request() {
        Ok(request) => answer(&request, manager),
        Err(error) => match status(&error) {
            Some(status) => Err((status, error.to_string())),
            None => return Err(error),
        },
    };
    let mut connection = Connection::new(stream, stop, CLIENT_TIME);
    match answer {
        Ok(Answer::None) => connection.write_response(204, JSON, b""),
        Ok(Answer::Json(value)) => {
            connection.write_response(200, JSON, format!("{value}\n").as_bytes())
        }
        Ok(Answer::Bytes(bytes)) => connection.write_response(200, BYTES, &bytes),
        Err((status, sentence)) => {
            let body = format!("{}\n", json!({ "error": sentence }));
            connection.write_response(status, JSON, body.as_bytes())
        }
    }
}

/// Carries out a request, or says with which status and in which words it failed.
fn answer(request: &Request, manager: &Manager) -> Result<Answer, (u16, String)> {
    let command = Command::from_request(&request.method, &request.path, &request.body);
    let command = command.map_err(|error| {
        let status = match error {
            ApiError::NotFound(_) => 404,
            ApiError::Method { .. } => 405,
            ApiError::Body { .. } => 400,
        };
        (status, error.to_string())
    })?;
    log::debug!("control: {command:?}");
    manager.execute(command).map_err(|error| {
        let sentence = sentence(&error);
        log::info!("control: {sentence}");
        (500, sentence)
    })
}

/// What a client is told whose request did not arrive; nothing if nobody listens.
fn status(error: &HttpError) -> Option<u16> {
    match error {
        HttpError::Io(_) | HttpError::Closed | HttpError::Stopped => None,
        HttpError::Timeout => Some(408),
        HttpError::TooLong => Some(413),
        HttpError::Malformed(_) | HttpError::Unsupported(_) => Some(400),
    }
}
