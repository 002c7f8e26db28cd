// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DIAGNOSE: the function table. An unknown function is a specification exception, as in KVM
//! and z/VM; Linux expects that of every optional function.

use std::thread;

use s390_hypercall::{Diagnose, Hypercall, ProgramInterruption};
use s390_hypervisor::Vcpu;
use vm_memory::GuestMemory;

use crate::fault::{Fault, Handled};
use crate::{Machine, Outcome};

/// Release pages: their content is not needed any more.
const RELEASE_PAGES: u16 = 0x010;
/// Voluntary time-slice end.
const TIME_SLICE_END: u16 = 0x044;
/// Voluntary time-slice yield in favour of a CPU.
const DIRECTED_YIELD: u16 = 0x09c;
/// Watchdog.
const WATCHDOG: u16 = 0x288;
/// IPL functions.
const IPL_FUNCTIONS: u16 = 0x308;
/// KVM hypercalls.
const HYPERCALL: u16 = s390_hypercall::DIAG_KVM;

/// Pages that may never be released: the lowcore.
const LOWCORE: u64 = 0x2000;
const PAGE: u64 = 0x1000;

impl<M: GuestMemory> Machine<M> {
    pub(crate) fn diagnose(&self, vcpu: &mut dyn Vcpu, diagnose: Diagnose) -> Handled {
        match diagnose.function {
            RELEASE_PAGES => release_pages(vcpu, diagnose),
            TIME_SLICE_END | DIRECTED_YIELD => {
                thread::yield_now();
                Ok(Outcome::Resume)
            }
            WATCHDOG if self.config.watchdog => self.watchdog_function(vcpu, diagnose),
            IPL_FUNCTIONS => self.ipl_functions(vcpu, diagnose),
            HYPERCALL => {
                let answer = self.hypercalls.call(Hypercall::decode(|n| vcpu.gpr(n)))?;
                vcpu.set_gpr(2, answer as u64);
                Ok(Outcome::Resume)
            }
            // Among them 0x258, by which a guest would learn of page faults of the host (none
            // are told), and 0x260, which would tell memory sizes: a guest that is refused asks
            // the SCLP.
            _ => Err(ProgramInterruption::SPECIFICATION.into()),
        }
    }
}

/// The guest's hint is checked and not taken: releasing is the host's choice, and the content of
/// a released page is undefined.
fn release_pages(vcpu: &dyn Vcpu, diagnose: Diagnose) -> Handled {
    let start = vcpu.gpr(diagnose.r1);
    let last = vcpu.gpr(diagnose.r3);
    if (start | last) % PAGE != 0 || start > last || start < LOWCORE {
        return Err(Fault::Program(ProgramInterruption::SPECIFICATION));
    }
    Ok(Outcome::Resume)
}

#[cfg(test)]
mod tests {
    use crate::test_utils::Rig;
    use crate::Outcome;

    #[test]
    fn yields_have_no_effect_on_the_guest() {
        for function in [0x044, 0x09c] {
            let mut rig = Rig::new(1);
            let before = rig.vcpu.state.clone();
            assert_eq!(rig.diagnose(0x12, function), Outcome::Resume);
            assert_eq!(rig.vcpu.state, before);
            assert!(rig.vcpu.programs.is_empty());
        }
    }

    #[test]
    fn unknown_functions_are_specification_exceptions() {
        for function in [
            0, 8, 0x204, 0x214, 0x224, 0x258, 0x260, 0x288, 0x318, 0x501, 0xfff,
        ] {
            let mut rig = Rig::new(1);
            let before = rig.vcpu.state.clone();
            assert_eq!(rig.diagnose(0x24, function), Outcome::Resume);
            assert_eq!(rig.vcpu.programs, [0x0006], "{function:#x}");
            assert_eq!(rig.vcpu.state, before);
        }
    }

    #[test]
    fn function_codes_are_base_plus_displacement() {
        let mut rig = Rig::new(1);
        rig.vcpu.state.gprs[5] = 0x7_0001_0040;
        assert_eq!(rig.run(0x8300, 0x5004_0000), Outcome::Resume);
        assert!(rig.vcpu.programs.is_empty());
    }

    #[test]
    fn release_pages_checks_its_range() {
        let release = |first, last| {
            let mut rig = Rig::new(1);
            rig.vcpu.state.gprs[3] = first;
            rig.vcpu.state.gprs[4] = last;
            assert_eq!(rig.diagnose(0x34, 0x010), Outcome::Resume);
            rig.vcpu.programs
        };
        assert!(release(0x10000, 0x10000).is_empty());
        assert!(release(0x2000, 0x8000).is_empty());
        for (first, last) in [
            (0x10001, 0x20000),
            (0x10000, 0x20001),
            (0x3000, 0x2000),
            (0, 0x9000),
        ] {
            assert_eq!(release(first, last), [0x0006]);
        }
    }

    #[test]
    fn hypercalls_reach_the_handler() {
        let mut rig = Rig::new(1);
        rig.vcpu.state.gprs[1] = 0;
        rig.vcpu.state.gprs[2] = Rig::RING;
        let psw = rig.vcpu.state.psw;
        assert_eq!(rig.diagnose(0x24, 0x500), Outcome::Resume);
        assert_eq!(rig.vcpu.state.gprs[2], 0);
        assert_eq!(rig.vcpu.state.psw, psw);

        rig.vcpu.state.gprs[2] = Rig::RING + 1;
        assert_eq!(rig.diagnose(0x24, 0x500), Outcome::Resume);
        assert_eq!(rig.vcpu.state.gprs[2], -22_i64 as u64);
    }

    #[test]
    fn refused_hypercalls_leave_r2_alone() {
        for nr in [3, 4, 5, 1 << 32, u64::MAX] {
            let mut rig = Rig::new(1);
            rig.vcpu.state.gprs[1] = nr;
            rig.vcpu.state.gprs[2] = 0;
            let before = rig.vcpu.state.clone();
            assert_eq!(rig.diagnose(0x24, 0x500), Outcome::Resume);
            assert_eq!(rig.vcpu.programs, [0x0006]);
            assert_eq!(rig.vcpu.state, before);
        }
    }
}
