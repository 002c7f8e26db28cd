// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Unix sockets that others connect to.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{umask, Mode};

use crate::{Error, Result};

/// A listening socket; its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ListeningSocket {
    /// Makes the socket of this kind, which nobody but this user may use. A socket that was left
    /// behind, and that nobody listens to, is replaced. To be called before there is another thread
    /// that makes files.
    pub(crate) fn bind(kind: &'static str, path: &Path) -> Result<Self> {
        let error = |source| Error::Socket {
            kind,
            path: path.to_owned(),
            source,
        };
        let abandoned = || {
            let is_socket = std::fs::symlink_metadata(path)
                .is_ok_and(|metadata| metadata.file_type().is_socket());
            let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
            is_socket && UnixStream::connect(path).is_err_and(refused)
        };
        // A mode that is set afterwards would come too late.
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && abandoned() => {
                std::fs::remove_file(path).and_then(|()| UnixListener::bind(path))
            }
            result => result,
        };
        umask(before);
        let this = ListeningSocket {
            listener: listener.map_err(error)?,
            path: path.to_owned(),
        };
        this.listener.set_nonblocking(true).map_err(error)?;
        Ok(this)
    }

    /// The socket, non-blocking.
    pub(crate) fn listener(&self) -> Result<UnixListener> {
        (self.listener.try_clone()).map_err(Error::host("duplicate a socket"))
    }
}

impl AsRef<UnixListener> for ListeningSocket {
    fn as_ref(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::debug!("socket {:?}: {error}", self.path);
        }
    }
}
