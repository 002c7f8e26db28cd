// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The configuration space, which both sides read and write without telling.

use std::sync::{Arc, Mutex};

use s390_virtio_devices::balloon::Balloon;
use s390_virtio_devices::bus::DeviceId;
use s390_virtio_devices::console::{Console, ConsoleSize};

use crate::common::echo::Echo;
use crate::common::{Legacy, Machine, PAGE};
use crate::drivers::{Bound, BALLOON, CONSOLE};
use crate::kernel::{Handled, Kernel};
use crate::linux::{each, Acceptance, Parameter};

struct Terminal {
    console: Arc<Mutex<Console<Legacy>>>,
    id: DeviceId,
}

impl Terminal {
    fn add(machine: &Machine) -> Self {
        let size = ConsoleSize {
            columns: 80,
            rows: 25,
        };
        let console = Console::new(Box::new(std::io::sink()), Some(size)).unwrap();
        let console = Arc::new(Mutex::new(console));
        let id = machine.bus.add(console.clone()).unwrap();
        Terminal { console, id }
    }

    fn resize(&self, machine: &Machine, columns: u16) {
        let size = ConsoleSize { columns, rows: 25 };
        self.console.lock().unwrap().resize(size);
        machine.bus.config_changed(self.id).unwrap();
    }
}

#[test]
fn a_change_is_told_to_a_ready_driver_only() {
    each(|release| {
        let machine = Machine::new();
        let terminal = Terminal::add(&machine);
        let kernel = Kernel::boot(&machine, release);
        let desc = kernel.devices(CONSOLE)[0];
        let silent = |columns| {
            terminal.resize(&machine, columns);
            assert_eq!(kernel.handle_interrupts(), []);
            assert_eq!(kernel.config_get(desc, 0, 2), columns.to_be_bytes());
        };
        silent(81);
        let console = Bound::prepare(&kernel, desc);
        silent(82);
        kernel.driver_ok(desc);
        terminal.resize(&machine, 83);
        let expected = match release.parameter {
            // Taken for an interruption of the queue, which is harmless.
            Parameter::Ignored => Handled::Nothing(desc, 0),
            _ => Handled::Config(desc),
        };
        assert_eq!(kernel.handle_interrupts(), [expected]);
        assert_eq!(kernel.config_get(desc, 0, 2), 83u16.to_be_bytes());
        console.unbind();
        silent(84);
        Bound::prepare(&kernel, desc);
        silent(85);
        kernel.fail_probe(desc);
        silent(86);
    });
}

/// The token is that of any queue; what has none is not told.
#[test]
fn a_change_is_told_under_the_first_token_that_there_is() {
    each(|release| {
        let machine = Machine::new();
        let terminal = Terminal::add(&machine);
        let kernel = Kernel::boot(&machine, release);
        Bound::probe(&kernel, kernel.devices(CONSOLE)[0]);
        let page = machine.driver(0);
        let [first, second] = [0, 1].map(|queue| page.token(queue));
        let mut columns = 90;
        let mut told = |tokens: [u64; 2], expected: &[u64]| {
            (0..2).for_each(|queue| page.set_token(queue, tokens[queue as usize]));
            columns += 1;
            terminal.resize(&machine, columns);
            let interrupt = |&token: &u64| (0x2603, 0x0d00, 1, token);
            let expected: Vec<_> = expected.iter().map(interrupt).collect();
            assert_eq!(machine.interrupts(), expected);
        };
        told([first, second], &[first]);
        told([0, second], &[second]);
        // The lowest bit is reserved, and no part of the address.
        told([1, second | 1], &[second]);
        told([0, 1], &[]);
    });
}

#[test]
fn a_change_without_a_queue_is_seen_and_not_told() {
    each(|release| {
        let machine = Machine::new();
        let id = machine.add(Echo::new(&[], 4));
        let kernel = Kernel::boot(&machine, release);
        let desc = machine.driver(0).desc;
        kernel.begin_probe(desc, 0);
        kernel.driver_ok(desc);
        machine.bus.config_changed(id).unwrap();
        assert_eq!(kernel.run(), []);
        kernel.config_get(desc, 0, 4);
        assert_eq!(kernel.status(desc), 7);
        kernel.unbind(desc);
    });
}

#[test]
fn a_change_on_its_way_is_taken_back_by_a_reset() {
    each(|release| {
        let machine = Machine::new();
        let terminal = Terminal::add(&machine);
        let kernel = Kernel::boot(&machine, release);
        let console = Bound::probe(&kernel, kernel.devices(CONSOLE)[0]);
        terminal.resize(&machine, 90);
        console.unbind();
        assert_eq!(kernel.run(), []);
    });
}

/// Testing feature 32 of a bitmap of 32 bits sets a bit of the configuration space where
/// feature 0 was accepted.
#[test]
fn the_stray_bit_of_2_6_26_changes_nothing() {
    each(|release| {
        if release.acceptance != Acceptance::ByTesting {
            return;
        }
        let machine = Machine::new();
        let terminal = Terminal::add(&machine);
        let kernel = Kernel::boot(&machine, release);
        let desc = kernel.devices(CONSOLE)[0];
        assert!(kernel.test_feature(desc, 0));
        assert!(kernel.test_feature(desc, 32));
        assert_eq!(kernel.config_get(desc, 0, 2), [1, 80]);
        let console = Bound::probe(&kernel, desc);
        terminal.resize(&machine, 91);
        assert_eq!(kernel.config_get(desc, 0, 2), [0, 91]);
        assert!(kernel.test_feature(desc, 32));
        console.unbind();
        assert_eq!(kernel.config_get(desc, 0, 2), [0, 91]);
    });
}

/// What one driver wrote is not for the next, however the first one ended.
#[test]
fn a_driver_begins_with_the_hosts_configuration() {
    each(|release| {
        let machine = Machine::new();
        let balloon = Arc::new(Mutex::new(Balloon::<Legacy>::new(PAGE).unwrap()));
        let id = machine.bus.add(balloon.clone()).unwrap();
        let kernel = Kernel::boot(&machine, release);
        let desc = kernel.devices(BALLOON)[0];
        let actual = || {
            machine.bus.look_at_config(id).unwrap();
            balloon.lock().unwrap().actual()
        };
        // Pages in the balloon, little-endian even here.
        let inflate = |pages: u32| {
            machine.write(kernel.config(desc) + 4, &pages.to_le_bytes());
            assert_eq!(actual(), u64::from(pages) * 4096);
        };
        Bound::prepare(&kernel, desc);
        inflate(5);
        kernel.fail_probe(desc);
        let bound = Bound::prepare(&kernel, desc);
        assert_eq!(actual(), 0);
        kernel.driver_ok(desc);
        inflate(6);
        bound.unbind();
        assert_eq!(actual(), 0);
        Bound::prepare(&kernel, desc);
        inflate(7);
        machine.machine_reset();
        assert_eq!(actual(), 0);
    });
}
