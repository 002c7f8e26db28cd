// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The thread that works on the queues of all devices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::{EventFd, EFD_CLOEXEC, EFD_NONBLOCK};

use crate::vm::Stopper;
use crate::{Error, Result};

/// Whoever wants to hear of events: a device, shared with the bus.
pub(crate) type Subscriber = Arc<Mutex<dyn MutEventSubscriber + Send>>;

/// An event loop that has not been started.
pub(crate) struct EventLoop {
    manager: EventManager<Subscriber>,
    stop: Arc<Stop>,
}

/// A running event loop; ends when this is dropped.
#[derive(Debug)]
pub(crate) struct EventThread {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Stop {
    event: EventFd,
    requested: AtomicBool,
}

impl EventLoop {
    pub(crate) fn new() -> Result<Self> {
        let event = EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC);
        let stop = Arc::new(Stop {
            event: event.map_err(Error::host("create an event"))?,
            requested: AtomicBool::new(false),
        });
        let mut manager = EventManager::new()?;
        manager.add_subscriber(Arc::new(Mutex::new(StopSubscriber(stop.clone()))) as Subscriber);
        Ok(EventLoop { manager, stop })
    }

    /// Adds a subscriber, which registers its events now.
    pub(crate) fn add(&mut self, subscriber: Subscriber) {
        self.manager.add_subscriber(subscriber);
    }

    /// Starts the thread. An error of the loop itself goes to `stopper`.
    pub(crate) fn start(mut self, stopper: Stopper) -> Result<EventThread> {
        let stop = self.stop.clone();
        let thread = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || stopper.watch(|| self.run()))
            .map_err(Error::host("start a thread"))?;
        Ok(EventThread {
            stop,
            thread: Some(thread),
        })
    }

    fn run(&mut self) -> Result<()> {
        while !self.stop.requested.load(Ordering::Acquire) {
            match self.manager.run() {
                Ok(_) => {}
                Err(event_manager::Error::Epoll(error)) if error.errno() == libc_eintr() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn libc_eintr() -> i32 {
    nix::errno::Errno::EINTR as i32
}

impl Drop for EventThread {
    fn drop(&mut self) {
        self.stop.requested.store(true, Ordering::Release);
        // Only a counter that is full fails, and then the event is set anyway.
        let _ = self.stop.event.write(1);
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Wakes the loop so that it looks at the request. The event stays set: nobody waits after it.
struct StopSubscriber(Arc<Stop>);

impl MutEventSubscriber for StopSubscriber {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        if let Err(error) = ops.add(Events::new(&self.0.event, EventSet::IN)) {
            log::error!("the event loop cannot be stopped: {error}");
        }
    }

    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {}
}
