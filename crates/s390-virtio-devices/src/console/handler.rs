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
/// Bytes printed before other devices get their turn: chains have any length.
const TURN: usize = 64 * CHUNK;

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
    /// spin until it is taken. The rest stays in the queue; so does what is too much for one turn.
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
        let mut left_in_turn = TURN;
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
                if left_in_turn == 0 && left > 0 {
                    return Ok(Disposition::Later);
                }
                let most = chunk.len().min(left_in_turn);
                let len = reader
                    .read(&mut chunk[..most])
                    .map_err(|_| ChainError::Request("output that cannot be read"))?;
                if len == 0 {
                    break;
                }
                left_in_turn -= len;
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
        match left_in_turn {
            0 => progress.map(|_| Progress::More),
            _ => progress,
        }
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
mod tests;
