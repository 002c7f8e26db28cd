// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Code of another crate on a big-endian ring: `virtio-vsock`'s packets, which are generic over
//! `virtio_queue`, in an echo service that does not know which ring it serves.

#![allow(missing_docs)]

use std::sync::Arc;

use s390_vring::mock::MockDriver;
use s390_vring::{BigEndian, Buffer, ByteOrder, LittleEndian, RingFeatures, ShadowQueue};
use virtio_queue::{Queue, QueueT};
use virtio_vsock::packet::{VsockPacket, PKT_HEADER_SIZE};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap, GuestRegionMmap};

type Memory = GuestMemoryMmap<()>;

const RX: GuestAddress = GuestAddress(0x1_0000);
const TX: GuestAddress = GuestAddress(0x2_0000);
const SIZE: u16 = 16;
const HOST: u64 = 2;
const GUEST: u64 = 3;
const MAX_DATA: u32 = 4096;

/// Sends every packet back where it came from; returns how many.
fn echo<Q: QueueT>(rx: &mut Q, tx: &mut Q, mem: &Memory) -> usize {
    let mut count = 0;
    while let Some(mut sent) = tx.pop_descriptor_chain(mem) {
        let packet = VsockPacket::from_tx_virtq_chain(mem, &mut sent, MAX_DATA).unwrap();
        let mut room = rx.pop_descriptor_chain(mem).unwrap();
        let mut answer = VsockPacket::from_rx_virtq_chain(mem, &mut room, MAX_DATA).unwrap();
        answer
            .set_src_cid(packet.dst_cid())
            .set_dst_cid(packet.src_cid())
            .set_src_port(packet.dst_port())
            .set_dst_port(packet.src_port())
            .set_type(packet.type_())
            .set_op(packet.op())
            .set_len(packet.len());
        let mut bytes = [0; PKT_HEADER_SIZE];
        packet_header(&answer, &mut bytes);
        answer.set_header_from_raw(&bytes).unwrap();
        if let (Some(data), Some(room)) = (packet.data_slice(), answer.data_slice()) {
            data.copy_to_volatile_slice(room.subslice(0, data.len()).unwrap());
        }
        let written = PKT_HEADER_SIZE as u32 + packet.len();
        rx.add_used(mem, room.head_index(), written).unwrap();
        tx.add_used(mem, sent.head_index(), 0).unwrap();
        count += 1;
    }
    assert!(count == 0 || rx.needs_notification(mem).unwrap());
    count
}

/// The header as it is on the wire: little-endian in every transport.
fn packet_header<B: vm_memory::bitmap::BitmapSlice>(packet: &VsockPacket<'_, B>, to: &mut [u8]) {
    to[..8].copy_from_slice(&packet.src_cid().to_le_bytes());
    to[8..16].copy_from_slice(&packet.dst_cid().to_le_bytes());
    to[16..20].copy_from_slice(&packet.src_port().to_le_bytes());
    to[20..24].copy_from_slice(&packet.dst_port().to_le_bytes());
    to[24..28].copy_from_slice(&packet.len().to_le_bytes());
    to[28..30].copy_from_slice(&packet.type_().to_le_bytes());
    to[30..32].copy_from_slice(&packet.op().to_le_bytes());
}

fn guest() -> Memory {
    Memory::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap()
}

/// The guest's half: sends `data` and expects it back, `rounds` times over.
fn converse<E: ByteOrder>(
    mem: &Memory,
    rounds: u32,
    mut serve: impl FnMut() -> usize,
    [rx, tx]: &mut [MockDriver<'_, E, Memory>; 2],
) {
    for round in 0..rounds {
        let data: Vec<u8> = (0..round % 1000).map(|n| (n ^ round) as u8).collect();
        let mut header = [0; PKT_HEADER_SIZE];
        header[..8].copy_from_slice(&GUEST.to_le_bytes());
        header[8..16].copy_from_slice(&HOST.to_le_bytes());
        header[16..20].copy_from_slice(&round.to_le_bytes());
        header[20..24].copy_from_slice(&7u32.to_le_bytes());
        header[24..28].copy_from_slice(&(data.len() as u32).to_le_bytes());
        header[28..32].copy_from_slice(&[1, 0, 5, 0]);
        mem.write_slice(&header, GuestAddress(0x4000)).unwrap();
        mem.write_slice(&data, GuestAddress(0x5000)).unwrap();
        rx.add_chain(&[
            Buffer::writable(0x6000, PKT_HEADER_SIZE as u32),
            Buffer::writable(0x7000, 4096),
        ]);
        tx.add_chain(&[
            Buffer::readable(0x4000, PKT_HEADER_SIZE as u32),
            Buffer::readable(0x5000, data.len().max(1) as u32),
        ]);
        assert_eq!(serve(), 1);
        assert_eq!(tx.driver().pop_used().unwrap().unwrap().len, 0);
        let used = rx.driver().pop_used().unwrap().unwrap();
        assert_eq!(used.len as usize, PKT_HEADER_SIZE + data.len());
        let mut answer = vec![0; data.len()];
        mem.read_slice(&mut answer, GuestAddress(0x7000)).unwrap();
        assert_eq!(answer, data);
        mem.read_slice(&mut header, GuestAddress(0x6000)).unwrap();
        assert_eq!(header[..8], HOST.to_le_bytes());
        assert_eq!(header[8..16], GUEST.to_le_bytes());
        assert_eq!(header[20..24], round.to_le_bytes());
    }
}

#[test]
fn test_on_a_big_endian_ring() {
    let mem = guest();
    let mut drivers = [RX, TX]
        .map(|base| MockDriver::<BigEndian, _>::new(&mem, base, SIZE, RingFeatures::default()));
    let len = ShadowQueue::<BigEndian, Memory>::shadow_bytes(SIZE);
    let shadows = [GuestAddress(1 << 40), GuestAddress((1 << 40) + len as u64)];
    let view = shadows.into_iter().fold(mem.clone(), |view, base| {
        let region = GuestRegionMmap::from_range(base, len, None).unwrap();
        view.insert_region(Arc::new(region)).unwrap()
    });
    let shared = Arc::new(mem.clone());
    let [mut rx, mut tx] = [0, 1].map(|n| {
        let ring = drivers[n].device_queue();
        ShadowQueue::new(ring, shared.clone(), shadows[n]).unwrap()
    });
    converse(&mem, 2000, || echo(&mut rx, &mut tx, &view), &mut drivers);
}

#[test]
fn test_on_a_little_endian_ring() {
    let mem = guest();
    let mut drivers = [RX, TX]
        .map(|base| MockDriver::<LittleEndian, _>::new(&mem, base, SIZE, RingFeatures::default()));
    let [mut rx, mut tx] = [0, 1].map(|n| {
        let state = drivers[n].device_queue().state();
        let mut queue = Queue::new(SIZE).unwrap();
        queue.set_desc_table_address(Some(state.desc_table as u32), None);
        queue.set_avail_ring_address(Some(state.avail_ring as u32), None);
        queue.set_used_ring_address(Some(state.used_ring as u32), None);
        queue.set_ready(true);
        queue
    });
    converse(&mem, 100, || echo(&mut rx, &mut tx, &mem), &mut drivers);
}
