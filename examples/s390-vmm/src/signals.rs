// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Signals that end a VMM: the first asks the guest to power off, the second does not ask. And the
//! one that tells of a terminal of another size.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::devices::Devices;
use crate::terminal;
use crate::wait::{wait, Wake};
use crate::{Error, Result};

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

    /// Begins to listen to those that end the run; the other one is for a [`WindowHandler`].
    pub(crate) fn start(self) -> Result<(SignalThread, Window)> {
        let (far, stop) = UnixStream::pair().map_err(Error::host("create a socket"))?;
        let signals = self.ending;
        let machine = Arc::new(OnceLock::new());
        let known = machine.clone();
        let thread = std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                if listen(|patience| next(&signals, &far, patience), &known).is_some() {
                    abandon();
                }
            })
            .map_err(Error::host("start a thread"))?;
        let thread = SignalThread {
            machine,
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok((thread, Window(self.window)))
    }
}

/// What signals do to a machine.
pub(crate) trait Machine {
    /// Presses the guest's power button; false if the guest does not listen.
    fn button(&self) -> bool;
    /// Ends the run.
    fn stop(&self);
}

/// The thread that listens to the signals that end the run, until this is dropped: after everything
/// that may have to wait for the host. It does nothing else, since the event loop may be what waits.
pub(crate) struct SignalThread {
    machine: Arc<OnceLock<Box<dyn Machine + Send + Sync>>>,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for SignalThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalThread").finish_non_exhaustive()
    }
}

impl SignalThread {
    /// From now on there is a machine to be ended.
    pub(crate) fn set_machine(&self, machine: impl Machine + Send + Sync + 'static) {
        // There is one in a process.
        let _ = self.machine.set(Box::new(machine));
    }
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
/// first if the guest does not listen. `Some` if the run does not end for all that, or there is none
/// yet; `None` once `next` says that it has ended.
///
/// `next` waits for a signal, or for so long.
fn listen(
    mut next: impl FnMut(Option<Duration>) -> Option<()>,
    machine: &OnceLock<Box<dyn Machine + Send + Sync>>,
) -> Option<()> {
    next(None)?;
    let Some(machine) = machine.get() else {
        return Some(());
    };
    let asked = machine.button();
    if asked {
        next(None)?;
    }
    machine.stop();
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
    use std::sync::Mutex;

    use super::*;

    /// Writes down what happens.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<&'static str>>>);

    impl Log {
        fn say(&self, word: &'static str) {
            self.0.lock().unwrap().push(word);
        }
    }

    /// A machine whose guest listens to the power button or not.
    struct Recorded(Log, bool);

    impl Machine for Recorded {
        fn button(&self) -> bool {
            self.0.say("button");
            self.1
        }

        fn stop(&self) {
            self.0.say("stop");
        }
    }

    /// What a run comes to that gets these events, in words.
    fn happens(guest: Option<bool>, events: &[Option<()>]) -> String {
        let log = Log::default();
        let machine = OnceLock::new();
        if let Some(listens) = guest {
            let recorded = Recorded(log.clone(), listens);
            let _ = machine.set(Box::new(recorded) as Box<dyn Machine + Send + Sync>);
        }
        let mut events = events.iter();
        let next = |patience: Option<Duration>| {
            log.say(patience.map_or("waits", |_| "waits a second"));
            *events.next().unwrap()
        };
        if listen(next, &machine).is_some() {
            log.say("abandon");
        }
        assert_eq!(events.next(), None);
        let words = log.0.lock().unwrap();
        words.join(", ")
    }

    #[test]
    fn each_signal_is_more_urgent() {
        let (signal, ended) = (Some(()), None);
        for (guest, events, words) in [
            (None, &[ended][..], "waits"),
            (None, &[signal], "waits, abandon"),
            (Some(true), &[ended], "waits"),
            (Some(true), &[signal, ended], "waits, button, waits"),
            (
                Some(true),
                &[signal, signal, ended],
                "waits, button, waits, stop, waits a second",
            ),
            (
                Some(true),
                &[signal, signal, signal],
                "waits, button, waits, stop, waits a second, abandon",
            ),
            (Some(false), &[signal, ended], "waits, button, stop, waits"),
            (
                Some(false),
                &[signal, signal],
                "waits, button, stop, waits, abandon",
            ),
        ] {
            assert_eq!(happens(guest, events), words);
        }
    }
}
