// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Seeds and former findings as ordinary tests: nothing panics, and the seeds get where they are
//! meant to.

#![allow(missing_docs)]

use std::path::Path;

use s390_fuzz_common::{hypercalls, loader, rings, sccb};

fn input(target: &str, name: &str) -> Vec<u8> {
    std::fs::read(folder(target).join(name)).unwrap()
}

fn folder(target: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("inputs")
        .join(target)
}

/// All inputs of a target, with names.
fn all<T>(target: &str, run: impl Fn(&[u8]) -> T) {
    let mut count = 0;
    for file in std::fs::read_dir(folder(target)).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        run(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn rings_survive() {
    all("rings", rings);
}

#[test]
fn hypercalls_survive() {
    all("hypercalls", hypercalls);
}

#[test]
fn sccbs_survive() {
    all("sccb", sccb);
}

#[test]
fn kernel_files_survive() {
    all("loader", loader);
}

#[test]
fn seeds_reach_the_devices() {
    let interrupts = |name| rings(&input("rings", name)).interrupts;
    for name in [
        "disk-read",
        "disk-write",
        "disk-early-kick",
        "disk-event-index",
        "disk-indirect",
        "net-receive",
        "net-transmit",
        "net-control",
        "console",
        "console-ports",
        "entropy",
        "balloon",
        "machine-reset",
        "disk-grows-and-shrinks",
        "disk-limited",
        "disk-ranges",
        "disk-write-through",
        "large-disk",
        "slow-net",
        "pause",
        "added-to-one-that-knows",
        "link",
        "net-limited",
        "console-resized",
        "balloon-target",
        "share-read",
        "share-links",
    ] {
        assert!(interrupts(name) > 0, "{name}");
    }
    assert_eq!(interrupts("disk-failed"), 0);
    let bytes = |name| {
        let reached = rings(&input("rings", name));
        (reached.file_bytes, reached.disk_bytes)
    };
    assert_eq!(bytes("share-read"), (512, 0));
    assert_eq!(bytes("share-write"), (5 + 105, 0));
    for name in ["share-directory", "share-links", "share-escape"] {
        assert_eq!(bytes(name), (0, 0), "{name}");
    }
    let requests = 40 * 100 * 0xf_0000;
    let zeroes = 32 << 20;
    assert_eq!(bytes("large-disk"), (0, 2 * requests + zeroes));
    assert!(bytes("threaded-disk").1 > 0);
    // That one is healed by a RESET before its end.
    let breaches = |input: &[u8]| rings(input).breaches;
    let broken = input("rings", "disk-loop");
    assert_eq!(breaches(&broken), 0);
    assert_eq!(breaches(&broken[..broken.len() - 2]), 1);
}

#[test]
fn seeds_reach_the_answers() {
    for (name, answered) in [
        ("notify", 1),
        ("reset-and-status", 2),
        ("text", 1),
        ("unknown", 0),
        ("problem-state", 0),
        ("encoded", 1),
    ] {
        assert_eq!(hypercalls(&input("hypercalls", name)), answered, "{name}");
    }
    for (name, done) in [
        ("read-information", 2),
        ("read-cpu-information", 1),
        ("mask", 1),
        ("vt220", 1),
        ("message", 1),
        ("input", 2),
        ("shutdown", 2),
        ("sdias", 0),
    ] {
        assert_eq!(sccb(&input("sccb", name)), done, "{name}");
    }
    for (name, loaded) in [
        ("elf", true),
        ("elf-initrd-and-line", true),
        ("elf-overlap", false),
        ("elf-too-large", false),
        ("raw", true),
    ] {
        assert_eq!(loader(&input("loader", name)), loaded, "{name}");
    }
}
