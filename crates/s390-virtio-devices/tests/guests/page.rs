// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The scan of the page, empty and full.

use std::sync::{Arc, Mutex};

use s390_virtio_devices::bus::BusError;
use s390_virtio_devices::rng::Rng;

use crate::common::echo::Echo;
use crate::common::{Machine, PAGE};
use crate::drivers::{Bound, RNG};
use crate::kernel::Kernel;
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
