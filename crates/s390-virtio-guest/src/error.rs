// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can go wrong between driver and host.

use core::fmt;

pub use s390_virtio_page::{ConfigRange, Overrun};
pub use s390_vring::DriverError;

/// Why the host and the driver do not get along.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The host refused a hypercall with this negative result.
    Refused(i64),
    /// The status byte is not zero after a reset.
    NotReset(u8),
    /// The device has no queue of this index.
    NoSuchQueue(u8),
    /// The ring's size or address makes no sense.
    BadRing {
        /// Entries in the ring.
        num: u16,
        /// Guest-physical address of the ring.
        address: u64,
    },
    /// All tokens of the interrupt table are taken.
    NoTokenLeft,
    /// The access is outside the configuration space.
    ConfigRange,
    /// The queue refused a chain, or the device broke the rules of the ring.
    Queue(DriverError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(result) => write!(f, "the host refused a hypercall ({result})"),
            Error::NotReset(status) => {
                write!(f, "the device has status {status:#04x} after a reset")
            }
            Error::NoSuchQueue(index) => write!(f, "the device has no queue {index}"),
            Error::BadRing { num, address } => {
                write!(f, "a ring of {num} entries at {address:#x} is not usable")
            }
            Error::NoTokenLeft => f.write_str("there is no token left for another queue"),
            Error::ConfigRange => ConfigRange.fmt(f),
            Error::Queue(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<ConfigRange> for Error {
    fn from(_: ConfigRange) -> Self {
        Error::ConfigRange
    }
}

impl From<DriverError> for Error {
    fn from(error: DriverError) -> Self {
        Error::Queue(error)
    }
}

/// Turns a hypercall's result into success or refusal.
pub(crate) fn check(result: i64) -> Result<(), Error> {
    if result < 0 {
        Err(Error::Refused(result))
    } else {
        Ok(())
    }
}
