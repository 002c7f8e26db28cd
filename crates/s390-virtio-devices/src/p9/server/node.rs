// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Files of the share as the client holds them: nodes, which only name a file, and fids.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use rustix::fs::{openat, statx, AtFlags, FileType, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

use super::wire::Name;
use super::Result;

/// A file or directory, whatever its names may be by now.
#[derive(Debug)]
pub(super) struct Node {
    /// Opened with `O_PATH`: it neither reads nor writes, and opening it has no effect.
    pub(super) fd: Arc<OwnedFd>,
    pub(super) file_type: FileType,
    /// Number of the device that it is on, see [`device`].
    pub(super) device: u64,
    /// The directory in which it was found and its name there; none for the root. Only the
    /// requests of Linux before 3.0 need it.
    pub(super) place: Option<(Arc<OwnedFd>, Name)>,
}

impl Node {
    /// A node for what `fd` names, and its attributes.
    pub(super) fn new(
        fd: Arc<OwnedFd>,
        place: Option<(Arc<OwnedFd>, Name)>,
    ) -> Result<(Self, Statx)> {
        let attributes = attributes(&fd)?;
        let node = Node {
            fd,
            file_type: file_type(&attributes),
            device: device(&attributes),
            place,
        };
        Ok((node, attributes))
    }

    /// What the directory has under `name`. A symbolic link is found itself and not followed.
    pub(super) fn find(&self, name: Name) -> Result<(Self, Statx)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&*self.fd, name.as_c_str(), flags, Mode::empty())?;
        Node::new(Arc::new(fd), Some((self.fd.clone(), name)))
    }

    pub(super) fn attributes(&self) -> Result<Statx> {
        attributes(&self.fd)
    }

    /// Its directory and name, if it still has that name.
    pub(super) fn place(&self) -> Result<(&OwnedFd, &Name)> {
        let (parent, name) = self.place.as_ref().ok_or(Errno::BUSY)?;
        let (flags, mask) = (AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO);
        let (there, own) = (
            statx(&**parent, name.as_c_str(), flags, mask)?,
            self.attributes()?,
        );
        match (device(&there), there.stx_ino) == (device(&own), own.stx_ino) {
            true => Ok((parent, name)),
            // Another file has it now.
            false => Err(Errno::NOENT),
        }
    }
}

fn attributes(fd: &OwnedFd) -> Result<Statx> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    statx(fd, c"", AtFlags::EMPTY_PATH, mask)
}

pub(super) fn file_type(attributes: &Statx) -> FileType {
    FileType::from_raw_mode(attributes.stx_mode.into())
}

/// The number of the device that a file is on.
pub(super) fn device(attributes: &Statx) -> u64 {
    u64::from(attributes.stx_dev_major) << 32 | u64::from(attributes.stx_dev_minor)
}

/// A file that is open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) fd: OwnedFd,
    /// Held while a directory is read, since it has one position.
    pub(super) position: Mutex<()>,
}

impl OpenFile {
    pub(super) fn new(fd: OwnedFd) -> Arc<Self> {
        Arc::new(OpenFile {
            fd,
            position: Mutex::default(),
        })
    }
}

/// What the client has under a number of its choice.
#[derive(Clone, Debug)]
pub(super) struct Fid {
    pub(super) node: Arc<Node>,
    pub(super) open: Option<Arc<OpenFile>>,
}

impl Fid {
    /// A fid that is not open.
    pub(super) fn new(node: Node) -> Self {
        Fid {
            node: Arc::new(node),
            open: None,
        }
    }

    /// The file, if it is open.
    pub(super) fn file(&self) -> Result<&OpenFile> {
        self.open.as_deref().ok_or(Errno::BADF)
    }
}

/// The client's fids, no more than `max`: each holds up to three file descriptors of the host.
#[derive(Debug)]
pub(super) struct Fids {
    table: HashMap<u32, Fid>,
    max: usize,
}

impl Fids {
    pub(super) fn new(max: usize) -> Self {
        Fids {
            table: HashMap::new(),
            max,
        }
    }

    pub(super) fn get(&self, number: u32) -> Result<Fid> {
        self.table.get(&number).cloned().ok_or(Errno::BADF)
    }

    /// Adds a fid whose number must be free.
    pub(super) fn add(&mut self, number: u32, fid: Fid) -> Result<()> {
        if self.table.contains_key(&number) {
            return Err(Errno::BADF);
        }
        if self.table.len() >= self.max {
            return Err(Errno::NFILE);
        }
        self.table.insert(number, fid);
        Ok(())
    }

    /// Lets `number` stand for `new`, unless it does not stand for `old` any more.
    pub(super) fn replace(&mut self, number: u32, old: &Fid, new: Fid) -> Result<()> {
        let same = |fid: &&mut Fid| Arc::ptr_eq(&fid.node, &old.node);
        let fid = self.table.get_mut(&number).filter(same);
        *fid.ok_or(Errno::BADF)? = new;
        Ok(())
    }

    pub(super) fn remove(&mut self, number: u32) -> Result<Fid> {
        self.table.remove(&number).ok_or(Errno::BADF)
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fid() -> Fid {
        let file = tempfile::tempfile().unwrap();
        Fid::new(Node::new(Arc::new(file.into()), None).unwrap().0)
    }

    #[test]
    fn fids_are_few_and_numbers_unique() {
        let mut fids = Fids::new(2);
        let first = fid();
        fids.add(7, first.clone()).unwrap();
        assert_eq!(fids.add(7, fid()), Err(Errno::BADF));
        fids.add(u32::MAX, fid()).unwrap();
        assert_eq!(fids.add(8, fid()), Err(Errno::NFILE));
        // One that is not what it was.
        let second = fids.remove(u32::MAX).unwrap();
        assert_eq!(fids.replace(7, &second, fid()), Err(Errno::BADF));
        assert_eq!(fids.replace(u32::MAX, &second, fid()), Err(Errno::BADF));
        fids.replace(7, &first, second).unwrap();
        assert!(fids.get(7).is_ok() && fids.get(8).is_err());
        assert!(fids.remove(8).is_err());
        fids.clear();
        assert!(fids.get(7).is_err());
    }
}
