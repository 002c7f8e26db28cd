// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A server of 9P2000.L for one directory of the host and what is below it.
//!
//! Its client is not trusted. It holds files by descriptors that were opened with `O_PATH`, and
//! gets from one to the next by names of one component (see [`wire::Name`]), without symbolic
//! links being followed: there is no way out of the directory. Only regular files and directories
//! are opened for more than that.

mod attr;
mod io;
mod node;
#[cfg(test)]
mod tests;
mod tree;
mod wire;

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{openat, Mode, OFlags, Statx, CWD};
use rustix::io::Errno;
use rustix::path::DecInt;

use self::node::{device, Fids, Node};
pub use self::wire::Header;
use self::wire::{Answer, Body, RLERROR};
pub(crate) use self::wire::{Kind, HEADER_LEN, RLERROR_LEN};
use crate::buffers::Buffers;

/// What a request comes to; an error goes to the client as its number.
type Result<T> = std::result::Result<T, Errno>;

/// The protocol.
const DIALECT: &[u8] = b"9P2000.L";
/// Longest message that the server agrees to, in bytes. It is what a chain of 128 buffers of a
/// page each can hold.
const MAX_MSIZE: u32 = 512 << 10;
/// A client that wants less cannot do much.
const MIN_MSIZE: u32 = 256;
/// Longest body of a request in bytes, without the data of a Twrite: a walk through 16 names of
/// 255 bytes has less, and so have two long names or a symbolic link.
const MAX_BODY: usize = 8 << 10;

/// Answers the messages of a 9P client.
pub trait FileServer: Send + Sync {
    /// Carries out the message in `request`, writes its answer into `reply`, and tells what it
    /// was. Several threads do this at once; it may take long.
    ///
    /// `header` is what the message began with. The guest may write to both buffers all the time.
    fn answer(&self, header: Header, request: &Buffers, reply: &Buffers) -> Answered;

    /// Forgets the client. No message is being answered meanwhile.
    fn reset(&self);
}

/// What became of a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Bytes of the answer.
    pub len: u32,
    /// What it stands for.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// This many bytes of a file were read.
    Read(u32),
    /// This many bytes of a file were written.
    Written(u32),
    /// It failed with this error number.
    Failed(i32),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Read(bytes) => write!(f, "{bytes} bytes read"),
            Outcome::Written(bytes) => write!(f, "{bytes} bytes written"),
            Outcome::Failed(errno) => std::io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

/// How a directory is shared.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ShareOptions {
    /// Whether everything that changes the directory or what is below is refused.
    pub read_only: bool,
    /// Most fids that the client may have. Each holds up to three file descriptors of this
    /// process.
    pub max_fids: usize,
}

impl Default for ShareOptions {
    fn default() -> Self {
        ShareOptions {
            read_only: false,
            max_fids: 256,
        }
    }
}

/// Why a directory cannot be shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// It cannot be opened, or is none.
    #[error("cannot share {path:?}")]
    Open {
        /// Path as given.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The host has no `/proc`.
    #[error("cannot open /proc/self/fd")]
    Proc(#[source] std::io::Error),
}

/// A directory that is shared with one client.
pub struct Share {
    root: Arc<OwnedFd>,
    /// Device that the root is on.
    device: u64,
    /// `/proc/self/fd`, through which a node is opened again for reading or writing.
    descriptors: OwnedFd,
    options: ShareOptions,
    session: Mutex<Session>,
}

/// What a client has agreed to and holds.
#[derive(Debug)]
struct Session {
    /// Longest message in bytes.
    msize: u32,
    fids: Fids,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Share {
    /// Shares the directory `path`, which is opened now.
    ///
    /// # Errors
    ///
    /// There is no such directory, or it may not be opened.
    pub fn open(path: &Path, options: ShareOptions) -> std::result::Result<Self, ShareError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let error = |errno: Errno| ShareError::Open {
            path: path.to_owned(),
            source: errno.into(),
        };
        let root = openat(CWD, path, flags, Mode::empty()).map_err(error)?;
        let (root, attributes) = Node::new(Arc::new(root), None).map_err(error)?;
        let descriptors = openat(CWD, c"/proc/self/fd", flags, Mode::empty())
            .map_err(|errno| ShareError::Proc(errno.into()))?;
        Ok(Share {
            root: root.fd,
            device: device(&attributes),
            descriptors,
            options,
            session: Mutex::new(Session {
                msize: MAX_MSIZE,
                fids: Fids::new(options.max_fids),
            }),
        })
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what a node names. The link in `/proc` leads to the very file, and no further should
    /// that be a symbolic link.
    fn reopen(&self, node: &Node, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        openat(
            &self.descriptors,
            DecInt::from_fd(&*node.fd),
            flags,
            Mode::empty(),
        )
    }

    fn try_answer(&self, header: Header, request: &Buffers, reply: &Buffers) -> Result<Answered> {
        let size = header.size as usize;
        let body_len = size.checked_sub(HEADER_LEN).ok_or(Errno::INVAL)?;
        if size > request.len() {
            return Err(Errno::INVAL);
        }
        let msize = self.session().msize;
        if header.size > msize {
            return Err(Errno::MSGSIZE);
        }
        let room = reply.len().min(msize as usize);
        let kind = Kind::of(header.number).ok_or(Errno::OPNOTSUPP)?;
        let body_len = match kind {
            Kind::Write => body_len.min(io::WRITE_BODY_LEN),
            _ => body_len,
        };
        if body_len > MAX_BODY {
            return Err(Errno::MSGSIZE);
        }
        // From here on the guest cannot change its mind.
        let mut body = vec![0; body_len];
        request.read(HEADER_LEN, &mut body);
        let body = Body(&body);
        if self.options.read_only && kind.modifies() {
            if kind == Kind::Remove {
                self.clunk(body)?;
            }
            return Err(Errno::ROFS);
        }
        match kind {
            Kind::Read => return self.read(header, body, reply, room),
            Kind::Write => {
                let written = self.write(header, body, request)?;
                let answered = put(header, &Answer::default().u32(written), reply, room)?;
                let outcome = Outcome::Written(written);
                return Ok(Answered {
                    outcome,
                    ..answered
                });
            }
            _ => {}
        }
        let answer = match kind {
            Kind::Version => self.version(body),
            Kind::Attach => self.attach(body),
            Kind::Walk => self.walk(body),
            Kind::Clunk => self.clunk(body),
            Kind::Remove => self.remove(body),
            Kind::Lcreate => self.lcreate(body),
            Kind::Mkdir => self.mkdir(body),
            Kind::Symlink => self.symlink(body),
            Kind::Mknod => self.mknod(body),
            Kind::Link => self.link(body),
            Kind::Rename => self.rename(body),
            Kind::Renameat => self.renameat(body),
            Kind::Unlinkat => self.unlinkat(body),
            Kind::Readlink => self.readlink(body),
            Kind::Getattr => self.getattr(body),
            Kind::Setattr => self.setattr(body),
            Kind::Statfs => self.statfs(body),
            Kind::Lopen => self.lopen(body),
            Kind::Readdir => self.readdir(body, room),
            Kind::Fsync => self.fsync(body),
            Kind::Lock => self.lock(body),
            Kind::Getlock => self.getlock(body),
            // Whoever answers it has waited for the other request.
            Kind::Flush => Ok(Answer::default()),
            // There is no authentication, and there are no extended attributes.
            Kind::Auth | Kind::Xattrwalk | Kind::Xattrcreate => Err(Errno::OPNOTSUPP),
            Kind::Read | Kind::Write => Err(Errno::INVAL),
        }?;
        put(header, &answer, reply, room)
    }

    /// Tversion: a new session.
    fn version(&self, mut body: Body<'_>) -> Result<Answer> {
        let (msize, version) = (body.u32()?, body.string()?);
        if msize < MIN_MSIZE {
            return Err(Errno::INVAL);
        }
        let mut session = self.session();
        session.fids.clear();
        session.msize = msize.min(MAX_MSIZE);
        let known = version == DIALECT;
        let answer = Answer::default().u32(session.msize);
        answer.string(if known { DIALECT } else { b"unknown" })
    }

    /// The qid of a file.
    fn qid(&self, attributes: &Statx) -> wire::Qid {
        self.qid_of(
            node::file_type(attributes),
            attributes.stx_mtime.tv_sec as u32 ^ attributes.stx_mtime.tv_nsec,
            device(attributes),
            attributes.stx_ino,
        )
    }
}

impl FileServer for Share {
    fn answer(&self, header: Header, request: &Buffers, reply: &Buffers) -> Answered {
        self.try_answer(header, request, reply)
            .unwrap_or_else(|errno| put_error(header, errno.raw_os_error(), reply))
    }

    fn reset(&self) {
        let mut session = self.session();
        session.fids.clear();
        session.msize = MAX_MSIZE;
    }
}

/// Writes header and body of an answer that may have `room` bytes.
fn put(header: Header, answer: &Answer, reply: &Buffers, room: usize) -> Result<Answered> {
    let body = &answer.0;
    let len = HEADER_LEN + body.len();
    if len > room {
        return Err(Errno::MSGSIZE);
    }
    put_header(header, header.number.wrapping_add(1), len as u32, reply);
    reply.write(HEADER_LEN, body);
    Ok(Answered {
        len: len as u32,
        outcome: Outcome::Done,
    })
}

fn put_header(header: Header, number: u8, len: u32, reply: &Buffers) {
    let answer = Answer::default().u32(len).u8(number).u16(header.tag);
    reply.write(0, &answer.0);
}

/// Writes an Rlerror, for which `reply` has to have room.
pub(crate) fn put_error(header: Header, errno: i32, reply: &Buffers) -> Answered {
    put_header(header, RLERROR, RLERROR_LEN as u32, reply);
    reply.write(HEADER_LEN, &errno.to_le_bytes());
    Answered {
        len: RLERROR_LEN as u32,
        outcome: Outcome::Failed(errno),
    }
}
