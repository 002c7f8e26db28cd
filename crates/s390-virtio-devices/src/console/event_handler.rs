// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The console's events: its queues and what is typed into its ports.

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::device::Console;
use super::handler::QueueRole;
use crate::Transport;

/// Data of the input of the first port; those of the others follow. Below are the numbers of the
/// queues.
const INPUT: u32 = 1 << 16;

impl<T: Transport> Console<T> {
    /// Works on a queue, and on those that wait for it.
    fn process_queue(&mut self, role: QueueRole) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        let result = match role {
            QueueRole::Rx(port) => match self.ports.get(port) {
                Some(port_parts) => handler.process_rx(port, &port_parts.input),
                None => return,
            },
            QueueRole::Tx(port) => match self.ports.get_mut(port) {
                Some(port_parts) => handler.process_tx(port, &mut *port_parts.output),
                None => return,
            },
            QueueRole::ControlRx => handler.process_control_rx(),
            QueueRole::ControlTx => handler.process_control_tx(),
        };
        self.events
            .follow(role.number(), result, &mut self.handler, |handler| {
                &*handler.driver
            });
    }

    fn process_control(&mut self) {
        self.process_queue(QueueRole::ControlTx);
        self.process_queue(QueueRole::ControlRx);
        // The guest may have taken what it had to take before it is listened to again.
        self.process_queue(QueueRole::ControlTx);
        // And it may have opened a port.
        for port in 0..self.ports.len() {
            self.process_queue(QueueRole::Rx(port));
        }
    }
}

impl<T: Transport> MutEventSubscriber for Console<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let inputs = (INPUT..).zip(&self.ports);
        let inputs: Vec<_> = inputs
            .map(|(data, port)| Events::with_data(&*port.input.event, data, EventSet::IN))
            .collect();
        self.events.register(&inputs, ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if self.events.hold(events, ops) {
            return;
        }
        if let Some(number) = events.data().checked_sub(INPUT) {
            let number = number as usize;
            if let Some(port) = self.ports.get(number) {
                // An empty event means that somebody else took it, which loses nothing.
                let _ = port.input.event.read();
                self.process_queue(QueueRole::Rx(number));
            }
            return;
        }
        // Below INPUT.
        let number = events.data() as u16;
        let role = QueueRole::of(number);
        self.events.take(number);
        match role {
            QueueRole::ControlRx | QueueRole::ControlTx => self.process_control(),
            role => self.process_queue(role),
        }
    }
}
