// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest that writes whatever it likes into page, rings and buffers while the devices work.

use s390_hypercall::{HypercallHandler, EINVAL};
use s390_vring::mock::GuestRing;
use s390_vring::{BigEndian, Buffer, DriverQueue, Layout, RingFeatures, Slot};
use vm_memory::{Bytes, GuestAddress};

use crate::cursor::Cursor;
use crate::machine::{Machine, PAGE};

/// The place of a device, as the page had it before the guest's first instruction.
struct Place {
    desc: u64,
    features: u64,
    config_len: u64,
    /// Address and entries of each ring.
    rings: Vec<(u64, u16)>,
}

fn places(machine: &Machine) -> Vec<Place> {
    let mut desc = PAGE;
    let mut places = Vec::new();
    while let [device_type, num_vq, feature_len, config_len, _] = machine.read(desc, 5)[..] {
        if device_type == 0 {
            break;
        }
        let ring = |index| {
            let entry = desc + 5 + 24 * u64::from(index);
            let address = machine.read(entry + 8, 8).try_into().unwrap();
            let num = machine.read(entry + 16, 2).try_into().unwrap();
            (u64::from_be_bytes(address), u16::from_be_bytes(num))
        };
        let features = desc + 5 + 24 * u64::from(num_vq);
        places.push(Place {
            desc,
            features,
            config_len: config_len.into(),
            rings: (0..num_vq).map(ring).collect(),
        });
        desc = features + 2 * u64::from(feature_len) + u64::from(config_len);
    }
    places
}

/// What a guest did to the devices of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Times that the guest was interrupted.
    pub interrupts: usize,
    /// Times that a device stopped because a rule was broken.
    pub breaches: usize,
}

/// Runs a script of a guest's actions; afterwards each device must work for a good driver.
pub fn rings(input: &[u8]) -> Reached {
    let mut machine = Machine::new();
    let places = places(&machine);
    let queues: Vec<_> = places.iter().flat_map(|p| &p.rings).copied().collect();
    let mut script = Cursor::new(input);
    let mut reached = Reached::default();
    while !script.is_empty() {
        let (op, which) = (script.u8(), usize::from(script.u8()));
        let place = &places[which % places.len()];
        let (ring, num) = queues[which % queues.len()];
        let avail = ring + 16 * u64::from(num);
        match op % 16 {
            0 => {
                let answer = machine.bus.notify(ring);
                assert!(matches!(answer, Ok(0 | EINVAL)));
            }
            1 => reset(&machine, place, which % places.len()),
            2 => {
                machine.write(place.desc + 4, &[script.u8()]);
                assert_eq!(machine.bus.set_status(place.desc), Ok(0));
            }
            3 => {
                let at = script.u16() % 4096;
                let len = usize::from(script.u8()).min(4096 - usize::from(at));
                machine.write(PAGE + u64::from(at), script.bytes(len));
            }
            4 => {
                let at = script.u16() % 0x3000;
                let len = usize::from(script.u8()).min(0x3000 - usize::from(at));
                machine.write(ring + u64::from(at), script.bytes(len));
            }
            5 => {
                let at = u64::from(script.u16()) * 16;
                let len = usize::from(script.u8()).min((PAGE - at) as usize);
                machine.write(at, script.bytes(len));
            }
            6 => {
                let index = u64::from(script.u8()) % u64::from(num);
                let addr = address(&mut script);
                let len = length(&mut script);
                let flags = u16::from(script.u8());
                let next = u16::from(script.u8());
                let at = ring + 16 * index;
                machine.write(at, &addr.to_be_bytes());
                machine.write(at + 8, &len.to_be_bytes());
                machine.write(at + 12, &flags.to_be_bytes());
                machine.write(at + 14, &next.to_be_bytes());
            }
            7 => {
                let idx = machine.read(avail + 2, 2).try_into().unwrap();
                let idx = u16::from_be_bytes(idx);
                let slot = avail + 4 + 2 * u64::from(idx % num);
                machine.write(slot, &u16::from(script.u8()).to_be_bytes());
                machine.write(avail + 2, &idx.wrapping_add(1).to_be_bytes());
            }
            8 => machine.write(avail, &script.u32().to_be_bytes()),
            9 => machine.run(),
            10 => {
                let accepted = script.u32().to_le_bytes();
                machine.write(place.features + 4, &accepted);
            }
            11 => {
                let queue = u64::from(script.u8()) % place.rings.len() as u64;
                let token = script.u64().to_be_bytes();
                machine.write(place.desc + 5 + 24 * queue, &token);
            }
            12 => machine_reset(&mut machine, &places),
            13 => {
                let bytes = script.bytes(which);
                let _ = machine.peer.send(bytes);
                machine.keyboard.push(bytes);
            }
            14 => {
                let id = machine.ids[which % places.len()];
                machine.bus.config_changed(id).unwrap();
            }
            _ => {
                let answer = machine.bus.notify(script.u64());
                assert!(matches!(answer, Ok(0 | EINVAL)));
            }
        }
        reached.interrupts += usize::from(machine.is_interrupted());
    }
    machine.run();
    let is_broken = |id| machine.bus.needs_reset(id).unwrap();
    reached.breaches = machine.ids.iter().filter(|&&id| is_broken(id)).count();
    heals(&mut machine, &places);
    reached
}

/// Addresses that are mostly in RAM, sometimes in the rings, and sometimes anywhere.
fn address(script: &mut Cursor<'_>) -> u64 {
    match script.u8() {
        0xff => script.u64(),
        0xf0..0xff => PAGE + u64::from(script.u16()),
        high => u64::from(high) << 12 | u64::from(script.u8()) << 4,
    }
}

fn length(script: &mut Cursor<'_>) -> u32 {
    match script.u8() {
        0xff => script.u32(),
        0xf0..0xff => 512 * u32::from(script.u8()),
        len => len.into(),
    }
}

/// RESET: when it returns, status and features are 0, and the device is whole again.
fn reset(machine: &Machine, place: &Place, index: usize) {
    assert_eq!(machine.bus.reset(place.desc), Ok(0));
    assert_eq!(machine.read(place.desc + 4, 1), [0]);
    assert_eq!(machine.read(place.features + 4, 4), [0; 4]);
    assert!(!machine.bus.needs_reset(machine.ids[index]).unwrap());
}

/// After a machine reset every device is as new, whatever the page looked like.
fn machine_reset(machine: &mut Machine, places: &[Place]) {
    machine.bus.machine_reset();
    machine.run();
    assert!(!machine.is_interrupted());
    for place in places {
        assert_eq!(machine.read(place.desc + 4, 1), [0]);
        for &(ring, _) in &place.rings {
            assert_eq!(machine.read(ring, 0x2000), [0; 0x2000]);
        }
    }
}

/// A RESET heals each device: the page's structure comes back with a machine reset, and a good
/// driver reads from the disk.
fn heals(machine: &mut Machine, found: &[Place]) {
    machine_reset(machine, found);
    let again = places(machine);
    let same = |(a, b): (&Place, &Place)| {
        (a.desc, a.features, a.config_len, &a.rings) == (b.desc, b.features, b.config_len, &b.rings)
    };
    assert!(again.len() == found.len() && again.iter().zip(found).all(same));

    let place = &found[0];
    let (ring, num) = place.rings[0];
    assert_eq!(machine.bus.reset(place.desc), Ok(0));
    for status in [1, 3] {
        machine.write(place.desc + 4, &[status]);
        assert_eq!(machine.bus.set_status(place.desc), Ok(0));
    }
    machine.write(place.desc + 5, &0x8000u64.to_be_bytes());
    machine.write(place.desc + 4, &[7]);
    assert_eq!(machine.bus.set_status(place.desc), Ok(0));
    let layout = Layout::legacy(num).unwrap();
    let memory = machine.memory.clone();
    let mut queue = DriverQueue::<BigEndian, _, _>::new(
        GuestRing::new(&*memory, GuestAddress(ring), layout.bytes()),
        layout,
        RingFeatures::default(),
        vec![Slot::EMPTY; num.into()],
    )
    .unwrap();
    let (header, data, status) = (0x1000, 0x2000, 0x3000);
    memory.write_slice(&[0; 16], GuestAddress(header)).unwrap();
    queue
        .add_chain(&[
            Buffer::readable(header, 16),
            Buffer::writable(data, 512),
            Buffer::writable(status, 1),
        ])
        .unwrap();
    queue.publish();
    assert_eq!(machine.bus.notify(ring), Ok(0));
    machine.run();
    assert!(machine.is_interrupted());
    assert_eq!(queue.pop_used().unwrap().unwrap().len, 513);
    assert_eq!(machine.read(status, 1), [0]);
}
