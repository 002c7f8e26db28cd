// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Block requests beside the plain system calls that do the same to the same file.

// `criterion_group` makes a public function.
#![allow(missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;
mod replay;

use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use common::{Legacy, Machine};
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use replay::{name, Replay, BATCHES, BUFFERS};
use s390_virtio_devices::block::{Block, RawFile};
use s390_vring::Buffer;

const BLOCK: usize = 4096;

fn block(c: &mut Criterion) {
    let file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..64 * BLOCK).map(|n| n as u8).collect();
    file.write_all_at(&content, 0).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    for (kind, operation) in [(0u32, "read"), (1, "write")] {
        let mut group = c.benchmark_group(format!("block {operation}, 4 KiB"));
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch.into()));
            let machine = Machine::new();
            let disk = RawFile::open(path.as_ref(), false).unwrap();
            machine.add(Block::<Legacy>::new(Box::new(disk)).unwrap());
            let queue = Replay::new(&machine, 0, batch, |n| {
                let (header, status) = (0x1_0000 + 64 * u64::from(n), 0x1_8000 + u64::from(n));
                machine.write(header, &kind.to_be_bytes());
                machine.write(header + 8, &(u64::from(n) * 8).to_be_bytes());
                let data = Buffer {
                    addr: BUFFERS + u64::from(n) * BLOCK as u64,
                    len: BLOCK as u32,
                    writable: kind == 0,
                };
                vec![
                    Buffer::readable(header, 16),
                    data,
                    Buffer::writable(status, 1),
                ]
            });
            group.bench_function(format!("device, {}", name(batch)), |b| {
                b.iter(|| queue.run());
            });
            let status = machine.read(0x1_8000, batch.into());
            assert!(status.iter().all(|&status| status == 0));
        }
        group.throughput(Throughput::Elements(1));
        let mut buffer = vec![0; BLOCK];
        group.bench_function("plain", |b| {
            let mut block = 0;
            b.iter(|| {
                block = (block + 1) % 32;
                let offset = block * BLOCK as u64;
                if kind == 0 {
                    file.read_exact_at(&mut buffer, offset).unwrap();
                } else {
                    file.write_all_at(&buffer, offset).unwrap();
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, block);
criterion_main!(benches);
