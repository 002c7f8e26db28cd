// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The whole way of a request, from NOTIFY through the event loop and the device to the
//! interruption, beside the plain system calls that do the same to the same descriptor.
//!
//! The guest's half costs next to nothing: its chains are in the ring already, and it makes them
//! available once more by moving the index.

// `criterion_group` makes a public function.
#![allow(missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::cell::Cell;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use common::{Legacy, Machine, NOTIFY};
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use nix::sys::uio::{readv, writev};
use s390_virtio_devices::block::{Block, RawFile};
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_vring::Buffer;
use vm_memory::{Bytes, GuestAddress};

/// Feature of a disk; no other device here offers that bit.
const FLUSH: u32 = 1 << 9;
const BLOCK: usize = 4096;
const BATCHES: [u16; 2] = [1, 32];
const BUFFERS: u64 = 0x2_0000;

/// A queue whose chains are used over and over.
struct Replay<'a> {
    machine: &'a Machine,
    ring: u64,
    avail: u64,
    batch: u16,
    idx: Cell<u16>,
}

impl<'a> Replay<'a> {
    /// Puts `batch` chains, a divisor of the queue's size, into queue `queue` of the first device.
    fn new(
        machine: &'a Machine,
        queue: u64,
        batch: u16,
        buffers: impl Fn(u16) -> Vec<Buffer>,
    ) -> Self {
        let driver = machine.driver(0);
        // A disk whose driver does not flush writes through to the medium.
        driver.begin_probe(FLUSH);
        // A network interface has both, and one that is empty.
        if driver.device_type() == 1 {
            driver.find_vq(1 - queue, 0x9000);
        }
        let mut guest = driver.find_vq(queue, 0x8000);
        let heads: Vec<_> = (0..batch)
            .map(|n| guest.ring.add_chain(&buffers(n)).unwrap())
            .collect();
        driver.finish_probe();
        machine.run_events();
        let ring = driver.ring_address(queue);
        let avail = ring + driver.layout(queue).avail_ring() as u64;
        for slot in 0..driver.ring_size(queue) {
            let head = heads[usize::from(slot % batch)];
            machine.write(avail + 4 + 2 * u64::from(slot), &head.to_be_bytes());
        }
        Replay {
            machine,
            ring,
            avail,
            batch,
            idx: Cell::new(0),
        }
    }

    /// Makes the batch available.
    fn publish(&self) {
        let idx = self.idx.get().wrapping_add(self.batch);
        self.idx.set(idx);
        let addr = GuestAddress(self.avail + 2);
        self.machine.memory.write_obj(idx.to_be(), addr).unwrap();
    }

    /// Sends the batch through the device.
    fn run(&self) {
        self.publish();
        self.machine.diag(NOTIFY, self.ring);
        self.machine.run_events();
        assert_eq!(self.machine.interrupts().len(), 1);
    }
}

fn name(batch: u16) -> String {
    match batch {
        1 => "one at a time".into(),
        _ => format!("{batch} at a time"),
    }
}

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

const FRAME: usize = 1514;
/// Header of a legacy driver without mergeable buffers.
const NET_HEADER: u64 = 10;

/// The other end reads every frame, in both cases.
fn net_transmit(c: &mut Criterion) {
    let mut group = c.benchmark_group("net transmit, 1514 bytes");
    let mut frame = vec![0; FRAME];
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.into()));
        let machine = Machine::new();
        let (link, peer) = DatagramLink::pair().unwrap();
        machine.add(Net::<Legacy>::new(Box::new(link), MacAddress::local(1)).unwrap());
        let queue = Replay::new(&machine, 1, batch, |n| {
            let addr = BUFFERS + 2048 * u64::from(n);
            let header = Buffer::readable(addr, NET_HEADER as u32);
            vec![header, Buffer::readable(addr + 16, FRAME as u32)]
        });
        group.bench_function(format!("device, {}", name(batch)), |b| {
            b.iter(|| {
                queue.publish();
                machine.diag(NOTIFY, queue.ring);
                // A datagram socket holds fewer than a batch: the device goes on when it can.
                for _ in 0..batch {
                    machine.run_events();
                    assert_eq!(peer.recv(&mut frame).unwrap(), FRAME);
                }
                machine.run_events();
                machine.interrupts();
            });
        });
    }
    let (near, far) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let sent = vec![0; FRAME];
    group.throughput(Throughput::Elements(1));
    group.bench_function("plain", |b| {
        b.iter(|| {
            writev(&near, &[IoSlice::new(&sent)]).unwrap();
            assert_eq!(far.recv(&mut frame).unwrap(), FRAME);
        });
    });
    group.finish();
}

/// The other end sends every frame, in both cases.
fn net_receive(c: &mut Criterion) {
    let mut group = c.benchmark_group("net receive, 1514 bytes");
    let frame = vec![0; FRAME];
    // Frames come one by one; the buffers are there already.
    let machine = Machine::new();
    let (link, peer) = DatagramLink::pair().unwrap();
    machine.add(Net::<Legacy>::new(Box::new(link), MacAddress::local(1)).unwrap());
    let queue = Replay::new(&machine, 0, 1, |_| {
        vec![
            Buffer::writable(BUFFERS, NET_HEADER as u32),
            Buffer::writable(BUFFERS + 16, FRAME as u32),
        ]
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("device", |b| {
        b.iter(|| {
            queue.publish();
            peer.send(&frame).unwrap();
            machine.run_events();
            assert_eq!(machine.interrupts().len(), 1);
        });
    });
    let (near, far) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut received = vec![0; FRAME];
    group.bench_function("plain", |b| {
        b.iter(|| {
            far.send(&frame).unwrap();
            let mut slices = [IoSliceMut::new(&mut received)];
            assert_eq!(readv(&near, &mut slices).unwrap(), FRAME);
        });
    });
    group.finish();
}

criterion_group!(benches, block, net_transmit, net_receive);
criterion_main!(benches);
