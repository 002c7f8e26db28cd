// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The network device's events: its queues and the backend.

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::device::Net;
use super::handler::{RX_QUEUE, TX_QUEUE};
use crate::event::listen;
use crate::Transport;

/// Data of the backend's event, beside the numbers of the queues.
const BACKEND: u32 = 2;

impl<T: Transport> Net<T> {
    fn process_rx(&mut self) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        let result = handler.process_rx(&mut *self.backend);
        self.events
            .follow(RX_QUEUE, result, &mut self.handler, |handler| {
                &*handler.driver
            });
    }

    fn process_tx(&mut self) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        let result = handler.process_tx(&mut *self.backend);
        self.events
            .follow(TX_QUEUE, result, &mut self.handler, |handler| {
                &*handler.driver
            });
    }
}

impl<T: Transport> MutEventSubscriber for Net<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        self.events.register(ops);
        // Edge-triggered: while the guest has no buffers, frames wait without waking us.
        let events = EventSet::IN | EventSet::OUT | EventSet::EDGE_TRIGGERED;
        listen(
            ops,
            Events::with_data_raw(self.backend.event_fd(), BACKEND, events),
        );
    }

    fn process(&mut self, events: Events, _: &mut EventOps<'_>) {
        match events.data() {
            BACKEND => {
                if let Err(error) = self.backend.flush() {
                    log::debug!("net {}: cannot send: {error}", self.mac);
                }
                self.process_rx();
                self.process_tx();
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
