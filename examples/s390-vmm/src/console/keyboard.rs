// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Standard input on its way to the guest.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::PollTimeout;
use s390_extint::ExternalInterrupt;
use s390_hypervisor::Vm;
use s390_sclp::Sclp;
use s390_virtio_devices::console::ConsoleInput;

use super::escape::{Escape, Typed};
use super::output::{ConsoleOutput, Source};
use crate::reboot::Rebooter;
use crate::vm::Stopper;
use crate::wait::{wait, Wake};
use crate::{End, Error, Result};

/// Milliseconds before the guest is offered again what it did not take.
const RETRY_MS: u8 = 10;

/// Bytes that wait for the guest before no more are read.
const WAITING: usize = 64 << 10;

/// The guest's keyboard: types into the console that printed last, once the guest reads it.
#[derive(Clone)]
pub(crate) struct Keyboard {
    pub(crate) rebooter: Arc<Rebooter>,
    pub(crate) output: ConsoleOutput,
    pub(crate) virtio: ConsoleInput,
    pub(crate) sclp: Arc<Mutex<Sclp>>,
    pub(crate) vm: Arc<dyn Vm>,
}

impl fmt::Debug for Keyboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyboard").finish_non_exhaustive()
    }
}

impl Keyboard {
    /// Types `bytes`; returns how many were taken: none while the machine is paused.
    fn type_unless_paused(&self, bytes: &[u8]) -> usize {
        let taken = self.rebooter.unless_paused(|| self.type_bytes(bytes));
        taken.unwrap_or(0)
    }

    fn type_bytes(&self, bytes: &[u8]) -> usize {
        match self.output.last() {
            Source::Virtio => self.virtio.push(bytes),
            Source::Sclp => {
                let mut sclp = self.sclp.lock().unwrap_or_else(PoisonError::into_inner);
                // The early console comes here, too, and another one may follow it.
                if !sclp.reads_input() {
                    return 0;
                }
                let pushed = sclp.push_input(bytes);
                if let Some(signal) = pushed.signal {
                    let event = signal & ExternalInterrupt::SERVICE_EVENT_PENDING != 0;
                    let interrupt = ExternalInterrupt::service(signal, event);
                    if let Err(error) = self.vm.inject(interrupt) {
                        log::error!("console input is not announced: {error}");
                    }
                }
                pushed.accepted
            }
        }
    }
}

/// The thread that reads standard input, until this is dropped.
#[derive(Debug)]
pub(crate) struct KeyboardThread {
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl KeyboardThread {
    /// Begins to read.
    pub(crate) fn start(keyboard: Keyboard, stopper: Stopper) -> Result<Self> {
        let (far, stop) = UnixStream::pair().map_err(Error::host("create a socket"))?;
        let thread = std::thread::Builder::new()
            .name("keyboard".into())
            .spawn(move || run(&keyboard, &stopper, &far))
            .map_err(Error::host("start a thread"))?;
        Ok(KeyboardThread {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for KeyboardThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

fn run(keyboard: &Keyboard, stopper: &Stopper, stop: &UnixStream) {
    // Read unbuffered: poll does not know of bytes in a buffer.
    let stdin = io::stdin();
    let mut at_end = false;
    let mut escape = Escape::default();
    let mut waiting = Vec::new();
    loop {
        // Whatever waits, who wants to leave is heard.
        let input = (!at_end && waiting.len() < WAITING).then(|| stdin.as_fd());
        let wake = match waiting.is_empty() {
            true if at_end => return,
            true => wait(input, stop, PollTimeout::NONE),
            false => wait(input, stop, RETRY_MS),
        };
        match wake {
            Wake::Stop => return,
            Wake::Timeout => {}
            Wake::Ready => match read(&stdin) {
                Some(typed) => match escape.filter(&typed) {
                    Typed::Leave => return stopper.stop(Ok(End::Left)),
                    Typed::Bytes(bytes) => waiting.extend(bytes),
                },
                None => at_end = true,
            },
        }
        if !waiting.is_empty() {
            let taken = keyboard.type_unless_paused(&waiting);
            waiting.drain(..taken);
        }
    }
}

/// The next bytes, which are there; `None` at the end of the input.
fn read(stdin: &io::Stdin) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 1024];
    match nix::unistd::read(stdin, &mut bytes) {
        Ok(0) => None,
        Ok(len) => {
            bytes.truncate(len);
            Some(bytes)
        }
        Err(Errno::EINTR | Errno::EAGAIN) => Some(Vec::new()),
        Err(errno) => {
            log::debug!("standard input: {errno}");
            None
        }
    }
}
