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
    /// The first port is the console.
    ports: Vec<Port>,
    size: Option<ConsoleSize>,
    waiting: VecDeque<Vec<u8>>,
    order: PhantomData<fn() -> E>,
}

/// What is known of a port.
#[derive(Debug)]
struct Port {
    /// The console has none.
    name: String,
    /// The guest has made a place for it.
    ready: bool,
    /// The guest has opened its end.
    open: bool,
    /// Who is at the host's end.
    peer: Option<u64>,
    /// Who is there as far as the guest has been told.
    told: Option<u64>,
}

impl<E: ByteOrder> Control<E> {
    /// A console of this size, and ports with these names; nobody is at the host's ends.
    pub(super) fn new(names: Vec<String>, size: Option<ConsoleSize>) -> Self {
        let port = |name| Port {
            name,
            ready: false,
            open: false,
            peer: None,
            told: None,
        };
        Control {
            ports: names.into_iter().map(port).collect(),
            size,
            waiting: VecDeque::new(),
            order: PhantomData,
        }
    }

    /// The guest's end of a port is open.
    pub(super) fn is_open(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| port.open)
    }

    /// This is who is at the host's end of a port.
    pub(super) fn set_peer(&mut self, port: usize, peer: Option<u64>) {
        if let Some(port) = self.ports.get_mut(port) {
            port.peer = peer;
        }
    }

    /// Too many messages wait: the guest has to take some before it is listened to.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// The message that the guest is to hear next. Who came and went while it did not listen, it
    /// does not hear of: no list of them grows.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if self.waiting.is_empty() {
            self.say_peer();
        }
        self.waiting.front().map(Vec::as_slice)
    }

    /// Tells of a port whose peer is another than the guest believes. One that has another peer was
    /// closed in between.
    fn say_peer(&mut self) {
        let differs = |port: &Port| port.ready && port.told != port.peer;
        let Some(number) = self.ports.iter().position(differs) else {
            return;
        };
        let port = &mut self.ports[number];
        port.told = match port.told {
            Some(_) => None,
            None => port.peer,
        };
        let value = u16::from(port.told.is_some());
        self.say(number, PORT_OPEN, value, &[]);
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
                for port in 0..self.ports.len() {
                    self.say(port, DEVICE_ADD, 1, &[]);
                }
            }
            // It could not allocate what it needs.
            DEVICE_READY => {}
            PORT_READY if port < self.ports.len() => self.introduce(port, value != 0),
            PORT_OPEN if port < self.ports.len() => self.ports[port].open = value != 0,
            _ => return false,
        }
        true
    }

    /// Tells what a port is. Who is at the host's end comes behind.
    fn introduce(&mut self, port: usize, ready: bool) {
        self.ports[port].ready = ready;
        self.ports[port].told = None;
        if !ready {
            return;
        }
        if port == 0 {
            self.say(port, CONSOLE_PORT, 1, &[]);
            self.say_size();
        }
        let name = self.ports[port].name.clone();
        if !name.is_empty() {
            self.say(port, PORT_NAME, 1, name.as_bytes());
        }
    }

    fn say_size(&mut self) {
        if let Some(size) = self.size {
            // One that waits is out of date.
            let resize = E::u16(RESIZE).to_ne_bytes();
            self.waiting.retain(|message| message[4..6] != resize);
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
        let mut control = Control::new(vec![String::new(), "log".to_owned()], Some(size));
        control.set_peer(0, Some(0));
        control.set_peer(1, Some(0));
        control
    }

    fn said<E: ByteOrder>(control: &mut Control<E>) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        while let Some(message) = control.next() {
            said.push(message.to_vec());
            control.next_is_done();
        }
        said
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
    fn a_guest_hears_of_peers_one_by_one_and_of_each_once() {
        let mut control = control::<BigEndian>();
        let open = |value| vec![0, 0, 0, 1, 0, 6, 0, value];
        control.set_peer(1, None);
        // Of a port that the guest does not know it hears nothing.
        control.set_peer(1, Some(1));
        control.set_peer(9, Some(1));
        assert!(said(&mut control).is_empty());
        control.set_peer(1, None);
        control.hear([0, 0, 0, 1, 0, 3, 0, 1]);
        assert_eq!(said(&mut control), [b"\0\0\0\x01\0\x07\0\x01log"]);
        control.set_peer(1, Some(2));
        assert_eq!(said(&mut control), [open(1)]);
        control.set_peer(1, Some(3));
        assert_eq!(said(&mut control), [open(0), open(1)]);
        for peer in 4..1000 {
            control.set_peer(1, Some(peer));
            control.set_peer(1, None);
        }
        assert!(control.waiting.is_empty());
        assert_eq!(said(&mut control), [open(0)]);
        // A place that is made again is introduced again, one that is not there hears nothing.
        control.set_peer(1, Some(1000));
        control.hear([0, 0, 0, 1, 0, 3, 0, 1]);
        assert_eq!(said(&mut control).len(), 2);
        control.hear([0, 0, 0, 1, 0, 3, 0, 0]);
        control.set_peer(1, None);
        assert!(said(&mut control).is_empty());
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
    fn of_many_sizes_the_last_one_waits() {
        let mut control = control::<BigEndian>();
        assert!(control.hear([0, 0, 0, 0, 0, 0, 0, 1]));
        for columns in 1..1000 {
            control.resize(ConsoleSize { columns, rows: 2 });
        }
        let said = said(&mut control);
        assert_eq!(said.len(), 3);
        assert_eq!(said[2], [0, 0, 0, 0, 0, 5, 0, 0, 3, 231, 0, 2]);
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
