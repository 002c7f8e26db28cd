// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A share that is only for reading refuses whatever would change it.

use super::client::*;
use super::*;

#[test]
fn everything_that_changes_something_is_refused() {
    let options = ShareOptions {
        read_only: true,
        ..ShareOptions::default()
    };
    let client = Client::new(options);
    let before = std::fs::metadata(client.path("file"))
        .unwrap()
        .modified()
        .unwrap();
    client.open(1, &["file"], RDONLY);
    client.ok(WALK, walk(ROOT, 2, &["file"]));
    let named = |name: &[u8]| body().u32(ROOT).string(name).unwrap();
    let mut write = body().u32(1).u64(0).u32(1);
    write.0.push(7);
    let mut refused = vec![
        (LCREATE, named(b"new").u32(RDWR).u32(0o644).u32(0)),
        // Even if nothing could be written.
        (LCREATE, named(b"new").u32(RDONLY).u32(0o644).u32(0)),
        (SYMLINK, named(b"new").string(b"x").unwrap().u32(0)),
        (MKNOD, named(b"new").u32(0o010_644).u32(0).u32(0).u32(0)),
        (RENAME, body().u32(2).u32(ROOT).string(b"new").unwrap()),
        (XATTRCREATE, named(b"user.x").u64(1).u32(0)),
        (LINK, body().u32(ROOT).u32(2).string(b"new").unwrap()),
        (MKDIR, named(b"new").u32(0o755).u32(0)),
        (RENAMEAT, named(b"file").u32(ROOT).string(b"new").unwrap()),
        (UNLINKAT, named(b"file").u32(0)),
        (UNLINKAT, named(b"sub").u32(0x200)),
        (WRITE, write),
    ];
    refused
        .extend([1u32, 2, 4, 8, 0x10, 0x1b0].map(|valid| (SETATTR, setattr(2, valid, 0o600, 0))));
    refused.extend(
        [WRONLY, RDWR, 0o1000, RDWR | 0o1000].map(|flags| (LOPEN, body().u32(2).u32(flags))),
    );
    refused.push((REMOVE, body().u32(2)));
    for (number, message) in refused {
        assert_eq!(client.ask(number, message), Err(Errno::ROFS), "{number}");
    }
    // That one let go of its fid all the same.
    assert_eq!(client.ask(CLUNK, body().u32(2)), Err(Errno::BADF));
    let mut names: Vec<_> = std::fs::read_dir(client.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["absolute", "file", "link", "out", "sub"]);
    let after = std::fs::metadata(client.path("file")).unwrap();
    assert_eq!((after.len(), after.modified().unwrap()), (256, before));

    // The rest works.
    assert_eq!(client.read(1, 3, 2), [3, 4]);
    client.ok(FSYNC, body().u32(1).u32(0));
    client.ok(GETATTR, body().u32(ROOT).u64(0));
    client.ok(STATFS, body().u32(ROOT));
    client.open(3, &[], RDONLY);
    client.ok(READDIR, body().u32(3).u64(0).u32(4000));
    client.ok(WALK, walk(ROOT, 4, &["link"]));
    client.ok(READLINK, body().u32(4));
}
