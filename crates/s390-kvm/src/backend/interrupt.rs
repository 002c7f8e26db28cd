// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interruptions in KVM's terms.

use s390_extint::{ExternalInterrupt, VirtioEvent};
use s390_hypervisor::{Error, Result};

use crate::bindings::*;

/// A floating interruption. KVM stores code and subcode itself, so that it knows only those two.
pub(crate) fn floating(interrupt: ExternalInterrupt) -> Result<kvm_s390_irq> {
    let kind = match (interrupt.code, interrupt.subcode) {
        (ExternalInterrupt::SERVICE_SIGNAL, 0) => KVM_S390_INT_SERVICE,
        (ExternalInterrupt::VIRTIO, VirtioEvent::SUBCODE) => KVM_S390_INT_VIRTIO,
        _ => return Err(Error::Invalid("floating interruption: KVM has none such")),
    };
    let ext = kvm_s390_ext_info {
        ext_params: interrupt.params,
        ext_params2: interrupt.params2,
        ..Default::default()
    };
    Ok(irq(kind, |u| u.ext = ext))
}

/// Whether two floating interruptions of the kinds above are the same.
pub(crate) fn is_same(a: &kvm_s390_irq, b: &kvm_s390_irq) -> bool {
    // SAFETY: every member of the union is made of integers, and none is left uninitialised.
    let params = |irq: &kvm_s390_irq| unsafe { (irq.u.ext.ext_params, irq.u.ext.ext_params2) };
    a.type_ == b.type_ && params(a) == params(b)
}

/// [`floating`] for the older ioctl.
pub(crate) fn floating_by_ioctl(interrupt: ExternalInterrupt) -> Result<kvm_s390_interrupt> {
    Ok(kvm_s390_interrupt {
        type_: floating(interrupt)?.type_ as u32,
        parm: interrupt.params,
        parm64: interrupt.params2,
    })
}

/// A program interruption as [`Vcpu::inject_program`](s390_hypervisor::Vcpu::inject_program) has
/// it: the PSW stays, the kernel takes the length code from the intercepted instruction. The
/// kernel also stores what it is given into the lowcore, hence what is there already.
pub(crate) fn program(code: u16, trans_exc_code: u64, exc_access_id: u8) -> kvm_s390_irq {
    let pgm = kvm_s390_pgm_info {
        code,
        trans_exc_code,
        exc_access_id,
        flags: KVM_S390_PGM_FLAGS_NO_REWIND,
        ..Default::default()
    };
    irq(KVM_S390_PROGRAM_INT, |u| u.pgm = pgm)
}

/// An external call from the CPU with this address.
pub(crate) fn external_call(code: u16) -> kvm_s390_irq {
    let extcall = kvm_s390_extcall_info { code };
    irq(KVM_S390_INT_EXTERNAL_CALL, |u| u.extcall = extcall)
}

/// An emergency signal from the CPU with this address.
pub(crate) fn emergency_signal(code: u16) -> kvm_s390_irq {
    let emerg = kvm_s390_emerg_info { code };
    irq(KVM_S390_INT_EMERGENCY, |u| u.emerg = emerg)
}

/// A restart.
pub(crate) fn restart() -> kvm_s390_irq {
    irq(KVM_S390_RESTART, |_| ())
}

fn irq(kind: u32, fill: impl FnOnce(&mut kvm_s390_irq__bindgen_ty_1)) -> kvm_s390_irq {
    let mut irq = kvm_s390_irq {
        type_: kind.into(),
        ..Default::default()
    };
    fill(&mut irq.u);
    irq
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The union's bytes, as numbers of the host.
    fn bytes(irq: &kvm_s390_irq) -> [u8; 64] {
        // SAFETY: the union is made of integers and was all zeros before it was filled.
        unsafe { irq.u.reserved }
    }

    #[test]
    fn a_virtio_interruption_carries_event_and_token() {
        let interrupt = ExternalInterrupt {
            params: 1,
            params2: 0x1122_3344_5566_7788,
            code: 0x2603,
            subcode: 0x0d00,
        };
        let irq = floating(interrupt).unwrap();
        assert_eq!(irq.type_, 0xffff_2603);
        assert_eq!(bytes(&irq)[..4], 1_u32.to_ne_bytes());
        let token = 0x1122_3344_5566_7788_u64;
        assert_eq!(bytes(&irq)[8..16], token.to_ne_bytes());
        let old = floating_by_ioctl(interrupt).unwrap();
        assert_eq!((old.type_, old.parm, old.parm64), (0xffff_2603, 1, token));
    }

    #[test]
    fn kind_event_and_token_make_a_floating_interruption() {
        let virtio = |params, params2| ExternalInterrupt {
            params,
            params2,
            code: 0x2603,
            subcode: 0x0d00,
        };
        let irq = floating(virtio(1, 0x10)).unwrap();
        assert!(is_same(&irq, &floating(virtio(1, 0x10)).unwrap()));
        assert!(!is_same(&irq, &floating(virtio(0, 0x10)).unwrap()));
        assert!(!is_same(&irq, &floating(virtio(1, 0x12)).unwrap()));
        let service = floating(ExternalInterrupt::service(0, true)).unwrap();
        assert!(!is_same(&service, &floating(virtio(1, 0)).unwrap()));
    }

    #[test]
    fn a_service_signal_carries_the_control_block() {
        let interrupt = ExternalInterrupt::service(0x1_0008, true);
        let irq = floating(interrupt).unwrap();
        assert_eq!(irq.type_, 0xffff_2401);
        assert_eq!(bytes(&irq)[..4], 0x1_0009_u32.to_ne_bytes());
        let old = floating_by_ioctl(interrupt).unwrap();
        assert_eq!((old.type_, old.parm), (0xffff_2401, 0x1_0009));
    }

    #[test]
    fn no_other_interruption_floats() {
        let pfault = ExternalInterrupt {
            code: 0x2603,
            subcode: 0x0680,
            params: 0,
            params2: 0,
        };
        for interrupt in [pfault, ExternalInterrupt::cpu_timer()] {
            assert!(matches!(floating(interrupt), Err(Error::Invalid(_))));
            assert!(floating_by_ioctl(interrupt).is_err());
        }
    }

    #[test]
    fn a_program_interruption_leaves_the_psw() {
        let irq = program(0x10, 0xabcd_e000, 5);
        assert_eq!(irq.type_, 0xfffe_0001);
        let bytes = bytes(&irq);
        assert_eq!(bytes[..8], 0xabcd_e000_u64.to_ne_bytes());
        assert_eq!(bytes[28..30], 0x10_u16.to_ne_bytes());
        assert_eq!(bytes[34], 5);
        // Not rewound; the length is the kernel's to find.
        assert_eq!(bytes[37], 0x08);
    }

    #[test]
    fn signals_carry_the_address_of_the_sender() {
        let (call, signal) = (external_call(0x1234), emergency_signal(0x1234));
        assert_eq!(call.type_, 0xffff_1202);
        assert_eq!(signal.type_, 0xffff_1201);
        for irq in [call, signal] {
            assert_eq!(bytes(&irq)[..2], 0x1234_u16.to_ne_bytes());
        }
        assert_eq!(restart().type_, 0xfffe_0003);
    }
}
