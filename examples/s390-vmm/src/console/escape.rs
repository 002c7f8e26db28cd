// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The way out of a console: Ctrl-A X, as in QEMU.

/// Ctrl-A.
const ESCAPE: u8 = 0x01;

/// Looks for the escape in what is typed.
#[derive(Debug, Default)]
pub(crate) struct Escape {
    /// The last byte was an escape that has not been answered.
    pending: bool,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// These bytes, for the guest.
    Bytes(Vec<u8>),
    /// The user wants to leave.
    Leave,
}

impl Escape {
    /// Looks at the next bytes. Ctrl-A twice is one Ctrl-A for the guest; before any other key it
    /// goes to the guest as well.
    pub(crate) fn filter(&mut self, typed: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(typed.len() + 1);
        for &byte in typed {
            match (std::mem::take(&mut self.pending), byte) {
                (false, ESCAPE) => self.pending = true,
                (true, b'x' | b'X') => return Typed::Leave,
                (true, ESCAPE) => bytes.push(ESCAPE),
                (true, byte) => bytes.extend([ESCAPE, byte]),
                (false, byte) => bytes.push(byte),
            }
        }
        Typed::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(bytes: &[u8]) -> Typed {
        Typed::Bytes(bytes.to_vec())
    }

    #[test]
    fn ctrl_a_x_leaves_in_one_piece_or_two() {
        assert_eq!(Escape::default().filter(b"ls\x01x"), Typed::Leave);
        let mut escape = Escape::default();
        assert_eq!(escape.filter(b"ls\x01"), bytes(b"ls"));
        assert_eq!(escape.filter(b"X"), Typed::Leave);
    }

    #[test]
    fn everything_else_is_for_the_guest() {
        let mut escape = Escape::default();
        assert_eq!(escape.filter(b"x\x03\x04\x18"), bytes(b"x\x03\x04\x18"));
        assert_eq!(escape.filter(b"\x01\x01x"), bytes(b"\x01x"));
        assert_eq!(escape.filter(b"\x01d"), bytes(b"\x01d"));
    }
}
