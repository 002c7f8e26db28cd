// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Bits of the virtio device status byte (virtio 1.2, section 2.1).

/// The guest has noticed the device.
pub const ACKNOWLEDGE: u8 = 0x01;
/// The guest has a driver for the device.
pub const DRIVER: u8 = 0x02;
/// The driver is ready to drive the device.
pub const DRIVER_OK: u8 = 0x04;
/// The device has given up on its driver, and waits for a reset. Virtio 1.0 brought it: drivers of
/// this transport do not know the bit and leave it alone, but show it in what they report.
pub const DEVICE_NEEDS_RESET: u8 = 0x40;
/// The guest has given up on the device.
pub const FAILED: u8 = 0x80;
