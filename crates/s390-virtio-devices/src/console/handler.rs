// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loops of the queues: free of file descriptors and threads.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use super::backend::PortBackend;
use super::control::{Control, MESSAGE};
use super::device::ConsoleSize;
use super::input::ConsoleInput;
use super::metrics::{ConsoleMetrics, PortMetrics};
use crate::drain::{ChainError, Disposition, Drain, HandlerError};
use crate::{Progress, SignalDriver, Transport};

/// Bytes moved at a time between guest memory and backend.
const CHUNK: usize = 4096;

/// What a queue of a console is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum QueueRole {
    /// Buffers for input of this port.
    Rx(usize),
    /// Output of this port.
    Tx(usize),
    /// Buffers for control messages.
    ControlRx,
    /// Control messages of the guest.
    ControlTx,
}

impl QueueRole {
    /// The role of queue `number`: the first port has the first two queues, then come those for
    /// control, then the other ports.
    pub(super) fn of(number: u16) -> Self {
        let port = usize::from(number / 2);
        match (number, number % 2) {
            (0, _) => QueueRole::Rx(0),
            (1, _) => QueueRole::Tx(0),
            (2, _) => QueueRole::ControlRx,
            (3, _) => QueueRole::ControlTx,
            (_, 0) => QueueRole::Rx(port - 1),
            _ => QueueRole::Tx(port - 1),
        }
    }

    /// The queue's number.
    pub(super) fn number(self) -> u16 {
        // There are at most 255 queues.
        let pair = |port: usize| if port == 0 { 0 } else { 2 * port as u16 + 2 };
        match self {
            QueueRole::Rx(port) => pair(port),
            QueueRole::Tx(port) => pair(port) + 1,
            QueueRole::ControlRx => 2,
            QueueRole::ControlTx => 3,
        }
    }
}

/// Serves the queues of an active console.
pub(super) struct ConsoleHandler<T: Transport> {
    memory: Arc<T::Memory>,
    queues: Vec<T::Queue>,
    /// Only with a driver that knows of more than one port.
    control: Option<Control<T::Order>>,
    /// Of each port, what was printed of a chain for which there was not room enough.
    begun: Vec<Begun>,
    pub(super) driver: Arc<dyn SignalDriver>,
    metrics: Arc<ConsoleMetrics>,
}

/// The beginning of the chain that is next.
#[derive(Copy, Clone, Debug, Default)]
struct Begun {
    bytes: usize,
    /// Who got them. The rest is for nobody else.
    peer: Option<u64>,
}

impl<T: Transport> std::fmt::Debug for ConsoleHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConsoleHandler")
    }
}

impl<T: Transport> ConsoleHandler<T> {
    /// A handler for the queues of a console in the order of their numbers. `control` is there
    /// if the driver accepted more than one port.
    pub(super) fn new(
        memory: Arc<T::Memory>,
        queues: Vec<T::Queue>,
        driver: Arc<dyn SignalDriver>,
        control: Option<Control<T::Order>>,
        metrics: Arc<ConsoleMetrics>,
    ) -> Self {
        ConsoleHandler {
            memory,
            queues,
            control,
            begun: vec![Begun::default(); metrics.ports.len()],
            driver,
            metrics,
        }
    }

    /// Whether somebody in the guest reads what comes to a port.
    pub(super) fn guest_listens(&self, port: usize) -> bool {
        match &self.control {
            Some(control) => control.is_open(port),
            None => port == 0,
        }
    }

    /// This is who is at the host's end of a port.
    pub(super) fn set_peer(&mut self, port: usize, peer: Option<u64>) {
        if let Some(control) = &mut self.control {
            control.set_peer(port, peer);
        }
    }

    /// Gives the guest what was typed into a port, as far as it has buffers: what is in `input`,
    /// then what `backend` has.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub(super) fn process_rx(
        &mut self,
        port: usize,
        input: &ConsoleInput,
        backend: &mut dyn PortBackend,
    ) -> Result<Progress, HandlerError> {
        // What comes to a port that is not open, a driver throws away.
        if !self.guest_listens(port) {
            return Ok(Progress::Idle);
        }
        let (memory, index) = (&*self.memory, QueueRole::Rx(port).number());
        let (Some(queue), Some(metrics)) = (
            self.queues.get_mut(usize::from(index)),
            self.metrics.ports.get(port),
        ) else {
            return Ok(Progress::Idle);
        };
        Drain {
            queue,
            memory,
            index,
            driver: &*self.driver,
            metrics: &metrics.rx_queue,
        }
        .run(|chain| {
            if chain.writable_bytes() == 0 {
                return Err(ChainError::Request("an input buffer without room"));
            }
            let mut chunk = [0; CHUNK];
            let chunk = &mut chunk[..CHUNK.min(chain.writable_bytes() as usize)];
            let len = match input.pop(chunk) {
                // Whatever the error is, there is nothing now.
                0 => backend.read(chunk).unwrap_or(0).min(chunk.len()),
                len => len,
            };
            if len == 0 {
                return Ok(Disposition::Later);
            }
            let mut writer = chain.writer(memory)?;
            writer
                .write_all(&chunk[..len])
                .map_err(|_| ChainError::Request("an input buffer without room"))?;
            metrics.rx_bytes.add(len as u64);
            // Not longer than the chunk.
            Ok(Disposition::Used(len as u32))
        })
    }

    /// Gives `backend` what the guest printed to a port, at once as far as there is room: drivers
    /// spin until it is taken. The rest stays in the queue.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub(super) fn process_tx(
        &mut self,
        port: usize,
        backend: &mut dyn PortBackend,
    ) -> Result<Progress, HandlerError> {
        let (memory, index) = (&*self.memory, QueueRole::Tx(port).number());
        let (Some(queue), Some(metrics), Some(begun)) = (
            self.queues.get_mut(usize::from(index)),
            self.metrics.ports.get(port),
            self.begun.get_mut(port),
        ) else {
            return Ok(Progress::Idle);
        };
        let progress = Drain {
            queue,
            memory,
            index,
            driver: &*self.driver,
            metrics: &metrics.tx_queue,
        }
        .run(|chain| {
            let mut reader = chain.reader(memory)?;
            if begun.bytes == 0 {
                begun.peer = backend.peer();
            }
            reader.advance(begun.bytes.min(reader.available_bytes()));
            let mut chunk = [0; CHUNK];
            // One chunk after the other, or what is left of it.
            loop {
                let left = reader.available_bytes() as u64;
                if begun.peer.is_none() || begun.peer != backend.peer() {
                    metrics.tx_dropped.add(left);
                    break;
                }
                let len = reader
                    .read(&mut chunk)
                    .map_err(|_| ChainError::Request("output that cannot be read"))?;
                if len == 0 {
                    break;
                }
                match write(backend, &chunk[..len], metrics) {
                    written if written < len => {
                        begun.bytes += written;
                        return Ok(Disposition::Later);
                    }
                    _ => begun.bytes += len,
                }
            }
            *begun = Begun::default();
            Ok(Disposition::Used(0))
        });
        if backend.flush().is_err() {
            metrics.tx_errors.inc();
        }
        progress
    }

    /// Listens to the guest's control messages, as long as it takes the answers.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub(super) fn process_control_tx(&mut self) -> Result<Progress, HandlerError> {
        let (memory, index) = (&*self.memory, QueueRole::ControlTx.number());
        let driver = &*self.driver;
        let (Some(queue), Some(control)) =
            (self.queues.get_mut(usize::from(index)), &mut self.control)
        else {
            return Ok(Progress::Idle);
        };
        Drain {
            queue,
            memory,
            index,
            driver,
            metrics: &self.metrics.control_tx_queue,
        }
        .run(|chain| {
            if control.is_full() {
                return Ok(Disposition::Later);
            }
            let mut message = [0; MESSAGE];
            chain
                .reader(memory)?
                .read_exact(&mut message)
                .map_err(|_| ChainError::Request("a control message that is too short"))?;
            if !control.hear(message) {
                let name = driver.name();
                log::debug!("{name}: queue {index}: control message {message:?} makes no sense");
            }
            Ok(Disposition::Used(0))
        })
    }

    /// Gives the guest the control messages that wait, as far as it has buffers.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub(super) fn process_control_rx(&mut self) -> Result<Progress, HandlerError> {
        let (memory, index) = (&*self.memory, QueueRole::ControlRx.number());
        let (Some(queue), Some(control)) =
            (self.queues.get_mut(usize::from(index)), &mut self.control)
        else {
            return Ok(Progress::Idle);
        };
        Drain {
            queue,
            memory,
            index,
            driver: &*self.driver,
            metrics: &self.metrics.control_rx_queue,
        }
        .run(|chain| {
            let Some(message) = control.next() else {
                return Ok(Disposition::Later);
            };
            let len = message.len() as u32;
            chain
                .writer(memory)?
                .write_all(message)
                .map_err(|_| ChainError::Request("a control buffer that is too short"))?;
            control.next_is_done();
            Ok(Disposition::Used(len))
        })
    }

    /// Tells a driver of several ports of a new size; others see it in the configuration space.
    pub(super) fn resize(&mut self, size: ConsoleSize) {
        if let Some(control) = &mut self.control {
            control.resize(size);
        }
    }
}

/// Gives `bytes` to `backend` and returns how many it took or lost; the others have to wait.
fn write(backend: &mut dyn PortBackend, bytes: &[u8], metrics: &PortMetrics) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match backend.write(&bytes[written..]) {
            Ok(len) if len > 0 => {
                written += len;
                metrics.tx_bytes.add(len as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Ok(_) | Err(_) => {
                metrics.tx_errors.inc();
                return bytes.len();
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
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
}
