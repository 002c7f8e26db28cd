// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Network, console and entropy devices at work on the bus, woken by their events.

mod common;

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use common::*;
use s390_virtio_devices::console::Console;
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net, NetMetrics};
use s390_virtio_devices::rng::Rng;
use s390_vring::Buffer;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn frames_go_both_ways_and_wait_for_buffers() {
    let machine = Machine::new();
    let (link, peer) = DatagramLink::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let net = Net::new(Box::new(link), MacAddress::local(7)).unwrap();
    let metrics = net.metrics();
    machine.add(net);
    let driver = machine.driver(0);
    assert_eq!(driver.device_type(), 1);
    // MAC, MRG_RXBUF, STATUS, CTRL_VQ, CTRL_RX, CTRL_VLAN, CTRL_RX_EXTRA, CTRL_MAC_ADDR.
    assert_eq!(driver.host_features() & 0x00ff_ffff, 0x9f_8020);
    assert_eq!(driver.config(), [2, 0x53, 0x39, 0x30, 0, 7, 0, 1]);

    // Frames that come before the driver wait for it.
    peer.send(&[1; 60]).unwrap();
    machine.run_events();
    driver.begin_probe(1 << 5);
    let (mut rx, mut tx) = (driver.find_vq(0, 0x100), driver.find_vq(1, 0x200));
    driver.finish_probe();
    machine.run_events();
    assert!(machine.interrupts().is_empty());
    rx.add(&[
        Buffer::writable(DATA, 10),
        Buffer::writable(DATA + 16, 1514),
    ]);
    rx.kick();
    machine.run_events();
    assert_eq!(machine.interrupts(), [vring(0x100)]);
    assert_eq!(rx.used(), Some(70));
    assert_eq!(machine.read(DATA + 16, 60), [1; 60]);

    // Without buffers they wait again, and the next kick fetches them all.
    for n in 2..5u8 {
        peer.send(&[n; 61]).unwrap();
    }
    machine.run_events();
    assert_eq!(rx.used(), None);
    for n in 0..4 {
        rx.add(&[Buffer::writable(DATA + 0x1000 * n, 1600)]);
    }
    rx.kick();
    machine.run_events();
    assert_eq!(
        [rx.used(), rx.used(), rx.used(), rx.used()],
        [Some(71), Some(71), Some(71), None]
    );
    // The fourth buffer takes the next frame without a kick.
    peer.send(&[9; 62]).unwrap();
    machine.run_events();
    assert_eq!(rx.used(), Some(72));
    machine.interrupts();

    machine.write(DATA, &[0; 10]);
    machine.write(DATA + 10, &[0x42; 64]);
    tx.add(&[Buffer::readable(DATA, 74)]);
    tx.kick();
    machine.run_events();
    let mut frame = [0; 2000];
    assert_eq!(peer.recv(&mut frame).unwrap(), 64);
    assert_eq!(frame[..64], [0x42; 64]);
    assert_eq!(machine.interrupts(), [vring(0x200)]);
    assert_eq!((metrics.rx_frames.get(), metrics.tx_frames.get()), (5, 1));
    assert_eq!(dropped(&metrics), 0);
}

/// Frames that were dropped for whatever reason.
fn dropped(metrics: &NetMetrics) -> u64 {
    [
        &metrics.rx_dropped_short,
        &metrics.rx_dropped_long,
        &metrics.rx_dropped_filter,
        &metrics.rx_dropped_offload,
        &metrics.rx_dropped_link,
        &metrics.rx_dropped_reset,
        &metrics.rx_errors,
        &metrics.tx_dropped_short,
        &metrics.tx_dropped_long,
        &metrics.tx_dropped_offload,
        &metrics.tx_dropped_link,
        &metrics.tx_errors,
    ]
    .iter()
    .map(|counter| counter.get())
    .sum()
}

#[test]
fn a_full_link_resumes_by_itself_and_loses_nothing() {
    let machine = Machine::new();
    let (link, peer) = DatagramLink::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let net = Net::new(Box::new(link), MacAddress::local(1)).unwrap();
    let metrics = net.metrics();
    machine.add(net);
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut tx = driver.find_vq(1, 0x200);
    driver.finish_probe();
    // More than any socket buffers.
    const FRAMES: u16 = 256;
    const LEN: u32 = 16_000;
    machine.write(DATA, &[0; 10]);
    for n in 0..FRAMES {
        let number = DATA + 0x100 + u64::from(n) * 2;
        machine.write(number, &n.to_be_bytes());
        tx.add(&[
            Buffer::readable(DATA, 10),
            Buffer::readable(number, 2),
            Buffer::readable(DATA + 0x1000, LEN - 2),
        ]);
        if n % 64 == 63 {
            tx.kick();
            machine.run_events();
            receive(&machine, &peer, &mut tx, n + 1);
        }
    }
    assert!(metrics.tx_waits.get() > 0);
    assert_eq!(metrics.tx_frames.get(), u64::from(FRAMES));
}

/// Receives 64 frames, the last of which is number `end` - 1, while the device sends them.
fn receive(machine: &Machine, peer: &UnixDatagram, tx: &mut GuestQueue<'_>, end: u16) {
    let mut next = end - 64;
    while next < end {
        let before = next;
        let mut frame = vec![0; 20_000];
        while let Ok(len) = peer.recv(&mut frame) {
            assert_eq!(len, 16_000);
            assert_eq!(frame[..2], next.to_be_bytes());
            next += 1;
        }
        assert!(next > before, "stuck before frame {next}");
        machine.run_events();
    }
    assert!((0..64).all(|_| tx.used() == Some(0)));
}

#[test]
fn console_output_and_input() {
    let machine = Machine::new();
    let sink = Sink::default();
    let console = Console::new(Box::new(sink.clone()), None).unwrap();
    let input = console.input();
    machine.add(console);
    let driver = machine.driver(0);
    assert_eq!(driver.host_features() & 1, 0);
    // What is typed ahead of the driver is kept.
    input.push(b"early ");
    machine.run_events();
    driver.begin_probe(0);
    let (mut rx, mut tx) = (driver.find_vq(0, 0x100), driver.find_vq(1, 0x200));
    rx.add(&[Buffer::writable(DATA, 8)]);
    driver.finish_probe();
    machine.run_events();
    assert_eq!(rx.used(), Some(6));
    input.push(b"and late");
    machine.run_events();
    assert_eq!(rx.used(), None);
    rx.add(&[Buffer::writable(DATA + 6, 64)]);
    rx.kick();
    machine.run_events();
    assert_eq!(rx.used(), Some(8));
    assert_eq!(machine.read(DATA, 14), b"early and late");

    machine.write(DATA, b"login: ");
    tx.add(&[Buffer::readable(DATA, 7)]);
    tx.kick();
    machine.run_events();
    assert_eq!(*sink.0.lock().unwrap(), b"login: ");
    assert_eq!(tx.used(), Some(0));
}

#[test]
fn entropy_comes_in_small_portions() {
    let machine = Machine::new();
    machine.add(Rng::host().unwrap());
    let driver = machine.driver(0);
    assert!(driver.config().is_empty());
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, 0x100);
    driver.finish_probe();
    queue.add(&[Buffer::writable(DATA, 64)]);
    queue.kick();
    machine.run_events();
    assert_eq!(queue.used(), Some(32));
    assert_ne!(machine.read(DATA, 32), [0; 32]);
    assert_eq!(machine.read(DATA + 32, 32), [0; 32]);
}

#[test]
fn a_queue_that_was_full_asks_for_notifications_again() {
    let machine = Machine::new();
    machine.add(Rng::host().unwrap());
    let driver = machine.driver(0);
    driver.begin_probe(0);
    let mut queue = driver.find_vq(0, 0x100);
    driver.finish_probe();
    machine.run_events();
    for n in 0..8 {
        queue.add(&[Buffer::writable(DATA + 0x100 * n, 64)]);
    }
    queue.kick();
    machine.run_events();
    assert!((0..8).all(|_| queue.used() == Some(32)));
    let used_flags = driver.ring_address(0) + driver.layout(0).used_ring() as u64;
    assert_eq!(machine.read(used_flags, 2), [0, 0]);
}
