// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The balloon's events.

use event_manager::{EventOps, Events, MutEventSubscriber};

use super::device::Balloon;
use super::handler::{DEFLATE_QUEUE, INFLATE_QUEUE, STATISTICS_QUEUE};
use crate::Transport;

impl<T: Transport> MutEventSubscriber for Balloon<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        self.events.register(&[], ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if self.events.hold(events, ops) {
            return;
        }
        let queue = match events.data() {
            data if data == u32::from(INFLATE_QUEUE) => INFLATE_QUEUE,
            data if data == u32::from(DEFLATE_QUEUE) => DEFLATE_QUEUE,
            _ => STATISTICS_QUEUE,
        };
        self.events.take(queue);
        let Some(handler) = &mut self.handler else {
            return;
        };
        let result = match queue {
            INFLATE_QUEUE => handler.process_inflate(),
            DEFLATE_QUEUE => handler.process_deflate(),
            _ => handler.process_statistics(&mut self.statistics),
        };
        self.events
            .follow(queue, result, &mut self.handler, |handler| &*handler.driver);
    }
}
