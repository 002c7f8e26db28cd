// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ways out of a guest that does not end by itself.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
#[cfg(not(target_arch = "s390x"))]
use std::time::{Duration, Instant};

use common::{vmm, GUEST};
use nix::pty::openpty;
#[cfg(not(target_arch = "s390x"))]
use nix::sys::ptrace;
use nix::sys::signal::{kill, Signal};
use nix::sys::stat::Mode;
use nix::sys::termios::{tcgetattr, LocalFlags};
#[cfg(not(target_arch = "s390x"))]
use nix::sys::wait::{waitpid, WaitPidFlag};
use nix::unistd::{mkfifo, Pid};

/// A guest that loops for ever.
fn looping_guest(stdin: Stdio) -> Child {
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
        .args(["--cmdline", "crash=loop"])
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads the guest's output until it is at work.
fn wait_for_banner(child: &mut Child) {
    read_until(child, "ram: 64 MiB");
}

fn read_until(child: &mut Child, text: &str) {
    let stdout = child.stdout.as_mut().unwrap();
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut bytes = [0; 256];
        let len = stdout.read(&mut bytes).unwrap();
        assert_ne!(len, 0, "the guest ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..len]));
    }
}

fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

#[test]
fn ctrl_a_x_gives_the_terminal_back() {
    let pty = openpty(None, None).unwrap();
    let before = tcgetattr(&pty.slave).unwrap();
    let slave: OwnedFd = pty.slave.try_clone().unwrap();
    let mut child = looping_guest(slave.into());
    wait_for_banner(&mut child);
    let raw = tcgetattr(&pty.slave).unwrap();
    assert!(!raw
        .local_flags
        .intersects(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG));
    let mut keyboard = File::from(pty.master);
    // Ctrl-C is for the guest.
    keyboard.write_all(b"hello\x03\x01").unwrap();
    keyboard.write_all(b"x").unwrap();
    assert_eq!(end(child), (Some(0), String::new()));
    let after = tcgetattr(&pty.slave).unwrap();
    assert_eq!(after.local_flags, before.local_flags);
    assert_eq!(after.input_flags, before.input_flags);
    assert_eq!(after.control_chars, before.control_chars);
}

#[test]
fn ctrl_a_x_works_from_a_pipe_too() {
    let mut child = looping_guest(Stdio::piped());
    wait_for_banner(&mut child);
    child.stdin.as_mut().unwrap().write_all(b"\x01x").unwrap();
    assert_eq!(end(child), (Some(0), String::new()));
}

#[test]
fn the_end_of_the_input_is_not_the_end_of_the_guest() {
    let mut child = looping_guest(Stdio::piped());
    wait_for_banner(&mut child);
    drop(child.stdin.take());
    assert!(child.try_wait().unwrap().is_none());
    terminate(&child);
    assert_eq!(end(child).0, Some(1));
}

#[test]
fn a_signal_ends_a_guest_that_does_not_listen() {
    let mut child = looping_guest(Stdio::null());
    wait_for_banner(&mut child);
    terminate(&child);
    let sentence = "s390-vmm: ended by a signal, the guest was not shut down\n";
    assert_eq!(end(child), (Some(1), sentence.to_owned()));
}

/// A FIFO that nobody reads.
#[test]
fn a_signal_ends_the_wait_for_an_output() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let child = vmm()
        .args(["boot", "--kernel", GUEST, "--console"])
        .arg(format!("file={}", fifo.display()))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let task = format!("/proc/{}/task", child.id());
    let listens = || {
        let tasks = std::fs::read_dir(&task).unwrap();
        tasks.flatten().any(|task| {
            std::fs::read(task.path().join("comm")).is_ok_and(|name| name == b"signals\n")
        })
    };
    while !listens() {
        std::thread::yield_now();
    }
    terminate(&child);
    let sentence = "s390-vmm: ended by a signal in the middle of its work\n";
    assert_eq!(end(child), (Some(1), sentence.to_owned()));
}

/// A disk whose host hangs: the threads that work on it stand still as if in a call that does not
/// return. (Under qemu-user nobody can hold a thread.)
#[test]
#[cfg(not(target_arch = "s390x"))]
fn the_next_signal_waits_for_no_storage() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(8 << 20).unwrap();
    let pty = openpty(None, None).unwrap();
    let before = tcgetattr(&pty.slave).unwrap();
    let slave: OwnedFd = pty.slave.try_clone().unwrap();
    let mut child = vmm()
        .args(["boot", "--backend", "emulated", "--memory", "64M"])
        .args(["--kernel", GUEST, "--cmdline", "stress=7 stress-round=1"])
        .arg("--disk")
        .arg(format!("path={},engine=threads", image.path().display()))
        .stdin(slave)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    read_until(&mut child, "round 1 flushed");
    let held = hold_threads(&child, "block");
    assert_ne!(tcgetattr(&pty.slave).unwrap(), before);
    terminate(&child);
    assert!(!ends_within(&mut child, &held, Duration::from_millis(500)));
    terminate(&child);
    assert!(ends_within(&mut child, &held, Duration::from_secs(10)));
    let sentence = "s390-vmm: ended by a signal in the middle of its work\n";
    assert_eq!(end(child), (Some(1), sentence.to_owned()));
    assert_eq!(tcgetattr(&pty.slave).unwrap(), before);
}

/// Holds the threads of this name.
#[cfg(not(target_arch = "s390x"))]
fn hold_threads(child: &Child, name: &str) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let named = tasks
        .map(|task| task.unwrap().path())
        .filter(|task| std::fs::read_to_string(task.join("comm")).unwrap().trim() == name);
    let held: Vec<_> = named
        .map(|task| Pid::from_raw(task.file_name().unwrap().to_str().unwrap().parse().unwrap()))
        .collect();
    assert!(!held.is_empty());
    for &thread in &held {
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    }
    held
}

/// Whether the child ends in time. Who holds threads has to see them end.
#[cfg(not(target_arch = "s390x"))]
fn ends_within(child: &mut Child, held: &[Pid], time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        for &thread in held {
            // An error says that it has ended already.
            let _ = waitpid(thread, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
        }
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn terminate(child: &Child) {
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
}
