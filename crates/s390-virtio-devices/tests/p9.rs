// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The 9P device: a share over the ring, requests in flight, RESET, pause, and drivers that break
//! rules.

mod common;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::*;
use s390_virtio_devices::block::Buffers;
use s390_virtio_devices::p9::{
    Answered, FileServer, Header, Outcome, Share, ShareOptions, Tag, P9,
};
use s390_vring::Buffer;
use tempfile::TempDir;

/// Where messages and answers are, 0x1000 bytes for each.
/// VIRTIO_9P_MOUNT_TAG.
const MOUNT_TAG: u32 = 1;
const MESSAGE: u64 = 0x2_0000;
const ANSWER: u64 = 0x4_0000;
const EIO: i32 = 5;
const EBADF: i32 = 9;
const RLERROR: u8 = 7;

const VERSION: u8 = 100;
const ATTACH: u8 = 104;
const FLUSH: u8 = 108;
const WALK: u8 = 110;
const READ: u8 = 116;
const WRITE: u8 = 118;
const CLUNK: u8 = 120;
const LOPEN: u8 = 12;

fn tag() -> Tag {
    Tag::new("share").unwrap()
}

/// A device for a directory with a file of 10000 bytes.
fn share(threads: usize) -> (P9<Legacy>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), content()).unwrap();
    let share = Share::open(directory.path(), ShareOptions::default()).unwrap();
    let device = P9::with_threads(Arc::new(share), tag(), threads).unwrap();
    (device, directory)
}

fn content() -> Vec<u8> {
    (0..10_000u32).map(|i| (i % 251) as u8).collect()
}

/// Puts a message with tag `n` into place `n`; its buffers with room for the answer.
fn message(machine: &Machine, n: u16, number: u8, body: &[u8]) -> [Buffer; 2] {
    let size = 7 + body.len() as u32;
    let (at, answer) = (
        MESSAGE + 0x1000 * u64::from(n),
        ANSWER + 0x1000 * u64::from(n),
    );
    machine.write(at, &size.to_le_bytes());
    machine.write(at + 4, &[number]);
    machine.write(at + 5, &n.to_le_bytes());
    machine.write(at + 7, body);
    machine.write(answer, &[0xee; 0x1000]);
    [Buffer::readable(at, size), Buffer::writable(answer, 0x1000)]
}

/// The answer with tag `n`: its type and body.
fn answer(machine: &Machine, n: u16, len: u32) -> (u8, Vec<u8>) {
    let bytes = machine.read(ANSWER + 0x1000 * u64::from(n), len as usize);
    assert_eq!(bytes[..4], len.to_le_bytes());
    assert_eq!(bytes[5..7], n.to_le_bytes());
    (bytes[4], bytes[7..].to_vec())
}

fn ask(machine: &Machine, queue: &mut GuestQueue<'_>, number: u8, body: &[u8]) -> (u8, Vec<u8>) {
    queue.add(&message(machine, 0, number, body));
    queue.kick();
    let len = wait(machine, queue);
    answer(machine, 0, len)
}

/// Fields of a message: numbers with their width, and strings.
macro_rules! body {
    ($($field:expr),*) => {{
        let mut body = Vec::<u8>::new();
        $(body.extend($field.to_le_bytes());)*
        body
    }};
}

/// Tversion, Tattach of fid 0, a walk to `file` as fid 1, and Tlopen for reading and writing.
fn mount(machine: &Machine, queue: &mut GuestQueue<'_>) {
    let version = [&body!(8192u32, 8u16)[..], b"9P2000.L"].concat();
    assert_eq!(
        ask(machine, queue, VERSION, &version),
        (VERSION + 1, version)
    );
    let attach = body!(0u32, u32::MAX, 0u16, 0u16, 0u32);
    assert_eq!(ask(machine, queue, ATTACH, &attach).0, ATTACH + 1);
    let walk = [&body!(0u32, 1u32, 1u16, 4u16)[..], b"file"].concat();
    assert_eq!(ask(machine, queue, WALK, &walk).0, WALK + 1);
    assert_eq!(ask(machine, queue, LOPEN, &body!(1u32, 2u32)).0, LOPEN + 1);
}

#[test]
fn the_tag_is_in_the_configuration_space() {
    let machine = Machine::new();
    machine.add(share(0).0);
    let driver = machine.driver(0);
    assert_eq!(driver.device_type(), 9);
    assert_eq!(driver.host_features() & 0xff_ffff, 1);
    assert_eq!(driver.config(), b"\0\x05share");
    assert_eq!(driver.ring_size(0), 128);
}

#[test]
fn tags() {
    for bad in ["", "a b", "\u{e4}", "a\0", &"x".repeat(33)] {
        assert!(Tag::new(bad).is_err(), "{bad:?}");
    }
    assert_eq!(Tag::new(&"x".repeat(32)).unwrap().as_str().len(), 32);
}

#[test]
fn files_over_the_ring() {
    for threads in [0, 1, 4] {
        let machine = Machine::new();
        let (device, directory) = share(threads);
        let metrics = device.metrics();
        machine.add(device);
        let mut queue = start(&machine, MOUNT_TAG);
        mount(&machine, &mut queue);
        assert_eq!(machine.interrupts().len(), 4);

        // The answer's header in one buffer, the data in three: where Linux wants it to be.
        let [request, _] = message(&machine, 0, READ, &body!(1u32, 100u64, 9000u32));
        queue.add(&[
            request,
            Buffer::writable(ANSWER, 11),
            Buffer::writable(DATA, 4096),
            Buffer::writable(DATA + 0x2000, 4000),
            Buffer::writable(DATA + 0x4000, 4096),
        ]);
        queue.kick();
        // No message is longer than 8192 bytes.
        assert_eq!(wait(&machine, &mut queue), 8192);
        assert_eq!(
            machine.read(ANSWER, 11),
            [&body!(8192u32, 117u8, 0u16, 8181u32)[..]].concat()
        );
        assert_eq!(machine.read(DATA, 4096), content()[100..][..4096]);
        assert_eq!(machine.read(DATA + 0x2000, 4000), content()[4196..][..4000]);
        assert_eq!(machine.read(DATA + 0x4000, 85), content()[8196..][..85]);

        // The message's header in one buffer, its data in two.
        let [_, reply] = message(&machine, 0, WRITE, &body!(1u32, 7u64, 6u32));
        machine.write(MESSAGE, &29u32.to_le_bytes());
        machine.write(DATA, b"abc");
        machine.write(DATA + 0x1000, b"def");
        queue.add(&[
            Buffer::readable(MESSAGE, 23),
            Buffer::readable(DATA, 3),
            Buffer::readable(DATA + 0x1000, 3),
            reply,
        ]);
        queue.kick();
        assert_eq!(wait(&machine, &mut queue), 11);
        assert_eq!(answer(&machine, 0, 11), (WRITE + 1, body!(6u32)));
        let now = std::fs::read(directory.path().join("file")).unwrap();
        assert_eq!(now[..14], *b"\x00\x01\x02\x03\x04\x05\x06abcdef\x0d");

        let refused = ask(&machine, &mut queue, CLUNK, &body!(77u32));
        assert_eq!(refused, (RLERROR, body!(EBADF)));
        assert_eq!((metrics.reads.get(), metrics.read_bytes.get()), (1, 8181));
        assert_eq!((metrics.writes.get(), metrics.write_bytes.get()), (1, 6));
        assert_eq!((metrics.errors.get(), metrics.queue.chains.get()), (1, 7));
        assert_eq!(metrics.queue.kicks.get(), 7);
        assert_eq!(metrics.queue.interrupts.get(), 7);
    }
}

#[test]
fn a_reset_drops_the_fids() {
    for how in ["reset", "machine reset"] {
        let machine = Machine::new();
        let (device, _directory) = share(2);
        machine.add(device);
        let mut queue = start(&machine, MOUNT_TAG);
        mount(&machine, &mut queue);
        match how {
            "reset" => assert_eq!(machine.driver(0).reset(), 0),
            _ => machine.machine_reset(),
        }
        let mut queue = start(&machine, MOUNT_TAG);
        let refused = ask(&machine, &mut queue, CLUNK, &body!(1u32));
        assert_eq!(refused, (RLERROR, body!(EBADF)), "{how}");
        mount(&machine, &mut queue);
    }
}

/// A server whose reads wait until the test lets them go on, and that keeps the order in which
/// messages are answered.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: Mutex<usize>,
    order: Mutex<Vec<u16>>,
    resets: Mutex<usize>,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait_for_readers(&self, readers: usize) {
        while *self.waiting.lock().unwrap() < readers {
            std::thread::yield_now();
        }
    }
}

impl FileServer for Gate {
    fn answer(&self, header: Header, _: &Buffers, reply: &Buffers) -> Answered {
        if header.number == READ {
            *self.waiting.lock().unwrap() += 1;
            let open = self.open.lock().unwrap();
            drop(self.opened.wait_while(open, |open| !*open).unwrap());
        }
        assert_ne!(header.number, LOPEN, "this one panics");
        self.order.lock().unwrap().push(header.tag);
        let mut answer = body!(7u32, header.number + 1);
        answer.extend(header.tag.to_le_bytes());
        assert_eq!(reply.write(0, &answer), 7);
        Answered {
            len: 7,
            outcome: Outcome::Done,
        }
    }

    fn reset(&self) {
        *self.resets.lock().unwrap() += 1;
    }
}

/// Opens the gate in the end: a test that fails does not wait for it.
struct Opener(Arc<Gate>);

impl std::ops::Deref for Opener {
    type Target = Gate;

    fn deref(&self) -> &Gate {
        &self.0
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.open();
    }
}

fn gated() -> (P9<Legacy>, Opener) {
    let gate = Arc::new(Gate::default());
    let device = P9::with_threads(gate.clone(), tag(), 4).unwrap();
    (device, Opener(gate))
}

#[test]
fn after_a_reset_no_request_in_flight_writes_memory_or_ring() {
    for how in ["reset", "failed", "machine reset"] {
        let machine = Machine::new();
        let (device, gate) = gated();
        machine.add(device);
        let mut queue = start(&machine, MOUNT_TAG);
        // More than there are threads: some do not even begin.
        for n in 0..6 {
            queue.add(&message(&machine, n, READ, &[]));
        }
        queue.kick();
        machine.run_events();
        gate.wait_for_readers(4);
        assert_eq!(queue.used(), None);

        let before = *gate.resets.lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                gate.open();
            });
            let driver = machine.driver(0);
            match how {
                "reset" => assert_eq!(driver.reset(), 0),
                "failed" => assert_eq!(driver.set_status(0x83), 0),
                _ => machine.machine_reset(),
            }
        });
        // It waited for those that had begun, and only for them; the client is forgotten.
        assert_eq!(gate.order.lock().unwrap().len(), 4, "{how}");
        assert!(*gate.resets.lock().unwrap() > before);
        let ring = machine.read(machine.driver(0).ring_address(0), 0x2000);
        let answers = machine.read(ANSWER, 0x6000);
        machine.run_events();
        std::thread::sleep(Duration::from_millis(20));
        machine.run_events();
        assert_eq!(
            machine.read(machine.driver(0).ring_address(0), 0x2000),
            ring
        );
        assert_eq!(machine.read(ANSWER, 0x6000), answers);
        assert!(machine.interrupts().is_empty());

        let mut queue = start(&machine, MOUNT_TAG);
        assert_eq!(ask(&machine, &mut queue, CLUNK, &[]), (CLUNK + 1, vec![]));
    }
}

#[test]
fn a_pause_waits_and_begins_nothing() {
    let machine = Machine::new();
    let (device, gate) = gated();
    machine.add(device);
    let mut queue = start(&machine, MOUNT_TAG);
    queue.add(&message(&machine, 0, READ, &[]));
    queue.kick();
    machine.run_events();
    gate.wait_for_readers(1);
    // The event loop has not heard of it.
    queue.add(&message(&machine, 1, CLUNK, &[]));
    queue.kick();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            gate.open();
        });
        machine.bus.pause();
    });
    // Given back by now.
    assert_eq!(queue.used(), Some(7));
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
    machine.run_events();
    std::thread::sleep(Duration::from_millis(20));
    machine.run_events();
    assert_eq!(queue.used(), None);
    assert_eq!(*gate.order.lock().unwrap(), [0]);
    machine.bus.resume().unwrap();
    assert_eq!(wait(&machine, &mut queue), 7);
}

#[test]
fn a_flush_is_answered_after_the_request_that_it_is_about() {
    let machine = Machine::new();
    let (device, gate) = gated();
    machine.add(device);
    let mut queue = start(&machine, MOUNT_TAG);
    queue.add(&message(&machine, 5, READ, &[]));
    // One of a tag that is not in flight, one of its own, one of the read's, one of that flush's.
    queue.add(&message(&machine, 6, FLUSH, &body!(99u16)));
    queue.add(&message(&machine, 7, FLUSH, &body!(7u16)));
    queue.add(&message(&machine, 8, FLUSH, &body!(5u16)));
    queue.add(&message(&machine, 9, FLUSH, &body!(8u16)));
    queue.add(&message(&machine, 10, CLUNK, &[]));
    queue.kick();
    for _ in 0..3 {
        wait(&machine, &mut queue);
    }
    let mut first = gate.order.lock().unwrap().clone();
    first.sort_unstable();
    assert_eq!(first, [6, 7, 10]);
    gate.open();
    for _ in 0..3 {
        wait(&machine, &mut queue);
    }
    let order = gate.order.lock().unwrap().clone();
    let place = |tag| order.iter().position(|&t| t == tag).unwrap();
    assert!(place(5) < place(8) && place(8) < place(9), "{order:?}");
    // On the used ring as well.
    let used = machine.driver(0).ring_address(0) + machine.driver(0).layout(0).used_ring() as u64;
    let heads: Vec<u8> = (0..6)
        .map(|i| machine.read(used + 4 + 8 * i + 3, 1)[0] / 2)
        .collect();
    let place = |n| heads.iter().position(|&head| head == n).unwrap();
    assert!(place(0) < place(3) && place(3) < place(4), "{heads:?}");
}

#[test]
fn a_new_session_waits_for_the_old_one() {
    let machine = Machine::new();
    let (device, gate) = gated();
    machine.add(device);
    let mut queue = start(&machine, MOUNT_TAG);
    queue.add(&message(&machine, 1, READ, &[]));
    // Two of them: the second waits for the first, and the first not for the second.
    queue.add(&message(&machine, 2, VERSION, &[]));
    queue.add(&message(&machine, 3, VERSION, &[]));
    queue.kick();
    machine.run_events();
    gate.wait_for_readers(1);
    std::thread::sleep(Duration::from_millis(20));
    machine.run_events();
    assert_eq!(queue.used(), None);
    gate.open();
    for _ in 0..3 {
        wait(&machine, &mut queue);
    }
    assert_eq!(*gate.order.lock().unwrap(), [1, 2, 3]);
}

#[test]
fn a_server_that_panics_fails_one_request() {
    let machine = Machine::new();
    machine.add(gated().0);
    let mut queue = start(&machine, MOUNT_TAG);
    assert_eq!(ask(&machine, &mut queue, LOPEN, &[]), (RLERROR, body!(EIO)));
    assert_eq!(ask(&machine, &mut queue, CLUNK, &[]), (CLUNK + 1, vec![]));
}

/// Lets the guest break a rule: the device stops, another one goes on, and a reset heals.
fn breaks(crime: impl Fn(&Machine) -> Vec<Buffer>) {
    let machine = Machine::new();
    let (device, _directory) = share(2);
    machine.add(device);
    machine.add(disk().0);
    let mut queue = start(&machine, MOUNT_TAG);
    mount(&machine, &mut queue);
    queue.add(&crime(&machine));
    queue.kick();
    machine.run_events();
    let driver = machine.driver(0);
    assert_eq!(driver.status(), 0x47);
    assert_eq!(driver.kick(0), EINVAL);
    assert_eq!(queue.used(), None);

    machine.driver(1).begin_probe(0);
    let mut other = machine.driver(1).find_vq(0, TOKEN);
    machine.driver(1).finish_probe();
    other.add(&read_request(&machine, 4));
    other.kick();
    wait(&machine, &mut other);
    assert_eq!(machine.read(STATUS, 1), [0]);

    let mut queue = start(&machine, MOUNT_TAG);
    mount(&machine, &mut queue);
}

#[test]
fn chains_that_are_no_requests() {
    // No header, no room, and room that is too little for an error.
    breaks(|_| vec![Buffer::writable(ANSWER, 100)]);
    breaks(|_| vec![Buffer::readable(MESSAGE, 6), Buffer::writable(ANSWER, 100)]);
    breaks(|machine| message(machine, 0, CLUNK, &body!(1u32))[..1].to_vec());
    breaks(|machine| {
        let [request, _] = message(machine, 0, CLUNK, &body!(1u32));
        vec![request, Buffer::writable(ANSWER, 10)]
    });
}

#[test]
fn a_message_that_is_not_what_it_says_is_an_error() {
    let machine = Machine::new();
    let (device, _directory) = share(2);
    machine.add(device);
    let mut queue = start(&machine, MOUNT_TAG);
    mount(&machine, &mut queue);
    for size in [0u32, 6, 12, 0x1000, u32::MAX] {
        let buffers = message(&machine, 3, CLUNK, &body!(1u32));
        machine.write(MESSAGE + 0x3000, &size.to_le_bytes());
        queue.add(&buffers);
        queue.kick();
        let len = wait(&machine, &mut queue);
        assert_eq!(answer(&machine, 3, len).0, RLERROR, "{size}");
    }
    assert_eq!(ask(&machine, &mut queue, CLUNK, &body!(1u32)).0, CLUNK + 1);
}
