// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration spaces of the legacy devices, field by field.

use core::fmt;

use super::{BALLOON, BLOCK, CONSOLE, NET, P9};

/// Numbers that are told together, at most.
const MAX_NUMBERS: usize = 6;

type Print = fn(&mut fmt::Formatter<'_>, [u64; MAX_NUMBERS]) -> fmt::Result;

/// What a configuration space says (virtio 1.2, "Device configuration layout" in section 5), in the
/// order of its bytes.
///
/// A field is there if the feature that it belongs to is offered. Numbers are big-endian, a
/// balloon's little-endian. Bytes without a known meaning come out in hexadecimal, unless all of
/// them are 0.
pub fn config(device_type: u8, offered: u32, bytes: &[u8]) -> ConfigFields<'_> {
    ConfigFields {
        fields: match device_type {
            NET => NET_FIELDS,
            BLOCK => BLOCK_FIELDS,
            CONSOLE => CONSOLE_FIELDS,
            BALLOON => BALLOON_FIELDS,
            P9 => P9_FIELDS,
            _ => &[],
        },
        offered,
        bytes,
        at: 0,
    }
}

/// Iterator over what a configuration space says, see [`config`].
#[derive(Clone, Debug)]
pub struct ConfigFields<'a> {
    /// What was not looked at yet.
    fields: &'static [Field],
    offered: u32,
    bytes: &'a [u8],
    /// Up to here everything is told.
    at: usize,
}

/// A part of a configuration space; displays itself in words.
#[derive(Clone, Debug)]
pub struct ConfigField<'a>(Words<'a>);

#[derive(Clone, Debug)]
enum Words<'a> {
    Numbers(Print, [u64; MAX_NUMBERS]),
    Tag(&'a [u8]),
    Unknown { at: usize, bytes: &'a [u8] },
}

#[derive(Debug)]
struct Field {
    /// The feature that it belongs to, if it is not always there.
    feature: Option<u32>,
    at: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Numbers of these sizes, one behind the other.
    BigEndian(&'static [usize], Print),
    LittleEndian(&'static [usize], Print),
    /// A length of 16 bits, and so many bytes of text.
    Tag,
}

/// A field that is always there.
const fn always(at: usize, sizes: &'static [usize], print: Print) -> Field {
    Field {
        feature: None,
        at,
        kind: Kind::BigEndian(sizes, print),
    }
}

/// A field that is there if `feature` is offered.
const fn with(feature: u32, at: usize, sizes: &'static [usize], print: Print) -> Field {
    Field {
        feature: Some(feature),
        at,
        kind: Kind::BigEndian(sizes, print),
    }
}

const NET_FIELDS: &[Field] = &[
    with(5, 0, &[1; 6], |f, [a, b, c, d, e, g]| {
        write!(
            f,
            "MAC address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"
        )
    }),
    with(16, 6, &[2], |f, [status, ..]| {
        f.write_str(match status & 1 {
            0 => "link down",
            _ => "link up",
        })
    }),
    with(22, 8, &[2], |f, [n, ..]| write!(f, "pairs of queues {n}")),
    with(3, 10, &[2], |f, [n, ..]| write!(f, "MTU {n}")),
];

const BLOCK_FIELDS: &[Field] = &[
    always(0, &[8], |f, [n, ..]| {
        write!(f, "capacity {n} sectors, {} bytes", u128::from(n) * 512)
    }),
    with(1, 8, &[4], |f, [n, ..]| {
        write!(f, "segments of at most {n} bytes")
    }),
    with(2, 12, &[4], |f, [n, ..]| {
        write!(f, "segments in a request at most {n}")
    }),
    with(4, 16, &[2, 1, 1], |f, [cylinders, heads, sectors, ..]| {
        write!(
            f,
            "geometry {cylinders} cylinders, {heads} heads, {sectors} sectors"
        )
    }),
    with(6, 20, &[4], |f, [n, ..]| write!(f, "block size {n} bytes")),
    with(
        10,
        24,
        &[1, 1, 2, 4],
        |f, [exponent, offset, min, opt, ..]| {
            write!(
                f,
                "topology in blocks: physical block 2^{exponent}, aligned at {offset}, \
             smallest I/O {min}, best I/O {opt}"
            )
        },
    ),
    with(11, 32, &[1], |f, [mode, ..]| {
        f.write_str(match mode {
            0 => "cache write-through",
            _ => "cache write-back",
        })
    }),
    with(12, 34, &[2], |f, [n, ..]| write!(f, "queues {n}")),
    with(13, 36, &[4; 3], |f, [sectors, segments, alignment, ..]| {
        write!(
            f,
            "discard at most {sectors} sectors a segment, {segments} segments, aligned to {alignment} sectors"
        )
    }),
    with(14, 48, &[4, 4, 1], |f, [sectors, segments, unmap, ..]| {
        let unmap = match unmap {
            0 => "never unmaps",
            _ => "may unmap",
        };
        write!(
            f,
            "write zeroes at most {sectors} sectors a segment, {segments} segments, {unmap}"
        )
    }),
];

const CONSOLE_FIELDS: &[Field] = &[
    with(0, 0, &[2, 2], |f, [columns, rows, ..]| {
        write!(f, "size {columns} columns, {rows} rows")
    }),
    with(1, 4, &[4], |f, [n, ..]| write!(f, "ports at most {n}")),
];

const BALLOON_FIELDS: &[Field] = &[Field {
    feature: None,
    at: 0,
    kind: Kind::LittleEndian(&[4, 4], |f, [wanted, actual, ..]| {
        write!(f, "pages of 4 KiB: {wanted} wanted, {actual} given")
    }),
}];

const P9_FIELDS: &[Field] = &[Field {
    feature: Some(0),
    at: 0,
    kind: Kind::Tag,
}];

impl Kind {
    /// The field at the start of `bytes` and its length, if there is as much.
    fn read<'a>(&self, bytes: &'a [u8]) -> Option<(Words<'a>, usize)> {
        let (sizes, print, big) = match *self {
            Kind::BigEndian(sizes, print) => (sizes, print, true),
            Kind::LittleEndian(sizes, print) => (sizes, print, false),
            Kind::Tag => {
                let len: usize = u16::from_be_bytes(*bytes.first_chunk()?).into();
                let tag = bytes.get(2..)?.get(..len)?;
                return Some((Words::Tag(tag), 2 + len));
            }
        };
        let (mut numbers, mut at) = ([0; MAX_NUMBERS], 0);
        for (number, &size) in numbers.iter_mut().zip(sizes) {
            let bytes = bytes.get(at..)?.get(..size)?.iter();
            let add = |n, &byte: &u8| n << 8 | u64::from(byte);
            *number = match big {
                true => bytes.fold(0, add),
                false => bytes.rev().fold(0, add),
            };
            at += size;
        }
        Some((Words::Numbers(print, numbers), at))
    }
}

impl<'a> Iterator for ConfigFields<'a> {
    type Item = ConfigField<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // The next field that is there. It stays until what is before it is told.
        let field = loop {
            let Some(field) = self.fields.first() else {
                break None;
            };
            let offered = field.feature.is_none_or(|bit| self.offered >> bit & 1 != 0);
            let bytes = self.bytes.get(field.at..).filter(|_| offered);
            if let Some((words, len)) = bytes.and_then(|bytes| field.kind.read(bytes)) {
                break Some((words, field.at, len));
            }
            self.fields = &self.fields[1..];
        };
        let start = self.at;
        self.at = field.as_ref().map_or(self.bytes.len(), |field| field.1);
        let unknown = &self.bytes[start..self.at];
        if unknown.iter().any(|&byte| byte != 0) {
            return Some(ConfigField(Words::Unknown {
                at: start,
                bytes: unknown,
            }));
        }
        let (words, at, len) = field?;
        self.fields = &self.fields[1..];
        self.at = at + len;
        Some(ConfigField(words))
    }
}

impl fmt::Display for ConfigField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Words::Numbers(print, numbers) => print(f, numbers),
            // Whoever can write to the page chooses the text.
            Words::Tag(tag) => write!(f, "tag \"{}\"", tag.escape_ascii()),
            Words::Unknown { at, bytes } => {
                write!(f, "configuration at {at:#x}:")?;
                bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    fn words(device_type: u8, offered: u32, bytes: &[u8]) -> Vec<String> {
        let fields = config(device_type, offered, bytes);
        fields.map(|field| field.to_string()).collect()
    }

    /// All of a disk's fields, with a number of its own in each.
    const DISK: [u8; 60] = [
        0, 0, 0, 0, 0, 0, 8, 0, 0, 16, 0, 0, 0, 0, 0, 126, 1, 2, 16, 63, 0, 0, 2, 0, 3, 1, 0, 8, 0,
        0, 0, 128, 1, 0, 0, 4, 0, 0, 32, 0, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 64, 0, 0, 0, 0, 7, 1, 0,
        0, 0,
    ];

    #[test]
    fn a_disk_tells_what_is_offered() {
        let all = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 0x1f << 10;
        assert_eq!(
            words(BLOCK, all, &DISK),
            [
                "capacity 2048 sectors, 1048576 bytes",
                "segments of at most 1048576 bytes",
                "segments in a request at most 126",
                "geometry 258 cylinders, 16 heads, 63 sectors",
                "block size 512 bytes",
                "topology in blocks: physical block 2^3, aligned at 1, smallest I/O 8, best I/O 128",
                "cache write-back",
                "queues 4",
                "discard at most 8192 sectors a segment, 5 segments, aligned to 6 sectors",
                "write zeroes at most 16384 sectors a segment, 7 segments, may unmap",
            ]
        );
        // The rest has no meaning, but somebody may want to see it.
        assert_eq!(
            words(BLOCK, 1 << 6 | 1 << 11, &DISK[..36]),
            [
                "capacity 2048 sectors, 1048576 bytes",
                "configuration at 0x8: 00 10 00 00 00 00 00 7e 01 02 10 3f",
                "block size 512 bytes",
                "configuration at 0x18: 03 01 00 08 00 00 00 80",
                "cache write-back",
                "configuration at 0x21: 00 00 04",
            ]
        );
    }

    #[test]
    fn an_interface_has_address_link_and_mtu() {
        let config = [0x52, 0x54, 0, 0x12, 0x34, 0x56, 0, 1, 0, 2, 0x23, 0x28];
        assert_eq!(
            words(NET, 1 << 3 | 1 << 5 | 1 << 16 | 1 << 22, &config),
            [
                "MAC address 52:54:00:12:34:56",
                "link up",
                "pairs of queues 2",
                "MTU 9000"
            ]
        );
        assert_eq!(
            words(NET, 1 << 5 | 1 << 16, &[2, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
            [
                "MAC address 02:00:00:00:00:01",
                "link down",
                "configuration at 0x8: 00 01"
            ]
        );
    }

    #[test]
    fn a_console_has_size_and_ports() {
        let config = [0, 80, 0, 25, 0, 0, 0, 4];
        assert_eq!(
            words(CONSOLE, 3, &config),
            ["size 80 columns, 25 rows", "ports at most 4"]
        );
        assert_eq!(words(CONSOLE, 0, &[0; 8]), [""; 0]);
    }

    #[test]
    fn a_balloon_is_little_endian() {
        assert_eq!(
            words(BALLOON, 0, &[0, 1, 0, 0, 2, 0, 0, 0]),
            ["pages of 4 KiB: 256 wanted, 2 given"]
        );
    }

    #[test]
    fn a_share_has_a_tag() {
        assert_eq!(words(P9, 1, b"\0\x04host"), ["tag \"host\""]);
        // No escape sequence reaches the terminal.
        assert_eq!(words(P9, 1, b"\0\x03\x1b[m"), ["tag \"\\x1b[m\""]);
        assert_eq!(
            words(P9, 1, b"\0\x05host"),
            ["configuration at 0x0: 00 05 68 6f 73 74"]
        );
    }

    #[test]
    fn what_is_unknown_stays_hexadecimal() {
        assert_eq!(words(4, 0, &[]), [""; 0]);
        assert_eq!(words(8, 0, &[1, 2]), ["configuration at 0x0: 01 02"]);
    }

    /// A field that is not there as a whole is none, wherever the space ends.
    #[test]
    fn any_length_will_do() {
        for device_type in 0..=9 {
            for len in 0..=255 {
                let bytes = &[0xff; 255][..len];
                assert_eq!(words(device_type, u32::MAX, bytes).is_empty(), len == 0);
            }
        }
    }
}
