// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the SCLP tells its guest about the machine.

/// Unit of the storage increment size in SCP information, and so of the RAM size: 1 MiB.
pub const INCREMENT_UNIT: u64 = 1 << 20;

/// As many CPUs as one page of SCP information has room for.
pub const MAX_CPUS: u16 = 248;

/// Increments that every kernel takes; more only when the RAM size allows no fewer.
const PREFERRED_INCREMENTS: u64 = 1020;

/// Why a [`Config`] cannot be told to a guest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// RAM is counted in increments of whole mebibytes.
    #[error("the RAM size of {0} bytes is not a multiple of 1 MiB between 1 MiB and 2^51 bytes")]
    RamSize(u64),
    /// At least one CPU, at most [`MAX_CPUS`].
    #[error("the machine cannot have {0} CPUs, but 1 to {MAX_CPUS}")]
    Cpus(u16),
    /// The load parameter is EBCDIC: letters, digits, blanks.
    #[error("the load parameter has a character that is not printable ASCII")]
    LoadParameter,
}

/// The consoles that the guest is offered.
///
/// A kernel that finds both writes its earliest messages to each of them, so both is for guests
/// that are told which one to use. A guest that finds none looks for a virtio console.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Consoles {
    /// None at all.
    None,
    /// The VT220 terminal: ASCII text in both directions, character by character.
    #[default]
    Vt220,
    /// The line-mode console: EBCDIC lines.
    LineMode,
    /// Both of them.
    Both,
}

/// The machine as SCP information describes it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// RAM from absolute address 0 in bytes, without a hole; a multiple of 1 MiB. The guest looks
    /// for the virtio page right behind it.
    pub ram_size: u64,
    /// Configured CPUs, with the addresses 0 and up.
    pub cpus: u16,
    /// The load parameter in ASCII, padded with blanks.
    pub load_parameter: [u8; 8],
    /// Hypervisor- and machine-assist facility indications, byte 124 of SCP information.
    pub hmfai: u32,
    /// Enhanced suppression on protection (byte 85, bit 0x02): the CPU tells a fetch from a store
    /// in the translation-exception identification.
    pub esop: bool,
    /// The consoles on offer.
    pub consoles: Consoles,
}

impl Config {
    /// A machine with `ram_size` bytes of RAM and `cpus` CPUs, a blank load parameter and the
    /// VT220 console.
    pub const fn new(ram_size: u64, cpus: u16) -> Self {
        Config {
            ram_size,
            cpus,
            load_parameter: *b"        ",
            hmfai: 0,
            esop: false,
            consoles: Consoles::Vt220,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.ram_size == 0 || self.ram_size % INCREMENT_UNIT != 0 || self.ram_size > 1 << 51 {
            return Err(Error::RamSize(self.ram_size));
        }
        if self.cpus == 0 || self.cpus > MAX_CPUS {
            return Err(Error::Cpus(self.cpus));
        }
        if !self
            .load_parameter
            .iter()
            .all(|c| (b' '..=b'~').contains(c))
        {
            return Err(Error::LoadParameter);
        }
        Ok(())
    }

    /// Size in mebibytes and number of the storage increments; their product is the RAM size
    /// exactly. The size is a power of two.
    pub(crate) fn increments(&self) -> (u64, u64) {
        let mib = self.ram_size / INCREMENT_UNIT;
        let mut size = 1;
        while mib / size > PREFERRED_INCREMENTS && mib % (2 * size) == 0 {
            size *= 2;
        }
        (size, mib / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn increments(mib: u64) -> (u64, u64) {
        Config::new(mib << 20, 1).increments()
    }

    #[test]
    fn increments_are_exact_and_few() {
        assert_eq!(increments(1), (1, 1));
        assert_eq!(increments(256), (1, 256));
        assert_eq!(increments(1020), (1, 1020));
        assert_eq!(increments(1024), (2, 512));
        assert_eq!(increments(3000), (4, 750));
        assert_eq!(increments(1 << 20), (2048, 512));
    }

    #[test]
    fn odd_sizes_are_exact_nevertheless() {
        assert_eq!(increments(1021), (1, 1021));
        assert_eq!(increments(2042), (2, 1021));
        assert_eq!(increments(65537), (1, 65537));
        for mib in 1..5000 {
            let (size, number) = increments(mib);
            assert_eq!(size * number, mib);
        }
    }

    #[test]
    fn impossible_machines_are_refused() {
        let good = Config::new(1 << 20, MAX_CPUS);
        assert_eq!(good.check(), Ok(()));
        for size in [0, 1, (1 << 20) + 4096, 1 << 52] {
            assert_eq!(Config::new(size, 1).check(), Err(Error::RamSize(size)));
        }
        assert_eq!(Config::new(1 << 20, 0).check(), Err(Error::Cpus(0)));
        assert_eq!(Config::new(1 << 20, 249).check(), Err(Error::Cpus(249)));
        let loadparm = Config {
            load_parameter: *b"a\n      ",
            ..good
        };
        assert_eq!(loadparm.check(), Err(Error::LoadParameter));
    }
}
