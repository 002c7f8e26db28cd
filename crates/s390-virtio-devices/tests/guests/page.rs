// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The scan of the page, empty and full.

use std::sync::{Arc, Mutex};

use s390_virtio_devices::bus::BusError;
use s390_virtio_devices::console::Console;
use s390_virtio_devices::rng::Rng;
use s390_vring::Buffer;

use crate::common::echo::Echo;
use crate::common::{Machine, PAGE};
use crate::drivers::{Bound, CONSOLE, RNG};
use crate::kernel::{Handled, Kernel};
use crate::linux::each;

/// Older kernels read it without a look whether it is there.
#[test]
fn a_machine_without_devices_has_an_empty_page() {
    each(|release| {
        let machine = Machine::new();
        let kernel = Kernel::boot(&machine, release);
        assert_eq!(kernel.scan(), 0);
        assert_eq!(machine.read(PAGE, 4096), [0; 4096]);
    });
}

#[test]
fn a_page_full_of_devices_has_an_end() {
    each(|release| {
        let machine = Machine::new();
        for _ in 0..110 {
            machine.add(Rng::host().unwrap());
        }
        let kernel = Kernel::boot(&machine, release);
        assert_eq!(kernel.devices(RNG).len(), 110);
        for desc in [0, 57, 109].map(|index| kernel.devices(RNG)[index]) {
            Bound::probe(&kernel, desc);
        }
    });
}

/// Old hosts left no room for the rings of so many, or had no more than 64 for a device.
#[test]
fn a_console_of_40_ports_has_82_queues() {
    #[derive(Clone, Default)]
    struct Printed(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Printed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    each(|release| {
        let machine = Machine::new();
        let printed = Printed::default();
        let mut console = Console::new(Box::new(printed.clone()), None).unwrap();
        for number in 1..40 {
            let name = format!("org.example.{number}");
            console = console.with_port(&name, Box::new(printed.clone())).unwrap();
        }
        machine.add(console);
        machine.add(Rng::host().unwrap());
        let kernel = Kernel::boot(&machine, release);
        let console = Bound::probe(&kernel, kernel.devices(CONSOLE)[0]);
        let queues = console.queues.len();
        let multiport = release.console_features & 2 != 0;
        assert_eq!(queues, if multiport { 82 } else { 2 });
        // What goes into the last one comes out at the other end, and the guest hears of it.
        let text = kernel.alloc(4);
        machine.write(text, b"last");
        console.add(queues - 1, &[Buffer::readable(text, 4)]);
        console.queues[queues - 1].borrow_mut().kick();
        let last = Handled::Queue(console.desc, queues as u16 - 1);
        assert_eq!(kernel.run(), [last]);
        assert_eq!(*printed.0.lock().unwrap(), b"last");
        // The next device is where it should be.
        Bound::probe(&kernel, kernel.devices(RNG)[0]);
        console.unbind();
    });
}

/// That one needs no end.
#[test]
fn a_page_full_to_the_last_byte() {
    each(|release| {
        let machine = Machine::new();
        // 13 of 292 bytes and one of 300.
        for _ in 0..13 {
            machine.add(Echo::new(&[8], 255));
        }
        let refused = |echo| {
            let result = machine.bus.add(Arc::new(Mutex::new(echo)));
            assert!(matches!(result, Err(BusError::Page(_))));
        };
        refused(Echo::new(&[8, 8], 240));
        let id = machine.add(Echo::new(&[8, 8], 239));
        let kernel = Kernel::boot(&machine, release);
        let desc = machine.driver(13).desc;
        assert_eq!(kernel.config(desc) + 239, PAGE + 4096);
        kernel.config_get(desc, 238, 1);
        let features = kernel.begin_probe(desc, 0);
        kernel.find_vq(desc, 1, features);
        kernel.driver_ok(desc);
        assert!(!machine.bus.needs_reset(id).unwrap());
        refused(Echo::new(&[], 0));
    });
}
