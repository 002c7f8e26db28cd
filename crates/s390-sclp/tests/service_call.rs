// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What every service call has in common: where a SCCB may be, how it is copied, unknown commands.

mod common;

use common::*;
use s390_sclp::{Config, ProgramInterruption, Sclp};

const SPECIFICATION: ProgramInterruption = ProgramInterruption::Specification;
const ADDRESSING: ProgramInterruption = ProgramInterruption::Addressing;

#[test]
fn interruption_codes() {
    assert_eq!(ADDRESSING.code(), 5);
    assert_eq!(SPECIFICATION.code(), 6);
    assert_eq!(s390_sclp::SERVICE_SIGNAL, 0x2401);
}

#[test]
fn an_sccb_has_its_place() {
    let mut machine = Machine::small();
    let request = sccb(0, &[0; 8]);
    for (at, interruption) in [
        // No doubleword.
        (SCCB + 1, Some(SPECIFICATION)),
        (SCCB + 4, Some(SPECIFICATION)),
        (SCCB + 8, None),
        // 2 GiB and up, even where memory is missing too.
        (0x8000_0000, Some(SPECIFICATION)),
        (0xffff_fff8, Some(SPECIFICATION)),
        // The first two pages and the prefix area, 0x4000 here.
        (0x0000, Some(SPECIFICATION)),
        (0x1ff8, Some(SPECIFICATION)),
        (0x2000, None),
        (0x3ff0, None),
        (0x4000, Some(SPECIFICATION)),
        (0x5ff8, Some(SPECIFICATION)),
        (0x6000, None),
        // Behind RAM, with and without memory there.
        (RAM as u32 - 16, None),
        (RAM as u32, Some(ADDRESSING)),
        (RAM as u32 + 0x8000, Some(ADDRESSING)),
        (0x7fff_f000, Some(ADDRESSING)),
    ] {
        let result = machine.call_at(READ_EVENT_DATA, at, &request);
        assert_eq!(result.err(), interruption, "{at:#x}");
    }
}

#[test]
fn missing_memory_is_an_addressing_exception() {
    let small = Machine::small();
    let mut sclp = Sclp::new(Config::new(4 * RAM, 1), Box::new(|_: &[u8]| ())).unwrap();
    let result = sclp.service_call(READ_SCP_INFO, 3 * RAM as u32, 0, &small.memory);
    assert_eq!(result, Err(ADDRESSING));
}

#[test]
fn an_sccb_has_a_header_and_stays_on_its_page() {
    let mut machine = Machine::small();
    for length in [0, 1, 7] {
        let mut request = sccb(0, &[0; 8]);
        request[1] = length;
        let result = machine.call_at(READ_EVENT_DATA, SCCB, &request);
        assert_eq!(result, Err(SPECIFICATION), "{length}");
        assert_eq!(machine.read(SCCB, 16), request);
    }
    assert_eq!(machine.response(READ_EVENT_DATA, &sccb(0, &[])), 0x60f0);
    assert_eq!(
        machine.response(READ_EVENT_DATA, &sccb(0, &[0; 4088])),
        0x60f0
    );
    for (at, length) in [(SCCB, 4097_u16), (SCCB + 4080, 17), (SCCB + 8, 0xffff)] {
        let mut request = sccb(0, &[0; 8]);
        request[..2].copy_from_slice(&length.to_be_bytes());
        machine.call_at(READ_EVENT_DATA, at, &request).unwrap();
        request[6] = 0x01;
        assert_eq!(machine.read(at, 16), request, "{at:#x} {length}");
    }
}

#[test]
fn unknown_commands_and_storage_commands_are_invalid() {
    let mut machine = Machine::small();
    let storage = [0x0004_0001, 0x0008_0001, 0x000d_0001, 0x000c_0001];
    for command in [0, 0xffff_ffff, 0x0013_0001, 0x0078_0006]
        .iter()
        .chain(&storage)
    {
        assert_eq!(machine.response(*command, &sccb(0, &[0; 100])), 0x01f0);
        // Also if the SCCB is too long: a guest probes with whatever it has.
        let mut request = sccb(0, &[0; 8]);
        request[0] = 0x20;
        machine.call_at(*command, SCCB, &request).unwrap();
        assert_eq!(machine.read(SCCB, 8)[6..], [0x01, 0xf0]);
    }
}

#[test]
fn an_sccb_is_copied_in_and_out_once() {
    let mut machine = Machine::small();
    for command in [
        READ_SCP_INFO,
        READ_CPU_INFO,
        WRITE_EVENT_MASK,
        READ_EVENT_DATA,
    ] {
        machine.memory.log.borrow_mut().clear();
        machine.call(command, &sccb(0, &[0; 504]));
        let at = u64::from(SCCB);
        assert_eq!(
            machine.memory.log.borrow()[..3],
            [(false, at, 8), (false, at + 8, 504), (true, at, 512)]
        );
    }
}

#[test]
fn a_sclp_can_change_threads() {
    fn send<T: Send>(_: T) {}
    send(Machine::small().sclp);
}
