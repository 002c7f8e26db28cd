// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's half on page bytes that nobody vouches for.

use std::cell::Cell;

use proptest::prelude::*;
use s390_virtio_page::{
    scan, Descriptor, Overrun, PageBytes, DESC_SIZE, OFFSET_CONFIG_LEN, OFFSET_FEATURE_LEN,
    OFFSET_NUM_VQ, OFFSET_TYPE, PAGE_SIZE,
};

/// A page that fails the test on an access outside it, and notes which bytes were written.
struct Watched {
    bytes: Box<[u8; PAGE_SIZE]>,
    written: Box<[bool; PAGE_SIZE]>,
    reads: Cell<usize>,
}

impl Watched {
    fn new(bytes: &[u8]) -> Self {
        let mut page = Box::new([0; PAGE_SIZE]);
        page[..bytes.len()].copy_from_slice(bytes);
        Watched {
            bytes: page,
            written: Box::new([false; PAGE_SIZE]),
            reads: Cell::new(0),
        }
    }
}

impl PageBytes for Watched {
    fn read(&self, offset: usize) -> u8 {
        assert!(offset < PAGE_SIZE, "read at {offset:#x}");
        self.reads.set(self.reads.get() + 1);
        self.bytes[offset]
    }

    fn write(&mut self, offset: usize, value: u8) {
        assert!(offset < PAGE_SIZE, "write at {offset:#x}");
        self.written[offset] = true;
        self.bytes[offset] = value;
    }
}

/// A page of pseudo-random bytes (xorshift), cut down to the bits in `mask`.
fn noise(mut seed: u64, mask: u8) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 32) as u8 & mask
    };
    std::iter::repeat_with(next).take(PAGE_SIZE).collect()
}

fn only(page: &Watched) -> Descriptor {
    scan(page).next().unwrap().unwrap()
}

fn touch_everything(device: &Descriptor, page: &mut Watched) {
    let num_vq = device.layout().num_vq;
    for index in [0, num_vq.saturating_sub(1), num_vq, 255] {
        assert_eq!(device.queue(page, index).is_some(), index < num_vq);
        device.set_token(page, index, !0);
    }
    device.host_features(page);
    device.guest_features(page);
    let bits = 8 * u32::from(device.layout().feature_len);
    for bit in [
        0,
        bits.saturating_sub(1),
        bits,
        bits + 1,
        bits + 8,
        u32::MAX,
    ] {
        device.test_and_accept(page, bit);
    }
    device.finalize_features(page, !0);
    let len = usize::from(device.layout().config_len);
    let mut data = vec![0; len];
    device.read_config(page, 0, &mut data).unwrap();
    device.write_config(page, 0, &data).unwrap();
    for (offset, len) in [(len, 1), (len + 1, 0), (0, len + 1), (usize::MAX, 1)] {
        assert!(device.read_config(page, offset, &mut vec![0; len]).is_err());
        assert!(device.write_config(page, offset, &vec![0; len]).is_err());
    }
    device.set_status(page, 0xff);
    device.status(page);
}

proptest! {
    #[test]
    fn no_access_leaves_the_page(
        seed in 1u64.., mask: u8,
    ) {
        let mut page = Watched::new(&noise(seed, mask));
        let devices: Vec<_> = scan(&page).collect();
        // One read of each of four header bytes, and one of the next type, at the most.
        prop_assert!(page.reads.get() <= 5 * (PAGE_SIZE / DESC_SIZE + 1));
        for device in devices.into_iter().flatten() {
            touch_everything(&device, &mut page);
        }
    }

    #[test]
    fn a_page_that_changes_after_the_scan_moves_nothing(
        num_vq in 0u8..20, feature_len in 0u8..20, config_len: u8, lie: [u8; 5],
    ) {
        let mut page = Watched::new(&[9, num_vq, feature_len, config_len, 0]);
        let device = only(&page);
        page.bytes[..5].copy_from_slice(&lie);
        touch_everything(&device, &mut page);
        let end = device.layout().size();
        let host = device.layout().host_features()..device.layout().guest_features();
        for at in 0..PAGE_SIZE {
            let own = (4..end).contains(&at) && !host.contains(&at);
            prop_assert!(own || !page.written[at], "wrote {at:#x}");
        }
    }
}

#[test]
fn a_device_may_end_exactly_at_the_page_but_not_behind_it() {
    // 5 + 24 * 170 = 4085, so 11 bytes of configuration fill the page.
    let page = Watched::new(&[4, 170, 0, 11, 0]);
    assert_eq!(scan(&page).count(), 1);
    assert_eq!(only(&page).layout().size(), PAGE_SIZE);

    let page = Watched::new(&[4, 170, 0, 12, 0]);
    let found: Vec<_> = scan(&page).collect();
    assert_eq!(found, [Err(Overrun { offset: 0 })]);
}

#[test]
fn a_descriptor_cut_by_the_end_of_the_page_is_an_overrun() {
    for left in 1..DESC_SIZE {
        let offset = PAGE_SIZE - left;
        let mut page = Watched::new(&[]);
        page.bytes[offset + OFFSET_TYPE] = 2;
        assert_eq!(
            Descriptor::read(&page, offset),
            Err(Overrun { offset }),
            "{left} bytes left"
        );
    }
    assert_eq!(Descriptor::read(&Watched::new(&[]), PAGE_SIZE), Ok(None));
}

#[test]
fn the_scan_ends_at_type_zero() {
    let mut page = Watched::new(&[1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3]);
    let types: Vec<_> = scan(&page).map(|d| d.unwrap().device_type()).collect();
    assert_eq!(types, [1, 2]);
    page.bytes[10] = 5;
    assert_eq!(scan(&page).count(), 3);
}

#[test]
fn the_feature_behind_the_bitmap_is_no_feature() {
    // All bytes set: the first guests took bit 8 * feature_len from the next part.
    for feature_len in [0u8, 1, 4, 8] {
        let mut page = Watched::new(&[0xff; 64]);
        page.bytes[OFFSET_NUM_VQ] = 0;
        page.bytes[OFFSET_FEATURE_LEN] = feature_len;
        page.bytes[OFFSET_CONFIG_LEN] = 3;
        let device = only(&page);
        let bits = 8 * u32::from(feature_len);
        assert!(!device.test_and_accept(&mut page, bits));
        assert!(!page.written.contains(&true));
        for bit in 0..bits {
            assert!(device.test_and_accept(&mut page, bit));
        }
        let behind = page.written.iter().rposition(|&w| w).map_or(0, |at| at + 1);
        assert!(behind <= device.layout().config());
    }
}

#[test]
fn features_count_from_the_lowest_bit_of_the_first_byte() {
    let mut page = Watched::new(&[1, 0, 4, 0, 0, 0x20, 0x80, 0x01, 0x10]);
    let device = only(&page);
    assert_eq!(device.host_features(&page), 0x1001_8020);
    for bit in 0..64 {
        let offered = [5, 15, 16, 28].contains(&bit);
        assert_eq!(device.test_and_accept(&mut page, bit), offered, "{bit}");
    }
    assert_eq!(page.bytes[9..13], [0x20, 0x80, 0x01, 0x10]);
    assert_eq!(device.guest_features(&page), 0x1001_8020);
}

#[test]
fn finalize_replaces_what_was_accepted_and_clears_bytes_beyond_32_bits() {
    let mut page = Watched::new(&[1, 0, 6, 1, 0, 0xff, 0, 0, 0x10, 0xff, 0xff]);
    page.bytes[11..18].fill(0xaa);
    let device = only(&page);
    assert_eq!(device.host_features(&page), 0x1000_00ff);
    assert_eq!(
        device.finalize_features(&mut page, 0x3000_0f03),
        0x1000_0003
    );
    assert_eq!(page.bytes[11..18], [3, 0, 0, 0x10, 0, 0, 0xaa]);

    let mut page = Watched::new(&[1, 0, 1, 1, 0, 0xff, 0xaa, 0xbb]);
    let device = only(&page);
    assert_eq!(device.finalize_features(&mut page, !0), 0xff);
    assert_eq!(page.bytes[6..8], [0xff, 0xbb]);
}

#[test]
fn queue_entries_are_big_endian_at_an_odd_address() {
    let mut page = Watched::new(&[1, 2, 0, 0, 0]);
    for (i, byte) in page.bytes[29..53].iter_mut().enumerate() {
        *byte = i as u8 + 1;
    }
    let device = only(&page);
    let queue = device.queue(&page, 1).unwrap();
    assert_eq!(queue.token, 0x0102_0304_0506_0708);
    assert_eq!(queue.address, 0x090a_0b0c_0d0e_0f10);
    assert_eq!(queue.num, 0x1112);
    device.set_token(&mut page, 0, 0xf0f1_f2f3_f4f5_f6f7);
    assert_eq!(
        page.bytes[5..13],
        [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7]
    );
    assert_eq!(device.queue(&page, 1).unwrap(), queue);
}
