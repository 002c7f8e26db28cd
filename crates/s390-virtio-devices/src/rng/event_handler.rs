// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The entropy device's events.

use event_manager::{EventOps, Events, MutEventSubscriber};

use super::device::Rng;
use crate::Transport;

impl<T: Transport> MutEventSubscriber for Rng<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        self.events.register(&[], ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if self.events.hold(events, ops) {
            return;
        }
        self.events.take(0);
        let Some(handler) = &mut self.handler else {
            return;
        };
        let result = handler.process(&mut *self.source);
        self.events
            .follow(0, result, &mut self.handler, |handler| &*handler.driver);
    }
}
