// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who answers what on KVM: the table in `DESIGN.md`, instruction by instruction.

mod common;

use common::{on_kvm, Guest, DIAG, MASK};
use s390_hypervisor::{Intercept, Psw, VcpuExit};

/// The block of DIAGNOSE and the like, in storage that is else empty.
const OPERAND: u64 = 0x40000;
/// One page on.
const BEHIND: u64 = 0x41000;

/// Runs one instruction, with r1 1, r2 `OPERAND`, r3 `BEHIND`, r4 `order` and 0 elsewhere. Either
/// it leaves the guest, or the DIAGNOSE behind it or in the handler of program interruptions does:
/// `None`.
fn reaches_the_vmm(guest: &mut Guest, code: &[u8], order: u64) -> Option<VcpuExit> {
    guest.put_psw(0x1d0, MASK, 0x11000);
    guest.put(0x11000, &DIAG);
    guest.start(MASK, &[code, &DIAG]);
    for (n, value) in [1, OPERAND, BEHIND, order].into_iter().enumerate() {
        guest.cpu.set_gpr(n as u8 + 1, value);
    }
    let exit = guest.cpu.run().unwrap();
    let marker = Intercept::instruction(0x8324, 0x0500_0000);
    (exit != VcpuExit::Intercept(marker)).then_some(exit)
}

#[test]
fn the_kernel_answers() {
    let instructions: [(&str, &[u8], u64); 34] = [
        ("DIAGNOSE 0x10", &[0x83, 0x23, 0x00, 0x10], 0),
        ("DIAGNOSE 0x44", &[0x83, 0x00, 0x00, 0x44], 0),
        ("DIAGNOSE 0x9c", &[0x83, 0x00, 0x00, 0x9c], 0),
        ("DIAGNOSE 0x258", &[0x83, 0x24, 0x02, 0x58], 0),
        ("SIGP sense", &[0xae, 0x15, 0x40, 0x00], 0x01),
        ("SIGP external call", &[0xae, 0x15, 0x40, 0x00], 0x02),
        ("SIGP emergency signal", &[0xae, 0x15, 0x40, 0x00], 0x03),
        (
            "SIGP conditional emergency",
            &[0xae, 0x15, 0x40, 0x00],
            0x13,
        ),
        ("SIGP sense running", &[0xae, 0x15, 0x40, 0x00], 0x15),
        ("STSI", &[0xb2, 0x7d, 0x20, 0x00], 0),
        ("STIDP", &[0xb2, 0x02, 0x20, 0x00], 0),
        ("STAP", &[0xb2, 0x12, 0x20, 0x00], 0),
        ("STFL", &[0xb2, 0xb1, 0x00, 0x00], 0),
        ("STFLE", &[0xb2, 0xb0, 0x20, 0x00], 0),
        ("TPROT", &[0xe5, 0x01, 0x20, 0x00, 0x00, 0x00], 0),
        ("SPX", &[0xb2, 0x10, 0x20, 0x00], 0),
        ("STPX", &[0xb2, 0x11, 0x20, 0x00], 0),
        ("SSKE", &[0xb2, 0x2b, 0x00, 0x12], 0),
        ("ISKE", &[0xb2, 0x29, 0x00, 0x12], 0),
        ("RRBE", &[0xb2, 0x2a, 0x00, 0x12], 0),
        ("SCK", &[0xb2, 0x04, 0x20, 0x00], 0),
        ("SCKC", &[0xb2, 0x06, 0x20, 0x00], 0),
        ("SPT", &[0xb2, 0x08, 0x20, 0x00], 0),
        ("STCK", &[0xb2, 0x05, 0x20, 0x00], 0),
        ("PTLB", &[0xb2, 0x0d, 0x00, 0x00], 0),
        ("LCTLG", &[0xeb, 0x77, 0x20, 0x00, 0x00, 0x2f], 0),
        ("SSCH", &[0xb2, 0x33, 0x20, 0x00], 0),
        ("TSCH", &[0xb2, 0x35, 0x20, 0x00], 0),
        ("STSCH", &[0xb2, 0x34, 0x20, 0x00], 0),
        ("TPI", &[0xb2, 0x36, 0x20, 0x00], 0),
        ("CHSC", &[0xb2, 0x5f, 0x00, 0x20], 0),
        (
            "an addressing exception",
            &[0xe3, 0x10, 0x40, 0x00, 0x00, 0x04],
            1 << 40,
        ),
        ("an operation exception", &[0x00, 0x02], 0),
        ("a specification exception", &[0xb2, 0x10, 0x20, 0x01], 0),
    ];
    for (name, code, order) in instructions {
        on_kvm(|mut guest| {
            assert_eq!(reaches_the_vmm(&mut guest, code, order), None, "{name}");
        });
    }
}

#[test]
fn the_vmm_answers() {
    let instructions: [(&str, &[u8], u64); 15] = [
        ("DIAGNOSE 0x500", &[0x83, 0x15, 0x05, 0x00], 0),
        ("DIAGNOSE 0x288", &[0x83, 0x24, 0x02, 0x88], 0),
        ("DIAGNOSE 0x308, subcode 5", &[0x83, 0x24, 0x03, 0x08], 5),
        ("DIAGNOSE 0x260", &[0x83, 0x24, 0x02, 0x60], 0),
        ("SERVICE CALL", &[0xb2, 0x20, 0x00, 0x12], 0),
        ("SIGP start", &[0xae, 0x15, 0x40, 0x00], 0x04),
        ("SIGP stop", &[0xae, 0x15, 0x40, 0x00], 0x05),
        ("SIGP restart", &[0xae, 0x15, 0x40, 0x00], 0x06),
        (
            "SIGP stop and store status",
            &[0xae, 0x15, 0x40, 0x00],
            0x09,
        ),
        ("SIGP initial CPU reset", &[0xae, 0x15, 0x40, 0x00], 0x0b),
        ("SIGP CPU reset", &[0xae, 0x15, 0x40, 0x00], 0x0c),
        ("SIGP set prefix", &[0xae, 0x15, 0x40, 0x00], 0x0d),
        (
            "SIGP store status at address",
            &[0xae, 0x15, 0x40, 0x00],
            0x0e,
        ),
        ("SIGP set architecture", &[0xae, 0x15, 0x40, 0x00], 0x12),
        ("SIGP of no order", &[0xae, 0x15, 0x40, 0x00], 0x77),
    ];
    for (name, code, order) in instructions {
        on_kvm(|mut guest| {
            let exit = reaches_the_vmm(&mut guest, code, order);
            let ipa = u16::from_be_bytes([code[0], code[1]]);
            let ipb = u32::from(u16::from_be_bytes([code[2], code[3]])) << 16;
            let intercept = Intercept::instruction(ipa, ipb);
            assert_eq!(exit, Some(VcpuExit::Intercept(intercept)), "{name}");
        });
    }
}

#[test]
fn the_vmm_resets() {
    for subcode in [3, 4] {
        on_kvm(|mut guest| {
            let code = [0x83, 0x04, 0x03, 0x08]; // diag %r0,%r4,0x308
            let exit = reaches_the_vmm(&mut guest, &code, subcode);
            assert!(matches!(exit, Some(VcpuExit::Reset(_))), "{exit:?}");
        });
    }
}

#[test]
fn the_vmm_hears_of_a_guest_that_cannot_go_on() {
    on_kvm(|mut guest| {
        guest.start(MASK | Psw::WAIT, &[]);
        assert_eq!(guest.intercept().code, Intercept::WAIT);
    });
    // The new PSW of program interruptions is none: the interruption would lead to itself.
    on_kvm(|mut guest| {
        guest.put_psw(0x1d0, MASK | 1, 0);
        guest.start(MASK, &[&[0x00, 0x02]]);
        assert_eq!(guest.intercept().code, Intercept::PROGRAM);
    });
}
