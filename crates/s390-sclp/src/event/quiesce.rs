// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Signal quiesce: the power button of the machine.

use super::buffer::EventBuffer;
use super::{EventMask, EventType, Sources};
use crate::Response;

const TYPE: u8 = 0x1d;
/// Timeout u16 and its unit u8: none, the guest takes the time it needs.
const NO_TIMEOUT: [u8; 3] = [0; 3];

pub(super) struct Quiesce;

impl EventType for Quiesce {
    fn receives(&self) -> EventMask {
        EventMask::NONE
    }

    fn sends(&self) -> EventMask {
        EventMask::SIGNAL_QUIESCE
    }

    fn write(&self, _: &[u8], _: &mut Sources) -> Result<(), Response> {
        Err(Response::InvalidFunction)
    }

    fn is_pending(&self, listening: EventMask, sources: &Sources) -> bool {
        sources.quiesce && listening.intersects(EventMask::SIGNAL_QUIESCE)
    }

    fn read(&self, _: EventMask, room: usize, sources: &mut Sources) -> Option<EventBuffer> {
        if room < NO_TIMEOUT.len() {
            return None;
        }
        sources.quiesce = false;
        Some(EventBuffer {
            event_type: TYPE,
            data: NO_TIMEOUT.to_vec(),
        })
    }
}
