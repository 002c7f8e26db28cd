// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The cable is pulled and plugged in again while frames are under way: each one ends with the peer,
//! with the guest, or in a counter.

use crate::interface::{host, Host, Interface, Shape};
use crate::lengths::frame;
use crate::peers::{Datagrams, Peer};

fn shape(mergeable: bool) -> Shape {
    let shape = |shape: &Shape| shape.mergeable == mergeable;
    Shape::all(1514).find(shape).unwrap()
}

#[test]
fn the_driver_hears_of_it() {
    let (link, _peer) = Datagrams::new();
    let Host {
        machine, net, id, ..
    } = host(link);
    let interface = Interface::probe(&machine, shape(false), 1 << 16);
    for up in [false, true] {
        net.lock().unwrap().set_link(up);
        machine.bus.config_changed(id).unwrap();
        assert_eq!(interface.driver.config()[6..8], [0, up.into()]);
        assert_eq!(machine.interrupts().len(), 1);
    }
}

#[test]
fn frames_for_the_guest() {
    for mergeable in [false, true] {
        let (link, mut peer) = Datagrams::new();
        let Host {
            machine,
            net,
            metrics,
            ..
        } = host(link);
        let set_link = |up| {
            net.lock().unwrap().set_link(up);
            machine.run_events();
        };
        let mut interface = Interface::probe(&machine, shape(mergeable), 0);
        // Without a buffer they wait in the socket ...
        (0..3).for_each(|_| peer.send(&frame(60)));
        machine.run_events();
        assert_eq!(metrics.rx_dropped_link.get(), 0);
        // ... and go when the cable does, like all that come until it is back.
        set_link(false);
        assert_eq!(metrics.rx_dropped_link.get(), 3);
        (0..4).for_each(|_| peer.send(&frame(60)));
        machine.run_events();
        interface.post_all();
        assert_eq!(metrics.rx_dropped_link.get(), 7);
        set_link(true);
        assert_eq!(interface.receive(), None);
        peer.send(&frame(61));
        machine.run_events();
        assert!(interface.receive().unwrap().1 == frame(61));
        assert_eq!(metrics.rx_frames.get(), 1);
    }
}

#[test]
fn a_frame_that_waits_for_its_last_buffer() {
    let (link, mut peer) = Datagrams::new();
    let Host {
        machine,
        net,
        metrics,
        ..
    } = host(link);
    let mut interface = Interface::probe(&machine, shape(true), 0);
    interface.post_all();
    peer.send(&frame(9000));
    machine.run_events();
    assert_eq!(metrics.rx_waits.get(), 1);
    net.lock().unwrap().set_link(false);
    machine.run_events();
    assert_eq!(metrics.rx_dropped_link.get(), 1);
    interface.dropped = true;
    net.lock().unwrap().set_link(true);
    peer.send(&frame(60));
    machine.run_events();
    assert!(interface.receive().unwrap().1 == frame(60));
    assert_eq!(interface.receive(), None);
    assert_eq!(metrics.rx_dropped_reset.get(), 0);
}

#[test]
fn frames_of_the_guest() {
    let (link, mut peer) = Datagrams::new();
    let Host {
        machine,
        net,
        metrics,
        ..
    } = host(link);
    let mut interface = Interface::probe(&machine, shape(false), 0);
    let mut added = 0;
    while metrics.tx_waits.get() == 0 {
        interface.add_frame(&[], &frame(1514));
        interface.tx.kick();
        machine.run_events();
        added += 1;
    }
    // The one that waits for room is dropped with the cable, and so is the next.
    net.lock().unwrap().set_link(false);
    machine.run_events();
    assert_eq!(metrics.tx_dropped_link.get(), 1);
    interface.add_frame(&[], &frame(1514));
    interface.tx.kick();
    machine.run_events();
    assert_eq!(metrics.tx_dropped_link.get(), 2);
    let used = std::iter::from_fn(|| interface.tx.used()).count() as u64;
    assert_eq!((used, metrics.tx_frames.get()), (added + 1, added - 1));
    net.lock().unwrap().set_link(true);
    (0..added - 1).for_each(|_| assert!(peer.receive() == frame(1514)));
    interface.send(&[], &frame(60));
    assert!(peer.receive() == frame(60));
}
