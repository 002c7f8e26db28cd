// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A tap device in a network namespace of its own, with a packet socket as the other end.
//!
//! Needs the right to have a namespace, `/dev/net/tun` and `ip`. Where they are missing a test says
//! so and passes, except where `CI` is set.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use s390_virtio_devices::net::Tap;

use crate::peers::Peer;

const NAME: &str = "tap0";

/// A packet socket on the tap device, for frames of one type.
pub struct Packets(OwnedFd);

/// A tap device and its other end, if they can be had here. The calling thread stays in its
/// network namespace.
pub fn new(mtu: u16) -> Option<(Tap, Packets)> {
    or_skip(try_new(mtu, || Packets::open(0x88b5)))
}

/// The same for IPv4, with a virtio header in front of each frame at the other end.
pub fn with_headers(mtu: u16) -> Option<(Tap, Packets)> {
    or_skip(try_new(mtu, || {
        let socket = Packets::open(0x0800)?;
        socket.take_headers()?;
        Ok(socket)
    }))
}

fn or_skip(result: io::Result<(Tap, Packets)>) -> Option<(Tap, Packets)> {
    match result {
        Ok(both) => Some(both),
        Err(obstacle) => {
            // qemu-user does not know the headers of packet sockets.
            let emulated = obstacle.raw_os_error() == Some(libc::ENOPROTOOPT);
            assert!(emulated || std::env::var_os("CI").is_none(), "{obstacle}");
            // Past the test harness, which would keep it to itself.
            let line = format!("skipped, no tap device in a network namespace: {obstacle}\n");
            io::stderr().write_all(line.as_bytes()).unwrap();
            None
        }
    }
}

fn try_new(mtu: u16, peer: impl Fn() -> io::Result<Packets>) -> io::Result<(Tap, Packets)> {
    // SAFETY: moves the calling thread into a network namespace, which touches no memory.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    let tap = Tap::open(NAME).map_err(io::Error::other)?;
    // An interface with an address for IPv6 would speak.
    ip(&["addrgenmode", "none"])?;
    ip(&["mtu", &mtu.to_string()])?;
    ip(&["up"])?;
    Ok((tap, peer()?))
}

/// Changes the interface.
fn ip(change: &[&str]) -> io::Result<()> {
    let mut command = Command::new("ip");
    let output = command.args(["link", "set", NAME]).args(change).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )),
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result {
        0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Packets {
    /// One for frames of Ethernet type `kind`.
    fn open(kind: u16) -> io::Result<Self> {
        let kind = kind.to_be();
        // SAFETY: makes a descriptor, which nobody else owns.
        let socket = unsafe {
            let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, flags, kind.into()))?)
        };
        let name = std::ffi::CString::new(NAME)?;
        // SAFETY: a `sockaddr_ll` is plain data, for which zeros are valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = kind;
        // SAFETY: a string that ends with a zero.
        address.sll_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) } as i32;
        // SAFETY: the address of an address with its length.
        check(unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            )
        })?;
        Ok(Packets(socket))
    }

    /// Frames have a virtio header in front from now on, in this processor's byte order.
    fn take_headers(&self) -> io::Result<()> {
        let on: libc::c_int = 1;
        // SAFETY: the address of a number with its length.
        check(unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_VNET_HDR,
                (&raw const on).cast(),
                size_of_val(&on) as u32,
            )
        })?;
        Ok(())
    }
}

impl Peer for Packets {
    fn receive(&mut self) -> Vec<u8> {
        let mut frame = vec![0; 1 << 17];
        // SAFETY: the bytes outlive the call.
        let len = unsafe {
            libc::recv(
                self.0.as_raw_fd(),
                frame.as_mut_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
            )
        };
        assert!(len >= 0, "{}", io::Error::last_os_error());
        frame.truncate(len as usize);
        frame
    }

    fn send(&mut self, frame: &[u8]) {
        // SAFETY: the bytes outlive the call.
        let len = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert!(len >= 0, "{}", io::Error::last_os_error());
    }
}
