// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whatever a network device is at when it is reset: after that it writes nothing, knows nothing of
//! the driver before, and works for the next one.

use std::num::NonZeroU64;

use s390_virtio_devices::net::{HeaderOrder, NetMetrics, Offloads};
use s390_virtio_devices::rate_limiter::{Rate, RateLimits};
use s390_vring::Buffer;

use crate::common::*;
use crate::interface::{host, Host, Interface, Shape, MAC, TX};
use crate::lengths::frame;
use crate::offloads::{mirror, ALL};
use crate::peers::{Datagrams, Peer, Stream};

/// The ways to end a driver's life.
const ENDS: [fn(&Machine); 4] = [
    |machine| assert_eq!(machine.driver(0).reset(), 0),
    |machine| assert_eq!(machine.driver(0).set_status(0), 0),
    |machine| assert_eq!(machine.driver(0).set_status(0x87), 0),
    Machine::machine_reset,
];

/// CTRL_VQ, CTRL_RX, CTRL_VLAN, CTRL_RX_EXTRA, CTRL_MAC_ADDR.
const CONTROL: u32 = 0x9e_0000;

fn shape(mergeable: bool) -> Shape {
    let shape = |shape: &Shape| shape.mergeable == mergeable;
    Shape::all(1514).find(shape).unwrap()
}

/// The guest's memory with page and rings.
fn everything(machine: &Machine) -> Vec<u8> {
    machine.read(0, PAGE as usize + 0x1_0000)
}

/// Ends the driver's life; then `disturb` gives the device every reason to do something.
fn end(machine: &Machine, end: fn(&Machine), disturb: impl FnOnce()) {
    end(machine);
    let before = everything(machine);
    machine.interrupts();
    disturb();
    machine.run_events();
    assert!(everything(machine) == before);
    assert!(machine.interrupts().is_empty());
}

/// The next driver sends and receives a frame.
fn works(machine: &Machine, shape: Shape, peer: &mut impl Peer) {
    let mut interface = Interface::probe(machine, shape, 0);
    interface.post_all();
    interface.send(&[], &frame(61));
    assert!(peer.receive() == frame(61));
    peer.send(&frame(62));
    machine.run_events();
    assert!(interface.receive().unwrap().1 == frame(62));
    assert_eq!(interface.receive(), None);
}

#[test]
fn with_buffers_posted() {
    for mergeable in [false, true] {
        let (link, mut peer) = Datagrams::new();
        let Host {
            machine, metrics, ..
        } = host(link);
        for how in ENDS {
            let shape = shape(mergeable);
            Interface::probe(&machine, shape, 0).post_all();
            // These wait for the next driver.
            end(&machine, how, || {
                (60..63).for_each(|len| peer.send(&frame(len)));
            });
            let mut interface = Interface::probe(&machine, shape, 0);
            interface.post_all();
            for len in 60..63 {
                assert!(interface.receive().unwrap().1 == frame(len));
                machine.run_events();
            }
            works(&machine, shape, &mut peer);
        }
        assert_eq!(metrics.rx_frames.get(), 4 * 4);
        assert_eq!(metrics.rx_dropped_reset.get(), 0);
    }
}

#[test]
fn with_a_frame_that_waits_for_its_last_buffer() {
    for how in ENDS {
        let (link, mut peer) = Datagrams::new();
        let Host {
            machine, metrics, ..
        } = host(link);
        let mut interface = Interface::probe(&machine, shape(true), 0);
        interface.post_all();
        peer.send(&frame(9000));
        machine.run_events();
        assert_eq!((metrics.rx_waits.get(), interface.receive()), (1, None));
        end(&machine, how, || peer.send(&frame(60)));
        assert_eq!(metrics.rx_dropped_reset.get(), 1);
        let mut interface = Interface::probe(&machine, shape(true), 0);
        interface.post_all();
        assert!(interface.receive().unwrap().1 == frame(60));
        works(&machine, shape(true), &mut peer);
    }
}

#[test]
fn with_a_full_backend() {
    for how in ENDS {
        let (link, mut peer) = Datagrams::new();
        let Host {
            machine, metrics, ..
        } = host(link);
        let mut interface = Interface::probe(&machine, shape(false), 0);
        while metrics.tx_waits.get() == 0 {
            interface.add_frame(&[], &frame(1514));
            interface.tx.kick();
            machine.run_events();
        }
        // Room for more makes the socket writable, but nobody sends.
        let sent = metrics.tx_frames.get();
        end(&machine, how, || {
            (0..sent).for_each(|_| assert!(peer.receive() == frame(1514)));
        });
        works(&machine, shape(false), &mut peer);
        assert_eq!(metrics.tx_frames.get(), sent + 1);
    }
}

#[test]
fn with_a_part_of_a_frame_in_the_stream() {
    for how in ENDS {
        let (link, mut peer) = Stream::new();
        let Host {
            machine, metrics, ..
        } = host(link);
        let mut interface = Interface::probe(&machine, shape(false), 0);
        while metrics.tx_waits.get() == 0 {
            interface.add_frame(&[], &frame(65_000));
            interface.tx.kick();
            machine.run_events();
        }
        // The device had taken that frame: its rest goes to the peer, and nothing of the next one.
        let sent = metrics.tx_frames.get();
        end(&machine, how, || {
            for _ in 0..sent {
                machine.run_events();
                assert!(peer.receive() == frame(65_000));
            }
        });
        works(&machine, shape(false), &mut peer);
    }
}

#[test]
fn while_the_rate_limit_makes_it_wait() {
    for how in ENDS {
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
        let mut interface = Interface::probe(&machine, shape(false), 0);
        interface.post_all();
        for _ in 0..2 {
            peer.send(&frame(60));
            interface.add_frame(&[], &frame(60));
        }
        interface.tx.kick();
        machine.run_events();
        assert!(metrics.rx_limited.get() > 0 && metrics.tx_limited.get() > 0);
        assert!(peer.receive() == frame(60));
        // The limits' timers expire.
        end(&machine, how, || {
            (0..2).for_each(|_| machine.wait_for_event())
        });
        net.lock().unwrap().set_rate_limits(RateLimits::default());
        let mut interface = Interface::probe(&machine, shape(false), 0);
        interface.post_all();
        assert!(interface.receive().unwrap().1 == frame(60));
        works(&machine, shape(false), &mut peer);
        assert_eq!(metrics.tx_frames.get(), 2);
    }
}

/// A frame for `to`.
fn frame_to(to: [u8; 6]) -> Vec<u8> {
    [&to[..], &frame(60)[6..]].concat()
}

fn filtered(metrics: &NetMetrics) -> u64 {
    metrics.rx_dropped_filter.get()
}

#[test]
fn the_next_driver_finds_no_filter() {
    for how in ENDS {
        let (link, mut peer) = Datagrams::new();
        let Host {
            machine,
            id,
            metrics,
            ..
        } = host(link);
        let mut interface = Interface::probe(&machine, shape(false), CONTROL);
        let other = [2, 0, 0, 0, 0, 9];
        let set_mac = [&[1, 1], &other[..]].concat();
        // No promiscuous mode, no broadcast, another address, one VLAN.
        for command in [&[0, 0, 0][..], &[0, 5, 1], &set_mac, &[2, 0, 0, 5]] {
            assert_eq!(interface.command(command), 0);
        }
        let config = |machine: &Machine| {
            // Asks the device.
            machine.bus.config_changed(id).unwrap();
            machine.driver(0).config()[..6].to_vec()
        };
        assert_eq!(config(&machine), other);
        interface.post_all();
        peer.send(&frame_to(MAC.0));
        peer.send(&frame_to([0xff; 6]));
        machine.run_events();
        assert_eq!((filtered(&metrics), interface.receive()), (2, None));

        end(&machine, how, || ());
        assert_eq!(config(&machine), MAC.0);
        let mut interface = Interface::probe(&machine, shape(false), CONTROL);
        assert_eq!(config(&machine), MAC.0);
        interface.post_all();
        for to in [[2, 0, 0, 0, 0, 8], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            peer.send(&frame_to(to));
            machine.run_events();
            assert!(interface.receive().unwrap().1 == frame_to(to));
        }
        // Of what the first driver said, nothing is left behind the promiscuous mode either.
        assert_eq!(interface.command(&[0, 0, 0]), 0);
        let tagged = [&MAC.0[..], &[2, 0, 0, 0, 0, 1, 0x81, 0, 0, 5], &[0; 44]].concat();
        for (frame, passes) in [
            (frame_to(MAC.0), true),
            (frame_to([0xff; 6]), true),
            (frame_to(other), false),
            (tagged, false),
        ] {
            peer.send(&frame);
            machine.run_events();
            assert_eq!(interface.receive().is_some(), passes, "{frame:02x?}");
        }
    }
}

#[test]
fn the_next_driver_finds_no_offloads() {
    const CTRL_GUEST_OFFLOADS: u32 = 1 << 17 | 1 << 2;
    for how in ENDS {
        let (link, agreed) = mirror();
        let Host { machine, .. } = host(link);
        let agreed = || agreed.lock().unwrap().unwrap();
        let nothing = (Offloads::default(), HeaderOrder::Big);
        Interface::probe(&machine, shape(false), ALL);
        assert_ne!(agreed(), nothing);
        // The backend hears it at once: what comes meanwhile comes to a driver that may know none.
        end(&machine, how, || ());
        assert_eq!(agreed(), nothing);
        let features = 1 << 1 | 1 << 7 | CTRL_GUEST_OFFLOADS;
        let mut interface = Interface::probe(&machine, shape(false), features);
        assert_eq!(interface.command(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 2]), 0);
        let (csum, _) = agreed();
        assert!(csum.csum && !csum.tso4);
        end(&machine, how, || ());
        // Again all that its features say.
        Interface::probe(&machine, shape(false), features);
        assert!(agreed().0.tso4);
    }
}

/// Nor after one that broke a rule, whose queues were stopped before the RESET.
#[test]
fn the_next_driver_finds_no_offloads_of_one_that_broke_a_rule() {
    for how in ENDS {
        let (link, agreed) = mirror();
        let Host { machine, id, .. } = host(link);
        let mut interface = Interface::probe(&machine, shape(false), ALL);
        assert!(agreed.lock().unwrap().unwrap().0.tso4);
        // No room for a header.
        interface.tx.add(&[Buffer::readable(DATA, 9)]);
        interface.tx.kick();
        machine.run_events();
        assert!(machine.bus.needs_reset(id).unwrap());
        end(&machine, how, || ());
        let nothing = (Offloads::default(), HeaderOrder::Big);
        assert_eq!(agreed.lock().unwrap().unwrap(), nothing);
    }
}

#[test]
fn interruptions_of_before_are_taken_back() {
    for how in ENDS {
        let (link, _peer) = Datagrams::new();
        let Host { machine, .. } = host(link);
        let mut interface = Interface::probe(&machine, shape(false), 0);
        interface.add_frame(&[], &frame(60));
        interface.tx.kick();
        machine.run_events();
        how(&machine);
        assert!(!machine.interrupts().contains(&vring(TX)));
    }
}
