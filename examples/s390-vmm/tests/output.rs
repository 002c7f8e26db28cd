// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Output that nobody reads, and ports: the host's ends of what a guest prints.

mod common;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::running::Running;
use s390_vmm::config::DiskConfig;
use s390_vmm::control::Command;

/// What the guest of these tests prints, again and again.
const LINE: &[u8; 16] = b"0123456789abcde\n";

/// A guest that prints without end, by the early console.
fn chatterbox() -> Vec<u8> {
    const TEXT: usize = 0x2000;
    const ENTRY: usize = 0x10000;
    let mut image = vec![0; ENTRY + 0x40];
    image[TEXT..TEXT + LINE.len()].copy_from_slice(LINE);
    let code: [&[u8]; 2] = [
        &[0xa7, 0xf4, 0x00, 0x10], // j .+32, over the magic
        &[0; 4],
    ];
    image[ENTRY..ENTRY + 8].copy_from_slice(&code.concat());
    image[ENTRY + 8..ENTRY + 14].copy_from_slice(b"S390EP");
    let code: [&[u8]; 4] = [
        &[0xa7, 0x19, 0x00, 0x00], // lghi %r1,0
        &[0xa7, 0x29, 0x20, 0x00], // lghi %r2,0x2000
        &[0x83, 0x24, 0x05, 0x00], // diag %r2,%r4,0x500
        &[0xa7, 0xf4, 0xff, 0xfc], // j .-8
    ];
    image[ENTRY + 32..ENTRY + 48].copy_from_slice(&code.concat());
    image
}

fn start() -> Running {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("kernel"), chatterbox()).unwrap();
    Running::spawn_kernel(directory, &["--kernel", "kernel"])
}

/// Waits until the guest has printed all that there is room for: it has begun, and has had the
/// time.
fn wait_until_full(guest: &Running) {
    while guest.is_silent() {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(500));
}

#[test]
fn a_guest_whose_output_nobody_reads_can_be_commanded_and_ended() {
    let guest = start();
    wait_until_full(&guest);
    let image = guest.image("disk.img", 1 << 20);
    guest.tell(&Command::AddDisk(DiskConfig {
        path: image,
        ..DiskConfig::default()
    }));
    assert_eq!(guest.ask(&Command::Pause), Ok(None));
    assert_eq!(guest.tell(&Command::Info)["state"], "paused");
    assert_eq!(guest.ask(&Command::Resume), Ok(None));
    assert_eq!(guest.ask(&Command::Reset), Ok(None));
    assert_eq!(guest.tell(&Command::Info)["state"], "running");
    assert_eq!(guest.end_unread(), Some(1));
}

#[test]
fn ctrl_a_x_leaves_a_guest_whose_output_nobody_reads() {
    let mut guest = start();
    wait_until_full(&guest);
    guest
        .child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"\x01x")
        .unwrap();
    assert_eq!(guest.child.wait().unwrap().code(), Some(0));
}

#[test]
fn nothing_is_lost_when_a_reader_was_late() {
    let mut guest = start();
    wait_until_full(&guest);
    let mut output = vec![0; LINE.len() * 20_000];
    let stdout = guest.child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut output).unwrap();
    assert!(output.chunks(LINE.len()).all(|line| line == LINE));
    assert_eq!(guest.end_unread(), Some(1));
}

#[test]
fn a_port_is_a_socket_for_one_client_of_this_user() {
    let guest = Running::start(&["--port", "name=agent,socket=agent"]);
    let path = guest.path("agent");
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Without a driver in the guest both wait.
    let mut clients: Vec<_> = (0..2)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
    }
    assert_eq!(
        guest.tell(&Command::Counters)["console0"]["ports"][1]["rx-bytes"],
        0
    );
    let end = guest.end();
    assert_eq!(end, Some(1));
    assert!(!path.exists());
    // They see the end.
    assert!(matches!(clients[0].read(&mut [0; 8]), Ok(0) | Err(_)));
}

#[test]
fn a_socket_that_is_in_use_is_no_port() {
    let guest = Running::start(&["--port", "name=a,socket=agent"]);
    let path = guest.path("agent");
    let output = common::vmm()
        .args(["boot", "--kernel", common::GUEST, "--port"])
        .arg(format!("name=a,socket={}", path.display()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let sentence =
        format!("s390-vmm: cannot listen on port socket {path:?}: Address already in use");
    assert!(stderr.starts_with(&sentence), "{stderr}");
    assert!(UnixStream::connect(&path).is_ok());
    assert_eq!(guest.end(), Some(1));
}
