// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's peer on the network: a small IP stack at the other end of the link, which answers
//! ARP and pings, and pings the guest.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::icmp;
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, Icmpv4Packet, Icmpv4Repr, IpAddress, IpCidr, IpProtocol,
    Ipv4Address, Ipv4Packet,
};

use crate::{Error, Result};

/// Address of the peer.
pub(super) const PEER_ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// Address of the guest.
pub(super) const GUEST_ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const HARDWARE_ADDRESS: EthernetAddress = EthernetAddress([0x02, 0x53, 0x39, 0x30, 0xff, 0xfe]);
const PREFIX: u8 = 24;
const MTU: usize = 1514;
/// Identifier of the peer's pings.
const IDENT: u16 = 0x3990;
/// How long to listen before looking at the clock.
const PATIENCE: Duration = Duration::from_millis(10);
/// A ping that was not answered in this time is sent again.
const RESEND: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(1);

/// What went over the link.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerReport {
    /// Pings of the guest that the peer answered.
    pub(super) answered: u32,
    /// Pings of the peer that the guest answered.
    pub(super) answers: u32,
}

/// The peer's thread.
pub(super) struct Peer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<PeerReport>>,
}

impl Peer {
    /// Starts the peer at the other end of `socket`. Once the guest has said something it is
    /// pinged `pings` times.
    pub(super) fn start(socket: UnixDatagram, pings: u16) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("peer".into())
            .spawn(move || Stack::new(socket, pings)?.run(&stopped))
            .map_err(Error::host("start a thread"))?;
        Ok(Peer { stop, thread })
    }

    /// Stops the peer.
    pub(super) fn stop(self) -> Result<PeerReport> {
        self.stop.store(true, Ordering::Release);
        self.thread
            .join()
            .map_err(|_| Error::Panic)?
            .map_err(Error::host("reach the guest's network"))
    }
}

/// The stack with its one socket.
struct Stack {
    link: Link,
    interface: Interface,
    sockets: SocketSet<'static>,
    ping: SocketHandle,
    pings: u16,
    answers: u16,
    /// When the last ping was sent, unless it was answered.
    sent: Option<Instant>,
    /// The highest sequence number that was sent.
    last: Option<u16>,
}

impl Stack {
    fn new(socket: UnixDatagram, pings: u16) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut link = Link {
            socket,
            received: VecDeque::new(),
            answered: 0,
        };
        let config = Config::new(HARDWARE_ADDRESS.into());
        let mut interface = Interface::new(config, &mut link, Instant::now());
        interface.update_ip_addrs(|addresses| {
            // The list has room for more than one.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(PEER_ADDRESS), PREFIX));
        });
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 512]);
        let mut sockets = SocketSet::new(Vec::new());
        let ping = sockets.add(icmp::Socket::new(buffer(), buffer()));
        // A new socket can be bound.
        let _ = sockets
            .get_mut::<icmp::Socket<'_>>(ping)
            .bind(icmp::Endpoint::Ident(IDENT));
        Ok(Stack {
            link,
            interface,
            sockets,
            ping,
            pings,
            answers: 0,
            sent: None,
            last: None,
        })
    }

    fn run(mut self, stop: &AtomicBool) -> io::Result<PeerReport> {
        let mut guest_is_there = false;
        loop {
            // The last answer may be on the link still when the guest has ended.
            let stopping = stop.load(Ordering::Acquire);
            let frame = self.link.wait()?;
            if stopping && !frame {
                break;
            }
            guest_is_there |= frame;
            let now = Instant::now();
            self.interface.poll(now, &mut self.link, &mut self.sockets);
            self.receive_answers();
            if guest_is_there {
                self.send_ping(now);
            }
            self.interface.poll(now, &mut self.link, &mut self.sockets);
        }
        Ok(PeerReport {
            answered: self.link.answered,
            answers: self.answers.into(),
        })
    }

    fn receive_answers(&mut self) {
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.ping);
        while let Ok((payload, from)) = socket.recv() {
            let Ok(packet) = Icmpv4Packet::new_checked(payload) else {
                continue;
            };
            let checksums = ChecksumCapabilities::default();
            let Ok(Icmpv4Repr::EchoReply { seq_no, data, .. }) =
                Icmpv4Repr::parse(&packet, &checksums)
            else {
                continue;
            };
            // Answers to a ping that was sent twice count twice, as they do for the guest.
            let known = self.last.is_some_and(|last| seq_no <= last);
            if known && from == IpAddress::Ipv4(GUEST_ADDRESS) && data == data_of(seq_no) {
                self.answers += 1;
                self.sent = None;
            }
        }
    }

    /// One ping at a time, the next one when it was answered.
    fn send_ping(&mut self, now: Instant) {
        let due = self.sent.is_none_or(|at| now - at >= RESEND);
        if self.answers >= self.pings || !due {
            return;
        }
        let data = data_of(self.answers);
        let echo = Icmpv4Repr::EchoRequest {
            ident: IDENT,
            seq_no: self.answers,
            data: &data,
        };
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.ping);
        if let Ok(payload) = socket.send(echo.buffer_len(), IpAddress::Ipv4(GUEST_ADDRESS)) {
            let mut packet = Icmpv4Packet::new_unchecked(payload);
            echo.emit(&mut packet, &ChecksumCapabilities::default());
            self.sent = Some(now);
            self.last = Some(self.answers);
        }
    }
}

/// What a ping carries: no two are alike, and lengths differ.
fn data_of(sequence: u16) -> Vec<u8> {
    (0..40 + sequence)
        .map(|i| (i * 7 + sequence) as u8)
        .collect()
}

/// The link as a device of the stack.
struct Link {
    socket: UnixDatagram,
    received: VecDeque<Vec<u8>>,
    answered: u32,
}

impl Link {
    /// Waits for a frame, not for long; returns whether one came.
    fn wait(&mut self) -> io::Result<bool> {
        let mut frame = vec![0; MTU];
        match self.socket.recv(&mut frame) {
            Ok(len) => {
                frame.truncate(len);
                self.received.push_back(frame);
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }
}

impl Device for Link {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Transmit<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Transmit(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(Transmit(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Transmit<'a>(&'a mut Link);

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        match self.0.socket.send(&frame) {
            Ok(_) => self.0.answered += u32::from(is_echo_reply(&frame)),
            Err(error) => log::debug!("the peer's frame is lost: {error}"),
        }
        result
    }
}

/// Whether this frame answers a ping.
fn is_echo_reply(frame: &[u8]) -> bool {
    let packet = EthernetFrame::new_checked(frame)
        .and_then(|frame| Ipv4Packet::new_checked(frame.payload()));
    let Ok(packet) = packet else {
        return false;
    };
    packet.next_header() == IpProtocol::Icmp
        && Icmpv4Packet::new_checked(packet.payload())
            .is_ok_and(|packet| packet.msg_type() == smoltcp::wire::Icmpv4Message::EchoReply)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

    /// An echo reply of the guest in a frame for the peer.
    fn reply(sequence: u16) -> Vec<u8> {
        let checksums = ChecksumCapabilities::default();
        let data = data_of(sequence);
        let echo = Icmpv4Repr::EchoReply {
            ident: IDENT,
            seq_no: sequence,
            data: &data,
        };
        let ip = smoltcp::wire::Ipv4Repr {
            src_addr: GUEST_ADDRESS,
            dst_addr: PEER_ADDRESS,
            next_header: IpProtocol::Icmp,
            payload_len: echo.buffer_len(),
            hop_limit: 64,
        };
        let ethernet = smoltcp::wire::EthernetRepr {
            src_addr: GUEST,
            dst_addr: HARDWARE_ADDRESS,
            ethertype: smoltcp::wire::EthernetProtocol::Ipv4,
        };
        let mut bytes = vec![0; 14 + 20 + echo.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        ethernet.emit(&mut frame);
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &checksums);
        echo.emit(
            &mut Icmpv4Packet::new_unchecked(packet.payload_mut()),
            &checksums,
        );
        bytes
    }

    #[test]
    fn what_is_on_the_link_when_the_guest_ends_is_counted() {
        let (guest, socket) = UnixDatagram::pair().unwrap();
        let mut stack = Stack::new(socket, 3).unwrap();
        stack.last = Some(1);
        // The second one was sent twice, and the last one never.
        for sequence in [0, 1, 1, 7] {
            guest.send(&reply(sequence)).unwrap();
        }
        let report = stack.run(&AtomicBool::new(true)).unwrap();
        let expected = PeerReport {
            answered: 0,
            answers: 3,
        };
        assert_eq!(report, expected);
    }
}
