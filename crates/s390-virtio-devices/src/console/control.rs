// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The conversation about ports (virtio 1.2, section 5.3.6.2): what the guest says, what it is to
//! hear. No queues here.

use std::collections::VecDeque;
use std::marker::PhantomData;

use s390_vring::ByteOrder;

use super::device::ConsoleSize;

/// Bytes of a message without what some events have behind: port (u32), event and value (u16).
pub(super) const MESSAGE: usize = 8;
/// Messages that may wait. A guest that does not take them is not listened to any longer.
const MAX_WAITING: usize = 256;

/// The guest is ready to hear of ports.
const DEVICE_READY: u16 = 0;
/// There is a port.
const DEVICE_ADD: u16 = 1;
/// The guest has made a place for a port.
const PORT_READY: u16 = 3;
/// A port is a console.
const CONSOLE_PORT: u16 = 4;
/// The console has another size.
const RESIZE: u16 = 5;
/// One end of a port was opened or closed.
const PORT_OPEN: u16 = 6;
/// A port has a name.
const PORT_NAME: u16 = 7;

/// What is known of the ports, with the messages that wait for the guest.
#[derive(Debug)]
pub(super) struct Control<E> {
    /// The port's names; the first port is the console, which has none.
    names: Vec<String>,
    /// Whether the guest has opened its end.
    open: Vec<bool>,
    size: Option<ConsoleSize>,
    waiting: VecDeque<Vec<u8>>,
    order: PhantomData<fn() -> E>,
}

impl<E: ByteOrder> Control<E> {
    /// A console of this size, and ports with these names.
    pub(super) fn new(names: Vec<String>, size: Option<ConsoleSize>) -> Self {
        Control {
            open: vec![false; names.len()],
            names,
            size,
            waiting: VecDeque::new(),
            order: PhantomData,
        }
    }

    /// The guest's end of a port is open.
    pub(super) fn is_open(&self, port: usize) -> bool {
        self.open.get(port).copied().unwrap_or(false)
    }

    /// Too many messages wait: the guest has to take some before it is listened to.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// The message that the guest is to hear next.
    pub(super) fn next(&self) -> Option<&[u8]> {
        self.waiting.front().map(Vec::as_slice)
    }

    /// The guest has got it.
    pub(super) fn next_is_done(&mut self) {
        self.waiting.pop_front();
    }

    /// The console has this size from now on.
    pub(super) fn resize(&mut self, size: ConsoleSize) {
        self.size = Some(size);
        self.say_size();
    }

    /// The guest says something. What makes no sense is ignored; returns whether it made some.
    pub(super) fn hear(&mut self, message: [u8; MESSAGE]) -> bool {
        let [p0, p1, p2, p3, e0, e1, v0, v1] = message;
        let port = E::u32(u32::from_ne_bytes([p0, p1, p2, p3])) as usize;
        let event = E::u16(u16::from_ne_bytes([e0, e1]));
        let value = E::u16(u16::from_ne_bytes([v0, v1]));
        match event {
            DEVICE_READY if value != 0 => {
                for port in 0..self.names.len() {
                    self.say(port, DEVICE_ADD, 1, &[]);
                }
            }
            // It could not allocate what it needs.
            DEVICE_READY => {}
            PORT_READY if port < self.names.len() => self.introduce(port, value != 0),
            PORT_OPEN if port < self.names.len() => self.open[port] = value != 0,
            _ => return false,
        }
        true
    }

    /// Tells what a port is, which the host's end of is always open.
    fn introduce(&mut self, port: usize, ready: bool) {
        if !ready {
            return;
        }
        if port == 0 {
            self.say(port, CONSOLE_PORT, 1, &[]);
            self.say_size();
        }
        let name = self.names[port].clone();
        if !name.is_empty() {
            self.say(port, PORT_NAME, 1, name.as_bytes());
        }
        self.say(port, PORT_OPEN, 1, &[]);
    }

    fn say_size(&mut self) {
        if let Some(size) = self.size {
            // Linux took the first for the rows for many years (until 5326ab737a47).
            let columns = E::u16(size.columns).to_ne_bytes();
            let rows = E::u16(size.rows).to_ne_bytes();
            self.say(0, RESIZE, 0, &[columns, rows].concat());
        }
    }

    fn say(&mut self, port: usize, event: u16, value: u16, more: &[u8]) {
        // There are fewer ports than queues, of which there are at most 255.
        let port = E::u32(port as u32).to_ne_bytes();
        let event = E::u16(event).to_ne_bytes();
        let value = E::u16(value).to_ne_bytes();
        self.waiting
            .push_back([&port, &event[..], &value, more].concat());
    }
}

#[cfg(test)]
mod tests {
    use s390_vring::{BigEndian, LittleEndian};

    use super::*;

    fn control<E: ByteOrder>() -> Control<E> {
        let size = ConsoleSize {
            columns: 80,
            rows: 24,
        };
        Control::new(vec![String::new(), "log".to_owned()], Some(size))
    }

    fn said<E: ByteOrder>(control: &mut Control<E>) -> Vec<Vec<u8>> {
        control.waiting.drain(..).collect()
    }

    #[test]
    fn a_guest_that_is_ready_hears_of_all_ports() {
        let mut control = control::<BigEndian>();
        assert!(control.hear([0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(
            said(&mut control),
            [[0, 0, 0, 0, 0, 1, 0, 1], [0, 0, 0, 1, 0, 1, 0, 1]]
        );
        assert!(control.hear([0, 0, 0, 0, 0, 3, 0, 1]));
        assert_eq!(
            said(&mut control),
            [
                vec![0, 0, 0, 0, 0, 4, 0, 1],
                vec![0, 0, 0, 0, 0, 5, 0, 0, 0, 80, 0, 24],
                vec![0, 0, 0, 0, 0, 6, 0, 1],
            ]
        );
        assert!(control.hear([0, 0, 0, 1, 0, 3, 0, 1]));
        assert_eq!(
            said(&mut control),
            [
                b"\0\0\0\x01\0\x07\0\x01log".as_slice(),
                b"\0\0\0\x01\0\x06\0\x01",
            ]
        );
        assert!(!control.is_open(1));
        assert!(control.hear([0, 0, 0, 1, 0, 6, 0, 1]));
        assert!(control.is_open(1) && !control.is_open(0));
        assert!(control.hear([0, 0, 0, 1, 0, 6, 0, 0]));
        assert!(!control.is_open(1));
    }

    #[test]
    fn the_byte_order_is_that_of_the_transport() {
        let mut control = control::<LittleEndian>();
        assert!(control.hear([1, 0, 0, 0, 6, 0, 1, 0]));
        assert!(control.is_open(1));
        let (columns, rows) = (132, 43);
        control.resize(ConsoleSize { columns, rows });
        assert_eq!(
            said(&mut control),
            [[0, 0, 0, 0, 5, 0, 0, 0, 132, 0, 43, 0]]
        );
    }

    #[test]
    fn nonsense_is_ignored() {
        let mut control = control::<BigEndian>();
        for message in [
            [0, 0, 0, 2, 0, 3, 0, 1],
            [0xff, 0xff, 0xff, 0xff, 0, 6, 0, 1],
            [0, 0, 0, 0, 0, 1, 0, 1],
            [0, 0, 0, 0, 0, 99, 0, 1],
        ] {
            assert!(!control.hear(message));
        }
        assert!(control.next().is_none() && !control.is_open(2));
        while !control.is_full() {
            assert!(control.hear([0, 0, 0, 0, 0, 0, 0, 1]));
        }
        assert!(control.waiting.len() < MAX_WAITING + 2);
    }
}
