// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Attributes of files and of the file system.

use rustix::fs::{
    chmodat, chownat, fstatvfs, ftruncate, makedev, utimensat, AtFlags, FileType, Gid, Mode,
    OFlags, StatVfs, StatxFlags, Timespec, Timestamps, Uid, UTIME_NOW, UTIME_OMIT,
};
use rustix::io::Errno;
use rustix::path::DecInt;

use super::node::Fid;
use super::wire::{Answer, Body, Qid};
use super::{Result, Share};

/// Type of a file in its qid.
const QID_DIRECTORY: u8 = 0x80;
const QID_SYMLINK: u8 = 0x02;

/// The attributes that Rgetattr always has: all from the mode to the number of blocks.
const GETATTR_BASIC: u64 = 0x7ff;
const GETATTR_BTIME: u64 = 0x800;

const SETATTR_MODE: u32 = 1 << 0;
const SETATTR_UID: u32 = 1 << 1;
const SETATTR_GID: u32 = 1 << 2;
const SETATTR_SIZE: u32 = 1 << 3;
const SETATTR_ATIME: u32 = 1 << 4;
const SETATTR_MTIME: u32 = 1 << 5;
const SETATTR_ATIME_SET: u32 = 1 << 7;
const SETATTR_MTIME_SET: u32 = 1 << 8;

/// Of what file system a guest sees its files (`V9FS_MAGIC` of Linux): what it knows of the host's
/// file systems does not hold here.
const FILE_SYSTEM: u32 = 0x0102_1997;

/// The permissions that a client may give. With set-user-id it could make a program that gives
/// whoever starts it on the host the rights of the VMM's user.
pub(super) fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o1777)
}

impl Share {
    pub(super) fn qid_of(&self, file_type: FileType, version: u32, device: u64, ino: u64) -> Qid {
        // Files on other file systems, mounted below the root, may have the same number.
        let elsewhere = (device ^ self.device).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Qid {
            kind: match file_type {
                FileType::Directory => QID_DIRECTORY,
                FileType::Symlink => QID_SYMLINK,
                _ => 0,
            },
            version,
            path: ino ^ elsewhere,
        }
    }

    pub(super) fn getattr(&self, mut body: Body<'_>) -> Result<Answer> {
        let fid = self.session().fids.get(body.u32()?)?;
        let a = fid.node.attributes()?;
        let time = |answer: Answer, sec: i64, nsec: u32| {
            // Before 1970 it is as the client gave it to Tsetattr.
            answer.u64(sec as u64).u64(nsec.into())
        };
        // Not every file system knows when a file was created.
        let born = StatxFlags::from_bits_retain(a.stx_mask).contains(StatxFlags::BTIME);
        let mut answer = Answer::default()
            .u64(GETATTR_BASIC | if born { GETATTR_BTIME } else { 0 })
            .qid(self.qid(&a))
            .u32(a.stx_mode.into())
            .u32(a.stx_uid)
            .u32(a.stx_gid)
            .u64(a.stx_nlink.into())
            .u64(makedev(a.stx_rdev_major, a.stx_rdev_minor))
            .u64(a.stx_size)
            .u64(a.stx_blksize.into())
            .u64(a.stx_blocks);
        for stamp in [a.stx_atime, a.stx_mtime, a.stx_ctime, a.stx_btime] {
            answer = time(answer, stamp.tv_sec, stamp.tv_nsec);
        }
        // Generation and data version are not known.
        Ok(answer.u64(0).u64(0))
    }

    pub(super) fn setattr(&self, mut body: Body<'_>) -> Result<Answer> {
        let fid = self.session().fids.get(body.u32()?)?;
        let valid = body.u32()?;
        let (mode, uid, gid) = (body.u32()?, body.u32()?, body.u32()?);
        let size = body.u64()?;
        let atime = (body.u64()?, body.u64()?);
        let mtime = (body.u64()?, body.u64()?);
        let has = |bit| valid & bit != 0;
        let name = || DecInt::from_fd(&*fid.node.fd);
        if has(SETATTR_MODE) {
            chmodat(
                &self.descriptors,
                name(),
                permissions(mode),
                AtFlags::empty(),
            )?;
        }
        if has(SETATTR_UID | SETATTR_GID) {
            // -1 stands for no change, in the system call.
            let id = |bit, id| match (has(bit), id) {
                (false, _) => Ok(None),
                (true, u32::MAX) => Err(Errno::INVAL),
                (true, id) => Ok(Some(id)),
            };
            let owner = id(SETATTR_UID, uid)?.map(Uid::from_raw);
            let group = id(SETATTR_GID, gid)?.map(Gid::from_raw);
            chownat(&*fid.node.fd, c"", owner, group, AtFlags::EMPTY_PATH)?;
        }
        if has(SETATTR_SIZE) {
            self.truncate(&fid, size)?;
        }
        if has(SETATTR_ATIME | SETATTR_MTIME) {
            let times = Timestamps {
                last_access: time(has(SETATTR_ATIME), has(SETATTR_ATIME_SET), atime)?,
                last_modification: time(has(SETATTR_MTIME), has(SETATTR_MTIME_SET), mtime)?,
            };
            utimensat(&self.descriptors, name(), &times, AtFlags::empty())?;
        }
        // The rest is the time of the last change, which the host sets by itself.
        Ok(Answer::default())
    }

    fn truncate(&self, fid: &Fid, size: u64) -> Result<()> {
        match fid.node.file_type {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR),
            _ => return Err(Errno::INVAL),
        }
        // A file that is open for writing may have lost its permissions since.
        match fid.file().map(|file| ftruncate(&file.fd, size)) {
            Ok(Ok(())) => Ok(()),
            _ => ftruncate(self.reopen(&fid.node, OFlags::WRONLY)?, size),
        }
    }

    pub(super) fn statfs(&self, mut body: Body<'_>) -> Result<Answer> {
        let fid = self.session().fids.get(body.u32()?)?;
        Ok(file_system(&fstatvfs(&*fid.node.fd)?))
    }
}

/// The body of an Rstatfs.
fn file_system(s: &StatVfs) -> Answer {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Answer::default()
        .u32(FILE_SYSTEM)
        // Not `f_bsize`, which is only the best size of a transfer.
        .u32(small(s.f_frsize))
        .u64(s.f_blocks)
        .u64(s.f_bfree)
        .u64(s.f_bavail)
        .u64(s.f_files)
        .u64(s.f_ffree)
        .u64(s.f_fsid)
        .u32(small(s.f_namemax))
}

/// A time that is to be set: to what the client says, to now, or not at all.
fn time(wanted: bool, given: bool, (sec, nsec): (u64, u64)) -> Result<Timespec> {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    Ok(match (wanted, given) {
        (false, _) => special(UTIME_OMIT),
        (true, false) => special(UTIME_NOW),
        (true, true) if nsec < 1_000_000_000 => Timespec {
            // Before 1970 it is negative.
            tv_sec: sec as i64,
            tv_nsec: nsec as _,
        },
        (true, true) => return Err(Errno::INVAL),
    })
}

#[cfg(test)]
mod tests {
    use rustix::fs::StatVfsMountFlags;

    use super::*;

    /// There is one size of a block in the answer, and the host may have two.
    #[test]
    fn blocks_are_counted_in_the_unit_that_the_answer_names() {
        let answer = file_system(&StatVfs {
            f_bsize: 1 << 20,
            f_frsize: 4096,
            f_blocks: 1000,
            f_bfree: 900,
            f_bavail: 800,
            f_files: 7,
            f_ffree: 6,
            f_favail: 5,
            f_fsid: 4,
            f_flag: StatVfsMountFlags::empty(),
            f_namemax: 255,
        });
        let mut body = super::super::wire::Body(&answer.0);
        assert_eq!(body.u32(), Ok(FILE_SYSTEM));
        assert_eq!(body.u32(), Ok(4096));
        let numbers = [(); 6].map(|()| body.u64().unwrap());
        assert_eq!(numbers, [1000, 900, 800, 7, 6, 4]);
        assert_eq!(body.u32(), Ok(255));
    }
}
