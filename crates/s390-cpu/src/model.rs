// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CPU models: which facilities a guest sees.

/// Facilities as STORE FACILITY LIST EXTENDED numbers them; an instruction of a facility that
/// the model lacks is an operation exception.
///
/// Only those are here that change what an instruction does, not whether there is one: that is in
/// the [table](crate::table).
pub(crate) mod facility {
    /// M3 of SET STORAGE KEY EXTENDED.
    pub(crate) const CONDITIONAL_SSKE: u8 = 10;
    /// M3 of TRANSLATE ONE TO ONE and its like.
    pub(crate) const ETF2_ENHANCEMENT: u8 = 24;
    /// Well-formedness checking of CONVERT UTF-8 TO UTF-16 and its like.
    pub(crate) const ETF3_ENHANCEMENT: u8 = 30;
    /// Function code 2 and store characteristic 4 of COMPARE AND SWAP AND STORE.
    pub(crate) const COMPARE_AND_SWAP_AND_STORE_2: u8 = 33;
    /// M3 and M4 of instructions that round, rounding to prepare for shorter precision, the quantum
    /// exception.
    pub(crate) const FLOATING_POINT_EXTENSION: u8 = 37;
}

/// Facilities of the first z/Architecture machines: z/Architecture installed and active, N3
/// instructions, extended translation 2.
const Z900: &[u8] = &[0, 1, 2, 16];

/// What a z10 adds. From the left: IDTE, STFLE, sense-running-status, conditional SSKE, long
/// displacement, extended immediate, ETF3, ETF2 enhancement, STCKF, MVCOS, TOD clock steering,
/// ETF3 enhancement, ECTG, CSST, CSST 2, general instructions extension, EXRL, LPP,
/// floating-point support enhancement; and that there is no other architectural mode.
const Z10: &[u8] = &[
    3, 7, 9, 10, 18, 21, 22, 24, 25, 27, 28, 30, 31, 32, 33, 34, 35, 40, 41, 138,
];

/// What a z10 has beside, and kernels of Linux 2.6.32 to 4.4 that were built for z9-109 or later ask
/// for before they start: message-security assist, hexadecimal multiply and add, unnormalized
/// hexadecimal, parsing enhancement, decimal floating point, PFPO. Of these, this CPU has the first,
/// as far as it can be asked what it does (nothing). The others are named and not there: the
/// instructions are operation exceptions, which no kernel meets.
const Z10_IN_NAME: &[u8] = &[17, 20, 23, 26, 42, 44];

/// What a z196 adds: floating-point extension, distinct operands and what came with them, access
/// exceptions that tell fetch from store.
const Z196: &[u8] = &[37, 45, 75];

/// What later machines added: miscellaneous instructions 1, interlocked access 2, load on
/// condition 2, miscellaneous instructions 2 and 3.
const LATER: &[u8] = &[49, 52, 53, 58, 61];

/// A CPU model: the facilities that a guest sees.
///
/// The list of a machine holds all that Linux kernels built for it want to see (and `max` no more than
/// this CPU really has). What is only in the list is in the README, under "What is not there".
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CpuModel {
    name: &'static str,
    machine_type: u16,
    facilities: [u64; 4],
}

impl CpuModel {
    /// Names that [`CpuModel::by_name`] knows.
    pub const NAMES: [&'static str; 4] = ["z900", "z10", "z196", "max"];

    /// The model of this name: one of a machine, or `max` for every facility that this CPU
    /// implements. `None` if there is no such model.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "z900" => Self::new("z900", 0x2064, &[Z900]),
            "z10" => Self::new("z10", 0x2097, &[Z900, Z10, Z10_IN_NAME]),
            "z196" => Self::new("z196", 0x2817, &[Z900, Z10, Z10_IN_NAME, Z196]),
            "max" => Self::max(),
            _ => return None,
        })
    }

    /// Every facility that this CPU implements, and no other. The machine type is that of a z196: what guests
    /// derive from a later one is not all there.
    pub fn max() -> Self {
        Self::new("max", 0x2817, &[Z900, Z10, Z196, LATER])
    }

    fn new(name: &'static str, machine_type: u16, sets: &[&[u8]]) -> Self {
        let mut facilities = [0; 4];
        for bit in sets.iter().copied().flatten() {
            facilities[usize::from(bit / 64)] |= 1 << (63 - bit % 64);
        }
        CpuModel {
            name,
            machine_type,
            facilities,
        }
    }

    /// The name, as [`CpuModel::by_name`] takes it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The facility list as STORE FACILITY LIST EXTENDED stores it: facility 0 is the leftmost
    /// bit of the first byte.
    pub fn facilities(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (b, word) in bytes.chunks_exact_mut(8).zip(self.facilities) {
            b.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// The machine type: four decimal digits in binary-coded form, 0x2817 for a z196.
    pub fn machine_type(&self) -> u16 {
        self.machine_type
    }

    /// What STORE CPU ID stores: version 0xff as under KVM, no serial number, machine type,
    /// format bit.
    pub fn cpu_id(&self) -> u64 {
        0xff00_0000_0000_8000 | u64::from(self.machine_type) << 16
    }

    /// Whether facility `bit` (0 to 255) is installed.
    pub fn has(&self, bit: u8) -> bool {
        self.facilities[usize::from(bit / 64)] & (1 << (63 - bit % 64)) != 0
    }
}

impl Default for CpuModel {
    fn default() -> Self {
        Self::max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::pgm;
    use crate::decode::{decode, Context};
    use crate::table::{Format, Op, TABLE};
    use crate::testing::{assert_interrupted, cpu, run, DATA};

    fn model(name: &str) -> CpuModel {
        CpuModel::by_name(name).unwrap()
    }

    #[test]
    fn test_names() {
        for name in CpuModel::NAMES {
            assert_eq!(model(name).name(), name);
        }
        assert_eq!(CpuModel::by_name("z901"), None);
        assert_eq!(CpuModel::default().name(), "max");
    }

    #[test]
    fn test_facility_bits_count_from_the_left() {
        assert_eq!(
            model("z900").facilities()[..8],
            [0xe0, 0, 0x80, 0, 0, 0, 0, 0]
        );
        let z10 = model("z10").facilities();
        assert_eq!(z10[..8], [0xf1, 0x60, 0xef, 0xfb, 0xf0, 0xe8, 0, 0]);
        assert_eq!(
            z10[16..],
            [0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    /// The lists that kernels compare with, by the machine that they were built for.
    #[test]
    fn test_kernels_built_for_a_machine_find_its_facilities() {
        let built_for: [(&str, u64); 9] = [
            // Linux 2.6.32 to 3.19: z900, z9-109, z10, z196.
            ("z900", 0xc000_0000_0000_0000),
            ("z10", 0xc100_efc3_0000_0000),
            ("z10", 0xc100_efe3_f068_0000),
            ("z196", 0xc100_efe3_f46c_0000),
            // Linux 4.4.
            ("z10", 0xc100_efc2_0000_0000),
            ("z10", 0xc100_eff2_f068_0000),
            ("z196", 0xc100_eff2_f46c_0000),
            // Linux 4.14: 0, 1, 18, 21, 25, 27, 32 to 35; 45.
            ("z10", 0xc000_2450_f000_0000),
            ("z196", 0xc000_2450_f004_0000),
        ];
        for (name, wanted) in built_for {
            let missing = wanted & !model(name).facilities[0];
            assert_eq!(missing, 0, "{name}: {missing:016x} of {wanted:016x}");
        }
    }

    /// What distribution kernels for z10 ask for before they do anything else.
    #[test]
    fn test_kernels_of_distributions_are_content() {
        for name in ["z10", "z196", "max"] {
            for bit in [0, 1, 2, 3, 7, 18, 21, 25, 27, 32, 33, 34, 35, 138] {
                assert!(model(name).has(bit), "{name} {bit}");
            }
        }
    }

    #[test]
    fn test_facilities_that_need_others_have_them() {
        for name in CpuModel::NAMES {
            let model = model(name);
            for (bit, needs) in [
                (1, 0),
                (24, 16),
                (30, 22),
                (33, 32),
                (52, 45),
                (53, 45),
                (61, 58),
            ] {
                assert!(!model.has(bit) || model.has(needs), "{name} {bit}");
            }
        }
    }

    #[test]
    fn test_what_is_not_implemented_is_hidden() {
        // Enhanced DAT, topology, message security, hexadecimal and decimal floating point,
        // constrained and other transactions, vectors.
        for bit in [
            8, 78, 11, 17, 76, 77, 146, 20, 23, 42, 48, 50, 73, 129, 134, 135,
        ] {
            assert!(!CpuModel::max().has(bit), "{bit}");
        }
    }

    #[test]
    fn test_every_instruction_is_in_a_model() {
        for e in TABLE {
            let wanted_in_name = Z10_IN_NAME.contains(&e.facility);
            let name = if wanted_in_name { "z196" } else { "max" };
            assert!(model(name).has(e.facility), "{}", e.mnemonic);
        }
    }

    #[test]
    fn test_instructions_of_hidden_facilities_are_operation_exceptions() {
        let mut c = cpu();
        c.set_g(5, DATA);
        // LAY, LOCGR, MVCRL: each since another machine.
        let since = [("e32050000071", 1), ("b9e2f023", 2), ("e50a50005000", 3)];
        for (n, name) in CpuModel::NAMES.into_iter().enumerate() {
            c.model = model(name);
            for (text, first) in since {
                match n >= first {
                    true => run(&mut c, text).unwrap(),
                    false => assert_interrupted(&mut c, text, pgm::OPERATION),
                }
            }
        }
    }

    #[test]
    fn test_the_table_decides_what_there_is() {
        let ctx = Context {
            addr: 0,
            addr_mask: u64::MAX,
            problem_state: false,
            afp: true,
        };
        for model in CpuModel::NAMES.map(model) {
            for e in TABLE.iter().filter(|e| e.format != Format::Pseudo) {
                let key = u64::from(e.key);
                let text = (key >> 8) << 40 | (key & 0xff) << 32 | key & 0xff;
                let op = decode(text, &ctx, |bit| model.has(bit)).op;
                let hidden = op == Op::Illegal;
                assert_eq!(
                    hidden,
                    !model.has(e.facility),
                    "{} {}",
                    model.name,
                    e.mnemonic
                );
            }
        }
    }

    #[test]
    fn test_instructions_tell_the_model() {
        let mut c = cpu();
        c.model = model("z10");
        c.set_g(5, DATA);
        c.set_g(0, 7);
        // STFLE 0(5); STIDP 0x100(5); STFL.
        run(&mut c, "b2b05000 b2025100 b2b10000").unwrap();
        let mut list = [0; 24];
        c.ram.read(DATA, &mut list);
        assert_eq!(list, c.model.facilities()[..24]);
        assert_eq!(c.g(0), 2);
        assert_eq!(c.ram.read_u64(DATA + 0x100), 0xff00_0000_2097_8000);
        assert_eq!(c.ram.read_u64(200) >> 32, 0xf160_effb);
    }
}
