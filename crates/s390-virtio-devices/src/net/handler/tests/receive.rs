// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames for the guest.

use s390_vring::{
    write_indirect_table, Descriptor, DescriptorChain, DeviceQueue, Queue,
    VIRTIO_RING_F_INDIRECT_DESC, VIRTQ_DESC_F_INDIRECT,
};
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::{GuestMemory, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::*;

#[test]
fn receives_behind_a_header_of_zeros() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    let buffers = [
        Buffer::writable(BUFFER, 10),
        Buffer::writable(BUFFER + 0x1000, 1514),
    ];
    memory
        .write_slice(&[0xee; 16], GuestAddress(BUFFER))
        .unwrap();
    bench.rx.add_chain(&buffers);
    bench.link.incoming.push_back(frame(1514, 3));
    assert_eq!(bench.process_rx(), Progress::Idle);
    let used = bench.rx.driver().pop_used().unwrap().unwrap();
    assert_eq!(used.len, 1524);
    assert_eq!(
        bytes(&memory, BUFFER, 11),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xee]
    );
    assert_eq!(bytes(&memory, BUFFER + 0x1000, 1514), frame(1514, 3));
    assert_eq!(bench.signals.take_used(), [RX_QUEUE]);
    let counters = &bench.handler.metrics.rx_queue;
    assert_eq!((counters.chains.get(), counters.bytes.get()), (1, 1524));
}

#[test]
fn the_number_of_buffers_has_the_drivers_byte_order() {
    fn header<E: ByteOrder>(features: u64) -> Vec<u8> {
        let memory = memory();
        let mut bench = Bench::<E>::new(&memory, features);
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
        bench.link.incoming.push_back(frame(60, 1));
        bench.process_rx();
        assert_eq!(bench.rx.driver().pop_used().unwrap().unwrap().len, 72);
        bytes(&memory, BUFFER + 10, 2)
    }
    assert_eq!(header::<BigEndian>(1 << VIRTIO_NET_F_MRG_RXBUF), [0, 1]);
    assert_eq!(header::<LittleEndian>(1 << VIRTIO_F_VERSION_1), [1, 0]);
}

#[test]
fn frames_wait_for_buffers() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.link.incoming.extend([frame(60, 1), frame(61, 2)]);
    assert_eq!(bench.process_rx(), Progress::Idle);
    assert_eq!(bench.link.incoming.len(), 2);
    // The driver is asked to tell of the buffer that is missing.
    assert_eq!(bench.rx.used_flags(), 0);
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
    assert_eq!(bench.process_rx(), Progress::Idle);
    assert_eq!(bench.link.incoming.len(), 1);
    assert_eq!(bench.rx.driver().pop_used().unwrap().unwrap().len, 70);
}

#[test]
fn buffers_wait_for_frames() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
    assert_eq!(bench.process_rx(), Progress::Idle);
    assert_eq!(bench.rx.used_idx(), 0);
    assert!(bench.signals.take_used().is_empty());
    bench.link.incoming.push_back(frame(60, 1));
    assert_eq!(bench.process_rx(), Progress::Idle);
    assert_eq!(bench.rx.used_idx(), 1);
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 70)]);
    bench
        .link
        .incoming
        .extend([frame(61, 1), frame(13, 1), frame(0, 1), frame(60, 5)]);
    assert_eq!(bench.process_rx(), Progress::Idle);
    assert_eq!(bytes(&memory, BUFFER + 10, 60), frame(60, 5));
    let metrics = bench.handler.metrics.clone();
    assert_eq!(
        (
            metrics.rx_dropped_long.get(),
            metrics.rx_dropped_short.get()
        ),
        (1, 2)
    );
    assert_eq!(metrics.rx_frames.get(), 1);
    // A flood of them leaves other devices their turn.
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 70)]);
    bench.link.incoming.extend(vec![frame(61, 1); 300]);
    assert_eq!(bench.process_rx(), Progress::More);
    assert_eq!(bench.process_rx(), Progress::Idle);
    assert_eq!(metrics.rx_dropped_long.get(), 301);
}

#[test]
fn a_long_frame_goes_into_several_buffers() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, MERGE);
    // The second time, as many buffers are held ready as the first one needed.
    for round in 0..2 {
        memory
            .write_slice(&[0xee; 0x1000], GuestAddress(BUFFER))
            .unwrap();
        for n in 0..4 {
            bench
                .rx
                .add_chain(&[Buffer::writable(BUFFER + 0x400 * n, 0x100)]);
        }
        let long = frame(3 * 0x100 - 20, 7);
        bench.link.incoming.push_back(long.clone());
        assert_eq!(bench.process_rx(), Progress::Idle);
        let used = [(); 4].map(|()| bench.received());
        assert_eq!(used, [Some(256), Some(256), Some(256 - 8), None]);
        assert_eq!(bytes(&memory, BUFFER, 12)[10..], [0, 3]);
        let received = [
            &bytes(&memory, BUFFER, 0x100)[12..],
            &bytes(&memory, BUFFER + 0x400, 0x100),
            &bytes(&memory, BUFFER + 0x800, 0x100 - 8),
        ]
        .concat();
        assert!(received == long, "round {round}");
        assert_eq!(bytes(&memory, BUFFER + 0x800 + 0xf8, 1), [0xee]);
        assert_eq!(bench.signals.take_used(), [RX_QUEUE]);
        // The fourth takes the next frame.
        bench.link.incoming.push_back(frame(60, 9));
        bench.process_rx();
        assert_eq!(bench.received(), Some(72));
        assert_eq!(bytes(&memory, BUFFER + 0xc0c, 60), frame(60, 9));
        bench.signals.take_used();
    }
}

#[test]
fn a_long_frame_waits_for_its_last_buffer() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, MERGE);
    let long = frame(500, 3);
    bench.link.incoming.push_back(long.clone());
    for n in 0..2 {
        bench
            .rx
            .add_chain(&[Buffer::writable(BUFFER + 0x100 * n, 0x100)]);
        assert_eq!(bench.process_rx(), Progress::Idle);
        assert!(bench.link.incoming.is_empty());
        assert_eq!(bench.received().is_some(), n == 1);
        // The driver is asked to tell of more buffers.
        assert!(n == 1 || bench.rx.used_flags() == 0);
    }
    assert_eq!(bench.received(), Some(256));
    assert_eq!(bytes(&memory, BUFFER + 12, 500), long);
    assert_eq!(bench.handler.metrics.rx_waits.get(), 1);
    assert_eq!(bench.handler.metrics.rx_frames.get(), 1);
}

/// Without an agreement its header would be dropped, and with that the only word that its checksum
/// is missing.
#[test]
fn a_frame_that_waits_while_offloads_are_taken_back_is_dropped() {
    use virtio_bindings::virtio_net::*;
    let memory = memory();
    let features = 1 << VIRTIO_NET_F_GUEST_CSUM
        | 1 << VIRTIO_NET_F_CTRL_VQ
        | 1 << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS;
    let mut bench = Bench::<BigEndian>::new(&memory, MERGE | features);
    bench.link.header = VnetHeader([1, 0, 0, 0, 0, 0, 0, 34, 0, 16]);
    bench.link.incoming.push_back(frame(500, 3));
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 0x100)]);
    bench.process_rx();
    assert_eq!(bench.handler.metrics.rx_waits.get(), 1);
    assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 0);
    for n in 1..3 {
        bench
            .rx
            .add_chain(&[Buffer::writable(BUFFER + 0x100 * n, 0x100)]);
    }
    bench.process_rx();
    assert_eq!(bench.received(), None);
    assert_eq!(bench.handler.metrics.rx_dropped_offload.get(), 1);
    bench.link.header = VnetHeader::default();
    bench.link.incoming.push_back(frame(60, 1));
    bench.process_rx();
    assert_eq!(bench.received(), Some(72));
    assert_eq!(bytes(&memory, BUFFER + 12, 60), frame(60, 1));
}

/// Each frame looks at all buffers that are held ready, of which a long one needs many if they are
/// small.
#[test]
fn no_more_buffers_are_held_ready_than_a_frame_can_use() {
    let memory = memory();
    let features = MERGE | 1 << VIRTIO_RING_F_INDIRECT_DESC;
    let mut bench = Bench::<BigEndian>::with_size(&memory, features, 128);
    // All chains are the same thousand buffers of one byte.
    let table = 0x3_0000;
    let bytes: Vec<_> = (0..1000).map(|n| Buffer::writable(BUFFER + n, 1)).collect();
    let mut entries = [[0; 16]; 1000];
    write_indirect_table::<BigEndian>(&mut entries, &bytes).unwrap();
    memory
        .write_slice(entries.as_flattened(), GuestAddress(table))
        .unwrap();
    let chain = Descriptor {
        addr: table,
        len: 16_000,
        flags: VIRTQ_DESC_F_INDIRECT,
        next: 0,
    };
    for head in 0..128 {
        bench.rx.set_descriptor(head, chain);
    }
    let post = |bench: &mut Bench<'_, BigEndian>, heads: std::ops::Range<u16>| {
        heads.for_each(|head| bench.rx.push_head(head));
    };
    post(&mut bench, 0..80);
    bench.link.incoming.push_back(frame(50_000, 1));
    bench.process_rx();
    assert_eq!(bench.rx.used_idx(), 51);
    assert!(bench.handler.rx.held_buffers() <= 2000);
    // Nor if that was in vain, since they are not enough.
    bench.link.incoming.extend([frame(50_000, 1), frame(60, 1)]);
    bench.process_rx();
    assert_eq!(bench.handler.metrics.rx_dropped_long.get(), 1);
    assert_eq!(bench.rx.used_idx(), 51 + 1);
    assert!(bench.handler.rx.held_buffers() <= 2000);
    // They come in their order nevertheless.
    post(&mut bench, 80..128);
    bench.link.incoming.push_back(frame(50_000, 1));
    bench.process_rx();
    assert_eq!(bench.rx.used_idx(), 52 + 51);
    for head in 0..52 + 51 {
        assert_eq!(bench.rx.used_element(head).0, u32::from(head));
    }
}

#[test]
fn a_frame_that_waits_at_a_reset_is_counted() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, MERGE);
    bench.link.incoming.push_back(frame(500, 3));
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 0x100)]);
    bench.process_rx();
    let metrics = bench.handler.metrics.clone();
    drop(bench);
    assert_eq!(metrics.rx_dropped_reset.get(), 1);
}

#[test]
fn a_frame_longer_than_all_buffers_is_dropped() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, MERGE);
    for n in 0..8 {
        bench.rx.add_chain(&[Buffer::writable(BUFFER + 12 * n, 12)]);
    }
    bench.link.incoming.extend([frame(97, 1), frame(84, 1)]);
    assert_eq!(bench.process_rx(), Progress::Idle);
    assert_eq!(bench.handler.metrics.rx_dropped_long.get(), 1);
    assert_eq!(bench.rx.used_idx(), 8);
    assert_eq!(bytes(&memory, BUFFER + 12, 84), frame(84, 1));
}

#[test]
fn every_length_through_every_cut() {
    let memory = memory();
    for (features, header) in [(0, 10usize), (MERGE, 12)] {
        for cut in [header, header + 1, header + 17, 64, 1600] {
            let mut bench = Bench::<BigEndian>::new(&memory, features);
            for len in (14..200).chain([1513, 1514]) {
                let total = header + len;
                let count = total.div_ceil(cut);
                if count > 8 {
                    continue;
                }
                let pieces: Vec<_> = (0..count)
                    .map(|n| Buffer::writable(BUFFER + (cut * n) as u64, cut as u32))
                    .collect();
                match features {
                    0 => _ = bench.rx.add_chain(&pieces),
                    _ => pieces
                        .iter()
                        .for_each(|piece| _ = bench.rx.add_chain(&[*piece])),
                }
                let sent = frame(len, 11);
                bench.link.incoming.push_back(sent.clone());
                bench.process_rx();
                let used: u32 = std::iter::from_fn(|| bench.received()).sum();
                assert_eq!(used as usize, total, "{len} in pieces of {cut}");
                assert_eq!(bytes(&memory, BUFFER + header as u64, len), sent);
            }
        }
    }
}

#[test]
fn a_verified_checksum_is_no_news_for_a_guest_that_did_not_ask() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.link.header = VnetHeader([2, 0, 0, 54, 0, 0, 0, 0, 0, 0]);
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
    bench.link.incoming.push_back(frame(60, 1));
    bench.process_rx();
    assert_eq!(bytes(&memory, BUFFER, 10), [0; 10]);
}

#[test]
fn a_frame_is_in_one_chain_unless_agreed_otherwise() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    for n in 0..2 {
        bench
            .rx
            .add_chain(&[Buffer::writable(BUFFER + 0x100 * n, 70)]);
    }
    bench.link.incoming.extend([frame(61, 1), frame(60, 1)]);
    bench.process_rx();
    assert_eq!((bench.received(), bench.received()), (Some(70), None));
    assert_eq!(bench.handler.metrics.rx_dropped_long.get(), 1);
}

#[test]
fn a_frame_longer_than_any_is_dropped_whatever_the_buffers_are() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 70_000)]);
    let lengths = [MAX_FRAME + 1, 100_000, MAX_FRAME];
    bench.link.incoming.extend(lengths.map(|len| frame(len, 1)));
    bench.process_rx();
    assert_eq!(bench.handler.metrics.rx_dropped_long.get(), 2);
    assert_eq!(bench.received(), Some(10 + MAX_FRAME as u32));
}

/// A queue whose driver adds a buffer in the moment between the device's last look and its wish to
/// be told.
struct Racing(Queue<BigEndian>, Option<Buffer>);

struct RacingTransport;

impl Transport for RacingTransport {
    type Order = BigEndian;
    type Queue = Racing;
    type Memory = Memory;
}

impl DeviceQueue for Racing {
    fn size(&self) -> u16 {
        self.0.size()
    }

    fn ready(&self) -> bool {
        self.0.ready()
    }

    fn pop_descriptor_chain<M: GuestMemory>(
        &mut self,
        mem: &M,
    ) -> Result<Option<DescriptorChain>, s390_vring::Error> {
        self.0.pop_descriptor_chain(mem)
    }

    fn go_to_previous_position(&mut self) {
        self.0.go_to_previous_position();
    }

    fn add_used<M: GuestMemory>(
        &mut self,
        mem: &M,
        head: u16,
        len: u32,
    ) -> Result<(), s390_vring::Error> {
        self.0.add_used(mem, head, len)
    }

    fn add_used_batch<M: GuestMemory>(
        &mut self,
        mem: &M,
        chains: &[(u16, u32)],
    ) -> Result<(), s390_vring::Error> {
        self.0.add_used_batch(mem, chains)
    }

    fn needs_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, s390_vring::Error> {
        self.0.needs_notification(mem)
    }

    fn enable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, s390_vring::Error> {
        if let Some(buffer) = self.1.take() {
            // Descriptor 1 and the available index, by hand: the driver's half is borrowed.
            let descriptor = [
                &buffer.addr.to_be_bytes()[..],
                &buffer.len.to_be_bytes(),
                &[0, 2, 0, 0],
            ];
            let ring = RINGS[0];
            let avail = ring + 8 * 16;
            mem.write_slice(&descriptor.concat(), GuestAddress(ring + 16))
                .unwrap();
            mem.write_slice(&[0, 0, 0, 1, 0, 1], GuestAddress(avail))
                .unwrap();
        }
        self.0.enable_notification(mem)
    }

    fn disable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<(), s390_vring::Error> {
        self.0.disable_notification(mem)
    }
}

#[test]
fn a_buffer_that_comes_at_the_last_moment_is_seen() {
    let memory = memory();
    let drivers = RINGS.map(|ring| queue::<BigEndian>(&memory, ring, 8));
    let buffer = Buffer::writable(BUFFER, 100);
    let queues = drivers.each_ref().map(MockDriver::device_queue);
    let mut link = Link::default();
    let activation = Activation {
        memory: memory.clone(),
        queues: queues.map(|queue| Racing(queue, Some(buffer))).into(),
        driver_features: 0,
        driver: Arc::new(Recorder::default()),
    };
    let metrics = Arc::<NetMetrics>::default();
    let mut handler =
        NetHandler::<RacingTransport>::new(activation, &mut link, MAC, metrics.clone()).unwrap();
    link.incoming.push_back(frame(60, 1));
    let mut limiter = RateLimiter::new(RateLimits::default()).unwrap();
    handler.process_rx(&mut link, &mut limiter).unwrap();
    assert_eq!(metrics.rx_frames.get(), 1);
    assert_eq!(bytes(&memory, BUFFER + 10, 60), frame(60, 1));
}

/// The software CPU drops decoded instructions by the bitmap: what was written must be in it, even
/// if the guest does not get the frame.
#[test]
fn what_was_written_is_marked_dirty() {
    type Marked = GuestMemoryMmap<AtomicBitmap>;
    // Given, and too long for the buffer.
    for len in [0x1800, 0x2800] {
        let memory = Arc::new(Marked::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap());
        let mut drivers = RINGS.map(|ring| {
            MockDriver::<BigEndian, _>::new(&*memory, GuestAddress(ring), 8, Default::default())
        });
        drivers[0].add_chain(&[Buffer::writable(BUFFER, 0x2000)]);
        let mut link = Link::default();
        let activation = Activation {
            memory: memory.clone(),
            queues: drivers.each_ref().map(MockDriver::device_queue).into(),
            driver_features: 0,
            driver: Arc::new(Recorder::default()),
        };
        let mut handler = NetHandler::<crate::S390Legacy<Marked>>::new(
            activation,
            &mut link,
            MAC,
            Arc::default(),
        )
        .unwrap();
        link.incoming.push_back(frame(len, 1));
        let mut limiter = RateLimiter::new(RateLimits::default()).unwrap();
        handler.process_rx(&mut link, &mut limiter).unwrap();
        let dirty = |addr: u64| {
            let region = memory.find_region(GuestAddress(addr)).unwrap();
            region.bitmap().dirty_at(addr as usize)
        };
        let pages = [BUFFER, BUFFER + 0x1000, BUFFER + 0x2000, 0x3_0000].map(dirty);
        assert_eq!(pages, [true, true, false, false], "{len:#x} bytes");
    }
}
