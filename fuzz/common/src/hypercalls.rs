// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DIAGNOSE with any operands, from any state of the registers.

use s390_hypercall::{dispatch, ProgramInterruption};

use crate::cursor::Cursor;
use crate::machine::{Machine, PAGE};

/// Issues one instruction after the other; returns how many were hypercalls that were answered.
pub fn hypercalls(input: &[u8]) -> usize {
    let mut machine = Machine::new();
    let mut script = Cursor::new(input);
    let mut answered = 0;
    while !script.is_empty() {
        let flags = script.u8();
        let (ipa, ipb) = match flags & 3 {
            0 => (script.u16(), script.u32()),
            1 => (0x8300 | u16::from(script.u8()), script.u32()),
            _ => (0x8324, 0x0500_0000),
        };
        let problem_state = flags & 0x80 != 0;
        let mut registers = [0u64; 16];
        // The base register of the function code.
        registers[(ipb >> 28) as usize] = u64::from(script.u8());
        registers[1] = match flags >> 2 & 3 {
            0 => script.u64(),
            _ => u64::from(script.u8() % 8),
        };
        registers[2] = match script.u8() {
            // Descriptors and rings, nearly.
            selector @ 0..64 => PAGE + u64::from(selector % 8) * 0x800 + u64::from(script.u8()),
            // Text.
            selector @ 64..128 => {
                let at = u64::from(selector) << 8 | u64::from(script.u8());
                let len = usize::from(script.u8() % 32);
                machine.write(at, script.bytes(len));
                at
            }
            128..192 => PAGE - u64::from(script.u8()),
            _ => script.u64(),
        };
        let before = registers;
        match dispatch(&machine.bus, ipa, ipb, problem_state, &mut registers) {
            Ok(true) => {
                answered += 1;
                assert!(!problem_state);
                assert!([0, -22].contains(&(registers[2] as i64)));
                registers[2] = before[2];
            }
            Ok(false) => {}
            Err(interruption) => assert_eq!(
                interruption,
                if problem_state {
                    ProgramInterruption::PRIVILEGED_OPERATION
                } else {
                    ProgramInterruption::SPECIFICATION
                }
            ),
        }
        assert_eq!(registers, before);
        assert!(machine.early_console.take() <= 17);
    }
    machine.run();
    assert!(!machine.is_interrupted());
    answered
}
