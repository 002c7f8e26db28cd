// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The workspace's own driver crate against the bus, without a CPU in between.

mod common;

use common::*;
use s390_extint::ExternalInterrupt;
use s390_virtio_devices::rng::Rng;
use s390_virtio_guest::{status, Buffer, Bus, Event, Hypervisor, InterruptTable, PageBytes, Slot};
use s390_vring::mock::GuestRing;
use vm_memory::{Bytes, GuestAddress};

/// Page and host of the driver.
#[derive(Clone, Copy)]
struct Host<'a>(&'a Machine);

impl PageBytes for Host<'_> {
    fn read(&self, offset: usize) -> u8 {
        self.0.read(PAGE + offset as u64, 1)[0]
    }

    fn write(&mut self, offset: usize, value: u8) {
        self.0.write(PAGE + offset as u64, &[value]);
    }
}

impl Hypervisor for Host<'_> {
    fn hypercall(&self, nr: u64, arg: u64) -> i64 {
        self.0.diag(nr, arg) as i64
    }
}

impl<'a> Host<'a> {
    fn map(self) -> impl FnOnce(u64, usize) -> Option<GuestRing<'a, Memory>> {
        move |addr, len| {
            let memory = &*self.0.memory;
            memory
                .read_obj::<u8>(GuestAddress(addr + len as u64 - 1))
                .ok()?;
            Some(GuestRing::new(memory, GuestAddress(addr), len))
        }
    }

    /// Hands the injected interruptions to the driver's handler.
    fn deliver(self, table: &InterruptTable<8>) -> Vec<Event> {
        let interrupts = self.0.interrupts().into_iter();
        interrupts
            .map(|(code, subcode, params, params2)| {
                let interrupt = ExternalInterrupt {
                    code,
                    subcode,
                    params,
                    params2,
                };
                table.handle(&interrupt).unwrap()
            })
            .collect()
    }
}

#[test]
fn finds_its_devices_and_moves_data() {
    let machine = Machine::new();
    machine.add(disk().0);
    machine.add(Rng::host().unwrap());
    let host = Host(&machine);
    let bus = Bus::new(host, PAGE, host);
    let table = InterruptTable::<8>::new();
    let mut devices: Vec<_> = bus.devices().map(|device| device.unwrap()).collect();
    let types: Vec<_> = devices.iter().map(|device| device.device_type()).collect();
    assert_eq!(types, [2, 4]);

    let block = &mut devices[0];
    assert_eq!(u64::from_be_bytes(block.config(0).unwrap()), 8);
    for round in 0..3 {
        // Flush, indirect and event index; probed three times over.
        assert_eq!(block.begin(0x3000_0200).unwrap(), 0x3000_0200);
        let mut queue = block
            .find_vq(0, &table, [Slot::EMPTY; 128], host.map())
            .unwrap();
        block.driver_ok().unwrap();
        for sector in 0..8 {
            queue.add(&read_request(&machine, sector)).unwrap();
            queue.kick().unwrap();
            machine.run_events();
            assert_eq!(host.deliver(&table), [Event::Queue(queue.token())]);
            assert!(table.take_queue(queue.token()));
            assert_eq!(queue.pop_used().unwrap().unwrap().len, 513);
            assert_eq!(machine.read(DATA, 512), [sector as u8 + 1; 512]);
            assert!(!queue.enable_interrupts());
        }
        block.reset().unwrap();
        assert_eq!(block.status(), 0);
        block.del_vq(queue, &table);
        block.add_status(status::ACKNOWLEDGE).unwrap();
        assert!(host.deliver(&table).is_empty(), "round {round}");
    }

    let rng = &mut devices[1];
    assert_eq!(rng.begin(0).unwrap(), 0);
    let mut queue = rng
        .find_vq(0, &table, [Slot::EMPTY; 8], host.map())
        .unwrap();
    rng.driver_ok().unwrap();
    queue.add(&[Buffer::writable(DATA, 16)]).unwrap();
    queue.kick().unwrap();
    machine.run_events();
    assert_eq!(host.deliver(&table), [Event::Queue(queue.token())]);
    assert_eq!(queue.pop_used().unwrap().unwrap().len, 16);
}
