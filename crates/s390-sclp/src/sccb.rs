// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A service-call control block, copied out of guest memory.
//!
//! Header, all big-endian: length u16 at 0, function code u8 at 2, control mask u8\[3\] at 3,
//! response code u16 at 6. The guest's later stores do not change what a command sees.

use crate::Response;

/// Length of the header.
pub(crate) const HEADER: usize = 8;
/// A SCCB never crosses a boundary of this size.
pub(crate) const PAGE: usize = 4096;

/// Byte 5 of the header: the response may be shorter than the request.
const VARIABLE_LENGTH: u8 = 0x80;

pub(crate) struct Sccb(Vec<u8>);

impl Sccb {
    /// Wraps the bytes of a SCCB, header included: at least [`HEADER`].
    pub fn new(bytes: Vec<u8>) -> Self {
        debug_assert!((HEADER..=PAGE).contains(&bytes.len()));
        Sccb(bytes)
    }

    /// The bytes to copy back.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Length of the request.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn function(&self) -> u8 {
        self.0[2]
    }

    /// Stores that only `len` bytes of the SCCB count, if the guest allows for it.
    pub fn shorten(&mut self, len: usize) {
        if self.0[5] & VARIABLE_LENGTH != 0 {
            self.0[5] &= !VARIABLE_LENGTH;
            self.put_u16(0, len as u16);
        }
    }

    pub fn set_response(&mut self, response: Response) {
        self.put_u16(6, response as u16);
    }

    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) << 16 | u32::from(self.u16(at + 2))
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn put_u8(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }

    pub fn put_u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_be_bytes());
    }

    pub fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_be_bytes());
    }

    pub fn put_u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_be_bytes());
    }

    /// Zeroes everything behind the header.
    pub fn clear_data(&mut self) {
        self.0[HEADER..].fill(0);
    }
}
