// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A peer at a stream socket that sends in pieces, nonsense, or goes away and comes back.

use std::io::Write;

use crate::interface::{host, Host, Interface, Shape};
use crate::lengths::frame;
use crate::peers::{Peer, Stream};

#[test]
fn frames_come_in_pieces_of_any_size() {
    let (link, mut peer) = Stream::new();
    let Host { machine, .. } = host(link);
    for shape in Shape::all(1514) {
        let mut interface = Interface::probe(&machine, shape, 0);
        interface.post_all();
        let lengths = [60, 1514, 61, 777];
        let stream: Vec<u8> = lengths
            .iter()
            .flat_map(|len| Stream::framed(&frame(*len)))
            .collect();
        for size in [1, 3, 63, 64, 65, 1000, 2000] {
            let mut expected = lengths.iter();
            for piece in stream.chunks(size) {
                peer.socket.write_all(piece).unwrap();
                machine.run_events();
                while let Some((_, received)) = interface.receive() {
                    assert!(received == frame(*expected.next().unwrap()));
                    machine.run_events();
                }
            }
            assert_eq!(expected.next(), None, "pieces of {size}");
        }
    }
}

#[test]
fn a_peer_that_is_gone_comes_back() {
    let (link, mut peer) = Stream::new();
    let Host {
        machine, metrics, ..
    } = host(link);
    let mut interface = Interface::probe(&machine, Shape::all(1514).next().unwrap(), 0);
    interface.post_all();
    for (lost, longest) in [(1, false), (2, true)] {
        if longest {
            // What no frame can be as long as.
            peer.socket.write_all(&65_554u32.to_be_bytes()).unwrap();
        } else {
            // A frame that is cut off.
            peer.socket
                .write_all(&Stream::framed(&frame(60))[..30])
                .unwrap();
            peer.hang_up();
        }
        machine.run_events();
        assert_eq!(metrics.rx_errors.get(), lost);
        // What the guest sends meanwhile is refused, and counted.
        interface.send(&[], &frame(60));
        assert_eq!(metrics.tx_errors.get(), lost);
        // The link tries again by itself.
        machine.wait_for_event();
        machine.run_events();
        peer.accept_again();
        interface.send(&[], &frame(61));
        assert!(peer.receive() == frame(61));
        peer.send(&frame(62));
        machine.run_events();
        assert!(interface.receive().unwrap().1 == frame(62));
        machine.run_events();
        assert_eq!(interface.receive(), None);
    }
    assert_eq!((metrics.rx_frames.get(), metrics.tx_frames.get()), (2, 2));
}
