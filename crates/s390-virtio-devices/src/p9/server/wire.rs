// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The format of 9P2000.L messages: little-endian whatever the transport is.
//!
//! A message is `size[4] type[1] tag[2]` and a body of numbers and strings, each string behind its
//! length of two bytes. The answer has the type of the request plus one, or is Rlerror.

use std::ffi::CString;
use std::fmt;

use rustix::io::Errno;

use super::Result;

/// Bytes of size, type and tag.
pub(crate) const HEADER_LEN: usize = 7;
/// Bytes of an Rlerror, the answer that there must be room for.
pub(crate) const RLERROR_LEN: usize = HEADER_LEN + 4;
/// Type of the answer that tells an error.
pub(super) const RLERROR: u8 = 7;

/// What a client asks for. Types that 9P2000.L does not have, the client's side of Rlerror among
/// them, are none of these.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Statfs,
    Lopen,
    Lcreate,
    Symlink,
    Mknod,
    Rename,
    Readlink,
    Getattr,
    Setattr,
    Xattrwalk,
    Xattrcreate,
    Readdir,
    Fsync,
    Lock,
    Getlock,
    Link,
    Mkdir,
    Renameat,
    Unlinkat,
    Version,
    Auth,
    Attach,
    Flush,
    Walk,
    Read,
    Write,
    Clunk,
    Remove,
}

impl Kind {
    /// The kind of message with type `number`, the T-message's.
    pub(crate) fn of(number: u8) -> Option<Self> {
        Some(match number {
            8 => Kind::Statfs,
            12 => Kind::Lopen,
            14 => Kind::Lcreate,
            16 => Kind::Symlink,
            18 => Kind::Mknod,
            20 => Kind::Rename,
            22 => Kind::Readlink,
            24 => Kind::Getattr,
            26 => Kind::Setattr,
            30 => Kind::Xattrwalk,
            32 => Kind::Xattrcreate,
            40 => Kind::Readdir,
            50 => Kind::Fsync,
            52 => Kind::Lock,
            54 => Kind::Getlock,
            70 => Kind::Link,
            72 => Kind::Mkdir,
            74 => Kind::Renameat,
            76 => Kind::Unlinkat,
            100 => Kind::Version,
            102 => Kind::Auth,
            104 => Kind::Attach,
            108 => Kind::Flush,
            110 => Kind::Walk,
            116 => Kind::Read,
            118 => Kind::Write,
            120 => Kind::Clunk,
            122 => Kind::Remove,
            _ => return None,
        })
    }

    /// Whether it changes the file system whatever else it says. (Tlopen depends on its flags.)
    pub(super) fn modifies(self) -> bool {
        match self {
            Kind::Lcreate
            | Kind::Symlink
            | Kind::Mknod
            | Kind::Rename
            | Kind::Setattr
            | Kind::Xattrcreate
            | Kind::Link
            | Kind::Mkdir
            | Kind::Renameat
            | Kind::Unlinkat
            | Kind::Write
            | Kind::Remove => true,
            Kind::Statfs
            | Kind::Lopen
            | Kind::Readlink
            | Kind::Getattr
            | Kind::Xattrwalk
            | Kind::Readdir
            | Kind::Fsync
            | Kind::Lock
            | Kind::Getlock
            | Kind::Version
            | Kind::Auth
            | Kind::Attach
            | Kind::Flush
            | Kind::Walk
            | Kind::Read
            | Kind::Clunk => false,
        }
    }
}

/// The first bytes of a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole message, as it says itself.
    pub size: u32,
    /// Type.
    pub number: u8,
    /// What the client knows its request by.
    pub tag: u16,
}

impl Header {
    /// Decodes a header.
    pub(crate) fn new([s0, s1, s2, s3, number, t0, t1]: [u8; HEADER_LEN]) -> Self {
        Header {
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            number,
            tag: u16::from_le_bytes([t0, t1]),
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Kind::of(self.number) {
            Some(kind) => write!(f, "T{}", format!("{kind:?}").to_lowercase())?,
            None => write!(f, "type {}", self.number)?,
        }
        write!(f, " tag {}", self.tag)
    }
}

/// The part of a body that has not been read yet. A body that ends too early is invalid.
#[derive(Copy, Clone, Debug)]
pub(super) struct Body<'a>(pub(super) &'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Errno::INVAL)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }

    /// A name in a directory.
    pub(super) fn name(&mut self) -> Result<Name> {
        Name::new(self.string()?)
    }
}

/// The name of an entry in a directory: one component, and neither the directory itself nor its
/// parent. A client that knows a directory can reach what is in it with such a name, and nothing
/// else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(CString);

impl Name {
    pub(super) fn new(bytes: &[u8]) -> Result<Self> {
        match bytes {
            b"" | b"." | b".." => Err(Errno::INVAL),
            _ if bytes.contains(&b'/') => Err(Errno::INVAL),
            // There is no other way for it to fail than a NUL.
            _ => CString::new(bytes).map(Name).map_err(|_| Errno::INVAL),
        }
    }

    pub(super) fn as_c_str(&self) -> &std::ffi::CStr {
        &self.0
    }
}

/// What identifies a file to the client.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Qid {
    /// Kind of file.
    pub(super) kind: u8,
    /// Changes when the file does.
    pub(super) version: u32,
    /// Unique in the share.
    pub(super) path: u64,
}

/// The body of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer(pub(super) Vec<u8>);

impl Answer {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A string, which must not be longer than 65535 bytes.
    pub(super) fn string(self, bytes: &[u8]) -> Result<Self> {
        let len = u16::try_from(bytes.len()).map_err(|_| Errno::NAMETOOLONG)?;
        let mut answer = self.u16(len);
        answer.0.extend(bytes);
        Ok(answer)
    }

    pub(super) fn qid(self, qid: Qid) -> Self {
        self.u8(qid.kind).u32(qid.version).u64(qid.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_little_endian() {
        let answer = Answer::default()
            .u8(1)
            .u16(0x0203)
            .u32(0x0405_0607)
            .u64(0x08090a0b_0c0d0e0f)
            .string(b"xy")
            .unwrap();
        let bytes = [
            1, 3, 2, 7, 6, 5, 4, 0xf, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8, 2, 0, b'x', b'y',
        ];
        assert_eq!(answer.0, bytes);
        let mut body = Body(&bytes);
        assert_eq!(body.u8(), Ok(1));
        assert_eq!(body.u16(), Ok(0x0203));
        assert_eq!(body.u32(), Ok(0x0405_0607));
        assert_eq!(body.u64(), Ok(0x08090a0b_0c0d0e0f));
        assert_eq!(body.string(), Ok(&b"xy"[..]));
        assert_eq!(body.u8(), Err(Errno::INVAL));
    }

    #[test]
    fn a_header() {
        let header = Header::new([0x13, 0, 1, 0, 100, 0xff, 0xfe]);
        assert_eq!((header.size, header.tag), (0x1_0013, 0xfeff));
        assert_eq!(header.to_string(), "Tversion tag 65279");
        let unknown = Header {
            number: 6,
            ..header
        };
        assert_eq!(unknown.to_string(), "type 6 tag 65279");
    }

    #[test]
    fn a_body_that_ends_early() {
        assert_eq!(Body(&[1, 2, 3]).u32(), Err(Errno::INVAL));
        assert_eq!(Body(&[4, 0, b'a', b'b', b'c']).string(), Err(Errno::INVAL));
        assert_eq!(Body(&[4]).string(), Err(Errno::INVAL));
    }

    #[test]
    fn names_are_one_component() {
        for bad in [
            &b""[..],
            b".",
            b"..",
            b"a/b",
            b"/",
            b"../a",
            b"/etc",
            b"a\0b",
        ] {
            assert_eq!(Name::new(bad), Err(Errno::INVAL), "{bad:?}");
        }
        for good in [&b"a"[..], b"...", b"..a", b" ", b"\xff\xfe", b"a\\b"] {
            assert_eq!(Name::new(good).unwrap().as_c_str().to_bytes(), good);
        }
    }
}
