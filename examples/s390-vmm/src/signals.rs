// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Signals that end a VMM: the first asks the guest to power off, the second does not ask. And the
//! one that tells of a terminal of another size.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::devices::Devices;
use crate::terminal;
use crate::vm::{Power, Stopper};
use crate::wait::{wait, Wake};
use crate::{End, Error, Result};

/// A run that was to end, and whose guest had its time to power off, may take so long to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// These signals as files.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Those that end the run.
    ending: SignalFd,
    /// That of the terminal's size.
    window: SignalFd,
}

impl Signals {
    /// Blocks them in this thread and all that it will start, and opens the files. To be called
    /// before there is a second thread.
    pub(crate) fn block() -> Result<Self> {
        let file = |signals: &[Signal]| {
            let set = SigSet::from_iter(signals.iter().copied());
            set.thread_block()?;
            SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        };
        let files = || {
            // A guest may let a file grow beyond the limit of this process: an error of the
            // request then, as long as nothing takes the signal.
            SigSet::from(Signal::SIGXFSZ).thread_block()?;
            Ok(Signals {
                ending: file(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?,
                window: file(&[Signal::SIGWINCH])?,
            })
        };
        files().map_err(|errno: nix::Error| Error::host("take over signals")(errno.into()))
    }

    /// Begins to listen to those that end the run.
    pub(crate) fn start(self, power: Power, stopper: Stopper) -> Result<(SignalThread, Window)> {
        let (far, stop) = UnixStream::pair().map_err(Error::host("create a socket"))?;
        let signals = self.ending;
        let thread = std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                let next = |patience| next(&signals, &far, patience);
                let stop = || stopper.stop(Ok(End::Signal));
                if end_run(next, || power.button(), stop).is_some() {
                    abandon();
                }
            })
            .map_err(Error::host("start a thread"))?;
        let thread = SignalThread {
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok((thread, Window(self.window)))
    }
}

/// The thread that listens to the signals that end the run, until this is dropped: after everything
/// that may have to wait for the host. It does nothing else, since the event loop may be what waits.
#[derive(Debug)]
pub(crate) struct SignalThread {
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing that panics.
            let _ = thread.join();
        }
    }
}

/// Presses the guest's power button at the first signal, and ends the run at the second, or at the
/// first if the guest does not listen. `Some` if the run does not end for all that; `None` once
/// `next` says that it has.
///
/// `next` waits for a signal, or for so long.
fn end_run(
    mut next: impl FnMut(Option<Duration>) -> Option<()>,
    button: impl FnOnce() -> bool,
    stop: impl FnOnce(),
) -> Option<()> {
    next(None)?;
    let asked = button();
    if asked {
        next(None)?;
    }
    stop();
    next(asked.then_some(PATIENCE))
}

/// Waits for one of `signals`, or for so long; `None` if `stop` is closed first.
fn next(signals: &SignalFd, stop: &UnixStream, patience: Option<Duration>) -> Option<()> {
    let timeout = patience.map_or(PollTimeout::NONE, |time| {
        PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
    });
    match wait(Some(signals.as_fd()), stop, timeout) {
        Wake::Stop => return None,
        Wake::Timeout => {}
        Wake::Ready => {
            // Which one it is makes no difference.
            let _ = signals.read_signal();
        }
    }
    Some(())
}

/// Ends the process, whatever its threads wait for: a disk's file, for example, whose server has
/// gone. For the files it is like a kill, but the terminal is given back.
fn abandon() -> ! {
    terminal::give_back();
    // Neither a lock nor a reader of standard error is waited for.
    let stderr = std::io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::ZERO) == Ok(1) {
        let line = "s390-vmm: ended by a signal in the middle of its work\n";
        let _ = nix::unistd::write(&stderr, line.as_bytes());
    }
    std::process::exit(1)
}

/// The signal of the terminal's size.
#[derive(Debug)]
pub(crate) struct Window(SignalFd);

/// What the event loop makes of it.
#[derive(Debug)]
pub(crate) struct WindowHandler {
    pub(crate) window: Window,
    pub(crate) devices: Arc<Devices>,
}

impl MutEventSubscriber for WindowHandler {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let events = Events::new_raw(self.window.0.as_raw_fd(), EventSet::IN);
        if let Err(error) = ops.add(events) {
            log::error!("cannot listen to signals: {error}");
        }
    }

    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        while let Ok(Some(_)) = self.window.0.read_signal() {
            if let Err(error) = self.devices.resize_console(terminal::size()) {
                log::error!("the guest is not told of the terminal's size: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run ends with that gets these events and whose guest listens to the power button or
    /// not: the words of what happens.
    fn happens(listens: bool, events: &[Option<()>]) -> String {
        let words = std::cell::RefCell::new(Vec::new());
        let say = |word: &str| words.borrow_mut().push(word.to_owned());
        let mut events = events.iter();
        let next = |patience: Option<Duration>| {
            say(if patience.is_some() {
                "waits a second"
            } else {
                "waits"
            });
            *events.next().unwrap()
        };
        let button = || {
            say("button");
            listens
        };
        if end_run(next, button, || say("stop")).is_some() {
            say("abandon");
        }
        assert_eq!(events.next(), None);
        words.into_inner().join(", ")
    }

    #[test]
    fn each_signal_is_more_urgent() {
        let (signal, ended) = (Some(()), None);
        for (listens, events, words) in [
            (true, &[ended][..], "waits"),
            (true, &[signal, ended], "waits, button, waits"),
            (
                true,
                &[signal, signal, ended],
                "waits, button, waits, stop, waits a second",
            ),
            (
                true,
                &[signal, signal, signal],
                "waits, button, waits, stop, waits a second, abandon",
            ),
            (false, &[signal, ended], "waits, button, stop, waits"),
            (
                false,
                &[signal, signal],
                "waits, button, stop, waits, abandon",
            ),
        ] {
            assert_eq!(happens(listens, events), words);
        }
    }
}
