// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A DIAGNOSE 0x500 from intercept to result: every rule that guests and hosts stumbled over.

use std::cell::Cell;

use s390_hypercall::{dispatch, Answer, HypercallHandler, ProgramInterruption, EINVAL};

const IPA: u16 = 0x8324;
const IPB: u32 = 0x0500_0000;

/// One ring and one descriptor; everything else is unknown.
#[derive(Default)]
struct Device {
    notified: Cell<u32>,
}

impl HypercallHandler for Device {
    fn notify(&self, addr: u64) -> Answer {
        if addr != 0x1000 {
            return Ok(EINVAL);
        }
        self.notified.set(self.notified.get() + 1);
        Ok(0)
    }

    fn reset(&self, desc: u64) -> Answer {
        Ok(if desc == 0x2000 { 0 } else { EINVAL })
    }

    fn set_status(&self, desc: u64) -> Answer {
        self.reset(desc)
    }
}

fn registers(nr: u64, arg: u64) -> [u64; 16] {
    let mut registers = [0xdead_beef_dead_beef; 16];
    registers[1] = nr;
    registers[2] = arg;
    registers
}

/// Result and r2; asserts that no other register changed.
fn call(nr: u64, arg: u64) -> (Result<bool, ProgramInterruption>, u64) {
    let before = registers(nr, arg);
    let mut after = before;
    let result = dispatch(&Device::default(), IPA, IPB, false, &mut after);
    assert_eq!(before[..2], after[..2]);
    assert_eq!(before[3..], after[3..]);
    (result, after[2])
}

#[test]
fn a_good_ring_answers_zero() {
    let device = Device::default();
    let mut registers = registers(0, 0x1000);
    assert_eq!(dispatch(&device, IPA, IPB, false, &mut registers), Ok(true));
    assert_eq!((registers[2], device.notified.get()), (0, 1));
}

#[test]
fn einval_is_sign_extended_to_64_bits() {
    for nr in 0..3 {
        assert_eq!(call(nr, 0x3000), (Ok(true), 0xffff_ffff_ffff_ffea));
    }
    assert_eq!(call(1, 0x2000), (Ok(true), 0));
    assert_eq!(call(2, 0x2000), (Ok(true), 0));
}

#[test]
fn storage_limit_is_never_a_negative_number_by_default() {
    let (result, r2) = call(4, 0);
    assert_eq!(result, Err(ProgramInterruption::SPECIFICATION));
    assert_eq!(r2, 0);
}

#[test]
fn unknown_subcodes_and_ccw_notify_are_specification_exceptions() {
    for nr in [3, 5, 255, 256, 1 << 32, (1 << 32) + 2, u64::MAX] {
        assert_eq!(
            call(nr, 0x1000),
            (Err(ProgramInterruption(0x0006)), 0x1000),
            "{nr:#x}"
        );
    }
}

#[test]
fn problem_state_is_refused_before_anything_is_done() {
    let device = Device::default();
    let before = registers(0, 0x1000);
    let mut after = before;
    let result = dispatch(&device, IPA, IPB, true, &mut after);
    assert_eq!(result, Err(ProgramInterruption(0x0002)));
    assert_eq!(after, before);
    assert_eq!(device.notified.get(), 0);

    let other_function = dispatch(&device, IPA, 0x0044_0000, true, &mut after);
    assert_eq!(
        other_function,
        Err(ProgramInterruption::PRIVILEGED_OPERATION)
    );
}

#[test]
fn base_register_zero_counts_as_zero() {
    let mut registers = registers(0, 0x1000);
    registers[0] = 0x44;
    assert_eq!(
        dispatch(&Device::default(), IPA, IPB, false, &mut registers),
        Ok(true)
    );
}

#[test]
fn base_and_displacement_make_the_function_code() {
    let mut registers = registers(0, 0x1000);
    registers[9] = 0x7_0000_04ff;
    assert_eq!(
        dispatch(&Device::default(), IPA, 0x9001_0000, false, &mut registers),
        Ok(true)
    );
    assert_eq!(registers[2], 0);
}

#[test]
fn other_functions_and_instructions_are_left_alone() {
    let before = registers(0, 0x1000);
    for (ipa, ipb) in [
        (IPA, 0x0044_0000),
        (IPA, 0x0308_0000),
        (0xb220, 0x0500_0000),
    ] {
        let mut after = before;
        assert_eq!(
            dispatch(&Device::default(), ipa, ipb, false, &mut after),
            Ok(false)
        );
        assert_eq!(after, before);
    }
}

#[test]
fn a_handler_may_take_the_optional_subcodes() {
    struct Ccw;
    impl HypercallHandler for Ccw {
        fn ccw_notify(&self, subchannel: u32, queue: u64, cookie: u64) -> Answer {
            assert_eq!((subchannel, queue), (0x0001_0003, 1));
            Ok(cookie as i64 + 1)
        }
        fn storage_limit(&self) -> Answer {
            Ok(0x0fff_ffff)
        }
        fn unknown(&self, nr: u64, args: [u64; 6]) -> Answer {
            Ok(nr as i64 + args[5] as i64)
        }
    }
    // Only the low word of r2 is the subsystem-identification word.
    let mut registers = registers(3, 0xffff_ffff_0001_0003);
    registers[3] = 1;
    registers[4] = 41;
    assert_eq!(dispatch(&Ccw, IPA, IPB, false, &mut registers), Ok(true));
    assert_eq!(registers[2], 42);

    registers[1] = 4;
    assert_eq!(dispatch(&Ccw, IPA, IPB, false, &mut registers), Ok(true));
    assert_eq!(registers[2], 0x0fff_ffff);

    registers[1] = 0x100;
    registers[7] = 9;
    assert_eq!(dispatch(&Ccw, IPA, IPB, false, &mut registers), Ok(true));
    assert_eq!(registers[2], 0x109);
}

#[test]
fn a_handler_without_devices_refuses_all() {
    struct Nothing;
    impl HypercallHandler for Nothing {}
    for nr in 0..6 {
        let mut registers = registers(nr, 0);
        assert_eq!(
            dispatch(&Nothing, IPA, IPB, false, &mut registers),
            Err(ProgramInterruption::SPECIFICATION)
        );
    }
}
