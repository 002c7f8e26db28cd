// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The request queue's loop: free of file descriptors and threads.

use std::io::Write;
use std::sync::Arc;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP,
};
use vm_memory::bitmap::BitmapSlice;
use vm_memory::VolatileSlice;

use super::backend::{BlockBackend, SECTOR_SIZE};
use super::metrics::BlockMetrics;
use super::request::{Kind, Request, ID_BYTES};
use crate::drain::{Disposition, Drain, HandlerError};
use crate::{Progress, SignalDriver, Transport};

/// Serves the request queue of an active block device, one request after the other.
pub struct BlockHandler<T: Transport> {
    pub(super) memory: Arc<T::Memory>,
    pub(super) queue: T::Queue,
    pub(super) driver: Arc<dyn SignalDriver>,
    pub(super) metrics: Arc<BlockMetrics>,
    /// The driver never flushes, so that each write has to be durable by itself.
    pub(super) write_through: bool,
}

impl<T: Transport> std::fmt::Debug for BlockHandler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockHandler")
            .field("write_through", &self.write_through)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> BlockHandler<T> {
    /// A handler for `queue`; `driver_features` are those that the driver accepted.
    pub fn new(
        memory: Arc<T::Memory>,
        queue: T::Queue,
        driver: Arc<dyn SignalDriver>,
        driver_features: u64,
        metrics: Arc<BlockMetrics>,
    ) -> Self {
        BlockHandler {
            memory,
            queue,
            driver,
            metrics,
            write_through: driver_features >> VIRTIO_BLK_F_FLUSH & 1 == 0,
        }
    }

    /// Serves what is in the queue from `backend`. An error of the storage goes to the driver as
    /// the status of its request.
    ///
    /// # Errors
    ///
    /// The driver broke a rule: the handler must not be used any more.
    pub fn process(&mut self, backend: &mut dyn BlockBackend) -> Result<Progress, HandlerError> {
        let metrics = &self.metrics;
        let memory = &*self.memory;
        let write_through = self.write_through;
        let driver = &*self.driver;
        Drain {
            queue: &mut self.queue,
            memory,
            index: 0,
            driver,
            metrics: &metrics.queue,
        }
        .run(|chain| {
            let mut request = Request::parse::<T::Order>(chain, memory)?;
            let status = execute(&mut request, backend, write_through, metrics, driver.name());
            request.finish(status)?;
            // On an error too: a driver must not trust the data, but it may have been written.
            Ok(Disposition::Used(chain.writable_bytes()))
        })
    }
}

/// Carries out a request and returns its status.
fn execute<M: vm_memory::GuestMemory>(
    request: &mut Request<'_, M>,
    backend: &mut dyn BlockBackend,
    write_through: bool,
    metrics: &BlockMetrics,
    name: &str,
) -> u8 {
    let result = match request.kind {
        Kind::In(sector) => {
            let bytes = request.in_data.available_bytes();
            let result = offset(sector, bytes, backend.size()).and_then(|offset| {
                let result = backend.read(&plain(request.in_data.slices()), offset);
                // Part of it may have been written even if it failed.
                request.in_data.advance(bytes);
                log_error(result, name, "read", sector)
            });
            count(result, &metrics.reads, &metrics.read_bytes, bytes)
        }
        Kind::Out(sector) => {
            let bytes = request.out_data.available_bytes();
            let result = offset(sector, bytes, backend.size()).and_then(|offset| {
                if backend.is_read_only() {
                    return Err(Refused);
                }
                let mut result = backend.write(&plain(request.out_data.slices()), offset);
                if write_through && result.is_ok() {
                    result = backend.flush();
                }
                log_error(result, name, "write", sector)
            });
            count(result, &metrics.writes, &metrics.write_bytes, bytes)
        }
        Kind::Flush => {
            metrics.flushes.inc();
            log_error(backend.flush(), name, "flush", 0)
        }
        Kind::GetId => {
            let mut id = [0; ID_BYTES];
            let serial = backend.serial().as_bytes();
            let len = serial.len().min(ID_BYTES);
            id[..len].copy_from_slice(&serial[..len]);
            let room = request.in_data.available_bytes().min(ID_BYTES);
            request.in_data.write_all(&id[..room]).map_err(|_| Refused)
        }
        Kind::Unsupported(kind) => {
            log::debug!("{name}: queue 0: a request of type {kind:#x} is not supported");
            metrics.unsupported.inc();
            return VIRTIO_BLK_S_UNSUPP as u8;
        }
    };
    match result {
        Ok(()) => VIRTIO_BLK_S_OK as u8,
        Err(Refused) => {
            metrics.errors.inc();
            VIRTIO_BLK_S_IOERR as u8
        }
    }
}

/// The request cannot be done; the driver hears of an I/O error.
struct Refused;

/// Byte offset of a transfer, if it is one of whole sectors inside the disk.
fn offset(sector: u64, bytes: usize, size: u64) -> Result<u64, Refused> {
    let offset = sector.checked_mul(SECTOR_SIZE).ok_or(Refused)?;
    let bytes = bytes as u64;
    let end = offset.checked_add(bytes).ok_or(Refused)?;
    if bytes % SECTOR_SIZE == 0 && end <= size {
        Ok(offset)
    } else {
        Err(Refused)
    }
}

fn log_error(
    result: std::io::Result<()>,
    name: &str,
    action: &str,
    sector: u64,
) -> Result<(), Refused> {
    result.map_err(|error| {
        log::warn!("{name}: queue 0: {action} at sector {sector} failed: {error}");
        Refused
    })
}

fn count(
    result: Result<(), Refused>,
    requests: &crate::metrics::Counter,
    total: &crate::metrics::Counter,
    bytes: usize,
) -> Result<(), Refused> {
    if result.is_ok() {
        requests.inc();
        total.add(bytes as u64);
    }
    result
}

/// The same pieces of guest memory without their dirty bitmap, so that backends need not be
/// generic over it. Whoever writes to them marks them dirty in another way.
fn plain<'a, B: BitmapSlice>(slices: &'a [VolatileSlice<'_, B>]) -> Vec<VolatileSlice<'a>> {
    slices
        .iter()
        .map(|slice| {
            // SAFETY: the same memory for no longer than the original slice is borrowed.
            unsafe { VolatileSlice::new(slice.ptr_guard_mut().as_ptr(), slice.len()) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use s390_vring::mock::MockDriver;
    use s390_vring::{BigEndian, Buffer, ByteOrder, LittleEndian, VIRTQ_AVAIL_F_NO_INTERRUPT};
    use virtio_bindings::virtio_blk::{
        VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
    };
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::test_utils::{bytes, memory, queue, Memory, Recorder, TestTransport};

    const HEADER: u64 = 0x8000;
    const DATA: u64 = 0x9000;
    const STATUS: u64 = 0xf000;
    const FLUSH: u64 = 1 << VIRTIO_BLK_F_FLUSH;

    /// A disk in memory, which counts flushes and can fail.
    struct Disk {
        content: Vec<u8>,
        flushes: usize,
        fails: bool,
        read_only: bool,
    }

    impl Disk {
        fn new() -> Self {
            Disk {
                content: (0..4096u32).map(|i| (i / 512 * 16 + i % 7) as u8).collect(),
                flushes: 0,
                fails: false,
                read_only: false,
            }
        }
    }

    impl BlockBackend for Disk {
        fn size(&self) -> u64 {
            self.content.len() as u64
        }

        fn is_read_only(&self) -> bool {
            self.read_only
        }

        fn serial(&self) -> &str {
            "serial-number"
        }

        fn read(&mut self, data: &[VolatileSlice<'_>], offset: u64) -> std::io::Result<()> {
            let mut at = offset as usize;
            for slice in data {
                slice.copy_from(&self.content[at..at + slice.len()]);
                at += slice.len();
            }
            match self.fails {
                true => Err(std::io::ErrorKind::Other.into()),
                false => Ok(()),
            }
        }

        fn write(&mut self, data: &[VolatileSlice<'_>], offset: u64) -> std::io::Result<()> {
            if self.fails {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            let mut at = offset as usize;
            for slice in data {
                slice.copy_to(&mut self.content[at..at + slice.len()]);
                at += slice.len();
            }
            Ok(())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.flushes += 1;
            Ok(())
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
        disk: Disk,
    }

    impl<'a, E: ByteOrder> Bench<'a, E> {
        fn new(memory: &'a Arc<Memory>, features: u64) -> Self {
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
                disk: Disk::new(),
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
        assert_eq!(bytes(&memory, DATA, 700), bench.disk.content[1024..1724]);
        assert_eq!(
            bytes(&memory, DATA + 0x1000, 324),
            bench.disk.content[1724..2048]
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
        assert_eq!(bench.disk.content[3584..], [0x5a; 512]);
        assert_eq!(bench.disk.flushes, 0);
        assert_eq!(
            bench.request(VIRTIO_BLK_T_FLUSH, 0, &[]),
            (VIRTIO_BLK_S_OK, 1)
        );
        assert_eq!(bench.disk.flushes, 1);
        let metrics = &bench.handler.metrics;
        assert_eq!((metrics.reads.get(), metrics.read_bytes.get()), (1, 1024));
        assert_eq!((metrics.writes.get(), metrics.write_bytes.get()), (1, 512));
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
        assert_eq!(bench.disk.flushes, 1);
    }

    #[test]
    fn the_serial_number_fills_twenty_bytes() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
        memory.write_slice(&[0xee; 24], GuestAddress(DATA)).unwrap();
        let data = [Buffer::writable(DATA, 24)];
        assert_eq!(
            bench.request(VIRTIO_BLK_T_GET_ID, 0, &data).0,
            VIRTIO_BLK_S_OK
        );
        assert_eq!(
            bytes(&memory, DATA, 24),
            *b"serial-number\0\0\0\0\0\0\0\xee\xee\xee\xee"
        );
        let short = [Buffer::writable(DATA, 6)];
        assert_eq!(
            bench.request(VIRTIO_BLK_T_GET_ID, 0, &short).0,
            VIRTIO_BLK_S_OK
        );
    }

    #[test]
    fn what_cannot_be_done_is_an_io_error() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
        let before = bench.disk.content.clone();
        let (room, data) = (Buffer::writable(DATA, 1024), Buffer::readable(DATA, 1024));
        for (kind, sector, buffer) in [
            (VIRTIO_BLK_T_IN, 7, room),
            (VIRTIO_BLK_T_IN, u64::MAX, room),
            (VIRTIO_BLK_T_IN, u64::MAX / 512, room),
            (VIRTIO_BLK_T_IN, 0, Buffer::writable(DATA, 513)),
            (VIRTIO_BLK_T_OUT, 8, data),
            (VIRTIO_BLK_T_OUT, 1 << 55, data),
            (VIRTIO_BLK_T_OUT, 0, Buffer::readable(DATA, 511)),
        ] {
            assert_eq!(bench.request(kind, sector, &[buffer]).0, VIRTIO_BLK_S_IOERR);
        }
        bench.disk.fails = true;
        assert_eq!(
            bench.request(VIRTIO_BLK_T_IN, 0, &[room]).0,
            VIRTIO_BLK_S_IOERR
        );
        assert_eq!(
            bench.request(VIRTIO_BLK_T_OUT, 0, &[data]).0,
            VIRTIO_BLK_S_IOERR
        );
        bench.disk.fails = false;
        bench.disk.read_only = true;
        assert_eq!(
            bench.request(VIRTIO_BLK_T_OUT, 0, &[data]).0,
            VIRTIO_BLK_S_IOERR
        );
        assert_eq!(
            bench.request(VIRTIO_BLK_T_IN, 0, &[room]).0,
            VIRTIO_BLK_S_OK
        );
        assert_eq!(bench.disk.content, before);
        assert_eq!(bench.handler.metrics.errors.get(), 10);
    }

    #[test]
    fn unknown_requests_are_unsupported() {
        let memory = memory();
        let mut bench = Bench::<BigEndian>::new(&memory, FLUSH);
        // SCSI command, discard, a write with the barrier bit of 2008, nonsense.
        for kind in [2, 11, 0x8000_0001, 0x0100_0000, u32::MAX] {
            let room = [Buffer::writable(DATA, 512)];
            assert_eq!(
                bench.request(kind, 0, &room).0,
                VIRTIO_BLK_S_UNSUPP,
                "{kind:#x}"
            );
        }
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
    struct Endless<'a>(&'a Memory);

    impl BlockBackend for Endless<'_> {
        fn size(&self) -> u64 {
            0
        }

        fn is_read_only(&self) -> bool {
            true
        }

        fn serial(&self) -> &str {
            ""
        }

        fn read(&mut self, _: &[VolatileSlice<'_>], _: u64) -> std::io::Result<()> {
            Ok(())
        }

        fn write(&mut self, _: &[VolatileSlice<'_>], _: u64) -> std::io::Result<()> {
            Ok(())
        }

        fn flush(&mut self) -> std::io::Result<()> {
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
        let mut endless = Endless(&memory);
        for round in 1..4 {
            let progress = bench.handler.process(&mut endless).unwrap();
            assert_eq!(progress, Progress::More);
            assert_eq!(bench.mock.used_idx(), 8 * round);
            assert_eq!(bench.signals.take_used(), [0]);
        }
    }
}
