// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The client, and the directory that it is given.

use std::any::Any;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use vm_memory::VolatileSlice;

use super::super::*;

pub(super) const VERSION: u8 = 100;
pub(super) const ATTACH: u8 = 104;
pub(super) const WALK: u8 = 110;
pub(super) const READ: u8 = 116;
pub(super) const WRITE: u8 = 118;
pub(super) const CLUNK: u8 = 120;
pub(super) const REMOVE: u8 = 122;
pub(super) const STATFS: u8 = 8;
pub(super) const LOPEN: u8 = 12;
pub(super) const LCREATE: u8 = 14;
pub(super) const SYMLINK: u8 = 16;
pub(super) const MKNOD: u8 = 18;
pub(super) const RENAME: u8 = 20;
pub(super) const READLINK: u8 = 22;
pub(super) const GETATTR: u8 = 24;
pub(super) const SETATTR: u8 = 26;
pub(super) const XATTRWALK: u8 = 30;
pub(super) const XATTRCREATE: u8 = 32;
pub(super) const READDIR: u8 = 40;
pub(super) const FSYNC: u8 = 50;
pub(super) const LOCK: u8 = 52;
pub(super) const GETLOCK: u8 = 54;
pub(super) const LINK: u8 = 70;
pub(super) const MKDIR: u8 = 72;
pub(super) const RENAMEAT: u8 = 74;
pub(super) const UNLINKAT: u8 = 76;

/// The fid of the root.
pub(super) const ROOT: u32 = 0;
pub(super) const RDONLY: u32 = 0;
pub(super) const WRONLY: u32 = 1;
pub(super) const RDWR: u32 = 2;
pub(super) const SECRET: &[u8] = b"what nobody below may read";

/// The body of a message.
pub(super) fn body() -> Answer {
    Answer::default()
}

pub(super) fn walk(from: u32, to: u32, names: &[&str]) -> Answer {
    let body = body().u32(from).u32(to).u16(names.len() as u16);
    names
        .iter()
        .fold(body, |body, name| body.string(name.as_bytes()).unwrap())
}

/// Memory as the guest has it: in two pieces, the first one very short.
fn buffers(bytes: Vec<u8>) -> (Buffers, Arc<Mutex<Vec<u8>>>) {
    let bytes = Arc::new(Mutex::new(bytes));
    let mut guard = bytes.lock().unwrap();
    let cut = guard.len().min(5);
    let (first, second) = guard.split_at_mut(cut);
    let slices = [VolatileSlice::from(first), VolatileSlice::from(second)];
    // SAFETY: the heap's bytes stay where they are, since nobody makes them more or fewer.
    let buffers = unsafe { Buffers::new(&slices, bytes.clone() as Arc<dyn Any + Send + Sync>) };
    drop(guard);
    (buffers, bytes)
}

/// A share with a directory around it, and a session in which its root is fid 0.
pub(super) struct Client {
    pub(super) directory: TempDir,
    pub(super) share: Share,
}

impl Client {
    /// In the share there are `file` with the bytes 0 to 255, the directory `sub` with `inner` in
    /// it, and links: to `file`, to the outside, absolute and relative. Outside there is `secret`.
    pub(super) fn new(options: ShareOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("share");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::create_dir(directory.path().join("outside")).unwrap();
        let secret = directory.path().join("outside/secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::write(root.join("file"), (0..=255).collect::<Vec<u8>>()).unwrap();
        std::fs::write(root.join("sub/inner"), b"inner").unwrap();
        symlink("file", root.join("link")).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink(&secret, root.join("absolute")).unwrap();
        let share = Share::open(&root, options).unwrap();
        let client = Client { directory, share };
        client.begin();
        client
    }

    /// With another share than that of the directory.
    pub(super) fn of(share: Share) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let client = Client { directory, share };
        client.begin();
        client
    }

    pub(super) fn writable() -> Self {
        Self::new(ShareOptions::default())
    }

    fn begin(&self) {
        let version = body().u32(1 << 20).string(b"9P2000.L").unwrap();
        let answer = self.ok(VERSION, version);
        assert_eq!(answer, body().u32(512 << 10).string(b"9P2000.L").unwrap().0);
        let attach = body().u32(ROOT).u32(!0).string(b"root").unwrap();
        let answer = self.ok(ATTACH, attach.string(b"").unwrap().u32(0));
        assert_eq!((answer.len(), answer[0]), (13, 0x80));
    }

    /// A path of the host.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("share").join(path)
    }

    /// The answer to a message, whatever it is, with `room` bytes for it.
    pub(super) fn raw(&self, message: Vec<u8>, room: usize) -> (Answered, Vec<u8>) {
        let header = message[..HEADER_LEN].try_into().unwrap();
        let request = buffers(message).0;
        let (reply, bytes) = buffers(vec![0xee; room]);
        let answered = self.share.answer(Header::new(header), &request, &reply);
        let bytes = bytes.lock().unwrap().clone();
        let (answer, rest) = bytes.split_at(answered.len as usize);
        assert_eq!(answer[..4], answered.len.to_le_bytes());
        if !matches!(answered.outcome, Outcome::Failed(_)) {
            assert!(rest.iter().all(|&byte| byte == 0xee));
        }
        (answered, answer.to_vec())
    }

    pub(super) fn message(number: u8, body: Answer) -> Vec<u8> {
        let len = (HEADER_LEN + body.0.len()) as u32;
        let mut message = Answer::default().u32(len).u8(number).u16(0x1234).0;
        message.extend(body.0);
        message
    }

    /// The body of the answer, or the error number of an Rlerror.
    pub(super) fn ask(&self, number: u8, body: Answer) -> std::result::Result<Vec<u8>, Errno> {
        self.ask_with_room(number, body, 8192)
    }

    pub(super) fn ask_with_room(
        &self,
        number: u8,
        body: Answer,
        room: usize,
    ) -> std::result::Result<Vec<u8>, Errno> {
        let (answered, answer) = self.raw(Self::message(number, body), room);
        assert_eq!(answer[5..7], 0x1234u16.to_le_bytes());
        let rest = answer[HEADER_LEN..].to_vec();
        match answer[4] {
            RLERROR => {
                let errno = i32::from_le_bytes(rest.try_into().unwrap());
                assert_eq!(answered.outcome, Outcome::Failed(errno));
                Err(Errno::from_raw_os_error(errno))
            }
            other => {
                assert_eq!(other, number + 1);
                Ok(rest)
            }
        }
    }

    pub(super) fn ok(&self, number: u8, body: Answer) -> Vec<u8> {
        self.ask(number, body).unwrap()
    }

    /// Walks from the root to a new fid and opens that.
    pub(super) fn open(&self, fid: u32, path: &[&str], flags: u32) {
        self.ok(WALK, walk(ROOT, fid, path));
        self.ok(LOPEN, body().u32(fid).u32(flags));
    }

    pub(super) fn read(&self, fid: u32, offset: u64, count: u32) -> Vec<u8> {
        let answer = self.ok(READ, body().u32(fid).u64(offset).u32(count));
        let len = u32::from_le_bytes(answer[..4].try_into().unwrap());
        assert_eq!(answer.len(), 4 + len as usize);
        answer[4..].to_vec()
    }

    pub(super) fn write(&self, fid: u32, offset: u64, data: &[u8]) {
        let mut message = body().u32(fid).u64(offset).u32(data.len() as u32);
        message.0.extend(data);
        assert_eq!(self.ok(WRITE, message), (data.len() as u32).to_le_bytes());
    }
}

/// The body of a Tsetattr.
pub(super) fn setattr(fid: u32, valid: u32, mode: u32, size: u64) -> Answer {
    let body = body()
        .u32(fid)
        .u32(valid)
        .u32(mode)
        .u32(!0)
        .u32(!0)
        .u64(size);
    body.u64(1).u64(2).u64(3).u64(4)
}

/// Names and offsets in an Rreaddir.
pub(super) fn entries(answer: &[u8]) -> Vec<(String, u64, u8)> {
    let mut rest = Body(&answer[4..]);
    assert_eq!(answer[..4], (rest.0.len() as u32).to_le_bytes());
    let mut entries = Vec::new();
    while !rest.0.is_empty() {
        let (_, _, _) = (rest.u8().unwrap(), rest.u32().unwrap(), rest.u64().unwrap());
        let (offset, kind) = (rest.u64().unwrap(), rest.u8().unwrap());
        let name = String::from_utf8_lossy(rest.string().unwrap()).into_owned();
        entries.push((name, offset, kind));
    }
    entries
}
