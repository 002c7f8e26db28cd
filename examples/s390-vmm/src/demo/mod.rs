// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The demo: the built-in guest with a disk that is made for it and a network peer in this
//! process. It needs neither privileges nor files.

mod disk;
mod peer;

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use s390_loader::Image;
use s390_virtio_devices::net::DatagramLink;

use crate::config::{Backend, DiskConfig, Hardware};
use crate::console::{ConsoleOutput, WriterThread};
use crate::signals::Signals;
use crate::vm::VirtualMachine;
use crate::{End, Error, Result};
use peer::{Peer, PeerReport};

/// The guest, see `examples/bare-guest`.
const GUEST: &[u8] = include_bytes!("bare-guest.elf");
const MEMORY: u64 = 64 << 20;
/// Sectors of the disk, and how many of them the guest checks.
const SECTORS: u64 = 256;
const CHECKED: u64 = 64;
/// Pings in each direction.
const PINGS: u16 = 3;

/// Runs the demo and prints its report to standard output.
///
/// # Errors
///
/// The machine cannot be put together, or the guest or the host found that something is not as
/// it should be.
pub fn run(backend: &Backend) -> Result<End> {
    let (signals, window) = Signals::block()?.start()?;
    let directory = tempfile::tempdir().map_err(Error::host("create a directory"))?;
    let image = directory.path().join("disk.img");
    disk::create(&image, SECTORS).map_err(Error::host("create a disk image"))?;
    let (link, socket, _open) = link().map_err(Error::host("create a socket"))?;

    let console = GuestConsole::default();
    let writer = WriterThread::start(console.clone())?;
    let output = ConsoleOutput::new(writer.output());
    let command_line = format!(
        "sectors={CHECKED} ip={} peer={} pings={PINGS} serve=60 serve-pings={PINGS}",
        peer::GUEST_ADDRESS,
        peer::PEER_ADDRESS
    );
    let guest = Image::new(GUEST.to_vec())?.with_command_line(command_line.as_bytes())?;
    let hardware = Hardware {
        memory_size: MEMORY,
        backend: *backend,
        ..Hardware::default()
    };
    let vm = VirtualMachine::new(guest, &hardware, output, Vec::new())?;
    vm.devices().add_disk(&DiskConfig {
        path: image.clone(),
        ..DiskConfig::default()
    })?;
    vm.devices().add_link(link)?;
    vm.listen_to_signals(&signals, window)?;

    say("the built-in guest, a bare-metal program for s390x, says:");
    let peer = Peer::start(socket, PINGS)?;
    let start = Instant::now();
    let end = vm.run();
    let seconds = start.elapsed().as_secs_f64();
    let network = peer.stop()?;
    drop(writer);
    console.finish();

    match end? {
        End::PowerOff => say(&format!("the guest powered off after {seconds:.2} s")),
        other => return Ok(other),
    }
    let rewritten = disk::verify(&image, SECTORS, CHECKED).map_err(Error::Demo)?;
    say(&format!(
        "disk: the image file holds what it should: {rewritten} sectors rewritten by the guest, \
         {} as they were",
        SECTORS - rewritten
    ));
    check(&network)?;
    say(&format!(
        "network: {} pings of the guest answered, {} pings answered by the guest",
        network.answered, network.answers
    ));
    Ok(End::PowerOff)
}

/// The guest's end of the link, the peer's, and what keeps the guest's end open when the guest is
/// gone: a socket whose other end was closed drops what it has not delivered.
fn link() -> io::Result<(DatagramLink, UnixDatagram, UnixDatagram)> {
    let (near, far) = UnixDatagram::pair()?;
    let open = near.try_clone()?;
    Ok((DatagramLink::new(near)?, far, open))
}

fn check(network: &PeerReport) -> Result<()> {
    let wanted = u32::from(PINGS);
    if network.answered < wanted || network.answers < wanted {
        return Err(Error::Demo(format!(
            "{} pings of the guest were answered and {} by it, {wanted} were expected",
            network.answered, network.answers
        )));
    }
    Ok(())
}

/// A line of the report. Standard output may be gone, which is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "s390-vmm: {line}");
}

/// The guest's console: its lines, set apart from the report.
#[derive(Clone, Default)]
struct GuestConsole(Arc<Mutex<Vec<u8>>>);

impl GuestConsole {
    /// Prints a line that was not ended.
    fn finish(&self) {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        print(&std::mem::take(&mut *line));
    }
}

fn print(line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\r', '\n']);
    if !line.is_empty() {
        let _ = writeln!(io::stdout(), "  | {line}");
    }
}

impl Write for GuestConsole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            line.push(byte);
            if byte == b'\n' {
                print(&std::mem::take(&mut *line));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
