// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The VT220 terminal: raw text out, and in behind a byte that says what it is.

use super::buffer::EventBuffer;
use super::{input_console, EventMask, EventType, Sources};
use crate::console::Console;
use crate::Response;

const TYPE: u8 = 0x1a;
/// First data byte of an input event: session data follows.
const SESSION_DATA: u8 = 0x00;

pub(super) struct Vt220;

impl EventType for Vt220 {
    fn receives(&self) -> EventMask {
        EventMask::VT220
    }

    fn sends(&self) -> EventMask {
        EventMask::VT220
    }

    fn write(&self, data: &[u8], sources: &mut Sources) -> Result<(), Response> {
        sources.terminal.write(Console::Vt220, data);
        Ok(())
    }

    fn is_pending(&self, listening: EventMask, sources: &Sources) -> bool {
        input_console(listening, &sources.terminal) == Some(Console::Vt220)
            && !sources.terminal.input.is_empty()
    }

    fn read(&self, _: EventMask, room: usize, sources: &mut Sources) -> Option<EventBuffer> {
        let input = &mut sources.terminal.input;
        let count = room.saturating_sub(1).min(input.len());
        if count == 0 {
            return None;
        }
        let mut data = vec![SESSION_DATA];
        data.extend(input.drain(..count));
        Some(EventBuffer {
            event_type: TYPE,
            data,
        })
    }
}
