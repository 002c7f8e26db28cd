// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's drivers: what they read, which queues they look for, and when they first use
//! them.

use s390_vring::Buffer;

use crate::common::Machine;
use crate::kernel::{Kernel, Queue};
use crate::linux::Release;

pub const NET: u8 = 1;
pub const BLOCK: u8 = 2;
pub const CONSOLE: u8 = 3;
pub const RNG: u8 = 4;
pub const BALLOON: u8 = 5;

/// A device with its driver bound.
pub struct Bound<'k, 'm> {
    pub kernel: &'k Kernel<'m>,
    pub desc: u64,
    pub features: u32,
    pub queues: Vec<Queue<'m>>,
}

/// What the driver for a device type accepts.
fn driver_features(release: &Release, device_type: u8) -> u32 {
    match device_type {
        NET => release.net_features,
        BLOCK => release.block_features,
        CONSOLE => release.console_features,
        BALLOON => release.balloon_features,
        _ => 0,
    }
}

/// The configuration that a driver reads: the feature that makes it, if it is not read in any case,
/// offset, length.
fn config_fields(device_type: u8) -> &'static [(Option<u32>, u64, u64)] {
    match device_type {
        NET => &[
            (Some(5), 0, 6),
            (Some(16), 6, 2),
            (Some(22), 8, 2),
            (Some(3), 10, 2),
        ],
        BLOCK => &[
            (None, 0, 8),
            (Some(1), 8, 4),
            (Some(2), 12, 4),
            (Some(4), 16, 4),
            (Some(6), 20, 4),
            (Some(10), 24, 8),
            (Some(11), 32, 1),
            // Linux 5.0 has these; all fields of each.
            (Some(13), 36, 12),
            (Some(14), 48, 9),
        ],
        CONSOLE => &[(Some(0), 0, 2), (Some(0), 2, 2), (Some(1), 4, 4)],
        BALLOON => &[(None, 0, 4), (None, 4, 4)],
        _ => &[],
    }
}

/// Reads what `features` make the driver of that device read.
pub fn read_config(kernel: &Kernel<'_>, desc: u64, features: u32) {
    for &(feature, offset, len) in config_fields(kernel.byte(desc)) {
        if feature.is_none_or(|feature| features & 1 << feature != 0) {
            kernel.config_get(desc, offset, len);
        }
    }
}

/// The queues that a driver looks for.
pub fn queue_count(kernel: &Kernel<'_>, desc: u64, features: u32) -> u16 {
    let has = |bit: u32| features & 1 << bit != 0;
    match kernel.byte(desc) {
        NET => 2 + u16::from(has(17)),
        CONSOLE if has(1) => {
            let ports = kernel.config_get(desc, 4, 4);
            let ports = u32::from_be_bytes(ports.try_into().unwrap());
            2 * (u16::try_from(ports).unwrap() + 1)
        }
        CONSOLE => 2,
        BALLOON => 2 + u16::from(has(1)),
        _ => 1,
    }
}

impl<'k, 'm> Bound<'k, 'm> {
    /// The probe up to the queues.
    pub fn prepare(kernel: &'k Kernel<'m>, desc: u64) -> Self {
        let device_type = kernel.byte(desc);
        let wanted = driver_features(kernel.release, device_type);
        let features = kernel.begin_probe(desc, wanted);
        read_config(kernel, desc, features);
        let queues = (0..queue_count(kernel, desc, features))
            .map(|index| kernel.find_vq(desc, index, features))
            .collect();
        Bound {
            kernel,
            desc,
            features,
            queues,
        }
    }

    /// The whole probe; `first_use` is what it does with its queues, before or after DRIVER_OK
    /// as the release has it.
    pub fn probe_with(kernel: &'k Kernel<'m>, desc: u64, first_use: impl FnOnce(&Self)) -> Self {
        let bound = Self::prepare(kernel, desc);
        if kernel.release.kicks_early {
            first_use(&bound);
            kernel.driver_ok(desc);
        } else {
            kernel.driver_ok(desc);
            first_use(&bound);
        }
        bound
    }

    /// The whole probe, with what the driver of that device does first.
    pub fn probe(kernel: &'k Kernel<'m>, desc: u64) -> Self {
        Self::probe_with(kernel, desc, |bound| match kernel.byte(desc) {
            // A disk's partitions are looked for.
            BLOCK => bound.check_read(0),
            // Room for what comes in.
            NET | CONSOLE => {
                bound.add(0, &[Buffer::writable(kernel.alloc(1600), 1600)]);
                bound.queues[0].borrow_mut().kick();
                kernel.run();
            }
            RNG => bound.check_entropy(),
            _ => {}
        })
    }

    pub fn machine(&self) -> &'m Machine {
        self.kernel.machine
    }

    pub fn add(&self, queue: usize, buffers: &[Buffer]) -> u16 {
        let table = self.kernel.alloc(16 * buffers.len() as u64);
        self.queues[queue].borrow_mut().add(buffers, table)
    }

    /// Puts a request of a block device in the ring; returns where data and status will be.
    pub fn submit(&self, kind: u32, sector: u64, data: u64) -> u64 {
        let kernel = self.kernel;
        let (header, status) = (kernel.alloc(16), kernel.alloc(1));
        let machine = self.machine();
        machine.write(header, &kind.to_be_bytes());
        machine.write(header + 4, &[0; 4]);
        machine.write(header + 8, &sector.to_be_bytes());
        machine.write(status, &[0xee]);
        let buffer = Buffer {
            addr: data,
            len: 512,
            writable: kind == 0,
        };
        self.add(
            0,
            &[
                Buffer::readable(header, 16),
                buffer,
                Buffer::writable(status, 1),
            ],
        );
        status
    }

    /// Reads a sector of a disk and checks that it holds what [`disk`](crate::common::disk) put
    /// there, and that the guest was interrupted for it, once.
    pub fn check_read(&self, sector: u64) {
        use crate::kernel::Handled;
        let data = self.kernel.alloc(512);
        self.machine().write(data, &[0xee; 512]);
        let status = self.submit(0, sector, data);
        self.queues[0].borrow_mut().kick();
        assert_eq!(self.kernel.run(), [Handled::Queue(self.desc, 0)]);
        let (_, len) = self.queues[0].borrow_mut().get().expect("nothing used");
        assert_eq!(len, 513);
        assert_eq!(self.kernel.byte(status), 0);
        assert_eq!(self.machine().read(data, 512), [sector as u8 + 1; 512]);
        assert!(self.queues[0].borrow_mut().enable_callbacks());
    }

    /// Reads some bytes of a source of entropy.
    pub fn check_entropy(&self) {
        let data = self.kernel.alloc(64);
        self.machine().write(data, &[0; 64]);
        self.add(0, &[Buffer::writable(data, 64)]);
        self.queues[0].borrow_mut().kick();
        self.kernel.run();
        let (_, len) = self.queues[0].borrow_mut().get().expect("nothing used");
        assert_ne!(
            self.machine().read(data, len as usize),
            vec![0; len as usize]
        );
    }

    pub fn unbind(self) {
        self.kernel.unbind(self.desc);
    }
}
