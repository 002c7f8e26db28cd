// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The thread that works on the queues of all devices.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use event_manager::{EventManager, MutEventSubscriber, RemoteEndpoint};

use crate::vm::Stopper;
use crate::{Error, Result};

/// Whoever wants to hear of events: a device, shared with the bus.
pub(crate) type Subscriber = Arc<Mutex<dyn MutEventSubscriber + Send>>;

/// A running event loop; ends when this is dropped.
pub(crate) struct EventLoop {
    endpoint: RemoteEndpoint<Subscriber>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The way into an event loop from any other thread. Clones lead to the same loop.
#[derive(Clone)]
pub(crate) struct Subscribe(RemoteEndpoint<Subscriber>);

impl EventLoop {
    /// Starts the thread. An error of the loop itself goes to `stopper`.
    pub(crate) fn start(stopper: Stopper) -> Result<Self> {
        let mut manager = EventManager::<Subscriber>::new()?;
        let endpoint = manager.remote_endpoint();
        let stop = Arc::new(AtomicBool::new(false));
        let requested = stop.clone();
        let thread = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || stopper.watch(|| run(&mut manager, &requested)))
            .map_err(Error::host("start a thread"))?;
        Ok(EventLoop {
            endpoint,
            stop,
            thread: Some(thread),
        })
    }

    /// The way in for other threads.
    pub(crate) fn subscribe(&self) -> Subscribe {
        Subscribe(self.endpoint.clone())
    }
}

impl Subscribe {
    /// Adds a subscriber, whose events are listened to from now on. Not to be called by a
    /// subscriber, which would wait for itself.
    pub(crate) fn add(&self, subscriber: Subscriber) -> Result<()> {
        self.0.call_blocking(|ops| {
            ops.add_subscriber(subscriber);
            Ok(())
        })
    }
}

fn run(manager: &mut EventManager<Subscriber>, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Acquire) {
        match manager.run() {
            Ok(_) => {}
            Err(event_manager::Error::Epoll(error)) if error.errno() == libc_eintr() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn libc_eintr() -> i32 {
    nix::errno::Errno::EINTR as i32
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Only a counter that is full fails, and then the thread wakes anyway.
        let _ = self.endpoint.kick();
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop").finish_non_exhaustive()
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe").finish_non_exhaustive()
    }
}
