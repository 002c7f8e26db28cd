// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the log says: every line of which device it speaks; of a driver that breaks a rule one, and
//! of one that never stops not so many that they fill the log.

mod common;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use common::echo::Echo;
use common::*;
use log::{LevelFilter, Log, Metadata, Record};
use s390_virtio_devices::balloon::Balloon;
use s390_virtio_devices::block::engine::{Completion, Engine, Operation};
use s390_virtio_devices::block::{Block, BlockBackend, BlockOptions, Disk};
use s390_virtio_devices::console::{Console, SocketPort};
use s390_virtio_devices::net::{
    FrameBuffers, HeaderOrder, MacAddress, Net, NetBackend, Offloads, StreamLink, VnetHeader,
};
use s390_virtio_devices::p9::{Share, ShareOptions, Tag, P9};
use s390_virtio_devices::rng::Rng;
use s390_vring::Buffer;
use vm_memory::VolatileSlice;
use vmm_sys_util::eventfd::EventFd;

/// Where messages of 9P are.
const MESSAGE: u64 = 0x2_0000;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("s390_virtio_devices") {
            LINES.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// What this crate logs from now on, as long as the guard lives, which keeps other tests out.
fn listen(level: LevelFilter) -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Another test may have set it.
    let _ = log::set_logger(&Lines);
    log::set_max_level(level);
    guard
}

fn take() -> Vec<String> {
    std::mem::take(&mut *LINES.lock().unwrap())
}

/// Makes the disk stop by a request without a status byte.
fn break_a_rule(machine: &Machine) {
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, 0x8000);
    driver.finish_probe();
    queue.add(&[Buffer::readable(HEADER, 16)]);
    for _ in 0..3 {
        driver.kick(0);
        machine.run_events();
    }
    assert_eq!(driver.status(), 0x47);
}

/// Makes both queues of a device stop.
fn break_two_rules_at_once() {
    let machine = Machine::new();
    machine.add(Echo::new(&[8, 8], 0));
    let driver = machine.driver(0);
    driver.begin_probe(0);
    driver.finish_probe();
    for queue in 0..2 {
        let avail = driver.ring_address(queue) + driver.layout(queue).avail_ring() as u64;
        machine.write(avail + 2, &9u16.to_be_bytes());
        driver.kick(queue);
    }
    machine.run_events();
    assert_eq!(driver.status(), 0x47);
}

/// Reads a sector that is gone and one that is there, in turn.
fn fail_again_and_again() {
    let machine = Machine::new();
    let (disk, file) = disk();
    machine.add(disk);
    file.as_file().set_len(1024).unwrap();
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, 0x8000);
    driver.finish_probe();
    for _ in 0..500 {
        for (sector, status) in [(7, 1), (0, 0)] {
            queue.add(&read_request(&machine, sector));
            queue.kick();
            machine.run_events();
            assert!(queue.used().is_some());
            assert_eq!(machine.read(STATUS, 1), [status]);
        }
    }
}

/// Asks a source of entropy that has failed.
fn ask_again_and_again() {
    struct Broken;

    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }

    let machine = Machine::new();
    machine.add(Rng::new(Box::new(Broken)).unwrap());
    let driver = machine.driver(0);
    for _ in 0..10 {
        driver.begin_probe(0);
        let mut queue = driver.find_vq(0, 0x8000);
        driver.finish_probe();
        for _ in 0..50 {
            queue.add(&[Buffer::writable(DATA, 16)]);
            queue.kick();
            machine.run_events();
            assert_eq!(queue.used(), Some(0));
        }
    }
}

#[test]
fn one_line_for_a_breach_and_few_for_many() {
    let _alone = listen(LevelFilter::Info);
    let machine = Machine::new();
    machine.add(disk().0);
    break_a_rule(&machine);
    let lines = take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("virtio0 block: stopped until the guest resets it"));
    break_two_rules_at_once();
    let lines = take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for _ in 0..1000 {
        break_a_rule(&machine);
    }
    assert_eq!(take().len(), 9, "2, 4, 8 to 512");
    for (fail, name) in [
        (fail_again_and_again as fn(), "virtio0 block: queue 0: "),
        (ask_again_and_again, "virtio0 rng: queue 0: "),
    ] {
        fail();
        let lines = take();
        assert_eq!(lines.len(), 9, "1, 2, 4 to 256: {lines:?}");
        assert!(lines.iter().all(|line| line.starts_with(name)), "{lines:?}");
    }
}

/// Storage on which everything fails.
struct Failing;

impl BlockBackend for Failing {
    fn size(&self) -> u64 {
        4096
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        "failing"
    }

    fn read(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        Err(broken())
    }

    fn write(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        Err(broken())
    }

    fn flush(&self) -> io::Result<()> {
        Err(broken())
    }

    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Err(broken())
    }
}

#[test]
fn a_failure_of_storage_says_what_was_asked_of_it() {
    let _alone = listen(LevelFilter::Debug);
    let machine = Machine::new();
    machine.add(Block::new(Box::new(Failing)).unwrap());
    let mut disk = probe(&machine, 0, 1 << 9 | 1 << 11, 1);
    let mut segment = [0; 16];
    (segment[0], segment[8]) = (5, 1);
    machine.write(DATA, &segment);
    take();
    let mut request = |kind, buffers: &[Buffer]| {
        machine.write(HEADER, &[0, 0, 0, kind]);
        give(&machine, &mut disk[0], buffers);
        take()
    };
    let [header, data, status] = write_request(&machine, 6);
    let room = Buffer::writable(DATA + 512, 512);
    let segment = Buffer::readable(DATA, 16);
    for (kind, buffers, line) in [
        (0, &[header, room, status][..], "read at sector 6"),
        (1, &[header, data, status], "write at sector 6"),
        (4, &[header, status], "flush"),
        (11, &[header, segment, status], "discard at sector 5"),
        (13, &[header, segment, status], "write-zeroes at sector 5"),
    ] {
        let lines = request(kind, buffers);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = format!("virtio0 block: queue 0: {line} failed");
        assert!(lines[0].starts_with(&line), "{lines:?}");
        assert!(lines[0].ends_with(": broken"), "{lines:?}");
    }
    // The flush that ends write-back is nobody's request.
    machine.write(machine.driver(0).config_address() + 32, &[0]);
    let lines = request(8, &[header, room, status]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("virtio0 block: queue 0: flush failed"));
}

/// Storage that is no file, so that no io_uring works on it.
struct Zeros;

impl BlockBackend for Zeros {
    fn size(&self) -> u64 {
        4096
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        "zeros"
    }

    fn read(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// An engine for whose event nobody can wait.
struct Deaf(EventFd);

fn deaf_event() -> EventFd {
    let file = tempfile::tempfile().unwrap();
    // SAFETY: a descriptor that nobody else owns, of which nothing is asked but to be registered.
    unsafe { EventFd::from_raw_fd(file.into_raw_fd()) }
}

impl Engine for Deaf {
    fn submit(&mut self, _: u16, _: Operation) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start(&mut self) {}

    fn next_completion(&mut self) -> Option<Completion> {
        None
    }

    fn wait(&mut self) {}

    fn event(&self) -> Option<&EventFd> {
        Some(&self.0)
    }
}

/// A link on which everything fails, once there was a driver.
struct Broken(Box<dyn AsRawFd + Send>, bool);

fn broken() -> io::Error {
    io::Error::other("broken")
}

impl NetBackend for Broken {
    fn event_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    fn process_event(&mut self) -> io::Result<()> {
        Err(broken())
    }

    fn set_offloads(&mut self, _: Offloads, _: HeaderOrder) -> io::Result<()> {
        match std::mem::replace(&mut self.1, true) {
            true => Err(broken()),
            false => Ok(()),
        }
    }

    fn read_frame(&mut self, _: &mut VnetHeader, _: &mut FrameBuffers<'_>) -> io::Result<usize> {
        Err(broken())
    }

    fn write_frame(&mut self, _: &VnetHeader, _: &mut FrameBuffers<'_>) -> io::Result<()> {
        Err(broken())
    }
}

/// Begins with a device and with its first `queues` queues.
fn probe(machine: &Machine, device: usize, features: u32, queues: u64) -> Vec<GuestQueue<'_>> {
    let driver = machine.driver(device);
    driver.begin_probe(features);
    let queues = (0..queues).map(|queue| driver.find_vq(queue, 0x100 + queue));
    let queues = queues.collect();
    driver.finish_probe();
    machine.run_events();
    queues
}

/// Gives a device one chain and lets it work.
fn give(machine: &Machine, queue: &mut GuestQueue<'_>, chain: &[Buffer]) {
    queue.add(chain);
    queue.kick();
    machine.run_events();
}

#[test]
fn every_line_says_of_which_device_it_speaks() {
    let _alone = listen(LevelFilter::Trace);
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine::new();
    let (data, frame) = (Buffer::writable(DATA, 2048), Buffer::readable(DATA, 100));
    machine.write(DATA, &[0; 2048]);

    // A disk without io_uring, whose driver changes the cache mode and asks for what there is not.
    machine.add(Block::with_options(Box::new(Zeros), BlockOptions::default()).unwrap());
    let mut disk = probe(&machine, 0, 1 << 9 | 1 << 11, 1);
    machine.write(machine.driver(0).config_address() + 32, &[0]);
    let request = read_request(&machine, 0);
    machine.write(HEADER, &[0, 0, 0, 99]);
    give(&machine, &mut disk[0], &request);
    while disk[0].used().is_none() {
        machine.wait_for_event();
    }

    // An interface whose other side goes and comes.
    let path = directory.path().join("link");
    let listener = UnixListener::bind(&path).unwrap();
    let link = Box::new(StreamLink::connect(&path).unwrap());
    machine.add(Net::new(link, MacAddress::local(1)).unwrap());
    let mut net = probe(&machine, 1, 0, 2);
    drop(listener.accept().unwrap());
    give(&machine, &mut net[0], &[data]);
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    machine.wait_for_event();
    let listener = UnixListener::bind(&path).unwrap();
    machine.wait_for_event();
    drop(listener);

    // Interfaces whose link fails.
    let fds: [Box<dyn AsRawFd + Send>; 2] = [
        // Nobody can wait for a file.
        Box::new(tempfile::tempfile().unwrap()),
        Box::new(EventFd::new(libc::EFD_NONBLOCK).unwrap()),
    ];
    for fd in fds {
        let link = Box::new(Broken(fd, false));
        machine.add(Net::new(link, MacAddress::local(1)).unwrap());
    }
    for device in [2, 3] {
        let mut net = probe(&machine, device, 0, 2);
        give(&machine, &mut net[0], &[data]);
        give(&machine, &mut net[1], &[frame]);
        assert_eq!(machine.driver(device).reset(), 0);
    }

    // A console whose client goes.
    let path = directory.path().join("console");
    let port = SocketPort::new(UnixListener::bind(&path).unwrap()).unwrap();
    machine.add(Console::new(Box::new(port), None).unwrap());
    let mut console = probe(&machine, 4, 0, 2);
    let client = UnixStream::connect(&path).unwrap();
    machine.run_events();
    drop(client);
    give(&machine, &mut console[0], &[data]);

    // The others at work, and one that stops.
    machine.add(Rng::new(Box::new(io::empty())).unwrap());
    let share = Share::open(directory.path(), ShareOptions::default()).unwrap();
    machine.add(P9::new(Arc::new(share), Tag::new("share").unwrap()).unwrap());
    machine.add(Balloon::new(PAGE).unwrap());
    let engine = Box::new(Deaf(deaf_event()));
    let options = BlockOptions::default();
    let deaf = Disk::with_engine(Arc::new(Zeros), engine, options).unwrap();
    machine.add(Block::with_disk(deaf).unwrap());
    let mut rng = probe(&machine, 5, 0, 1);
    give(&machine, &mut rng[0], &[data]);
    let mut p9 = probe(&machine, 6, 0, 1);
    // Tversion, without a version.
    machine.write(MESSAGE, &[13, 0, 0, 0, 100, 0, 0, 0, 32, 0, 0, 0, 0]);
    give(&machine, &mut p9[0], &[Buffer::readable(MESSAGE, 13), data]);
    let mut balloon = probe(&machine, 7, 0, 2);
    give(&machine, &mut balloon[0], &[frame]);
    give(&machine, &mut rng[0], &[frame]);

    // And what is said to no device.
    machine.refuse_interrupts(true);
    give(&machine, &mut p9[0], &[Buffer::readable(MESSAGE, 13), data]);
    machine.refuse_interrupts(false);
    assert_eq!(machine.diag(RESET, PAGE + 1), EINVAL);
    assert_eq!(machine.diag(SET_STATUS, PAGE + 1), EINVAL);
    assert_eq!(machine.diag(NOTIFY, PAGE + 1), EINVAL);
    machine.machine_reset();

    let kinds = [
        "block", "net", "net", "net", "console", "rng", "9p", "balloon", "block",
    ];
    let names: Vec<_> = (0..).zip(kinds).collect();
    let names: Vec<_> = names
        .iter()
        .map(|(n, kind)| format!("virtio{n} {kind}: "))
        .collect();
    let of_the_bus = ["RESET of ", "SET_STATUS of ", "NOTIFY of ", "machine reset"];
    let lines = take();
    for line in &lines {
        assert!(
            names.iter().any(|name| line.starts_with(name))
                || of_the_bus.iter().any(|what| line.starts_with(what)),
            "{line}"
        );
    }
    let link = format!("virtio1 net: {}: ", directory.path().join("link").display());
    for expected in [
        "virtio0 block: threads instead of io_uring: ",
        "virtio0 block: write cache off",
        "virtio0 block: queue 0: Unsupported(99) is not supported",
        &format!("{link}connection lost, trying again: "),
        &format!("{link}still nobody: "),
        &format!("{link}connected again"),
        "virtio2 net: cannot listen to file descriptor ",
        "virtio2 net: queue 0: cannot receive: broken",
        "virtio2 net: queue 1: frame refused: broken",
        "virtio2 net: offloads stay: broken",
        "virtio3 net: broken",
        "virtio4 console: port \"\": the client has gone: ",
        "virtio5 rng: stopped until the guest resets it (breach 1): queue 0",
        "virtio6 9p: queue 0: Tversion",
        "virtio6 9p: queue 0: interruption 1 lost: ",
        "virtio7 balloon: active",
        "virtio8 block: cannot listen to file descriptor ",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(expected)),
            "{expected}: {lines:#?}"
        );
    }
}
