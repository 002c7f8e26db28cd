// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A descriptor page in words.

use std::fmt::{self, Write as _};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use s390_virtio_page::words::{self, DeviceType, Features, Status};
use s390_virtio_page::{scan, Descriptor, PAGE_SIZE};

use crate::control;
use crate::{Error, Result};

type Page = [u8; PAGE_SIZE];

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageSource {
    /// In this file, which begins with it.
    File(PathBuf),
    /// In the machine behind this control socket.
    Machine(PathBuf),
}

/// Prints a page in words to standard output.
///
/// # Errors
///
/// There is no page to be had.
pub fn inspect(source: &PageSource) -> Result<()> {
    let (bytes, path) = match source {
        PageSource::File(path) => (read(path)?, path),
        PageSource::Machine(socket) => (control::fetch_page(socket)?, socket),
    };
    let page = Page::try_from(bytes).map_err(|bytes| Error::PageFile {
        path: path.to_owned(),
        reason: format!("it has {PAGE_SIZE} bytes, and here are {}", bytes.len()),
    })?;
    let mut words = String::new();
    // A string takes everything.
    let _ = describe(&mut words, &page);
    io::stdout()
        .write_all(words.as_bytes())
        .map_err(Error::host("write to standard output"))
}

/// The first bytes of a file, as many as a page has.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(PAGE_SIZE as u64).read_to_end(&mut bytes))
        .map_err(|error| Error::PageFile {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    Ok(bytes)
}

fn describe(out: &mut String, page: &Page) -> fmt::Result {
    let (mut devices, mut end) = (0, 0);
    for found in scan(page) {
        match found {
            Ok(device) => {
                describe_device(out, page, devices, &device)?;
                devices += 1;
                end = device.offset() + device.layout().size();
            }
            Err(overrun) => return writeln!(out, "{overrun}: the list ends here"),
        }
    }
    let left = PAGE_SIZE - end;
    writeln!(
        out,
        "{devices} devices, {left} of {PAGE_SIZE} bytes are left"
    )
}

fn describe_device(
    out: &mut String,
    page: &Page,
    number: usize,
    device: &Descriptor,
) -> fmt::Result {
    let device_type = device.device_type();
    writeln!(
        out,
        "virtio{number}: {}, at offset {:#x}, {} bytes",
        DeviceType(device_type),
        device.offset(),
        device.layout().size()
    )?;
    let status = device.status(page);
    writeln!(out, "  status {status:#04x}: {}", Status(status))?;
    for (index, queue) in
        (0..device.layout().num_vq).filter_map(|i| device.queue(page, i).map(|queue| (i, queue)))
    {
        write!(
            out,
            "  queue {index}: {} entries at {:#x}, ",
            queue.num, queue.address
        )?;
        match queue.token {
            0 => writeln!(out, "no token")?,
            token => writeln!(out, "token {token:#x}")?,
        }
    }
    for (who, bits) in [
        ("offered", device.host_features(page)),
        ("accepted", device.guest_features(page)),
    ] {
        let features = Features { device_type, bits };
        writeln!(out, "  {who} features {bits:#010x}: {features}")?;
    }
    let mut config = vec![0; device.layout().config_len.into()];
    if device.read_config(page, 0, &mut config).is_ok() {
        let offered = device.host_features(page);
        for field in words::config(device_type, offered, &config) {
            writeln!(out, "  {field}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use s390_virtio_page::{DeviceSpec, PageBuilder};

    use super::*;

    fn words(page: &Page) -> String {
        let mut words = String::new();
        describe(&mut words, page).unwrap();
        words
    }

    #[test]
    fn a_page_in_words() {
        let mut builder = PageBuilder::new(64 << 20).unwrap();
        let mut page = [0; PAGE_SIZE];
        let spec = DeviceSpec {
            device_type: 2,
            queues: &[128],
            features: 1 << 9 | 1 << 29,
            config_len: 8,
        };
        let layout = builder.add(&spec).unwrap();
        layout.write(&mut page, &[0, 0, 0, 0, 0, 0, 8, 0]);
        let rng = DeviceSpec {
            device_type: 4,
            queues: &[8],
            features: 0,
            config_len: 0,
        };
        builder.add(&rng).unwrap().write(&mut page, &[]);
        let mut device = scan(&page).next().unwrap().unwrap();
        device.set_token(&mut page, 0, 0x1234);
        device.finalize_features(&mut page, 1 << 9);
        device.set_status(&mut page, 7);
        device = scan(&page).next().unwrap().unwrap();
        assert_eq!(device.offset(), 0);
        assert_eq!(
            words(&page),
            "virtio0: block, at offset 0x0, 45 bytes\n\
             \x20 status 0x07: ACKNOWLEDGE DRIVER DRIVER_OK\n\
             \x20 queue 0: 128 entries at 0x4001000, token 0x1234\n\
             \x20 offered features 0x20000200: FLUSH EVENT_IDX\n\
             \x20 accepted features 0x00000200: FLUSH\n\
             \x20 capacity 2048 sectors, 1048576 bytes\n\
             virtio1: rng, at offset 0x2d, 37 bytes\n\
             \x20 status 0x00: none\n\
             \x20 queue 0: 8 entries at 0x4003000, no token\n\
             \x20 offered features 0x00000000: none\n\
             \x20 accepted features 0x00000000: none\n\
             2 devices, 4014 of 4096 bytes are left\n"
        );
    }

    #[test]
    fn configurations_in_words() {
        let mut builder = PageBuilder::new(64 << 20).unwrap();
        let mut page = [0; PAGE_SIZE];
        let mut add = |device_type, features, config: &[u8]| {
            let spec = DeviceSpec {
                device_type,
                queues: &[8],
                features,
                config_len: config.len(),
            };
            builder.add(&spec).unwrap().write(&mut page, config);
        };
        add(1, 1 << 5 | 1 << 16, &[2, 0, 0, 0, 0, 1, 0, 1, 0, 1]);
        add(2, 0, &[0, 0, 0, 0, 0, 0, 8, 0]);
        add(3, 3, &[0, 80, 0, 25, 0, 0, 0, 4]);
        add(5, 0, &[0, 1, 0, 0, 2, 0, 0, 0]);
        add(9, 1, b"\0\x04host");
        let words = words(&page);
        let config = |line: &&str| {
            let first = line.trim_start().split(' ').next().unwrap();
            line.starts_with(' ') && !["status", "queue", "offered", "accepted"].contains(&first)
        };
        assert_eq!(
            words.lines().filter(config).collect::<Vec<_>>(),
            [
                "  MAC address 02:00:00:00:00:01",
                "  link up",
                "  configuration at 0x8: 00 01",
                "  capacity 2048 sectors, 1048576 bytes",
                "  size 80 columns, 25 rows",
                "  ports at most 4",
                "  pages of 4 KiB: 256 wanted, 2 given",
                "  tag \"host\"",
            ]
        );
    }

    #[test]
    fn a_page_that_is_not_one() {
        assert_eq!(
            words(&[0xff; PAGE_SIZE]),
            "the device at 0x0 runs over the end of the page: the list ends here\n"
        );
        assert_eq!(
            words(&[0; PAGE_SIZE]),
            "0 devices, 4096 of 4096 bytes are left\n"
        );
    }
}
