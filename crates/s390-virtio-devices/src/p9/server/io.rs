// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Open files: their bytes, which go straight between the file and guest memory, and the entries
//! of directories.

use std::os::fd::AsRawFd;
use std::sync::PoisonError;

use rustix::fs::{
    fdatasync, fsync, seek, statx, AtFlags, FileType, OFlags, RawDir, SeekFrom, StatxFlags,
};
use rustix::io::Errno;

use super::node::{self, Fid, OpenFile};
use super::wire::{Answer, Body, Header, HEADER_LEN};
use super::{put_header, Answered, Outcome, Result, Share};
use crate::buffers::Buffers;

/// Bytes of Rread and Rreaddir before the data, whose length comes last.
const READ_ANSWER_LEN: usize = HEADER_LEN + 4;
/// Bytes of the body of Twrite before the data.
pub(super) const WRITE_BODY_LEN: usize = 16;
/// Bytes of directory entries that the host is asked for at a time.
const DIRECTORY_BYTES: usize = 32 << 10;

/// Flags of Tlopen and Tlcreate: those of Linux's generic ABI.
const ACCESS_MODE: u32 = 3;
const WRONLY: u32 = 1;
const RDWR: u32 = 2;
const TRUNC: u32 = 0o1000;
const APPEND: u32 = 0o2000;
const DSYNC: u32 = 0o10000;
const SYNC: u32 = 0o4000000;

/// `F_UNLCK` in 9P2000.L.
const LOCK_UNLOCKED: u8 = 2;
/// A lock was granted.
const LOCK_SUCCESS: u8 = 0;

/// The host's flags. Hints, and what only makes sense where the client is, are left out.
pub(super) fn open_flags(flags: u32) -> Result<OFlags> {
    let mut open = match flags & ACCESS_MODE {
        0 => OFlags::RDONLY,
        WRONLY => OFlags::WRONLY,
        RDWR => OFlags::RDWR,
        _ => return Err(Errno::INVAL),
    };
    for (bit, flag) in [
        (TRUNC, OFlags::TRUNC),
        (APPEND, OFlags::APPEND),
        (DSYNC, OFlags::DSYNC),
        (SYNC, OFlags::SYNC),
    ] {
        if flags & bit == bit {
            open |= flag;
        }
    }
    Ok(open)
}

impl Share {
    pub(super) fn lopen(&self, mut body: Body<'_>) -> Result<Answer> {
        let (number, flags) = (body.u32()?, body.u32()?);
        let fid = self.session().fids.get(number)?;
        if fid.open.is_some() {
            return Err(Errno::BADF);
        }
        let flags = open_flags(flags)?;
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC);
        if writes && self.options.read_only {
            return Err(Errno::ROFS);
        }
        let flags = match fid.node.file_type {
            FileType::RegularFile => flags,
            FileType::Directory if writes => return Err(Errno::ISDIR),
            FileType::Directory => OFlags::RDONLY | OFlags::DIRECTORY,
            FileType::Symlink => return Err(Errno::LOOP),
            // A client has pipes, sockets and devices of its own: opening the host's would wait
            // for somebody, or do something to the device.
            _ => return Err(Errno::NXIO),
        };
        let file = self.reopen(&fid.node, flags)?;
        let attributes = fid.node.attributes()?;
        let open = Fid {
            node: fid.node.clone(),
            open: Some(OpenFile::new(file)),
        };
        self.session().fids.replace(number, &fid, open)?;
        // The client may use all of the message size.
        Ok(Answer::default().qid(self.qid(&attributes)).u32(0))
    }

    pub(super) fn read(
        &self,
        header: Header,
        mut body: Body<'_>,
        reply: &Buffers,
        room: usize,
    ) -> Result<Answered> {
        let fid = self.session().fids.get(body.u32()?)?;
        let (offset, count) = (body.u64()?, body.u32()?);
        let room = room.checked_sub(READ_ANSWER_LEN).ok_or(Errno::MSGSIZE)?;
        let data = reply.vectors(READ_ANSWER_LEN, room.min(count as usize));
        let fd = fid.file()?.fd.as_raw_fd();
        let bytes = transfer(offset, |offset| {
            // SAFETY: every vector covers memory that `reply` borrows for the whole call, and
            // guest memory may be written at any time.
            unsafe { libc::preadv64(fd, data.as_ptr(), data.len() as libc::c_int, offset) }
        })?;
        let len = READ_ANSWER_LEN as u32 + bytes;
        put_header(header, header.number.wrapping_add(1), len, reply);
        reply.write(HEADER_LEN, &bytes.to_le_bytes());
        Ok(Answered {
            len,
            outcome: Outcome::Read(bytes),
        })
    }

    /// Returns how many bytes were written.
    pub(super) fn write(
        &self,
        header: Header,
        mut body: Body<'_>,
        request: &Buffers,
    ) -> Result<u32> {
        let fid = self.session().fids.get(body.u32()?)?;
        let (offset, count) = (body.u64()?, body.u32()?);
        let start = HEADER_LEN + WRITE_BODY_LEN;
        if count as usize > (header.size as usize).saturating_sub(start) {
            return Err(Errno::INVAL);
        }
        let data = request.vectors(start, count as usize);
        let fd = fid.file()?.fd.as_raw_fd();
        transfer(offset, |offset| {
            // SAFETY: every vector covers memory that `request` borrows for the whole call; the
            // kernel only reads it.
            unsafe { libc::pwritev64(fd, data.as_ptr(), data.len() as libc::c_int, offset) }
        })
    }

    /// The next entries of a directory, as many as `room` bytes of answer and the client's count
    /// allow; none at the end.
    pub(super) fn readdir(&self, mut body: Body<'_>, room: usize) -> Result<Answer> {
        let fid = self.session().fids.get(body.u32()?)?;
        let (offset, count) = (body.u64()?, body.u32()?);
        let room = room.checked_sub(READ_ANSWER_LEN).ok_or(Errno::MSGSIZE)?;
        let room = room.min(count as usize);
        if fid.node.file_type != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        let file = fid.file()?;
        let entries = self.entries(&fid, file, offset, room)?;
        let mut answer = Answer::default().u32(entries.0.len() as u32);
        answer.0.extend(entries.0);
        Ok(answer)
    }

    fn entries(&self, fid: &Fid, file: &OpenFile, offset: u64, room: usize) -> Result<Answer> {
        let _position = file.position.lock().unwrap_or_else(PoisonError::into_inner);
        // What the client gives back is what the host's file system gave to it.
        seek(&file.fd, SeekFrom::Start(offset))?;
        let mut buffer = Vec::with_capacity(DIRECTORY_BYTES);
        let mut directory = RawDir::new(&file.fd, buffer.spare_capacity_mut());
        let mut entries = Answer::default();
        while let Some(entry) = directory.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let len = 13 + 8 + 1 + 2 + name.len();
            if entries.0.len() + len > room {
                if entries.0.is_empty() {
                    // An empty answer would be the end.
                    return Err(Errno::INVAL);
                }
                break;
            }
            let (mut file_type, mut ino) = (entry.file_type(), entry.ino());
            if name == b".." && fid.node.place.is_none() {
                // The root is its own parent, whatever it is for the host.
                ino = fid.node.attributes()?.stx_ino;
            } else if file_type == FileType::Unknown {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                let attributes = statx(&file.fd, entry.file_name(), flags, StatxFlags::TYPE);
                // It may be gone by now.
                file_type = attributes.map_or(FileType::Unknown, |a| node::file_type(&a));
            }
            entries = entries
                .qid(self.qid_of(file_type, 0, fid.node.device, ino))
                .u64(entry.next_entry_cookie())
                .u8(directory_type(file_type))
                .string(name)?;
        }
        Ok(entries)
    }

    pub(super) fn fsync(&self, mut body: Body<'_>) -> Result<Answer> {
        let fid = self.session().fids.get(body.u32()?)?;
        // Clients before Linux 3.0 say no more.
        let data_only = body.u32().is_ok_and(|datasync| datasync != 0);
        let file = fid.file()?;
        match data_only {
            true => fdatasync(&file.fd)?,
            false => fsync(&file.fd)?,
        }
        Ok(Answer::default())
    }

    /// Locks are the client's own business: it holds them for its processes, and the host's do not
    /// take part.
    pub(super) fn lock(&self, mut body: Body<'_>) -> Result<Answer> {
        self.session().fids.get(body.u32()?)?.file()?;
        Ok(Answer::default().u8(LOCK_SUCCESS))
    }

    /// Nobody else has a lock.
    pub(super) fn getlock(&self, mut body: Body<'_>) -> Result<Answer> {
        self.session().fids.get(body.u32()?)?.file()?;
        let _lock_type = body.u8()?;
        let (start, length, process) = (body.u64()?, body.u64()?, body.u32()?);
        let client = body.string()?;
        Answer::default()
            .u8(LOCK_UNLOCKED)
            .u64(start)
            .u64(length)
            .u32(process)
            .string(client)
    }
}

/// Moves bytes with `call`; returns how many, which may be fewer than wanted.
fn transfer(offset: u64, call: impl Fn(libc::off64_t) -> isize) -> Result<u32> {
    let offset = libc::off64_t::try_from(offset).map_err(|_| Errno::INVAL)?;
    loop {
        match u32::try_from(call(offset)) {
            Ok(bytes) => return Ok(bytes),
            Err(_) => match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                errno => return Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EIO))),
            },
        }
    }
}

/// The type of a directory entry (`DT_*` of Linux).
fn directory_type(file_type: FileType) -> u8 {
    match file_type {
        FileType::Fifo => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::RegularFile => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
        FileType::Unknown => 0,
    }
}
