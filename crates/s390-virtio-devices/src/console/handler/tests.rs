// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loops of the queues, with a driver that is scripted.

use s390_vring::mock::MockDriver;
use s390_vring::{BigEndian, Buffer};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::test_utils::{bytes, memory, queue, Memory, Recorder, TestTransport};

const BUFFER: u64 = 0x10000;

fn handler(
    memory: &Arc<Memory>,
    signals: &Arc<Recorder>,
) -> ConsoleHandler<TestTransport<BigEndian>> {
    let rx = queue::<BigEndian>(memory, 0, 8).device_queue();
    let tx = queue::<BigEndian>(memory, 0x4000, 8).device_queue();
    let metrics = Arc::new(ConsoleMetrics::new(1));
    ConsoleHandler::new(memory.clone(), vec![rx, tx], signals.clone(), None, metrics)
}

#[test]
fn prints_at_once_and_in_order() {
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut handler = handler(&memory, &signals);
    let mut tx = queue::<BigEndian>(&memory, 0x4000, 8);
    let long: Vec<u8> = (0..9000u32).map(|i| b'a' + (i % 26) as u8).collect();
    memory.write_slice(&long, GuestAddress(BUFFER)).unwrap();
    tx.add_chain(&[
        Buffer::readable(BUFFER + 26, 3),
        Buffer::readable(BUFFER, 5),
    ]);
    tx.add_chain(&[Buffer::readable(BUFFER, 9000)]);
    let mut output = Vec::new();
    assert_eq!(handler.process_tx(0, &mut output).unwrap(), Progress::Idle);
    assert_eq!(output, [b"abcabcde".as_slice(), &long].concat());
    assert_eq!(tx.used_idx(), 2);
    assert_eq!(signals.take_used(), [1]);
}

#[test]
fn a_sink_that_fails_does_not_stop_the_guest() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut handler = handler(&memory, &signals);
    let mut tx = queue::<BigEndian>(&memory, 0x4000, 8);
    tx.add_chain(&[Buffer::readable(BUFFER, 5)]);
    handler.process_tx(0, &mut Broken).unwrap();
    assert_eq!(tx.used_idx(), 1);
    assert_eq!(handler.metrics.ports[0].tx_errors.get(), 1);
}

#[test]
fn input_waits_for_buffers_and_buffers_for_input() {
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut handler = handler(&memory, &signals);
    let mut rx = queue::<BigEndian>(&memory, 0, 8);
    let input = ConsoleInput::new().unwrap();
    input.push(b"echo hello\n");
    assert_eq!(
        handler.process_rx(0, &input, &mut std::io::sink()).unwrap(),
        Progress::Idle
    );
    assert_eq!(input.len(), 11);
    rx.add_chain(&[Buffer::writable(BUFFER, 2), Buffer::writable(BUFFER + 2, 4)]);
    rx.add_chain(&[Buffer::writable(BUFFER + 0x100, 64)]);
    rx.add_chain(&[Buffer::writable(BUFFER + 0x200, 64)]);
    handler.process_rx(0, &input, &mut std::io::sink()).unwrap();
    assert_eq!(bytes(&memory, BUFFER, 6), *b"echo h");
    assert_eq!(bytes(&memory, BUFFER + 0x100, 5), *b"ello\n");
    assert_eq!((rx.used_element(0).1, rx.used_element(1).1), (6, 5));
    assert_eq!(rx.used_idx(), 2);
    assert_eq!(signals.take_used(), [0]);
    input.push(b"x");
    handler.process_rx(0, &input, &mut std::io::sink()).unwrap();
    assert_eq!(rx.used_idx(), 3);
}

/// A backend with so much room, a peer, and something to read.
struct Narrow {
    printed: Vec<u8>,
    room: usize,
    peer: Option<u64>,
    typed: &'static [u8],
}

impl PortBackend for Narrow {
    fn peer(&self) -> Option<u64> {
        self.peer
    }

    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.typed.read(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let len = bytes.len().min(self.room);
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= len;
        self.printed.extend_from_slice(&bytes[..len]);
        Ok(len)
    }
}

#[test]
fn output_waits_for_room_and_nothing_is_printed_twice() {
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut handler = handler(&memory, &signals);
    let mut tx = queue::<BigEndian>(&memory, 0x4000, 8);
    let long: Vec<u8> = (0..9000u32).map(|i| b'a' + (i % 26) as u8).collect();
    memory.write_slice(&long, GuestAddress(BUFFER)).unwrap();
    tx.add_chain(&[
        Buffer::readable(BUFFER, 6000),
        Buffer::readable(BUFFER + 6000, 3000),
    ]);
    tx.add_chain(&[Buffer::readable(BUFFER, 1)]);
    let mut backend = Narrow {
        printed: Vec::new(),
        room: 100,
        peer: Some(1),
        typed: b"",
    };
    for room in [100, 0, 4000, 1, 4096, 802] {
        backend.room = room;
        assert_eq!(handler.process_tx(0, &mut backend).unwrap(), Progress::Idle);
        assert_eq!((tx.used_idx(), backend.room), (0, 0));
    }
    assert!(signals.take_used().is_empty());
    backend.room = 1;
    handler.process_tx(0, &mut backend).unwrap();
    assert_eq!((tx.used_idx(), backend.room), (1, 0));
    backend.room = 10;
    handler.process_tx(0, &mut backend).unwrap();
    assert_eq!((tx.used_idx(), backend.room), (2, 9));
    assert_eq!(backend.printed, [&long[..], b"a"].concat());
    assert_eq!(handler.metrics.ports[0].tx_bytes.get(), 9001);

    // The rest of a chain is not for the next peer, and nobody gets what nobody waits for.
    tx.add_chain(&[Buffer::readable(BUFFER, 1000)]);
    handler.process_tx(0, &mut backend).unwrap();
    assert_eq!(tx.used_idx(), 2);
    (backend.peer, backend.room) = (Some(2), 4096);
    tx.add_chain(&[Buffer::readable(BUFFER, 2)]);
    handler.process_tx(0, &mut backend).unwrap();
    assert_eq!((tx.used_idx(), backend.room), (4, 4094));
    backend.peer = None;
    tx.add_chain(&[Buffer::readable(BUFFER, 2)]);
    handler.process_tx(0, &mut backend).unwrap();
    assert_eq!((tx.used_idx(), backend.room), (5, 4094));
    assert_eq!(handler.metrics.ports[0].tx_dropped.get(), 991 + 2);
}

/// A chain may have almost 4 GiB, and a queue 128 of them.
#[test]
fn output_without_end_leaves_others_their_turn() {
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut handler = handler(&memory, &signals);
    let mut tx = queue::<BigEndian>(&memory, 0x4000, 8);
    let piece: Vec<u8> = (0..0x8_0000u32).map(|i| (i % 251) as u8).collect();
    memory.write_slice(&piece, GuestAddress(BUFFER)).unwrap();
    tx.add_chain(&[Buffer::readable(BUFFER, 0x8_0000); 4]);
    tx.add_chain(&[Buffer::readable(BUFFER, 5)]);
    let (mut output, mut turns) = (Vec::new(), 0);
    while handler.process_tx(0, &mut output).unwrap() == Progress::More {
        turns += 1;
        assert!(output.len() <= turns * TURN);
    }
    assert_eq!((turns, tx.used_idx()), (0x20_0000 / TURN, 2));
    assert!(output == [&piece[..], &piece, &piece, &piece, &piece[..5]].concat());
}

#[test]
fn what_a_backend_has_comes_behind_what_was_typed() {
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut handler = handler(&memory, &signals);
    let mut rx = queue::<BigEndian>(&memory, 0, 8);
    let mut backend = Narrow {
        printed: Vec::new(),
        room: 0,
        peer: Some(1),
        typed: b"other end",
    };
    let input = ConsoleInput::new().unwrap();
    input.push(b"keys");
    for i in 0..4 {
        rx.add_chain(&[Buffer::writable(BUFFER + 0x100 * i, 8)]);
    }
    handler.process_rx(0, &input, &mut backend).unwrap();
    assert_eq!(rx.used_idx(), 3);
    assert_eq!(bytes(&memory, BUFFER, 4), *b"keys");
    assert_eq!(bytes(&memory, BUFFER + 0x100, 8), *b"other en");
    assert_eq!(bytes(&memory, BUFFER + 0x200, 1), *b"d");
}

#[test]
fn an_input_buffer_for_reading_breaks_the_queue() {
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut handler = handler(&memory, &signals);
    let mut rx = queue::<BigEndian>(&memory, 0, 8);
    rx.add_chain(&[Buffer::readable(BUFFER, 8)]);
    let input = ConsoleInput::new().unwrap();
    assert!(handler.process_rx(0, &input, &mut std::io::sink()).is_err());
}

#[test]
fn queues_and_their_numbers() {
    let roles = [
        QueueRole::Rx(0),
        QueueRole::Tx(0),
        QueueRole::ControlRx,
        QueueRole::ControlTx,
        QueueRole::Rx(1),
        QueueRole::Tx(1),
        QueueRole::Rx(2),
    ];
    for (number, role) in (0..).zip(roles) {
        assert_eq!(QueueRole::of(number), role);
        assert_eq!(role.number(), number);
    }
    for number in 0..255 {
        assert_eq!(QueueRole::of(number).number(), number);
    }
}

#[test]
fn ports_are_talked_about_and_used() {
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut drivers: Vec<_> = (0..6)
        .map(|i| queue::<BigEndian>(&memory, 0x2000 * i, 8))
        .collect();
    let names = vec![String::new(), "log".to_owned()];
    let mut handler = ConsoleHandler::<TestTransport<BigEndian>>::new(
        memory.clone(),
        drivers.iter().map(|driver| driver.device_queue()).collect(),
        signals.clone(),
        Some(Control::new(names, None)),
        Arc::new(ConsoleMetrics::new(2)),
    );
    let say = |drivers: &mut Vec<MockDriver<'_, BigEndian, Memory>>,
               handler: &mut ConsoleHandler<TestTransport<BigEndian>>,
               message: [u8; 8]| {
        memory.write_slice(&message, GuestAddress(BUFFER)).unwrap();
        drivers[3].add_chain(&[Buffer::readable(BUFFER, 8)]);
        handler.process_control_tx().unwrap();
        assert_eq!(signals.take_used(), [3]);
    };
    say(&mut drivers, &mut handler, [0, 0, 0, 0, 0, 0, 0, 1]);
    // There is no buffer yet.
    handler.process_control_rx().unwrap();
    assert!(signals.take_used().is_empty());
    for i in 0..3 {
        let buffer = BUFFER + 0x1000 + 0x100 * i;
        drivers[2].add_chain(&[Buffer::writable(buffer, 64)]);
    }
    handler.process_control_rx().unwrap();
    assert_eq!(signals.take_used(), [2]);
    assert_eq!(drivers[2].used_idx(), 2);
    assert_eq!(bytes(&memory, BUFFER + 0x1100, 8), [0, 0, 0, 1, 0, 1, 0, 1]);

    // Input waits until the port is open.
    let input = ConsoleInput::new().unwrap();
    input.push(b"hello");
    drivers[4].add_chain(&[Buffer::writable(BUFFER + 0x2000, 64)]);
    handler.process_rx(1, &input, &mut std::io::sink()).unwrap();
    assert_eq!(input.len(), 5);
    say(&mut drivers, &mut handler, [0, 0, 0, 1, 0, 6, 0, 1]);
    handler.process_rx(1, &input, &mut std::io::sink()).unwrap();
    assert_eq!(signals.take_used(), [4]);
    assert_eq!(bytes(&memory, BUFFER + 0x2000, 5), *b"hello");
    let mut output = Vec::new();
    drivers[5].add_chain(&[Buffer::readable(BUFFER + 0x2000, 5)]);
    handler.process_tx(1, &mut output).unwrap();
    assert_eq!(output, b"hello");
    assert_eq!(handler.metrics.ports[1].tx_bytes.get(), 5);

    drivers[3].add_chain(&[Buffer::readable(BUFFER, 7)]);
    assert!(handler.process_control_tx().is_err());
}

#[test]
fn a_guest_that_takes_no_answers_is_not_listened_to() {
    let (memory, signals) = (memory(), Arc::new(Recorder::default()));
    let mut drivers: Vec<_> = (0..4)
        .map(|i| queue::<BigEndian>(&memory, 0x2000 * i, 8))
        .collect();
    let mut handler = ConsoleHandler::<TestTransport<BigEndian>>::new(
        memory.clone(),
        drivers.iter().map(|driver| driver.device_queue()).collect(),
        signals.clone(),
        Some(Control::new(vec![String::new()], None)),
        Arc::new(ConsoleMetrics::new(1)),
    );
    memory
        .write_slice(&[0, 0, 0, 0, 0, 0, 0, 1], GuestAddress(BUFFER))
        .unwrap();
    let mut heard = 0u16;
    loop {
        drivers[3].add_chain(&[Buffer::readable(BUFFER, 8)]);
        handler.process_control_tx().unwrap();
        if drivers[3].used_idx() == heard {
            break;
        }
        assert_eq!(drivers[3].driver().pop_used().unwrap().unwrap().len, 0);
        heard += 1;
    }
    assert_eq!(heard, 256);
    drivers[2].add_chain(&[Buffer::writable(BUFFER + 0x1000, 64)]);
    handler.process_control_rx().unwrap();
    handler.process_control_tx().unwrap();
    assert_eq!(drivers[3].used_idx(), 257);
}
