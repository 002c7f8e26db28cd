// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Signals that end a VMM: the first asks the guest to power off, the second does not ask. And the
//! one that tells of a terminal of another size.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::devices::Devices;
use crate::terminal;
use crate::vm::{Power, Stopper};
use crate::{End, Error, Result};

/// These signals as a file.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Blocks them in this thread and all that it will start, and opens the file. To be called
    /// before there is a second thread.
    pub(crate) fn block() -> Result<Self> {
        let set = SigSet::from_iter([
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGWINCH,
        ]);
        // A guest may let a file grow beyond the limit of this process: an error of the request
        // then, as long as nothing takes the signal.
        SigSet::from(Signal::SIGXFSZ)
            .thread_block()
            .and_then(|()| set.thread_block())
            .and_then(|()| {
                let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
                SignalFd::with_flags(&set, flags)
            })
            .map(Signals)
            .map_err(|errno| Error::host("take over signals")(errno.into()))
    }
}

/// What the event loop makes of them.
#[derive(Debug)]
pub(crate) struct SignalHandler {
    pub(crate) signals: Signals,
    pub(crate) power: Power,
    pub(crate) stopper: Stopper,
    pub(crate) devices: Arc<Devices>,
    /// Whether the guest was asked already.
    pub(crate) asked: bool,
}

impl MutEventSubscriber for SignalHandler {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let events = Events::new_raw(self.signals.0.as_raw_fd(), EventSet::IN);
        if let Err(error) = ops.add(events) {
            log::error!("cannot listen to signals: {error}");
        }
    }

    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        while let Ok(Some(signal)) = self.signals.0.read_signal() {
            if signal.ssi_signo == Signal::SIGWINCH as u32 {
                if let Err(error) = self.devices.resize_console(terminal::size()) {
                    log::error!("the guest is not told of the terminal's size: {error}");
                }
                continue;
            }
            log::info!("signal {}", signal.ssi_signo);
            if self.asked || !self.power.button() {
                self.stopper.stop(Ok(End::Signal));
            }
            self.asked = true;
        }
    }
}
