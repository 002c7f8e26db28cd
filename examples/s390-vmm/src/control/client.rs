// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The asking side.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::api::Command;
use super::http::{Connection, HttpError, Response};
use crate::{Error, Result};

/// A machine that has not answered by now does not answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Sends a command to the machine behind the control socket `socket` and returns its answer, if
/// it has one.
///
/// # Errors
///
/// Nobody answers, or the machine cannot do it.
pub fn ctl(socket: &Path, command: &Command) -> Result<Option<Value>> {
    let body = request(socket, command)?;
    match body.is_empty() {
        true => Ok(None),
        false => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| trouble(socket, &error)),
    }
}

/// Gets the descriptor page of the machine behind the control socket `socket`.
///
/// # Errors
///
/// Nobody answers.
pub fn fetch_page(socket: &Path) -> Result<Vec<u8>> {
    request(socket, &Command::Page)
}

/// The body of the answer.
fn request(socket: &Path, command: &Command) -> Result<Vec<u8>> {
    let Response { status, body } =
        exchange(socket, command).map_err(|error| trouble(socket, &error))?;
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    let sentence = answer.as_ref().and_then(|answer| answer["error"].as_str());
    Err(Error::Refused(sentence.map_or_else(
        || format!("the machine answers with status {status}"),
        str::to_owned,
    )))
}

fn exchange(socket: &Path, command: &Command) -> Result<Response, HttpError> {
    let (method, path, body) = command.to_request().map_err(io::Error::from)?;
    let body = body.map(|body| body.to_string());
    let stream = UnixStream::connect(socket)?;
    // Nobody stops this side.
    let (stop, _open) = UnixStream::pair()?;
    let mut connection = Connection::new(&stream, &stop, ANSWER_TIME);
    connection.write_request(method, &path, body.as_deref().map(str::as_bytes))?;
    connection.read_response()
}

fn trouble(socket: &Path, error: &dyn std::error::Error) -> Error {
    Error::Control {
        path: socket.to_owned(),
        reason: error.to_string(),
    }
}
