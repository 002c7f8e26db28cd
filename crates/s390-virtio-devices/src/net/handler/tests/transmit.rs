// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames of the guest, and rules for both directions.

use super::*;

#[test]
fn sends_frames_from_any_cut_of_the_buffers() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    memory
        .write_slice(&frame(100, 7), GuestAddress(BUFFER + 10))
        .unwrap();
    bench.tx.add_chain(&[
        Buffer::readable(BUFFER, 10),
        Buffer::readable(BUFFER + 10, 100),
    ]);
    bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
    bench.tx.add_chain(&[
        Buffer::readable(BUFFER, 3),
        Buffer::readable(BUFFER + 3, 107),
    ]);
    assert_eq!(bench.process_tx(), Progress::Idle);
    assert_eq!(bench.link.outgoing, vec![frame(100, 7); 3]);
    assert_eq!(bench.tx.used_element(2).1, 0);
    assert_eq!(bench.signals.take_used(), [TX_QUEUE]);
}

#[test]
fn a_full_link_keeps_the_frame_in_the_queue() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
    bench.link.full = true;
    assert_eq!(bench.process_tx(), Progress::Idle);
    assert_eq!(bench.tx.used_idx(), 0);
    bench.link.full = false;
    assert_eq!(bench.process_tx(), Progress::Idle);
    assert_eq!((bench.tx.used_idx(), bench.link.outgoing.len()), (1, 1));
    assert_eq!(bench.handler.metrics.tx_waits.get(), 1);
}

#[test]
fn frames_that_cannot_be_sent_are_counted() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    for len in [13, 14, 65_553, 65_554] {
        bench.tx.add_chain(&[Buffer::readable(BUFFER, 10 + len)]);
    }
    bench.process_tx();
    let metrics = bench.handler.metrics.clone();
    let counters = [
        &metrics.tx_dropped_short,
        &metrics.tx_dropped_long,
        &metrics.tx_frames,
        &metrics.tx_bytes,
    ];
    assert_eq!(counters.map(|counter| counter.get()), [1, 1, 2, 65_567]);
    bench.link.down = true;
    bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
    bench.process_tx();
    assert_eq!((metrics.tx_frames.get(), metrics.tx_errors.get()), (2, 1));
    // Nothing was written into any of them.
    let used: Vec<_> = (0..5).map(|n| bench.tx.used_element(n).1).collect();
    assert_eq!(used, [0; 5]);
}

#[test]
fn a_frame_in_more_pieces_than_a_system_call_takes_is_dropped() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::with_size(&memory, 0, 1024);
    for pieces in [1021, 1022, 1023] {
        let mut chain = vec![Buffer::readable(BUFFER, 10)];
        chain.extend((0..pieces).map(|n| Buffer::readable(BUFFER + 2 * n, 1)));
        bench.tx.add_chain(&chain);
        bench.process_tx();
        bench.tx.driver().pop_used().unwrap().unwrap();
    }
    let metrics = bench.handler.metrics.clone();
    let lengths: Vec<_> = bench.link.outgoing.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1021, 1022]);
    assert_eq!(metrics.tx_dropped_long.get(), 1);
}

#[test]
fn chains_without_a_header_break_the_queue() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 9)]);
    assert!(bench.try_rx().is_err());
    bench.tx.add_chain(&[Buffer::readable(BUFFER, 9)]);
    assert!(bench.try_tx().is_err());
}

#[test]
fn headers_ask_for_what_was_agreed() {
    let memory = memory();
    // GUEST_CSUM and GUEST_TSO4, CSUM.
    let mut bench = Bench::<BigEndian>::new(&memory, 1 << 1 | 1 << 7 | 1);
    let agreed = Offloads {
        csum: true,
        tso4: true,
        ..Offloads::default()
    };
    assert_eq!(bench.link.agreed, Some((agreed, HeaderOrder::Big)));
    bench.link.header = VnetHeader([1, 1, 0, 54, 5, 0xb4, 0, 34, 0, 16]);
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
    bench.link.incoming.push_back(frame(60, 1));
    bench.process_rx();
    assert_eq!(bytes(&memory, BUFFER, 10), bench.link.header.0);
    // TCP over IPv6 was not agreed on.
    bench.link.header.0[1] = 4;
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
    bench.link.incoming.push_back(frame(60, 1));
    bench.process_rx();
    assert_eq!(bench.handler.metrics.rx_dropped_offload.get(), 1);

    for (header, sent) in [([1, 0], 1), ([1, 1], 1), ([0, 0], 2), ([0x80, 0x80], 2)] {
        memory
            .write_slice(&header, GuestAddress(BUFFER + 0x800))
            .unwrap();
        bench.tx.add_chain(&[Buffer::readable(BUFFER + 0x800, 110)]);
        bench.process_tx();
        assert_eq!(bench.link.outgoing.len(), sent, "{header:?}");
    }
    let metrics = &bench.handler.metrics;
    assert_eq!(metrics.tx_dropped_offload.get(), 2);
    assert_eq!(
        (metrics.tx_partial_csum.get(), metrics.tx_gso.get()),
        (1, 0)
    );
    assert_eq!(
        (metrics.rx_partial_csum.get(), metrics.rx_gso.get()),
        (1, 1)
    );
}

#[test]
fn nothing_passes_without_a_link() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.handler.set_link(false);
    // Frames go away, with a buffer and without.
    bench.link.incoming.push_back(frame(60, 1));
    bench.process_rx();
    bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
    bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
    bench.link.incoming.push_back(frame(60, 1));
    bench.process_rx();
    bench.process_tx();
    let metrics = bench.handler.metrics.clone();
    assert_eq!(metrics.rx_dropped_link.get(), 2);
    assert_eq!(metrics.tx_dropped_link.get(), 1);
    assert_eq!((bench.rx.used_idx(), bench.tx.used_idx()), (0, 1));
    bench.handler.set_link(true);
    bench.link.incoming.push_back(frame(61, 1));
    bench.process_rx();
    assert_eq!(bench.received(), Some(71));
}

#[test]
fn frames_wait_for_the_rate_limit() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.limiter.set_limits(RateLimits {
        ops: None,
        // No second frame while this test runs.
        bytes: Some(Rate {
            per_second: NonZeroU64::MIN,
            burst: 60,
        }),
    });
    for _ in 0..2 {
        bench.rx.add_chain(&[Buffer::writable(BUFFER, 100)]);
        bench.link.incoming.push_back(frame(60, 1));
    }
    assert_eq!(bench.process_rx(), Progress::Idle);
    assert_eq!((bench.rx.used_idx(), bench.link.incoming.len()), (1, 1));
    assert_eq!(bench.handler.metrics.rx_limited.get(), 1);
    bench.tx.add_chain(&[Buffer::readable(BUFFER, 110)]);
    assert_eq!(bench.process_tx(), Progress::Idle);
    assert_eq!(bench.handler.metrics.tx_limited.get(), 1);
    // Without a link nothing needs to wait.
    bench.handler.set_link(false);
    bench.process_rx();
    bench.handler.set_link(true);
    assert_eq!(bench.handler.metrics.rx_dropped_link.get(), 1);
    bench.link.incoming.push_back(frame(60, 1));
    bench.limiter.set_limits(RateLimits::default());
    bench.process_rx();
    bench.process_tx();
    assert_eq!((bench.rx.used_idx(), bench.tx.used_idx()), (2, 1));
}
