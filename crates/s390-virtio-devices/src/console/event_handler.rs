// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The console's events: its queues, what is typed into its ports, and the ports' other ends.

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::device::{Console, Port};
use super::handler::QueueRole;
use crate::Transport;

/// Data of the input of the first port; those of the others follow. Below are the numbers of the
/// queues.
const INPUT: u32 = 1 << 16;
/// Data of the backend of the first port; those of the others follow.
const BACKEND: u32 = 1 << 17;

impl<T: Transport> Console<T> {
    fn process_queue(&mut self, role: QueueRole) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        let result = match role {
            QueueRole::Rx(port) => match self.ports.get_mut(port) {
                Some(Port { input, backend, .. }) => {
                    handler.process_rx(port, input, &mut **backend)
                }
                None => return,
            },
            QueueRole::Tx(port) => match self.ports.get_mut(port) {
                Some(Port { backend, .. }) => handler.process_tx(port, &mut **backend),
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
        // And it may have opened a port, or closed one.
        for port in 0..self.ports.len() {
            self.process_backend(port);
        }
    }

    /// Lets a port's backend do what it has to do, and goes on with what waits for it.
    fn process_backend(&mut self, number: usize) {
        let listens = self.guest_listens(number);
        if let Some(port) = self.ports.get_mut(number) {
            port.backend.process_event(listens);
            self.process_queue(QueueRole::Rx(number));
            self.process_queue(QueueRole::Tx(number));
            self.follow_peer(number);
        }
    }

    /// Work on a port's queues has shown that somebody has gone, or the backend that somebody has
    /// come: the guest is told, and the next one may be there already.
    fn follow_peer(&mut self, number: usize) {
        let listens = self.guest_listens(number);
        while let Some(port) = self.ports.get_mut(number) {
            if port.backend.peer() == port.peer {
                break;
            }
            port.backend.process_event(listens);
            port.peer = port.backend.peer();
            if let Some(handler) = &mut self.handler {
                handler.set_peer(number, port.peer);
            }
            self.process_queue(QueueRole::Rx(number));
            self.process_queue(QueueRole::Tx(number));
            self.process_queue(QueueRole::ControlRx);
        }
    }

    fn guest_listens(&self, port: usize) -> bool {
        let handler = self.handler.as_ref();
        handler.is_some_and(|handler| handler.guest_listens(port))
    }
}

impl<T: Transport> MutEventSubscriber for Console<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let inputs = (INPUT..).zip(&self.ports);
        let inputs =
            inputs.map(|(data, port)| Events::with_data(&*port.input.event, data, EventSet::IN));
        let edges = EventSet::IN | EventSet::OUT | EventSet::EDGE_TRIGGERED;
        let backends = (BACKEND..).zip(&self.ports).filter_map(|(data, port)| {
            let fd = port.backend.event_fd()?;
            Some(Events::with_data_raw(fd, data, edges))
        });
        let others: Vec<_> = inputs.chain(backends).collect();
        self.events.register(&others, ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if self.events.hold(events, ops) {
            return;
        }
        if let Some(number) = events.data().checked_sub(BACKEND) {
            return self.process_backend(number as usize);
        }
        if let Some(number) = events.data().checked_sub(INPUT) {
            let number = number as usize;
            if let Some(port) = self.ports.get(number) {
                // An empty event means that somebody else took it, which loses nothing.
                let _ = port.input.event.read();
                self.process_queue(QueueRole::Rx(number));
                self.follow_peer(number);
            }
            return;
        }
        // Below INPUT.
        let number = events.data() as u16;
        let role = QueueRole::of(number);
        self.events.take(number);
        match role {
            QueueRole::ControlRx | QueueRole::ControlTx => self.process_control(),
            QueueRole::Rx(port) | QueueRole::Tx(port) => {
                self.process_queue(role);
                self.follow_peer(port);
            }
        }
    }
}
