// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which frames a driver wants to receive (virtio 1.2, 5.1.6.5): modes, addresses, VLANs.

use super::mac::MacAddress;

/// Bytes of a frame that the filter looks at: addresses, type, and the tag of a VLAN.
pub(super) const FILTERED: usize = 18;
/// Most addresses of a table; a driver with more gets all frames of the kind.
pub(super) const MAX_ADDRESSES: usize = 64;
/// Number of VLANs that a tag can name.
pub(super) const VLANS: u16 = 4096;
/// Type of a frame with a VLAN tag (IEEE 802.1Q).
const ETHERTYPE_VLAN: [u8; 2] = [0x81, 0x00];
const BROADCAST: [u8; 6] = [0xff; 6];

/// A mode of reception, `VIRTIO_NET_CTRL_RX_*`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Promiscuous,
    AllMulticast,
    AllUnicast,
    NoMulticast,
    NoUnicast,
    NoBroadcast,
}

/// A list of addresses, which may be too long to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AddressTable {
    pub(super) addresses: Vec<[u8; 6]>,
    pub(super) overflow: bool,
}

impl AddressTable {
    fn has(&self, address: &[u8]) -> bool {
        self.overflow || self.addresses.iter().any(|known| known[..] == *address)
    }
}

/// The filter of one driver.
#[derive(Clone, Debug)]
pub(super) struct RxFilter {
    /// The interface's address, which the driver may change.
    pub(super) mac: MacAddress,
    /// Whether the driver would tell of another address: one that cannot gets every unicast
    /// frame.
    knows_mac: bool,
    promiscuous: bool,
    all_multicast: bool,
    all_unicast: bool,
    no_multicast: bool,
    no_unicast: bool,
    no_broadcast: bool,
    pub(super) unicast: AddressTable,
    pub(super) multicast: AddressTable,
    /// One bit for each VLAN; without them, all are received.
    vlans: Option<Box<[u64]>>,
}

impl RxFilter {
    /// The filter of a driver that has said nothing yet: every frame passes. `by_vlan`: whether
    /// the driver will name the VLANs that it wants, once it is not promiscuous.
    pub(super) fn new(mac: MacAddress, knows_mac: bool, by_vlan: bool) -> Self {
        RxFilter {
            mac,
            knows_mac,
            promiscuous: true,
            all_multicast: false,
            all_unicast: false,
            no_multicast: false,
            no_unicast: false,
            no_broadcast: false,
            unicast: AddressTable::default(),
            multicast: AddressTable::default(),
            vlans: by_vlan.then(|| vec![0; usize::from(VLANS) / 64].into()),
        }
    }

    pub(super) fn set_mode(&mut self, mode: Mode, on: bool) {
        *match mode {
            Mode::Promiscuous => &mut self.promiscuous,
            Mode::AllMulticast => &mut self.all_multicast,
            Mode::AllUnicast => &mut self.all_unicast,
            Mode::NoMulticast => &mut self.no_multicast,
            Mode::NoUnicast => &mut self.no_unicast,
            Mode::NoBroadcast => &mut self.no_broadcast,
        } = on;
    }

    /// Adds or removes a VLAN; false if there is no such VLAN or none is filtered.
    pub(super) fn set_vlan(&mut self, vlan: u16, wanted: bool) -> bool {
        let bits = self.vlans.as_mut();
        let Some(word) = bits.and_then(|bits| bits.get_mut(usize::from(vlan) / 64)) else {
            return false;
        };
        let bit = 1 << (vlan % 64);
        match wanted {
            true => *word |= bit,
            false => *word &= !bit,
        }
        true
    }

    /// Whether the driver wants a frame that starts like this: with [`FILTERED`] bytes, or with
    /// all that it has.
    pub(super) fn wants(&self, frame: &[u8]) -> bool {
        if self.promiscuous {
            return true;
        }
        let Some(to) = frame.get(..6) else {
            return false;
        };
        if !self.wants_vlan(frame) {
            return false;
        }
        if to == BROADCAST {
            return !self.no_broadcast;
        }
        if to[0] & 1 != 0 {
            return !self.no_multicast && (self.all_multicast || self.multicast.has(to));
        }
        !self.no_unicast
            && (self.all_unicast || !self.knows_mac || *to == self.mac.0 || self.unicast.has(to))
    }

    fn wants_vlan(&self, frame: &[u8]) -> bool {
        let (Some(vlans), Some(kind)) = (&self.vlans, frame.get(12..14)) else {
            return true;
        };
        let Some(tag) = frame.get(14..16).filter(|_| kind == ETHERTYPE_VLAN) else {
            return true;
        };
        // The upper bits are priority.
        let vlan = u16::from_be_bytes([tag[0], tag[1]]) % VLANS;
        vlans[usize::from(vlan) / 64] & 1 << (vlan % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];

    fn frame(to: [u8; 6], rest: &[u8]) -> Vec<u8> {
        [&to[..], &OTHER, rest].concat()
    }

    fn wants(filter: &RxFilter, to: [u8; 6]) -> bool {
        filter.wants(&frame(to, &[0x08, 0x00, 1, 2, 3, 4]))
    }

    fn filter() -> RxFilter {
        let mut filter = RxFilter::new(MacAddress(MAC), true, true);
        for to in [MAC, OTHER, GROUP, BROADCAST] {
            assert!(wants(&filter, to));
        }
        filter.set_mode(Mode::Promiscuous, false);
        filter
    }

    #[test]
    fn addresses() {
        let mut filter = filter();
        assert_eq!(
            [MAC, OTHER, GROUP, BROADCAST].map(|to| wants(&filter, to)),
            [true, false, false, true]
        );
        filter.unicast.addresses.push(OTHER);
        filter.multicast.addresses.push(GROUP);
        assert!(wants(&filter, OTHER) && wants(&filter, GROUP));
        assert!(!wants(&filter, [2, 0, 0, 0, 0, 3]));
        filter.unicast.overflow = true;
        assert!(wants(&filter, [2, 0, 0, 0, 0, 3]));
        assert!(!wants(&filter, [3, 0, 0, 0, 0, 3]));
        filter.mac = MacAddress([2, 0, 0, 0, 0, 9]);
        filter.unicast = AddressTable::default();
        assert!(!wants(&filter, MAC) && wants(&filter, [2, 0, 0, 0, 0, 9]));
    }

    #[test]
    fn modes() {
        let mut filter = filter();
        for (mode, to, wanted) in [
            (Mode::AllUnicast, OTHER, true),
            (Mode::AllMulticast, GROUP, true),
            (Mode::NoUnicast, MAC, false),
            (Mode::NoMulticast, GROUP, false),
            (Mode::NoBroadcast, BROADCAST, false),
        ] {
            assert_ne!(wants(&filter, to), wanted, "{mode:?}");
            filter.set_mode(mode, true);
            assert_eq!(wants(&filter, to), wanted, "{mode:?}");
        }
        assert!(!wants(&filter, OTHER));
        filter.set_mode(Mode::Promiscuous, true);
        assert!(wants(&filter, GROUP));
    }

    #[test]
    fn vlans() {
        let mut filter = filter();
        let tagged = |tag: [u8; 2]| frame(MAC, &[0x81, 0x00, tag[0], tag[1], 8, 0]);
        assert!(!filter.wants(&tagged([0xa0, 5])));
        assert!(filter.set_vlan(5, true));
        // With any priority.
        assert!(filter.wants(&tagged([0xa0, 5])) && filter.wants(&tagged([0xf0, 5])));
        assert!(!filter.wants(&tagged([0, 4])));
        assert!(filter.set_vlan(5, false));
        assert!(!filter.wants(&tagged([0, 5])));
        assert!(filter.set_vlan(4095, true) && !filter.set_vlan(4096, true));
        assert!(filter.wants(&tagged([0x0f, 0xff])));
        // A tag that is cut off is no tag.
        assert!(filter.wants(&frame(MAC, &[0x81, 0x00, 0])));
        // A driver that does not name VLANs gets all.
        let mut filter = RxFilter::new(MacAddress(MAC), true, false);
        filter.set_mode(Mode::Promiscuous, false);
        assert!(filter.wants(&tagged([0, 5])) && !filter.set_vlan(5, true));
    }

    #[test]
    fn a_driver_that_cannot_tell_its_address_gets_all_unicast_frames() {
        let mut filter = RxFilter::new(MacAddress(MAC), false, true);
        filter.set_mode(Mode::Promiscuous, false);
        assert!(wants(&filter, OTHER) && !wants(&filter, GROUP));
    }

    #[test]
    fn what_is_no_frame_passes_nobody() {
        assert!(!filter().wants(&[1, 2, 3]));
        assert!(filter().wants(&MAC));
    }
}
