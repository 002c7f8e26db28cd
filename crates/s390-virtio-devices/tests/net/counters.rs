// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is counted at the device's events, and what goes on by itself.

use std::num::NonZeroU64;

use s390_virtio_devices::rate_limiter::{Rate, RateLimits};

use crate::interface::{host, Host, Interface, Shape};
use crate::lengths::frame;
use crate::peers::{Datagrams, Peer, Stream};

fn shape() -> Shape {
    Shape::all(1514).next().unwrap()
}

#[test]
fn notifications_by_queue() {
    let Host {
        machine, metrics, ..
    } = host(Datagrams::new().0);
    let mut interface = Interface::probe(&machine, shape(), 1 << 17);
    let counters = [
        &metrics.rx_queue.kicks,
        &metrics.tx_queue.kicks,
        &metrics.ctrl_queue.kicks,
    ];
    let before = counters.map(|counter| counter.get());
    for (queue, kicks) in [(&interface.rx, 3), (&interface.tx, 2)] {
        (0..kicks).for_each(|_| queue.kick());
    }
    machine.run_events();
    // One that does not exist; but a notification.
    assert_eq!(interface.command(&[9, 0, 0]), 1);
    let after = counters.map(|counter| counter.get());
    let kicks: Vec<_> = before.iter().zip(after).map(|(b, a)| a - b).collect();
    assert_eq!(kicks, [3, 2, 1]);
}

#[test]
fn what_the_rate_limit_holds_back_comes_by_itself() {
    let (link, mut peer) = Datagrams::new();
    let Host {
        machine,
        net,
        metrics,
        ..
    } = host(link);
    net.lock().unwrap().set_rate_limits(RateLimits {
        ops: Some(Rate {
            per_second: NonZeroU64::new(2).unwrap(),
            burst: 1,
        }),
        bytes: None,
    });
    let mut interface = Interface::probe(&machine, shape(), 0);
    interface.post_all();
    let frames = || (metrics.rx_frames.get(), metrics.tx_frames.get());
    // One direction, then the other: nothing but its timer wakes it.
    (0..2).for_each(|_| peer.send(&frame(60)));
    machine.run_events();
    assert_eq!(frames(), (1, 0));
    machine.wait_for_event();
    assert_eq!(frames(), (2, 0));

    interface.add_frame(&[], &frame(60));
    interface.add_frame(&[], &frame(60));
    interface.tx.kick();
    machine.run_events();
    assert_eq!(frames(), (2, 1));
    machine.wait_for_event();
    assert_eq!(frames(), (2, 2));
}

#[test]
fn a_link_that_is_lost_with_a_part_of_a_frame() {
    let (link, mut peer) = Stream::new();
    let Host {
        machine, metrics, ..
    } = host(link);
    let mut interface = Interface::probe(&machine, shape(), 0);
    while metrics.tx_waits.get() == 0 {
        interface.add_frame(&[], &frame(65_000));
        interface.tx.kick();
        machine.run_events();
    }
    peer.hang_up();
    machine.run_events();
    assert_eq!(metrics.link_errors.get(), 1);
    // The frame that waited was refused.
    assert_eq!(metrics.tx_errors.get(), 1);
    machine.wait_for_event();
    machine.run_events();
    peer.accept_again();
    while interface.tx.used().is_some() {}
    interface.send(&[], &frame(60));
    assert!(peer.receive() == frame(60));
}
