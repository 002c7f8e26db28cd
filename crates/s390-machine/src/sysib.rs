// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! System-information blocks (Principles of Operation, chapter 10, STORE SYSTEM INFORMATION).

use crate::ebcdic::padded;
use crate::MachineConfig;

/// Bytes in a block; it is stored on a boundary of this size.
pub(crate) const SIZE: usize = 4096;

/// The manufacturer, as the control program KVM leaves it.
const MANUFACTURER: &str = "IBM";
/// The control program: Linux 2.6.32 and later look for its first three letters.
const CONTROL_PROGRAM: &str = "KVM/Linux";
/// Capability and adjustment of a machine that claims nothing about its speed.
const CAPABILITY: u32 = 1000;

/// One block being filled.
pub(crate) struct Sysib(Box<[u8; SIZE]>);

impl Sysib {
    fn new() -> Self {
        Sysib(Box::new([0; SIZE]))
    }

    fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Total, configured, standby and reserved CPUs.
    fn put_cpus(self, at: usize, cpus: u16) -> Self {
        let [high, low] = cpus.to_be_bytes();
        self.put(at, &[high, low, high, low, 0, 0, 0, 0])
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0[..]
    }
}

/// The block for a function code and its selectors; `None` if there is none.
pub(crate) fn block(
    (function, selector1, selector2): (u8, u8, u16),
    config: &MachineConfig,
    cpu: u16,
    cpus: u16,
) -> Option<Sysib> {
    match (function, selector1, selector2) {
        (1, 1, 1) => Some(basic_machine(config)),
        (1, 2, 1) => Some(basic_machine_cpu(cpu)),
        (1, 2, 2) => Some(basic_machine_cpus(cpus)),
        (3, 2, 2) => Some(virtual_machines(config, cpus)),
        _ => None,
    }
}

fn basic_machine(config: &MachineConfig) -> Sysib {
    let machine_type = format!("{:04x}", config.machine_type);
    Sysib::new()
        .put(32, &padded::<16>(MANUFACTURER))
        .put(48, &padded::<4>(&machine_type))
        .put(64, &padded::<16>(CONTROL_PROGRAM))
        .put(80, &padded::<16>("0000000000000000"))
        .put(96, &padded::<4>("00"))
        .put(100, &padded::<16>(CONTROL_PROGRAM))
}

fn basic_machine_cpu(cpu: u16) -> Sysib {
    Sysib::new()
        .put(80, &padded::<16>("0000000000000000"))
        .put(96, &padded::<4>("00"))
        .put(102, &cpu.to_be_bytes())
}

fn basic_machine_cpus(cpus: u16) -> Sysib {
    Sysib::new()
        .put(32, &CAPABILITY.to_be_bytes())
        .put_cpus(36, cpus)
}

/// The stack of virtual machines, innermost first: ours is the only one.
fn virtual_machines(config: &MachineConfig, cpus: u16) -> Sysib {
    const DESCRIPTION: usize = 32;
    const EXTENDED_NAME: usize = 2048;
    /// How the extended name is encoded: UTF-8.
    const UTF_8: u8 = 2;
    let mut extended = config.name.len().min(255);
    while !config.name.is_char_boundary(extended) {
        extended -= 1;
    }
    Sysib::new()
        .put(31, &[1])
        .put_cpus(DESCRIPTION + 4, cpus)
        .put(DESCRIPTION + 12, &padded::<8>(&config.name))
        .put(DESCRIPTION + 20, &CAPABILITY.to_be_bytes())
        .put(DESCRIPTION + 24, &padded::<16>(CONTROL_PROGRAM))
        .put(DESCRIPTION + 43, &[UTF_8])
        .put(DESCRIPTION + 48, &config.uuid)
        .put(EXTENDED_NAME, &config.name.as_bytes()[..extended])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> MachineConfig {
        MachineConfig {
            name: name.into(),
            uuid: *b"0123456789abcdef",
            ..MachineConfig::new(1 << 20)
        }
    }

    #[test]
    fn names_kvm_where_guests_look() {
        let block = block((3, 2, 2), &config("Guest1"), 0, 3).unwrap();
        let block = block.bytes();
        assert_eq!(block[31], 1);
        assert_eq!(block[36..44], [0, 3, 0, 3, 0, 0, 0, 0]);
        assert_eq!(block[44..52], padded::<8>("Guest1"));
        assert_eq!(block[52..56], 1000_u32.to_be_bytes());
        assert_eq!(block[56..59], [0xd2, 0xe5, 0xd4]);
        assert_eq!(block[59..72], padded::<13>("/Linux"));
        assert_eq!(block[80..96], *b"0123456789abcdef");
        assert_eq!(block[75], 2);
        assert_eq!(block[2048..2055], *b"Guest1\0");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let name = "\u{e9}".repeat(200);
        let block = block((3, 2, 2), &config(&name), 0, 1).unwrap();
        assert_eq!(block.bytes()[2048..2048 + 254], name.as_bytes()[..254]);
        assert_eq!(block.bytes()[2048 + 254], 0);
    }

    #[test]
    fn machine_and_cpus() {
        let config = config("");
        let machine = block((1, 1, 1), &config, 0, 1).unwrap();
        assert_eq!(machine.bytes()[32..36], padded::<4>("IBM"));
        assert_eq!(machine.bytes()[48..52], padded::<4>("2817"));
        let cpu = block((1, 2, 1), &config, 5, 9).unwrap();
        assert_eq!(cpu.bytes()[102..104], [0, 5]);
        let cpus = block((1, 2, 2), &config, 5, 9).unwrap();
        assert_eq!(cpus.bytes()[36..44], [0, 9, 0, 9, 0, 0, 0, 0]);
    }

    #[test]
    fn nothing_else_is_there() {
        for request in [
            (1, 1, 2),
            (1, 0, 0),
            (2, 2, 2),
            (3, 2, 1),
            (3, 1, 2),
            (15, 1, 1),
        ] {
            assert!(block(request, &config(""), 0, 1).is_none());
        }
    }
}
