// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames of every length go to the peer and come back, and are what they were.

use std::sync::LazyLock;

use s390_virtio_devices::net::MAX_FRAME;

use crate::common::{vring, Machine};
use crate::interface::{host, Host, Interface, Shape, RX};
use crate::peers::{Datagrams, Peer, Stream};
use crate::tap;

/// From the shortest that Ethernet has, without its check sequence, to the longest without a tag.
const ORDINARY: std::ops::RangeInclusive<usize> = 60..=1514;
/// As long as an MTU of 9000 allows, and what is near the borders of pages and buffers.
const JUMBO: [usize; 9] = [1515, 1518, 4084, 4085, 4086, 4096, 8192, 9013, 9014];
/// As long as a backend takes.
const LONGEST: [usize; 4] = [16_384, 65_535, 65_550, MAX_FRAME];

/// A frame that looks different wherever a byte is lost or put in.
pub fn frame(len: usize) -> Vec<u8> {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let byte = |i: usize| (31 * i + 17 * (i >> 8)) as u8;
        (0..2 * MAX_FRAME).map(byte).collect()
    });
    let mut frame = BYTES[len..2 * len].to_vec();
    // To somebody, from the guest, of a type for experiments.
    let head = [2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 0, 0x15, 0x88, 0xb5];
    frame[..14].copy_from_slice(&head);
    frame
}

/// Lets the peer echo frames of these lengths.
fn echo(
    machine: &Machine,
    shape: Shape,
    peer: &mut impl Peer,
    lengths: impl IntoIterator<Item = usize>,
) {
    let mut interface = Interface::probe(machine, shape, 0);
    interface.post_all();
    for len in lengths {
        let sent = frame(len);
        interface.send(&[], &sent);
        let passed = peer.receive();
        assert!(passed == sent, "{len} bytes sent: {shape:?}");
        peer.send(&passed);
        machine.run_events();
        assert_eq!(machine.interrupts(), [vring(RX)]);
        let received = interface.receive();
        let expected = Some((vec![0; 10], sent));
        assert!(received == expected, "{len} bytes received: {shape:?}");
    }
    assert_eq!(interface.receive(), None);
}

#[test]
fn over_a_stream_socket() {
    let (link, mut peer) = Stream::new();
    let Host {
        machine, metrics, ..
    } = host(link);
    for shape in Shape::all(1514) {
        echo(&machine, shape, &mut peer, ORDINARY);
    }
    let frames = 8 * ORDINARY.count() as u64;
    assert_eq!(
        (metrics.rx_frames.get(), metrics.tx_frames.get()),
        (frames, frames)
    );
    assert_eq!(metrics.rx_bytes.get(), metrics.tx_bytes.get());
    for shape in Shape::all(MAX_FRAME) {
        echo(&machine, shape, &mut peer, JUMBO.into_iter().chain(LONGEST));
    }
}

#[test]
fn over_a_datagram_socket() {
    let (link, mut peer) = Datagrams::new();
    let Host { machine, .. } = host(link);
    for shape in Shape::all(MAX_FRAME) {
        let lengths = ORDINARY.step_by(7).chain(JUMBO).chain(LONGEST);
        echo(&machine, shape, &mut peer, lengths);
    }
}

#[test]
fn over_a_tap_device() {
    let Some((link, mut peer)) = tap::new(9000) else {
        return;
    };
    let Host { machine, .. } = host(link);
    // How a chain is linked is over before a frame comes to its link.
    for shape in Shape::all(1514).filter(|shape| !shape.indirect) {
        echo(&machine, shape, &mut peer, ORDINARY);
    }
    for shape in Shape::all(9014) {
        echo(&machine, shape, &mut peer, JUMBO);
    }
}
