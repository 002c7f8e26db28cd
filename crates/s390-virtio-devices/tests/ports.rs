// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ports behind sockets, between programs of the host and a driver that is scripted.

mod common;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use common::*;
use s390_virtio_devices::bus::DeviceId;
use s390_virtio_devices::console::{self, Console, ConsoleInput, SocketPort};
use s390_vring::Buffer;
use tempfile::TempDir;

const MULTIPORT: u32 = 1 << 1;
const READY: u16 = 0;
const PORT_READY: u16 = 3;
const OPEN: u16 = 6;

/// Where things are in the guest.
const MESSAGES: u64 = 0x2_0000;
const SAID: u64 = 0x3_0000;
const OUTPUT: u64 = 0x4_0000;
const INPUT: u64 = 0x6_0000;

/// A console with one port, `data`, behind a socket.
struct Host {
    machine: Machine,
    id: DeviceId,
    path: PathBuf,
    _directory: TempDir,
}

/// That console with any backend, and the way into its port.
fn with_port(port: impl console::PortBackend + 'static) -> (Console<Legacy>, ConsoleInput) {
    let console = Console::new(Box::new(std::io::sink()), None).unwrap();
    let console = console.with_port("data", Box::new(port)).unwrap();
    let input = console.port_input("data").unwrap();
    (console, input)
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let port = SocketPort::new(UnixListener::bind(&path).unwrap()).unwrap();
        let machine = Machine::new();
        let id = machine.add(with_port(port).0);
        Host {
            machine,
            id,
            path,
            _directory: directory,
        }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_nonblocking(true).unwrap();
        self.machine.run_events();
        stream
    }

    fn guest(&self) -> Guest<'_> {
        Guest::new(&self.machine)
    }
}

impl<'a> Guest<'a> {
    fn new(machine: &'a Machine) -> Self {
        let driver = machine.driver(0);
        driver.begin_probe(MULTIPORT);
        let mut queues = (0..6).map(|index| driver.find_vq(index, 0x100 * (index + 1)));
        let mut next = || queues.next().unwrap();
        let mut guest = Guest {
            machine,
            _console: [next(), next()],
            messages: next(),
            said: next(),
            input: next(),
            output: next(),
            places: HashMap::new(),
        };
        driver.finish_probe();
        for number in 0..16 {
            guest.offer_message(MESSAGES + 0x80 * number);
        }
        guest
    }
}

struct Guest<'a> {
    machine: &'a Machine,
    _console: [GuestQueue<'a>; 2],
    messages: GuestQueue<'a>,
    said: GuestQueue<'a>,
    input: GuestQueue<'a>,
    output: GuestQueue<'a>,
    /// Where the buffer of a message is, by the head of its chain.
    places: HashMap<u16, u64>,
}

impl Guest<'_> {
    fn offer_message(&mut self, addr: u64) {
        let buffer = [Buffer::writable(addr, 0x80)];
        let head = self.messages.ring.add_chain(&buffer).unwrap();
        self.messages.ring.publish();
        self.places.insert(head, addr);
        self.messages.kick();
    }

    fn say(&mut self, port: u32, event: u16, value: u16) {
        let message = [
            &port.to_be_bytes()[..],
            &event.to_be_bytes(),
            &value.to_be_bytes(),
        ];
        self.machine.write(SAID, &message.concat());
        self.said.add(&[Buffer::readable(SAID, 8)]);
        self.said.kick();
        self.machine.run_events();
        assert_eq!(self.said.used(), Some(0));
    }

    /// The messages that have come, as (port, event, value).
    fn hears(&mut self) -> Vec<(u32, u16, u16)> {
        self.machine.run_events();
        let mut heard = Vec::new();
        while let Some(used) = self.messages.ring.pop_used().unwrap() {
            let addr = self.places[&used.head];
            let bytes = self.machine.read(addr, 8);
            let number = |range: std::ops::Range<usize>| {
                bytes[range]
                    .iter()
                    .fold(0u32, |n, &byte| n << 8 | u32::from(byte))
            };
            heard.push((number(0..4), number(4..6) as u16, number(6..8) as u16));
            self.offer_message(addr);
            self.machine.run_events();
        }
        heard
    }

    /// Opens the port, as a guest does that has found it.
    fn open(&mut self) {
        self.say(0, READY, 1);
        self.say(0, PORT_READY, 1);
        self.say(1, PORT_READY, 1);
        self.say(1, OPEN, 1);
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        self.machine.run_events();
        let len = self.input.used()?;
        Some(self.machine.read(INPUT, len as usize))
    }

    fn offer_input(&mut self, len: u32) {
        self.input.add(&[Buffer::writable(INPUT, len)]);
        self.input.kick();
    }

    fn print(&mut self, bytes: &[u8]) {
        self.machine.write(OUTPUT, bytes);
        self.output
            .add(&[Buffer::readable(OUTPUT, bytes.len() as u32)]);
        self.output.kick();
        self.machine.run_events();
    }
}

fn receive(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let len = match stream.read(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        result => result.unwrap(),
    };
    bytes.truncate(len);
    bytes
}

#[test]
fn the_guest_hears_who_comes_and_goes() {
    let host = Host::new();
    let mut guest = host.guest();
    guest.open();
    let heard = guest.hears();
    assert!(heard.contains(&(0, OPEN, 1)), "{heard:?}");
    assert!(!heard.contains(&(1, OPEN, 1)), "{heard:?}");

    // Nobody is there: what is printed is gone, as on a line that is not connected.
    guest.print(b"anybody?");
    assert_eq!(guest.output.used(), Some(0));

    let mut first = host.connect();
    assert_eq!(guest.hears(), [(1, OPEN, 1)]);
    guest.print(b"welcome");
    assert_eq!(receive(&mut first), b"welcome");
    first.write_all(b"hello").unwrap();
    assert_eq!(guest.read(), None);
    guest.offer_input(64);
    assert_eq!(guest.read().unwrap(), b"hello");

    // The second waits until the first has gone, and what it sends waits with it.
    let mut second = host.connect();
    second.write_all(b"me too").unwrap();
    assert!(guest.hears().is_empty());
    first.write_all(b"bye").unwrap();
    drop(first);
    guest.offer_input(64);
    assert_eq!(guest.read().unwrap(), b"bye");
    guest.offer_input(64);
    assert_eq!(guest.hears(), [(1, OPEN, 0), (1, OPEN, 1)]);
    assert_eq!(guest.read().unwrap(), b"me too");
    guest.print(b"welcome");
    assert_eq!(receive(&mut second), b"welcome");
    drop(second);
    guest.offer_input(64);
    assert_eq!(guest.hears(), [(1, OPEN, 0)]);
}

/// A peer that has gone once `leaves` is set, as a read shows; another one is there already. No event
/// tells of either, as none does of a socket that is closed before the event loop has looked at it.
struct Leaving {
    leaves: Arc<AtomicBool>,
    peer: Option<u64>,
}

impl console::PortBackend for Leaving {
    fn process_event(&mut self, _: bool) {
        self.peer = self.peer.or(Some(2));
    }

    fn peer(&self) -> Option<u64> {
        self.peer
    }

    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        if self.leaves.swap(false, Ordering::Relaxed) {
            self.peer = None;
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
}

#[test]
fn the_guest_hears_of_a_peer_whose_end_shows_while_somebody_types() {
    let leaves = Arc::new(AtomicBool::new(false));
    let (console, input) = with_port(Leaving {
        leaves: leaves.clone(),
        peer: Some(1),
    });
    let machine = Machine::new();
    machine.add(console);
    let mut guest = Guest::new(&machine);
    guest.open();
    guest.offer_input(64);
    assert!(guest.hears().contains(&(1, OPEN, 1)));
    leaves.store(true, Ordering::Relaxed);
    input.push(b"");
    assert_eq!(guest.hears(), [(1, OPEN, 0), (1, OPEN, 1)]);
}

#[test]
fn a_client_of_a_port_that_is_closed_waits_and_one_that_gave_up_is_gone() {
    let host = Host::new();
    let mut early = host.connect();
    early.write_all(b"early").unwrap();
    let mut guest = host.guest();
    guest.offer_input(64);
    assert_eq!(guest.read(), None);
    guest.open();
    assert_eq!(guest.read().unwrap(), b"early");
    guest.offer_input(64);
    assert!(guest.hears().contains(&(1, OPEN, 1)));

    guest.say(1, OPEN, 0);
    early.write_all(b"to nobody").unwrap();
    assert_eq!(guest.read(), None);
    drop(early);
    assert_eq!(guest.hears(), [(1, OPEN, 0)]);
    let mut late = host.connect();
    late.write_all(b"late").unwrap();
    assert_eq!(guest.read(), None);
    guest.say(1, OPEN, 1);
    assert_eq!(guest.read().unwrap(), b"late");
    // And the next driver starts from the beginning.
    let mut guest = host.guest();
    guest.offer_input(64);
    guest.open();
    assert!(guest.hears().contains(&(1, OPEN, 1)));
    late.write_all(b"again").unwrap();
    assert_eq!(guest.read().unwrap(), b"again");
}

#[test]
fn who_does_not_read_holds_up_only_his_queue_and_nothing_is_lost() {
    let host = Host::new();
    let mut guest = host.guest();
    guest.open();
    let mut client = host.connect();
    // Output: more than the socket takes.
    let piece = |number: u8| vec![number; 60_000];
    let mut printed = 0;
    for number in 0..100 {
        guest.print(&piece(number));
        // Every buffer holds the same, so that the next one is written when this one is taken.
        if guest.output.used().is_none() {
            break;
        }
        printed = number + 1;
    }
    assert!(printed < 100, "no end");
    // Other queues go on meanwhile.
    client.write_all(b"hello").unwrap();
    guest.offer_input(64);
    assert_eq!(guest.read().unwrap(), b"hello");
    let mut received = Vec::new();
    while received.len() < 60_000 * (usize::from(printed) + 1) {
        let bytes = receive(&mut client);
        received.extend(bytes);
        host.machine.run_events();
    }
    assert_eq!(guest.output.used(), Some(0));
    let all: Vec<u8> = (0..=printed).flat_map(piece).collect();
    assert!(received == all);

    // Input: more than the guest takes. The client is held up.
    let mut sent = Vec::new();
    loop {
        let bytes = piece(sent.len() as u8);
        host.machine.run_events();
        match client.write(&bytes) {
            Ok(len) => sent.extend(&bytes[..len]),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let mut read = Vec::new();
    while read.len() < sent.len() {
        guest.offer_input(8192);
        read.extend(guest.read().unwrap());
    }
    assert!(read == sent);
}

#[test]
fn a_guest_that_talks_nonsense_or_without_end_harms_nobody() {
    let host = Host::new();
    let mut guest = host.guest();
    guest.open();
    let mut client = host.connect();
    guest.hears();
    for port in [2, 3, 0xffff, 0x7fff_ffff, 0xffff_ffff] {
        for event in 0..10 {
            guest.say(port, event, 1);
        }
    }
    for event in [1, 2, 4, 5, 7, 8, 0xffff] {
        guest.say(1, event, 1);
    }
    // DEVICE_READY is for no port.
    let heard = guest.hears();
    assert!(heard.iter().all(|(_, event, _)| *event == 1), "{heard:?}");
    // Opens and closes, and introductions, without end.
    for value in 0..500 {
        guest.say(1, OPEN, value % 2);
        guest.say(1, PORT_READY, 1);
        guest.hears();
    }
    guest.say(1, OPEN, 1);
    client.write_all(b"still").unwrap();
    guest.offer_input(64);
    assert_eq!(guest.read().unwrap(), b"still");
    guest.print(b"here");
    assert_eq!(receive(&mut client), b"here");
    assert!(!host.machine.bus.needs_reset(host.id).unwrap());
    // Clients without end.
    drop(client);
    guest.hears();
    for _ in 0..500 {
        drop(host.connect());
    }
    let mut client = host.connect();
    guest.offer_input(64);
    let heard = guest.hears();
    assert_eq!(heard.last(), Some(&(1, OPEN, 1)), "{heard:?}");
    client.write_all(b"at last").unwrap();
    assert_eq!(guest.read().unwrap(), b"at last");
}
