// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The commands of the control queue (virtio 1.2, 5.1.6.5).

use std::io::{self, Read};

use s390_vring::{ByteOrder, Reader};
use virtio_bindings::virtio_net::{
    VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, VIRTIO_NET_CTRL_MAC,
    VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_CTRL_RX,
    VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_CTRL_RX_ALLUNI, VIRTIO_NET_CTRL_RX_NOBCAST,
    VIRTIO_NET_CTRL_RX_NOMULTI, VIRTIO_NET_CTRL_RX_NOUNI, VIRTIO_NET_CTRL_RX_PROMISC,
    VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, VIRTIO_NET_CTRL_VLAN_DEL,
    VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_RX,
    VIRTIO_NET_F_CTRL_RX_EXTRA, VIRTIO_NET_F_CTRL_VLAN,
};
use vm_memory::bitmap::BitmapSlice;

use super::filter::{AddressTable, Mode, RxFilter, MAX_ADDRESSES};
use super::mac::MacAddress;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Mode(Mode, bool),
    Addresses {
        unicast: AddressTable,
        multicast: AddressTable,
    },
    Address(MacAddress),
    Vlan {
        vlan: u16,
        wanted: bool,
    },
    /// The features `VIRTIO_NET_F_GUEST_*` that are on from now on.
    GuestOffloads(u64),
}

impl Command {
    /// Reads a command; `None` if there is none of that kind, or it is cut off.
    pub(super) fn read<E: ByteOrder, B: BitmapSlice>(reader: &mut Reader<'_, B>) -> Option<Self> {
        Self::try_read::<E, B>(reader).ok().flatten()
    }

    fn try_read<E: ByteOrder, B: BitmapSlice>(
        reader: &mut Reader<'_, B>,
    ) -> io::Result<Option<Self>> {
        let [class, command] = take(reader)?.map(u32::from);
        Ok(Some(match (class, command) {
            (VIRTIO_NET_CTRL_RX, _) => {
                let mode = match command {
                    VIRTIO_NET_CTRL_RX_PROMISC => Mode::Promiscuous,
                    VIRTIO_NET_CTRL_RX_ALLMULTI => Mode::AllMulticast,
                    VIRTIO_NET_CTRL_RX_ALLUNI => Mode::AllUnicast,
                    VIRTIO_NET_CTRL_RX_NOMULTI => Mode::NoMulticast,
                    VIRTIO_NET_CTRL_RX_NOUNI => Mode::NoUnicast,
                    VIRTIO_NET_CTRL_RX_NOBCAST => Mode::NoBroadcast,
                    _ => return Ok(None),
                };
                let [on] = take(reader)?;
                Command::Mode(mode, on != 0)
            }
            (VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET) => Command::Addresses {
                unicast: read_table::<E, B>(reader)?,
                multicast: read_table::<E, B>(reader)?,
            },
            (VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET) => {
                let mac = MacAddress(take(reader)?);
                if !mac.is_interface() {
                    return Ok(None);
                }
                Command::Address(mac)
            }
            (VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD | VIRTIO_NET_CTRL_VLAN_DEL) => {
                Command::Vlan {
                    vlan: E::u16(u16::from_ne_bytes(take(reader)?)),
                    wanted: command == VIRTIO_NET_CTRL_VLAN_ADD,
                }
            }
            (VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET) => {
                Command::GuestOffloads(E::u64(u64::from_ne_bytes(take(reader)?)))
            }
            _ => return Ok(None),
        }))
    }

    /// The feature that a driver must have accepted to send this.
    pub(super) fn feature(&self) -> u32 {
        match self {
            Command::Mode(Mode::Promiscuous | Mode::AllMulticast, _)
            | Command::Addresses { .. } => VIRTIO_NET_F_CTRL_RX,
            Command::Mode(..) => VIRTIO_NET_F_CTRL_RX_EXTRA,
            Command::Address(_) => VIRTIO_NET_F_CTRL_MAC_ADDR,
            Command::Vlan { .. } => VIRTIO_NET_F_CTRL_VLAN,
            Command::GuestOffloads(_) => VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
        }
    }
}

impl RxFilter {
    /// Does what `command` says; false if it cannot.
    pub(super) fn apply(&mut self, command: Command) -> bool {
        match command {
            Command::Mode(mode, on) => self.set_mode(mode, on),
            Command::Addresses { unicast, multicast } => {
                (self.unicast, self.multicast) = (unicast, multicast);
            }
            Command::Address(mac) => self.mac = mac,
            Command::Vlan { vlan, wanted } => return self.set_vlan(vlan, wanted),
            Command::GuestOffloads(_) => return false,
        }
        true
    }
}

fn take<const N: usize, B: BitmapSlice>(reader: &mut Reader<'_, B>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A number of addresses, 32 bits, and the addresses.
fn read_table<E: ByteOrder, B: BitmapSlice>(
    reader: &mut Reader<'_, B>,
) -> io::Result<AddressTable> {
    let count = E::u32(u32::from_ne_bytes(take(reader)?)) as usize;
    if count > reader.available_bytes() / 6 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if count > MAX_ADDRESSES {
        reader.advance(count * 6);
        return Ok(AddressTable {
            addresses: Vec::new(),
            overflow: true,
        });
    }
    let addresses = (0..count).map(|_| take(reader));
    Ok(AddressTable {
        addresses: addresses.collect::<io::Result<_>>()?,
        overflow: false,
    })
}

#[cfg(test)]
mod tests {
    use s390_vring::{BigEndian, Buffer, LittleEndian};
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::test_utils::{memory, queue};

    /// Reads a command in pieces of `cut` bytes.
    fn read<E: ByteOrder>(bytes: &[u8], cut: usize) -> Option<Command> {
        let memory = memory();
        let mut driver = queue::<E>(&memory, 0, 256);
        memory.write_slice(bytes, GuestAddress(0x10000)).unwrap();
        let pieces = (0..bytes.len()).step_by(cut);
        let pieces = pieces.map(|at| {
            let len = cut.min(bytes.len() - at) as u32;
            Buffer::readable(0x10000 + at as u64, len)
        });
        driver.add_chain(&pieces.collect::<Vec<_>>());
        let chain = driver.device_queue().pop_descriptor_chain(&*memory);
        let mut reader = chain.unwrap().unwrap().reader(&*memory).unwrap();
        Command::read::<E, _>(&mut reader)
    }

    #[test]
    fn commands_in_both_byte_orders() {
        let table = |addresses: &[[u8; 6]]| AddressTable {
            addresses: addresses.to_vec(),
            overflow: false,
        };
        for cut in [1, 2, 100] {
            let big = |bytes: &[u8]| read::<BigEndian>(bytes, cut);
            let little = |bytes: &[u8]| read::<LittleEndian>(bytes, cut);
            let promiscuous = Command::Mode(Mode::Promiscuous, true);
            assert_eq!(big(&[0, 0, 1]), Some(promiscuous));
            assert_eq!(
                big(&[0, 5, 0]),
                Some(Command::Mode(Mode::NoBroadcast, false))
            );
            let vlan = Command::Vlan {
                vlan: 0x102,
                wanted: true,
            };
            assert_eq!(big(&[2, 0, 1, 2]), Some(vlan.clone()));
            assert_eq!(little(&[2, 0, 2, 1]), Some(vlan));
            let addresses = Command::Addresses {
                unicast: table(&[]),
                multicast: table(&[[1; 6], [3; 6]]),
            };
            let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 2];
            bytes.extend([1; 6]);
            bytes.extend([3; 6]);
            assert_eq!(big(&bytes), Some(addresses.clone()));
            bytes[6..10].copy_from_slice(&[2, 0, 0, 0]);
            assert_eq!(little(&bytes), Some(addresses));
            let mac = [1, 1, 2, 0, 0, 0, 0, 7];
            let address = Command::Address(MacAddress([2, 0, 0, 0, 0, 7]));
            assert_eq!(big(&mac), Some(address));
            let offloads = big(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0x83]);
            assert_eq!(offloads, Some(Command::GuestOffloads(0x83)));
        }
    }

    #[test]
    fn what_is_no_command() {
        let short: [&[u8]; 11] = [
            &[0],
            &[0, 0],
            &[0, 6, 1],
            &[1, 0, 0, 0, 0, 1],
            &[1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[1, 1, 2, 0, 0, 0, 0],
            &[1, 1, 1, 0, 0, 0, 0, 0],
            &[1, 2, 1, 0, 0, 0, 0, 0],
            &[2, 0, 1],
            &[4, 0, 0, 2],
            &[5, 0, 0, 0, 0, 0],
        ];
        for bytes in short {
            assert_eq!(read::<BigEndian>(bytes, 3), None, "{bytes:?}");
        }
    }

    #[test]
    fn every_command_needs_its_feature() {
        use Mode::*;
        let modes = [
            (Promiscuous, VIRTIO_NET_F_CTRL_RX),
            (AllMulticast, VIRTIO_NET_F_CTRL_RX),
            (AllUnicast, VIRTIO_NET_F_CTRL_RX_EXTRA),
            (NoMulticast, VIRTIO_NET_F_CTRL_RX_EXTRA),
            (NoUnicast, VIRTIO_NET_F_CTRL_RX_EXTRA),
            (NoBroadcast, VIRTIO_NET_F_CTRL_RX_EXTRA),
        ];
        for (command, (mode, feature)) in (0..).zip(modes) {
            for on in [false, true] {
                let read = read::<BigEndian>(&[0, command, on.into()], 3).unwrap();
                assert_eq!(read, Command::Mode(mode, on));
                assert_eq!(read.feature(), feature);
            }
        }
        for (bytes, feature) in [
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], VIRTIO_NET_F_CTRL_RX),
            (&[1, 1, 2, 0, 0, 0, 0, 7], VIRTIO_NET_F_CTRL_MAC_ADDR),
            (&[2, 0, 0, 1], VIRTIO_NET_F_CTRL_VLAN),
            (&[2, 1, 0, 1], VIRTIO_NET_F_CTRL_VLAN),
            (
                &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
            ),
        ] {
            let command = read::<BigEndian>(bytes, 100).unwrap();
            assert_eq!(command.feature(), feature, "{command:?}");
        }
        let unwanted = Command::Vlan {
            vlan: 1,
            wanted: false,
        };
        assert_eq!(read::<BigEndian>(&[2, 1, 0, 1], 4), Some(unwanted));
    }

    #[test]
    fn too_many_addresses_are_not_kept() {
        for count in [64, 65] {
            let mut bytes = vec![1, 0, 0, 0, 0, count];
            bytes.extend(vec![2; usize::from(count) * 6]);
            // One more in the other table.
            bytes.extend([0, 0, 0, 1, 3, 3, 3, 3, 3, 3]);
            let Some(Command::Addresses { unicast, multicast }) = read::<BigEndian>(&bytes, 7)
            else {
                panic!("no tables");
            };
            assert_eq!(unicast.overflow, count == 65);
            assert_eq!(unicast.addresses.len(), if count == 65 { 0 } else { 64 });
            assert_eq!(multicast.addresses, [[3; 6]]);
        }
    }
}
