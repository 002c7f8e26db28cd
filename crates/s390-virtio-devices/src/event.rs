// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The events of a device, on their way through event-manager.

use std::io;
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events};
use vmm_sys_util::eventfd::EventFd;

use crate::drain::HandlerError;
use crate::{Progress, SignalDriver};

/// Data of the event that opens the gate.
const GATE: u32 = u32::MAX;

/// One event per queue, whose data is the number of the queue, and the gate through which these and
/// all other events of the device come.
#[derive(Debug)]
pub(crate) struct QueueEvents {
    /// What log lines call the device.
    name: String,
    queues: Vec<Arc<EventFd>>,
    /// Everything that the device listens to.
    registered: Vec<Events>,
    /// Nothing passes the gate.
    paused: bool,
    /// Those that came while it was closed. They are not listened to any more: level-triggered ones
    /// would keep the event loop busy, and when they are listened to again all of them come again.
    held: Vec<Events>,
    gate: EventFd,
}

impl QueueEvents {
    /// New events for this many queues.
    pub(crate) fn new(queues: usize) -> io::Result<Self> {
        let event = || EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
        Ok(QueueEvents {
            name: "virtio".to_owned(),
            queues: (0..queues)
                .map(|_| event().map(Arc::new))
                .collect::<io::Result<_>>()?,
            registered: Vec::new(),
            paused: false,
            held: Vec::new(),
            gate: event()?,
        })
    }

    /// For [`VirtioDevice::set_name`](crate::VirtioDevice::set_name).
    pub(crate) fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// For [`VirtioDevice::queue_events`](crate::VirtioDevice::queue_events).
    pub(crate) fn as_slice(&self) -> &[Arc<EventFd>] {
        &self.queues
    }

    /// Begins to listen to all of them, and to the device's `others`.
    pub(crate) fn register(&mut self, others: &[Events], ops: &mut EventOps<'_>) {
        let queues = (0u32..).zip(&self.queues);
        self.registered = queues
            .map(|(queue, event)| Events::with_data(&**event, queue, EventSet::IN))
            .chain(others.iter().copied())
            .collect();
        for events in &self.registered {
            listen(&self.name, ops, *events);
        }
        listen(
            &self.name,
            ops,
            Events::with_data(&self.gate, GATE, EventSet::IN),
        );
    }

    /// Closes the gate: events wait until it is opened.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Opens the gate, behind which the event loop finds what has waited.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        // Only a counter that is full fails, and then the event is set anyway.
        let _ = self.gate.write(1);
    }

    /// To be asked first of all about every event: whether it is none for the device, because it
    /// has to wait or is the gate's own.
    pub(crate) fn hold(&mut self, event: Events, ops: &mut EventOps<'_>) -> bool {
        if event.data() == GATE {
            // An empty event means that somebody else took it, which loses nothing.
            let _ = self.gate.read();
            // If it was closed again meanwhile, they are held again.
            let held = self.held.drain(..);
            held.for_each(|events| listen(&self.name, ops, events));
            return true;
        }
        if self.paused {
            let of_fd = |events: &&Events| events.fd() == event.fd();
            if let Some(events) = self.registered.iter().find(of_fd) {
                match ops.remove(*events) {
                    Ok(()) => self.held.push(*events),
                    Err(error) => log::error!("{}: an event cannot be held: {error}", self.name),
                }
            }
        }
        self.paused
    }

    /// Takes the notifications that queue `queue` has had.
    pub(crate) fn take(&self, queue: u16) {
        // An empty event means that somebody else took it, which loses nothing.
        let _ = (self.queues.get(usize::from(queue))).map(|event| event.read());
    }

    /// Sees to it that queue `queue` has its turn, as if the driver had notified it.
    pub(crate) fn wake(&self, queue: u16) {
        if let Some(event) = self.queues.get(usize::from(queue)) {
            // Only a counter that is full fails, and then the event is set anyway.
            let _ = event.write(1);
        }
    }

    /// Goes on as the handler of queue `queue` said: comes back to it after the other devices,
    /// or drops `handler`, whose driver broke a rule.
    pub(crate) fn follow<H>(
        &self,
        queue: u16,
        result: Result<Progress, HandlerError>,
        handler: &mut Option<H>,
        driver: impl Fn(&H) -> &dyn SignalDriver,
    ) {
        match result {
            Ok(Progress::Idle) => {}
            Ok(Progress::More) => self.wake(queue),
            Err(error) => {
                if let Some(handler) = handler.take() {
                    driver(&handler).needs_reset(&error);
                }
            }
        }
    }
}

/// Registers one event; a failure leaves the device deaf, which is worth a line.
fn listen(name: &str, ops: &mut EventOps<'_>, events: Events) {
    if let Err(error) = ops.add(events) {
        let fd = events.fd();
        log::error!("{name}: cannot listen to file descriptor {fd}: {error}");
    }
}
