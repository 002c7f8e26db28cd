// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Waiting for input in a thread that can be told to stop.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

/// Why a wait ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// There is input, or its end.
    Input,
    /// The thread shall stop.
    Stop,
    /// A time has passed.
    Timeout,
}

/// Waits for input, until `stop` is closed at its far end, or until a time has passed.
pub(crate) fn wait(
    input: Option<BorrowedFd<'_>>,
    stop: &UnixStream,
    timeout: impl Into<PollTimeout>,
) -> Wake {
    let timeout = timeout.into();
    let mut fds = vec![PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
    fds.extend(input.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    loop {
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => continue,
            Err(_) => return Wake::Stop,
            Ok(0) => return Wake::Timeout,
            Ok(_) if fds[0].any() == Some(true) => return Wake::Stop,
            Ok(_) => return Wake::Input,
        }
    }
}
