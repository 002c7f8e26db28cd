// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! SERVICE CALL: registers and condition code; the SCLP does the rest.

use s390_extint::ExternalInterrupt;
use s390_hypercall::ProgramInterruption;
use s390_hypervisor::{Intercept, Vcpu};
use vm_memory::GuestMemory;

use crate::fault::Handled;
use crate::machine::lock;
use crate::{Machine, Outcome};

impl<M: GuestMemory> Machine<M> {
    /// The command word is in R1, the absolute address of the control block in R2, both 32 bits.
    /// The call is complete before the guest goes on, which it learns from a service signal.
    pub(crate) fn service_call(&self, vcpu: &mut dyn Vcpu, intercept: Intercept) -> Handled {
        let (r1, r2) = intercept.rre();
        let command = vcpu.gpr(r1) as u32;
        let sccb = vcpu.gpr(r2) as u32;
        let completion = lock(&self.sclp)
            .service_call(command, sccb, vcpu.prefix(), &self.memory)
            .map_err(|e| ProgramInterruption(e.code()))?;
        vcpu.set_cc(completion.cc);
        let event_pending = completion.parameter & ExternalInterrupt::SERVICE_EVENT_PENDING != 0;
        self.vm.inject(ExternalInterrupt::service(
            completion.parameter,
            event_pending,
        ))?;
        Ok(Outcome::Resume)
    }
}

#[cfg(test)]
mod tests {
    use s390_hypervisor::ExternalInterrupt;
    use vm_memory::{Bytes, GuestAddress};

    use crate::test_utils::Rig;
    use crate::Outcome;

    const READ_SCP_INFO: u64 = 0x0002_0001;
    const SCCB: u64 = 0x9000;

    fn rig(command: u64, sccb: u64, length: u16) -> Rig {
        let mut rig = Rig::new(1);
        rig.vcpu.state.gprs[6] = 0xffff_ffff_0000_0000 | command;
        rig.vcpu.state.gprs[9] = 0xffff_ffff_0000_0000 | sccb;
        let at = GuestAddress(SCCB);
        rig.memory.write_obj(length.to_be_bytes(), at).unwrap();
        rig.vcpu.state.psw.set_cc(1);
        rig
    }

    #[test]
    fn command_is_r1_and_block_is_r2_and_a_signal_follows() {
        let mut rig = rig(READ_SCP_INFO, SCCB, 4096);
        assert_eq!(rig.run(0xb220, 0x0069_0000), Outcome::Resume);
        assert!(rig.vcpu.programs.is_empty());
        assert_eq!(rig.vcpu.state.psw.cc(), 0);
        let signal = ExternalInterrupt::service(SCCB as u32, false);
        assert_eq!(rig.vm.injected(), [signal]);
        let response: [u8; 2] = rig.memory.read_obj(GuestAddress(SCCB + 6)).unwrap();
        assert_eq!(response, [0x00, 0x10]);
    }

    #[test]
    fn bad_addresses_are_program_interruptions_without_a_signal() {
        for (sccb, code) in [(SCCB + 4, 6), (0, 6), (0x8000_0000, 6), (0x4000_0000, 5)] {
            let mut rig = rig(READ_SCP_INFO, sccb, 4096);
            assert_eq!(rig.run(0xb220, 0x0069_0000), Outcome::Resume);
            assert_eq!(rig.vcpu.programs, [code], "{sccb:#x}");
            assert!(rig.vm.injected().is_empty());
            assert_eq!(rig.vcpu.state.psw.cc(), 1);
        }
    }

    #[test]
    fn the_prefix_area_is_closed() {
        let mut rig = rig(READ_SCP_INFO, SCCB, 4096);
        rig.vcpu.state.prefix = 0x8000;
        assert_eq!(rig.run(0xb220, 0x0069_0000), Outcome::Resume);
        assert_eq!(rig.vcpu.programs, [6]);
    }
}
