// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames beside the plain system calls that do the same to the same kind of descriptor, the other
//! end of which is the same program in both cases.

// `criterion_group` makes a public function.
#![allow(missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;
mod replay;

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use common::{Legacy, Machine};
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use nix::sys::uio::{readv, writev};
use replay::{name, Replay, BUFFERS};
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net, NetBackend, StreamLink};
use s390_vring::Buffer;

/// The shortest frame, an ordinary one, and one that is left to be segmented; with how many there
/// are at a time, which a socket has to hold.
const CASES: [(usize, &[u16]); 3] = [(60, &[1, 8]), (1514, &[1, 8]), (65_550, &[1])];
/// Header of a legacy driver without mergeable buffers.
const NET_HEADER: u32 = 10;

/// The other end of a link.
enum Peer {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

/// Makes a link and its other end.
type NewLink = fn() -> (Box<dyn NetBackend>, Peer);

impl Peer {
    const KINDS: [(&'static str, NewLink); 2] =
        [("datagram", Self::datagram), ("stream", Self::stream)];

    fn datagram() -> (Box<dyn NetBackend>, Self) {
        let (link, peer) = DatagramLink::pair().unwrap();
        (Box::new(link), Peer::Datagram(peer))
    }

    fn stream() -> (Box<dyn NetBackend>, Self) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let link = StreamLink::connect(&path).unwrap();
        (Box::new(link), Peer::Stream(listener.accept().unwrap().0))
    }

    /// Another of the same kind, whose near end is a plain descriptor.
    fn plain(&self) -> (OwnedFd, Self) {
        match self {
            Peer::Datagram(_) => {
                let (near, far) = UnixDatagram::pair().unwrap();
                (near.into(), Peer::Datagram(far))
            }
            Peer::Stream(_) => {
                let (near, far) = UnixStream::pair().unwrap();
                (near.into(), Peer::Stream(far))
            }
        }
    }

    /// What is in front of a frame of `len` bytes.
    fn prefix(&self, len: usize) -> Vec<u8> {
        match self {
            Peer::Datagram(_) => Vec::new(),
            Peer::Stream(_) => (len as u32).to_be_bytes().into(),
        }
    }

    /// Takes so many frames of `len` bytes.
    fn take(&mut self, count: u16, len: usize, buffer: &mut [u8]) {
        match self {
            Peer::Datagram(socket) => {
                (0..count).for_each(|_| assert_eq!(socket.recv(buffer).unwrap(), len));
            }
            Peer::Stream(socket) => {
                let all = usize::from(count) * (4 + len);
                socket.read_exact(&mut buffer[..all]).unwrap();
            }
        }
    }

    /// Sends a frame, which follows the prefix in `bytes`.
    fn send(&mut self, bytes: &[u8]) {
        match self {
            Peer::Datagram(socket) => assert_eq!(socket.send(bytes).unwrap(), bytes.len()),
            Peer::Stream(socket) => socket.write_all(bytes).unwrap(),
        }
    }
}

fn machine(backend: Box<dyn NetBackend>) -> Machine {
    let machine = Machine::new();
    machine.add(Net::<Legacy>::new(backend, MacAddress::local(1)).unwrap());
    machine
}

/// The buffers of frame `n`, of which each has a place for itself.
fn buffers(n: u16, len: usize, writable: bool) -> Vec<Buffer> {
    let addr = BUFFERS + 2048 * u64::from(n);
    [(addr, NET_HEADER), (addr + 16, len as u32)]
        .map(|(addr, len)| Buffer {
            addr,
            len,
            writable,
        })
        .into()
}

/// The guest sends, and the other end takes every frame.
fn net_transmit(c: &mut Criterion) {
    for (kind, new) in Peer::KINDS {
        for (len, batches) in CASES {
            let mut group = c.benchmark_group(format!("net transmit, {kind}, {len} bytes"));
            let mut taken = vec![0; 1 << 17];
            for batch in batches {
                let (backend, mut peer) = new();
                let machine = machine(backend);
                let queue = Replay::new(&machine, 1, *batch, |n| buffers(n, len, false));
                group.throughput(Throughput::Elements((*batch).into()));
                group.bench_function(format!("device, {}", name(*batch)), |b| {
                    b.iter(|| {
                        queue.run();
                        peer.take(*batch, len, &mut taken);
                    });
                });
                let (near, mut far) = peer.plain();
                let (prefix, frame) = (peer.prefix(len), vec![0; len]);
                group.bench_function(format!("plain, {}", name(*batch)), |b| {
                    b.iter(|| {
                        for _ in 0..*batch {
                            let slices = [IoSlice::new(&prefix), IoSlice::new(&frame)];
                            writev(near.as_fd(), &slices).unwrap();
                        }
                        far.take(*batch, len, &mut taken);
                    });
                });
            }
            group.finish();
        }
    }
}

/// The other end sends; the guest's buffers are there already.
fn net_receive(c: &mut Criterion) {
    for (kind, new) in Peer::KINDS {
        for (len, batches) in CASES {
            let mut group = c.benchmark_group(format!("net receive, {kind}, {len} bytes"));
            for batch in batches {
                let (backend, mut peer) = new();
                let machine = machine(backend);
                let queue = Replay::new(&machine, 0, *batch, |n| buffers(n, len, true));
                let sent = [peer.prefix(len), vec![0; len]].concat();
                group.throughput(Throughput::Elements((*batch).into()));
                group.bench_function(format!("device, {}", name(*batch)), |b| {
                    b.iter(|| {
                        queue.publish();
                        (0..*batch).for_each(|_| peer.send(&sent));
                        machine.run_events();
                        assert_eq!(machine.interrupts().len(), 1);
                    });
                });
                let (near, mut far) = peer.plain();
                let (mut prefix, mut frame) = (peer.prefix(len), vec![0; len]);
                group.bench_function(format!("plain, {}", name(*batch)), |b| {
                    b.iter(|| {
                        (0..*batch).for_each(|_| far.send(&sent));
                        for _ in 0..*batch {
                            let mut slices =
                                [IoSliceMut::new(&mut prefix), IoSliceMut::new(&mut frame)];
                            assert_eq!(readv(near.as_fd(), &mut slices).unwrap(), sent.len());
                        }
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, net_transmit, net_receive);
criterion_main!(benches);
