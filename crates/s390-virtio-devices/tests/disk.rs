// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Disks with several requests in flight: RESET, pause, cache mode, limits, and storage that fails.

mod common;

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use common::*;
use imago::file::File as ImageFile;
use imago::qcow2::Qcow2;
use imago::{FormatCreateBuilder, Storage, StorageCreateOptions};
use s390_virtio_devices::block::{
    Block, BlockBackend, BlockOptions, EngineKind, ImageFormat, ImageOptions, RawFile, Topology,
};
use s390_virtio_devices::rate_limiter::{Rate, RateLimits};
use s390_virtio_devices::VirtioDevice;
use s390_vring::Buffer;
use vm_memory::VolatileSlice;

const FLUSH: u32 = 1 << 9;
const CONFIG_WCE: u32 = 1 << 11;
const IOERR: u8 = 1;
/// Offset of the cache mode in the configuration space.
const WRITEBACK: u64 = 32;

fn options(engine: EngineKind) -> BlockOptions {
    BlockOptions {
        engine,
        ..BlockOptions::default()
    }
}

fn status_byte(machine: &Machine) -> u8 {
    machine.read(STATUS, 1)[0]
}

/// Storage whose reads wait until the test lets them go on, and that counts.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    reads: AtomicUsize,
    reader: Mutex<Option<ThreadId>>,
    writes: AtomicUsize,
    flushes: AtomicUsize,
}

/// The backend of a [`Gate`].
struct Gated(Arc<Gate>);

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait_for_reader(&self) {
        while self.reads.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
    }
}

impl BlockBackend for Gated {
    fn size(&self) -> u64 {
        64 << 20
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        "gated"
    }

    fn topology(&self) -> Topology {
        Topology {
            logical_block: 1024,
            ..Topology::default()
        }
    }

    fn read(&self, data: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        *self.0.reader.lock().unwrap() = Some(std::thread::current().id());
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        let open = self.0.open.lock().unwrap();
        drop(self.0.opened.wait_while(open, |open| !*open).unwrap());
        for slice in data {
            slice.copy_from(&vec![0x11u8; slice.len()]);
        }
        Ok(())
    }

    fn write(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn gated(engine: EngineKind) -> (Block<Legacy>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let backend = Box::new(Gated(gate.clone()));
    (Block::with_options(backend, options(engine)).unwrap(), gate)
}

/// A disk whose first request, a read, waits in a thread of its engine.
fn held_read(machine: &Machine) -> (GuestQueue<'_>, Arc<Gate>) {
    let (disk, gate) = gated(EngineKind::Threads);
    machine.add(disk);
    let mut queue = start(machine, FLUSH);
    queue.add(&read_request(machine, 0));
    queue.kick();
    machine.run_events();
    gate.wait_for_reader();
    (queue, gate)
}

#[test]
fn after_a_reset_no_request_in_flight_writes_memory_or_ring() {
    for how in ["reset", "failed", "machine reset"] {
        let machine = Machine::new();
        machine.write(DATA, &[0xee; 512]);
        let (mut queue, gate) = held_read(&machine);
        assert_eq!(queue.used(), None);

        let begun = Instant::now();
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
            // It waited for the request, whose data may have come; but nothing comes any more.
            assert!(begun.elapsed() >= Duration::from_millis(50), "{how}");
            machine.write(DATA, &[0xee; 512]);
            machine.write(STATUS, &[0xee]);
        });
        std::thread::sleep(Duration::from_millis(20));
        machine.run_events();
        assert_eq!(machine.read(DATA, 512), [0xee; 512], "{how}");
        assert_eq!(status_byte(&machine), 0xee, "{how}");
        assert_eq!(queue.used(), None, "{how}");
        assert!(machine.interrupts().is_empty(), "{how}");

        // And the next driver finds a device as new.
        let mut queue = start(&machine, FLUSH);
        queue.add(&read_request(&machine, 1));
        queue.kick();
        assert_eq!(wait(&machine, &mut queue), 513);
        assert_eq!(machine.read(DATA, 512), [0x11; 512]);
    }
}

#[test]
fn a_device_that_breaks_has_nothing_in_flight() {
    let machine = Machine::new();
    let (mut queue, gate) = held_read(&machine);
    queue.add(&[Buffer::readable(HEADER, 4)]);
    queue.kick();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            gate.open();
        });
        machine.run_events();
        // The guest hears of it when nothing writes its memory any more.
        assert!(begun.elapsed() >= Duration::from_millis(50));
    });
    assert_eq!(machine.driver(0).status(), 0x47);
    assert_eq!(queue.used(), None);
}

/// The same with real storage, for each engine that this host has.
#[test]
fn after_a_reset_no_engine_writes_memory_or_ring() {
    const AT: u64 = 0x2_0000;
    const LEN: usize = 512 << 10;
    for engine in [EngineKind::IoUring, EngineKind::Threads, EngineKind::Inline] {
        let machine = Machine::new();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![0x11; LEN]).unwrap();
        // Through the page cache an io_uring has read at once.
        let open = |direct| {
            let options = ImageOptions {
                direct,
                ..ImageOptions::default()
            };
            options.open(file.path())
        };
        let backend = open(true).or_else(|_| open(false)).unwrap();
        match Block::with_options(backend, options(engine)) {
            Ok(disk) => drop(machine.add(disk)),
            // An emulator or a container may keep it from us.
            Err(error) if engine == EngineKind::IoUring => {
                eprintln!("without io_uring: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        let mut queue = start(&machine, FLUSH);
        for _ in 0..40 {
            let [header, _, status] = read_request(&machine, 0);
            queue.add(&[header, Buffer::writable(AT, LEN as u32), status]);
        }
        queue.kick();
        // They are in flight, and nobody has looked at what is done.
        machine.run_one_turn();
        let driver = machine.driver(0);
        assert_eq!(driver.reset(), 0);
        machine.interrupts();
        machine.write(AT, &[0xee; LEN]);
        machine.write(STATUS, &[0xee]);
        let ring = || machine.read(driver.ring_address(0), driver.layout(0).bytes());
        let before = ring();
        std::thread::sleep(Duration::from_millis(20));
        machine.run_events();
        assert!(machine.read(AT, LEN) == [0xee; LEN], "{engine:?}");
        assert_eq!(status_byte(&machine), 0xee, "{engine:?}");
        assert!(ring() == before, "{engine:?}");
        assert!(machine.interrupts().is_empty(), "{engine:?}");
    }
}

#[test]
fn a_pause_gives_back_what_is_in_flight_and_begins_nothing() {
    let machine = Machine::new();
    let (mut queue, gate) = held_read(&machine);
    gate.open();
    machine.bus.pause();
    assert_eq!(queue.used(), Some(513));
    assert_eq!(machine.interrupts(), [vring(TOKEN)]);
    queue.add(&write_request(&machine, 0));
    queue.kick();
    machine.run_events();
    std::thread::sleep(Duration::from_millis(10));
    machine.run_events();
    assert_eq!(gate.writes.load(Ordering::SeqCst), 0);
    machine.bus.resume().unwrap();
    assert_eq!(wait(&machine, &mut queue), 1);
    assert_eq!(gate.writes.load(Ordering::SeqCst), 1);
}

/// Linux 2.6.27 to 2.6.30 accept features behind their first requests, of which a later one may be
/// done by then and an earlier one not.
#[test]
fn features_accepted_with_driver_ok_leave_requests_in_flight_alone() {
    for paused in [false, true] {
        let machine = Machine::new();
        let (disk, gate) = gated(EngineKind::Threads);
        machine.add(disk);
        let driver = machine.driver(0);
        driver.begin_probe(0);
        let mut queue = driver.find_vq(0, TOKEN);
        queue.add(&read_request(&machine, 0));
        queue.kick();
        machine.run_events();
        gate.wait_for_reader();
        queue.add(&write_request(&machine, 0));
        queue.kick();
        // Durable, since this driver does not know how to flush yet.
        assert_eq!(wait(&machine, &mut queue), 1);
        assert_eq!(gate.flushes.load(Ordering::SeqCst), 1);
        // One more that the device has not heard of.
        queue.add(&write_request(&machine, 0));
        if paused {
            gate.open();
            machine.bus.pause();
        }
        driver.accept_features(FLUSH);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                gate.open();
            });
            driver.finish_probe();
        });
        assert_eq!(queue.used(), Some(513));
        if paused {
            machine.run_events();
            std::thread::sleep(Duration::from_millis(10));
            assert_eq!(gate.writes.load(Ordering::SeqCst), 1);
            machine.bus.resume().unwrap();
        }
        assert_eq!(wait(&machine, &mut queue), 1);
        machine.run_events();
        assert_eq!(queue.used(), None);
        assert_eq!(gate.writes.load(Ordering::SeqCst), 2);
        assert_eq!(gate.flushes.load(Ordering::SeqCst), 1);
        assert_eq!(driver.status(), 7);
    }
}

#[test]
fn a_pause_waits_for_a_piece_of_a_large_request() {
    for (engine, begun) in [(EngineKind::Threads, 1), (EngineKind::Inline, 8)] {
        let machine = Machine::new();
        let (disk, gate) = gated(engine);
        machine.add(disk);
        let mut queue = start(&machine, FLUSH);
        let [header, _, status] = read_request(&machine, 0);
        // 40 MiB, in pieces of 4 MiB, of which an event loop does eight at a time.
        let mut request = vec![header];
        request.extend([Buffer::writable(0x2_0000, 512 << 10); 80]);
        request.push(status);
        queue.add(&request);
        queue.kick();
        if engine == EngineKind::Inline {
            gate.open();
        }
        machine.run_one_turn();
        gate.wait_for_reader();
        gate.open();
        machine.bus.pause();
        machine.run_events();
        std::thread::sleep(Duration::from_millis(10));
        machine.run_events();
        assert_eq!(gate.reads.load(Ordering::SeqCst), begun);
        assert_eq!(queue.used(), None);
        machine.bus.resume().unwrap();
        assert_eq!(wait(&machine, &mut queue), (40 << 20) + 1);
        assert_eq!(gate.reads.load(Ordering::SeqCst), 10);
    }
}

#[test]
fn the_guest_changes_the_cache_mode() {
    let machine = Machine::new();
    let (disk, gate) = gated(EngineKind::Inline);
    machine.add(disk);
    let mode = machine.driver(0).config_address() + WRITEBACK;
    let flushes = || gate.flushes.load(Ordering::SeqCst);
    for restart in ["reset", "failed", "machine reset"] {
        let mut queue = start(&machine, FLUSH | CONFIG_WCE);
        // Whatever its predecessor chose, a driver finds the mode that the user chose.
        assert_eq!(machine.read(mode, 1), [1]);
        let before = flushes();
        let mut write = |expected: usize| {
            queue.add(&write_request(&machine, 0));
            queue.kick();
            assert_eq!(wait(&machine, &mut queue), 1);
            assert_eq!(flushes() - before, expected, "{restart}");
        };
        // No exit tells the host; it sees it when it begins the next request. What was written
        // before becomes durable, as does each write from now on.
        machine.write(mode, &[0]);
        write(2);
        write(3);
        machine.write(mode, &[1]);
        write(3);
        machine.write(mode, &[0]);
        write(5);
        match restart {
            "reset" => assert_eq!(machine.driver(0).reset(), 0),
            "failed" => assert_eq!(machine.driver(0).set_status(0x83), 0),
            _ => machine.machine_reset(),
        }
    }
}

/// A device that is busy wants no notifications: the mode counts from the request on, not from the
/// next notification.
#[test]
fn the_cache_mode_counts_without_a_notification() {
    let machine = Machine::new();
    let (disk, gate) = gated(EngineKind::Inline);
    machine.add(disk);
    let mut queue = start(&machine, FLUSH | CONFIG_WCE);
    let mode = machine.driver(0).config_address() + WRITEBACK;
    queue.kick();
    machine.write(mode, &[0]);
    queue.add(&write_request(&machine, 0));
    assert_eq!(wait(&machine, &mut queue), 1);
    assert_eq!(gate.flushes.load(Ordering::SeqCst), 2);
}

/// Not a CPU that notifies, nor for a device that is not active.
#[test]
fn nobody_flushes_but_the_event_loop() {
    let machine = Machine::new();
    let (disk, gate) = gated(EngineKind::Inline);
    let (disk, id) = machine.add_shared(disk);
    let driver = machine.driver(0);
    let mode = driver.config_address() + WRITEBACK;
    let toggle = |answer| {
        for value in [0, 1, 0] {
            machine.write(mode, &[value]);
            assert_eq!(driver.kick(0), answer);
            assert_eq!(gate.flushes.load(Ordering::SeqCst), 0);
        }
    };
    toggle(0);
    machine.run_events();
    toggle(0);
    start(&machine, FLUSH | CONFIG_WCE);
    toggle(0);
    machine.bus.config_changed(id).unwrap();
    assert!(!disk.lock().unwrap().is_write_back());
    assert_eq!(gate.flushes.load(Ordering::SeqCst), 0);
    // A chain that is no request: the device breaks.
    driver.reset();
    let mut queue = start(&machine, FLUSH | CONFIG_WCE);
    queue.add(&[Buffer::readable(DATA, 4)]);
    queue.kick();
    machine.run_events();
    toggle(EINVAL);
    machine.run_events();
    toggle(EINVAL);
}

#[test]
fn only_one_byte_of_the_configuration_space_is_for_the_driver() {
    let mut disk = gated(EngineKind::Inline).0;
    for (offset, data, write_back) in [
        (33, [0].as_slice(), true),
        (0, &[0; 32], true),
        (30, &[1, 1, 0, 1], false),
        (31, &[1], false),
        (32, &[1], true),
    ] {
        disk.write_config(offset, data);
        assert_eq!(disk.is_write_back(), write_back, "{offset} {data:?}");
    }
}

#[test]
fn without_options_requests_are_done_in_the_event_loop() {
    let machine = Machine::new();
    let gate = Arc::new(Gate::default());
    gate.open();
    machine.add(Block::new(Box::new(Gated(gate.clone()))).unwrap());
    let mut queue = start(&machine, FLUSH);
    queue.add(&read_request(&machine, 0));
    queue.kick();
    assert_eq!(wait(&machine, &mut queue), 513);
    let reader = *gate.reader.lock().unwrap();
    assert_eq!(reader, Some(std::thread::current().id()));
}

#[test]
fn the_user_turns_the_cache_off() {
    let machine = Machine::new();
    let gate = Arc::new(Gate::default());
    let options = BlockOptions {
        write_back: false,
        ..options(EngineKind::Inline)
    };
    machine.add(Block::with_options(Box::new(Gated(gate.clone())), options).unwrap());
    let mut queue = start(&machine, FLUSH);
    assert_eq!(machine.driver(0).config()[WRITEBACK as usize], 0);
    queue.add(&write_request(&machine, 0));
    queue.kick();
    wait(&machine, &mut queue);
    assert_eq!(gate.flushes.load(Ordering::SeqCst), 1);
}

#[test]
fn storage_that_fails_is_an_io_error_and_the_device_lives() {
    for engine in [EngineKind::Auto, EngineKind::Threads, EngineKind::Inline] {
        let machine = Machine::new();
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4096).unwrap();
        let backend = Box::new(RawFile::open(file.path(), false).unwrap());
        machine.add(Block::with_options(backend, options(engine)).unwrap());
        let mut queue = start(&machine, FLUSH);
        file.as_file().set_len(1024).unwrap();
        for (sector, status) in [(7, IOERR), (0, 0), (2, IOERR)] {
            queue.add(&read_request(&machine, sector));
            queue.kick();
            wait(&machine, &mut queue);
            assert_eq!(status_byte(&machine), status, "{engine:?} {sector}");
        }
        // Writing brings it back.
        queue.add(&write_request(&machine, 7));
        queue.kick();
        wait(&machine, &mut queue);
        assert_eq!(status_byte(&machine), 0);
    }
}

#[test]
fn requests_beyond_the_rate_limit_come_later() {
    let machine = Machine::new();
    let options = BlockOptions {
        limits: RateLimits {
            ops: Rate::per_second(20),
            bytes: None,
        },
        ..options(EngineKind::Auto)
    };
    let gate = Arc::new(Gate::default());
    gate.open();
    machine.add(Block::with_options(Box::new(Gated(gate)), options).unwrap());
    let mut queue = start(&machine, FLUSH);
    let begun = Instant::now();
    for _ in 0..6 {
        queue.add(&read_request(&machine, 0));
    }
    queue.kick();
    for _ in 0..6 {
        wait(&machine, &mut queue);
    }
    // Two at once, then one each 50 ms.
    assert!(begun.elapsed() >= Duration::from_millis(190));
}

#[test]
fn new_limits_count_at_once() {
    let machine = Machine::new();
    let (disk, gate) = gated(EngineKind::Inline);
    gate.open();
    let (disk, _) = machine.add_shared(disk);
    let limits = RateLimits {
        ops: None,
        // A sector a minute.
        bytes: Rate::per_second(8),
    };
    disk.lock().unwrap().set_limits(limits);
    assert_eq!(disk.lock().unwrap().limits(), limits);
    let mut queue = start(&machine, FLUSH);
    for _ in 0..2 {
        queue.add(&read_request(&machine, 0));
    }
    queue.kick();
    machine.run_events();
    assert_eq!([queue.used(), queue.used()], [Some(513), None]);
    disk.lock().unwrap().set_limits(RateLimits::default());
    machine.run_events();
    assert_eq!(queue.used(), Some(513));
}

#[test]
fn features_and_their_fields() {
    // Largest segment, number of segments, geometry, block size, flush, topology, cache mode.
    const ALWAYS: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | FLUSH | 1 << 10 | CONFIG_WCE;
    const RO: u32 = 1 << 5;
    const DISCARD: u32 = 1 << 13;
    const WRITE_ZEROES: u32 = 1 << 14;
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4096).unwrap();
    for (read_only, features) in [(false, DISCARD | WRITE_ZEROES), (true, RO)] {
        let machine = Machine::new();
        let raw = RawFile::open(file.path(), read_only).unwrap();
        machine.add(Block::new(Box::new(raw)).unwrap());
        let driver = machine.driver(0);
        assert_eq!(driver.host_features() & 0xff_ffff, ALWAYS | features);
        // As many segments as fit into the queue beside header and status.
        let segments = u32::from(driver.ring_size(0)) - 2;
        assert_eq!(driver.config()[12..16], segments.to_be_bytes());
    }
}

#[test]
fn direct_io_takes_buffers_at_any_address() {
    for engine in [EngineKind::Auto, EngineKind::Threads] {
        let machine = Machine::new();
        // Some file systems for temporary files do no direct I/O.
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let content: Vec<u8> = (0..64 << 10).map(|i| (i / 4096 + i % 251) as u8).collect();
        std::fs::write(file.path(), &content).unwrap();
        let image = ImageOptions {
            direct: true,
            ..ImageOptions::default()
        };
        let backend = match image.open(file.path()) {
            Ok(backend) => backend,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "{error}");
                eprintln!("no direct I/O here: {error}");
                return;
            }
        };
        let fd = backend.as_raw_file().unwrap().as_raw_fd();
        // SAFETY: the command takes nothing else.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        assert_ne!(flags & libc::O_DIRECT, 0);
        let block = u64::from(backend.topology().logical_block);
        machine.add(Block::with_options(backend, options(engine)).unwrap());
        assert_eq!(
            machine.driver(0).config()[20..24],
            (block as u32).to_be_bytes()
        );
        let mut queue = start(&machine, FLUSH);
        let len = block.max(4096);
        for data in [DATA, DATA + 4, DATA + 511] {
            let sector = len / 512 * 3;
            let [header, _, status] = read_request(&machine, sector);
            queue.add(&[header, Buffer::writable(data, len as u32), status]);
            queue.kick();
            wait(&machine, &mut queue);
            assert_eq!(status_byte(&machine), 0);
            let wanted = &content[len as usize * 3..][..len as usize];
            assert!(machine.read(data, len as usize) == wanted);

            machine.write(data, &vec![0x42; len as usize]);
            let [header, _, status] = write_request(&machine, 0);
            queue.add(&[header, Buffer::readable(data, len as u32), status]);
            queue.kick();
            wait(&machine, &mut queue);
            assert_eq!(status_byte(&machine), 0);
            let after = std::fs::read(file.path()).unwrap();
            assert!(after[..len as usize] == vec![0x42; len as usize]);
            assert!(after[len as usize..] == content[len as usize..]);
            std::fs::write(file.path(), &content).unwrap();
        }
    }
}

#[test]
fn qcow2_images_and_their_backing_files_do_direct_io() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [base, overlay] = ["base", "overlay"].map(|name| directory.path().join(name));
    let create = |path: &Path, backing: Option<&Path>| {
        let file = StorageCreateOptions::new().filename(path);
        let file = ImageFile::create_open(file).unwrap();
        let mut builder = Qcow2::<ImageFile>::create_builder(file).size(1 << 20);
        if let Some(backing) = backing {
            builder = builder.backing(backing.to_str().unwrap().into(), "qcow2".into());
        }
        builder.create().unwrap();
    };
    let open = |path: &Path, direct| {
        let image = ImageOptions {
            format: ImageFormat::Qcow2,
            direct,
            ..ImageOptions::default()
        };
        image.open(path)
    };
    // At an odd address in memory.
    let write = |disk: &dyn BlockBackend, byte, offset| {
        let data = &mut [byte; 513][1..];
        disk.write(&[data.into()], offset).unwrap();
    };
    let read = |disk: &dyn BlockBackend, offset| {
        let mut data = [0xee; 513];
        disk.read(&[(&mut data[1..]).into()], offset).unwrap();
        assert!(data[1..].iter().all(|&byte| byte == data[1]));
        data[1]
    };
    create(&base, None);
    {
        let disk = open(&base, false).unwrap();
        write(&*disk, 1, 0);
        write(&*disk, 2, 512);
        disk.flush().unwrap();
    }
    create(&overlay, Some(&base));
    let disk = match open(&overlay, true) {
        Ok(disk) => disk,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            eprintln!("no direct I/O here: {error}");
            return;
        }
    };
    // Both files are open so: nothing goes through the page cache.
    let direct = std::fs::read_dir("/proc/self/fd").unwrap().filter(|entry| {
        let fd = entry.as_ref().unwrap();
        let target = std::fs::read_link(fd.path()).unwrap_or_default();
        let number = fd.file_name().to_str().unwrap().parse().unwrap();
        // SAFETY: the command takes nothing else.
        target.starts_with(directory.path())
            && unsafe { libc::fcntl(number, libc::F_GETFL) } & libc::O_DIRECT != 0
    });
    assert_eq!(direct.count(), 2);
    write(&*disk, 3, 0);
    assert_eq!([read(&*disk, 0), read(&*disk, 512)], [3, 2]);
    disk.flush().unwrap();
    drop(disk);
    let disk = open(&overlay, false).unwrap();
    assert_eq!([read(&*disk, 0), read(&*disk, 512)], [3, 2]);
}

#[test]
fn blocks_are_no_smaller_than_those_of_the_storage() {
    for (logical_block, expected) in [(0, 1024u32), (512, 1024), (4096, 4096)] {
        let machine = Machine::new();
        let options = BlockOptions {
            logical_block,
            ..options(EngineKind::Inline)
        };
        machine.add(Block::with_options(Box::new(Gated(Arc::default())), options).unwrap());
        let config = machine.driver(0).config();
        assert_eq!(config[20..24], expected.to_be_bytes());
        // The physical block and the smallest request, in logical ones: whatever the storage says.
        assert_eq!(config[24..28], [0, 0, 0, 1]);
    }
}

#[test]
fn the_size_is_a_whole_number_of_blocks() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let of_blocks = |logical_block| {
        let backend = RawFile::open(file.path(), false).unwrap();
        let options = BlockOptions {
            logical_block,
            ..options(EngineKind::Inline)
        };
        Block::<Legacy>::with_options(Box::new(backend), options)
    };
    file.as_file().set_len(8192 + 512).unwrap();
    drop(of_blocks(512).unwrap());
    assert_eq!(
        of_blocks(4096).unwrap_err().to_string(),
        "8704 bytes are no whole number of blocks of 4096"
    );
    file.as_file().set_len(8192).unwrap();
    let mut disk = of_blocks(4096).unwrap();
    assert!(disk.resize(Some(8192 + 512)).is_err());
    assert_eq!(disk.size(), 8192);
    disk.resize(Some(4096)).unwrap();
    // Not every storage can change.
    assert!(gated(EngineKind::Inline).0.resize(Some(1 << 20)).is_err());
    // All that there is, without a part of a block.
    file.as_file().set_len(12288 + 1024).unwrap();
    disk.resize(None).unwrap();
    assert_eq!(disk.size(), 12288);
    file.as_file().set_len(1024).unwrap();
    assert!(disk.resize(None).is_err());
    assert_eq!(disk.size(), 12288);
}

#[test]
fn a_disk_grows_under_a_running_guest() {
    let machine = Machine::new();
    let (disk, file) = disk();
    let (shared, id) = machine.add_shared(disk);
    let mut queue = start(&machine, FLUSH);
    queue.add(&read_request(&machine, 8));
    queue.kick();
    wait(&machine, &mut queue);
    assert_eq!(status_byte(&machine), IOERR);
    machine.interrupts();
    shared.lock().unwrap().resize(Some(8192)).unwrap();
    machine.bus.config_changed(id).unwrap();
    assert_eq!(machine.interrupts(), [(0x2603, 0x0d00, 1, TOKEN)]);
    assert_eq!(machine.driver(0).config()[..8], 16u64.to_be_bytes());
    queue.add(&read_request(&machine, 15));
    queue.kick();
    wait(&machine, &mut queue);
    assert_eq!(status_byte(&machine), 0);
    assert_eq!(file.as_file().metadata().unwrap().len(), 8192);
}
