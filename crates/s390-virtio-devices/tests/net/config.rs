// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a driver reads in the configuration space, and may write there.

use s390_virtio_devices::net::Net;
use s390_virtio_devices::VirtioDevice;

use crate::common::{Legacy, Machine};
use crate::interface::{host, Host, Interface, Shape, MAC};
use crate::lengths::frame;
use crate::offloads::mirror;
use crate::peers::{Datagrams, Peer};

const MTU: u32 = 1 << 3;
const CTRL_MAC_ADDR: u32 = 1 << 23 | 1 << 17;

fn shape() -> Shape {
    Shape::all(1514).next().unwrap()
}

#[test]
fn the_mtu_is_there_if_there_is_one() {
    // The least that the standard knows is 68.
    for (mtu, shown) in [
        (None, None),
        (Some(9000), Some(9000)),
        (Some(10), Some(68u16)),
    ] {
        let machine = Machine::new();
        let mut net = Net::<Legacy>::new(Box::new(Datagrams::new().0), MAC).unwrap();
        if let Some(mtu) = mtu {
            net = net.with_mtu(mtu);
        }
        machine.add(net);
        let driver = machine.driver(0);
        assert_eq!(driver.host_features() & MTU != 0, mtu.is_some());
        // Address, link status, pairs of queues, MTU.
        let mut expected = MAC.0.to_vec();
        expected.extend([0, 1]);
        if let Some(shown) = shown {
            expected.extend([0, 1]);
            expected.extend(shown.to_be_bytes());
        }
        assert_eq!(driver.config(), expected);
    }
}

#[test]
fn offloads_can_be_switched_if_there_are_any() {
    const CTRL_GUEST_OFFLOADS: u32 = 1 << 2;
    let offered = |host: Host| host.machine.driver(0).host_features() & CTRL_GUEST_OFFLOADS;
    assert_eq!(offered(host(Datagrams::new().0)), 0);
    assert_ne!(offered(host(mirror().0)), 0);
}

#[test]
fn an_old_driver_writes_its_address_there() {
    let Host {
        machine, net, id, ..
    } = host(Datagrams::new().0);
    let other = [2, 0, 0, 0, 0, 9];
    // One that has a command for it does not.
    for (features, address) in [(0, other), (CTRL_MAC_ADDR, MAC.0)] {
        let interface = Interface::probe(&machine, shape(), features);
        machine.write(interface.driver.config_address(), &other);
        machine.bus.config_changed(id).unwrap();
        assert_eq!(interface.driver.config()[..6], address);
        // Elsewhere is no address.
        net.lock().unwrap().write_config(1, &[4; 6]);
        machine.bus.config_changed(id).unwrap();
        assert_eq!(interface.driver.config()[..6], address);
        // The next driver starts with the host's.
        interface.driver.reset();
        assert_eq!(interface.driver.config()[..6], MAC.0);
    }
}

#[test]
fn a_cable_may_be_out_from_the_start() {
    let (link, mut peer) = Datagrams::new();
    let Host {
        machine,
        net,
        id,
        metrics,
    } = host(link);
    net.lock().unwrap().set_link(false);
    machine.bus.config_changed(id).unwrap();
    let mut interface = Interface::probe(&machine, shape(), 0);
    assert_eq!(interface.driver.config()[6..8], [0, 0]);
    interface.post_all();
    interface.send(&[], &frame(60));
    peer.send(&frame(60));
    machine.run_events();
    assert_eq!(interface.receive(), None);
    let dropped = [&metrics.rx_dropped_link, &metrics.tx_dropped_link];
    assert_eq!(dropped.map(|counter| counter.get()), [1, 1]);
}
