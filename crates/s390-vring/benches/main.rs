// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ring operations beside `virtio_queue::Queue` doing the same work on the same ring.
//!
//! Each measurement is 256 times one operation. `virtio_queue` walks the descriptors of a chain but does
//! not validate them; `s390_vring` does both.

// `criterion_group` makes a public function.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use s390_vring::mock::MockDriver;
use s390_vring::{BigEndian, Buffer, ByteOrder, DeviceQueue, LittleEndian, Queue, RingFeatures};
use virtio_queue::{QueueOwnedT, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap};

const SIZE: u16 = 256;
const RING: GuestAddress = GuestAddress(0);

type Memory = GuestMemoryMmap<()>;

fn memory(regions: u64) -> Memory {
    let size = (64 << 20) / regions;
    let ranges: Vec<_> = (0..regions)
        .map(|i| (GuestAddress(i * size), size as usize))
        .collect();
    Memory::from_ranges(&ranges).unwrap()
}

/// A full ring whose chains have `len` buffers, the last of them writable.
fn fill<E: ByteOrder>(mem: &Memory, len: u16, indirect: bool) -> MockDriver<'_, E, Memory> {
    let features = RingFeatures {
        indirect_desc: indirect,
        ..RingFeatures::default()
    };
    let mut mock = MockDriver::new(mem, RING, SIZE, features);
    let chains = if indirect { SIZE } else { SIZE / len };
    for chain in 0..u64::from(chains) {
        let buffers: Vec<_> = (0..u64::from(len))
            .map(|i| Buffer {
                addr: 0x10_0000 + (chain * u64::from(len) + i) * 0x1000,
                len: 0x1000,
                writable: i + 1 == u64::from(len),
            })
            .collect();
        if indirect {
            mock.add_indirect_chain(GuestAddress(0x8_0000 + chain * 256), &buffers);
        } else {
            mock.add_chain(&buffers);
        }
    }
    mock
}

fn upstream(mock: &MockDriver<'_, LittleEndian, Memory>) -> virtio_queue::Queue {
    let layout = mock.layout();
    let at = |offset: usize| Some(mock.base().0 as u32 + offset as u32);
    let mut queue = virtio_queue::Queue::new(SIZE).unwrap();
    queue.set_desc_table_address(at(layout.desc_table()), None);
    queue.set_avail_ring_address(at(layout.avail_ring()), None);
    queue.set_used_ring_address(at(layout.used_ring()), None);
    queue.set_ready(true);
    queue
}

fn pop_ours<Q: DeviceQueue>(queue: &mut Q, mem: &Memory) {
    while let Some(chain) = queue.pop_descriptor_chain(mem).unwrap() {
        chain.readable().iter().for_each(|s| {
            black_box(s);
        });
        chain.writable().iter().for_each(|s| {
            black_box(s);
        });
    }
}

fn pop_upstream(queue: &mut virtio_queue::Queue, mem: &Memory) {
    while let Some(chain) = QueueT::pop_descriptor_chain(queue, mem) {
        chain.for_each(|desc| {
            black_box(desc);
        });
    }
}

fn pop(c: &mut Criterion, name: &str, mem: &Memory, len: u16, indirect: bool) {
    let mut group = c.benchmark_group(format!("pop/{name}"));
    let chains = if indirect { SIZE } else { SIZE / len };
    group.throughput(Throughput::Elements(u64::from(chains)));
    let mut queue: Queue<BigEndian> = fill(mem, len, indirect).device_queue();
    group.bench_function("s390_vring big-endian", |b| {
        b.iter(|| {
            queue.set_next_avail(0);
            pop_ours(&mut queue, mem);
        });
    });
    let mock = fill::<LittleEndian>(mem, len, indirect);
    let mut queue = mock.device_queue();
    group.bench_function("s390_vring little-endian", |b| {
        b.iter(|| {
            queue.set_next_avail(0);
            pop_ours(&mut queue, mem);
        });
    });
    group.bench_function("s390_vring iter", |b| {
        b.iter(|| {
            queue.set_next_avail(0);
            queue.iter(mem).unwrap().for_each(|chain| {
                black_box(chain.unwrap());
            });
        });
    });
    let mut queue = upstream(&mock);
    group.bench_function("virtio_queue", |b| {
        b.iter(|| {
            queue.set_next_avail(0);
            pop_upstream(&mut queue, mem);
        });
    });
    group.bench_function("virtio_queue iter", |b| {
        b.iter(|| {
            queue.set_next_avail(0);
            QueueOwnedT::iter(&mut queue, mem)
                .unwrap()
                .for_each(|chain| {
                    chain.for_each(|desc| {
                        black_box(desc);
                    })
                });
        });
    });
    group.finish();
}

fn add_used(c: &mut Criterion, mem: &Memory) {
    let mut group = c.benchmark_group("add_used");
    group.throughput(Throughput::Elements(u64::from(SIZE)));
    let mock = fill::<LittleEndian>(mem, 1, false);
    let mut queue = mock.device_queue();
    group.bench_function("s390_vring", |b| {
        b.iter(|| {
            for head in 0..SIZE {
                queue.add_used(mem, black_box(head), 0x1000).unwrap();
            }
        });
    });
    let mut queue = upstream(&mock);
    group.bench_function("virtio_queue", |b| {
        b.iter(|| {
            for head in 0..SIZE {
                QueueT::add_used(&mut queue, mem, black_box(head), 0x1000).unwrap();
            }
        });
    });
    group.finish();
}

fn streams(c: &mut Criterion, mem: &Memory) {
    let mut group = c.benchmark_group("pop, reader and writer/3 buffers");
    group.throughput(Throughput::Elements(u64::from(SIZE / 3)));
    let mock = fill::<LittleEndian>(mem, 3, false);
    let mut queue = mock.device_queue();
    group.bench_function("s390_vring", |b| {
        b.iter(|| {
            queue.set_next_avail(0);
            while let Some(chain) = queue.pop_descriptor_chain(mem).unwrap() {
                let mut reader = chain.reader(mem).unwrap();
                black_box(reader.read_obj::<[u8; 16]>().unwrap());
                black_box(chain.writer(mem).unwrap());
            }
        });
    });
    let mut queue = upstream(&mock);
    group.bench_function("virtio_queue", |b| {
        b.iter(|| {
            queue.set_next_avail(0);
            while let Some(chain) = QueueT::pop_descriptor_chain(&mut queue, mem) {
                let mut reader = chain.clone().reader(mem).unwrap();
                black_box(reader.read_obj::<[u8; 16]>().unwrap());
                black_box(chain.writer(mem).unwrap());
            }
        });
    });
    group.finish();
}

fn queues(c: &mut Criterion) {
    let one = memory(1);
    pop(c, "1 buffer", &one, 1, false);
    pop(c, "3 buffers", &one, 3, false);
    pop(c, "16 buffers", &one, 16, false);
    pop(c, "16 indirect", &one, 16, true);
    add_used(c, &one);
    streams(c, &one);
    let four = memory(4);
    pop(c, "3 buffers, 4 regions", &four, 3, false);
}

criterion_group!(benches, queues);
criterion_main!(benches);
