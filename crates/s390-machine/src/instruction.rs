// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which intercepted instruction is whose, and the one place that tests for the problem state.

use s390_hypercall::{Diagnose, ProgramInterruption};
use s390_hypervisor::{Intercept, Vcpu};
use vm_memory::GuestMemory;

use crate::fault::Handled;
use crate::{Machine, Outcome};

/// Instructions that a machine answers. All of them are privileged.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Operation {
    Diagnose,
    Sigp,
    ServiceCall,
    Stsi,
    ChannelIo,
}

impl Operation {
    fn decode(ipa: u16) -> Option<Self> {
        Some(match (ipa >> 8, ipa & 0xff) {
            (0x83, _) => Operation::Diagnose,
            (0xae, _) => Operation::Sigp,
            (0xb2, 0x20) => Operation::ServiceCall,
            (0xb2, 0x7d) => Operation::Stsi,
            // CSCH, HSCH, MSCH, SSCH, STSCH, TSCH, TPI, SAL, RSCH, STCRW, STCPS, RCHP, SCHM,
            // then CHSC, SIGA, XSCH.
            (0xb2, 0x30..=0x3c | 0x5f | 0x74 | 0x76) => Operation::ChannelIo,
            _ => return None,
        })
    }
}

impl<M: GuestMemory> Machine<M> {
    /// Carries out an intercepted instruction.
    pub(crate) fn execute(&self, vcpu: &mut dyn Vcpu, intercept: Intercept) -> Handled {
        let Some(operation) = Operation::decode(intercept.ipa) else {
            return Err(ProgramInterruption::OPERATION.into());
        };
        if vcpu.psw().is_problem_state() {
            return Err(ProgramInterruption::PRIVILEGED_OPERATION.into());
        }
        match operation {
            Operation::Diagnose => {
                let (ipa, ipb) = (intercept.ipa, intercept.ipb);
                match Diagnose::decode(ipa, ipb, |n| vcpu.gpr(n)) {
                    Some(diagnose) => self.diagnose(vcpu, diagnose),
                    None => Err(ProgramInterruption::OPERATION.into()),
                }
            }
            Operation::Sigp => self.sigp(vcpu, intercept),
            Operation::ServiceCall => self.service_call(vcpu, intercept),
            Operation::Stsi => self.stsi(vcpu, intercept),
            Operation::ChannelIo => {
                // There is no channel subsystem: "not operational" ends every search for one.
                vcpu.set_cc(3);
                Ok(Outcome::Resume)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use s390_hypervisor::Psw;

    use crate::test_utils::Rig;
    use crate::Outcome;

    const PRIVILEGED: [u16; 20] = [
        0x8324, 0xae02, 0xb220, 0xb27d, 0xb230, 0xb231, 0xb232, 0xb233, 0xb234, 0xb235, 0xb236,
        0xb237, 0xb238, 0xb239, 0xb23a, 0xb23b, 0xb23c, 0xb25f, 0xb274, 0xb276,
    ];

    #[test]
    fn everything_is_privileged() {
        for ipa in PRIVILEGED {
            let mut rig = Rig::new(1);
            rig.vcpu.state.psw.mask |= Psw::PROBLEM;
            let before = rig.vcpu.state.clone();
            assert_eq!(rig.run(ipa, 0), Outcome::Resume);
            assert_eq!(rig.vcpu.programs, [0x0002], "{ipa:#x}");
            assert_eq!(rig.vcpu.state, before);
            assert!(rig.vm.injected().is_empty());
        }
    }

    #[test]
    fn channel_io_finds_nothing() {
        for ipa in &PRIVILEGED[4..] {
            let mut rig = Rig::new(1);
            let psw = rig.vcpu.state.psw;
            assert_eq!(rig.run(*ipa, 0), Outcome::Resume);
            assert_eq!(rig.vcpu.state.psw.cc(), 3);
            assert_eq!(rig.vcpu.state.psw.addr, psw.addr);
            assert!(rig.vcpu.programs.is_empty());
        }
    }

    #[test]
    fn other_instructions_are_operation_exceptions_even_in_the_problem_state() {
        for ipa in [
            0x0000, 0x8200, 0xb221, 0xb22f, 0xb23d, 0xb2ff, 0xeb00, 0xffff,
        ] {
            for problem in [0, Psw::PROBLEM] {
                let mut rig = Rig::new(1);
                rig.vcpu.state.psw.mask |= problem;
                assert_eq!(rig.run(ipa, 0), Outcome::Resume);
                assert_eq!(rig.vcpu.programs, [0x0001], "{ipa:#x}");
            }
        }
    }
}
