// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is offered, what is accepted, and that the page has room for what it implies.

use s390_virtio_devices::balloon::Balloon;
use s390_virtio_devices::console::{Console, ConsoleSize};
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net};
use s390_virtio_devices::rng::Rng;

use crate::common::{disk, Machine, PAGE};
use crate::drivers::{queue_count, read_config, Bound, BALLOON, BLOCK, CONSOLE, NET, RNG};
use crate::kernel::Kernel;
use crate::linux::each;

const DEVICES: usize = 8;
const MTU: u16 = 9000;

/// One of each kind, networks in two ways, consoles in three.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.add(disk().0);
    let (link, _) = DatagramLink::pair().unwrap();
    machine.add(Net::new(Box::new(link), MacAddress::local(1)).unwrap());
    let (link, _) = DatagramLink::pair().unwrap();
    let net = Net::new(Box::new(link), MacAddress::local(2)).unwrap();
    machine.add(net.with_mtu(MTU));
    for size in [
        None,
        Some(ConsoleSize {
            columns: 80,
            rows: 25,
        }),
    ] {
        machine.add(Console::new(Box::new(std::io::sink()), size).unwrap());
    }
    let ports = Console::new(Box::new(std::io::sink()), None).unwrap();
    machine.add(
        ports
            .with_port("org.example.0", Box::new(std::io::sink()))
            .unwrap(),
    );
    machine.add(Rng::host().unwrap());
    machine.add(Balloon::new(PAGE).unwrap());
    machine
}

/// Reads beyond are a `BUG_ON` in the guest, queues that are missing fail the probe.
#[test]
fn configuration_space_and_queues_cover_every_offered_feature() {
    each(|release| {
        let machine = machine();
        let kernel = Kernel::boot(&machine, release);
        for index in 0..DEVICES {
            let device = machine.driver(index);
            let (desc, offered) = (device.desc, device.host_features());
            read_config(&kernel, desc, offered);
            let queues = queue_count(&kernel, desc, offered);
            assert!(u16::from(kernel.byte(desc + 1)) >= queues);
        }
    });
}

#[test]
fn every_driver_finds_its_device() {
    each(|release| {
        let machine = machine();
        let kernel = Kernel::boot(&machine, release);
        let mut bound = Vec::new();
        for device_type in [BALLOON, NET, CONSOLE, RNG, BLOCK] {
            for desc in kernel.devices(device_type) {
                bound.push(Bound::probe(&kernel, desc));
            }
        }
        assert_eq!(bound.len(), DEVICES);
        for (index, desc) in (0..DEVICES).map(|index| (index, machine.driver(index).desc)) {
            let device = machine.driver(index);
            let found = bound.iter().find(|bound| bound.desc == desc).unwrap();
            assert_eq!(device.accepted_features(), found.features);
            assert_eq!(found.features & !device.host_features(), 0);
            assert_eq!(device.status(), 7);
        }
        bound.into_iter().for_each(Bound::unbind);
    });
}

#[test]
fn an_mtu_is_for_those_who_know_of_it() {
    each(|release| {
        let machine = machine();
        let kernel = Kernel::boot(&machine, release);
        let [plain, with_mtu] = kernel.devices(NET)[..] else {
            panic!("two networks were added");
        };
        assert_eq!(Bound::probe(&kernel, plain).features & 1 << 3, 0);
        let accepted = Bound::probe(&kernel, with_mtu).features & 1 << 3;
        assert_eq!(accepted, release.net_features & 1 << 3);
        if accepted != 0 {
            assert_eq!(kernel.config_get(with_mtu, 10, 2), MTU.to_be_bytes());
        }
    });
}
