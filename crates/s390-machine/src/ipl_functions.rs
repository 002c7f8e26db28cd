// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DIAGNOSE 0x308: resets, and the IPL parameter block that this machine does not have.

use s390_hypercall::{Diagnose, ProgramInterruption};
use s390_hypervisor::Vcpu;
use vm_memory::GuestMemory;

use crate::fault::Handled;
use crate::{Machine, Outcome, Reboot, RebootKind};

/// Return code: no IPL parameter block is configured.
const NO_CONFIGURATION: u64 = 0x0102;

impl<M: GuestMemory> Machine<M> {
    pub(crate) fn ipl_functions(&self, vcpu: &mut dyn Vcpu, diagnose: Diagnose) -> Handled {
        let reboot = |kind| {
            let cpu = vcpu.address();
            Ok(Outcome::Reboot(Reboot { kind, cpu }))
        };
        match vcpu.gpr(diagnose.r3) {
            0 => reboot(RebootKind::ModifiedClear),
            1 => reboot(RebootKind::LoadNormal),
            3 => reboot(RebootKind::ReIpl { clear: true }),
            4 => reboot(RebootKind::ReIpl { clear: false }),
            5 | 6 => parameter_block(vcpu, diagnose.r1),
            _ => Err(ProgramInterruption::SPECIFICATION.into()),
        }
    }
}

/// Set and store: the address of the block is in R1, an even register; the return code goes to
/// the next.
fn parameter_block(vcpu: &mut dyn Vcpu, r1: u8) -> Handled {
    if r1 % 2 != 0 || vcpu.gpr(r1) % 0x1000 != 0 {
        return Err(ProgramInterruption::SPECIFICATION.into());
    }
    vcpu.set_gpr(r1 + 1, NO_CONFIGURATION);
    Ok(Outcome::Resume)
}

#[cfg(test)]
mod tests {
    use crate::test_utils::Rig;
    use crate::{Outcome, Reboot, RebootKind};

    fn call(r1: u8, address: u64, subcode: u64) -> (Outcome, Rig) {
        let mut rig = Rig::new(1);
        rig.vcpu.state.gprs[usize::from(r1)] = address;
        rig.vcpu.state.gprs[4] = subcode;
        (rig.diagnose(r1 << 4 | 4, 0x308), rig)
    }

    #[test]
    fn resets_become_a_reboot() {
        let expected = [
            (0, RebootKind::ModifiedClear),
            (1, RebootKind::LoadNormal),
            (3, RebootKind::ReIpl { clear: true }),
            (4, RebootKind::ReIpl { clear: false }),
        ];
        for (subcode, kind) in expected {
            let (outcome, rig) = call(0, 0, subcode);
            assert_eq!(outcome, Outcome::Reboot(Reboot { kind, cpu: 0 }));
            assert!(rig.vcpu.programs.is_empty());
        }
    }

    #[test]
    fn there_is_no_parameter_block() {
        for subcode in [5, 6] {
            let (outcome, rig) = call(2, 0x1000, subcode);
            assert_eq!(outcome, Outcome::Resume);
            assert_eq!(rig.vcpu.state.gprs[2..4], [0x1000, 0x0102]);
            assert!(rig.vcpu.programs.is_empty());
        }
    }

    #[test]
    fn bad_operands_and_subcodes_are_specification_exceptions() {
        let calls = [
            (3, 0x1000, 6),
            (2, 0x1001, 6),
            (15, 0, 5),
            (2, 0, 2),
            (2, 0, 7),
            (2, 0, 8),
            (2, 0, 10),
            (2, 0, 0x1_0000_0003),
        ];
        for (r1, address, subcode) in calls {
            let (outcome, rig) = call(r1, address, subcode);
            assert_eq!(outcome, Outcome::Resume);
            assert_eq!(rig.vcpu.programs, [0x0006], "{r1} {address:#x} {subcode}");
        }
    }
}
