// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The network device's events: its queues, the backend, and the timers of the rate limiters.

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::device::Net;
use super::handler::{CTRL_QUEUE, RX_QUEUE, TX_QUEUE};
use crate::Transport;

/// Data of the other events, beside the numbers of the queues.
const BACKEND: u32 = 3;
const RX_TIMER: u32 = 4;
const TX_TIMER: u32 = 5;

impl<T: Transport> Net<T> {
    fn process_queue(&mut self, queue: u16) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        let backend = &mut *self.backend;
        let result = match queue {
            RX_QUEUE => handler.process_rx(backend, &mut self.rx_limiter),
            TX_QUEUE => handler.process_tx(backend, &mut self.tx_limiter),
            _ => handler.process_ctrl(backend),
        };
        self.events
            .follow(queue, result, &mut self.handler, |handler| &*handler.driver);
    }

    fn process_backend(&mut self) {
        if let Err(error) = self.backend.process_event() {
            log::debug!("{}: {error}", self.name);
            self.metrics.link_errors.inc();
        }
        self.process_queue(RX_QUEUE);
        self.process_queue(TX_QUEUE);
    }
}

impl<T: Transport> MutEventSubscriber for Net<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        // Edge-triggered: while the guest has no buffers, frames wait without waking us.
        let events = EventSet::IN | EventSet::OUT | EventSet::EDGE_TRIGGERED;
        let others = [
            Events::with_data_raw(self.backend.event_fd(), BACKEND, events),
            Events::with_data(&self.rx_limiter, RX_TIMER, EventSet::IN),
            Events::with_data(&self.tx_limiter, TX_TIMER, EventSet::IN),
        ];
        self.events.register(&others, ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if self.events.hold(events, ops) {
            return;
        }
        match events.data() {
            BACKEND => self.process_backend(),
            RX_TIMER => {
                self.rx_limiter.expired();
                self.process_queue(RX_QUEUE);
            }
            TX_TIMER => {
                self.tx_limiter.expired();
                self.process_queue(TX_QUEUE);
            }
            data => {
                let queue = match data {
                    0 => RX_QUEUE,
                    1 => TX_QUEUE,
                    _ => CTRL_QUEUE,
                };
                self.events.take(queue);
                self.process_queue(queue);
            }
        }
    }
}
