// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest on bare metal under the built command: how it ends, and what it leaves behind.

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use common::{sector, vmm, GUEST};

fn boot(arguments: &[&str]) -> Output {
    vmm()
        .args([
            "boot",
            "--backend",
            "emulated",
            "--memory",
            "64M",
            "--kernel",
            GUEST,
        ])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of this size in a new directory.
fn disk(size: u64) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    fs::File::create(&path).unwrap().set_len(size).unwrap();
    (directory, path)
}

#[test]
fn demo() {
    let output = vmm()
        .args(["demo", "--backend", "emulated"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{stdout}{}",
        text(&output.stderr)
    );
    for words in [
        "s390 bare guest",
        "64 sectors verified, 32 rewritten",
        "32 sectors rewritten by the guest, 224 as they were",
        "3 pings of the guest answered, 3 pings answered by the guest",
    ] {
        assert!(stdout.contains(words), "{words:?} is not in: {stdout}");
    }
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_guest_that_powers_off() {
    let output = boot(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("ram: 64 MiB"), "{stdout}");
    assert!(
        stdout.ends_with("done\r\n") || stdout.ends_with("done\n"),
        "{stdout:?}"
    );
}

/// The guest is compiled for a z10: an older machine lacks instructions of it.
#[test]
fn cpu_models() {
    for model in ["z10", "z196", "max"] {
        let output = boot(&["--cpu", model]);
        assert_eq!(output.status.code(), Some(0), "{model}");
    }
    let output = boot(&["--cpu", "z900"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
}

#[test]
fn a_guest_that_crashes_shows_its_psw() {
    for (how, address) in [("program", "dead"), ("panic", "0bad")] {
        let output = boot(&["--cmdline", &format!("crash={how}")]);
        assert_eq!(output.status.code(), Some(3), "{how}");
        let stderr = text(&output.stderr);
        let start = "s390-vmm: the guest stopped in a disabled wait, PSW ";
        assert!(stderr.starts_with(start), "{how}: {stderr}");
        assert!(
            stderr.ends_with(&format!(" 000000000000{address}\n")),
            "{how}: {stderr}"
        );
    }
}

#[test]
fn the_console_can_be_a_file_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let output = boot(&["--console", &format!("file={}", log.display())]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&fs::read(&log).unwrap()).contains("s390 bare guest"));
    let output = boot(&["--console", "none"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), String::new())
    );
}

#[test]
fn stats_count_instructions_and_exits() {
    let output = boot(&["--stats", "--console", "none"]);
    assert_eq!(output.status.code(), Some(0));
    let line = text(&output.stderr);
    let numbers: Vec<f64> = line.split(' ').filter_map(|w| w.parse().ok()).collect();
    let [instructions, exits, seconds] = numbers[..] else {
        panic!("not three numbers: {line}");
    };
    assert!(line.starts_with("s390-vmm: CPU 0: "), "{line}");
    assert!(
        instructions > 10_000.0 && exits > 10.0 && seconds > 0.0,
        "{line}"
    );
}

#[test]
fn without_consoles_of_the_sclp_there_is_the_early_console() {
    for console in ["none", "line"] {
        let output = boot(&["--sclp-console", console]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let stdout = text(&output.stdout);
        assert!(stdout.contains("s390 bare guest"), "{console}: {stdout}");
    }
}

#[test]
fn a_foreign_disk_is_rewritten_on_demand_only() {
    let (_directory, path) = disk(1 << 20);
    let option = format!("path={}", path.display());
    let output = boot(&["--disk", &option]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert_eq!(fs::read(&path).unwrap(), vec![0; 1 << 20]);
    let output = boot(&["--disk", &option, "--cmdline", "disk=rewrite sectors=16"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let image = fs::read(&path).unwrap();
    // Each sector begins with its number.
    for (number, sector) in (0u64..16).zip(image.chunks(512)) {
        assert_eq!(sector[..8], number.to_be_bytes());
    }
    assert_ne!(image[512..1024], [0; 512]);
    assert_eq!(image[16 * 512..], vec![0; (1 << 20) - 16 * 512]);
}

#[test]
fn every_other_sector_of_a_disk_with_the_pattern_is_rewritten() {
    let (_directory, path) = disk(0);
    let image: Vec<u8> = (0..64).flat_map(|n| sector(n, false)).collect();
    fs::write(&path, &image).unwrap();
    let option = format!("path={}", path.display());
    let output = boot(&["--disk", &option, "--cmdline", "sectors=16"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("block: 16 sectors verified, 8 rewritten"),
        "{stdout}"
    );
    for (number, found) in (0..).zip(fs::read(&path).unwrap().chunks(512)) {
        let rewritten = number < 16 && number % 2 == 0;
        assert!(found == sector(number, rewritten), "sector {number}");
    }
    // A second run puts everything back.
    let output = boot(&["--disk", &option, "--cmdline", "sectors=16"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(fs::read(&path).unwrap() == image);
    // And one wrong bit is found.
    let mut spoilt = image;
    spoilt[5 * 512 + 99] ^= 1;
    fs::write(&path, &spoilt).unwrap();
    let output = boot(&["--disk", &option, "--cmdline", "sectors=16"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
}

#[test]
fn a_read_only_disk_stays_as_it_is() {
    let (_directory, path) = disk(1 << 20);
    let option = format!("path={},readonly", path.display());
    let output = boot(&["--disk", &option, "--cmdline", "disk=rewrite sectors=16"]);
    assert!(
        text(&output.stdout).contains("read-only"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(fs::read(&path).unwrap(), vec![0; 1 << 20]);
}

#[test]
fn several_disks_in_their_order() {
    let disks = [disk(1 << 20), disk(3 << 20)];
    let options = disks
        .each_ref()
        .map(|(_, path)| format!("path={}", path.display()));
    let output = boot(&["--disk", &options[0], "--disk", &options[1]]);
    let stdout = text(&output.stdout);
    let first = stdout.find("2048 sectors").expect(&stdout);
    let second = stdout.find("6144 sectors").expect(&stdout);
    assert!(first < second);
}

#[test]
fn the_transport_can_be_watched() {
    let (_directory, path) = disk(64 << 10);
    let disk = format!("path={}", path.display());
    let output = boot(&["--trace", "--disk", &disk]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let mut rest = stderr.as_str();
    for event in [
        "virtio2 block: RESET",
        "virtio2 block: SET_STATUS 0x03: ACKNOWLEDGE DRIVER\n",
        "virtio2 block: SET_STATUS 0x07: ACKNOWLEDGE DRIVER DRIVER_OK\n",
        "virtio2 block: queue 0: NOTIFY",
        "virtio2 block: queue 0: used, interruption with token 0x",
    ] {
        let at = rest.find(event);
        rest = &rest[at.unwrap_or_else(|| panic!("{event:?} is not in: {stderr}"))..];
    }
}

#[test]
fn frames_travel_over_a_stream_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("net");
    let listener = UnixListener::bind(&path).unwrap();
    let mut child = vmm()
        .args(["boot", "--backend", "emulated", "--memory", "64M"])
        .args(["--kernel", GUEST, "--console", "none"])
        .args(["--cmdline", "ip=10.0.2.15 peer=10.0.2.2"])
        .arg("--net")
        .arg(format!("stream={},mac=02:00:00:00:00:2a", path.display()))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    // An ARP request to everybody.
    assert_eq!(frame[..6], [0xff; 6]);
    assert_eq!(frame[6..14], [2, 0, 0, 0, 0, 0x2a, 0x08, 0x06]);
    child.kill().unwrap();
    child.wait().unwrap();
}
