// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the host builds is what the guest finds.

use proptest::collection::vec;
use proptest::prelude::*;
use s390_virtio_page::{
    scan, BuildError, DeviceSpec, PageBuilder, FEATURE_LEN, MAX_RING_NUM, PAGE_SIZE, RING_ALIGN,
};

const RAM: u64 = 64 << 20;
const MIB: u64 = 1 << 20;

#[derive(Clone, Debug)]
struct Device {
    device_type: u8,
    queues: Vec<u16>,
    features: u32,
    config: Vec<u8>,
}

impl Device {
    fn spec(&self) -> DeviceSpec<'_> {
        DeviceSpec {
            device_type: self.device_type,
            queues: &self.queues,
            features: self.features,
            config_len: self.config.len(),
        }
    }
}

prop_compose! {
    fn device()(
        device_type in 1u8..,
        queues in vec((0u32..=10).prop_map(|shift| 1 << shift), 0..5),
        features: u32,
        config in vec(any::<u8>(), 0..=255),
    ) -> Device {
        Device { device_type, queues, features, config }
    }
}

fn spec(device_type: u8, queues: &[u16], config_len: usize) -> DeviceSpec<'_> {
    DeviceSpec {
        device_type,
        queues,
        features: 0,
        config_len,
    }
}

proptest! {
    #[test]
    fn the_guest_finds_what_the_host_built(
        devices in vec(device(), 0..60), garbage: u8,
    ) {
        let mut builder = PageBuilder::new(RAM).unwrap();
        let mut page = [garbage; PAGE_SIZE];
        page[0] = 0;
        let mut placed = Vec::new();
        for device in &devices {
            match builder.add(&device.spec()) {
                Ok(layout) => {
                    layout.write(&mut page, &device.config);
                    placed.push((device, layout));
                }
                Err(e) => {
                    let full = matches!(e, BuildError::PageFull { .. });
                    prop_assert!(full, "{}", e);
                }
            }
        }

        let found: Vec<_> = scan(&page).map(Result::unwrap).collect();
        prop_assert_eq!(found.len(), placed.len());
        let mut next = RAM + PAGE_SIZE as u64;
        for (desc, (device, layout)) in found.iter().zip(&placed) {
            prop_assert_eq!(layout.address(), RAM + desc.offset() as u64);
            prop_assert_eq!(desc.layout(), layout.layout());
            prop_assert_eq!(desc.device_type(), device.device_type);
            prop_assert_eq!(desc.layout().feature_len, FEATURE_LEN);
            prop_assert_eq!(desc.status(&page), 0);
            prop_assert_eq!(desc.host_features(&page), device.features);
            prop_assert_eq!(desc.guest_features(&page), 0);
            let mut config = vec![0; device.config.len()];
            desc.read_config(&page, 0, &mut config).unwrap();
            prop_assert_eq!(&config, &device.config);
            prop_assert_eq!(layout.queues().len(), device.queues.len());
            for (i, &num) in device.queues.iter().enumerate() {
                let queue = desc.queue(&page, i as u8).unwrap();
                prop_assert_eq!(queue.token, 0);
                prop_assert_eq!(queue.num, num);
                prop_assert_eq!(queue.address, layout.queues()[i].address);
                // No gap, no overlap, no page in common with another ring.
                prop_assert_eq!(queue.address, next);
                prop_assert_eq!(queue.address % RING_ALIGN, 0);
                next += layout.queues()[i].ring.area() as u64;
            }
        }
        prop_assert_eq!(builder.used_end(), next);
        prop_assert!(builder.total_size() >= next);
        prop_assert!(builder.total_size() - next < MIB);
        prop_assert_eq!(builder.total_size() % MIB, 0);
    }
}

#[test]
fn ram_is_whole_mebibytes() {
    for size in [0, 1, MIB - 1, MIB + 4096, u64::MAX, !(MIB - 1)] {
        assert_eq!(
            PageBuilder::new(size).unwrap_err(),
            BuildError::RamSize(size)
        );
    }
    let builder = PageBuilder::new(MIB).unwrap();
    assert_eq!(builder.page_address(), MIB);
    assert_eq!(builder.total_size(), 2 * MIB);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut builder = PageBuilder::new(RAM).unwrap();
    for bad in [
        (spec(0, &[], 0), BuildError::DeviceType),
        (spec(1, &[0], 0), BuildError::QueueSize(0)),
        (spec(1, &[16, 24], 0), BuildError::QueueSize(24)),
        (spec(1, &[2 * MAX_RING_NUM], 0), BuildError::QueueSize(2048)),
        (spec(1, &[8; 256], 0), BuildError::TooManyQueues(256)),
        (spec(1, &[], 256), BuildError::ConfigTooLong(256)),
        (
            spec(1, &[8; 171], 0),
            BuildError::PageFull {
                needed: 5 + 24 * 171 + 8,
                left: 4096,
            },
        ),
    ] {
        assert_eq!(builder.add(&bad.0), Err(bad.1));
    }
    let device = builder.add(&spec(2, &[128], 60)).unwrap();
    assert_eq!(device.offset(), 0);
    assert_eq!(device.queues()[0].address, RAM + 4096);
}

#[test]
fn a_full_page_has_no_terminator() {
    let mut builder = PageBuilder::new(RAM).unwrap();
    let mut page = [0xff; PAGE_SIZE];
    // 15 * 256 + 256 = 4096: 5 + 24 * 9 + 8 + 27 is 256.
    for _ in 0..16 {
        let device = builder.add(&spec(1, &[8; 9], 27)).unwrap();
        device.write(&mut page, &[]);
    }
    assert_eq!(
        builder.add(&spec(1, &[], 0)),
        Err(BuildError::PageFull {
            needed: 13,
            left: 0
        })
    );
    assert_eq!(scan(&page).filter(|d| d.is_ok()).count(), 16);
}

#[test]
fn the_type_byte_is_written_last() {
    struct Log(Vec<usize>);
    impl s390_virtio_page::PageBytes for Log {
        fn read(&self, _: usize) -> u8 {
            unreachable!()
        }
        fn write(&mut self, offset: usize, value: u8) {
            if value != 0 {
                self.0.push(offset);
            }
        }
    }
    let mut builder = PageBuilder::new(RAM).unwrap();
    builder.add(&spec(2, &[8], 0)).unwrap();
    let mut log = Log(Vec::new());
    let device = builder.add(&spec(3, &[8, 8], 8)).unwrap();
    device.write(&mut log, &[7; 8]);
    assert_eq!(log.0.last(), Some(&device.offset()));
    assert_eq!(log.0.iter().filter(|&&at| at == device.offset()).count(), 1);
}

#[test]
fn a_longer_configuration_than_announced_stays_inside() {
    let mut builder = PageBuilder::new(RAM).unwrap();
    let device = builder.add(&spec(3, &[], 2)).unwrap();
    let mut page = [0; PAGE_SIZE];
    device.write(&mut page, &[1, 2, 3, 4]);
    assert_eq!(page[13..17], [1, 2, 0, 0]);
}

#[test]
fn memory_once_fixed_bounds_later_devices() {
    let mut builder = PageBuilder::new(RAM).unwrap();
    builder.add(&spec(2, &[128], 60)).unwrap();
    // Two pages for a ring of 128: 253 pages of the first MiB are left.
    assert_eq!(builder.fix_size(253 * 4096), RAM + MIB);
    assert_eq!(builder.fix_size(u32::MAX), RAM + MIB);
    for _ in 0..31 {
        builder.add(&spec(1, &[1024], 0)).unwrap();
    }
    assert_eq!(
        builder.add(&spec(1, &[512, 256], 0)),
        Err(BuildError::RingMemoryFull {
            needed: 8 * 4096,
            left: 5 * 4096
        })
    );
    builder.add(&spec(1, &[512], 0)).unwrap();
    assert_eq!(builder.used_end(), builder.total_size());
    builder.add(&spec(1, &[], 0)).unwrap();

    let mut builder = PageBuilder::new(RAM).unwrap();
    assert_eq!(builder.fix_size(255 * 4096), RAM + MIB);
    let mut builder = PageBuilder::new(RAM).unwrap();
    assert_eq!(builder.fix_size(255 * 4096 + 1), RAM + 2 * MIB);
}
