// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Block requests beside the plain system calls that do the same to the same file: every engine on every
//! kind of image.
//!
//! The plain side does one call after the other, whatever the depth of the queue: it is what the requests
//! cost without a guest.

// `criterion_group` makes a public function.
#![allow(missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;
mod replay;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::{Legacy, Machine};
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use replay::{name, Replay, BATCHES, BUFFERS};
use s390_virtio_devices::block::{Block, BlockOptions, EngineKind, ImageFormat, ImageOptions};
use s390_vring::Buffer;

const KIB: u64 = 1024;
/// Blocks of the image that the requests go round.
const BLOCKS: u64 = 32;
/// Bytes of the guest's memory that they use.
const ROOM: u64 = 768 * KIB;
const HEADERS: u64 = 0x1_0000;
const STATUS: u64 = 0x1_8000;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;

const ENGINES: [(&str, EngineKind); 3] = [
    ("inline", EngineKind::Inline),
    ("threads", EngineKind::Threads),
    ("io_uring", EngineKind::IoUring),
];

/// An image with its file.
struct Image {
    name: &'static str,
    path: PathBuf,
    options: ImageOptions,
    /// Keeps the file.
    _directory: tempfile::TempDir,
}

impl Image {
    fn new(name: &'static str, format: ImageFormat, direct: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let size = BLOCKS * 64 * KIB;
        if format == ImageFormat::Qcow2 {
            let mut create = Command::new("qemu-img");
            create.args(["create", "-q", "-f", "qcow2", "-o", "preallocation=full"]);
            let created = create.arg(&path).arg(size.to_string()).status();
            assert!(created.is_ok_and(|status| status.success()), "qemu-img");
        } else {
            let mut file = File::create(&path).unwrap();
            file.write_all(&vec![7; size as usize]).unwrap();
            file.sync_all().unwrap();
        }
        Image {
            name,
            path,
            options: ImageOptions {
                format,
                read_only: false,
                direct,
            },
            _directory: directory,
        }
    }

    /// The file, for system calls of our own.
    fn file(&self) -> File {
        let flags = if self.options.direct {
            libc::O_DIRECT
        } else {
            0
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(flags);
        options.open(&self.path).unwrap()
    }
}

/// Requests of `kind` for `size` bytes each, `batch` at a time.
fn requests<'m>(machine: &'m Machine, kind: u32, size: u64, batch: u16) -> Replay<'m> {
    Replay::new(machine, 0, batch, |n| {
        let n = u64::from(n);
        let header = HEADERS + 64 * n;
        machine.write(header, &kind.to_be_bytes());
        let sector = if kind == FLUSH { 0 } else { n * size / 512 };
        machine.write(header + 8, &sector.to_be_bytes());
        let data = Buffer {
            addr: BUFFERS + n * size % ROOM,
            len: size as u32,
            writable: kind == READ,
        };
        let mut buffers = vec![Buffer::readable(header, 16)];
        if kind != FLUSH {
            buffers.push(data);
        }
        buffers.push(Buffer::writable(STATUS + n, 1));
        buffers
    })
}

/// A group of the plain calls and of every engine.
fn compare(c: &mut Criterion, image: &Image, operation: &str, kind: u32, size: u64) {
    let mut group = c.benchmark_group(format!("{}, {operation}", image.name));
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    if image.options.format == ImageFormat::Raw {
        let file = image.file();
        let mut memory = vec![1; (ROOM + 4 * KIB) as usize];
        let aligned = memory.as_ptr().align_offset(4096);
        let mut block = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function("plain", |b| {
            b.iter(|| {
                block = (block + 1) % BLOCKS;
                let start = aligned + (block * size % ROOM) as usize;
                let data = &mut memory[start..start + size as usize];
                match kind {
                    READ => file.read_exact_at(data, block * size).unwrap(),
                    WRITE => file.write_all_at(data, block * size).unwrap(),
                    _ => file.sync_data().unwrap(),
                }
            });
        });
    }
    for (engine, kind_of_engine) in ENGINES {
        for batch in BATCHES {
            let options = BlockOptions {
                engine: kind_of_engine,
                ..BlockOptions::default()
            };
            let backend = image.options.open(&image.path).unwrap();
            let Ok(disk) = Block::<Legacy>::with_options(backend, options) else {
                eprintln!("{}: no {engine} here", image.name);
                break;
            };
            let machine = Machine::new();
            machine.add(disk);
            let queue = requests(&machine, kind, size, batch);
            group.throughput(Throughput::Elements(batch.into()));
            group.bench_function(format!("{engine}, {}", name(batch)), |b| {
                b.iter(|| queue.run_to_end());
            });
            let status = machine.read(STATUS, batch.into());
            assert!(status.iter().all(|&status| status == 0), "{status:?}");
        }
    }
    group.finish();
}

fn block(c: &mut Criterion) {
    for image in [
        Image::new("raw", ImageFormat::Raw, false),
        Image::new("raw, direct", ImageFormat::Raw, true),
        Image::new("qcow2", ImageFormat::Qcow2, false),
    ] {
        for size in [4 * KIB, 64 * KIB] {
            compare(c, &image, &format!("read {} KiB", size / KIB), READ, size);
            compare(c, &image, &format!("write {} KiB", size / KIB), WRITE, size);
        }
        compare(c, &image, "flush", FLUSH, 0);
    }
}

criterion_group!(benches, block);
criterion_main!(benches);
