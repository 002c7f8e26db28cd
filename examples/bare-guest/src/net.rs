// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The network driver (virtio 1.2, section 5.1, legacy framing), and a station that pings and
//! answers.

use bare_guest::options::Options;
use bare_guest::packet::{Ip, Mac, Received, Station, MAX_FRAME};

use crate::console::say;
use crate::cpu::Deadline;
use crate::dma::Dma;
use crate::virtio::{self, Device, Failure, Queue, F_EVENT_IDX, PATIENCE};

const F_MAC: u32 = 1 << 5;

const RECEIVE: u8 = 0;
const TRANSMIT: u8 = 1;

/// Bytes of the header before each frame, in a buffer of its own: no offload, nothing in it.
const HEADER: usize = 10;

const BUFFERS: usize = 16;
/// How often to ask for the peer's hardware address, once a second.
const ARP_TRIES: u16 = 10;
/// Seconds to wait for the answer to a ping.
const PING_PATIENCE: u16 = 5;
/// Identifier of our pings.
const PING_ID: u16 = 0x390;

struct Space {
    header: Dma<HEADER>,
    frame: Dma<MAX_FRAME>,
}

impl Space {
    const fn new() -> Self {
        Space {
            header: Dma::new(),
            frame: Dma::new(),
        }
    }
}

static RX: [Space; BUFFERS] = [const { Space::new() }; BUFFERS];
static TX: Space = Space::new();

struct Net {
    receive: Queue,
    transmit: Queue,
    /// Which buffer a chain of the receive queue has, by the chain's head.
    owner: [u8; 256],
    station: Station,
    arp_answered: u32,
    pings_answered: u32,
}

/// Drives a network device: resolves and pings the peer, then serves.
pub fn run(device: &mut Device, options: &Options) -> Result<(), Failure> {
    let features = device.begin(F_MAC | F_EVENT_IDX)?;
    let mac: Mac = match features & F_MAC {
        0 => [0x02, 0, 0, 0, 0x03, 0x90],
        _ => device.config(0)?,
    };
    let [a, b, c, d, e, f] = mac;
    say!("net: mac {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let receive = virtio::find_vq(device, RECEIVE)?;
    let transmit = virtio::find_vq(device, TRANSMIT)?;
    device.driver_ok()?;

    let mut net = Net {
        receive,
        transmit,
        owner: [0; 256],
        station: Station {
            mac,
            ip: options.ip.unwrap_or_default(),
        },
        arp_answered: 0,
        pings_answered: 0,
    };
    match options.ip {
        Some(ip) => {
            say!("net: ip {}", Dotted(ip));
            net.talk(options)?;
        }
        None => say!("net: no ip, left alone"),
    }
    Ok(virtio::finish(device, [net.receive, net.transmit])?)
}

impl Net {
    fn talk(&mut self, options: &Options) -> Result<(), Failure> {
        let count = BUFFERS.min(usize::from(self.receive.size() / 2));
        for index in 0..count {
            self.offer(index)?;
        }
        self.receive.kick()?;

        if let Some(peer) = options.peer {
            let mac = self.resolve(peer)?;
            let answered = self.ping((mac, peer), options.pings)?;
            say!("net: {} pings sent, {answered} answered", options.pings);
            if answered < options.pings {
                return Err(Failure::Wrong("pings were lost"));
            }
        }
        if options.serve > 0 || options.serve_pings > 0 {
            self.serve(options)?;
        }
        say!(
            "net: {} arp requests and {} pings answered",
            self.arp_answered,
            self.pings_answered
        );
        if self.pings_answered < u32::from(options.serve_pings) {
            return Err(Failure::Wrong("not pinged in time"));
        }
        Ok(())
    }

    /// Asks for the hardware address of `ip`.
    fn resolve(&mut self, ip: Ip) -> Result<Mac, Failure> {
        for _ in 0..ARP_TRIES {
            let mut frame = [0; MAX_FRAME];
            let len = self.station.arp_request(ip, &mut frame);
            self.send(&frame[..len])?;
            let answer = self.wait(Deadline::after(1), |received| match received {
                Received::ArpReply(from, mac) if from == ip => Some(mac),
                _ => None,
            })?;
            if let Some(mac) = answer {
                let [a, b, c, d, e, f] = mac;
                say!(
                    "net: peer {} is at {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}",
                    Dotted(ip)
                );
                return Ok(mac);
            }
        }
        Err(Failure::Wrong("the peer does not answer"))
    }

    /// Pings the peer one by one; the result is how many came back.
    fn ping(&mut self, peer: (Mac, Ip), count: u16) -> Result<u16, Failure> {
        let mut answered = 0;
        for number in 1..=count {
            let mut frame = [0; MAX_FRAME];
            let len = self
                .station
                .echo_request(peer, (PING_ID, number), &mut frame);
            self.send(&frame[..len])?;
            let wanted = Received::EchoReply {
                from: peer.1,
                id: PING_ID,
                sequence: number,
            };
            let answer = self.wait(Deadline::after(PING_PATIENCE), |received| {
                (received == wanted).then_some(())
            })?;
            answered += u16::from(answer.is_some());
        }
        Ok(answered)
    }

    /// Answers others until the time is over, or until it has been pinged often enough.
    fn serve(&mut self, options: &Options) -> Result<(), Failure> {
        let seconds = match options.serve {
            0 => PATIENCE,
            seconds => seconds,
        };
        let enough = match options.serve_pings {
            0 => u32::MAX,
            pings => pings.into(),
        };
        let deadline = Deadline::after(seconds);
        say!("net: serving");
        while self.pings_answered < enough {
            let pinged = self.wait(deadline, |received| {
                matches!(received, Received::EchoRequest(_)).then_some(())
            })?;
            if pinged.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Takes frames in, and answers them, until one is what is `wanted` or the deadline is over.
    fn wait<T>(
        &mut self,
        deadline: Deadline,
        mut wanted: impl FnMut(Received) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        loop {
            let received = match self.next_frame(deadline)? {
                Some(received) => received,
                None => return Ok(None),
            };
            if let Some(result) = wanted(received) {
                return Ok(Some(result));
            }
        }
    }

    /// Waits for a frame and answers it.
    fn next_frame(&mut self, deadline: Deadline) -> Result<Option<Received>, Failure> {
        let used = match virtio::next_used(&mut self.receive, deadline) {
            Ok(used) => used,
            Err(Failure::Timeout) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let index = usize::from(self.owner[usize::from(used.head)]);
        let len = (used.len as usize).saturating_sub(HEADER).min(MAX_FRAME);
        let mut frame = [0; MAX_FRAME];
        RX[index].frame.get(0, &mut frame[..len]);
        self.offer(index)?;
        self.receive.kick()?;

        let mut answer = [0; MAX_FRAME];
        let received = self.station.receive(&frame[..len], &mut answer);
        match received {
            Received::ArpRequest(len) => {
                self.send(&answer[..len])?;
                self.arp_answered += 1;
            }
            Received::EchoRequest(len) => {
                self.send(&answer[..len])?;
                self.pings_answered += 1;
            }
            _ => {}
        }
        Ok(Some(received))
    }

    /// Gives a buffer to the receive queue.
    fn offer(&mut self, index: usize) -> Result<(), Failure> {
        let space = &RX[index];
        let head = self.receive.add(&[
            space.header.writable(HEADER),
            space.frame.writable(MAX_FRAME),
        ])?;
        self.owner[usize::from(head)] = index as u8;
        Ok(())
    }

    /// Sends a frame, and waits until it is out.
    fn send(&mut self, frame: &[u8]) -> Result<(), Failure> {
        TX.header.put(0, &[0; HEADER]);
        TX.frame.put(0, frame);
        self.transmit
            .add(&[TX.header.readable(HEADER), TX.frame.readable(frame.len())])?;
        self.transmit.kick()?;
        virtio::next_used(&mut self.transmit, Deadline::after(PATIENCE))?;
        Ok(())
    }
}

struct Dotted(Ip);

impl core::fmt::Display for Dotted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}
