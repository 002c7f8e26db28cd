// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Service calls with any control block.

use s390_sclp::{Config, Consoles, ProgramInterruption, Sclp, INPUT_CAPACITY};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::cursor::Cursor;

const RAM: usize = 1 << 20;
/// Where control blocks are put, with two pages around that nobody may touch.
const WINDOW: usize = 0x8000;
const WINDOW_SIZE: usize = 0x3000;

const COMMANDS: [u32; 7] = [
    0x0002_0001,
    0x0012_0001,
    0x0001_0001,
    0x0078_0005,
    0x0076_0005,
    0x0077_0005,
    0x0004_0001,
];

/// Makes one service call after the other; returns how many succeeded with response code 0x0020
/// or 0x0010.
pub fn sccb(input: &[u8]) -> usize {
    let mem = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
    let mut script = Cursor::new(input);
    let consoles = [
        Consoles::None,
        Consoles::Vt220,
        Consoles::LineMode,
        Consoles::Both,
    ];
    let config = Config {
        consoles: consoles[usize::from(script.u8() % 4)],
        cpus: 1 + u16::from(script.u8()) % s390_sclp::MAX_CPUS,
        ..Config::new(RAM as u64, 1)
    };
    let mut sclp = Sclp::new(config, Box::new(|_: &[u8]| {})).unwrap();
    let mut done = 0;
    while !script.is_empty() {
        let (op, prefix) = (script.u8(), script.u8());
        match op % 8 {
            0 => {
                let len = usize::from(script.u8());
                let bytes = script.bytes(len);
                assert!(sclp.push_input(bytes).accepted <= bytes.len());
                assert!(sclp.state().input.len() <= INPUT_CAPACITY);
            }
            1 => drop(sclp.request_shutdown()),
            2 => {
                let state = sclp.state();
                let sink = Box::new(|_: &[u8]| {});
                sclp = Sclp::from_state(config, sink, state.clone()).unwrap();
                assert_eq!(sclp.state(), state);
            }
            _ => {
                let command = match script.u8() {
                    0xff => script.u32(),
                    n => COMMANDS[usize::from(n) % 7],
                };
                let address = match script.u8() {
                    0xff => script.u32(),
                    n => WINDOW as u32 + 0x1000 + 8 * u32::from(n),
                };
                let length = script.u16();
                let contents = script.bytes(usize::from(length & 0x1fff));
                done += usize::from(call(
                    &mut sclp,
                    &mem,
                    command,
                    address,
                    u32::from(prefix) << 13,
                    contents,
                ));
            }
        }
    }
    done
}

/// One service call, whose control block is `contents` behind a length that is right or what
/// the contents begin with.
fn call(
    sclp: &mut Sclp,
    mem: &GuestMemoryMmap<()>,
    command: u32,
    address: u32,
    prefix: u32,
    contents: &[u8],
) -> bool {
    let at = address as usize;
    let room = WINDOW + WINDOW_SIZE;
    let in_window = at >= WINDOW && at + 8 <= room;
    if in_window {
        let len = contents.len().min(room - at);
        mem.write_slice(&contents[..len], GuestAddress(address.into()))
            .unwrap();
    }
    let window = || {
        let mut bytes = vec![0; WINDOW_SIZE];
        mem.read_slice(&mut bytes, GuestAddress(WINDOW as u64))
            .unwrap();
        bytes
    };
    let before = window();
    let result = sclp.service_call(command, address, prefix, mem);
    let after = window();
    match result {
        Ok(completion) => {
            assert_eq!(completion.cc, 0);
            assert_eq!(completion.parameter & !7, address);
        }
        Err(ProgramInterruption::Addressing | ProgramInterruption::Specification) => {
            assert!(before == after);
            return false;
        }
    }
    if !in_window {
        return false;
    }
    // Only the control block was written, and it stays in its page.
    let start = at - WINDOW;
    let length = u16::from_be_bytes([before[start], before[start + 1]]).max(8);
    let end = (start + usize::from(length)).min((start + 1).next_multiple_of(4096));
    assert!(before[..start] == after[..start]);
    assert!(before[end..] == after[end..]);
    let response = u16::from_be_bytes([after[start + 6], after[start + 7]]);
    assert_ne!(response, 0);
    [0x0010, 0x0020].contains(&response)
}
