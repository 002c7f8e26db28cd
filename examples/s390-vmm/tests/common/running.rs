// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest that runs while a test commands it.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use s390_vmm::control::{self, Command};
use serde_json::Value;
use tempfile::TempDir;

use super::{vmm, GUEST};

/// The last thing that the guest says.
pub const BANNER: &str = "crash: as the command line asks";

/// A guest that runs, and its socket.
pub struct Running {
    pub child: Child,
    pub directory: TempDir,
}

impl Running {
    /// A guest that loops for ever.
    pub fn start(options: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), options)
    }

    pub fn start_in(directory: TempDir, options: &[&str]) -> Self {
        let mut this = Self::spawn(directory, "crash=loop", options);
        this.read_until(BANNER);
        this
    }

    /// A guest with this command line, in a directory of its own, where relative paths lead.
    pub fn spawn(directory: TempDir, cmdline: &str, options: &[&str]) -> Self {
        let kernel = ["--kernel", GUEST, "--cmdline", cmdline];
        Self::spawn_kernel(directory, &[&kernel, options].concat())
    }

    /// The same with any kernel.
    pub fn spawn_kernel(directory: TempDir, options: &[&str]) -> Self {
        let child = vmm()
            .args(["boot", "--backend", "emulated", "--memory", "64M"])
            .arg("--control")
            .arg(directory.path().join("socket"))
            .args(options)
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running { child, directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn image(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        std::fs::File::create(&path).unwrap().set_len(size).unwrap();
        path
    }

    /// Reads the guest's output up to a line that contains `text`.
    pub fn read_until(&mut self, text: &str) -> String {
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut seen = String::new();
        while !(seen.contains(text) && seen.ends_with('\n')) {
            let mut byte = [0];
            let len = stdout.read(&mut byte).unwrap();
            assert_ne!(len, 0, "the guest ended: {seen}");
            seen.push(byte[0].into());
        }
        seen
    }

    /// Whether the guest has printed nothing that nobody has read.
    pub fn is_silent(&self) -> bool {
        let stdout = self.child.stdout.as_ref().unwrap();
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 0
    }

    pub fn ask(&self, command: &Command) -> Result<Option<Value>, String> {
        control::ctl(&self.path("socket"), command).map_err(|error| error.to_string())
    }

    /// The answer to a command that succeeds and has one.
    pub fn tell(&self, command: &Command) -> Value {
        self.ask(command).unwrap().unwrap()
    }

    /// The command `s390-vmm ctl`.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        vmm()
            .arg("ctl")
            .arg("--control")
            .arg(self.path("socket"))
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap()
    }

    /// What a client gets that sends these bytes and no more.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path("socket")).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ends the VMM by a signal and reads none of its output.
    pub fn end_unread(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }

    pub fn end(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        // What nobody has read must not hold it up.
        drop(self.child.stdin.take());
        for mut pipe in outputs(&mut self.child) {
            std::io::copy(&mut pipe, &mut std::io::sink()).unwrap();
        }
        let status = self.child.wait().unwrap();
        assert!(!self.directory.path().join("socket").exists());
        status.code()
    }
}

/// A test that fails leaves no guest behind.
impl Drop for Running {
    fn drop(&mut self) {
        // Neither does anything to one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn outputs(child: &mut Child) -> impl Iterator<Item = Box<dyn Read>> {
    let stdout = child
        .stdout
        .take()
        .map(|pipe| Box::new(pipe) as Box<dyn Read>);
    let stderr = child
        .stderr
        .take()
        .map(|pipe| Box::new(pipe) as Box<dyn Read>);
    stdout.into_iter().chain(stderr)
}
