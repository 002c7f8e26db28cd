// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! STORE SYSTEM INFORMATION: registers, checks and condition code; blocks are in `sysib.rs`.

use s390_hypercall::ProgramInterruption;
use s390_hypervisor::{Intercept, Psw, Vcpu};
use vm_memory::GuestMemory;

use crate::fault::Handled;
use crate::{sysib, Machine, Outcome};

/// The configuration level: a virtual machine.
const LEVEL: u64 = 3;

/// Bits of registers 0 and 1 that must be zero.
const R0_RESERVED: u64 = 0x0fff_ff00;
const R1_RESERVED: u64 = 0xffff_0000;

impl<M: GuestMemory> Machine<M> {
    /// Function code and selector 1 are in register 0, selector 2 is in register 1.
    pub(crate) fn stsi(&self, vcpu: &mut dyn Vcpu, intercept: Intercept) -> Handled {
        let (r0, r1) = (vcpu.gpr(0), vcpu.gpr(1));
        let function = (r0 >> 28 & 15) as u8;
        if u64::from(function) > LEVEL {
            vcpu.set_cc(3);
            return Ok(Outcome::Resume);
        }
        if r0 & R0_RESERVED != 0 || r1 & R1_RESERVED != 0 {
            return Err(ProgramInterruption::SPECIFICATION.into());
        }
        if function == 0 {
            vcpu.set_gpr(0, r0 & !u64::from(u32::MAX) | LEVEL << 28);
            vcpu.set_cc(0);
            return Ok(Outcome::Resume);
        }
        let (base, displacement) = intercept.base_displacement();
        let operand = effective_address(vcpu, base, displacement);
        if operand % sysib::SIZE as u64 != 0 {
            return Err(ProgramInterruption::SPECIFICATION.into());
        }
        let request = (function, r0 as u8, r1 as u16);
        let cpus = self.cpus.len() as u16;
        let cc = match sysib::block(request, &self.config, vcpu.address(), cpus) {
            Some(block) => {
                self.store(vcpu, operand, base, block.bytes())?;
                0
            }
            None => 3,
        };
        vcpu.set_cc(cc);
        Ok(Outcome::Resume)
    }
}

/// Base plus displacement in the addressing mode of the CPU.
fn effective_address(vcpu: &dyn Vcpu, base: u8, displacement: u16) -> u64 {
    let base = if base == 0 { 0 } else { vcpu.gpr(base) };
    let address = base.wrapping_add(displacement.into());
    match (
        vcpu.psw().mask & Psw::EXTENDED,
        vcpu.psw().mask & Psw::BASIC,
    ) {
        (0, 0) => address & 0x00ff_ffff,
        (0, _) => address & 0x7fff_ffff,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use s390_hypervisor::Psw;
    use vm_memory::{Bytes, GuestAddress};

    use crate::test_utils::Rig;
    use crate::Outcome;

    const AT: u64 = 0x5000;

    /// Operand in register 3.
    fn stsi(rig: &mut Rig, r0: u64, r1: u64) -> u8 {
        rig.vcpu.state.gprs[0] = r0;
        rig.vcpu.state.gprs[1] = r1;
        rig.vcpu.state.psw.set_cc(2);
        assert_eq!(rig.run(0xb27d, 0x3000_0000), Outcome::Resume);
        rig.vcpu.state.psw.cc()
    }

    fn rig() -> Rig {
        let mut rig = Rig::new(1);
        rig.vcpu.state.gprs[3] = AT;
        rig
    }

    fn name(rig: &Rig, at: u64) -> [u8; 3] {
        rig.memory.read_obj(GuestAddress(at + 56)).unwrap()
    }

    const KVM: [u8; 3] = [0xd2, 0xe5, 0xd4];

    #[test]
    fn a_guest_recognises_kvm() {
        let mut rig = rig();
        assert_eq!(stsi(&mut rig, 0x3000_0002, 2), 0);
        assert_eq!(name(&rig, AT), KVM);
        assert!(rig.vcpu.programs.is_empty());
        assert_eq!(rig.vcpu.state.gprs[0], 0x3000_0002);
    }

    #[test]
    fn function_0_tells_the_level_and_needs_no_operand() {
        let mut rig = rig();
        rig.vcpu.state.gprs[3] = AT + 1;
        assert_eq!(stsi(&mut rig, 0xffff_ffff_0000_0007, 9), 0);
        assert_eq!(rig.vcpu.state.gprs[0], 0xffff_ffff_3000_0000);
        assert!(rig.vcpu.programs.is_empty());
    }

    #[test]
    fn what_is_not_there_is_condition_code_3() {
        for (r0, r1) in [
            (0x3000_0001, 2),
            (0x3000_0002, 1),
            (0x2000_0002, 2),
            (0x1000_0000, 0),
            (0x4000_0000, 0),
            // Reserved bits are not looked at for a function that is not there.
            (0xf000_0100, 0),
        ] {
            let mut rig = rig();
            assert_eq!(stsi(&mut rig, r0, r1), 3, "{r0:#x} {r1}");
            assert!(rig.vcpu.programs.is_empty());
            assert_eq!(name(&rig, AT), [0; 3]);
        }
    }

    #[test]
    fn reserved_bits_and_alignment_are_checked() {
        for (r0, r1, at) in [
            (0x3000_0102, 2, AT),
            (0x3080_0002, 2, AT),
            (0x3000_0002, 0x1_0002, AT),
            (0x3000_0002, 2, AT + 8),
            (0x0000_0100, 0, AT),
        ] {
            let mut rig = rig();
            rig.vcpu.state.gprs[3] = at;
            let _ = stsi(&mut rig, r0, r1);
            assert_eq!(rig.vcpu.programs, [6], "{r0:#x} {r1:#x} {at:#x}");
        }
    }

    #[test]
    fn storage_that_is_not_there_is_an_addressing_exception() {
        for at in [Rig::RAM + 0x10_0000, 0xffff_ffff_ffff_f000] {
            let mut rig = rig();
            rig.vcpu.state.gprs[3] = at;
            let _ = stsi(&mut rig, 0x3000_0002, 2);
            assert_eq!(rig.vcpu.programs, [5]);
        }
    }

    #[test]
    fn addresses_wrap_in_31_bit_mode() {
        let mut rig = rig();
        rig.vcpu.state.psw.mask &= !Psw::EXTENDED;
        rig.vcpu.state.gprs[3] = 0xffff_ffff_8000_0000 | AT;
        assert_eq!(stsi(&mut rig, 0x3000_0002, 2), 0);
        assert_eq!(name(&rig, AT), KVM);
    }

    #[test]
    fn prefixing_applies() {
        let mut rig = rig();
        rig.vcpu.state.prefix = 0x8000;
        rig.vcpu.state.gprs[3] = 0x1000;
        assert_eq!(stsi(&mut rig, 0x3000_0002, 2), 0);
        assert_eq!(name(&rig, 0x9000), KVM);
        assert_eq!(name(&rig, 0x1000), [0; 3]);
        // And back: absolute 0 is reached through the prefix.
        rig.vcpu.state.gprs[3] = 0x9000;
        assert_eq!(stsi(&mut rig, 0x3000_0002, 2), 0);
        assert_eq!(name(&rig, 0x1000), KVM);
    }
}
