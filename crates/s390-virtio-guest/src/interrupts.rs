// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From the token in an external interruption back to the queue that it is about.
//!
//! A token is an opaque name from a table, never an address: whatever a host sends, the handler
//! finds a queue of this guest or nothing. A name is not used twice in a row for the same place
//! of the table, so that a late interruption of a queue that is gone finds nothing either.

use core::sync::atomic::{AtomicU32, AtomicU8, Ordering};

use s390_extint::{ExternalInterrupt, VirtioEvent};

/// The name of a queue, as it is written into the page. Never 0, lowest bit clear.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Token(u64);

impl Token {
    /// The number that goes into the page and comes back in interruptions.
    pub const fn get(self) -> u64 {
        self.0
    }

    const fn new(index: usize, life: u32) -> Self {
        Token((life as u64) << 32 | (index as u64 + 1) << 1)
    }

    const fn index(self) -> usize {
        (self.0 as u32 >> 1) as usize - 1
    }

    const fn life(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What an external interruption was about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Buffers of this queue were used.
    Queue(Token),
    /// The configuration of the device that owns this queue changed.
    Config(Token),
    /// A device was added at this guest-physical address; to be looked up in the page.
    DeviceAdded(u64),
    /// A token that names no queue.
    Unknown(u64),
}

const QUEUE: u8 = 1;
const CONFIG: u8 = 2;

#[derive(Debug)]
struct Slot {
    /// Counts the lives of this place; odd while a queue has it.
    life: AtomicU32,
    /// What has happened and was not yet taken.
    pending: AtomicU8,
}

/// Tokens of up to `N` queues, and what interruptions said about them. Made for a `static`:
/// the interruption handler [notes](Self::handle) and the driver [takes](Self::take_queue).
#[derive(Debug)]
pub struct InterruptTable<const N: usize> {
    slots: [Slot; N],
}

impl<const N: usize> InterruptTable<N> {
    /// An empty table.
    pub const fn new() -> Self {
        InterruptTable {
            slots: [const {
                Slot {
                    life: AtomicU32::new(0),
                    pending: AtomicU8::new(0),
                }
            }; N],
        }
    }

    /// A name for another queue, or `None` if all are taken.
    pub fn register(&self) -> Option<Token> {
        self.slots.iter().enumerate().find_map(|(index, slot)| {
            let old = slot.life.load(Ordering::Relaxed);
            let life = old.wrapping_add(1);
            if old % 2 == 1
                || slot
                    .life
                    .compare_exchange(old, life, Ordering::AcqRel, Ordering::Relaxed)
                    .is_err()
            {
                return None;
            }
            slot.pending.store(0, Ordering::Release);
            Some(Token::new(index, life))
        })
    }

    /// Gives a name back. Interruptions that still carry it find nothing.
    pub fn release(&self, token: Token) {
        let life = token.life();
        if let Some(slot) = self.slots.get(token.index()) {
            // Failure: it was given back before, or comes from another table.
            let _ = slot.life.compare_exchange(
                life,
                life.wrapping_add(1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        }
    }

    /// Notes what an external interruption says, and returns it. `None`: it is no virtio
    /// interruption.
    pub fn handle(&self, interrupt: &ExternalInterrupt) -> Option<Event> {
        Some(match interrupt.virtio_event()? {
            VirtioEvent::Vring { token } => self.note(token, QUEUE, Event::Queue),
            VirtioEvent::ConfigChanged { token } => self.note(token, CONFIG, Event::Config),
            VirtioEvent::DeviceAdded { desc } => Event::DeviceAdded(desc),
        })
    }

    /// Whether there was an interruption of this queue since the last call.
    pub fn take_queue(&self, token: Token) -> bool {
        self.take(token, QUEUE)
    }

    /// Whether there was a config-changed interruption with this token since the last call.
    pub fn take_config(&self, token: Token) -> bool {
        self.take(token, CONFIG)
    }

    fn note(&self, raw: u64, what: u8, event: fn(Token) -> Event) -> Event {
        match self.find(raw) {
            Some((token, slot)) => {
                slot.pending.fetch_or(what, Ordering::AcqRel);
                event(token)
            }
            None => Event::Unknown(raw),
        }
    }

    fn take(&self, token: Token, what: u8) -> bool {
        self.find(token.get())
            .is_some_and(|(_, slot)| slot.pending.fetch_and(!what, Ordering::AcqRel) & what != 0)
    }

    fn find(&self, raw: u64) -> Option<(Token, &Slot)> {
        let index = (raw as u32 >> 1).checked_sub(1)? as usize;
        let slot = self.slots.get(index)?;
        let token = Token::new(index, slot.life.load(Ordering::Acquire));
        (token.life() % 2 == 1 && token.get() == raw).then_some((token, slot))
    }
}

impl<const N: usize> Default for InterruptTable<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn vring(token: u64) -> ExternalInterrupt {
        ExternalInterrupt::virtio(VirtioEvent::Vring { token })
    }

    fn config(token: u64) -> ExternalInterrupt {
        ExternalInterrupt::virtio(VirtioEvent::ConfigChanged { token })
    }

    #[test]
    fn a_token_finds_its_queue() {
        let table = InterruptTable::<2>::new();
        let (a, b) = (table.register().unwrap(), table.register().unwrap());
        assert_ne!(a, b);
        assert_eq!(table.register(), None);
        assert_eq!(table.handle(&vring(b.get())), Some(Event::Queue(b)));
        assert!(!table.take_queue(a));
        assert!(table.take_queue(b));
        assert!(!table.take_queue(b));
    }

    #[test]
    fn tokens_are_never_zero_and_leave_the_lowest_bit_alone() {
        let table = InterruptTable::<64>::new();
        while let Some(token) = table.register() {
            assert_ne!(token.get(), 0);
            assert_eq!(token.get() % 2, 0);
            let raw = ExternalInterrupt {
                params2: token.get() | 1,
                ..vring(0)
            };
            assert_eq!(table.handle(&raw), Some(Event::Queue(token)));
        }
    }

    #[test]
    fn config_and_queue_are_told_apart() {
        let table = InterruptTable::<1>::new();
        let token = table.register().unwrap();
        let event = table.handle(&config(token.get()));
        assert_eq!(event, Some(Event::Config(token)));
        assert!(!table.take_queue(token));
        table.handle(&vring(token.get()));
        assert!(table.take_config(token));
        assert!(table.take_queue(token));
    }

    #[test]
    fn a_token_that_was_given_back_means_nothing() {
        let table = InterruptTable::<1>::new();
        let old = table.register().unwrap();
        table.handle(&vring(old.get()));
        table.release(old);
        table.release(old);
        let unknown = Some(Event::Unknown(old.get()));
        assert_eq!(table.handle(&vring(old.get())), unknown);
        let new = table.register().unwrap();
        assert_ne!(old, new);
        assert_eq!(table.handle(&vring(old.get())), unknown);
        assert!(!table.take_queue(new));
        table.release(old);
        table.handle(&vring(new.get()));
        assert!(table.take_queue(new));
    }

    #[test]
    fn other_interruptions_are_not_ours() {
        let table = InterruptTable::<1>::new();
        let service = ExternalInterrupt::service(0x1000, false);
        assert_eq!(table.handle(&service), None);
        let added = ExternalInterrupt::virtio(VirtioEvent::DeviceAdded { desc: 0x10_0061 });
        assert_eq!(table.handle(&added), Some(Event::DeviceAdded(0x10_0061)));
    }

    proptest! {
        #[test]
        fn nothing_but_a_live_token_finds_a_queue(
            token in prop_oneof![any::<u64>(), 0u64..64, (1u64 << 32)..(1 << 32) + 64],
        ) {
            let table = InterruptTable::<8>::new();
            let live: Vec<_> = (0..5).map(|_| table.register().unwrap()).collect();
            table.release(live[2]);
            let event = table.handle(&vring(token)).unwrap();
            let masked = token & !1;
            let expected = live.iter().find(|t| t.get() == masked && **t != live[2]);
            match expected {
                Some(&t) => prop_assert_eq!(event, Event::Queue(t)),
                None => prop_assert_eq!(event, Event::Unknown(masked)),
            }
        }
    }
}
