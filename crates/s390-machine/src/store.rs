// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Storing an operand for a guest: translation, prefixing, and the exceptions of both.

use s390_extint::lowcore;
use s390_hypercall::ProgramInterruption;
use s390_hypervisor::{Psw, Vcpu};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::fault::{Fault, Translation};
use crate::translate::Translator;
use crate::{Machine, Result};

/// Length of every instruction that is answered here.
const INSTRUCTION_LENGTH: u64 = 4;

/// Control register 0: low-address protection.
const LOW_ADDRESS_PROTECTION: u64 = 0x1000_0000;

impl<M: GuestMemory> Machine<M> {
    /// Stores `bytes`, which do not cross a page, at the logical address `addr`, formed with base
    /// register `base`.
    pub(crate) fn store(
        &self,
        vcpu: &dyn Vcpu,
        addr: u64,
        base: u8,
        bytes: &[u8],
    ) -> std::result::Result<(), Fault> {
        let state = vcpu.state()?;
        // The first 512 bytes of both pages of the lowcore.
        if state.crs[0] & LOW_ADDRESS_PROTECTION != 0 && addr & !0x11ff == 0 {
            return Err(ProgramInterruption::PROTECTION.into());
        }
        let real = if state.psw.mask & Psw::DAT == 0 {
            addr
        } else {
            Translator::new(&self.memory, &state).translate_store(addr, base)?
        };
        let absolute = GuestAddress(prefixed(real, vcpu.prefix()));
        if absolute.0 >= self.config.memory_size
            || self.memory.write_slice(bytes, absolute).is_err()
        {
            return Err(ProgramInterruption::ADDRESSING.into());
        }
        Ok(())
    }

    /// A program interruption that undoes the instruction: it can be repeated once the guest has
    /// made the page available.
    pub(crate) fn inject_translation(
        &self,
        vcpu: &mut dyn Vcpu,
        translation: Translation,
    ) -> Result<()> {
        let at = u64::from(vcpu.prefix()) + u64::from(lowcore::TRANS_EXC_ID.offset);
        let identification = translation.identification.to_be_bytes();
        // A prefix without storage: the interruption itself will fail, which the backend tells.
        let _ = self.memory.write_slice(&identification, GuestAddress(at));
        let mut psw = vcpu.psw();
        psw.addr = psw.addr.wrapping_sub(INSTRUCTION_LENGTH);
        vcpu.set_psw(psw);
        vcpu.inject_program(translation.code)?;
        Ok(())
    }
}

/// Prefixing: swaps the 8 KiB at zero with those at the prefix.
pub(crate) fn prefixed(real: u64, prefix: u32) -> u64 {
    let area = real & !(lowcore::SIZE as u64 - 1);
    match area {
        0 => real | u64::from(prefix),
        area if area == u64::from(prefix) => real - area,
        _ => real,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_utils::Rig;
    use crate::Outcome;

    #[test]
    fn prefixing_swaps_two_areas() {
        assert_eq!(prefixed(0x1fff, 0x8000), 0x9fff);
        assert_eq!(prefixed(0x2000, 0x8000), 0x2000);
        assert_eq!(prefixed(0x9fff, 0x8000), 0x1fff);
        assert_eq!(prefixed(0xa000, 0x8000), 0xa000);
        assert_eq!(prefixed(0x1234, 0), 0x1234);
    }

    /// STSI 3.2.2 with the operand in register 3.
    fn stsi(rig: &mut Rig, operand: u64) {
        rig.vcpu.state.gprs[0] = 0x3000_0002;
        rig.vcpu.state.gprs[1] = 2;
        rig.vcpu.state.gprs[3] = operand;
        assert_eq!(rig.run(0xb27d, 0x3000_0000), Outcome::Resume);
    }

    #[test]
    fn a_page_that_is_missing_undoes_the_instruction() {
        let mut rig = Rig::new(1);
        rig.vcpu.state.prefix = 0x8000;
        rig.vcpu.state.crs[1] = 0x10000;
        rig.vcpu.state.psw.mask |= Psw::DAT;
        // The segment table's first entry is not valid.
        rig.put(0x10000, 0x20);
        let before = rig.vcpu.state.clone();
        stsi(&mut rig, 0x5000);
        assert_eq!(rig.vcpu.programs, [0x10]);
        assert_eq!(rig.vcpu.state.psw.addr, before.psw.addr - 4);
        assert_eq!(rig.vcpu.state.psw.mask, before.psw.mask);
        assert_eq!(rig.get(0x80a8), 0x5000);
    }

    #[test]
    fn a_translated_operand_is_stored_where_the_tables_say() {
        let mut rig = Rig::new(1);
        rig.vcpu.state.crs[1] = 0x10000;
        rig.vcpu.state.psw.mask |= Psw::DAT;
        rig.put(0x10000, 0x14000);
        rig.put(0x14000 + 5 * 8, 0x30000);
        stsi(&mut rig, 0x5000);
        assert!(rig.vcpu.programs.is_empty());
        assert_eq!(rig.get(0x30000 + 56) >> 40, 0xd2_e5d4);
        assert_eq!(rig.get(0x5000 + 56), 0);
    }

    #[test]
    fn low_addresses_can_be_protected() {
        for (operand, protected) in [(0, true), (0x1000, true), (0x2000, false)] {
            let mut rig = Rig::new(1);
            rig.vcpu.state.crs[0] = LOW_ADDRESS_PROTECTION;
            stsi(&mut rig, operand);
            let expected: &[u16] = if protected { &[4] } else { &[] };
            assert_eq!(rig.vcpu.programs, expected);
        }
    }

    #[test]
    fn the_device_page_is_no_operand() {
        let mut rig = Rig::new(1);
        stsi(&mut rig, Rig::RAM);
        assert_eq!(rig.vcpu.programs, [5]);
    }
}
