// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pause holds every device, and nothing of what comes meanwhile is lost.

mod common;

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use common::*;
use s390_virtio_devices::balloon::Balloon;
use s390_virtio_devices::bus::DeviceId;
use s390_virtio_devices::console::{Console, ConsoleInput, ConsoleSize};
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_virtio_devices::rate_limiter::{Rate, RateLimits};
use s390_virtio_devices::rng::Rng;
use s390_vring::Buffer;
use vm_memory::GuestAddress;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One device of each kind, with what its other side is.
struct World {
    machine: Machine,
    input: ConsoleInput,
    sink: Sink,
    peer: UnixDatagram,
    balloon: Arc<Mutex<Balloon<Legacy>>>,
    balloon_id: DeviceId,
    _image: tempfile::NamedTempFile,
}

const CONSOLE: usize = 0;
const RNG: usize = 1;
const NET: usize = 2;
const BALLOON: usize = 3;
const DISK: usize = 4;

impl World {
    fn new() -> Self {
        let machine = Machine::new();
        let sink = Sink::default();
        let size = ConsoleSize {
            columns: 80,
            rows: 24,
        };
        let console = Console::new(Box::new(sink.clone()), Some(size)).unwrap();
        let input = console.input();
        machine.add(console);
        machine.add(Rng::host().unwrap());
        let (link, peer) = DatagramLink::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        machine.add(Net::new(Box::new(link), MacAddress::local(1)).unwrap());
        let (balloon, balloon_id) = machine.add_shared(Balloon::new(PAGE).unwrap());
        let (disk, image) = disk();
        machine.add(disk);
        World {
            machine,
            input,
            sink,
            peer,
            balloon,
            balloon_id,
            _image: image,
        }
    }

    /// The guest's whole memory.
    fn memory(&self) -> Vec<u8> {
        use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};
        let region = self.machine.memory.find_region(GuestAddress(0)).unwrap();
        self.machine.read(0, region.len() as usize)
    }
}

/// Begins with a device and one queue of it, under token 0x100 * (device + 1) + 0x10 * queue.
fn queue(machine: &Machine, device: usize, index: u64) -> GuestQueue<'_> {
    let driver = machine.driver(device);
    driver.begin_probe(0);
    let queue = driver.find_vq(index, 0x100 * (device as u64 + 1) + 0x10 * index);
    driver.finish_probe();
    queue
}

#[test]
fn nothing_is_done_during_a_pause_and_everything_after() {
    let world = World::new();
    let machine = &world.machine;
    let mut input = queue(machine, CONSOLE, 0);
    let mut output = {
        // The same driver has both.
        machine.driver(CONSOLE).find_vq(1, 0x110)
    };
    let mut rng = queue(machine, RNG, 0);
    let mut rx = queue(machine, NET, 0);
    let mut tx = machine.driver(NET).find_vq(1, 0x310);
    let mut inflate = queue(machine, BALLOON, 0);
    let mut disk = queue(machine, DISK, 0);
    machine.run_events();

    // What waits for the other side, and not for the device.
    input.add(&[Buffer::writable(0x2000, 64)]);
    rx.add(&[Buffer::writable(0x3000, 1600)]);
    input.kick();
    rx.kick();
    machine.run_events();
    assert!(machine.interrupts().is_empty());

    machine.bus.pause();
    // All that can come: kicks (of a CPU on its way out of the guest), input, frames, commands.
    machine.write(0x4000, b"hello");
    output.add(&[Buffer::readable(0x4000, 5)]);
    rng.add(&[Buffer::writable(0x5000, 8)]);
    machine.write(0x6000, &[0; 10]);
    machine.write(0x600a, &[7; 60]);
    tx.add(&[Buffer::readable(0x6000, 70)]);
    machine.write(0x7000, &8u32.to_be_bytes());
    inflate.add(&[Buffer::readable(0x7000, 4)]);
    disk.add(&read_request(machine, 2));
    for queue in [&output, &rng, &tx, &inflate, &disk] {
        queue.kick();
    }
    let before = world.memory();
    world.input.push(b"typed");
    world.peer.send(&[9; 60]).unwrap();
    world.balloon.lock().unwrap().set_target(0x2000).unwrap();
    machine.bus.config_changed(world.balloon_id).unwrap();
    machine.bus.announce_unchecked(world.balloon_id).unwrap();
    // An event that stayed ready would keep this busy for ever.
    machine.run_events();
    machine.run_events();
    assert!(world.memory() == before, "guest memory has changed");
    assert!(machine.interrupts().is_empty());
    assert!(world.sink.0.lock().unwrap().is_empty());
    assert!(world.peer.recv(&mut [0; 100]).is_err());
    assert_eq!(world.input.len(), 5);

    // A second pause before anybody looked is no other than one that was longer.
    machine.bus.resume().unwrap();
    machine.bus.pause();
    machine.run_events();
    let mut told = machine.interrupts();
    told.sort_unstable();
    let desc = machine.driver(BALLOON).desc;
    assert_eq!(
        told,
        [(0x2603, 0x0d00, 1, 0x400), (0x2603, 0x0d00, 2, desc),]
    );
    assert_eq!(machine.driver(BALLOON).config(), [2, 0, 0, 0, 0, 0, 0, 0]);

    machine.bus.resume().unwrap();
    machine.run_events();
    assert_eq!(input.used(), Some(5));
    assert_eq!(rx.used(), Some(70));
    assert_eq!(rng.used(), Some(8));
    assert_eq!(disk.used(), Some(513));
    assert_eq!(
        [output.used(), tx.used(), inflate.used()],
        [Some(0), Some(0), Some(0)]
    );
    assert_eq!(*world.sink.0.lock().unwrap(), b"hello");
    assert_eq!(world.peer.recv(&mut [0; 100]).unwrap(), 60);
    assert_eq!(machine.interrupts().len(), 7);

    // And on it goes.
    rng.add(&[Buffer::writable(0x5000, 8)]);
    rng.kick();
    machine.run_events();
    assert_eq!(rng.used(), Some(8));
}

#[test]
fn a_device_that_is_added_or_reset_during_a_pause_is_paused() {
    let world = World::new();
    let machine = &world.machine;
    machine.bus.pause();
    let id = machine.add(Rng::host().unwrap());
    machine.bus.announce_unchecked(id).unwrap();
    let mut old = queue(machine, RNG, 0);
    let mut new = queue(machine, DISK + 1, 0);
    for queue in [&mut old, &mut new] {
        queue.add(&[Buffer::writable(0x5000, 8)]);
        queue.kick();
    }
    machine.run_events();
    assert_eq!([old.used(), new.used()], [None, None]);
    machine.bus.resume().unwrap();
    machine.run_events();
    assert_eq!([old.used(), new.used()], [Some(8), Some(8)]);
}

#[test]
fn a_guest_that_is_gone_is_told_nothing() {
    let world = World::new();
    let machine = &world.machine;
    let _queue = queue(machine, BALLOON, 0);
    machine.bus.pause();
    machine.bus.announce_unchecked(world.balloon_id).unwrap();
    machine.bus.config_changed(world.balloon_id).unwrap();
    machine.machine_reset();
    machine.bus.resume().unwrap();
    assert!(machine.interrupts().is_empty());
}

#[test]
fn a_message_that_cannot_be_sent_takes_no_other_along() {
    let world = World::new();
    let machine = &world.machine;
    let _queue = queue(machine, BALLOON, 0);
    machine.bus.pause();
    machine.bus.announce_unchecked(world.balloon_id).unwrap();
    world.balloon.lock().unwrap().set_target(0x2000).unwrap();
    machine.bus.config_changed(world.balloon_id).unwrap();
    machine.refuse_interrupts(true);
    assert!(machine.bus.resume().is_err());
    machine.refuse_interrupts(false);
    assert_eq!(machine.driver(BALLOON).config(), [2, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_rate_limit_that_ends_during_a_pause_is_noticed_after() {
    let machine = Machine::new();
    let (link, peer) = DatagramLink::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut net = Net::new(Box::new(link), MacAddress::local(1)).unwrap();
    net.set_rate_limits(RateLimits {
        ops: Rate::per_second(20),
        bytes: None,
    });
    machine.add(net);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut tx = driver.find_vq(1, 0x100);
    driver.finish_probe();
    machine.write(DATA, &[0; 74]);
    for _ in 0..64 {
        tx.add(&[Buffer::readable(DATA, 74)]);
    }
    tx.kick();
    machine.run_events();
    let mut sent = 0;
    while tx.used().is_some() {
        sent += 1;
    }
    assert!(sent < 64, "no limit");
    machine.bus.pause();
    std::thread::sleep(std::time::Duration::from_millis(120));
    machine.run_events();
    assert_eq!(tx.used(), None);
    machine.bus.resume().unwrap();
    machine.run_events();
    assert_eq!(tx.used(), Some(0));
}
