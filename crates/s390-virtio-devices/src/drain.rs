// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loop that every queue's handler runs.

use s390_vring::{DescriptorChain, DeviceQueue};
use vm_memory::GuestMemory;

use crate::metrics::QueueMetrics;
use crate::SignalDriver;

/// Why a handler gave up on its queue: the driver broke a rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// Something is wrong with the ring or a chain.
    #[error("queue {queue} is malformed")]
    Queue {
        /// Number of the queue.
        queue: u16,
        /// What is wrong.
        #[source]
        source: s390_vring::Error,
    },
    /// A chain is not a request of this device.
    #[error("queue {queue} holds {what}")]
    Request {
        /// Number of the queue.
        queue: u16,
        /// What is wrong.
        what: &'static str,
    },
}

/// Where a handler stopped.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to do until the driver or the other side moves.
    Idle,
    /// There is more to do; other devices get their turn first.
    More,
}

/// What becomes of a chain that was taken from a queue.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Disposition {
    /// It goes back to the driver, this many bytes of its writable buffers having been written.
    Used(u32),
    /// The device keeps it, and gives it back with [`Drain::give_back`] when it is done.
    Kept,
    /// Nothing can be done with it now: it stays available and the handler stops, until
    /// something else than the driver wakes it.
    Later,
}

/// Why a chain cannot be handled.
#[derive(Debug)]
pub(crate) enum ChainError {
    /// Its buffers cannot be reached.
    Queue(s390_vring::Error),
    /// It is no request of this device.
    Request(&'static str),
}

impl ChainError {
    /// The same, with the number of the queue.
    pub(crate) fn of_queue(self, queue: u16) -> HandlerError {
        match self {
            ChainError::Queue(source) => HandlerError::Queue { queue, source },
            ChainError::Request(what) => HandlerError::Request { queue, what },
        }
    }
}

impl From<s390_vring::Error> for ChainError {
    fn from(error: s390_vring::Error) -> Self {
        ChainError::Queue(error)
    }
}

/// A queue with its number and its way to the driver, while a handler works on it.
pub(crate) struct Drain<'a, Q, M> {
    pub(crate) queue: &'a mut Q,
    pub(crate) memory: &'a M,
    pub(crate) index: u16,
    pub(crate) driver: &'a dyn SignalDriver,
    pub(crate) metrics: &'a QueueMetrics,
}

impl<Q: DeviceQueue, M: GuestMemory> Drain<'_, Q, M> {
    /// Handles available chains until there are none, until one has to wait, or until the queue
    /// has been round once: a driver that never stops adding chains must not keep the thread.
    /// Interrupts the driver once, if anything was used and it wants that.
    pub(crate) fn run(
        mut self,
        handle: impl FnMut(&DescriptorChain) -> Result<Disposition, ChainError>,
    ) -> Result<Progress, HandlerError> {
        let (progress, used) = self.take(handle)?;
        self.signal(used)?;
        Ok(progress)
    }

    /// Like [`run`](Self::run), but without the interruption: for a device that gives back more
    /// before it calls [`signal`](Self::signal). Returns how many chains were used.
    pub(crate) fn take(
        &mut self,
        mut handle: impl FnMut(&DescriptorChain) -> Result<Disposition, ChainError>,
    ) -> Result<(Progress, u16), HandlerError> {
        let mut turn = Turn {
            left: self.queue.size(),
            used: 0,
        };
        let progress = self.try_take(&mut turn, &mut handle);
        Ok((progress.map_err(|error| self.error(error))?, turn.used))
    }

    /// Gives back a chain of which so many bytes were written.
    pub(crate) fn give_back(
        &mut self,
        chain: &DescriptorChain,
        len: u32,
    ) -> Result<(), ChainError> {
        self.queue.add_used(self.memory, chain.head_index(), len)?;
        self.metrics.chains.inc();
        let bytes = u64::from(chain.readable_bytes()) + u64::from(len);
        self.metrics.bytes.add(bytes);
        Ok(())
    }

    /// Interrupts the driver, if any chain was used and it wants that.
    pub(crate) fn signal(&mut self, used: u16) -> Result<(), HandlerError> {
        if used == 0 {
            return Ok(());
        }
        let wanted = self.queue.needs_notification(self.memory);
        if wanted.map_err(|error| self.error(error.into()))? {
            self.driver.signal_used_queue(self.index);
        } else {
            self.metrics.suppressed.inc();
            let (name, index) = (self.driver.name(), self.index);
            log::trace!("{name}: queue {index}: used, no interruption wanted");
        }
        Ok(())
    }

    /// What a handler says when `error` comes up in this queue.
    pub(crate) fn error(&self, error: ChainError) -> HandlerError {
        error.of_queue(self.index)
    }

    fn try_take(
        &mut self,
        turn: &mut Turn,
        handle: &mut impl FnMut(&DescriptorChain) -> Result<Disposition, ChainError>,
    ) -> Result<Progress, ChainError> {
        loop {
            self.queue.disable_notification(self.memory)?;
            if self.pass(turn, handle)? {
                // Notifications stay off: the driver is not what the chain waits for.
                return Ok(Progress::Idle);
            }
            if turn.left == 0 {
                return Ok(Progress::More);
            }
            if !self.queue.enable_notification(self.memory)? {
                return Ok(Progress::Idle);
            }
        }
    }

    /// One pass over the queue; returns whether it stopped because a chain has to wait.
    fn pass(
        &mut self,
        turn: &mut Turn,
        handle: &mut impl FnMut(&DescriptorChain) -> Result<Disposition, ChainError>,
    ) -> Result<bool, ChainError> {
        while turn.left > 0 {
            let Some(chain) = self.queue.pop_descriptor_chain(self.memory)? else {
                break;
            };
            match handle(&chain)? {
                Disposition::Used(len) => {
                    self.give_back(&chain, len)?;
                    turn.used += 1;
                    turn.left -= 1;
                }
                Disposition::Kept => turn.left -= 1,
                Disposition::Later => {
                    self.queue.go_to_previous_position();
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// A handler's turn at its queue.
struct Turn {
    /// Chains that it may still take.
    left: u16,
    /// Chains that it gave back.
    used: u16,
}
