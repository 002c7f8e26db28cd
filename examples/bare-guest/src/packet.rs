// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! As much of Ethernet, ARP, IPv4 and ICMP as a ping needs (RFC 894, 826, 791, 792).

/// A hardware address.
pub type Mac = [u8; 6];
/// An IPv4 address.
pub type Ip = [u8; 4];

/// Longest frame, without check sequence.
pub const MAX_FRAME: usize = 1514;
const MIN_FRAME: usize = 60;

const BROADCAST: Mac = [0xff; 6];
const ETH_HEADER: usize = 14;
const ETH_IPV4: u16 = 0x0800;
const ETH_ARP: u16 = 0x0806;

const ARP_SIZE: usize = 28;
/// Hardware type Ethernet, protocol IPv4, addresses of 6 and 4 bytes.
const ARP_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;

const IP_HEADER: usize = 20;
const IP_ICMP: u8 = 1;
const ICMP_HEADER: usize = 8;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ECHO_DATA: usize = 56;

/// What a frame was, and what was made of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Somebody asked for our hardware address; the answer has this many bytes.
    ArpRequest(usize),
    /// Somebody told us a hardware address.
    ArpReply(Ip, Mac),
    /// Somebody pinged us; the answer has this many bytes.
    EchoRequest(usize),
    /// A ping of ours came back.
    EchoReply {
        /// From whom.
        from: Ip,
        /// Identifier of the ping.
        id: u16,
        /// Sequence number of the ping.
        sequence: u16,
    },
    /// None of our business, or damaged.
    Other,
}

/// An interface with its addresses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// Hardware address.
    pub mac: Mac,
    /// IPv4 address.
    pub ip: Ip,
}

impl Station {
    /// Looks at a frame; an answer, if it needs one, goes to `answer`.
    pub fn receive(&self, frame: &[u8], answer: &mut [u8; MAX_FRAME]) -> Received {
        if frame.len() < ETH_HEADER || frame.len() > MAX_FRAME {
            return Received::Other;
        }
        let (header, payload) = frame.split_at(ETH_HEADER);
        if header[..6] != self.mac && header[..6] != BROADCAST {
            return Received::Other;
        }
        match be16(header, 12) {
            ETH_ARP => self.receive_arp(payload, answer),
            ETH_IPV4 => self.receive_ip(header, payload, answer),
            _ => None,
        }
        .unwrap_or(Received::Other)
    }

    /// Makes the question who has `ip`; the result is its length.
    pub fn arp_request(&self, ip: Ip, frame: &mut [u8; MAX_FRAME]) -> usize {
        self.arp(ARP_REQUEST, BROADCAST, [0; 6], ip, frame)
    }

    /// Makes a ping; the result is its length.
    pub fn echo_request(
        &self,
        (mac, ip): (Mac, Ip),
        (id, sequence): (u16, u16),
        frame: &mut [u8; MAX_FRAME],
    ) -> usize {
        let mut message = [0; ICMP_HEADER + ECHO_DATA];
        message[0] = ECHO_REQUEST;
        put16(&mut message, 4, id);
        put16(&mut message, 6, sequence);
        for (byte, value) in message[ICMP_HEADER..].iter_mut().zip(0..) {
            *byte = value;
        }
        self.icmp((mac, ip), &mut message, frame)
    }

    fn receive_arp(&self, arp: &[u8], answer: &mut [u8; MAX_FRAME]) -> Option<Received> {
        if arp.len() < ARP_SIZE || arp[..6] != ARP_IPV4 || arp[24..28] != self.ip {
            return None;
        }
        let mac = arp[8..14].try_into().ok()?;
        let ip = arp[14..18].try_into().ok()?;
        match be16(arp, 6) {
            ARP_REQUEST => Some(Received::ArpRequest(
                self.arp(ARP_REPLY, mac, mac, ip, answer),
            )),
            ARP_REPLY => Some(Received::ArpReply(ip, mac)),
            _ => None,
        }
    }

    fn receive_ip(&self, eth: &[u8], ip: &[u8], answer: &mut [u8; MAX_FRAME]) -> Option<Received> {
        let version = *ip.first()?;
        let header = usize::from(version & 15) * 4;
        if version >> 4 != 4 || header < IP_HEADER || ip.len() < header {
            return None;
        }
        let total = usize::from(be16(ip, 2));
        let fragment = be16(ip, 6) & 0x3fff != 0;
        if checksum(&ip[..header]) != 0
            || total < header + ICMP_HEADER
            || total > ip.len()
            || fragment
            || ip[9] != IP_ICMP
            || ip[16..20] != self.ip
        {
            return None;
        }
        let from = ip[12..16].try_into().ok()?;
        let icmp = &ip[header..total];
        if checksum(icmp) != 0 || icmp[1] != 0 {
            return None;
        }
        match icmp[0] {
            ECHO_REQUEST => {
                let mut message = [0; MAX_FRAME - ETH_HEADER - IP_HEADER];
                let message = message.get_mut(..icmp.len())?;
                message.copy_from_slice(icmp);
                message[0] = ECHO_REPLY;
                let mac = eth[6..12].try_into().ok()?;
                let len = self.icmp((mac, from), message, answer);
                Some(Received::EchoRequest(len))
            }
            ECHO_REPLY => Some(Received::EchoReply {
                from,
                id: be16(icmp, 4),
                sequence: be16(icmp, 6),
            }),
            _ => None,
        }
    }

    fn arp(&self, what: u16, to: Mac, mac: Mac, ip: Ip, frame: &mut [u8; MAX_FRAME]) -> usize {
        self.ethernet(to, ETH_ARP, frame);
        let arp = &mut frame[ETH_HEADER..ETH_HEADER + ARP_SIZE];
        arp[..6].copy_from_slice(&ARP_IPV4);
        put16(arp, 6, what);
        arp[8..14].copy_from_slice(&self.mac);
        arp[14..18].copy_from_slice(&self.ip);
        arp[18..24].copy_from_slice(&mac);
        arp[24..28].copy_from_slice(&ip);
        padded(frame, ETH_HEADER + ARP_SIZE)
    }

    /// Wraps an ICMP message, whose checksum it fills in.
    fn icmp(&self, (mac, ip): (Mac, Ip), message: &mut [u8], frame: &mut [u8; MAX_FRAME]) -> usize {
        put16(message, 2, 0);
        let sum = checksum(message);
        put16(message, 2, sum);

        self.ethernet(mac, ETH_IPV4, frame);
        let (header, rest) = frame[ETH_HEADER..].split_at_mut(IP_HEADER);
        header.fill(0);
        header[0] = 0x45;
        put16(header, 2, (IP_HEADER + message.len()) as u16);
        header[8] = 64;
        header[9] = IP_ICMP;
        header[12..16].copy_from_slice(&self.ip);
        header[16..20].copy_from_slice(&ip);
        let sum = checksum(header);
        put16(header, 10, sum);
        rest[..message.len()].copy_from_slice(message);
        padded(frame, ETH_HEADER + IP_HEADER + message.len())
    }

    fn ethernet(&self, to: Mac, what: u16, frame: &mut [u8; MAX_FRAME]) {
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&self.mac);
        put16(frame, 12, what);
    }
}

/// Fills a frame up to the shortest length.
fn padded(frame: &mut [u8; MAX_FRAME], len: usize) -> usize {
    if len < MIN_FRAME {
        frame[len..MIN_FRAME].fill(0);
    }
    len.max(MIN_FRAME)
}

/// The Internet checksum (RFC 1071); 0 over data that contains the right one.
fn checksum(data: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in data.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Station = Station {
        mac: [0x52, 0x54, 0, 1, 2, 3],
        ip: [10, 0, 2, 15],
    };
    const PEER: Station = Station {
        mac: [0x52, 0x54, 0, 9, 9, 9],
        ip: [10, 0, 2, 2],
    };

    fn buffer() -> [u8; MAX_FRAME] {
        [0xee; MAX_FRAME]
    }

    /// A ping written down by hand.
    fn ping() -> std::vec::Vec<u8> {
        let mut frame = std::vec![0x52, 0x54, 0, 1, 2, 3, 0x52, 0x54, 0, 9, 9, 9, 8, 0];
        frame.extend([0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 1, 0x22, 0xcf]);
        frame.extend([10, 0, 2, 2, 10, 0, 2, 15]);
        // 8, 0, sum, id 7, sequence 1, "ab"
        frame.extend([8, 0, 0x96, 0x95, 0, 7, 0, 1, b'a', b'b']);
        frame
    }

    #[test]
    fn arp_goes_there_and_back() {
        let (mut question, mut answer) = (buffer(), buffer());
        let len = GUEST.arp_request(PEER.ip, &mut question);
        assert_eq!(len, 60);
        assert_eq!(question[..6], BROADCAST);
        assert_eq!(question[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(question[42..60], [0; 18]);
        let received = PEER.receive(&question[..len], &mut answer);
        assert_eq!(received, Received::ArpRequest(60));
        let received = GUEST.receive(&answer[..60], &mut question);
        assert_eq!(received, Received::ArpReply(PEER.ip, PEER.mac));
    }

    #[test]
    fn arp_for_others_is_not_answered() {
        let (mut question, mut answer) = (buffer(), buffer());
        let len = GUEST.arp_request([10, 0, 2, 3], &mut question);
        let received = PEER.receive(&question[..len], &mut answer);
        assert_eq!(received, Received::Other);
    }

    #[test]
    fn ping_goes_there_and_back() {
        let (mut frame, mut answer) = (buffer(), buffer());
        let len = GUEST.echo_request((PEER.mac, PEER.ip), (0x390, 2), &mut frame);
        assert_eq!(len, 98);
        let received = PEER.receive(&frame[..len], &mut answer);
        assert_eq!(received, Received::EchoRequest(98));
        assert_eq!(answer[42..98], frame[42..98], "the data comes back");
        let received = GUEST.receive(&answer[..98], &mut frame);
        let expected = Received::EchoReply {
            from: PEER.ip,
            id: 0x390,
            sequence: 2,
        };
        assert_eq!(received, expected);
    }

    #[test]
    fn a_ping_of_another_make_is_answered() {
        let mut frame = ping();
        let ip_sum = checksum(&frame[14..34]);
        assert_eq!(ip_sum, 0, "{ip_sum:#x}");
        let sum = checksum(&frame[34..]);
        assert_eq!(sum, 0, "{sum:#x}");
        frame.resize(60, 0);
        let mut answer = buffer();
        assert_eq!(
            GUEST.receive(&frame, &mut answer),
            Received::EchoRequest(60)
        );
        assert_eq!(answer[34], ECHO_REPLY);
        assert_eq!(answer[38..44], [0, 7, 0, 1, b'a', b'b']);
        assert_eq!(checksum(&answer[14..34]), 0);
        assert_eq!(checksum(&answer[34..44]), 0);
    }

    #[test]
    fn damaged_or_foreign_frames_are_left_alone() {
        let good = ping();
        let mut answer = buffer();
        assert_ne!(GUEST.receive(&good, &mut answer), Received::Other);
        // Any byte off but the sender's hardware address, which nothing protects.
        for at in (0..6).chain(12..good.len()) {
            let mut frame = good.clone();
            frame[at] ^= 0x10;
            assert_eq!(GUEST.receive(&frame, &mut answer), Received::Other, "{at}");
        }
        for len in 0..good.len() {
            let received = GUEST.receive(&good[..len], &mut answer);
            assert_eq!(received, Received::Other, "{len}");
        }
        let long = [0xff; MAX_FRAME + 1];
        assert_eq!(GUEST.receive(&long, &mut answer), Received::Other);
    }

    #[test]
    fn the_longest_ping_is_answered() {
        let mut frame = std::vec![0; MAX_FRAME];
        frame[..34].copy_from_slice(&ping()[..34]);
        put16(&mut frame, 16, 1500);
        put16(&mut frame, 24, 0);
        let sum = checksum(&frame[14..34]);
        put16(&mut frame, 24, sum);
        frame[34] = ECHO_REQUEST;
        let sum = checksum(&frame[34..]);
        put16(&mut frame, 36, sum);
        let received = GUEST.receive(&frame, &mut buffer());
        assert_eq!(received, Received::EchoRequest(MAX_FRAME));
    }
}
