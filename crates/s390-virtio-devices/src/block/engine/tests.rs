// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The same tests for every engine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::NamedTempFile;
use vm_memory::{Bytes, GuestAddress, GuestMemory, Permissions, VolatileSlice};

use super::*;
use crate::block::{ImageOptions, Qcow2, RawFile};
use crate::test_utils::{bytes, is_put_off, memory, Memory};

const KINDS: [EngineKind; 4] = [
    EngineKind::Auto,
    EngineKind::IoUring,
    EngineKind::Threads,
    EngineKind::Inline,
];

const SIZE: usize = 256 << 10;

fn image() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    let content: Vec<u8> = (0..SIZE).map(|i| (i / 512 * 7 + i) as u8).collect();
    std::fs::write(file.path(), content).unwrap();
    file
}

/// Runs `test` with each engine that this host has, on an image of its own.
fn each(test: impl Fn(&mut dyn Engine, &NamedTempFile)) {
    let mut kinds = 0;
    for kind in KINDS {
        let file = image();
        let backend = Arc::new(RawFile::open(file.path(), false).unwrap());
        match kind.create(backend) {
            Ok(mut engine) => test(&mut *engine, &file),
            // An emulator or a container may keep it from us.
            Err(error) if kind == EngineKind::IoUring => {
                eprintln!("without io_uring: {error}");
                continue;
            }
            Err(error) => panic!("{kind:?}: {error}"),
        }
        kinds += 1;
    }
    assert!(kinds >= 3);
}

pub(super) fn buffers(memory: &Arc<Memory>, pieces: &[(u64, usize)]) -> Buffers {
    let mut slices = Vec::new();
    for &(addr, len) in pieces {
        let found = memory.get_slices(GuestAddress(addr), len, Permissions::ReadWrite);
        slices.extend(found.unwrap().map(Result::unwrap));
    }
    // SAFETY: the slices are of this memory.
    unsafe { Buffers::new(&slices, memory.clone()) }
}

/// Does these operations at once; their results, in order.
fn all(engine: &mut dyn Engine, operations: Vec<Operation>) -> Vec<io::Result<()>> {
    let mut results: Vec<_> = operations.iter().map(|_| None).collect();
    for (tag, operation) in operations.into_iter().enumerate() {
        if let Poll::Ready(result) = engine.submit(tag as u16, operation) {
            results[tag] = Some(result);
        }
    }
    engine.start();
    engine.wait();
    while let Some(Completion { tag, result }) = engine.next_completion() {
        assert!(results[usize::from(tag)].replace(result).is_none());
    }
    results.into_iter().map(Option::unwrap).collect()
}

#[test]
fn moves_data_between_file_and_guest_memory() {
    each(|engine, file| {
        let memory = memory();
        let content = std::fs::read(file.path()).unwrap();
        // As many at once as there can be, of odd pieces.
        let reads = (0..MAX_IN_FLIGHT)
            .map(|n| Operation::Read {
                data: buffers(
                    &memory,
                    &[
                        (u64::from(n) * 0x800, 100),
                        (u64::from(n) * 0x800 + 0x400, 924),
                    ],
                ),
                offset: u64::from(n) * 1024,
            })
            .collect();
        assert!(all(engine, reads).iter().all(Result::is_ok));
        for n in 0..usize::from(MAX_IN_FLIGHT) {
            let wanted = &content[n * 1024..];
            let addr = n as u64 * 0x800;
            assert_eq!(bytes(&memory, addr, 100), wanted[..100], "{n}");
            assert_eq!(bytes(&memory, addr + 0x400, 924), wanted[100..1024], "{n}");
        }
        memory
            .write_slice(&[0x5a; 1024], GuestAddress(0x8_0000))
            .unwrap();
        let writes = [(0, false), (3, true)].map(|(sector, durable)| Operation::Write {
            data: buffers(&memory, &[(0x8_0000, 500), (0x8_0200, 12)]),
            offset: sector * 512,
            durable,
        });
        assert!(all(engine, writes.into()).iter().all(Result::is_ok));
        assert!(all(engine, vec![Operation::Flush])[0].is_ok());
        let after = std::fs::read(file.path()).unwrap();
        assert_eq!(after[..512], [0x5a; 512]);
        assert_eq!(after[512..1536], content[512..1536]);
        assert_eq!(after[1536..2048], [0x5a; 512]);
        assert_eq!(after[2048..], content[2048..]);
    });
}

#[test]
fn what_is_durable_has_its_place_on_the_medium() {
    each(|engine, file| {
        let memory = memory();
        let mut write = |durable| {
            for len in [0, SIZE as u64] {
                file.as_file().set_len(len).unwrap();
            }
            let write = Operation::Write {
                data: buffers(&memory, &[(0, 4096)]),
                offset: 0,
                durable,
            };
            all(engine, vec![write]).remove(0).unwrap();
        };
        write(false);
        match is_put_off(file.as_file()) {
            Ok(true) => {}
            told => return eprintln!("the file system does not tell: {told:?}"),
        }
        write(true);
        assert!(!is_put_off(file.as_file()).unwrap());
        write(false);
        all(engine, vec![Operation::Flush]).remove(0).unwrap();
        assert!(!is_put_off(file.as_file()).unwrap());
    });
}

#[test]
fn a_request_has_more_pieces_than_a_system_call_takes() {
    each(|engine, file| {
        let memory = memory();
        let content = std::fs::read(file.path()).unwrap();
        let pieces: Vec<_> = (0..1200).map(|n| (n * 4, 2)).collect();
        let read = Operation::Read {
            data: buffers(&memory, &pieces),
            offset: 512,
        };
        all(engine, vec![read]).remove(0).unwrap();
        for (n, bytes_read) in content[512..].chunks(2).take(1200).enumerate() {
            assert_eq!(bytes(&memory, n as u64 * 4, 2), bytes_read, "{n}");
        }
    });
}

#[test]
fn zeroes_and_discards() {
    each(|engine, file| {
        let content = std::fs::read(file.path()).unwrap();
        let range = |offset, len, unmap| Range { offset, len, unmap };
        let operations = vec![
            Operation::WriteZeroes {
                ranges: vec![range(512, 1024, false)],
                durable: false,
            },
            Operation::WriteZeroes {
                ranges: vec![range(8192, 8192, true)],
                durable: true,
            },
            Operation::Discard(vec![range(65536, 65536, false)]),
        ];
        assert!(all(engine, operations).iter().all(Result::is_ok));
        let after = std::fs::read(file.path()).unwrap();
        assert_eq!(after.len(), content.len());
        assert_eq!(after[512..1536], [0; 1024]);
        assert_eq!(after[8192..16384], [0; 8192]);
        assert_eq!(after[..512], content[..512]);
        assert_eq!(after[1536..8192], content[1536..8192]);
        assert_eq!(after[16384..65536], content[16384..65536]);
        assert_eq!(after[131072..], content[131072..]);
    });
}

#[test]
fn an_error_of_the_file_is_that_of_its_request() {
    each(|engine, file| {
        let memory = memory();
        // In the next life of the device as well, where reads go on that were done in part.
        engine.cancel();
        // Somebody truncates the image; somebody deletes it, which does no harm.
        file.as_file().set_len(4096).unwrap();
        std::fs::remove_file(file.path()).unwrap();
        let read = |offset| Operation::Read {
            data: buffers(&memory, &[(0, 1024)]),
            offset,
        };
        let operations = vec![read(8192), read(0), read(3584), Operation::Flush];
        let results = all(engine, operations);
        let kind = |n: usize| results[n].as_ref().err().map(io::Error::kind);
        let eof = Some(io::ErrorKind::UnexpectedEof);
        assert_eq!([kind(0), kind(1), kind(2), kind(3)], [eof, None, eof, None]);
        // Nothing more is done to the file: put its name back for the one who removes it.
        std::fs::write(file.path(), []).unwrap();
    });
}

#[test]
fn a_write_that_the_file_refuses_is_an_error() {
    // SAFETY: a name that ends with NUL, and flags.
    let fd = unsafe { libc::memfd_create(c"disk".as_ptr(), libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0);
    // SAFETY: a new descriptor that nobody else owns.
    let file: std::fs::File = unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) };
    file.set_len(4096).unwrap();
    let path = format!("/proc/self/fd/{fd}");
    for kind in [EngineKind::Auto, EngineKind::Threads] {
        let backend = Arc::new(RawFile::open(path.as_ref(), false).unwrap());
        // SAFETY: the command takes a number.
        let sealed = unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_WRITE) };
        assert_eq!(sealed, 0);
        let mut engine = kind.create(backend).unwrap();
        let write = Operation::Write {
            data: buffers(&memory(), &[(0, 512)]),
            offset: 0,
            durable: false,
        };
        let error = all(&mut *engine, vec![write]).remove(0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }
}

#[test]
fn completions_raise_the_event() {
    each(|engine, _| {
        let memory = memory();
        let read = |offset| Operation::Read {
            data: buffers(&memory, &[(0, 512)]),
            offset: offset as u64,
        };
        // Each time anew, also after completions that were fetched together; of a read that the end
        // of the file stops midway, and of what is not for io_uring.
        for (count, operation) in [
            (1, &(|| read(0)) as &dyn Fn() -> Operation),
            (8, &|| read(0)),
            (1, &|| read(SIZE - 256)),
            (8, &|| Operation::Discard(Vec::new())),
        ] {
            let mut pending = 0;
            for tag in 0..count {
                pending += u32::from(engine.submit(tag, operation()).is_pending());
            }
            engine.start();
            while pending > 0 {
                let event = engine.event().unwrap();
                let mut poll = libc::pollfd {
                    fd: std::os::fd::AsRawFd::as_raw_fd(event),
                    events: libc::POLLIN,
                    revents: 0,
                };
                // SAFETY: one valid structure, which outlives the call.
                assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
                event.read().unwrap();
                while engine.next_completion().is_some() {
                    pending -= 1;
                }
            }
        }
    });
}

#[test]
fn nothing_writes_guest_memory_after_cancel_and_drop() {
    for drop_it in [false, true] {
        for kind in KINDS {
            let file = image();
            // From the page cache an io_uring reads at once.
            let open = |direct| {
                let options = ImageOptions {
                    direct,
                    ..ImageOptions::default()
                };
                RawFile::open_with(file.path(), &options)
            };
            let backend = Arc::new(open(true).or_else(|_| open(false)).unwrap());
            let Ok(mut engine) = kind.create(backend) else {
                continue;
            };
            let memory = memory();
            for tag in 0..MAX_IN_FLIGHT {
                let read = Operation::Read {
                    data: buffers(&memory, &[(0, SIZE)]),
                    offset: 0,
                };
                let _ = engine.submit(tag, read);
            }
            engine.start();
            if drop_it {
                drop(engine);
            } else {
                engine.cancel();
                assert!(engine.next_completion().is_none());
            }
            memory.write_slice(&[0xee; SIZE], GuestAddress(0)).unwrap();
            std::thread::sleep(Duration::from_millis(5));
            assert!(bytes(&memory, 0, SIZE) == [0xee; SIZE], "{kind:?}");
        }
    }
}

#[test]
fn what_has_not_begun_when_it_is_cancelled_is_not_done() {
    for kind in [EngineKind::Auto, EngineKind::Threads] {
        let file = image();
        let before = std::fs::read(file.path()).unwrap();
        let backend = Arc::new(RawFile::open(file.path(), false).unwrap());
        let mut engine = kind.create(backend).unwrap();
        // Much work for the few threads, sector by sector.
        for tag in 0..MAX_IN_FLIGHT {
            let start = usize::from(tag) * SIZE / usize::from(MAX_IN_FLIGHT);
            let range = |n: usize| Range {
                offset: (start + n % 4 * 512) as u64,
                len: 512,
                unmap: false,
            };
            let zeroes = Operation::WriteZeroes {
                ranges: (0..1000).map(range).collect(),
                durable: false,
            };
            assert!(engine.submit(tag, zeroes).is_pending());
        }
        engine.start();
        engine.cancel();
        assert!(engine.next_completion().is_none());
        let after = std::fs::read(file.path()).unwrap();
        assert!(after[SIZE - 2048..] == before[SIZE - 2048..], "{kind:?}");
    }
}

/// A backend that takes its time and counts.
#[derive(Default)]
struct Slow {
    running: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

impl BlockBackend for Slow {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        ""
    }

    fn read(&self, data: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        for slice in data {
            slice.copy_from(&vec![1u8; slice.len()]);
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        panic!("a bug");
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn threads_work_at_the_same_time_and_are_waited_for() {
    let memory = memory();
    let slow = Arc::new(Slow::default());
    let mut engine = ThreadPool::new(slow.clone()).unwrap();
    let read = || Operation::Read {
        data: buffers(&memory, &[(0, 512)]),
        offset: 0,
    };
    assert!(all(&mut engine, (0..8).map(|_| read()).collect())
        .iter()
        .all(Result::is_ok));
    assert!(slow.most.load(Ordering::SeqCst) > 1);
    assert_eq!(slow.done.load(Ordering::SeqCst), 8);
    let wait_for_reader = || {
        while slow.running.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
    };
    // What has begun when it is cancelled is waited for; what has not never begins.
    for tag in 0..64 {
        assert!(engine.submit(tag, read()).is_pending());
    }
    engine.start();
    wait_for_reader();
    engine.cancel();
    assert_eq!(slow.running.load(Ordering::SeqCst), 0);
    assert!(engine.next_completion().is_none());
    let done = slow.done.load(Ordering::SeqCst);
    assert!(done < 72, "{done}");
    // Nor does what was not even started.
    assert!(engine.submit(0, read()).is_pending());
    engine.cancel();
    engine.wait();
    assert_eq!(slow.done.load(Ordering::SeqCst), done);
    for tag in 0..64 {
        assert!(engine.submit(tag, read()).is_pending());
    }
    engine.start();
    wait_for_reader();
    drop(engine);
    assert_eq!(slow.running.load(Ordering::SeqCst), 0);
    assert!(slow.done.load(Ordering::SeqCst) < done + 64);
}

#[test]
fn a_backend_that_panics_fails_its_request_only() {
    let memory = memory();
    let mut engine = ThreadPool::new(Arc::new(Slow::default())).unwrap();
    let write = Operation::Write {
        data: buffers(&memory, &[(0, 512)]),
        offset: 0,
        durable: false,
    };
    let results = all(&mut engine, vec![write, Operation::Flush]);
    assert!(results[0].is_err() && results[1].is_ok());
}

/// A raw file that nobody may ask.
struct Silent(RawFile);

impl BlockBackend for Silent {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> &str {
        ""
    }

    fn read(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        panic!("a read");
    }

    fn write(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        panic!("a write");
    }

    fn flush(&self) -> io::Result<()> {
        panic!("a flush");
    }

    fn as_raw_file(&self) -> Option<&RawFile> {
        Some(&self.0)
    }
}

#[test]
fn where_there_is_io_uring_it_does_the_requests_of_raw_files() {
    let file = image();
    let backend = Arc::new(Silent(RawFile::open(file.path(), false).unwrap()));
    if let Err(error) = EngineKind::IoUring.create(backend.clone()) {
        return eprintln!("without io_uring: {error}");
    }
    let memory = memory();
    let data = || buffers(&memory, &[(0, 512)]);
    let mut engine = EngineKind::Auto.create(backend).unwrap();
    let read = Operation::Read {
        data: data(),
        offset: 0,
    };
    let write = Operation::Write {
        data: data(),
        offset: 0,
        durable: true,
    };
    for result in all(&mut *engine, vec![read, write, Operation::Flush]) {
        result.unwrap();
    }
}

#[test]
fn io_uring_is_for_raw_files() {
    assert!(EngineKind::IoUring
        .create(Arc::new(Slow::default()))
        .is_err());
    EngineKind::Auto.create(Arc::new(Slow::default())).unwrap();
    fn is_backend<T: BlockBackend>() {}
    is_backend::<Qcow2>();
}
