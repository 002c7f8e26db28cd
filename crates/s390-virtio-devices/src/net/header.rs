// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The header in front of each frame (`struct virtio_net_hdr`) and what it may ask for.

use s390_vring::ByteOrder;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_HDR_F_NEEDS_CSUM,
    VIRTIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4,
    VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP,
};

/// Byte order of the 16-bit fields of a header: that of the transport.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HeaderOrder {
    /// Most significant byte first: a legacy guest on s390.
    Big,
    /// Least significant byte first: every modern transport.
    Little,
}

impl HeaderOrder {
    /// That of `E`.
    pub fn of<E: ByteOrder>() -> Self {
        match E::u16(1).to_ne_bytes() {
            [0, 1] => HeaderOrder::Big,
            _ => HeaderOrder::Little,
        }
    }

    /// Whether it is that of this processor.
    pub fn is_native(self) -> bool {
        (self == HeaderOrder::Big) == cfg!(target_endian = "big")
    }
}

/// `struct virtio_net_hdr` as it is in guest memory, without the number of buffers (virtio 1.2,
/// 5.1.6): flags, segmentation type, then four 16-bit fields in the transport's byte order: length
/// of the headers, segment size, where the checksum starts, and where it goes from there.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader(pub [u8; VnetHeader::LEN]);

impl VnetHeader {
    /// Bytes of the header.
    pub const LEN: usize = 10;

    /// The flags, `VIRTIO_NET_HDR_F_*`.
    pub fn flags(&self) -> u8 {
        self.0[0]
    }

    /// The kind of segmentation, `VIRTIO_NET_HDR_GSO_*`.
    pub fn gso_type(&self) -> u8 {
        self.0[1]
    }

    /// Whether the frame is still to be divided into segments.
    pub fn is_gso(&self) -> bool {
        u32::from(self.gso_type()) & !VIRTIO_NET_HDR_GSO_ECN != VIRTIO_NET_HDR_GSO_NONE
    }

    /// Whether the frame still lacks a checksum.
    pub fn needs_csum(&self) -> bool {
        self.flags() & VIRTIO_NET_HDR_F_NEEDS_CSUM as u8 != 0
    }

    /// The same header in the other byte order.
    #[must_use]
    pub fn swapped(mut self) -> Self {
        self.0[2..].chunks_mut(2).for_each(<[u8]>::reverse);
        self
    }
}

/// What one side may leave to the other to do with a frame.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Checksums.
    pub csum: bool,
    /// Segmentation of TCP over IPv4.
    pub tso4: bool,
    /// Segmentation of TCP over IPv6.
    pub tso6: bool,
    /// Segmentation of TCP with explicit congestion notification.
    pub ecn: bool,
    /// Fragmentation of UDP.
    pub ufo: bool,
}

/// Feature bits in the order of the fields of [`Offloads`]: what the guest takes ...
const GUEST_FEATURES: [u32; 5] = [
    VIRTIO_NET_F_GUEST_CSUM,
    VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_GUEST_ECN,
    VIRTIO_NET_F_GUEST_UFO,
];
/// The same as one number.
pub(super) const GUEST_OFFLOADS: u64 = 1 << VIRTIO_NET_F_GUEST_CSUM
    | 1 << VIRTIO_NET_F_GUEST_TSO4
    | 1 << VIRTIO_NET_F_GUEST_TSO6
    | 1 << VIRTIO_NET_F_GUEST_ECN
    | 1 << VIRTIO_NET_F_GUEST_UFO;
/// ... and what the host takes.
const HOST_FEATURES: [u32; 5] = [
    VIRTIO_NET_F_CSUM,
    VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6,
    VIRTIO_NET_F_HOST_ECN,
    VIRTIO_NET_F_HOST_UFO,
];

impl Offloads {
    /// What the guest takes from the host, by the features that its driver accepted. All needs
    /// checksums (virtio 1.2, 5.1.3.1).
    pub fn of_guest(features: u64) -> Self {
        Self::from_bits(features, GUEST_FEATURES)
    }

    /// What the host takes from the guest.
    pub fn of_host(features: u64) -> Self {
        Self::from_bits(features, HOST_FEATURES)
    }

    /// The features with which a device offers to take this from the guest and to give it to the
    /// guest.
    pub fn features(self) -> u64 {
        let Offloads {
            csum,
            tso4,
            tso6,
            ecn,
            ufo,
        } = self;
        let wanted = [csum, tso4, tso6, ecn, ufo];
        (GUEST_FEATURES.iter().zip(&HOST_FEATURES).zip(wanted))
            .filter(|(_, wanted)| *wanted)
            .fold(0, |bits, ((guest, host), _)| bits | 1 << guest | 1 << host)
    }

    fn from_bits(features: u64, bits: [u32; 5]) -> Self {
        let [csum, tso4, tso6, ecn, ufo] = bits.map(|bit| features & 1 << bit != 0);
        Offloads {
            csum,
            tso4: csum && tso4,
            tso6: csum && tso6,
            ecn: csum && ecn && (tso4 || tso6),
            ufo: csum && ufo,
        }
    }

    /// Whether a frame with this header asks for no more than this.
    pub fn allow(&self, header: &VnetHeader) -> bool {
        let ecn = header.gso_type() & VIRTIO_NET_HDR_GSO_ECN as u8 != 0;
        let segmentation = match u32::from(header.gso_type()) & !VIRTIO_NET_HDR_GSO_ECN {
            VIRTIO_NET_HDR_GSO_NONE => true,
            VIRTIO_NET_HDR_GSO_TCPV4 => self.tso4,
            VIRTIO_NET_HDR_GSO_TCPV6 => self.tso6,
            VIRTIO_NET_HDR_GSO_UDP => self.ufo,
            _ => false,
        };
        segmentation && (self.csum || !header.needs_csum()) && (self.ecn || !ecn)
    }
}

#[cfg(test)]
mod tests {
    use s390_vring::{BigEndian, LittleEndian};

    use super::*;

    #[test]
    fn byte_order() {
        assert_eq!(HeaderOrder::of::<BigEndian>(), HeaderOrder::Big);
        assert_eq!(HeaderOrder::of::<LittleEndian>(), HeaderOrder::Little);
        assert!(HeaderOrder::Big.is_native() != HeaderOrder::Little.is_native());
        let header = VnetHeader([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(header.swapped().0, [1, 2, 4, 3, 6, 5, 8, 7, 10, 9]);
    }

    #[test]
    fn features_and_back() {
        let all = Offloads {
            csum: true,
            tso4: true,
            tso6: true,
            ecn: true,
            ufo: true,
        };
        // virtio 1.2, 5.1.3: bits 0, 1, and 7 to 14.
        assert_eq!(all.features(), 0x7f83);
        assert_eq!(Offloads::of_guest(all.features()), all);
        assert_eq!(Offloads::of_host(all.features()), all);
        let csum = Offloads {
            csum: true,
            ..Offloads::default()
        };
        assert_eq!(csum.features(), 3);
        assert_eq!(Offloads::of_guest(2), csum);
        assert_eq!(Offloads::of_host(2), Offloads::default());
        // Nothing without checksums.
        assert_eq!(Offloads::of_guest(0x7f80), Offloads::default());
        assert!(!Offloads::of_host(1 | 1 << 13).ecn);
    }

    #[test]
    fn no_header_asks_for_more_than_was_agreed() {
        let allow = |features, flags, gso_type| {
            let mut header = VnetHeader::default();
            header.0[..2].copy_from_slice(&[flags, gso_type]);
            Offloads::of_host(features).allow(&header)
        };
        assert!(allow(0, 0, 0) && allow(0, 2, 0));
        assert!(!allow(0, 1, 0) && allow(1, 1, 0));
        for (bit, gso_type) in [(11, 1), (12, 4), (14, 3)] {
            assert!(!allow(1, 1, gso_type));
            assert!(allow(1 | 1 << bit, 1, gso_type));
            assert!(!allow(1 | 1 << bit, 1, gso_type | 0x80));
        }
        assert!(allow(1 | 1 << 11 | 1 << 13, 1, 0x81));
        for unknown in [2, 5, 6, 0x7f, 0x82] {
            assert!(!allow(0x7f83, 1, unknown));
        }
    }
}
