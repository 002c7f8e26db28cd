// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames beside the plain system calls that do the same to the same kind of descriptor.

// `criterion_group` makes a public function.
#![allow(missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;
mod replay;

use std::io::{IoSlice, IoSliceMut};

use common::{Legacy, Machine};
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use nix::sys::uio::{readv, writev};
use replay::{name, Replay, BATCHES, BUFFERS};
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_vring::Buffer;

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
                queue.kick();
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

criterion_group!(benches, net_transmit, net_receive);
criterion_main!(benches);
