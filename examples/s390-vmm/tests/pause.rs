// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pause: guest, devices and time stand still, and go on as if nothing had been.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use common::running::{Running, BANNER};
use s390_vmm::control::Command;

#[test]
fn a_guest_is_paused_and_goes_on() {
    let mut guest = Running::start(&[]);
    assert_eq!(guest.tell(&Command::Info)["state"], "running");
    for _ in 0..2 {
        assert_eq!(guest.ask(&Command::Pause), Ok(None));
        assert_eq!(guest.tell(&Command::Info)["state"], "paused");
    }
    // A reset of a paused machine: the guest begins when the machine goes on.
    assert_eq!(guest.ask(&Command::Reset), Ok(None));
    assert_eq!(guest.tell(&Command::Info)["state"], "paused");
    assert!(guest.is_silent());
    assert_eq!(guest.ask(&Command::Resume), Ok(None));
    guest.read_until(BANNER);
    // And a paused machine can be ended.
    assert_eq!(guest.ask(&Command::Pause), Ok(None));
    assert_eq!(guest.end(), Some(1));
}

/// Seconds for which the guest of the next test answers, by its clock.
const SERVE: u64 = 4;
const HARDWARE: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

/// A frame as it is on the stream: asks who 10.0.0.2 is, on behalf of 10.0.0.1.
fn arp_request() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(HARDWARE);
    // ARP for IPv4 over Ethernet, request.
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(HARDWARE);
    frame.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    frame.resize(60, 0);
    [&60u32.to_be_bytes()[..], &frame].concat()
}

fn frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

#[test]
fn a_guest_does_not_miss_the_time_of_a_pause_nor_what_came_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("net")).unwrap();
    let cmdline = format!("ip=10.0.0.2 serve={SERVE}");
    let mut guest = Running::spawn(directory, &cmdline, &["--net", "stream=net"]);
    let (mut peer, _) = listener.accept().unwrap();
    guest.read_until("net: serving");
    assert_eq!(guest.ask(&Command::Pause), Ok(None));
    // What it answers in the meantime. (Nothing before: nobody knows of it.)
    peer.write_all(&arp_request()).unwrap();
    let before = guest.tell(&Command::Counters);
    // Longer than it would have answered.
    std::thread::sleep(Duration::from_secs(SERVE + 1));
    assert_eq!(guest.tell(&Command::Counters), before);
    assert_eq!(before["net0"]["rx-frames"], 0);
    assert!(guest.is_silent());

    assert_eq!(guest.ask(&Command::Resume), Ok(None));
    let reply = frame(&mut peer);
    assert_eq!(reply[..6], HARDWARE);
    assert_eq!(reply[28..32], [10, 0, 0, 2]);
    guest.read_until("net: 1 arp requests and 0 pings answered");
    guest.read_until("done");
    assert_eq!(guest.child.wait().unwrap().code(), Some(0));
}

#[test]
fn disks_and_console_stand_still() {
    let directory = tempfile::tempdir().unwrap();
    let image = std::fs::File::create(directory.path().join("disk.img")).unwrap();
    image.set_len(4 << 20).unwrap();
    let mut guest = Running::spawn(directory, "stress=1", &["--disk", "path=disk.img"]);
    guest.read_until("stress: round 2 flushed");
    for _ in 0..3 {
        assert_eq!(guest.ask(&Command::Pause), Ok(None));
        let before = guest.tell(&Command::Counters);
        guest
            .child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"typed")
            .unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(guest.tell(&Command::Counters), before);
        assert_eq!(guest.ask(&Command::Resume), Ok(None));
        let all = guest.read_until("flushed");
        assert!(!all.contains("fail"), "{all}");
        guest.read_until("flushed");
    }
    assert_eq!(guest.end(), Some(1));
}
