// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Floating external interruptions: pending for whichever CPU is enabled first.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use crate::{is_enabled, ExternalInterrupt};

/// Why an interruption cannot be made pending.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// As many different interruptions as the queue may hold are pending.
    Full,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Full => write!(f, "the queue of pending interruptions is full"),
        }
    }
}

impl core::error::Error for Error {}

/// What became of a pushed interruption.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is pending now: CPUs that wait should look.
    Queued,
    /// It was merged into one that is pending already.
    Merged,
    /// A virtio event with token 0: the guest has not set up that queue and must not hear of it.
    Dropped,
}

/// The pending queue as plain data, for snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingState {
    /// Parameter of the pending service signal.
    pub service: Option<u32>,
    /// The other interruptions, oldest first.
    pub interrupts: Vec<ExternalInterrupt>,
}

/// Pending floating interruptions of one machine.
///
/// - At most one service signal is pending; a further one adds its event bit and, where none is
///   there yet, its control block. A service call must therefore not complete while another
///   one's signal is pending: see [`service_pending`](Self::service_pending).
/// - Of equal other interruptions one is pending. Those are taken in the order they came, after
///   the service signal.
/// - The guest chooses tokens and so how many differ: the number is bounded.
#[derive(Clone, Debug)]
pub struct PendingQueue {
    service: Option<u32>,
    interrupts: VecDeque<ExternalInterrupt>,
    capacity: usize,
}

impl PendingQueue {
    /// How many interruptions beside the service signal a queue holds by default: some for each
    /// queue of as many devices as the device page has room for.
    pub const DEFAULT_CAPACITY: usize = 1024;

    /// An empty queue of the default capacity.
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// An empty queue that holds at most `capacity` interruptions beside the service signal.
    pub fn with_capacity(capacity: usize) -> Self {
        PendingQueue {
            service: None,
            interrupts: VecDeque::new(),
            capacity,
        }
    }

    /// Makes `interrupt` pending.
    ///
    /// # Errors
    ///
    /// [`Error::Full`]; the queue is as before.
    pub fn push(&mut self, interrupt: ExternalInterrupt) -> Result<Pushed, Error> {
        if interrupt.code == ExternalInterrupt::SERVICE_SIGNAL {
            return Ok(self.push_service(interrupt.params));
        }
        if interrupt.virtio_event().is_some_and(|e| e.is_void()) {
            return Ok(Pushed::Dropped);
        }
        if self.interrupts.contains(&interrupt) {
            return Ok(Pushed::Merged);
        }
        if self.interrupts.len() >= self.capacity {
            return Err(Error::Full);
        }
        self.interrupts.push_back(interrupt);
        Ok(Pushed::Queued)
    }

    fn push_service(&mut self, params: u32) -> Pushed {
        let Some(pending) = &mut self.service else {
            self.service = Some(params);
            return Pushed::Queued;
        };
        *pending |= params & !ExternalInterrupt::SERVICE_SCCB;
        if *pending & ExternalInterrupt::SERVICE_SCCB == 0 {
            *pending |= params & ExternalInterrupt::SERVICE_SCCB;
        }
        Pushed::Merged
    }

    /// Whether a completed service call has not been signalled yet: a new call is to be answered
    /// "busy" (condition code 2). An event alone does not count.
    pub fn service_pending(&self) -> bool {
        self.service
            .is_some_and(|params| params & ExternalInterrupt::SERVICE_SCCB != 0)
    }

    /// Whether a CPU with this PSW mask and control register 0 would take one of them.
    pub fn is_enabled_pending(&self, psw_mask: u64, cr0: u64) -> bool {
        let service = ExternalInterrupt::SERVICE_SIGNAL;
        self.service.is_some() && is_enabled(service, psw_mask, cr0)
            || self.position(psw_mask, cr0).is_some()
    }

    /// Takes the interruption that a CPU with this PSW mask and control register 0 must take
    /// next: the service signal, else the oldest one it is enabled for.
    pub fn pop_enabled(&mut self, psw_mask: u64, cr0: u64) -> Option<ExternalInterrupt> {
        if is_enabled(ExternalInterrupt::SERVICE_SIGNAL, psw_mask, cr0) {
            if let Some(params) = self.service.take() {
                return Some(Self::service_signal(params));
            }
        }
        let position = self.position(psw_mask, cr0)?;
        self.interrupts.remove(position)
    }

    fn position(&self, psw_mask: u64, cr0: u64) -> Option<usize> {
        let enabled = |i: &ExternalInterrupt| is_enabled(i.code, psw_mask, cr0);
        self.interrupts.iter().position(enabled)
    }

    fn service_signal(params: u32) -> ExternalInterrupt {
        ExternalInterrupt {
            params,
            ..ExternalInterrupt::service(0, false)
        }
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.service.is_none() && self.interrupts.is_empty()
    }

    /// How many interruptions are pending.
    pub fn len(&self) -> usize {
        self.interrupts.len() + usize::from(self.service.is_some())
    }

    /// Drops everything, as a subsystem reset does. Guests rely on it: early service-call code
    /// takes a virtio interruption of a former life for its own.
    pub fn clear(&mut self) {
        self.service = None;
        self.interrupts.clear();
    }

    /// Drops the interruptions for which `stale` holds: those of a queue that was reset.
    pub fn remove(&mut self, mut stale: impl FnMut(&ExternalInterrupt) -> bool) {
        self.interrupts.retain(|interrupt| !stale(interrupt));
    }

    /// What is pending, as plain data.
    pub fn state(&self) -> PendingState {
        PendingState {
            service: self.service,
            interrupts: self.interrupts.iter().copied().collect(),
        }
    }

    /// A queue that holds at most `capacity` interruptions beside the service signal, with `state`
    /// pending. The rules of [`push`](Self::push) apply, so that no state yields a queue that could
    /// not have come about.
    ///
    /// # Errors
    ///
    /// [`Error::Full`]: more is pending than `capacity`.
    pub fn from_state(state: &PendingState, capacity: usize) -> Result<Self, Error> {
        let mut queue = Self::with_capacity(capacity);
        queue.service = state.service;
        for &interrupt in &state.interrupts {
            queue.push(interrupt)?;
        }
        Ok(queue)
    }
}

impl Default for PendingQueue {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Psw, VirtioEvent};

    const OPEN: u64 = Psw::EXTERNAL;
    const CR0: u64 = 0x200;

    fn vring(token: u64) -> ExternalInterrupt {
        ExternalInterrupt::virtio(VirtioEvent::Vring { token })
    }

    fn config(token: u64) -> ExternalInterrupt {
        ExternalInterrupt::virtio(VirtioEvent::ConfigChanged { token })
    }

    #[test]
    fn first_in_first_out() {
        let mut queue = PendingQueue::new();
        for token in [6, 2, 4] {
            assert_eq!(queue.push(vring(token)), Ok(Pushed::Queued));
        }
        let order = [0; 3].map(|_| queue.pop_enabled(OPEN, CR0).unwrap().params2);
        assert_eq!(order, [6, 2, 4]);
        assert_eq!(queue.pop_enabled(OPEN, CR0), None);
    }

    #[test]
    fn equal_interruptions_are_one_but_other_events_are_not() {
        let mut queue = PendingQueue::new();
        assert_eq!(queue.push(vring(2)), Ok(Pushed::Queued));
        assert_eq!(queue.push(config(2)), Ok(Pushed::Queued));
        assert_eq!(queue.push(vring(4)), Ok(Pushed::Queued));
        assert_eq!(queue.push(vring(2)), Ok(Pushed::Merged));
        assert_eq!(queue.len(), 3);
        // Once taken, it can become pending again.
        queue.pop_enabled(OPEN, CR0);
        assert_eq!(queue.push(vring(2)), Ok(Pushed::Queued));
    }

    #[test]
    fn token_zero_is_never_pending() {
        let mut queue = PendingQueue::new();
        let raw = |params, params2| ExternalInterrupt {
            params,
            params2,
            ..vring(0)
        };
        for interrupt in [vring(0), config(0), raw(0, 1), raw(1, 1), raw(7, 0)] {
            assert_eq!(queue.push(interrupt), Ok(Pushed::Dropped));
        }
        assert!(queue.is_empty());
        assert!(!queue.is_enabled_pending(u64::MAX, u64::MAX));
    }

    #[test]
    fn masks_hold_interruptions_back() {
        let mut queue = PendingQueue::new();
        queue.push(vring(2)).unwrap();
        queue
            .push(ExternalInterrupt::service(0x1000, false))
            .unwrap();
        for (mask, cr0) in [(0, CR0), (OPEN, 0), (!OPEN, u64::MAX), (OPEN, !CR0)] {
            assert!(!queue.is_enabled_pending(mask, cr0));
            assert_eq!(queue.pop_enabled(mask, cr0), None);
        }
        assert!(queue.is_enabled_pending(OPEN, CR0));
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn one_that_is_masked_does_not_block_the_next() {
        let mut queue = PendingQueue::new();
        let alert = ExternalInterrupt {
            code: ExternalInterrupt::TIMING_ALERT,
            ..vring(2)
        };
        queue.push(alert).unwrap();
        queue.push(vring(2)).unwrap();
        assert_eq!(queue.pop_enabled(OPEN, CR0), Some(vring(2)));
        assert_eq!(queue.pop_enabled(OPEN, 0x10), Some(alert));
    }

    #[test]
    fn the_service_signal_goes_first() {
        let mut queue = PendingQueue::new();
        queue.push(vring(2)).unwrap();
        let service = ExternalInterrupt::service(0x1000, false);
        queue.push(service).unwrap();
        assert_eq!(queue.pop_enabled(OPEN, CR0), Some(service));
        assert_eq!(queue.pop_enabled(OPEN, CR0), Some(vring(2)));
    }

    #[test]
    fn service_signals_merge() {
        let mut queue = PendingQueue::new();
        let event = ExternalInterrupt::service(0, true);
        assert_eq!(queue.push(event), Ok(Pushed::Queued));
        assert!(!queue.service_pending());
        let done = ExternalInterrupt::service(0x1000, false);
        assert_eq!(queue.push(done), Ok(Pushed::Merged));
        assert!(queue.service_pending());
        // A second control block cannot be told: the first stays.
        queue
            .push(ExternalInterrupt::service(0x2ff8, true))
            .unwrap();
        let both = ExternalInterrupt::service(0x1000, true);
        assert_eq!(queue.pop_enabled(OPEN, CR0), Some(both));
        assert!(queue.is_empty() && !queue.service_pending());
    }

    #[test]
    fn a_guest_cannot_make_it_grow() {
        let mut queue = PendingQueue::with_capacity(3);
        for token in [2, 4, 6] {
            queue.push(vring(token)).unwrap();
        }
        assert_eq!(queue.push(vring(8)), Err(Error::Full));
        assert_eq!(queue.push(vring(2)), Ok(Pushed::Merged));
        assert_eq!(
            queue.push(ExternalInterrupt::service(8, false)),
            Ok(Pushed::Queued)
        );
        assert_eq!(queue.len(), 4);
    }

    #[test]
    fn reset_drops_everything() {
        let mut queue = PendingQueue::new();
        queue.push(vring(2)).unwrap();
        queue.push(ExternalInterrupt::service(8, true)).unwrap();
        queue.clear();
        assert!(queue.is_empty());
        assert_eq!(queue.pop_enabled(OPEN, CR0), None);
    }

    #[test]
    fn interruptions_of_a_reset_device_can_be_taken_back() {
        let mut queue = PendingQueue::new();
        for token in [2, 4, 6] {
            queue.push(vring(token)).unwrap();
        }
        queue.remove(|i| i.params2 == 4);
        assert_eq!(queue.state().interrupts, [vring(2), vring(6)]);
    }

    #[test]
    fn state_survives_and_is_checked() {
        let mut queue = PendingQueue::new();
        queue.push(vring(2)).unwrap();
        queue.push(config(4)).unwrap();
        queue.push(ExternalInterrupt::service(8, true)).unwrap();
        let state = queue.state();
        let restored = PendingQueue::from_state(&state, 2).unwrap();
        assert_eq!(restored.state(), state);

        let twisted = PendingState {
            service: None,
            interrupts: vec![vring(2), vring(0), vring(2)],
        };
        let queue = PendingQueue::from_state(&twisted, 1).unwrap();
        assert_eq!(queue.state().interrupts, [vring(2)]);

        let capacity = PendingQueue::DEFAULT_CAPACITY + 1;
        let mut large = PendingQueue::with_capacity(capacity);
        for n in 1..=capacity as u64 {
            large.push(vring(n * 2)).unwrap();
        }
        let state = large.state();
        let mut restored = PendingQueue::from_state(&state, capacity).unwrap();
        assert_eq!(restored.state(), state);
        assert_eq!(restored.push(vring(1 << 32)), Err(Error::Full));
        let too_small = PendingQueue::from_state(&state, capacity - 1);
        assert_eq!(too_small.unwrap_err(), Error::Full);
    }
}
