// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Waiting for a file descriptor in a thread that can be told to stop.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

/// Why a wait ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The file descriptor is ready, or there comes nothing more.
    Ready,
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
    wait_for(input.map(|fd| (fd, PollFlags::POLLIN)), stop, timeout)
}

/// The same for these events of a file descriptor.
pub(crate) fn wait_for(
    what: Option<(BorrowedFd<'_>, PollFlags)>,
    stop: &UnixStream,
    timeout: impl Into<PollTimeout>,
) -> Wake {
    let timeout = timeout.into();
    let mut fds = vec![PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
    fds.extend(what.map(|(fd, events)| PollFd::new(fd, events)));
    loop {
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => continue,
            Err(_) => return Wake::Stop,
            Ok(0) => return Wake::Timeout,
            Ok(_) if fds[0].any() == Some(true) => return Wake::Stop,
            Ok(_) => return Wake::Ready,
        }
    }
}
