// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is fixed about a machine when it is made.

/// A machine as its guest can ask about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineConfig {
    /// RAM from absolute address 0, in bytes. What lies behind (device page, rings) is no place
    /// for a prefix area or a status save area.
    pub memory_size: u64,
    /// Machine type as four decimal digits in binary-coded form: 0x2817 is a z196.
    pub machine_type: u16,
    /// Name of the virtual machine. STSI 3.2.2 shows the first eight characters in EBCDIC and
    /// all of it, up to 255 bytes, in UTF-8.
    pub name: String,
    /// UUID of the virtual machine, in the byte order in which it is written.
    pub uuid: [u8; 16],
    /// Whether DIAGNOSE 0x288 (watchdog) is there. The VMM must then look at
    /// [`Machine::watchdog_deadline`](crate::Machine::watchdog_deadline).
    pub watchdog: bool,
}

impl MachineConfig {
    /// A nameless z196 with this much RAM, no UUID and no watchdog.
    pub fn new(memory_size: u64) -> Self {
        MachineConfig {
            memory_size,
            machine_type: 0x2817,
            name: String::new(),
            uuid: [0; 16],
            watchdog: false,
        }
    }
}
