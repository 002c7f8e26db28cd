// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The line-mode console: messages out, operator commands in, both EBCDIC.
//!
//! A message is a message data block (MDB) of length-prefixed objects, of which the message text
//! objects (MTO) hold a line each. A command is nested in general data streams (GDS).

use super::buffer::EventBuffer;
use super::{input_console, EventMask, EventType, Sources};
use crate::console::{Console, Terminal};
use crate::{ebcdic, Response};

/// Types that carry input.
pub(super) const INPUT: EventMask =
    EventMask(EventMask::OPERATOR_COMMAND.0 | EventMask::PRIORITY_MESSAGE.0);

const OPERATOR_COMMAND: u8 = 0x01;
const PRIORITY_MESSAGE: u8 = 0x09;

/// Header of a message data block: length, type 1, "MDB " in EBCDIC, revision 1.
const MDB_HEADER: usize = 12;
const MDB_TYPE: u16 = 1;
const MDB_TAG: [u8; 4] = [0xd4, 0xc4, 0xc2, 0x40];
/// Header of an object: length, type.
const OBJECT_HEADER: usize = 4;
/// Message text object: line flags u16, alarm u8 and three reserved bytes come before the text.
const MTO_TYPE: u16 = 4;
const MTO_TEXT: usize = 10;

/// GDS vectors (length u16, id u16), from the outside in.
const MDS_MESSAGE_UNIT: u16 = 0x1310;
const CP_MESSAGE_UNIT: u16 = 0x1212;
const TEXT_COMMAND: u16 = 0x1320;
/// GDS subvectors (length u8, key u8), from the outside in.
const SELF_DEFINING_TEXT: u8 = 0x31;
const TEXT: u8 = 0x30;
/// Three vector headers and two subvector headers.
const COMMAND_OVERHEAD: usize = 3 * 4 + 2 * 2;
/// What fits in a subvector inside a subvector.
const MAX_LINE: usize = 255 - 2 * 2;

pub(super) struct LineMode;

impl EventType for LineMode {
    fn receives(&self) -> EventMask {
        EventMask::MESSAGE | EventMask::PRIORITY_MESSAGE
    }

    fn sends(&self) -> EventMask {
        INPUT
    }

    fn write(&self, data: &[u8], sources: &mut Sources) -> Result<(), Response> {
        let text = message_text(data).ok_or(Response::EventSyntax)?;
        sources.terminal.write(Console::LineMode, &text);
        Ok(())
    }

    fn is_pending(&self, listening: EventMask, sources: &Sources) -> bool {
        input_console(listening, &sources.terminal) == Some(Console::LineMode)
            && line_length(&sources.terminal).is_some()
    }

    fn read(
        &self,
        listening: EventMask,
        room: usize,
        sources: &mut Sources,
    ) -> Option<EventBuffer> {
        let terminal = &mut sources.terminal;
        let length = line_length(terminal)?;
        let raw: Vec<u8> = terminal.input.iter().take(length).copied().collect();
        let line = edited(&raw);
        if COMMAND_OVERHEAD + line.len() > room {
            return None;
        }
        terminal.input.drain(..length);
        let commands = listening.intersects(EventMask::OPERATOR_COMMAND);
        Some(EventBuffer {
            event_type: if commands {
                OPERATOR_COMMAND
            } else {
                PRIORITY_MESSAGE
            },
            data: command(&line),
        })
    }
}

/// The lines of a message data block as terminal output.
fn message_text(data: &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(be16(data, 0)?);
    let block = data.get(..length)?;
    if be16(block, 2)? != MDB_TYPE || block.get(4..8)? != MDB_TAG {
        return None;
    }
    let mut objects = block.get(MDB_HEADER..)?;
    let mut text = Vec::new();
    while !objects.is_empty() {
        let length = usize::from(be16(objects, 0)?);
        if length < OBJECT_HEADER || length > objects.len() {
            return None;
        }
        let (object, rest) = objects.split_at(length);
        if be16(object, 2)? == MTO_TYPE {
            text.extend(ebcdic::to_latin1(object.get(MTO_TEXT..)?));
            text.extend(b"\r\n");
        }
        objects = rest;
    }
    Some(text)
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Bytes of input that make the next line, its end included: up to a newline or carriage return,
/// or as much as one command carries.
fn line_length(terminal: &Terminal) -> Option<usize> {
    let input = &terminal.input;
    let end = input.iter().take(MAX_LINE + 1).position(|&c| is_newline(c));
    match end {
        Some(at) => Some(at + 1),
        None => (input.len() >= MAX_LINE).then_some(MAX_LINE),
    }
}

const fn is_newline(c: u8) -> bool {
    matches!(c, b'\n' | b'\r')
}

/// The line without its end, with backspaces carried out: nobody else edits it.
fn edited(raw: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    for &c in raw.iter().filter(|&&c| !is_newline(c)) {
        match c {
            0x08 | 0x7f => drop(line.pop()),
            _ => line.push(c),
        }
    }
    line
}

/// The data of an operator command event.
fn command(line: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(COMMAND_OVERHEAD + line.len());
    let mut length = COMMAND_OVERHEAD + line.len();
    for id in [MDS_MESSAGE_UNIT, CP_MESSAGE_UNIT, TEXT_COMMAND] {
        data.extend((length as u16).to_be_bytes());
        data.extend(id.to_be_bytes());
        length -= 4;
    }
    for key in [SELF_DEFINING_TEXT, TEXT] {
        data.extend([length as u8, key]);
        length -= 2;
    }
    data.extend(ebcdic::from_latin1(line));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with a general object and one text object for each line.
    fn message(lines: &[&str]) -> Vec<u8> {
        let mut objects = vec![0x00, 0x38, 0x00, 0x01];
        objects.extend([0; 0x34]);
        for line in lines {
            objects.extend(((MTO_TEXT + line.len()) as u16).to_be_bytes());
            objects.extend([0x00, 0x04, 0x30, 0x00, 0, 0, 0, 0]);
            objects.extend(ebcdic::from_latin1(line.as_bytes()));
        }
        let mut mdb = ((MDB_HEADER + objects.len()) as u16).to_be_bytes().to_vec();
        mdb.extend([0, 1, 0xd4, 0xc4, 0xc2, 0x40, 0, 0, 0, 1]);
        mdb.extend(objects);
        mdb
    }

    #[test]
    fn every_text_object_is_a_line() {
        let text = message_text(&message(&["Linux version 6.1", "", "[0.0]"])).unwrap();
        assert_eq!(text, b"Linux version 6.1\r\n\r\n[0.0]\r\n");
        assert_eq!(message_text(&message(&[])).unwrap(), b"");
    }

    #[test]
    fn a_malformed_message_is_refused() {
        let good = message(&["line"]);
        for at in [0, 2, 3, 4, 7] {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            assert_eq!(message_text(&bad), None, "byte {at}");
        }
        for length in 0..good.len() {
            assert_eq!(message_text(&good[..length]), None, "length {length}");
        }
        // Objects: too short for a header, longer than the block, text object without its fields.
        for (at, length) in [
            (MDB_HEADER, 3_u16),
            (MDB_HEADER, 200),
            (MDB_HEADER + 0x38, 9),
        ] {
            let mut bad = good.clone();
            bad[at..at + 2].copy_from_slice(&length.to_be_bytes());
            assert_eq!(message_text(&bad), None, "object at {at}");
        }
    }

    #[test]
    fn a_command_is_nested_five_deep() {
        assert_eq!(
            command(b"ls"),
            [
                0x00, 0x12, 0x13, 0x10, 0x00, 0x0e, 0x12, 0x12, 0x00, 0x0a, 0x13, 0x20, 0x06, 0x31,
                0x04, 0x30, 0x93, 0xa2
            ]
        );
        let longest = command(&[b'a'; MAX_LINE]);
        assert_eq!(longest[12..16], [255, 0x31, 253, 0x30]);
        assert_eq!(longest.len(), COMMAND_OVERHEAD + MAX_LINE);
    }

    #[test]
    fn backspace_edits_the_line() {
        assert_eq!(edited(b"lz\x08s\r"), b"ls");
        assert_eq!(edited(b"\x7f\x7fa\n"), b"a");
    }
}
