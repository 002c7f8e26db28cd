// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Random I/O of a guest with many requests in flight, and a VMM that is killed in the middle of it
//! again and again: what the guest had flushed is there, and nothing is there that it did not
//! write.
//!
//! The guest verifies what it reads, this test the whole image after each kill, and `qemu-img
//! check` the format, if it is installed, as it must be where `CI` is set. With
//! `DISK_CRASH_SECONDS=60` each kind of disk gets a minute instead of a few kills; figures are
//! printed with `--nocapture`.

mod common;
/// What the guest does, from its own source.
#[path = "../../bare-guest/src/stress.rs"]
#[allow(dead_code)]
mod stress;

/// What [`stress`] uses of it.
#[path = "../../bare-guest/src/pattern.rs"]
#[allow(dead_code)]
mod pattern;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{vmm, GUEST};
use imago::file::File as ImageFile;
use imago::qcow2::Qcow2;
use imago::{FormatCreateBuilder, Storage, StorageCreateOptions};
use pattern::SECTOR;
use s390_virtio_devices::block::{ImageFormat, ImageOptions};
use stress::{Content, DEPTH, MAX_SECTORS};
use vm_memory::VolatileSlice;

const SIZE: u64 = MAX_SECTORS as u64 * SECTOR as u64;

/// Kills of a short run, and rounds before each.
const KILLS: u32 = 3;
const ROUNDS: u32 = 6;

/// Rounds at most of which a killed VMM has not printed that they were flushed.
const UNPRINTED: u32 = 8;

struct Run<'a> {
    image: &'a Path,
    format: ImageFormat,
    /// More words for `--disk`.
    words: &'a str,
    seed: u32,
    /// The first round that is not known to be flushed.
    next: u32,
}

/// Boots the guest; kills the VMM some time after so many rounds.
fn run(run: &mut Run<'_>, rounds: u32, delay: Duration) {
    let begun = run.next;
    let mut child = boot(run);
    let output = child.stdout.take().unwrap();
    let mut seen = 0;
    let mut killed = false;
    let mut text = String::new();
    for line in BufReader::new(output).lines() {
        // The line that the kill cut off may be half a character.
        let Ok(line) = line else { break };
        let line = line.trim();
        assert!(
            !line.contains("damaged") && !line.contains("fail"),
            "{line}"
        );
        text += &format!("{line}\n");
        let round = line
            .strip_prefix("stress: round ")
            .and_then(|rest| rest.strip_suffix(" flushed"));
        if let Some(round) = round {
            assert_eq!(round.parse(), Ok(run.next));
            run.next += 1;
            seen += 1;
            if seen >= rounds && !killed {
                std::thread::sleep(delay);
                child.kill().unwrap();
                killed = true;
            }
        }
    }
    let status = child.wait().unwrap();
    assert!(killed && run.next > begun, "{status}: {text}");
}

fn boot(run: &Run<'_>) -> Child {
    let format = match run.format {
        ImageFormat::Raw => "raw",
        ImageFormat::Qcow2 => "qcow2",
    };
    let disk = format!("path={},format={format}{}", run.image.display(), run.words);
    let command_line = format!("stress={} stress-round={}", run.seed, run.next);
    vmm()
        .args(["boot", "--backend", "emulated", "--memory", "64M"])
        .args(["--kernel", GUEST, "--cmdline", &command_line])
        .args(["--disk", &disk])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn create(path: &Path, format: ImageFormat) {
    match format {
        ImageFormat::Raw => std::fs::File::create(path).unwrap().set_len(SIZE).unwrap(),
        ImageFormat::Qcow2 => {
            let file = StorageCreateOptions::new().filename(path);
            let file = ImageFile::create_open(file).unwrap();
            let builder = Qcow2::<ImageFile>::create_builder(file);
            // Many clusters, so that there is metadata to lose.
            builder.size(SIZE).cluster_size(4096).create().unwrap();
        }
    }
}

/// Every sector holds what the flushed rounds left, or what the one after them writes. Which rounds
/// these are, the disk may know better than the test: a killed VMM takes along what it had not
/// printed yet.
fn verify(run: &mut Run<'_>) {
    let options = ImageOptions {
        format: run.format,
        read_only: true,
        direct: false,
    };
    let image = options.open(run.image).unwrap();
    let mut bytes = vec![0; SIZE as usize];
    image
        .read(&[VolatileSlice::from(&mut bytes[..])], 0)
        .unwrap();
    let mut disk = vec![Content::default(); MAX_SECTORS as usize];
    stress::replay(run.seed, run.next, MAX_SECTORS, &mut disk);
    let mut wrong = String::new();
    for next in run.next..=run.next + UNPRINTED {
        let mut after = disk.clone();
        for step in stress::round(run.seed, next, MAX_SECTORS) {
            stress::apply(&step, next, &mut after);
        }
        let differs = |&number: &u32| {
            let found = &bytes[number as usize * SECTOR..][..SECTOR];
            let wanted = [disk[number as usize], after[number as usize]];
            !wanted.iter().any(|content| found == content.bytes(number))
        };
        let Some(number) = (0..MAX_SECTORS).find(differs) else {
            run.next = next;
            return;
        };
        let found = &bytes[number as usize * SECTOR..][..16];
        let wanted = disk[number as usize];
        wrong += &format!("sector {number} before round {next}: {wanted:?}, {found:02x?}\n");
        disk = after;
    }
    panic!("{wrong}");
}

/// Leaked clusters are no harm and what a crash leaves; anything else is.
fn check(run: &Run<'_>) {
    if run.format == ImageFormat::Raw {
        return;
    }
    let mut command = Command::new("qemu-img");
    command.args(["check", "-f", "qcow2"]).arg(run.image);
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(0 | 3)), "{text}");
        }
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("the format is not checked: qemu-img: {error}");
        }
        Err(error) => panic!("qemu-img, which the gate installs: {error}"),
    }
}

fn crash(format: ImageFormat, words: &str) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = directory.path().join("disk");
    create(&image, format);
    let mut this = Run {
        image: &image,
        format,
        words,
        seed: 7,
        next: 1,
    };
    let seconds = std::env::var("DISK_CRASH_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("DISK_CRASH_SECONDS is a number"));
    let begun = Instant::now();
    let mut kills = 0;
    let more = |kills| match seconds {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => kills < KILLS,
    };
    while more(kills) {
        let rounds = match seconds {
            Some(_) => 1 + kills * 37 % 150,
            None => ROUNDS,
        };
        // Somewhere in a round.
        let delay = Duration::from_micros(u64::from(kills * 1237 % 5000));
        run(&mut this, rounds, delay);
        kills += 1;
        verify(&mut this);
        check(&this);
    }
    let rounds = this.next - 1;
    println!(
        "{format:?}{words}: {kills} kills, {rounds} rounds of {DEPTH} requests and a flush in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn raw() {
    crash(ImageFormat::Raw, "");
}

#[test]
fn raw_with_threads() {
    crash(ImageFormat::Raw, ",engine=threads");
}

#[test]
fn qcow2() {
    crash(ImageFormat::Qcow2, "");
}
