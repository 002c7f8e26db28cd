// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A tap device of a Linux host.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};

use super::backend::NetBackend;
use super::buffers::FrameBuffers;
use super::header::{HeaderOrder, Offloads, VnetHeader};

/// Why a tap device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The name does not fit the kernel's field or holds a character that no interface name has.
    #[error("{0:?} is no name of a network interface")]
    Name(String),
    /// The device node cannot be opened.
    #[error("cannot open /dev/net/tun")]
    Open(#[source] io::Error),
    /// The kernel refused to attach.
    #[error("cannot attach to tap device {name}")]
    Attach {
        /// Name as given.
        name: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// A tap device by name: attached to when it exists, otherwise created, which needs
/// `CAP_NET_ADMIN`.
#[derive(Debug)]
pub struct Tap {
    file: File,
    /// What log lines call the device.
    name: String,
    /// What the host's kernel can do.
    offloads: Offloads,
    /// Whether headers have to be turned from the kernel's byte order.
    swap: bool,
}

impl Tap {
    /// Attaches to the tap device `name`. Frames have a virtio header in front, and no packet
    /// information.
    ///
    /// # Errors
    ///
    /// The name is none, or the kernel refuses.
    pub fn open(name: &str) -> Result<Self, TapError> {
        let bytes = name.as_bytes();
        let mut request = InterfaceRequest {
            name: [0; libc::IFNAMSIZ],
            // All flags are below 2^15.
            flags: (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short,
            _rest: [0; 22],
        };
        if bytes.is_empty()
            || bytes.len() >= libc::IFNAMSIZ
            || !bytes
                .iter()
                .all(|c| c.is_ascii_graphic() && *c != b'/' && *c != b'%')
        {
            return Err(TapError::Name(name.to_owned()));
        }
        request.name[..bytes.len()].copy_from_slice(bytes);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")
            .map_err(TapError::Open)?;
        // SAFETY: the kernel reads and writes one `ifreq`, which `InterfaceRequest` is as long as.
        let result = unsafe { ioctl_with_mut_ref(&file, libc::TUNSETIFF as _, &mut request) };
        let attach = |source| TapError::Attach {
            name: name.to_owned(),
            source,
        };
        if result < 0 {
            return Err(attach(io::Error::last_os_error()));
        }
        let mut tap = Tap {
            file,
            name: name.to_owned(),
            offloads: Offloads::default(),
            swap: false,
        };
        tap.set(libc::TUNSETVNETHDRSZ as _, VnetHeader::LEN as libc::c_int)
            .map_err(attach)?;
        tap.offloads = tap.probe();
        Ok(tap)
    }

    /// What of segmentation the kernel knows: not every one has fragmentation of UDP.
    fn probe(&self) -> Offloads {
        let all = Offloads {
            csum: true,
            tso4: true,
            tso6: true,
            ecn: true,
            ufo: true,
        };
        let known = [all, Offloads { ufo: false, ..all }]
            .into_iter()
            .find(|offloads| self.set_guest_offloads(*offloads).is_ok())
            .unwrap_or_default();
        // Nothing until a driver has agreed. What is on already is what cannot be turned off.
        match self.set_guest_offloads(Offloads::default()) {
            Ok(()) => known,
            Err(_) => Offloads::default(),
        }
    }

    fn set_guest_offloads(&self, guest: Offloads) -> io::Result<()> {
        let flags = [
            (guest.csum, libc::TUN_F_CSUM),
            (guest.tso4, libc::TUN_F_TSO4),
            (guest.tso6, libc::TUN_F_TSO6),
            (guest.ecn, libc::TUN_F_TSO_ECN),
            (guest.ufo, libc::TUN_F_UFO),
        ];
        let flags = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag);
        let flags = flags.fold(0, |bits, flag| bits | flag);
        // SAFETY: this command takes a number.
        let result = unsafe { ioctl_with_val(&self.file, libc::TUNSETOFFLOAD as _, flags.into()) };
        match result {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Agrees with the kernel on the byte order of headers: the kernel turns them where it can,
    /// which not every one can in every direction.
    fn set_order(&mut self, order: HeaderOrder) -> io::Result<()> {
        self.swap = match order {
            HeaderOrder::Little => self.set(libc::TUNSETVNETLE as _, 1).is_err(),
            HeaderOrder::Big => {
                // Otherwise little-endian goes first.
                self.set(libc::TUNSETVNETLE as _, 0)?;
                self.set(libc::TUNSETVNETBE as _, 1).is_err()
            }
        } && !order.is_native();
        let who = if self.swap { "us" } else { "the kernel" };
        log::debug!("{}: headers turned by {who}", self.name);
        Ok(())
    }

    /// A command with a pointer to a number.
    fn set(&self, command: libc::c_ulong, value: libc::c_int) -> io::Result<()> {
        // SAFETY: the commands that this is called with read one `int`.
        match unsafe { ioctl_with_ref(&self.file, command, &value) } {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl NetBackend for Tap {
    fn event_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn set_offloads(&mut self, guest: Offloads, order: HeaderOrder) -> io::Result<()> {
        self.set_guest_offloads(guest)?;
        self.set_order(order)
    }

    fn read_frame(
        &mut self,
        header: &mut VnetHeader,
        frame: &mut FrameBuffers<'_>,
    ) -> io::Result<usize> {
        let len = frame.read_from(&self.file, &mut header.0)?;
        if self.swap {
            *header = header.swapped();
        }
        Ok(len.saturating_sub(VnetHeader::LEN))
    }

    fn write_frame(&mut self, header: &VnetHeader, frame: &mut FrameBuffers<'_>) -> io::Result<()> {
        let header = match self.swap {
            true => header.swapped(),
            false => *header,
        };
        frame.write_to(&self.file, &header.0).map(drop)
    }
}

/// `struct ifreq` of Linux with the flags of `TUNSETIFF`: 40 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    _rest: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_no_interface_has() {
        for name in ["", "sixteen-letters-", "a/b", "tap%d", "tap 0"] {
            assert!(matches!(Tap::open(name), Err(TapError::Name(_))), "{name}");
        }
    }
}
