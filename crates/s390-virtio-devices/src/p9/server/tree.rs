// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The way through directories, and what changes them.

use std::ffi::CString;
use std::sync::Arc;

use rustix::fs::{
    linkat, mkdirat, mknodat, openat, readlinkat, renameat, symlinkat, unlinkat, AtFlags, FileType,
    Mode, OFlags,
};
use rustix::io::Errno;
use rustix::path::DecInt;

use super::attr::permissions;
use super::io::open_flags;
use super::node::{Fid, Node, OpenFile};
use super::wire::{Answer, Body, Name};
use super::{Result, Share};

/// Most names in a walk (`P9_MAXWELEM`, walk(5) of Plan 9).
const MAX_NAMES: u16 = 16;
/// The flag of Tunlinkat for a directory.
const REMOVE_DIRECTORY: u32 = 0x200;

impl Share {
    pub(super) fn attach(&self, mut body: Body<'_>) -> Result<Answer> {
        let (number, _afid, _uname, aname) =
            (body.u32()?, body.u32()?, body.string()?, body.string()?);
        // There is one tree.
        if !matches!(aname, b"" | b"/") {
            return Err(Errno::NOENT);
        }
        let (root, attributes) = Node::new(self.root.clone(), None)?;
        self.session().fids.add(number, Fid::new(root))?;
        Ok(Answer::default().qid(self.qid(&attributes)))
    }

    /// Tells how far a walk came; there is a new fid if it came to its end.
    pub(super) fn walk(&self, mut body: Body<'_>) -> Result<Answer> {
        let (number, new_number, count) = (body.u32()?, body.u32()?, body.u16()?);
        if count > MAX_NAMES {
            return Err(Errno::INVAL);
        }
        let names = (0..count)
            .map(|_| body.name())
            .collect::<Result<Vec<_>>>()?;
        let start = self.session().fids.get(number)?;
        let mut end = start.node.clone();
        let mut qids = Vec::with_capacity(names.len());
        for name in names {
            match end.find(name) {
                Ok((node, attributes)) => {
                    end = Arc::new(node);
                    qids.push(self.qid(&attributes));
                }
                // Only the first name's error is one of the walk.
                Err(errno) if qids.is_empty() => return Err(errno),
                Err(_) => break,
            }
        }
        if qids.len() == usize::from(count) {
            let fid = Fid {
                node: end,
                open: None,
            };
            let fids = &mut self.session().fids;
            match number == new_number {
                true => fids.replace(number, &start, fid)?,
                false => fids.add(new_number, fid)?,
            }
        }
        let answer = Answer::default().u16(qids.len() as u16);
        Ok(qids.into_iter().fold(answer, Answer::qid))
    }

    pub(super) fn clunk(&self, mut body: Body<'_>) -> Result<Answer> {
        let number = body.u32()?;
        let fid = self.session().fids.remove(number)?;
        // Closing may take long, so not under the lock.
        drop(fid);
        Ok(Answer::default())
    }

    /// Creates a file, which the directory's fid stands for afterwards.
    pub(super) fn lcreate(&self, mut body: Body<'_>) -> Result<Answer> {
        let number = body.u32()?;
        let (name, flags, mode, _gid) = (body.name()?, body.u32()?, body.u32()?, body.u32()?);
        let parent = self.directory(number)?;
        let flags = open_flags(flags)?
            | OFlags::CREATE
            // Without it this would open whatever has that name.
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let file = openat(&*parent.node.fd, name.as_c_str(), flags, permissions(mode))?;
        let path = openat(
            &self.descriptors,
            DecInt::from_fd(&file),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let (node, attributes) = Node::new(Arc::new(path), Some((parent.node.fd.clone(), name)))?;
        let fid = Fid {
            open: Some(OpenFile::new(file)),
            ..Fid::new(node)
        };
        self.session().fids.replace(number, &parent, fid)?;
        Ok(Answer::default().qid(self.qid(&attributes)).u32(0))
    }

    pub(super) fn mkdir(&self, mut body: Body<'_>) -> Result<Answer> {
        let parent = self.directory(body.u32()?)?;
        let (name, mode, _gid) = (body.name()?, body.u32()?, body.u32()?);
        mkdirat(&*parent.node.fd, name.as_c_str(), permissions(mode))?;
        self.made(&parent, name)
    }

    pub(super) fn symlink(&self, mut body: Body<'_>) -> Result<Answer> {
        let parent = self.directory(body.u32()?)?;
        let (name, target, _gid) = (body.name()?, body.string()?, body.u32()?);
        // Wherever it points to, nobody follows it here.
        let target = CString::new(target).map_err(|_| Errno::INVAL)?;
        symlinkat(target.as_c_str(), &*parent.node.fd, name.as_c_str())?;
        self.made(&parent, name)
    }

    /// Makes a pipe, a socket or an empty file. What stands for a device would be one of the
    /// host's.
    pub(super) fn mknod(&self, mut body: Body<'_>) -> Result<Answer> {
        let parent = self.directory(body.u32()?)?;
        let (name, mode) = (body.name()?, body.u32()?);
        let (_major, _minor, _gid) = (body.u32()?, body.u32()?, body.u32()?);
        let file_type = FileType::from_raw_mode(mode);
        match file_type {
            FileType::RegularFile | FileType::Fifo | FileType::Socket => {}
            _ => return Err(Errno::PERM),
        }
        let permissions = permissions(mode);
        mknodat(&*parent.node.fd, name.as_c_str(), file_type, permissions, 0)?;
        self.made(&parent, name)
    }

    pub(super) fn link(&self, mut body: Body<'_>) -> Result<Answer> {
        let parent = self.directory(body.u32()?)?;
        let (target, name) = (body.u32()?, body.name()?);
        let target = self.session().fids.get(target)?;
        linkat(
            &self.descriptors,
            DecInt::from_fd(&*target.node.fd),
            &*parent.node.fd,
            name.as_c_str(),
            AtFlags::SYMLINK_FOLLOW,
        )?;
        Ok(Answer::default())
    }

    pub(super) fn renameat(&self, mut body: Body<'_>) -> Result<Answer> {
        let (old_parent, old_name) = (self.directory(body.u32()?)?, body.name()?);
        let (parent, name) = (self.directory(body.u32()?)?, body.name()?);
        renameat(
            &*old_parent.node.fd,
            old_name.as_c_str(),
            &*parent.node.fd,
            name.as_c_str(),
        )?;
        Ok(Answer::default())
    }

    /// Trename, of clients that do not know Trenameat.
    pub(super) fn rename(&self, mut body: Body<'_>) -> Result<Answer> {
        let number = body.u32()?;
        let (parent, name) = (self.directory(body.u32()?)?, body.name()?);
        let fid = self.session().fids.get(number)?;
        let (old_parent, old_name) = fid.node.place()?;
        renameat(
            old_parent,
            old_name.as_c_str(),
            &*parent.node.fd,
            name.as_c_str(),
        )?;
        // It is found under its new name from now on.
        let (node, _) = parent.node.find(name)?;
        let new = Fid {
            open: fid.open.clone(),
            ..Fid::new(node)
        };
        self.session().fids.replace(number, &fid, new)?;
        Ok(Answer::default())
    }

    pub(super) fn unlinkat(&self, mut body: Body<'_>) -> Result<Answer> {
        let parent = self.directory(body.u32()?)?;
        let (name, flags) = (body.name()?, body.u32()?);
        let flags = match flags {
            0 => AtFlags::empty(),
            REMOVE_DIRECTORY => AtFlags::REMOVEDIR,
            _ => return Err(Errno::INVAL),
        };
        unlinkat(&*parent.node.fd, name.as_c_str(), flags)?;
        Ok(Answer::default())
    }

    /// Tremove, of clients that do not know Tunlinkat. The fid is gone even if it fails.
    pub(super) fn remove(&self, mut body: Body<'_>) -> Result<Answer> {
        let number = body.u32()?;
        let fid = self.session().fids.remove(number)?;
        let (parent, name) = fid.node.place()?;
        let flags = match fid.node.file_type {
            FileType::Directory => AtFlags::REMOVEDIR,
            _ => AtFlags::empty(),
        };
        unlinkat(parent, name.as_c_str(), flags)?;
        Ok(Answer::default())
    }

    pub(super) fn readlink(&self, mut body: Body<'_>) -> Result<Answer> {
        let fid = self.session().fids.get(body.u32()?)?;
        if fid.node.file_type != FileType::Symlink {
            return Err(Errno::INVAL);
        }
        let target = readlinkat(&*fid.node.fd, c"", Vec::new())?;
        Answer::default().string(target.as_bytes())
    }

    /// A fid that stands for a directory.
    fn directory(&self, number: u32) -> Result<Fid> {
        let fid = self.session().fids.get(number)?;
        match fid.node.file_type {
            FileType::Directory => Ok(fid),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The answer that tells of something new in a directory.
    fn made(&self, parent: &Fid, name: Name) -> Result<Answer> {
        let (_, attributes) = parent.node.find(name)?;
        Ok(Answer::default().qid(self.qid(&attributes)))
    }
}
