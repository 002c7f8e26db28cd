// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's half of a network interface, in the shapes that drivers give to their buffers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use s390_virtio_devices::bus::DeviceId;
use s390_virtio_devices::net::{MacAddress, Net, NetBackend, NetMetrics};
use s390_vring::{write_indirect_table, BigEndian, Buffer};

use crate::common::*;

pub const RX: u64 = 0x100;
pub const TX: u64 = 0x200;
pub const CTRL: u64 = 0x300;
pub const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x15]);
const MRG_RXBUF: u32 = 1 << 15;
const INDIRECT: u32 = 1 << 28;

/// Address of what is sent, and of the received buffers; below them the indirect tables.
const SENT: u64 = 0x1_0000;
const RECEIVED: u64 = 0x3_0000;
const TABLES: u64 = 0x4000;
const TABLE: u64 = 0x200;
/// No buffer is longer.
const PAGE_SIZE: usize = 0x1000;
/// What is in a buffer that the device has not written.
const UNTOUCHED: u8 = 0xee;

/// How a driver lays out its buffers.
#[derive(Copy, Clone, Debug)]
pub struct Shape {
    /// Received frames may be in several chains, and headers have 12 bytes instead of 10.
    pub mergeable: bool,
    /// The header has a descriptor to itself.
    pub own_header: bool,
    pub indirect: bool,
    /// Bytes of a chain for received frames, without a header.
    pub room: usize,
    /// Chains for received frames.
    pub chains: u64,
}

impl Shape {
    /// Every shape in which drivers give their buffers: for frames of up to `longest` bytes, or for
    /// ordinary ones, as many of them as a long frame needs.
    pub fn all(longest: usize) -> impl Iterator<Item = Shape> {
        (0..8).map(move |n| {
            let mergeable = n & 1 != 0;
            Shape {
                mergeable,
                own_header: n & 2 != 0,
                indirect: n & 4 != 0,
                room: if mergeable { 1524 } else { longest },
                chains: if mergeable {
                    2 + longest as u64 / 1524
                } else {
                    2
                },
            }
        })
    }

    pub fn header_len(&self) -> usize {
        if self.mergeable {
            12
        } else {
            10
        }
    }

    fn features(&self) -> u32 {
        (if self.mergeable { MRG_RXBUF } else { 0 }) | (if self.indirect { INDIRECT } else { 0 })
    }

    /// The buffers of a chain at `addr` for a header and `len` bytes.
    fn buffers(&self, addr: u64, len: usize, writable: bool) -> Vec<Buffer> {
        let mut ends = vec![self.header_len() + len];
        if self.own_header && len > 0 {
            ends.insert(0, self.header_len());
        }
        let (mut buffers, mut at) = (Vec::new(), 0);
        for end in ends {
            while at < end {
                let len = PAGE_SIZE.min(end - at);
                buffers.push(Buffer {
                    addr: addr + at as u64,
                    len: len as u32,
                    writable,
                });
                at += len;
            }
        }
        buffers
    }

    fn stride(&self) -> u64 {
        (self.header_len() + self.room + 16) as u64
    }
}

/// Puts a chain into `queue`, through table number `table` if the shape is indirect.
fn add(
    machine: &Machine,
    shape: &Shape,
    queue: &mut GuestQueue<'_>,
    table: u64,
    buffers: &[Buffer],
) -> u16 {
    let head = if shape.indirect {
        let mut entries = [[0; 16]; TABLE as usize / 16];
        write_indirect_table::<BigEndian>(&mut entries, buffers).unwrap();
        let table = TABLES + table * TABLE;
        machine.write(table, entries.as_flattened());
        queue.ring.add_indirect_chain(table, buffers)
    } else {
        queue.ring.add_chain(buffers)
    };
    queue.ring.publish();
    head.unwrap()
}

/// An interface whose driver is ready.
pub struct Interface<'a> {
    machine: &'a Machine,
    pub driver: Driver<'a>,
    shape: Shape,
    pub rx: GuestQueue<'a>,
    pub tx: GuestQueue<'a>,
    pub ctrl: GuestQueue<'a>,
    /// Which chain for received frames a head stands for.
    posted: HashMap<u16, u64>,
    /// The device may have written frames into buffers that it dropped afterwards.
    pub dropped: bool,
}

impl<'a> Interface<'a> {
    /// Probes the first device and accepts `features` beside those of `shape`.
    pub fn probe(machine: &'a Machine, shape: Shape, features: u32) -> Self {
        let driver = machine.driver(0);
        let features = features | shape.features();
        assert_eq!(features & !driver.host_features(), 0);
        driver.begin_probe(features);
        let [rx, tx, ctrl] = [RX, TX, CTRL].map(|token| driver.find_vq(token / 0x100 - 1, token));
        driver.finish_probe();
        machine.run_events();
        Interface {
            machine,
            driver,
            shape,
            rx,
            tx,
            ctrl,
            posted: HashMap::new(),
            dropped: false,
        }
    }

    /// Posts all chains for received frames.
    pub fn post_all(&mut self) {
        (0..self.shape.chains).for_each(|n| self.post(n));
        self.rx.kick();
        self.machine.run_events();
    }

    /// Posts chain `n` for received frames, without a notification.
    pub fn post(&mut self, n: u64) {
        let addr = self.chain(n);
        let untouched = vec![UNTOUCHED; self.shape.stride() as usize];
        self.machine.write(addr, &untouched);
        let buffers = self.shape.buffers(addr, self.shape.room, true);
        let head = add(self.machine, &self.shape, &mut self.rx, 1 + n, &buffers);
        self.posted.insert(head, n);
    }

    fn chain(&self, n: u64) -> u64 {
        RECEIVED + n * self.shape.stride()
    }

    /// Makes a frame available to the device, behind a header that begins with `header`.
    pub fn add_frame(&mut self, header: &[u8], frame: &[u8]) {
        let mut bytes = vec![0; self.shape.header_len()];
        bytes[..header.len()].copy_from_slice(header);
        bytes.extend_from_slice(frame);
        self.machine.write(SENT, &bytes);
        let buffers = self.shape.buffers(SENT, frame.len(), false);
        add(self.machine, &self.shape, &mut self.tx, 0, &buffers);
    }

    /// Sends a frame, which the device takes at once.
    pub fn send(&mut self, header: &[u8], frame: &[u8]) {
        self.machine.interrupts();
        self.add_frame(header, frame);
        self.tx.kick();
        self.machine.run_events();
        assert_eq!(self.tx.used(), Some(0));
        assert_eq!(self.machine.interrupts().first(), Some(&vring(TX)));
    }

    /// The next frame that the device has put into the receive queue, and its header without the
    /// number of buffers, which are posted again. Nothing but the frame was written.
    pub fn receive(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let header_len = self.shape.header_len();
        let (mut bytes, mut left, mut count) = (Vec::new(), 1, 0);
        while left > 0 {
            let used = self.rx.ring.pop_used().unwrap();
            let Some(used) = used else {
                assert_eq!(count, 0, "a frame that is not all there");
                return None;
            };
            let n = self.posted.remove(&used.head).unwrap();
            let chain = self
                .machine
                .read(self.chain(n), self.shape.stride() as usize);
            let (written, rest) = chain.split_at(used.len as usize);
            assert!(self.dropped || rest == vec![UNTOUCHED; rest.len()]);
            bytes.extend_from_slice(written);
            count += 1;
            left -= 1;
            if self.shape.mergeable && count == 1 {
                left = u16::from_be_bytes([written[10], written[11]]) - 1;
            }
            self.post(n);
        }
        self.rx.kick();
        let frame = bytes.split_off(header_len);
        // As few as the frame needs.
        let needed = bytes.len() + frame.len();
        assert_eq!(count, needed.div_ceil(header_len + self.shape.room));
        bytes.truncate(10);
        Some((bytes, frame))
    }

    /// Sends a command; the answer, which is 0 for yes.
    pub fn command(&mut self, bytes: &[u8]) -> u8 {
        self.machine.write(SENT, bytes);
        let len = bytes.len() as u32;
        let answer = SENT + u64::from(len);
        self.machine.write(answer, &[UNTOUCHED]);
        self.ctrl
            .add(&[Buffer::readable(SENT, len), Buffer::writable(answer, 1)]);
        self.ctrl.kick();
        self.machine.run_events();
        assert_eq!(self.ctrl.used(), Some(1));
        self.machine.read(answer, 1)[0]
    }
}

/// A machine whose only device is an interface.
pub struct Host {
    pub machine: Machine,
    pub net: Arc<Mutex<Net<Legacy>>>,
    pub id: DeviceId,
    pub metrics: Arc<NetMetrics>,
}

/// A machine with an interface on `link`.
pub fn host(link: impl NetBackend + 'static) -> Host {
    let machine = Machine::new();
    let net = Net::new(Box::new(link), MAC).unwrap();
    let metrics = net.metrics();
    let (net, id) = machine.add_shared(net);
    Host {
        machine,
        net,
        id,
        metrics,
    }
}
