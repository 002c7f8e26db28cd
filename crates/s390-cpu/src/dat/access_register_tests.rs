// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The access-register mode: every instruction finds each of its operands in the space that the
//! right access register names.

use s390_hypervisor::{Intercept, RunState};

use super::cr0;
use crate::cpu::{pgm, Cpu};
use crate::engine::{Engine, Stop};
use crate::testing::{cpu, load, run, Space, CODE};

/// Where the operands with base register 8 are, in the secondary space only.
const FIRST: u64 = 0x9000;
/// Where the operands with base registers 10 and 1 are, in the primary space only.
const SECOND: u64 = 0x7000;

/// Instructions whose first operand (or that in register 8) is at [`FIRST`], and the second at
/// [`SECOND`].
const INSTRUCTIONS: &str = "
    d2078000a000 d2ff8001a000 e8078000a007 d1078000a000 d3078000a000 d4078000a000 d5078000a000
    d51f8000a000 d6078000a000 d7078000a000 d7078000a001 dc078000a000 dd078000a000 d0008000a000
    de038000a000 df038000a000 e9078000a000 e1078000a000 ea078000a000 e2078000a000 f1318000a000
    f2318000a000 f3318000a000 f8318000a000 f9318000a000 fa318000a000 fb318000a000 fc318000a000
    fd318000a000 f03080000005 e50a8000a000 ebf0800000c0
    0e8a 0f8a a88a0040 a98a0040 eb8a0040008e eb8a0040008f b241002a b255008a b25d008a b25e00ca
    b9be00ca b2a5008a b2a7008a b2a6008a b9b0008a b9b1008a b9b2008a b9b3008a b990008a b991008a
    b992008a b993008a b254008a
    ef248000a000 c8248000a000 c8258000a000 c8228000a000 d9348000a000 e50e8000a000
    e50fa0008000
    58208000 e32080000004 50208000 e32080000024 ba248000 98248000 90248000 bf2f8000 be2f8000
    92558000 96558000 91558000 95558000 93008000 eb24800000f8 4f208000 4e208000 e3208000008f
    e3208000008e e31080000094 eb2380000004 9ae48000 9be48000 60208000 68208000 e31080000038
    e54880000001 c8d18000a000 b2788000 b6008000 4400c100
";

/// One instruction a piece, however they are laid out.
fn instructions() -> Vec<String> {
    let digits: String = INSTRUCTIONS.split_whitespace().collect();
    let mut rest = digits.as_str();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let first = u8::from_str_radix(&rest[..2], 16).expect("a byte");
        let (text, after) = rest.split_at(2 * usize::from(crate::decode::length(first)));
        all.push(text.into());
        rest = after;
    }
    all
}

fn prepare(c: &mut Cpu) {
    for k in 0..0x1000_u64 {
        c.ram.write(FIRST + k, &[(k * 7 % 251) as u8]);
        c.ram.write(SECOND + k, &[(k % 2 * 11 * k % 241) as u8]);
    }
    c.ram
        .write(FIRST, &[0, 0, 0x12, 0x3c, 0x20, 0x21, 0x22, 0x20]);
    // Decimal, and two-byte characters with entries in a small table.
    c.ram.write(SECOND, &[0, 0x1d]);
    // The target of the EXECUTE.
    load(c, CODE + 0x100, "d2078000a000");
    c.set_g(0, 0);
    c.set_g(1, SECOND + 0x800);
    c.set_g(2, 0x1234);
    c.set_g(3, 8);
    c.set_g(4, 0);
    c.set_g(8, FIRST);
    c.set_g(9, 0x40);
    c.set_g(10, SECOND);
    c.set_g(11, 0x30);
    c.set_g(12, CODE);
    c.set_g(13, SECOND + 0x100);
}

/// A CPU in the access-register mode.
fn access_registers() -> Box<Cpu> {
    let mut c = cpu();
    let primary = Space::new(&mut c, 0x20000, 1);
    let secondary = Space::new(&mut c, 0x40000, 1);
    primary.map(&mut c, CODE, CODE);
    primary.map(&mut c, SECOND, SECOND);
    secondary.map(&mut c, FIRST, FIRST);
    primary.use_as_primary(&mut c);
    c.crs[0] |= cr0::SECONDARY_SPACE;
    c.crs[7] = secondary.asce;
    c.acrs[8] = 1;
    run(&mut c, "b2190200").unwrap();
    prepare(&mut c);
    c
}

#[test]
fn test_operands_are_where_their_access_registers_say() {
    for text in instructions() {
        let mut there = access_registers();
        let mut here = cpu();
        prepare(&mut here);
        here.acrs = there.acrs;
        here.crs = there.crs;
        let outcome = |c: &mut Cpu| {
            let result = run(c, &text).map_err(|p| p.code);
            let gprs: Vec<_> = (0..16).map(|r| c.g(r)).collect();
            let mut storage = vec![0; 0x3000];
            c.ram.read(SECOND, &mut storage);
            // These tell the time or the PSW.
            if text == "b2788000" {
                storage.clear();
            }
            (result, gprs, c.acrs, c.cc.get(), storage)
        };
        let (a, b) = (outcome(&mut there), outcome(&mut here));
        assert_eq!((&a.0, &a.1, &a.2, a.3), (&b.0, &b.1, &b.2, b.3), "{text}");
        assert!(a.4 == b.4, "{text}");
    }
}

#[test]
fn test_access_list_entry_tokens_are_checked() {
    for text in instructions() {
        let mut c = access_registers();
        for (token, code) in [
            (2, pgm::ALEN_TRANSLATION),
            (1 << 31, pgm::ALET_SPECIFICATION),
        ] {
            c.acrs = [token; 16];
            let p = run(&mut c, &text).map_err(|p| (p.code, p.nullifying, p.translation_id));
            match p {
                Err((found, true, _)) => assert_eq!(found, code, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}

#[test]
fn test_blocks_do_not_mix_modes() {
    let mut c = access_registers();
    // L 2,0(8) in the access-register mode; L 3,0(10) in the primary-space mode.
    load(&mut c, CODE, "58208000 b2190000 5830a000 83000000");
    c.shared.with_orders(|o| o.run_state = RunState::Operating);
    c.psw_addr = CODE;
    let mut engine = Engine::new(c);
    let stop = engine.run();
    assert_eq!(stop, Stop::Intercept(Intercept::instruction(0x8300, 0)));
    assert_eq!(engine.cpu.g32(2), 0x0000_123c);
    assert_eq!(engine.cpu.g32(3) >> 16, 0x001d);
}
