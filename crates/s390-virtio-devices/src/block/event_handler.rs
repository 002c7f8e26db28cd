// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The block device's events.

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::device::Block;
use crate::Transport;

/// The engine has completions. (0 is the request queue.)
const ENGINE: u32 = 1;
/// The rate limit lets requests pass again.
const LIMITER: u32 = 2;

impl<T: Transport> MutEventSubscriber for Block<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let limiter = Events::with_data(&self.disk.limiter, LIMITER, EventSet::IN);
        let engine = Events::with_data(self.disk.engine.event(), ENGINE, EventSet::IN);
        self.events.register(&[engine, limiter], ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if self.events.hold(events, ops) {
            return;
        }
        match events.data() {
            ENGINE => {
                // An empty event means that somebody else took it, which loses nothing.
                let _ = self.disk.engine.event().read();
            }
            LIMITER => self.disk.limiter.expired(),
            _ => self.events.take(0),
        }
        if let Some(handler) = &mut self.handler {
            let result = handler.process(&mut self.disk);
            self.follow(result);
        }
    }
}
