// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Bits of the virtio device status byte (virtio 1.2, section 2.1).

/// The guest has noticed the device.
pub const ACKNOWLEDGE: u8 = 0x01;
/// The guest has a driver for the device.
pub const DRIVER: u8 = 0x02;
/// The driver is ready to drive the device.
pub const DRIVER_OK: u8 = 0x04;
/// The guest has given up on the device.
pub const FAILED: u8 = 0x80;

/// Whether a guest that announces this status can have no queue yet, so that the host must
/// clear the rings: a guest binds a driver again without a RESET in between, and does not
/// clear the rings itself.
pub const fn precedes_queues(status: u8) -> bool {
    status & (DRIVER_OK | FAILED) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_come_after_driver() {
        for status in [0, ACKNOWLEDGE, ACKNOWLEDGE | DRIVER] {
            assert!(precedes_queues(status));
        }
        for status in [0x07, 0x83, FAILED, DRIVER_OK] {
            assert!(!precedes_queues(status));
        }
    }
}
