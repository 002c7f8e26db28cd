// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! There is no way out of the share, whatever a client says.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::client::*;
use super::*;

/// Ways to write what is outside.
const BAD: &[&str] = &[
    "..",
    "../outside",
    "../outside/secret",
    "sub/../../outside/secret",
    "out/secret",
    "/",
    "/etc/passwd",
    ".",
    "",
    "sub/inner",
];

#[test]
fn names_that_lead_elsewhere() {
    let client = Client::writable();
    client.ok(WALK, walk(ROOT, 1, &["file"]));
    for bad in BAD {
        let named = |fid: u32| body().u32(fid).string(bad.as_bytes()).unwrap();
        for message in [
            (WALK, walk(ROOT, 2, &[bad])),
            (WALK, walk(ROOT, 2, &["sub", bad])),
            (LCREATE, named(ROOT).u32(RDWR).u32(0o644).u32(0)),
            (SYMLINK, named(ROOT).string(b"x").unwrap().u32(0)),
            (MKNOD, named(ROOT).u32(0o100_644).u32(0).u32(0).u32(0)),
            (MKDIR, named(ROOT).u32(0o755).u32(0)),
            (
                LINK,
                body().u32(ROOT).u32(1).string(bad.as_bytes()).unwrap(),
            ),
            (
                RENAME,
                body().u32(1).u32(ROOT).string(bad.as_bytes()).unwrap(),
            ),
            (RENAMEAT, named(ROOT).u32(ROOT).string(b"x").unwrap()),
            (
                RENAMEAT,
                body()
                    .u32(ROOT)
                    .string(b"file")
                    .unwrap()
                    .u32(ROOT)
                    .string(bad.as_bytes())
                    .unwrap(),
            ),
            (UNLINKAT, named(ROOT).u32(0)),
            (UNLINKAT, named(ROOT).u32(0x200)),
        ] {
            let number = message.0;
            assert_eq!(
                client.ask(number, message.1),
                Err(Errno::INVAL),
                "{number} {bad:?}"
            );
        }
    }
}

#[test]
fn symbolic_links_are_not_followed() {
    let client = Client::writable();
    let secret = client.directory.path().join("outside/secret");
    let before = fs::metadata(&secret).unwrap();
    for link in ["out", "absolute", "link"] {
        let end = client.ask(WALK, walk(ROOT, 1, &[link, "secret"]));
        // It came as far as the link itself.
        assert_eq!(end.unwrap().len(), 2 + 13);
        client.ok(WALK, walk(ROOT, 1, &[link]));
        assert_eq!(
            client.ask(WALK, walk(1, 2, &["secret"])),
            Err(Errno::NOTDIR)
        );
        assert_eq!(client.ask(LOPEN, body().u32(1).u32(RDWR)), Err(Errno::LOOP));
        let create = |fid: u32| {
            body()
                .u32(fid)
                .string(b"new")
                .unwrap()
                .u32(RDWR)
                .u32(0)
                .u32(0)
        };
        assert_eq!(client.ask(LCREATE, create(1)), Err(Errno::NOTDIR));
        // A link in the way of a new file is no way.
        client.ok(WALK, walk(ROOT, 2, &[]));
        let create = body()
            .u32(2)
            .string(link.as_bytes())
            .unwrap()
            .u32(RDWR)
            .u32(0)
            .u32(0);
        assert_eq!(client.ask(LCREATE, create), Err(Errno::EXIST));
        // Mode, size and times would be those of the link: either it has them or they are refused.
        for valid in [1, 8, 0x1b0] {
            let _ = client.ask(SETATTR, setattr(1, valid, 0o777, 0));
        }
        // One more name for the link, not for what it points to.
        let name = format!("{link}2");
        client.ok(
            LINK,
            body().u32(ROOT).u32(1).string(name.as_bytes()).unwrap(),
        );
        assert!(client.path(&name).is_symlink());
        client.ok(CLUNK, body().u32(1));
        client.ok(CLUNK, body().u32(2));
    }
    let after = fs::metadata(&secret).unwrap();
    let same = |m: &fs::Metadata| (m.mode(), m.size(), m.mtime(), m.mtime_nsec(), m.nlink());
    assert_eq!(same(&after), same(&before));
    assert_eq!(
        fs::metadata(client.path("file")).unwrap().mode() & 0o777,
        0o644
    );
    assert_eq!(fs::read(&secret).unwrap(), SECRET);
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    let client = Client::writable();
    client.ok(WALK, walk(ROOT, 1, &["sub"]));
    fs::rename(client.path("sub"), client.path("was")).unwrap();
    std::os::unix::fs::symlink("../outside", client.path("sub")).unwrap();
    // The fid is where it was; the name does not help.
    client.ok(WALK, walk(1, 2, &["inner"]));
    assert_eq!(client.ask(WALK, walk(1, 3, &["secret"])), Err(Errno::NOENT));
    assert_eq!(
        client
            .ask(WALK, walk(ROOT, 3, &["sub", "secret"]))
            .unwrap()
            .len(),
        15
    );
    assert_eq!(client.ask(CLUNK, body().u32(3)), Err(Errno::BADF));
}

#[test]
fn the_share_may_be_named_by_a_link_but_must_be_a_directory() {
    let client = Client::writable();
    let open = |path: &str| Share::open(&client.path(path), ShareOptions::default());
    assert!(open("out").is_ok());
    for (path, reason) in [
        ("file", libc::ENOTDIR),
        ("nothing", libc::ENOENT),
        ("absolute", libc::ENOTDIR),
    ] {
        match open(path) {
            Err(ShareError::Open { source, .. }) => assert_eq!(source.raw_os_error(), Some(reason)),
            other => panic!("{other:?}"),
        }
    }
}

/// Whatever there is outside: paths, modes, sizes, times, contents.
fn outside(directory: &Path) -> Vec<String> {
    let mut list = Vec::new();
    for path in ["", "outside", "outside/secret"] {
        let path = directory.join(path);
        let m = fs::metadata(&path).unwrap();
        let content = fs::read(&path).unwrap_or_default();
        list.push(format!(
            "{path:?} {:o} {} {} {} {content:?}",
            m.mode(),
            m.uid(),
            m.mtime(),
            m.mtime_nsec()
        ));
    }
    for path in [directory.to_owned(), directory.join("outside")] {
        let names = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        list.push(format!("{names:?}"));
    }
    list
}

fn a_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec!["file", "sub", "inner", "link", "out", "absolute", "secret", "new"])
            .prop_map(|name| name.as_bytes().to_vec()),
        2 => prop::sample::select(BAD).prop_map(|name| name.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ]
}

/// A message that is nearly right: fields of the right kinds, but any values.
fn a_message() -> impl Strategy<Value = (u8, Vec<u8>)> {
    const NUMBERS: &[u8] = &[
        STATFS,
        LOPEN,
        LCREATE,
        SYMLINK,
        MKNOD,
        RENAME,
        READLINK,
        GETATTR,
        SETATTR,
        XATTRWALK,
        XATTRCREATE,
        READDIR,
        FSYNC,
        LOCK,
        GETLOCK,
        LINK,
        MKDIR,
        RENAMEAT,
        UNLINKAT,
        VERSION,
        102,
        ATTACH,
        108,
        WALK,
        WALK,
        WALK,
        READ,
        WRITE,
        CLUNK,
        REMOVE,
    ];
    let fid = prop_oneof![8 => 0u32..4, 1 => any::<u32>()];
    let number = prop_oneof![9 => prop::sample::select(NUMBERS), 1 => any::<u8>()];
    let small =
        prop_oneof![3 => 0u32..4, 1 => Just(0o644), 1 => Just(0o10_0644), 1 => any::<u32>()];
    (
        number,
        vec(fid, 2),
        vec(a_name(), 1..4),
        vec(small, 12),
        any::<bool>(),
    )
        .prop_map(|(number, fids, names, small, plain)| {
            let strings = |mut body: Answer| {
                for name in &names {
                    body = body.string(name).unwrap();
                }
                body
            };
            let mut body = body().u32(fids[0]);
            body = match number {
                WALK => strings(body.u32(fids[1]).u16(names.len() as u16)),
                LINK | RENAME => strings(body.u32(fids[1])),
                RENAMEAT => body
                    .string(&names[0])
                    .unwrap()
                    .u32(fids[1])
                    .string(&names[names.len() - 1])
                    .unwrap(),
                ATTACH => strings(body.u32(!0).string(b"").unwrap()),
                LCREATE | SYMLINK | MKNOD | MKDIR | UNLINKAT if plain => {
                    body.string(&names[0]).unwrap()
                }
                LCREATE | SYMLINK | MKNOD | MKDIR | UNLINKAT => strings(body),
                _ => body,
            };
            let body = small.into_iter().fold(body, Answer::u32);
            (number, Client::message(number, body))
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(target_arch = "s390x") { 40 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_answered_and_stay_inside(
        messages in vec(
            prop_oneof![
                5 => a_message().prop_map(|(_, message)| message),
                1 => vec(any::<u8>(), HEADER_LEN..64),
            ],
            1..40,
        ),
        room in RLERROR_LEN..9000usize,
    ) {
        let client = Client::writable();
        // What the host's directory itself shows of the share: nothing, its times included.
        let before = outside(client.directory.path());
        for message in messages {
            let (answered, answer) = client.raw(message, room);
            prop_assert!(answered.len as usize <= room);
            prop_assert!(!answer.windows(SECRET.len()).any(|window| window == SECRET));
        }
        prop_assert_eq!(outside(client.directory.path()), before);
    }
}
