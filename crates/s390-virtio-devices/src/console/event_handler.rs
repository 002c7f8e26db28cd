// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The console's events: its queues and the keyboard.

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::device::Console;
use super::handler::{RX_QUEUE, TX_QUEUE};
use crate::event::listen;
use crate::Transport;

/// Data of the keyboard's event, beside the numbers of the queues.
const INPUT: u32 = 2;

impl<T: Transport> Console<T> {
    fn process_rx(&mut self) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        let result = handler.process_rx(&self.input);
        self.events
            .follow(RX_QUEUE, result, &mut self.handler, |handler| {
                &*handler.driver
            });
    }

    fn process_tx(&mut self) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        let result = handler.process_tx(&mut *self.output);
        self.events
            .follow(TX_QUEUE, result, &mut self.handler, |handler| {
                &*handler.driver
            });
    }
}

impl<T: Transport> MutEventSubscriber for Console<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        self.events.register(ops);
        listen(
            ops,
            Events::with_data(&*self.input.event, INPUT, EventSet::IN),
        );
    }

    fn process(&mut self, events: Events, _: &mut EventOps<'_>) {
        match events.data() {
            INPUT => {
                // An empty event means that somebody else took it, which loses nothing.
                let _ = self.input.event.read();
                self.process_rx();
            }
            data if data == u32::from(RX_QUEUE) => {
                self.events.take(RX_QUEUE, &self.metrics.rx_queue);
                self.process_rx();
            }
            _ => {
                self.events.take(TX_QUEUE, &self.metrics.tx_queue);
                self.process_tx();
            }
        }
    }
}
