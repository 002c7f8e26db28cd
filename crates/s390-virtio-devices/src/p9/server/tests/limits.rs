// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Sizes that lie, and clients that want too much.

use std::os::unix::net::UnixListener;

use super::client::*;
use super::*;

#[test]
fn a_size_that_is_not_true() {
    let client = Client::writable();
    let ask = |size: u32, number, body: Answer| {
        let mut message = Client::message(number, body);
        message[..4].copy_from_slice(&size.to_le_bytes());
        let (answered, answer) = client.raw(message, 64);
        assert_eq!((answered.len, answer[4]), (11, RLERROR));
        answered.outcome
    };
    let invalid = Outcome::Failed(libc::EINVAL);
    for size in [0, 1, 6, 7, 10, 12, u32::MAX] {
        assert_eq!(ask(size, CLUNK, body().u32(ROOT)), invalid, "{size}");
    }
    // The fid is still there: nothing was carried out.
    client.ok(CLUNK, body().u32(ROOT));
}

#[test]
fn messages_of_unknown_types() {
    let client = Client::writable();
    // Tlerror, Rlerror, Terror, an answer, those of 9P2000, and what nobody knows.
    for number in [0, 6, 7, 106, 117, 112, 114, 124, 126, 255] {
        assert_eq!(
            client.ask(number, body()),
            Err(Errno::OPNOTSUPP),
            "{number}"
        );
    }
}

#[test]
fn no_message_is_longer_than_agreed() {
    let client = Client::writable();
    let version = |msize: u32| client.ok(VERSION, body().u32(msize).string(b"9P2000.L").unwrap());
    version(4096);
    let attach = body()
        .u32(ROOT)
        .u32(!0)
        .string(b"")
        .unwrap()
        .string(b"")
        .unwrap()
        .u32(0);
    client.ok(ATTACH, attach);
    client.open(1, &["file"], RDWR);
    let mut write = body().u32(1).u64(0).u32(5000);
    write.0.extend([1; 5000]);
    assert_eq!(client.ask(WRITE, write), Err(Errno::MSGSIZE));
    client.write(1, 0, &[7; 4096 - 23]);
    client.write(1, 4096, &[7; 4096 - 23]);
    // Nor is an answer.
    assert_eq!(client.read(1, 0, u32::MAX).len(), 4096 - 11);
    // A session with longer ones can follow.
    version(65536);
}

#[test]
fn an_answer_that_does_not_fit() {
    let client = Client::writable();
    client.open(1, &["file"], RDONLY);
    let with_room = |room, number, body| client.ask_with_room(number, body, room);
    let getattr = || body().u32(1).u64(0);
    assert_eq!(with_room(159, GETATTR, getattr()), Err(Errno::MSGSIZE));
    assert!(with_room(160, GETATTR, getattr()).is_ok());
    let read = || body().u32(1).u64(0).u32(100);
    assert_eq!(with_room(11, READ, read()), Ok(vec![0; 4]));
    assert_eq!(with_room(14, READ, read()), Ok(vec![3, 0, 0, 0, 0, 1, 2]));
    client.open(2, &[], RDONLY);
    let readdir = || body().u32(2).u64(0).u32(4000);
    assert_eq!(with_room(20, READDIR, readdir()), Err(Errno::INVAL));
    assert!(with_room(200, READDIR, readdir()).unwrap().len() <= 193);
}

#[test]
fn counts_allocate_nothing() {
    let client = Client::writable();
    client.open(1, &["file"], RDWR);
    // Data that is not there.
    for count in [1, 257, 1 << 20, u32::MAX] {
        assert_eq!(
            client.ask(WRITE, body().u32(1).u64(0).u32(count)),
            Err(Errno::INVAL)
        );
    }
    for offset in [1 << 63, u64::MAX] {
        assert_eq!(
            client.ask(READ, body().u32(1).u64(offset).u32(1)),
            Err(Errno::INVAL)
        );
        let mut write = body().u32(1).u64(offset).u32(1);
        write.0.push(0);
        assert_eq!(client.ask(WRITE, write), Err(Errno::INVAL));
    }
    let names = body().u32(ROOT).u32(9).u16(u16::MAX);
    assert_eq!(client.ask(WALK, names), Err(Errno::INVAL));
    assert_eq!(
        client.ask(WALK, walk(ROOT, 9, &["sub"; 17])),
        Err(Errno::INVAL)
    );
    // A body longer than any good one.
    let long = body()
        .u32(ROOT)
        .string(&[b'x'; 9000])
        .unwrap()
        .u32(0)
        .u32(0);
    assert_eq!(client.ask(MKDIR, long), Err(Errno::MSGSIZE));
    let long = body().u32(ROOT).string(&[b'x'; 256]).unwrap().u32(0).u32(0);
    assert_eq!(client.ask(MKDIR, long), Err(Errno::NAMETOOLONG));
}

#[test]
fn fids_are_limited() {
    let client = Client::new(ShareOptions {
        max_fids: 10,
        ..ShareOptions::default()
    });
    // The root is one.
    for fid in 1..10 {
        client.open(fid, &["file"], RDONLY);
    }
    assert_eq!(
        client.ask(WALK, walk(ROOT, 10, &["file"])),
        Err(Errno::NFILE)
    );
    assert_eq!(client.ask(WALK, walk(ROOT, 10, &[])), Err(Errno::NFILE));
    let attach = body()
        .u32(10)
        .u32(!0)
        .string(b"")
        .unwrap()
        .string(b"")
        .unwrap()
        .u32(0);
    assert_eq!(client.ask(ATTACH, attach), Err(Errno::NFILE));
    client.ok(WALK, walk(9, 9, &[]));
    client.ok(CLUNK, body().u32(9));
    client.ok(WALK, walk(ROOT, 10, &["file"]));
}

/// Descriptors of this process that lead to `path` or below.
fn descriptors(path: &std::path::Path) -> usize {
    let path = path.canonicalize().unwrap();
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.starts_with(&path))
        .count()
}

#[test]
fn nothing_is_left_of_a_session() {
    let client = Client::writable();
    let own = descriptors(client.directory.path());
    for fid in 1..50 {
        client.open(fid, &["sub", "inner"], RDONLY);
    }
    assert!(descriptors(client.directory.path()) >= own + 98);
    client.share.reset();
    // The root.
    assert_eq!(descriptors(client.directory.path()), 1);
    assert_eq!(client.ask(CLUNK, body().u32(ROOT)), Err(Errno::BADF));
}

#[test]
fn nobody_waits_for_a_pipe_or_a_socket() {
    let client = Client::writable();
    rustix::fs::mknodat(
        CWD,
        client.path("pipe"),
        rustix::fs::FileType::Fifo,
        Mode::RWXU,
        0,
    )
    .unwrap();
    let _listener = UnixListener::bind(client.path("socket")).unwrap();
    for (name, errno) in [
        ("pipe", Errno::NXIO),
        ("socket", Errno::NXIO),
        ("link", Errno::LOOP),
    ] {
        client.ok(WALK, walk(ROOT, 1, &[name]));
        for flags in [RDONLY, WRONLY, RDWR, 0o1000] {
            assert_eq!(
                client.ask(LOPEN, body().u32(1).u32(flags)),
                Err(errno),
                "{name}"
            );
        }
        assert_eq!(client.ask(SETATTR, setattr(1, 8, 0, 0)), Err(Errno::INVAL));
        // Its attributes are to be had.
        client.ok(GETATTR, body().u32(1).u64(0));
        client.ok(CLUNK, body().u32(1));
    }
}
