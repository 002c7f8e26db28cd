// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is in the page, in the words that the virtio specification uses.

use core::fmt;

use crate::status::{ACKNOWLEDGE, DEVICE_NEEDS_RESET, DRIVER, DRIVER_OK, FAILED};

mod config;

pub use config::{config, ConfigField, ConfigFields};

const NET: u8 = 1;
const BLOCK: u8 = 2;
const CONSOLE: u8 = 3;
const BALLOON: u8 = 5;
const P9: u8 = 9;

/// The kind of device that a virtio device id stands for (virtio 1.2, section 5).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DeviceType(pub u8);

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            NET => "net",
            BLOCK => "block",
            CONSOLE => "console",
            4 => "rng",
            BALLOON => "balloon",
            8 => "scsi",
            P9 => "9p",
            other => return write!(f, "type {other}"),
        })
    }
}

/// A status byte.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |bit| {
            Some(match 1u8.checked_shl(bit)? {
                ACKNOWLEDGE => "ACKNOWLEDGE",
                DRIVER => "DRIVER",
                DRIVER_OK => "DRIVER_OK",
                DEVICE_NEEDS_RESET => "DEVICE_NEEDS_RESET",
                FAILED => "FAILED",
                _ => return None,
            })
        };
        bits(f, self.0.into(), name)
    }
}

/// Features of a device, feature 0 in the lowest bit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Virtio device id: what the lower bits mean depends on it.
    pub device_type: u8,
    /// The features.
    pub bits: u32,
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bits(f, self.bits, |bit| feature(self.device_type, bit))
    }
}

/// Names of bits, or their numbers where they have none.
fn bits(
    f: &mut fmt::Formatter<'_>,
    bits: u32,
    name: impl Fn(u32) -> Option<&'static str>,
) -> fmt::Result {
    if bits == 0 {
        return f.write_str("none");
    }
    let set = (0..u32::BITS).filter(|bit| bits >> bit & 1 != 0);
    for (i, bit) in set.enumerate() {
        if i > 0 {
            f.write_str(" ")?;
        }
        match name(bit) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "bit{bit}")?,
        }
    }
    Ok(())
}

/// The name of a feature (virtio 1.2, "Feature bits" of sections 5 and 6, legacy ones included).
fn feature(device_type: u8, bit: u32) -> Option<&'static str> {
    let ring = match bit {
        24 => "NOTIFY_ON_EMPTY",
        27 => "ANY_LAYOUT",
        28 => "INDIRECT_DESC",
        29 => "EVENT_IDX",
        _ => "",
    };
    if !ring.is_empty() {
        return Some(ring);
    }
    Some(match (device_type, bit) {
        (NET, 0) => "CSUM",
        (NET, 1) => "GUEST_CSUM",
        (NET, 2) => "CTRL_GUEST_OFFLOADS",
        (NET, 3) => "MTU",
        (NET, 5) => "MAC",
        (NET, 6) => "GSO",
        (NET, 7) => "GUEST_TSO4",
        (NET, 8) => "GUEST_TSO6",
        (NET, 9) => "GUEST_ECN",
        (NET, 10) => "GUEST_UFO",
        (NET, 11) => "HOST_TSO4",
        (NET, 12) => "HOST_TSO6",
        (NET, 13) => "HOST_ECN",
        (NET, 14) => "HOST_UFO",
        (NET, 15) => "MRG_RXBUF",
        (NET, 16) => "STATUS",
        (NET, 17) => "CTRL_VQ",
        (NET, 18) => "CTRL_RX",
        (NET, 19) => "CTRL_VLAN",
        (NET, 20) => "CTRL_RX_EXTRA",
        (NET, 21) => "GUEST_ANNOUNCE",
        (NET, 22) => "MQ",
        (NET, 23) => "CTRL_MAC_ADDR",
        (BLOCK, 0) => "BARRIER",
        (BLOCK, 1) => "SIZE_MAX",
        (BLOCK, 2) => "SEG_MAX",
        (BLOCK, 4) => "GEOMETRY",
        (BLOCK, 5) => "RO",
        (BLOCK, 6) => "BLK_SIZE",
        (BLOCK, 7) => "SCSI",
        (BLOCK, 9) => "FLUSH",
        (BLOCK, 10) => "TOPOLOGY",
        (BLOCK, 11) => "CONFIG_WCE",
        (BLOCK, 12) => "MQ",
        (BLOCK, 13) => "DISCARD",
        (BLOCK, 14) => "WRITE_ZEROES",
        (CONSOLE, 0) => "SIZE",
        (CONSOLE, 1) => "MULTIPORT",
        (CONSOLE, 2) => "EMERG_WRITE",
        (BALLOON, 0) => "MUST_TELL_HOST",
        (BALLOON, 1) => "STATS_VQ",
        (BALLOON, 2) => "DEFLATE_ON_OOM",
        (BALLOON, 3) => "FREE_PAGE_HINT",
        (BALLOON, 4) => "PAGE_POISON",
        (BALLOON, 5) => "REPORTING",
        (P9, 0) => "MOUNT_TAG",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn known_values_have_their_names() {
        assert_eq!(DeviceType(2).to_string(), "block");
        assert_eq!(DeviceType(200).to_string(), "type 200");
        assert_eq!(Status(0).to_string(), "none");
        assert_eq!(
            Status(0xd7).to_string(),
            "ACKNOWLEDGE DRIVER DRIVER_OK bit4 DEVICE_NEEDS_RESET FAILED"
        );
        let features = |device_type, bits| Features { device_type, bits }.to_string();
        assert_eq!(
            features(2, 1 << 9 | 1 << 28 | 1 << 31),
            "FLUSH INDIRECT_DESC bit31"
        );
        assert_eq!(features(3, 1), "SIZE");
        assert_eq!(features(4, 1), "bit0");
        assert_eq!(features(9, 1), "MOUNT_TAG");
        assert_eq!(features(1, 0), "none");
    }
}
