// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Event buffers: length u16, type u8, flags u8, reserved u16, data.

use std::ops::Range;

use crate::sccb::{self, Sccb};
use crate::Response;

/// Length of an event buffer's header.
pub(crate) const HEADER: usize = 6;
/// Flag that the SCLP sets in a buffer that it took.
const ACCEPTED: u8 = 0x80;

/// Where an event buffer lies in the SCCB.
pub(crate) struct Place(Range<usize>);

/// Finds the event buffers of a SCCB; they follow each other behind the header, up to its end.
pub(crate) fn split(sccb: &[u8]) -> Result<Vec<Place>, Response> {
    let mut places = Vec::new();
    let mut at = sccb::HEADER;
    while at < sccb.len() {
        let length = sccb
            .get(at..at + 2)
            .map(|l| usize::from(u16::from_be_bytes([l[0], l[1]])))
            .ok_or(Response::InconsistentLengths)?;
        if length < HEADER {
            return Err(Response::EventSyntax);
        }
        if length > sccb.len() - at {
            return Err(Response::InconsistentLengths);
        }
        places.push(Place(at..at + length));
        at += length;
    }
    if places.is_empty() {
        return Err(Response::InconsistentLengths);
    }
    Ok(places)
}

impl Place {
    pub fn event_type(&self, sccb: &[u8]) -> u8 {
        sccb[self.0.start + 2]
    }

    pub fn data<'a>(&self, sccb: &'a [u8]) -> &'a [u8] {
        &sccb[self.0.start + HEADER..self.0.end]
    }

    pub fn accept(&self, sccb: &mut Sccb) {
        let flags = sccb.bytes()[self.0.start + 3];
        sccb.put_u8(self.0.start + 3, flags | ACCEPTED);
    }
}

/// An event on its way to the guest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EventBuffer {
    pub event_type: u8,
    pub data: Vec<u8>,
}

impl EventBuffer {
    /// Stores the event at `at` and returns its end. The caller has made sure of the room.
    pub fn store(&self, sccb: &mut Sccb, at: usize) -> usize {
        let length = HEADER + self.data.len();
        sccb.put_u16(at, length as u16);
        sccb.put_u8(at + 2, self.event_type);
        sccb.put_u8(at + 3, 0);
        sccb.put_u16(at + 4, 0);
        sccb.put(at + HEADER, &self.data);
        at + length
    }
}
