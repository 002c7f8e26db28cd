// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

/// The address of a network interface.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// A text is not the address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a unicast MAC address of the form 02:00:00:00:00:01")]
pub struct MacAddressError(String);

impl MacAddress {
    /// The locally administered address with this number, for interfaces that were given none.
    pub const fn local(n: u16) -> Self {
        let [high, low] = n.to_be_bytes();
        MacAddress([0x02, 0x53, 0x39, 0x30, high, low])
    }

    /// Whether an interface may have this address: it is not that of a group, and not zero.
    pub fn is_interface(&self) -> bool {
        // The lowest bit of the first byte is that of groups.
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || MacAddressError(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2);
            let digits = part.filter(|part| part.bytes().all(|c| c.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(digits.ok_or_else(error)?, 16).map_err(|_| error())?;
        }
        let mac = MacAddress(bytes);
        match parts.next() {
            None if mac.is_interface() => Ok(mac),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        let mac = MacAddress::local(0x1234);
        assert_eq!(mac.to_string(), "02:53:39:30:12:34");
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!(
            "Fe:FF:00:aB:01:99".parse(),
            Ok(MacAddress([0xfe, 0xff, 0, 0xab, 1, 0x99]))
        );
    }

    #[test]
    fn refuses_what_is_no_interface_address() {
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "02-00-00-00-00-01",
            "02:00:00:00:00:+1",
            "02:00:00:00:00:0g",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "02:00:00:00:00:é",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
