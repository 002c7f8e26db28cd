// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hypercalls with addresses where nothing is.

use crate::common::{disk, Machine, EINVAL, NOTIFY, PAGE, RESET, SET_STATUS};
use crate::drivers::{Bound, BLOCK};
use crate::kernel::Kernel;
use crate::linux::each;

/// They are refused, and those who are there do not notice.
#[test]
fn an_address_is_that_of_a_device_or_ring_or_none() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        machine.add(disk().0);
        let kernel = Kernel::boot(&machine, release);
        let disks: Vec<_> = kernel
            .devices(BLOCK)
            .into_iter()
            .map(|desc| Bound::probe(&kernel, desc))
            .collect();
        let descs = [disks[0].desc, disks[1].desc];
        let rings = [0, 1].map(|index| kernel.ring(descs[index], 0).0);
        let everywhere = [PAGE + 4095, PAGE + 0x10_0000, PAGE | 1 << 63, u64::MAX];
        let near = |address: u64| [address - 1, address + 1, address + 4096, !address];
        let near_descs = [near(descs[0]), near(descs[1])].concat();
        let near_rings = [near(rings[0]), near(rings[1])].concat();
        for subcode in [RESET, SET_STATUS] {
            for address in [&near_descs[..], &everywhere, &rings, &[0, 0x1000]].concat() {
                assert_eq!(machine.diag(subcode, address), EINVAL, "{address:#x}");
            }
        }
        for address in [&near_rings[..], &everywhere, &descs].concat() {
            assert_eq!(machine.diag(NOTIFY, address), EINVAL, "{address:#x}");
        }
        assert_eq!(kernel.run(), []);
        for disk in &disks {
            assert_eq!(kernel.status(disk.desc), 7);
            disk.check_read(3);
        }
    });
}
