// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A tap device of a Linux host.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use vmm_sys_util::ioctl::ioctl_with_mut_ref;
use vmm_sys_util::ioctl_iow_nr;

use super::backend::NetBackend;

ioctl_iow_nr!(TUNSETIFF, 0x54, 202, libc::c_int);

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
}

impl Tap {
    /// Attaches to the tap device `name`. Frames are plain: neither packet information nor a
    /// virtio header in front.
    pub fn open(name: &str) -> Result<Self, TapError> {
        let bytes = name.as_bytes();
        let mut request = InterfaceRequest {
            name: [0; libc::IFNAMSIZ],
            // Both flags are below 2^15.
            flags: (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short,
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
        if unsafe { ioctl_with_mut_ref(&file, TUNSETIFF(), &mut request) } < 0 {
            return Err(TapError::Attach {
                name: name.to_owned(),
                source: io::Error::last_os_error(),
            });
        }
        Ok(Tap { file })
    }
}

impl NetBackend for Tap {
    fn event_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn read_frame(&mut self, frame: &mut [u8]) -> io::Result<usize> {
        self.file.read(frame)
    }

    fn write_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.write(frame).map(drop)
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
