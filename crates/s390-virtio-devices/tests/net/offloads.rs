// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames whose checksum or segmentation is left to the other side.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex};

use s390_virtio_devices::net::{FrameBuffers, HeaderOrder, NetBackend, Offloads, VnetHeader};
use vmm_sys_util::eventfd::EventFd;

use crate::interface::{host, Host, Interface, Shape};
use crate::peers::Peer;
use crate::tap;

/// What a driver accepts of all offloads: CSUM, GUEST_CSUM, then GUEST_ and HOST_ for TSO4, TSO6,
/// ECN and UFO.
pub const ALL: u32 = 0x7f83;
const CSUM: u32 = 1;
const GUEST_CSUM: u32 = 1 << 1;
const GUEST_TSO4: u32 = 1 << 7;
const HOST_TSO4: u32 = 1 << 11;
const CTRL_VQ: u32 = 1 << 17;
const CTRL_GUEST_OFFLOADS: u32 = 1 << 2;

/// Ethernet, IPv4 and TCP headers.
const HEADERS: usize = 14 + 20 + 20;
/// A checksum that is missing (1) in a segment of TCP over IPv4 (1), 54 bytes of headers, segments
/// of 1460 bytes; the checksum starts at byte 34 and goes 16 bytes further.
const GSO: [u8; 10] = [1, 1, 0, 54, 0x05, 0xb4, 0, 34, 0, 16];
/// The same without segmentation.
const PARTIAL: [u8; 10] = [1, 0, 0, 0, 0, 0, 0, 34, 0, 16];

/// TCP over IPv4 of `len` bytes with headers, to somebody else than the host.
fn segment(len: usize) -> Vec<u8> {
    let mut frame = crate::lengths::frame(len);
    frame[12..14].copy_from_slice(&[8, 0]);
    let mut ip = [0; 40];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&((len - 14) as u16).to_be_bytes());
    (ip[8], ip[9]) = (64, 6);
    ip[12..20].copy_from_slice(&[10, 0, 2, 15, 10, 0, 2, 99]);
    let sum = checksum(0, &ip[..20]);
    ip[10..12].copy_from_slice(&(!sum).to_be_bytes());
    // Ports, then twenty bytes of header, an acknowledgement.
    ip[20..24].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    (ip[32], ip[33]) = (0x50, 0x10);
    frame[14..HEADERS].copy_from_slice(&ip);
    // Of a checksum that is left to others, the pseudo header's is there.
    let sum = pseudo_header(&frame);
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The ones' complement sum of 16-bit words.
fn checksum(start: u16, bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| match *word {
        [high, low] => u16::from_be_bytes([high, low]),
        [high] => u16::from_be_bytes([high, 0]),
        _ => 0,
    });
    let mut sum = words.fold(u64::from(start), |sum, word| sum + u64::from(word));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn pseudo_header(frame: &[u8]) -> u16 {
    let len = (frame.len() - 34) as u16;
    checksum(checksum(6 + len, &[]), &frame[26..34])
}

/// Checks a segment that the kernel has completed.
fn is_complete(frame: &[u8]) -> bool {
    checksum(pseudo_header(frame), &frame[34..]) == 0xffff
}

/// A guest's header as a packet socket has it, and the other way round.
fn in_our_order(header: &[u8]) -> Vec<u8> {
    let header = VnetHeader(header.try_into().unwrap());
    match HeaderOrder::Big.is_native() {
        true => header.0.into(),
        false => header.swapped().0.into(),
    }
}

/// A header without the length of the headers behind it, which the kernel knows better.
fn without_hint(header: impl Into<Vec<u8>>) -> Vec<u8> {
    let mut header = header.into();
    header[2..4].fill(0);
    header
}

/// What a driver has agreed on with a backend.
type Agreed = Arc<Mutex<Option<(Offloads, HeaderOrder)>>>;

/// A link that gives back what it takes, headers included.
pub struct Mirror {
    event: EventFd,
    frames: VecDeque<(VnetHeader, Vec<u8>)>,
    agreed: Agreed,
}

impl NetBackend for Mirror {
    fn event_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    fn offloads(&self) -> Offloads {
        Offloads::of_host(ALL.into())
    }

    fn set_offloads(&mut self, guest: Offloads, order: HeaderOrder) -> io::Result<()> {
        *self.agreed.lock().unwrap() = Some((guest, order));
        Ok(())
    }

    fn read_frame(
        &mut self,
        header: &mut VnetHeader,
        frame: &mut FrameBuffers<'_>,
    ) -> io::Result<usize> {
        let (first, bytes) = self.frames.pop_front().ok_or(ErrorKind::WouldBlock)?;
        *header = first;
        Ok(frame.copy_from_slice(&bytes))
    }

    fn write_frame(&mut self, header: &VnetHeader, frame: &mut FrameBuffers<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.copy_to(0, &mut bytes);
        self.frames.push_back((*header, bytes));
        self.event.write(1)
    }
}

pub fn mirror() -> (Mirror, Agreed) {
    let agreed = Agreed::default();
    let mirror = Mirror {
        event: EventFd::new(libc::EFD_NONBLOCK).unwrap(),
        frames: VecDeque::new(),
        agreed: Arc::clone(&agreed),
    };
    (mirror, agreed)
}

#[test]
fn headers_and_long_frames_pass_through_every_shape() {
    let (link, agreed) = mirror();
    let Host {
        machine, metrics, ..
    } = host(link);
    for shape in Shape::all(65_553) {
        let mut interface = Interface::probe(&machine, shape, ALL);
        let all = Offloads::of_host(ALL.into());
        assert_eq!(*agreed.lock().unwrap(), Some((all, HeaderOrder::Big)));
        interface.post_all();
        for len in [60, 1514, 1515, 9014, 16_384, 65_549, 65_550, 65_553] {
            let sent = crate::lengths::frame(len);
            interface.send(&GSO, &sent);
            machine.run_events();
            let received = interface.receive();
            assert!(received == Some((GSO.into(), sent)), "{len}: {shape:?}");
        }
    }
    let counters = [
        &metrics.rx_gso,
        &metrics.tx_gso,
        &metrics.rx_partial_csum,
        &metrics.tx_partial_csum,
    ];
    assert_eq!(counters.map(|counter| counter.get()), [64; 4]);
}

#[test]
fn the_kernel_completes_what_was_left_to_it() {
    let Some((link, mut peer)) = tap::with_headers(1500) else {
        return;
    };
    let Host {
        machine, metrics, ..
    } = host(link);
    // Before any driver has agreed to anything.
    peer.send(&[in_our_order(&GSO), segment(9014)].concat());
    let mut interface = Interface::probe(&machine, Shape::all(1514).next().unwrap(), 0);
    interface.post_all();
    for _ in 0..7 {
        assert!(is_complete(&interface.receive().unwrap().1));
        machine.run_events();
    }
    let offered = machine.driver(0).host_features() & ALL;
    assert_eq!(offered & !(1 << 10 | 1 << 14), ALL & !(1 << 10 | 1 << 14));
    for shape in Shape::all(65_553) {
        let mut interface = Interface::probe(&machine, shape, offered);
        interface.post_all();
        for len in [54, 60, 1514, 1515, 9014, 65_535, 65_549] {
            let header = if len > 1514 { GSO } else { PARTIAL };
            let sent = segment(len);
            interface.send(&header, &sent);
            // What a packet socket has in front is a header in this processor's byte order.
            let mut passed = peer.receive();
            let frame = passed.split_off(10);
            assert!(frame == sent, "{len} bytes sent: {shape:?}");
            let asked = without_hint(in_our_order(&passed));
            assert_eq!(asked, without_hint(header), "{len} bytes sent: {shape:?}");

            if len > 65_535 {
                // More than the kernel gives to anybody in one piece.
                continue;
            }
            peer.send(&[passed, frame].concat());
            machine.run_events();
            let (passed, frame) = interface.receive().unwrap();
            assert!(frame == sent, "{len} bytes received: {shape:?}");
            let asked = without_hint(passed);
            assert_eq!(
                asked,
                without_hint(header),
                "{len} bytes received: {shape:?}"
            );
        }
        assert_eq!(interface.receive(), None);
    }
    assert_eq!(metrics.rx_gso.get(), 8 * 3);
    assert_eq!(metrics.rx_partial_csum.get(), 8 * 6);

    // A guest that takes nothing gets whole frames of a length that the link allows.
    for (features, command) in [
        (0, None),
        (
            GUEST_CSUM | GUEST_TSO4 | CTRL_VQ | CTRL_GUEST_OFFLOADS,
            Some([0; 8]),
        ),
    ] {
        let shape = Shape::all(1514).next().unwrap();
        let mut interface = Interface::probe(&machine, shape, features);
        interface.post_all();
        if let Some(offloads) = command {
            assert_eq!(interface.command(&[&[5, 0][..], &offloads].concat()), 0);
        }
        let sent = segment(9014);
        peer.send(&[in_our_order(&GSO), sent.clone()].concat());
        let mut received = sent[..HEADERS].to_vec();
        for _ in 0..7 {
            machine.run_events();
            let (header, frame) = interface.receive().unwrap();
            assert_eq!(header, [0; 10]);
            assert!(frame.len() <= 1514 && is_complete(&frame));
            received.extend(&frame[HEADERS..]);
        }
        assert!(received == sent);
        assert_eq!(interface.receive(), None);
    }
}

#[test]
fn a_guest_asks_for_no_more_than_it_agreed_to() {
    let (link, _) = mirror();
    let Host {
        machine, metrics, ..
    } = host(link);
    let shape = Shape::all(1514).next().unwrap();
    let sent = segment(1514);
    let cases = [
        (0, 0, 0),
        (CSUM, 1, 0),
        (CSUM | HOST_TSO4, 1, 1),
        (HOST_TSO4, 0, 0),
    ];
    for (features, partial, gso) in cases {
        let mut interface = Interface::probe(&machine, shape, features);
        let before = [&metrics.tx_frames, &metrics.tx_dropped_offload].map(|c| c.get());
        interface.send(&PARTIAL, &sent);
        interface.send(&GSO, &sent);
        let after = [&metrics.tx_frames, &metrics.tx_dropped_offload].map(|c| c.get());
        let passed = partial + gso;
        assert_eq!(after[0] - before[0], passed, "{features:#x}");
        assert_eq!(after[1] - before[1], 2 - passed, "{features:#x}");
    }
}
