// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The event facility: masks, and event buffers in both directions.
//!
//! An event type is one implementation of [`EventType`] in a file of its own. They hold no state:
//! what they share (the terminal, the wish to shut down) is in [`Sources`].

mod buffer;
mod line_mode;
mod quiesce;
mod vt220;

use std::fmt;
use std::ops::{BitAnd, BitOr};

use crate::console::{Console, Terminal};
use crate::sccb::{Sccb, HEADER};
use crate::{Consoles, Response};
use buffer::EventBuffer;

/// A set of event types: type `t` is bit `1 << (32 - t)`.
#[derive(Copy, Clone, Default, PartialEq, Eq)]
pub struct EventMask(pub u32);

impl EventMask {
    /// No event type.
    pub const NONE: Self = EventMask(0);
    /// Operator command, type 0x01.
    pub const OPERATOR_COMMAND: Self = Self::of(0x01);
    /// Message, type 0x02.
    pub const MESSAGE: Self = Self::of(0x02);
    /// Priority message or command, type 0x09.
    pub const PRIORITY_MESSAGE: Self = Self::of(0x09);
    /// VT220 terminal, type 0x1a.
    pub const VT220: Self = Self::of(0x1a);
    /// Signal quiesce, type 0x1d.
    pub const SIGNAL_QUIESCE: Self = Self::of(0x1d);

    /// The set of this one type; empty for a number that is no type (1 to 32).
    pub const fn of(event_type: u8) -> Self {
        match event_type {
            1..=32 => EventMask(1 << (32 - event_type)),
            _ => EventMask(0),
        }
    }

    /// Whether the two sets have a type in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every type of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for EventMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        EventMask(self.0 | other.0)
    }
}

impl BitAnd for EventMask {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        EventMask(self.0 & other.0)
    }
}

impl fmt::Debug for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventMask({:#010x})", self.0)
    }
}

/// What the event types work on.
#[derive(Debug)]
pub(crate) struct Sources {
    pub terminal: Terminal,
    /// The guest is to be asked to shut down.
    pub quiesce: bool,
}

/// One kind of events.
trait EventType: Sync {
    /// Types that the guest may write.
    fn receives(&self) -> EventMask;

    /// Types that the guest may read.
    fn sends(&self) -> EventMask;

    /// Takes the data of an event that the guest wrote.
    fn write(&self, data: &[u8], sources: &mut Sources) -> Result<(), Response>;

    /// Whether an event waits for a guest that listens to the types `listening`.
    fn is_pending(&self, listening: EventMask, sources: &Sources) -> bool;

    /// Takes one pending event of a type in `listening` whose data is not longer than `room`, or
    /// none if there is too little room for it.
    fn read(&self, listening: EventMask, room: usize, sources: &mut Sources)
        -> Option<EventBuffer>;
}

/// The event masks of one machine, and the rules for them.
#[derive(Debug)]
pub(crate) struct EventFacility {
    consoles: Consoles,
    pub sources: Sources,
    /// Types that the guest reads.
    pub receive_mask: EventMask,
    /// Types that the guest writes.
    pub send_mask: EventMask,
}

/// Length of an event mask in bytes.
const MASK: usize = 4;
/// Write event mask: a reserved halfword, the mask length, and four masks.
const WRITE_MASK: usize = HEADER + 4 + 4 * MASK;

impl EventFacility {
    pub fn new(consoles: Consoles, terminal: Terminal) -> Self {
        EventFacility {
            consoles,
            sources: Sources {
                terminal,
                quiesce: false,
            },
            receive_mask: EventMask::NONE,
            send_mask: EventMask::NONE,
        }
    }

    pub fn reset(&mut self) {
        self.sources.terminal.reset();
        self.sources.quiesce = false;
        self.receive_mask = EventMask::NONE;
        self.send_mask = EventMask::NONE;
    }

    fn types(&self) -> impl Iterator<Item = &'static dyn EventType> {
        let consoles = self.consoles;
        let vt220 = matches!(consoles, Consoles::Vt220 | Consoles::Both);
        let line_mode = matches!(consoles, Consoles::LineMode | Consoles::Both);
        let all: [(bool, &'static dyn EventType); 3] = [
            (true, &quiesce::Quiesce),
            (vt220, &vt220::Vt220),
            (line_mode, &line_mode::LineMode),
        ];
        all.into_iter().filter_map(|(on, t)| on.then_some(t))
    }

    /// Whether the guest has an event to read.
    pub fn is_pending(&self) -> bool {
        self.types()
            .any(|t| t.is_pending(self.receive_mask, &self.sources))
    }

    /// Whether the guest reads what is typed.
    pub fn reads_input(&self) -> bool {
        let offered = self
            .types()
            .fold(EventMask::NONE, |mask, t| mask | t.sends());
        input_console(self.receive_mask & offered, &self.sources.terminal).is_some()
    }

    /// Write event mask: takes the guest's masks and answers with ours.
    pub fn write_mask(&mut self, sccb: &mut Sccb) -> Response {
        if sccb.len() < HEADER + 4 {
            return Response::InsufficientLength;
        }
        if usize::from(sccb.u16(10)) != MASK {
            return Response::InvalidMaskLength;
        }
        if sccb.len() < WRITE_MASK {
            return Response::InsufficientLength;
        }
        self.receive_mask = EventMask(sccb.u32(12));
        self.send_mask = EventMask(sccb.u32(16));
        let none = EventMask::NONE;
        let receives = self.types().fold(none, |mask, t| mask | t.receives());
        let sends = self.types().fold(none, |mask, t| mask | t.sends());
        sccb.put_u32(20, receives.0);
        sccb.put_u32(24, sends.0);
        Response::Complete
    }

    /// Write event data: every buffer must be well-formed before the first one is taken.
    pub fn write_data(&mut self, sccb: &mut Sccb) -> Response {
        let buffers = match buffer::split(sccb.bytes()) {
            Ok(buffers) => buffers,
            Err(response) => return response,
        };
        for event in buffers {
            let of_type = EventMask::of(event.event_type(sccb.bytes()));
            let Some(t) = self.types().find(|t| t.receives().intersects(of_type)) else {
                return Response::InvalidFunction;
            };
            if let Err(response) = t.write(event.data(sccb.bytes()), &mut self.sources) {
                return response;
            }
            event.accept(sccb);
        }
        Response::Complete
    }

    /// Read event data: as many pending events as the SCCB has room for.
    pub fn read_data(&mut self, sccb: &mut Sccb) -> Response {
        /// Function codes: everything that the guest receives, or a selection at offset 8.
        const UNCONDITIONAL: u8 = 0;
        const SELECTIVE: u8 = 1;
        let selected = match sccb.function() {
            UNCONDITIONAL => self.receive_mask,
            SELECTIVE if sccb.len() < HEADER + MASK => return Response::InsufficientLength,
            SELECTIVE => {
                let selected = EventMask(sccb.u32(HEADER));
                if self.receive_mask == EventMask::NONE || !self.receive_mask.contains(selected) {
                    return Response::InvalidSelectionMask;
                }
                selected
            }
            _ => return Response::InvalidFunction,
        };
        let mut end = HEADER;
        let mut too_long = false;
        for t in self.types() {
            // Which console gets the input depends on what the guest receives, not on what this
            // call selects.
            if !t.sends().intersects(selected) || !t.is_pending(self.receive_mask, &self.sources) {
                continue;
            }
            let room = (sccb.len() - end).checked_sub(buffer::HEADER);
            let event = room.and_then(|room| t.read(selected, room, &mut self.sources));
            match event {
                Some(event) => end = event.store(sccb, end),
                None => too_long = true,
            }
        }
        if end > HEADER {
            sccb.shorten(end);
            Response::Complete
        } else if too_long {
            Response::InsufficientLength
        } else {
            Response::NoEvents
        }
    }
}

/// The console that the waiting input is for, given what the guest receives.
fn input_console(listening: EventMask, terminal: &Terminal) -> Option<Console> {
    let vt220 = listening.intersects(EventMask::VT220);
    let line_mode = listening.intersects(line_mode::INPUT);
    match (vt220, line_mode) {
        (true, true) => Some(terminal.last_writer),
        (true, false) => Some(Console::Vt220),
        (false, true) => Some(Console::LineMode),
        (false, false) => None,
    }
}
