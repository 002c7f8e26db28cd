// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A scripted driver and a disk in memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use s390_vring::mock::MockDriver;
use s390_vring::{BigEndian, Buffer, ByteOrder, LittleEndian, VIRTQ_AVAIL_F_NO_INTERRUPT};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN,
    VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, VolatileSlice,
};

use super::*;
use crate::block::engine::{Completion, Engine};
use crate::block::{BlockBackend, BlockOptions, EngineKind};
use crate::rate_limiter::{Rate, RateLimits};
use crate::test_utils::{bytes, memory, queue, Memory, Recorder, TestTransport};

const HEADER: u64 = 0x8000;
const DATA: u64 = 0x9000;
const STATUS: u64 = 0xf000;
const FLUSH: u64 = 1 << VIRTIO_BLK_F_FLUSH;

/// A disk in memory, which counts flushes and can fail.
struct Ram {
    content: Mutex<Vec<u8>>,
    flushes: AtomicUsize,
    fails: AtomicBool,
    read_only: AtomicBool,
    discarded: Mutex<Vec<(u64, u64)>>,
    /// For each request for zeros, whether it may unmap.
    unmapped: Mutex<Vec<bool>>,
}

impl Ram {
    fn new() -> Self {
        let content = (0..4096u32).map(|i| (i / 512 * 16 + i % 7) as u8);
        Ram {
            content: Mutex::new(content.collect()),
            flushes: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            discarded: Mutex::default(),
            unmapped: Mutex::default(),
        }
    }

    fn content(&self) -> Vec<u8> {
        self.content.lock().unwrap().clone()
    }

    fn flushes(&self) -> usize {
        self.flushes.load(Ordering::SeqCst)
    }

    fn result(&self) -> io::Result<()> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl BlockBackend for Ram {
    fn size(&self) -> u64 {
        self.content.lock().unwrap().len() as u64
    }

    fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::SeqCst)
    }

    fn serial(&self) -> &str {
        "serial-number"
    }

    fn read(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let content = self.content.lock().unwrap();
        let mut at = offset as usize;
        for slice in data {
            slice.copy_from(&content[at..at + slice.len()]);
            at += slice.len();
        }
        self.result()
    }

    fn write(&self, data: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.result()?;
        let mut content = self.content.lock().unwrap();
        let mut at = offset as usize;
        for slice in data {
            slice.copy_to(&mut content[at..at + slice.len()]);
            at += slice.len();
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        self.result()
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.discarded.lock().unwrap().push((offset, len));
        self.result()
    }

    fn write_zeroes(&self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        self.unmapped.lock().unwrap().push(unmap);
        let zeros = &mut vec![0; len as usize][..];
        self.write(&[zeros.into()], offset)
    }
}

fn header<E: ByteOrder>(memory: &Memory, kind: u32, sector: u64) {
    let mut header = [0; 16];
    header[..4].copy_from_slice(&E::u32(kind).to_ne_bytes());
    header[8..].copy_from_slice(&E::u64(sector).to_ne_bytes());
    memory.write_slice(&header, GuestAddress(HEADER)).unwrap();
    memory.write_obj(0xeeu8, GuestAddress(STATUS)).unwrap();
}

fn status(memory: &Memory) -> u32 {
    u32::from(memory.read_obj::<u8>(GuestAddress(STATUS)).unwrap())
}

/// One request after the other through a queue of eight entries.
struct Bench<'a, E: ByteOrder> {
    memory: &'a Arc<Memory>,
    mock: MockDriver<'a, E, Memory>,
    handler: BlockHandler<TestTransport<E>>,
    signals: Arc<Recorder>,
    ram: Arc<Ram>,
    disk: Disk,
}

impl<'a, E: ByteOrder> Bench<'a, E> {
    fn new(memory: &'a Arc<Memory>, features: u64) -> Self {
        let options = BlockOptions {
            engine: EngineKind::Inline,
            ..BlockOptions::default()
        };
        let ram = Arc::new(Ram::new());
        let disk = Disk::new(ram.clone(), options).unwrap();
        Self::with_disk(memory, features, ram, disk)
    }

    fn with_disk(memory: &'a Arc<Memory>, features: u64, ram: Arc<Ram>, disk: Disk) -> Self {
        let mock = queue::<E>(memory, 0, 8);
        let signals = Arc::new(Recorder::default());
        let handler = BlockHandler::new(
            memory.clone(),
            mock.device_queue(),
            signals.clone(),
            features,
            Arc::default(),
        );
        Bench {
            memory,
            mock,
            handler,
            signals,
            ram,
            disk,
        }
    }

    /// The status byte, and the length in the used ring.
    fn request(&mut self, kind: u32, sector: u64, data: &[Buffer]) -> (u32, u32) {
        header::<E>(self.memory, kind, sector);
        let mut buffers = vec![Buffer::readable(HEADER, 16)];
        buffers.extend_from_slice(data);
        buffers.push(Buffer::writable(STATUS, 1));
        let head = self.mock.add_chain(&buffers);
        assert_eq!(
            self.handler.process(&mut self.disk).unwrap(),
            Progress::Idle
        );
        let used = self.mock.driver().pop_used().unwrap().unwrap();
        assert_eq!(used.head, head);
        assert_eq!(self.signals.take_used(), [0]);
        (status(self.memory), used.len)
    }

    /// Turns the cache off, so that it is flushed, in vain, when the next request begins.
    fn lose_the_cache(&mut self) {
        self.disk.set_write_back(false);
        self.ram.fails.store(true, Ordering::SeqCst);
        self.request(VIRTIO_BLK_T_GET_ID, 0, &[]);
        self.ram.fails.store(false, Ordering::SeqCst);
        assert_eq!(self.ram.flushes(), 1);
    }
}

fn reads_and_writes<E: ByteOrder>() {
    let memory = memory();
    let mut bench = Bench::<E>::new(&memory, FLUSH);
    let data = [
        Buffer::writable(DATA, 700),
        Buffer::writable(DATA + 0x1000, 324),
    ];
    assert_eq!(
        bench.request(VIRTIO_BLK_T_IN, 2, &data),
        (VIRTIO_BLK_S_OK, 1025)
    );
    assert_eq!(bytes(&memory, DATA, 700), bench.ram.content()[1024..1724]);
    assert_eq!(
        bytes(&memory, DATA + 0x1000, 324),
        bench.ram.content()[1724..2048]
    );

    memory
        .write_slice(&[0x5a; 512], GuestAddress(DATA))
        .unwrap();
    let data = [
        Buffer::readable(DATA, 100),
        Buffer::readable(DATA + 100, 412),
    ];
    assert_eq!(
        bench.request(VIRTIO_BLK_T_OUT, 7, &data),
        (VIRTIO_BLK_S_OK, 1)
    );
    assert_eq!(bench.ram.content()[3584..], [0x5a; 512]);
    assert_eq!(bench.ram.flushes(), 0);
    assert_eq!(
        bench.request(VIRTIO_BLK_T_FLUSH, 0, &[]),
        (VIRTIO_BLK_S_OK, 1)
    );
    assert_eq!(bench.ram.flushes(), 1);
    let metrics = &bench.handler.metrics;
    assert_eq!((metrics.reads.get(), metrics.read_bytes.get()), (1, 1024));
    assert_eq!((metrics.writes.get(), metrics.write_bytes.get()), (1, 512));
    assert_eq!(metrics.flushes.get(), 1);
    assert_eq!(metrics.queue.chains.get(), 3);
}

#[test]
fn reads_and_writes_in_either_byte_order() {
    reads_and_writes::<BigEndian>();
    reads_and_writes::<LittleEndian>();
}

#[test]
fn writes_are_durable_for_a_driver_that_never_flushes() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    let data = [Buffer::readable(DATA, 512)];
    assert_eq!(bench.request(VIRTIO_BLK_T_OUT, 0, &data).0, VIRTIO_BLK_S_OK);
    assert_eq!(bench.ram.flushes(), 1);
    memory
        .write_slice(&segment(0, 1, 0), GuestAddress(DATA))
        .unwrap();
    bench.request(VIRTIO_BLK_T_WRITE_ZEROES, 0, &[Buffer::readable(DATA, 16)]);
    assert_eq!(bench.ram.flushes(), 2);
}

#[test]
fn the_serial_number_fills_twenty_bytes() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    memory.write_slice(&[0xee; 24], GuestAddress(DATA)).unwrap();
    let data = [Buffer::writable(DATA, 24)];
    // What lies between the serial number and the status byte was not written.
    assert_eq!(
        bench.request(VIRTIO_BLK_T_GET_ID, 0, &data),
        (VIRTIO_BLK_S_OK, 20)
    );
    assert_eq!(
        bytes(&memory, DATA, 24),
        *b"serial-number\0\0\0\0\0\0\0\xee\xee\xee\xee"
    );
    let short = [Buffer::writable(DATA, 6)];
    assert_eq!(
        bench.request(VIRTIO_BLK_T_GET_ID, 0, &short),
        (VIRTIO_BLK_S_OK, 7)
    );
}

#[test]
fn what_cannot_be_done_is_an_io_error() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    let before = bench.ram.content();
    let (room, data) = (Buffer::writable(DATA, 1024), Buffer::readable(DATA, 1024));
    for (kind, sector, buffer) in [
        (VIRTIO_BLK_T_IN, 7, room),
        (VIRTIO_BLK_T_IN, 1 << 32, room),
        (VIRTIO_BLK_T_IN, u64::MAX, room),
        (VIRTIO_BLK_T_IN, u64::MAX / 512, room),
        (VIRTIO_BLK_T_IN, 0, Buffer::writable(DATA, 513)),
        (VIRTIO_BLK_T_OUT, 8, data),
        (VIRTIO_BLK_T_OUT, 1 << 55, data),
        (VIRTIO_BLK_T_OUT, 0, Buffer::readable(DATA, 511)),
    ] {
        // The status byte counts where nothing is missing before it.
        let len = u32::from(kind == VIRTIO_BLK_T_OUT);
        let answer = bench.request(kind, sector, &[buffer]);
        assert_eq!(answer, (VIRTIO_BLK_S_IOERR, len));
    }
    bench.ram.fails.store(true, Ordering::SeqCst);
    assert_eq!(
        bench.request(VIRTIO_BLK_T_IN, 0, &[room]),
        (VIRTIO_BLK_S_IOERR, 0)
    );
    assert_eq!(
        bench.request(VIRTIO_BLK_T_OUT, 0, &[data]),
        (VIRTIO_BLK_S_IOERR, 1)
    );
    bench.ram.fails.store(false, Ordering::SeqCst);
    bench.ram.read_only.store(true, Ordering::SeqCst);
    assert_eq!(
        bench.request(VIRTIO_BLK_T_OUT, 0, &[data]).0,
        VIRTIO_BLK_S_IOERR
    );
    assert_eq!(
        bench.request(VIRTIO_BLK_T_IN, 0, &[room]).0,
        VIRTIO_BLK_S_OK
    );
    assert_eq!(bench.ram.content(), before);
    assert_eq!(bench.handler.metrics.errors.get(), 11);
}

#[test]
fn unknown_requests_are_unsupported() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    // SCSI command, secure erase, a write with the barrier bit of 2008, nonsense.
    for kind in [2, 14, 0x8000_0001, 0x0100_0000, u32::MAX] {
        let room = [Buffer::writable(DATA, 512)];
        let answer = bench.request(kind, 0, &room);
        assert_eq!(answer, (VIRTIO_BLK_S_UNSUPP, 0), "{kind:#x}");
        let answer = bench.request(kind, 0, &[]);
        assert_eq!(answer, (VIRTIO_BLK_S_UNSUPP, 1), "{kind:#x}");
    }
    assert_eq!(bench.handler.metrics.unsupported.get(), 10);
}

#[test]
fn a_chain_that_is_no_request_breaks_the_queue() {
    for buffers in [
        vec![Buffer::readable(HEADER, 16)],
        vec![Buffer::readable(HEADER, 15), Buffer::writable(STATUS, 1)],
        vec![Buffer::writable(DATA, 512)],
    ] {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
        bench.mock.add_chain(&buffers);
        assert!(matches!(
            bench.handler.process(&mut bench.disk),
            Err(HandlerError::Request { queue: 0, .. })
        ));
        assert_eq!(bench.mock.used_idx(), 0);
    }
}

#[test]
fn hostile_rings_break_the_queue() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    bench.mock.set_avail_idx(9);
    let error = bench.handler.process(&mut bench.disk).unwrap_err();
    assert!(matches!(error, HandlerError::Queue { queue: 0, .. }));
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    bench
        .mock
        .add_chain(&[Buffer::readable(1 << 40, 16), Buffer::writable(STATUS, 1)]);
    assert!(bench.handler.process(&mut bench.disk).is_err());
}

#[test]
fn the_driver_is_not_interrupted_against_its_will() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    bench.mock.set_avail_flags(VIRTQ_AVAIL_F_NO_INTERRUPT);
    header::<BigEndian>(&memory, VIRTIO_BLK_T_FLUSH, 0);
    bench
        .mock
        .add_chain(&[Buffer::readable(HEADER, 16), Buffer::writable(STATUS, 1)]);
    bench.handler.process(&mut bench.disk).unwrap();
    assert_eq!(bench.mock.used_idx(), 1);
    assert!(bench.signals.take_used().is_empty());
    assert_eq!(bench.handler.metrics.queue.suppressed.get(), 1);
}

/// A guest whose other CPU makes a chain available whenever one is served.
struct Endless(Arc<Memory>);

impl BlockBackend for Endless {
    fn size(&self) -> u64 {
        0
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        ""
    }

    fn read(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        // The available index of a ring with eight entries at address 0.
        let idx = GuestAddress(128 + 2);
        let now: [u8; 2] = self.0.read_obj(idx).unwrap();
        let next = u16::from_be_bytes(now) + 1;
        self.0.write_obj(next.to_be_bytes(), idx).unwrap();
        Ok(())
    }
}

#[test]
fn other_devices_get_their_turn_after_one_round() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    header::<BigEndian>(&memory, VIRTIO_BLK_T_FLUSH, 0);
    bench
        .mock
        .add_chain(&[Buffer::readable(HEADER, 16), Buffer::writable(STATUS, 1)]);
    let options = BlockOptions {
        engine: EngineKind::Inline,
        ..BlockOptions::default()
    };
    let mut endless = Disk::new(Arc::new(Endless(memory.clone())), options).unwrap();
    for round in 1..4 {
        let progress = bench.handler.process(&mut endless).unwrap();
        assert_eq!(progress, Progress::More);
        assert_eq!(bench.mock.used_idx(), 8 * round);
        assert_eq!(bench.signals.take_used(), [0]);
    }
}

#[test]
fn writes_are_durable_while_the_cache_is_off() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    let data = [Buffer::readable(DATA, 512)];
    for (write_back, flushes) in [(true, 0), (false, 1), (true, 1)] {
        bench.disk.write_back = write_back;
        assert_eq!(bench.request(VIRTIO_BLK_T_OUT, 0, &data).0, VIRTIO_BLK_S_OK);
        assert_eq!(bench.ram.flushes(), flushes);
    }
}

#[test]
fn a_cache_that_is_on_again_before_the_next_request_is_not_flushed() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    let data = [Buffer::readable(DATA, 512)];
    bench.disk.set_write_back(false);
    bench.disk.set_write_back(true);
    assert_eq!(bench.request(VIRTIO_BLK_T_OUT, 0, &data).0, VIRTIO_BLK_S_OK);
    assert_eq!(bench.ram.flushes(), 0);
}

/// Whatever the transport's byte order is.
fn segment(sector: u64, sectors: u32, flags: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&sector.to_le_bytes());
    bytes[8..12].copy_from_slice(&sectors.to_le_bytes());
    bytes[12..].copy_from_slice(&flags.to_le_bytes());
    bytes
}

fn discards_and_zeroes<E: ByteOrder>() {
    let memory = memory();
    let mut bench = Bench::<E>::new(&memory, FLUSH);
    let segments = [segment(1, 2, 0), segment(6, 1, 0)].concat();
    memory.write_slice(&segments, GuestAddress(DATA)).unwrap();
    let data = [Buffer::readable(DATA, 20), Buffer::readable(DATA + 20, 12)];
    let status = bench.request(VIRTIO_BLK_T_DISCARD, 0, &data);
    assert_eq!(status, (VIRTIO_BLK_S_OK, 1));
    let discarded = bench.ram.discarded.lock().unwrap().clone();
    assert_eq!(discarded, [(512, 1024), (3072, 512)]);

    let before = bench.ram.content();
    for flags in [0, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP] {
        let zeroes = segment(3, 2, flags);
        memory.write_slice(&zeroes, GuestAddress(DATA)).unwrap();
        let data = [Buffer::readable(DATA, 16)];
        let status = bench.request(VIRTIO_BLK_T_WRITE_ZEROES, 0, &data);
        assert_eq!(status, (VIRTIO_BLK_S_OK, 1));
    }
    assert_eq!(*bench.ram.unmapped.lock().unwrap(), [false, true]);
    let after = bench.ram.content();
    assert_eq!(after[..1536], before[..1536]);
    assert_eq!(after[1536..2560], [0; 1024]);
    assert_eq!(after[2560..], before[2560..]);
    let metrics = &bench.handler.metrics;
    assert_eq!((metrics.discards.get(), metrics.write_zeroes.get()), (1, 2));
}

#[test]
fn discards_and_zeroes_are_little_endian_in_either_byte_order() {
    discards_and_zeroes::<BigEndian>();
    discards_and_zeroes::<LittleEndian>();
}

#[test]
fn discards_and_zeroes_that_cannot_be() {
    type E = BigEndian;
    let memory = memory();
    let mut bench = Bench::<E>::new(&memory, FLUSH);
    let before = bench.ram.content();
    let (error, unsupported) = (VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_UNSUPP);
    let (discard, zeroes) = (VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES);
    for (kind, segment, len, status) in [
        (discard, segment(7, 2, 0), 16, error),
        (discard, segment(u64::MAX, 1, 0), 16, error),
        (discard, segment(0, 0, 0), 16, error),
        (discard, segment(0, 1, 1), 16, unsupported),
        (discard, segment(0, 1, 0), 15, error),
        (discard, segment(0, 1, 0), 24, error),
        (discard, segment(0, 1, 0), 0, error),
        (discard, segment(0, 1, 0), 17 * 16, error),
        (zeroes, segment(8, 1, 0), 16, error),
        (zeroes, segment(0, u32::MAX, 0), 16, error),
        (zeroes, segment(0, 1, 2), 16, unsupported),
        (zeroes, segment(0, 1, 0), 32, error),
    ] {
        // As many as there may be.
        for at in (DATA..).step_by(16).take(17) {
            memory.write_slice(&segment, GuestAddress(at)).unwrap();
        }
        let data: &[Buffer] = match len {
            0 => &[],
            _ => &[Buffer::readable(DATA, len)],
        };
        let found = bench.request(kind, 0, data).0;
        assert_eq!(found, status, "{kind} {segment:?} {len}");
    }
    bench.ram.read_only.store(true, Ordering::SeqCst);
    memory
        .write_slice(&segment(0, 1, 0), GuestAddress(DATA))
        .unwrap();
    for kind in [discard, zeroes] {
        let data = [Buffer::readable(DATA, 16)];
        assert_eq!(bench.request(kind, 0, &data).0, error);
    }
    assert_eq!(bench.ram.content(), before);
    assert!(bench.ram.discarded.lock().unwrap().is_empty());
}

/// An engine whose operations are done when the test says so.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<HeldState>>);

#[derive(Default)]
struct HeldState {
    name: String,
    submitted: Vec<(u16, Operation)>,
    done: Vec<Completion>,
}

impl Held {
    /// Does the operation at this place in the order of submission.
    fn finish(&self, index: usize, backend: &dyn BlockBackend) {
        let mut state = self.0.lock().unwrap();
        let (tag, operation) = state.submitted.remove(index);
        let result = operation.execute(backend);
        state.done.push(Completion { tag, result });
    }

    fn submitted(&self) -> usize {
        self.0.lock().unwrap().submitted.len()
    }

    /// What was submitted and is not done: R, W or D (durable) for reads and writes, F.
    fn kinds(&self) -> String {
        let kind = |(_, operation): &(u16, Operation)| match operation {
            Operation::Read { .. } => 'R',
            Operation::Write { durable: false, .. } => 'W',
            Operation::Write { .. } => 'D',
            Operation::Flush => 'F',
            _ => '?',
        };
        self.0.lock().unwrap().submitted.iter().map(kind).collect()
    }
}

impl Engine for Held {
    fn submit(&mut self, tag: u16, operation: Operation) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().submitted.push((tag, operation));
        Poll::Pending
    }

    fn start(&mut self) {}

    fn next_completion(&mut self) -> Option<Completion> {
        self.0.lock().unwrap().done.pop()
    }

    fn wait(&mut self) {}

    fn set_name(&mut self, name: &str) {
        self.0.lock().unwrap().name = name.to_owned();
    }

    fn cancel(&mut self) {
        *self.0.lock().unwrap() = HeldState::default();
    }
}

fn held<'a>(memory: &'a Arc<Memory>) -> (Bench<'a, BigEndian>, Held) {
    let (ram, engine) = (Arc::new(Ram::new()), Held::default());
    let boxed = Box::new(engine.clone());
    let disk = Disk::with_engine(ram.clone(), boxed, BlockOptions::default()).unwrap();
    (Bench::with_disk(memory, FLUSH, ram, disk), engine)
}

#[test]
fn all_parts_of_a_disk_have_its_name() {
    let memory = memory();
    let (mut bench, engine) = held(&memory);
    bench.disk.set_name("virtio7 block");
    assert_eq!(engine.0.lock().unwrap().name, "virtio7 block");
    assert!(format!("{:?}", bench.disk.limiter).contains("virtio7 block"));
}

#[test]
fn several_requests_are_in_flight_and_end_in_any_order() {
    let memory = memory();
    let (mut bench, engine) = held(&memory);
    let mut heads = Vec::new();
    for n in 0..2u64 {
        let at = HEADER + n * 0x100;
        let mut header = [0; 16];
        header[8..].copy_from_slice(&(n + 2).to_be_bytes());
        memory.write_slice(&header, GuestAddress(at)).unwrap();
        heads.push(bench.mock.add_chain(&[
            Buffer::readable(at, 16),
            Buffer::writable(DATA + n * 0x1000, 512),
            Buffer::writable(STATUS + n, 1),
        ]));
    }
    bench.handler.process(&mut bench.disk).unwrap();
    assert_eq!((engine.submitted(), bench.handler.in_flight()), (2, 2));
    assert_eq!(bench.mock.used_idx(), 0);
    assert!(bench.signals.take_used().is_empty());

    engine.finish(1, &*bench.ram);
    bench.handler.process(&mut bench.disk).unwrap();
    let used = bench.mock.driver().pop_used().unwrap().unwrap();
    assert_eq!((used.head, used.len), (heads[1], 513));
    assert_eq!(bench.signals.take_used(), [0]);
    assert_eq!(
        bytes(&memory, DATA + 0x1000, 512),
        bench.ram.content()[1536..2048]
    );
    // The other one goes on after a pause, which begins nothing new.
    header::<BigEndian>(&memory, VIRTIO_BLK_T_FLUSH, 0);
    bench
        .mock
        .add_chain(&[Buffer::readable(HEADER, 16), Buffer::writable(STATUS, 1)]);
    engine.finish(0, &*bench.ram);
    bench.handler.complete(&mut bench.disk).unwrap();
    let used = bench.mock.driver().pop_used().unwrap().unwrap();
    assert_eq!(used.head, heads[0]);
    assert_eq!((engine.submitted(), bench.handler.in_flight()), (0, 0));
}

#[test]
fn requests_wait_until_a_cache_that_was_turned_off_is_flushed() {
    let memory = memory();
    let (mut bench, engine) = held(&memory);
    header::<BigEndian>(&memory, VIRTIO_BLK_T_OUT, 0);
    let mut write = || {
        while bench.mock.driver().pop_used().unwrap().is_some() {}
        bench.mock.add_chain(&[
            Buffer::readable(HEADER, 16),
            Buffer::readable(DATA, 512),
            Buffer::writable(STATUS, 1),
        ]);
    };
    let mode = |mode| {
        let mut config = vec![0; WRITEBACK];
        config.push(mode);
        *bench.signals.config.lock().unwrap() = config;
    };
    let mut process = |expected| {
        bench.handler.process(&mut bench.disk).unwrap();
        assert_eq!(engine.kinds(), expected);
    };
    let finish = |index| engine.finish(index, &*bench.ram);
    mode(1);
    write();
    write();
    process("WW");
    finish(1);
    process("W");
    mode(0);
    write();
    process("W");
    finish(0);
    process("F");
    process("F");
    finish(0);
    process("D");
    // It is turned on again: nothing has to wait.
    mode(1);
    write();
    process("DW");
    finish(0);
    finish(0);
    process("");
    // The storage fails: so does the write that waited, and all goes on.
    mode(0);
    write();
    process("F");
    bench.ram.fails.store(true, Ordering::SeqCst);
    finish(0);
    process("");
    assert_eq!(status(&memory), VIRTIO_BLK_S_IOERR);
    write();
    process("D");
    assert_eq!(bench.handler.in_flight(), 1);
}

#[test]
fn a_cache_that_cannot_be_flushed_fails_what_would_be_durable() {
    let memory = memory();
    let data = [Buffer::readable(DATA, 512)];
    memory
        .write_slice(&segment(0, 1, 0), GuestAddress(DATA))
        .unwrap();
    let room = [Buffer::writable(DATA + 0x1000, 512)];
    let one = [Buffer::readable(DATA, 16)];
    for (kind, buffers) in [
        (VIRTIO_BLK_T_OUT, &data[..]),
        (VIRTIO_BLK_T_WRITE_ZEROES, &one[..]),
        (VIRTIO_BLK_T_FLUSH, &[]),
    ] {
        let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
        let before = bench.ram.content();
        bench.lose_the_cache();
        // A read says nothing of what is durable.
        assert_eq!(bench.request(VIRTIO_BLK_T_IN, 0, &room).0, VIRTIO_BLK_S_OK);
        assert_eq!(
            bench.request(kind, 0, buffers).0,
            VIRTIO_BLK_S_IOERR,
            "{kind}"
        );
        assert_eq!(bench.ram.content(), before);
        // Once, as the host says it once.
        assert_eq!(bench.request(kind, 0, buffers).0, VIRTIO_BLK_S_OK, "{kind}");
    }
    // Nor does a write, if the cache is on again.
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    bench.lose_the_cache();
    bench.disk.set_write_back(true);
    assert_eq!(bench.request(VIRTIO_BLK_T_OUT, 0, &data).0, VIRTIO_BLK_S_OK);
    assert_eq!(
        bench.request(VIRTIO_BLK_T_FLUSH, 0, &[]).0,
        VIRTIO_BLK_S_IOERR
    );
}

#[test]
fn a_driver_that_reuses_buffers_in_flight_has_to_wait() {
    let memory = memory();
    let (mut bench, engine) = held(&memory);
    header::<BigEndian>(&memory, VIRTIO_BLK_T_FLUSH, 0);
    bench
        .mock
        .add_chain(&[Buffer::readable(HEADER, 16), Buffer::writable(STATUS, 1)]);
    // The same chain again and again, in a ring of eight entries.
    for round in 1..=17 {
        bench.mock.set_avail_idx(8 * round);
        bench.handler.process(&mut bench.disk).unwrap();
    }
    assert_eq!(engine.submitted(), usize::from(MAX_IN_FLIGHT));
    // What is in flight will wake the handler.
    let progress = bench.handler.process(&mut bench.disk).unwrap();
    assert_eq!(progress, Progress::Idle);
    for _ in 0..3 {
        engine.finish(0, &*bench.ram);
    }
    bench.handler.process(&mut bench.disk).unwrap();
    assert_eq!(engine.submitted(), usize::from(MAX_IN_FLIGHT));
}

type Marked = GuestMemoryMmap<AtomicBitmap>;
type MarkingHandler = BlockHandler<crate::S390Legacy<Marked>>;

/// The pages in which a read of 8 KiB to 0x2_0000 leaves marks, once `end` is through with it.
fn pages_marked_by_a_read(
    disk: &mut Disk,
    end: impl FnOnce(&mut MarkingHandler, &mut Disk),
) -> Vec<u64> {
    let memory = Arc::new(Marked::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap());
    let features = s390_vring::RingFeatures::default();
    let mut mock = MockDriver::<BigEndian, _>::new(&*memory, GuestAddress(0), 8, features);
    let mut handler = MarkingHandler::new(
        memory.clone(),
        mock.device_queue(),
        Arc::new(Recorder::default()),
        FLUSH,
        Arc::default(),
    );
    mock.add_chain(&[
        Buffer::readable(HEADER, 16),
        Buffer::writable(0x2_0000, 0x2000),
        Buffer::writable(STATUS, 1),
    ]);
    handler.process(disk).unwrap();
    end(&mut handler, disk);
    let region = memory.find_region(GuestAddress(0)).unwrap();
    let pages = (HEADER..0x4_0000).step_by(0x1000);
    pages
        .filter(|page| region.bitmap().dirty_at(*page as usize))
        .collect()
}

/// The software CPU drops decoded instructions by the bitmap: what a request wrote must be in
/// it, however it came there.
#[test]
fn what_a_request_wrote_is_marked_dirty() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for engine in [EngineKind::Auto, EngineKind::Threads, EngineKind::Inline] {
        file.as_file().set_len(64 << 10).unwrap();
        let options = BlockOptions {
            engine,
            ..BlockOptions::default()
        };
        let raw = crate::block::RawFile::open(file.path(), false).unwrap();
        let mut disk = Disk::new(Arc::new(raw), options).unwrap();
        let end = |handler: &mut MarkingHandler, disk: &mut Disk| {
            disk.engine.settle();
            handler.process(disk).unwrap();
            assert_eq!(handler.metrics.queue.chains.get(), 1);
        };
        let marks = pages_marked_by_a_read(&mut disk, end);
        assert_eq!(marks, [STATUS, 0x2_0000, 0x2_1000], "{engine:?}");
        // One that fails has written what there was.
        file.as_file().set_len(4096).unwrap();
        let marks = pages_marked_by_a_read(&mut disk, end);
        assert!(marks.contains(&0x2_0000), "{engine:?}");
    }
}

#[test]
fn what_a_cancelled_request_may_have_written_is_marked_dirty() {
    let engine = Held::default();
    let boxed = Box::new(engine.clone());
    let mut disk = Disk::with_engine(Arc::new(Large), boxed, BlockOptions::default()).unwrap();
    let marks = pages_marked_by_a_read(&mut disk, |handler, disk| {
        assert_eq!((engine.submitted(), handler.in_flight()), (1, 1));
        handler.cancel(disk);
        assert_eq!((engine.submitted(), handler.in_flight()), (0, 0));
        // No more is heard of it.
        handler.process(disk).unwrap();
        assert_eq!(handler.metrics.queue.chains.get(), 0);
    });
    assert_eq!(marks, [0x2_0000, 0x2_1000]);
}

#[test]
fn the_rate_limit_stops_the_queue_until_its_timer_expires() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    bench.disk.limiter.set_limits(RateLimits {
        ops: Rate::per_second(10),
        bytes: None,
    });
    header::<BigEndian>(&memory, VIRTIO_BLK_T_FLUSH, 0);
    for _ in 0..2 {
        bench
            .mock
            .add_chain(&[Buffer::readable(HEADER, 16), Buffer::writable(STATUS, 1)]);
    }
    bench.handler.process(&mut bench.disk).unwrap();
    assert_eq!(bench.mock.used_idx(), 1);
    assert_eq!(bench.handler.metrics.throttled.get(), 1);
    // Waits for the timer.
    bench.disk.limiter.expired();
    bench.handler.process(&mut bench.disk).unwrap();
    assert_eq!(bench.mock.used_idx(), 2);
}

#[test]
fn the_limit_of_bytes_counts_the_data_of_a_request() {
    let memory = memory();
    memory
        .write_slice(&segment(0, 2, 0), GuestAddress(DATA))
        .unwrap();
    for (kind, data) in [
        (VIRTIO_BLK_T_IN, Buffer::writable(DATA + 0x1000, 1024)),
        (VIRTIO_BLK_T_OUT, Buffer::readable(DATA, 1024)),
        (VIRTIO_BLK_T_WRITE_ZEROES, Buffer::readable(DATA, 16)),
    ] {
        let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
        bench.disk.limiter.set_limits(RateLimits {
            ops: None,
            bytes: Rate::per_second(1024),
        });
        // It takes a second until the data is paid for; flushes have none.
        bench.request(VIRTIO_BLK_T_FLUSH, 0, &[]);
        bench.request(VIRTIO_BLK_T_FLUSH, 0, &[]);
        bench.request(kind, 0, &[data]);
        assert_eq!(bench.handler.metrics.throttled.get(), 0);
        header::<BigEndian>(&memory, VIRTIO_BLK_T_FLUSH, 0);
        bench
            .mock
            .add_chain(&[Buffer::readable(HEADER, 16), Buffer::writable(STATUS, 1)]);
        bench.handler.process(&mut bench.disk).unwrap();
        assert_eq!(bench.mock.used_idx(), 3);
        assert_eq!(bench.handler.metrics.throttled.get(), 1, "{kind}");
    }
}

/// A large disk that does nothing.
struct Large;

impl BlockBackend for Large {
    fn size(&self) -> u64 {
        1 << 40
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        "longer than twenty characters"
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

#[test]
fn the_limits_of_requests_are_those_of_the_configuration_space() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
    let options = BlockOptions {
        engine: EngineKind::Inline,
        ..BlockOptions::default()
    };
    bench.disk = Disk::new(Arc::new(Large), options).unwrap();
    for (kind, sectors, segments) in [
        (VIRTIO_BLK_T_DISCARD, 1 << 21, 16),
        (VIRTIO_BLK_T_WRITE_ZEROES, 1 << 16, 1),
    ] {
        for (sectors, status) in [
            (sectors, VIRTIO_BLK_S_OK),
            (sectors + 1, VIRTIO_BLK_S_IOERR),
        ] {
            for at in (DATA..).step_by(16).take(segments) {
                memory
                    .write_slice(&segment(0, sectors, 0), GuestAddress(at))
                    .unwrap();
            }
            let data = [Buffer::readable(DATA, 16 * segments as u32)];
            assert_eq!(bench.request(kind, 0, &data).0, status, "{kind}");
        }
    }
    // And a serial number ends after twenty bytes.
    let room = [Buffer::writable(DATA, 20)];
    bench.request(VIRTIO_BLK_T_GET_ID, 0, &room);
    assert_eq!(bytes(&memory, DATA, 20), *b"longer than twenty c");
}

#[test]
fn a_turn_takes_a_bounded_amount_of_data() {
    let memory = memory();
    for engine in [EngineKind::Threads, EngineKind::Inline] {
        let options = BlockOptions {
            engine,
            ..BlockOptions::default()
        };
        let mut disk = Disk::new(Arc::new(Large), options).unwrap();
        let mut mock = queue::<BigEndian>(&memory, 0, 16);
        let mut handler = BlockHandler::<TestTransport<BigEndian>>::new(
            memory.clone(),
            mock.device_queue(),
            Arc::new(Recorder::default()),
            FLUSH,
            Arc::default(),
        );
        header::<BigEndian>(&memory, VIRTIO_BLK_T_IN, 0);
        // A read of 4 MiB, and the same again and again.
        let mut request = vec![Buffer::readable(HEADER, 16)];
        request.extend([Buffer::writable(0, 1 << 20); 4]);
        request.push(Buffer::writable(STATUS, 1));
        mock.add_chain(&request);
        mock.set_avail_idx(16);
        let mut turns = 0;
        while mock.used_idx() < 16 {
            let progress = handler.process(&mut disk).unwrap();
            turns += 1;
            if engine == EngineKind::Inline {
                assert_eq!(mock.used_idx(), 8 * turns);
                assert_eq!(progress == Progress::More, turns == 1);
            }
            assert!(handler.in_flight() <= 8);
            disk.engine.settle();
        }
        // Nothing was forgotten, and nobody has to wake the handler.
        assert_eq!(handler.process(&mut disk).unwrap(), Progress::Idle);
        assert_eq!(handler.metrics.reads.get(), 16);
    }
}
