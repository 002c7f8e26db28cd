// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest that writes whatever it likes into page, rings and buffers while the devices work.

use std::fmt::Write;

use s390_hypercall::{HypercallHandler, EINVAL};
use s390_virtio_devices::console::ConsoleSize;
use s390_virtio_devices::rate_limiter::RateLimits;
use s390_virtio_page::words::{self, DeviceType, Features, Status};
use s390_virtio_page::{scan, PAGE_SIZE};
use s390_vring::mock::GuestRing;
use s390_vring::{BigEndian, Buffer, DriverQueue, Layout, RingFeatures, Slot};
use vm_memory::GuestAddress;

use crate::cursor::Cursor;
use crate::disks::MemoryDisk;
use crate::machine::{slow, Addition, Machine, PAGE};

/// Devices that a machine gets at most.
const MAX_DEVICES: usize = 9;
/// Device ids.
const BLOCK: u8 = 2;
const P9: u8 = 9;
/// Where a good driver's request is, and the answer.
const MESSAGE: u64 = 0x1000;
const ANSWER: u64 = 0x2000;

/// The place of a device, as the page had it before the guest's first instruction.
struct Place {
    desc: u64,
    features: u64,
    config_len: u64,
    /// Address and entries of each ring.
    rings: Vec<(u64, u16)>,
}

impl Place {
    /// The one at this address, if there is one.
    fn read(machine: &Machine, desc: u64) -> Option<Self> {
        let [device_type, num_vq, _, config_len, _] = machine.read(desc, 5)[..] else {
            return None;
        };
        let ring = |index| {
            let entry = desc + 5 + 24 * u64::from(index);
            let address = machine.read(entry + 8, 8).try_into().unwrap();
            let num = machine.read(entry + 16, 2).try_into().unwrap();
            (u64::from_be_bytes(address), u16::from_be_bytes(num))
        };
        (device_type != 0).then(|| Place {
            desc,
            features: desc + 5 + 24 * u64::from(num_vq),
            config_len: config_len.into(),
            rings: (0..num_vq).map(ring).collect(),
        })
    }

    /// Where the next one is. All have four bytes of features, offered and accepted.
    fn end(&self) -> u64 {
        self.features + 8 + self.config_len
    }
}

fn places(machine: &Machine) -> Vec<Place> {
    let first = Place::read(machine, PAGE);
    std::iter::successors(first, |place| Place::read(machine, place.end())).collect()
}

/// What a guest did to the devices of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Times that the guest was interrupted.
    pub interrupts: usize,
    /// Times that a device stopped because a rule was broken.
    pub breaches: usize,
    /// Bytes of shared files that were read and written.
    pub file_bytes: u64,
    /// Bytes that disks moved.
    pub disk_bytes: u64,
}

/// Runs a script of a guest's actions; afterwards each device must work for a good driver.
pub fn rings(input: &[u8]) -> Reached {
    let mut machine = Machine::new();
    let mut places = places(&machine);
    let mut queues: Vec<_> = places.iter().flat_map(|p| &p.rings).copied().collect();
    let mut script = Cursor::new(input);
    let mut reached = Reached::default();
    while !script.is_empty() {
        let (op, which) = (script.u8(), usize::from(script.u8()));
        let place = &places[which % places.len()];
        let (ring, num) = queues[which % queues.len()];
        let avail = ring + 16 * u64::from(num);
        match op % 32 {
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
            9 => run(&mut machine, &queues),
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
            16 if machine.is_paused() => machine.resume(),
            16 => machine.pause(),
            17 => {
                let size = u64::from(script.u8()) << 9;
                let disk = machine.disk.clone();
                // One that the disk cannot have changes nothing.
                let _ = disk.lock().unwrap().resize((size != 0).then_some(size));
                machine.config_changed(Machine::DISK);
            }
            18 => limit(&machine, script.u8()),
            19 => {
                machine.net.lock().unwrap().set_link(which & 1 != 0);
                machine.config_changed(Machine::NET);
            }
            20 => {
                let (columns, rows) = (script.u16(), which as u16);
                let size = ConsoleSize { columns, rows };
                machine.console.lock().unwrap().resize(size);
                machine.config_changed(Machine::CONSOLE);
            }
            21 => {
                let target = u64::from(script.u8()) << 12;
                // One that is too large changes nothing.
                let _ = machine.balloon.lock().unwrap().set_target(target);
                machine.config_changed(Machine::BALLOON);
            }
            22 => machine.balloon.lock().unwrap().request_statistics(),
            23 if places.len() < MAX_DEVICES => {
                machine.add(match which % 4 {
                    0 => Addition::LargeDisk,
                    1 => Addition::ThreadedDisk,
                    2 => Addition::SlowNet,
                    _ => Addition::ThreadedShare,
                });
                let end = places.last().map_or(PAGE, Place::end);
                let place = Place::read(&machine, end).unwrap();
                queues.extend(&place.rings);
                places.push(place);
            }
            24 => {
                let id = machine.ids[which % places.len()];
                machine.bus.look_at_config(id).unwrap();
            }
            25 => inspect(&machine),
            26 => drop(machine.port.push(script.bytes(which))),
            _ => {
                let answer = machine.bus.notify(script.u64());
                assert!(matches!(answer, Ok(0 | EINVAL)));
            }
        }
        reached.interrupts += usize::from(machine.is_interrupted());
    }
    machine.settle();
    machine.check_share();
    let is_broken = |id| machine.bus.needs_reset(id).unwrap();
    (reached.file_bytes, reached.disk_bytes) = (machine.file_bytes(), machine.disk_bytes());
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

/// Lets the devices work, which do not give back a buffer while the machine is paused.
fn run(machine: &mut Machine, queues: &[(u64, u16)]) {
    let index = |machine: &Machine, &(ring, num): &(u64, u16)| {
        // Behind the descriptors, and the available ring with the event index at its end.
        let used = (ring + 18 * u64::from(num) + 6).next_multiple_of(4096);
        machine.read(used + 2, 2)
    };
    let indices = |machine: &Machine| -> Vec<_> {
        let indices = queues.iter().map(|queue| index(machine, queue));
        indices.collect()
    };
    let before = machine.is_paused().then(|| indices(machine));
    machine.run();
    assert!(before.is_none() || before == Some(indices(machine)));
}

/// What the other side may do to a disk and a network: one operation a second, or all they want.
fn limit(machine: &Machine, which: u8) {
    let limits = |slows| if slows { slow() } else { RateLimits::default() };
    machine
        .disk
        .lock()
        .unwrap()
        .set_limits(limits(which & 1 != 0));
    machine
        .net
        .lock()
        .unwrap()
        .set_rate_limits(limits(which & 2 != 0));
}

/// The page in words, as somebody reads it who wants to know what the guest does.
fn inspect(machine: &Machine) {
    let page: [u8; PAGE_SIZE] = machine.read(PAGE, PAGE_SIZE).try_into().unwrap();
    let mut words = String::new();
    for device in scan(&page).map_while(Result::ok) {
        let (device_type, bits) = (device.device_type(), device.host_features(&page));
        let mut config = vec![0; device.layout().config_len.into()];
        device.read_config(&page, 0, &mut config).unwrap();
        write!(words, "{}", DeviceType(device_type)).unwrap();
        write!(words, "{}", Status(device.status(&page))).unwrap();
        write!(words, "{}", Features { device_type, bits }).unwrap();
        for field in words::config(device_type, bits, &config) {
            write!(words, "{field}").unwrap();
        }
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
        for &(ring, num) in &place.rings {
            let len = Layout::legacy(num).unwrap().bytes();
            assert!(machine.is_zero(ring, len));
        }
    }
}

/// The page's structure comes back with a machine reset, and disks and shares work for a good
/// driver.
fn heals(machine: &mut Machine, found: &[Place]) {
    limit(machine, 0);
    let disk = machine.disk.clone();
    disk.lock().unwrap().resize(Some(MemoryDisk::SIZE)).unwrap();
    machine_reset(machine, found);
    let again = places(machine);
    let same = |(a, b): (&Place, &Place)| {
        (a.desc, a.features, a.config_len, &a.rings) == (b.desc, b.features, b.config_len, &b.rings)
    };
    assert!(again.len() == found.len() && again.iter().zip(found).all(same));

    for place in found {
        match machine.read(place.desc, 1)[..] {
            [BLOCK] => {
                let used = request(machine, place, &[0; 16], 512 + 1);
                assert_eq!((used, machine.read(ANSWER + 512, 1)), (513, vec![0]));
            }
            [P9] => {
                let version = b"\x15\0\0\0\x64\xff\xff\0\x10\0\0\x08\x009P2000.L";
                assert_eq!(request(machine, place, version, 21), 21);
                assert_eq!(machine.read(ANSWER + 4, 1), [101]);
            }
            _ => {}
        }
    }
}

/// A new driver's first request, in its only queue; returns how much of the answer was written.
fn request(machine: &mut Machine, place: &Place, message: &[u8], answer: u32) -> u32 {
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
    machine.write(MESSAGE, message);
    queue
        .add_chain(&[
            Buffer::readable(MESSAGE, message.len() as u32),
            Buffer::writable(ANSWER, answer),
        ])
        .unwrap();
    queue.publish();
    assert_eq!(machine.bus.notify(ring), Ok(0));
    machine.settle();
    assert!(machine.is_interrupted());
    queue.pop_used().unwrap().unwrap().len
}
