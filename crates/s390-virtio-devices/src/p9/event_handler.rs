// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The 9P device's events.

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::device::P9;
use crate::Transport;

/// The engine has answers. (0 is the request queue.)
const ENGINE: u32 = 1;

impl<T: Transport> MutEventSubscriber for P9<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let engine = self.engine.event();
        let engine = engine.map(|event| Events::with_data(event, ENGINE, EventSet::IN));
        self.events.register(engine.as_slice(), ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if self.events.hold(events, ops) {
            return;
        }
        match (events.data(), self.engine.event()) {
            (ENGINE, Some(event)) => {
                // An empty event means that somebody else took it, which loses nothing.
                let _ = event.read();
            }
            _ => self.events.take(0),
        }
        self.work(true);
    }
}
