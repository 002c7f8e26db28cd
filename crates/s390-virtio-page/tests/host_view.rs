// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The host's view of a device in guest memory, and the rules for a device's turns of life.

use std::sync::atomic::{AtomicUsize, Ordering};

use s390_virtio_page::{
    scan, status, DeviceLayout, DeviceSpec, DeviceView, PageBuilder, ViewError, PAGE_SIZE,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const RAM: u64 = 1 << 20;
const FEATURES: u32 = 1 << 28 | 1 << 9 | 1 << 5;
const CONFIG: [u8; 8] = *b"\0\0\0\0\0\0\x20\0";

struct Machine {
    builder: PageBuilder,
    devices: Vec<DeviceLayout>,
    mem: GuestMemoryMmap,
}

/// Memory full of ones, and two devices built into it.
fn machine() -> Machine {
    let mut builder = PageBuilder::new(RAM).unwrap();
    let devices: Vec<_> = [&[64u16, 256][..], &[8]]
        .iter()
        .zip([3, 2])
        .map(|(queues, device_type)| {
            builder
                .add(&DeviceSpec {
                    device_type,
                    queues,
                    features: FEATURES,
                    config_len: CONFIG.len(),
                })
                .unwrap()
        })
        .collect();
    let size = builder.fix_size(0);
    let mem = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size as usize)]).unwrap();
    mem.write_slice(&vec![0xff; size as usize], GuestAddress(0))
        .unwrap();
    builder.zero(&mem).unwrap();
    for device in &devices {
        DeviceView::new(device, &mem).rebuild(&CONFIG).unwrap();
    }
    Machine {
        builder,
        devices,
        mem,
    }
}

impl Machine {
    fn view(&self, index: usize) -> DeviceView<'_, GuestMemoryMmap> {
        DeviceView::new(&self.devices[index], &self.mem)
    }

    fn bytes(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.mem
            .read_slice(&mut bytes, GuestAddress(address))
            .unwrap();
        bytes
    }

    fn page(&self) -> [u8; PAGE_SIZE] {
        self.bytes(RAM, PAGE_SIZE).try_into().unwrap()
    }

    /// Lets the guest's half work on the page in memory.
    fn as_guest(&self, work: impl FnOnce(&mut [u8; PAGE_SIZE])) {
        let mut page = self.page();
        work(&mut page);
        self.mem.write_slice(&page, GuestAddress(RAM)).unwrap();
    }

    fn fill_rings(&self) {
        let start = RAM + PAGE_SIZE as u64;
        let len = self.builder.used_end() - start;
        self.mem
            .write_slice(&vec![0xee; len as usize], GuestAddress(start))
            .unwrap();
    }
}

/// The guest says DRIVER_OK at the moment at which the host says that it needs a reset.
#[test]
fn a_status_bit_of_the_host_erases_none_of_the_guests() {
    const ROUNDS: usize = 1000;
    let machine = machine();
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wait = |counter: &AtomicUsize, round| {
        while counter.load(Ordering::Acquire) < round {
            std::hint::spin_loop();
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let status = GuestAddress(RAM + 4);
            for round in 1..=ROUNDS {
                wait(&begun, round);
                machine.mem.store(7u8, status, Ordering::Relaxed).unwrap();
                done.store(round, Ordering::Release);
            }
        });
        let mut lost = 0;
        for round in 1..=ROUNDS {
            machine.view(0).set_status(3).unwrap();
            begun.store(round, Ordering::Release);
            machine.view(0).add_status(0x40).unwrap();
            wait(&done, round);
            lost += usize::from(machine.view(0).status().unwrap() & 4 == 0);
        }
        assert_eq!(lost, 0);
    });
    machine.view(0).set_status(3).unwrap();
    machine.view(0).add_status(0x40).unwrap();
    assert_eq!(machine.view(0).status().unwrap(), 0x43);
}

#[test]
fn host_and_guest_meet_in_the_page() {
    let m = machine();
    assert_eq!(m.view(0).status().unwrap(), 0);
    assert_eq!(m.view(0).accepted_features().unwrap(), 0);
    m.as_guest(|page| {
        let found: Vec<_> = scan(page).map(Result::unwrap).collect();
        let device = &found[0];
        assert_eq!(found.len(), 2);
        device.set_status(page, status::ACKNOWLEDGE | status::DRIVER);
        assert!(device.test_and_accept(page, 5));
        assert_eq!(device.finalize_features(page, !0), FEATURES);
        device.set_token(page, 1, 0x1234_5679);
        device.write_config(page, 6, &[0xab]).unwrap();
    });
    let view = m.view(0);
    assert_eq!(view.status().unwrap(), 3);
    assert_eq!(view.accepted_features().unwrap(), FEATURES);
    assert_eq!(view.token(0).unwrap(), None);
    assert_eq!(view.token(1).unwrap(), Some(0x1234_5678));
    let mut byte = [0];
    view.read_config(6, &mut byte).unwrap();
    assert_eq!(byte, [0xab]);
    assert_eq!(m.view(1).status().unwrap(), 0);
    assert_eq!(m.view(1).token(0).unwrap(), None);

    view.write_config(4, &[1, 2, 3]).unwrap();
    let device = scan(&m.page()).next().unwrap().unwrap();
    let mut config = [0; 8];
    device.read_config(&m.page(), 0, &mut config).unwrap();
    assert_eq!(config, [0, 0, 0, 0, 1, 2, 3, 0]);
}

#[test]
fn a_token_of_only_the_reserved_bit_is_no_token() {
    let m = machine();
    m.as_guest(|page| {
        let device = scan(page).next().unwrap().unwrap();
        device.set_token(page, 0, 1);
    });
    assert_eq!(m.view(0).token(0).unwrap(), None);
}

#[test]
fn features_that_were_not_offered_do_not_count() {
    let m = machine();
    let layout = m.devices[0].layout();
    m.as_guest(|page| page[layout.guest_features()..layout.config()].fill(0xff));
    assert_eq!(m.view(0).accepted_features().unwrap(), FEATURES);
}

#[test]
fn what_the_guest_writes_into_the_page_moves_nothing() {
    let m = machine();
    let outside = m.bytes(0, RAM as usize);
    m.as_guest(|page| page.fill(0xff));
    let view = m.view(0);
    assert_eq!(view.token(0).unwrap(), Some(!1));
    assert!(matches!(view.token(2), Err(ViewError::NoSuchQueue(2))));
    assert!(matches!(view.token(65535), Err(ViewError::NoSuchQueue(_))));
    view.reset().unwrap();
    view.zero_rings().unwrap();
    assert_eq!(m.bytes(0, RAM as usize), outside);
    assert_eq!(view.status().unwrap(), 0);
}

#[test]
fn configuration_access_stays_inside() {
    let m = machine();
    let view = m.view(1);
    for (offset, len) in [(8, 1), (0, 9), (9, 0), (usize::MAX, 2)] {
        assert!(matches!(
            view.write_config(offset, &vec![0; len]),
            Err(ViewError::ConfigRange { .. })
        ));
        assert!(view.read_config(offset, &mut vec![0; len]).is_err());
    }
    view.write_config(8, &[]).unwrap();
}

#[test]
fn memory_without_the_page_is_an_error() {
    let m = machine();
    let small = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), RAM as usize)]).unwrap();
    let view = DeviceView::new(&m.devices[0], &small);
    assert!(matches!(view.status(), Err(ViewError::Memory(_))));
    assert!(view.zero_rings().is_err());
    assert!(m.builder.zero(&small).is_err());
}

#[test]
fn reset_zeroes_status_accepted_features_tokens_and_ring_indices_only() {
    let m = machine();
    m.fill_rings();
    m.as_guest(|page| {
        let device = scan(page).next().unwrap().unwrap();
        device.set_status(page, 7);
        device.finalize_features(page, !0);
        device.set_token(page, 0, 0x2000);
        device.set_token(page, 1, 0x2002);
    });
    let before = m.page();
    m.view(0).reset().unwrap();

    for (index, queue) in (0..).zip(m.devices[0].queues()) {
        assert_eq!(m.view(0).token(index.into()).unwrap(), None);
        let device = scan(&m.page()).next().unwrap().unwrap();
        let config = device.queue(&m.page(), index).unwrap();
        assert_eq!(
            (config.address, config.num),
            (queue.address, queue.ring.num())
        );
    }
    let next = m.devices[1].offset();
    assert_eq!(m.page()[next..], before[next..]);
    assert_eq!(m.view(0).status().unwrap(), 0);
    assert_eq!(m.view(0).accepted_features().unwrap(), 0);
    let device = scan(&m.page()).next().unwrap().unwrap();
    assert_eq!(device.host_features(&m.page()), FEATURES);
    for queue in m.devices[0].queues() {
        let (ring, num) = (queue.ring, usize::from(queue.ring.num()));
        let bytes = m.bytes(queue.address, ring.area());
        let mut expected = vec![0xee; ring.area()];
        for (start, len) in [
            (16 * num, 4),                  // avail.flags, avail.idx
            (16 * num + 4 + 2 * num, 2),    // used_event
            (ring.used(), 4),               // used.flags, used.idx
            (ring.used() + 4 + 8 * num, 2), // avail_event
        ] {
            expected[start..start + len].fill(0);
        }
        assert!(bytes == expected, "ring of {num}");
    }
    // The other device goes on.
    let other = &m.devices[1].queues()[0];
    assert!(m
        .bytes(other.address, other.ring.area())
        .iter()
        .all(|&b| b == 0xee));
}

#[test]
fn zero_rings_clears_every_byte_of_this_device_only() {
    let m = machine();
    m.fill_rings();
    m.view(0).zero_rings().unwrap();
    for queue in m.devices[0].queues() {
        let bytes = m.bytes(queue.address, queue.ring.area());
        assert!(bytes.iter().all(|&b| b == 0));
    }
    let other = &m.devices[1].queues()[0];
    assert!(m
        .bytes(other.address, other.ring.area())
        .iter()
        .all(|&b| b == 0xee));
}

#[test]
fn a_machine_reset_restores_the_page_as_built() {
    let m = machine();
    let built = m.bytes(RAM, (m.builder.used_end() - RAM) as usize);
    m.as_guest(|page| page.fill(0xff));
    m.fill_rings();
    m.builder.zero(&m.mem).unwrap();
    assert_eq!(scan(&m.page()).count(), 0);
    for device in &m.devices {
        DeviceView::new(device, &m.mem).rebuild(&CONFIG).unwrap();
    }
    assert!(m.bytes(RAM, built.len()) == built);
    // Addresses are those of the plan, and the memory behind was never touched.
    assert_eq!(m.bytes(RAM - 1, 1), [0xff]);
    assert_eq!(m.bytes(m.builder.used_end(), 1), [0xff]);
}

#[test]
fn a_device_added_later_appears_behind_the_others() {
    let mut m = machine();
    let device = m
        .builder
        .add(&DeviceSpec {
            device_type: 4,
            queues: &[8],
            features: 0,
            config_len: 0,
        })
        .unwrap();
    DeviceView::new(&device, &m.mem).rebuild(&[]).unwrap();
    let found: Vec<_> = scan(&m.page()).map(Result::unwrap).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[2].device_type(), 4);
    assert_eq!(RAM + found[2].offset() as u64, device.address());
}
