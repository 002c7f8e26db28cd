// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The events of a device's queues, on their way through event-manager.

use std::io;
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events};
use vmm_sys_util::eventfd::EventFd;

use crate::drain::HandlerError;
use crate::metrics::QueueMetrics;
use crate::{Progress, SignalDriver};

/// One event per queue. The number of the queue is the data that comes back with its event.
#[derive(Debug)]
pub(crate) struct QueueEvents(Vec<Arc<EventFd>>);

impl QueueEvents {
    /// New events for this many queues.
    pub(crate) fn new(queues: usize) -> io::Result<Self> {
        (0..queues)
            .map(|_| EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).map(Arc::new))
            .collect::<io::Result<_>>()
            .map(QueueEvents)
    }

    /// For [`VirtioDevice::queue_events`](crate::VirtioDevice::queue_events).
    pub(crate) fn as_slice(&self) -> &[Arc<EventFd>] {
        &self.0
    }

    /// Begins to listen to all of them.
    pub(crate) fn register(&self, ops: &mut EventOps<'_>) {
        for (queue, event) in (0u32..).zip(&self.0) {
            listen(ops, Events::with_data(&**event, queue, EventSet::IN));
        }
    }

    /// Takes the notifications that queue `queue` has had.
    pub(crate) fn take(&self, queue: u16, metrics: &QueueMetrics) {
        // An empty event means that somebody else took it, which loses nothing.
        if let Some(Ok(kicks)) = self.0.get(usize::from(queue)).map(|event| event.read()) {
            metrics.kicks.add(kicks);
        }
    }

    /// Sees to it that queue `queue` has its turn, as if the driver had notified it.
    pub(crate) fn wake(&self, queue: u16) {
        if let Some(event) = self.0.get(usize::from(queue)) {
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
pub(crate) fn listen(ops: &mut EventOps<'_>, events: Events) {
    if let Err(error) = ops.add(events) {
        log::error!("cannot listen to file descriptor {}: {error}", events.fd());
    }
}
