// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whatever a guest puts into a SCCB: no panic, and no access outside of it.

mod common;

use common::*;
use proptest::prelude::*;
use s390_sclp::{Config, Consoles, INPUT_CAPACITY};
use vm_memory::{Bytes, GuestAddress};

fn command() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => prop::sample::select(vec![
            READ_SCP_INFO,
            READ_CPU_INFO,
            WRITE_EVENT_MASK,
            WRITE_EVENT_DATA,
            READ_EVENT_DATA,
            0x0004_0001,
        ]),
        1 => any::<u32>(),
    ]
}

/// Events that are nearly right, so that the parsers get something to do.
fn events() -> impl Strategy<Value = Vec<u8>> {
    let object = (
        0_u16..80,
        0_u16..6,
        prop::collection::vec(any::<u8>(), 0..60),
    );
    let message = prop::collection::vec(object, 0..4).prop_map(|objects| {
        let mut mdb = b"\x00\x00\x00\x01\xd4\xc4\xc2\x40\x00\x00\x00\x01".to_vec();
        for (length, object_type, data) in objects {
            mdb.extend(length.to_be_bytes());
            mdb.extend(object_type.to_be_bytes());
            mdb.extend(data);
        }
        let length = mdb.len() as u16;
        mdb[..2].copy_from_slice(&length.to_be_bytes());
        mdb
    });
    let data = prop_oneof![message, prop::collection::vec(any::<u8>(), 0..40)];
    let types = prop_oneof![
        4 => prop::sample::select(vec![0x01_u8, 0x02, 0x09, 0x1a, 0x1c, 0x1d]),
        1 => any::<u8>(),
    ];
    prop::collection::vec((types, data), 0..4).prop_map(|events| {
        events
            .iter()
            .flat_map(|(t, data)| event(*t, data))
            .collect()
    })
}

fn block() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![0_u16..64, 0_u16..=4200, any::<u16>()];
    let header = (any::<[u8; 6]>(), 0_u8..3);
    let random = prop::collection::vec(any::<u8>(), 0..200);
    let mask = prop::collection::vec(any::<u8>(), 0..30)
        .prop_map(|rest| [&[0, 0, 0, 4][..], &rest].concat());
    let data = prop_oneof![random, mask, events()];
    (length, prop::bool::weighted(0.7), header, data).prop_map(|(length, right, header, data)| {
        let mut sccb = sccb(header.1, &data);
        sccb[3..6].copy_from_slice(&header.0[..3]);
        if !right {
            sccb[..2].copy_from_slice(&length.to_be_bytes());
        }
        sccb
    })
}

fn address() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => (0_u32..0x400).prop_map(|n| SCCB + 8 * n),
        1 => (0_u32..0x2200).prop_map(|n| n * 256),
        1 => any::<u32>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_hostile_guest_stays_in_its_sccb(
        calls in prop::collection::vec((command(), address(), block()), 1..12),
        input in prop::collection::vec(any::<u8>(), 0..300),
        cpus in 1_u16..=248,
    ) {
        let mut machine = Machine::new(Config {
            consoles: Consoles::Both,
            ..Config::new(RAM, cpus)
        });
        for (command, at, sccb) in calls {
            let _ = machine.sclp.push_input(&input);
            let _ = machine.memory.mem.write(&sccb, GuestAddress(at.into()));
            machine.memory.log.borrow_mut().clear();
            let result = machine.sclp.service_call(command, at, 0x4000, &machine.memory);

            let at = u64::from(at);
            let length = u64::from(u16::from_be_bytes([sccb[0], sccb[1]])).max(8);
            let page = at & !4095;
            let mut writes = 0;
            for &(write, start, count) in machine.memory.log.borrow().iter() {
                let end = start + count as u64;
                prop_assert!(start >= at && end <= at + length && end <= page + 4096);
                prop_assert!(end <= RAM);
                writes += usize::from(write);
            }
            prop_assert_eq!(writes, usize::from(result.is_ok()));
            prop_assert!(machine.sclp.state().input.len() <= INPUT_CAPACITY);
        }
    }

    #[test]
    fn input_arrives_whole_and_in_order(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..8),
        sizes in prop::collection::vec(16_usize..600, 1..8),
    ) {
        let mut machine = Machine::small();
        machine.listen(VT220);
        let sent: Vec<u8> = chunks.concat();
        for chunk in &chunks {
            prop_assert_eq!(machine.sclp.push_input(chunk).accepted, chunk.len());
        }
        let mut received: Vec<u8> = Vec::new();
        for size in sizes.iter().cycle() {
            let (response, events, more) = machine.read_events(*size);
            if response == 0x60f0 {
                prop_assert!(!more);
                break;
            }
            prop_assert_eq!(response, 0x0020);
            received.extend(&events[7..]);
        }
        prop_assert_eq!(received, sent);
    }
}
