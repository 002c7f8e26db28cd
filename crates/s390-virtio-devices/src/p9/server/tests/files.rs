// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a good client does.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use rustix::fs::{statx, AtFlags, StatxFlags};

use super::client::*;
use super::*;

#[test]
fn versions() {
    let client = Client::writable();
    let version = |msize, name: &[u8]| client.ask(VERSION, body().u32(msize).string(name).unwrap());
    let answer = |msize, name: &[u8]| Ok(body().u32(msize).string(name).unwrap().0);
    assert_eq!(version(8192, b"9P2000.L"), answer(8192, b"9P2000.L"));
    // The session is a new one.
    assert_eq!(client.ask(CLUNK, body().u32(ROOT)), Err(Errno::BADF));
    assert_eq!(version(1 << 30, b"9P2000.u"), answer(512 << 10, b"unknown"));
    assert_eq!(version(255, b"9P2000.L"), Err(Errno::INVAL));
}

#[test]
fn there_is_one_tree() {
    let client = Client::writable();
    let attach = |fid, name: &[u8]| {
        let body = body().u32(fid).u32(!0).string(b"").unwrap();
        client
            .ask(ATTACH, body.string(name).unwrap().u32(!0))
            .map(drop)
    };
    assert_eq!(attach(1, b"/"), Ok(()));
    assert_eq!(attach(1, b""), Err(Errno::BADF));
    assert_eq!(attach(2, b"sub"), Err(Errno::NOENT));
    let auth = body()
        .u32(2)
        .string(b"")
        .unwrap()
        .string(b"")
        .unwrap()
        .u32(0);
    assert_eq!(client.ask(102, auth), Err(Errno::OPNOTSUPP));
}

#[test]
fn walks() {
    let client = Client::writable();
    let qids = |names: &[&str]| client.ask(WALK, walk(ROOT, 1, names));
    // Half a walk makes no fid.
    assert_eq!(qids(&["sub", "nothing"]).unwrap().len(), 2 + 13);
    assert_eq!(client.ask(CLUNK, body().u32(1)), Err(Errno::BADF));
    assert_eq!(qids(&["nothing", "sub"]), Err(Errno::NOENT));
    let answer = qids(&["sub", "inner"]).unwrap();
    assert_eq!((answer[0], answer[2], answer[15]), (2, 0x80, 0));
    let ino = fs::metadata(client.path("sub/inner")).unwrap().ino();
    assert_eq!(answer[20..28], ino.to_le_bytes());
    assert_eq!(qids(&[]), Err(Errno::BADF));
    // A fid may move on, and a walk without names is a copy.
    client.ok(WALK, walk(ROOT, 2, &[]));
    client.ok(WALK, walk(2, 2, &["sub"]));
    client.ok(WALK, walk(2, 2, &["inner"]));
    assert_eq!(client.ask(WALK, walk(2, 3, &["x"])), Err(Errno::NOTDIR));
    assert_eq!(client.ask(WALK, walk(9, 3, &[])), Err(Errno::BADF));
    for fid in [1, 2, ROOT] {
        client.ok(CLUNK, body().u32(fid));
    }
}

#[test]
fn files_are_created_written_and_read() {
    let client = Client::writable();
    client.ok(WALK, walk(ROOT, 1, &["sub"]));
    let create = || body().u32(1).string(b"new").unwrap();
    client.ok(LCREATE, create().u32(RDWR).u32(0o640).u32(0));
    client.write(1, 0, b"hello world");
    client.write(1, 6, b"there");
    client.write(1, 1 << 20, b"far");
    assert_eq!(client.read(1, 0, 8000)[..12], *b"hello there\0");
    assert_eq!(client.read(1, (1 << 20) + 1, 9), *b"ar");
    assert_eq!(client.read(1, 1 << 40, 9), *b"");
    assert!(client.ok(FSYNC, body().u32(1).u32(0)).is_empty());
    assert!(client.ok(FSYNC, body().u32(1).u32(1)).is_empty());
    // As Linux 2.6 says it.
    assert!(client.ok(FSYNC, body().u32(1)).is_empty());
    let file = client.path("sub/new");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read(&file).unwrap()[..11], *b"hello there");
    // It is there now, and the fid is a file.
    assert_eq!(
        client.ask(LCREATE, create().u32(RDWR).u32(0o640).u32(0)),
        Err(Errno::NOTDIR)
    );
    client.ok(WALK, walk(ROOT, 2, &["sub"]));
    let again = body()
        .u32(2)
        .string(b"new")
        .unwrap()
        .u32(RDWR)
        .u32(0)
        .u32(0);
    assert_eq!(client.ask(LCREATE, again), Err(Errno::EXIST));

    client.open(3, &["sub", "new"], WRONLY | 0o1000);
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
    assert_eq!(
        client.ask(READ, body().u32(3).u64(0).u32(1)),
        Err(Errno::BADF)
    );
    client.open(4, &["sub", "new"], WRONLY | 0o2000);
    client.write(3, 0, b"one");
    client.write(4, 0, b"two");
    assert_eq!(fs::read(&file).unwrap(), b"onetwo");
    client.open(5, &["file"], RDONLY);
    assert_eq!(client.read(5, 250, 100), [250, 251, 252, 253, 254, 255]);
    assert_eq!(
        client.ask(LOPEN, body().u32(5).u32(RDONLY)),
        Err(Errno::BADF)
    );
    let mut write = body().u32(5).u64(0).u32(1);
    write.0.push(1);
    assert_eq!(client.ask(WRITE, write), Err(Errno::BADF));
    assert_eq!(
        client.ask(LOPEN, body().u32(ROOT).u32(3)),
        Err(Errno::INVAL)
    );
    assert_eq!(
        client.ask(LOPEN, body().u32(ROOT).u32(RDWR)),
        Err(Errno::ISDIR)
    );
}

#[test]
fn a_name_that_is_gone_leaves_the_file() {
    let client = Client::writable();
    client.open(1, &["file"], RDWR);
    client.ok(UNLINKAT, body().u32(ROOT).string(b"file").unwrap().u32(0));
    client.write(1, 0, b"x");
    assert_eq!(client.read(1, 0, 2), [b'x', 1]);
    client.ok(SETATTR, setattr(1, 1 << 3, 0, 7));
    assert_eq!(client.read(1, 5, 100), [5, 6]);
    // Not open, and without a name: still what it was.
    client.ok(WALK, walk(ROOT, 2, &["sub", "inner"]));
    fs::rename(client.path("sub/inner"), client.path("moved")).unwrap();
    client.ok(LOPEN, body().u32(2).u32(RDONLY));
    assert_eq!(client.read(2, 0, 10), b"inner");
}

#[test]
fn directories_are_read_in_parts() {
    let client = Client::writable();
    let names: Vec<String> = (0..2000)
        .map(|n| format!("a-file-with-number-{n}"))
        .collect();
    for name in &names {
        fs::write(client.path("sub").join(name), []).unwrap();
    }
    // A name that is no UTF-8 is one like others.
    fs::write(client.path("sub").join(OsStr::from_bytes(b"\xff\xfe")), []).unwrap();
    client.open(1, &["sub"], RDONLY);
    let all = || {
        let (mut all, mut offset) = (Vec::new(), 0);
        loop {
            let answer = client.ok(READDIR, body().u32(1).u64(offset).u32(4000));
            assert!(answer.len() <= 4004);
            let part = entries(&answer);
            let Some(last) = part.last() else { break };
            offset = last.1;
            all.extend(part);
        }
        all
    };
    let mut found = all();
    found.sort();
    assert_eq!(found.len(), names.len() + 4);
    for name in ["inner", "\u{fffd}\u{fffd}", "a-file-with-number-1999"] {
        assert!(
            found.iter().any(|(n, _, kind)| n == name && *kind == 8),
            "{name}"
        );
    }
    for name in [".", ".."] {
        assert!(found.iter().any(|(n, _, kind)| n == name && *kind == 4));
    }
    let mut again = all();
    again.sort();
    assert_eq!(again, found);
    // None fits, which is not the end.
    let little = body().u32(1).u64(0).u32(20);
    assert_eq!(client.ask(READDIR, little), Err(Errno::INVAL));
    client.open(2, &["file"], RDONLY);
    assert_eq!(
        client.ask(READDIR, body().u32(2).u64(0).u32(99)),
        Err(Errno::NOTDIR)
    );
    assert_eq!(
        client.ask(READDIR, body().u32(ROOT).u64(0).u32(99)),
        Err(Errno::BADF)
    );
    assert_eq!(
        client.ask(READ, body().u32(1).u64(0).u32(99)),
        Err(Errno::ISDIR)
    );
}

#[test]
fn the_parent_of_the_root_is_the_root() {
    let client = Client::writable();
    client.open(1, &[], RDONLY);
    let answer = client.ok(READDIR, body().u32(1).u64(0).u32(8000));
    let ino = fs::metadata(client.path("")).unwrap().ino().to_le_bytes();
    let same = answer.windows(8).filter(|window| *window == ino).count();
    assert_eq!(same, 2);
}

#[test]
fn names_come_and_go() {
    let client = Client::writable();
    let named = |fid: u32, name: &str| body().u32(fid).string(name.as_bytes()).unwrap();
    let qid = client.ok(MKDIR, named(ROOT, "dir").u32(0o750).u32(0));
    assert_eq!((qid.len(), qid[0]), (13, 0x80));
    assert_eq!(
        client.ask(MKDIR, named(ROOT, "dir").u32(0).u32(0)),
        Err(Errno::EXIST)
    );
    client.ok(WALK, walk(ROOT, 1, &["dir"]));

    let qid = client.ok(SYMLINK, named(1, "sym").string(b"../file").unwrap().u32(0));
    assert_eq!(qid[0], 2);
    client.ok(WALK, walk(1, 2, &["sym"]));
    assert_eq!(
        client.ok(READLINK, body().u32(2)),
        body().string(b"../file").unwrap().0
    );
    assert_eq!(client.ask(READLINK, body().u32(1)), Err(Errno::INVAL));

    client.ok(MKNOD, named(1, "pipe").u32(0o010_644).u32(0).u32(0).u32(0));
    assert!(fs::symlink_metadata(client.path("dir/pipe"))
        .unwrap()
        .file_type()
        .is_fifo());
    for device in [0o020_666, 0o060_666, 0o040_777] {
        let mknod = named(1, "device").u32(device).u32(1).u32(3).u32(0);
        assert_eq!(client.ask(MKNOD, mknod), Err(Errno::PERM));
    }

    client.ok(WALK, walk(ROOT, 3, &["file"]));
    client.ok(LINK, body().u32(1).u32(3).string(b"hard").unwrap());
    assert_eq!(fs::metadata(client.path("dir/hard")).unwrap().nlink(), 2);

    client.ok(
        RENAMEAT,
        named(1, "hard").u32(ROOT).string(b"renamed").unwrap(),
    );
    assert!(client.path("renamed").exists() && !client.path("dir/hard").exists());
    let remove = |name, flags| client.ask(UNLINKAT, named(ROOT, name).u32(flags));
    assert_eq!(remove("dir", 0), Err(Errno::ISDIR));
    assert_eq!(remove("dir", 0x200), Err(Errno::NOTEMPTY));
    assert_eq!(remove("renamed", 0x200), Err(Errno::NOTDIR));
    assert_eq!(remove("renamed", 0x400), Err(Errno::INVAL));
    assert_eq!(remove("renamed", 0), Ok(vec![]));
    for name in ["sym", "pipe"] {
        client.ok(UNLINKAT, named(1, name).u32(0));
    }
    assert_eq!(remove("dir", 0x200), Ok(vec![]));
}

/// Trename and Tremove.
#[test]
fn clients_before_linux_3_0_rename_and_remove_by_fid() {
    let client = Client::writable();
    client.ok(WALK, walk(ROOT, 1, &["sub", "inner"]));
    let rename =
        |fid: u32, name: &[u8]| client.ask(RENAME, body().u32(fid).u32(ROOT).string(name).unwrap());
    assert_eq!(rename(1, b"first"), Ok(vec![]));
    assert_eq!(rename(1, b"second"), Ok(vec![]));
    assert_eq!(rename(ROOT, b"third"), Err(Errno::BUSY));
    assert_eq!(fs::read(client.path("second")).unwrap(), b"inner");
    client.ok(REMOVE, body().u32(1));
    assert!(!client.path("second").exists());
    assert_eq!(client.ask(CLUNK, body().u32(1)), Err(Errno::BADF));
    client.ok(WALK, walk(ROOT, 1, &["sub"]));
    client.ok(REMOVE, body().u32(1));
    // The fid is gone even so.
    assert_eq!(client.ask(REMOVE, body().u32(ROOT)), Err(Errno::BUSY));
    assert_eq!(client.ask(CLUNK, body().u32(ROOT)), Err(Errno::BADF));
}

/// They know a file by the name that it had when they found it.
#[test]
fn no_other_file_is_renamed_or_removed_in_place_of_one_that_has_moved() {
    let client = Client::writable();
    let find = |fid| client.ok(WALK, walk(ROOT, fid, &["sub", "inner"]));
    find(1);
    find(2);
    // By another fid, or by somebody on the host.
    let name = body().u32(1).u32(ROOT).string(b"moved").unwrap();
    client.ok(RENAME, name);
    fs::write(client.path("sub/inner"), b"another").unwrap();
    let name = body().u32(2).u32(ROOT).string(b"renamed").unwrap();
    assert_eq!(client.ask(RENAME, name), Err(Errno::NOENT));
    assert_eq!(client.ask(REMOVE, body().u32(2)), Err(Errno::NOENT));
    assert_eq!(fs::read(client.path("sub/inner")).unwrap(), b"another");
    assert_eq!(fs::read(client.path("moved")).unwrap(), b"inner");
    client.ok(REMOVE, body().u32(1));
    assert!(!client.path("moved").exists());
}

#[test]
fn attributes() {
    let client = Client::writable();
    client.ok(WALK, walk(ROOT, 1, &["file"]));
    client.ok(SETATTR, setattr(1, 0x1 | 0x1b0, 0o100_604, 0));
    let metadata = fs::metadata(client.path("file")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.size()), (0o604, 256));
    assert_eq!((metadata.atime(), metadata.atime_nsec()), (1, 2));
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (3, 4));
    let answer = client.ok(GETATTR, body().u32(1).u64(0x7ff));
    assert_eq!(answer.len(), 8 + 13 + 3 * 4 + 5 * 8 + 8 * 8 + 2 * 8);
    let mut rest = Body(&answer);
    assert_eq!(rest.u64(), Ok(0xfff));
    let qid = (rest.u8().unwrap(), rest.u32().unwrap(), rest.u64().unwrap());
    assert_eq!(qid, (0, 3 ^ 4, metadata.ino()));
    assert_eq!(rest.u32(), Ok(metadata.mode()));
    assert_eq!(rest.u32(), Ok(metadata.uid()));
    assert_eq!(rest.u32(), Ok(metadata.gid()));
    let u64s: Vec<u64> = (0..9).map(|_| rest.u64().unwrap()).collect();
    assert_eq!(u64s[..2], [1, 0]);
    assert_eq!(u64s[2], 256);
    assert_eq!(u64s[3..5], [metadata.blksize(), metadata.blocks()]);
    assert_eq!(u64s[5..], [1, 2, 3, 4]);

    client.ok(SETATTR, setattr(1, 0x8, 0, 1000));
    assert_eq!(fs::metadata(client.path("file")).unwrap().len(), 1000);
    // Only the time of access, and it is now.
    client.ok(SETATTR, setattr(1, 0x10, 0, 0));
    let metadata = fs::metadata(client.path("file")).unwrap();
    assert!(metadata.atime() > 1_000_000_000);
    client.ok(WALK, walk(ROOT, 2, &["sub"]));
    assert_eq!(
        client.ask(SETATTR, setattr(2, 0x8, 0, 0)),
        Err(Errno::ISDIR)
    );
    // -1 as the owner, and a second with more than its nanoseconds.
    assert_eq!(
        client.ask(SETATTR, setattr(2, 0x2, 0, 0)),
        Err(Errno::INVAL)
    );
    let odd = body().u32(1).u32(0x1b0).u32(0).u32(0).u32(0).u64(0);
    let odd = odd.u64(0).u64(1_000_000_000).u64(0).u64(0);
    assert_eq!(client.ask(SETATTR, odd), Err(Errno::INVAL));
}

#[test]
fn a_file_system_that_knows_no_births_tells_none() {
    let share = Share::open("/proc/self".as_ref(), ShareOptions::default()).unwrap();
    let mask = StatxFlags::BTIME;
    let known = statx(CWD, "/proc/self/stat", AtFlags::empty(), mask).unwrap();
    let known = StatxFlags::from_bits_retain(known.stx_mask).contains(mask);
    let client = Client::of(share);
    client.ok(WALK, walk(ROOT, 1, &["stat"]));
    let answer = client.ok(GETATTR, body().u32(1).u64(0xfff));
    let expected: u64 = if known { 0xfff } else { 0x7ff };
    assert_eq!(answer[..8], expected.to_le_bytes());
}

#[test]
fn no_program_gets_the_rights_of_the_vmm() {
    let client = Client::writable();
    client.ok(WALK, walk(ROOT, 1, &["file"]));
    client.ok(SETATTR, setattr(1, 0x1, 0o6755, 0));
    client.ok(WALK, walk(ROOT, 2, &[]));
    let create = body()
        .u32(2)
        .string(b"suid")
        .unwrap()
        .u32(RDWR)
        .u32(0o6711)
        .u32(0);
    client.ok(LCREATE, create);
    let mknod = body().u32(ROOT).string(b"node").unwrap().u32(0o106_755);
    client.ok(MKNOD, mknod.u32(0).u32(0).u32(0));
    for name in ["file", "suid", "node"] {
        let mode = fs::metadata(client.path(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o6000, 0, "{name}");
    }
}

#[test]
fn the_file_system() {
    let client = Client::writable();
    let answer = client.ok(STATFS, body().u32(ROOT));
    assert_eq!(answer.len(), 60);
    assert_eq!(answer[..4], 0x0102_1997u32.to_le_bytes());
    assert_eq!(answer[56..], 255u32.to_le_bytes());
}

#[test]
fn locks_are_the_guests_own() {
    let client = Client::writable();
    let lock = |fid: u32| {
        body()
            .u32(fid)
            .u8(1)
            .u32(0)
            .u64(0)
            .u64(0)
            .u32(7)
            .string(b"c")
            .unwrap()
    };
    assert_eq!(client.ask(LOCK, lock(ROOT)), Err(Errno::BADF));
    client.open(1, &["file"], RDWR);
    assert_eq!(client.ok(LOCK, lock(1)), [0]);
    let get = body()
        .u32(1)
        .u8(1)
        .u64(5)
        .u64(6)
        .u32(7)
        .string(b"c")
        .unwrap();
    let none = body().u8(2).u64(5).u64(6).u32(7).string(b"c").unwrap();
    assert_eq!(client.ok(GETLOCK, get), none.0);
    assert_eq!(
        client.ask(XATTRWALK, body().u32(1).u32(2)),
        Err(Errno::OPNOTSUPP)
    );
}
