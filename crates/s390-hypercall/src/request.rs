// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a hypercall asks for: subcode in r1, arguments in r2 to r7.

use crate::{CCW_NOTIFY, NOTIFY, RESET, SET_STATUS, STORAGE_LIMIT};

/// A hypercall with its arguments. All addresses are guest-physical and unchecked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Hypercall {
    /// The queue whose ring starts at `addr` has new buffers; an address inside RAM is a text
    /// of the early console instead.
    Notify {
        /// Ring address, or address of a NUL-terminated text.
        addr: u64,
    },
    /// Reset the device with this descriptor.
    Reset {
        /// Address of the descriptor in the device page.
        desc: u64,
    },
    /// The guest wrote the status byte of the device with this descriptor.
    SetStatus {
        /// Address of the descriptor in the device page.
        desc: u64,
    },
    /// A virtio-ccw device's queue has new buffers.
    CcwNotify {
        /// Subsystem-identification word.
        subchannel: u32,
        /// Queue index, or notification data where that feature was negotiated.
        queue: u64,
        /// What the previous notification of this queue returned.
        cookie: u64,
    },
    /// The highest guest absolute address, inclusive.
    StorageLimit,
    /// None of the above.
    Unknown {
        /// The subcode, all of r1.
        nr: u64,
        /// r2 to r7.
        args: [u64; 6],
    },
}

impl Hypercall {
    /// Reads subcode and arguments. All 64 bits of r1 count: a subcode with high bits set is
    /// unknown, not one of the small ones.
    pub fn decode(gpr: impl Fn(u8) -> u64) -> Self {
        match gpr(1) {
            NOTIFY => Hypercall::Notify { addr: gpr(2) },
            RESET => Hypercall::Reset { desc: gpr(2) },
            SET_STATUS => Hypercall::SetStatus { desc: gpr(2) },
            CCW_NOTIFY => Hypercall::CcwNotify {
                subchannel: gpr(2) as u32,
                queue: gpr(3),
                cookie: gpr(4),
            },
            STORAGE_LIMIT => Hypercall::StorageLimit,
            nr => Hypercall::Unknown {
                nr,
                args: [gpr(2), gpr(3), gpr(4), gpr(5), gpr(6), gpr(7)],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(nr: u64) -> Hypercall {
        Hypercall::decode(|n| {
            if n == 1 {
                nr
            } else {
                u64::from(n) * 0x1_0000_0001
            }
        })
    }

    #[test]
    fn every_subcode_has_its_arguments() {
        let r2 = 0x2_0000_0002;
        assert_eq!(decode(0), Hypercall::Notify { addr: r2 });
        assert_eq!(decode(1), Hypercall::Reset { desc: r2 });
        assert_eq!(decode(2), Hypercall::SetStatus { desc: r2 });
        let ccw = Hypercall::CcwNotify {
            subchannel: 2,
            queue: 0x3_0000_0003,
            cookie: 0x4_0000_0004,
        };
        assert_eq!(decode(3), ccw);
        assert_eq!(decode(4), Hypercall::StorageLimit);
    }

    #[test]
    fn all_64_bits_of_the_subcode_count() {
        for nr in [5, 255, 256, 1 << 32, (1 << 32) + 1, 1 << 63, u64::MAX] {
            let args = [2, 3, 4, 5, 6, 7].map(|n| n * 0x1_0000_0001);
            assert_eq!(decode(nr), Hypercall::Unknown { nr, args });
        }
    }
}
