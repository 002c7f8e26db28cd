// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest on bare metal: finds its devices in the descriptor page, drives disk, network and
//! console through the transport, reports on the console, and powers off. See README.md.
#![no_std]
#![no_main]

mod block;
mod console;
mod cpu;
mod dma;
mod hvc;
mod interrupts;
mod net;
mod sclp;
mod start;
mod virtio;

use core::ptr;

use bare_guest::options::{self, BadWord, Crash, Options};

use console::say;
use cpu::End;
use virtio::Device;

/// Where a loader puts the command line, and how long it is at most.
const COMMAND_LINE: usize = 0x10480;
const COMMAND_LINE_SIZE: usize = 896;

/// What this image was built from; `build.sh` sets it, and finds it again in the image.
#[used]
#[link_section = ".rodata.sources"]
static SOURCES: [u8; 80] = sources();

const fn sources() -> [u8; 80] {
    let hash = match option_env!("BARE_GUEST_SOURCES") {
        Some(hash) => hash.as_bytes(),
        None => b"unknown",
    };
    let mut text = *b"sources sha256 \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut i = 0;
    while i < hash.len() {
        text[15 + i] = hash[i];
        i += 1;
    }
    text
}

#[no_mangle]
extern "C" fn rust_main() -> ! {
    interrupts::init();
    console::init();
    say!("s390 bare guest {}", env!("CARGO_PKG_VERSION"));
    cpu::stop(match run() {
        true => End::Success,
        false => End::Failure,
    })
}

/// Does everything; whether it went well.
fn run() -> bool {
    if !interrupts::supervisor_call_works() {
        say!("fail: supervisor call");
        return false;
    }
    let Some(ram) = sclp::ram_size() else {
        say!("fail: no answer about the size of RAM");
        return false;
    };
    say!("ram: {} MiB", ram >> 20);
    let mut area = [0; COMMAND_LINE_SIZE];
    let line = command_line(&mut area);
    say!("command line: {line}");
    let options = match Options::parse(line) {
        Ok(options) => options,
        Err(BadWord(word)) => {
            say!("fail: cannot read {word}");
            return false;
        }
    };
    if let Some(crash) = options.crash {
        crash_as(crash);
    }

    let Some(bus) = virtio::probe(ram) else {
        say!("devices: no device page");
        say!("done");
        return true;
    };
    let (mut found, mut failed, mut net) = (0, 0, false);
    for device in bus.devices() {
        let result = match device {
            Ok(device) => {
                describe(found, &device);
                found += 1;
                drive(device, &options, &mut net)
            }
            Err(overrun) => {
                say!("fail: {overrun}");
                failed += 1;
                continue;
            }
        };
        if let Err(failure) = result {
            say!("fail: {failure}");
            failed += 1;
        }
    }
    say!("devices: {found} found, {failed} failed");
    say!("{}", if failed == 0 { "done" } else { "failed" });
    failed == 0
}

fn describe(index: u32, device: &Device) {
    say!(
        "device {index}: type {} ({}) at {:#x}, {} queues, {} config bytes, features {:#010x}",
        device.device_type(),
        match device.device_type() {
            1 => "net",
            2 => "block",
            3 => "console",
            4 => "rng",
            5 => "balloon",
            _ => "unknown",
        },
        device.address(),
        device.num_queues(),
        device.config_len(),
        device.host_features(),
    );
}

/// Drives a device, and lets the host know if that fails.
fn drive(mut device: Device, options: &Options, net: &mut bool) -> Result<(), virtio::Failure> {
    let result = match device.device_type() {
        // One station is enough: a second one would have the same address.
        1 if !*net => {
            *net = true;
            net::run(&mut device, options)
        }
        2 => block::run(&mut device, options),
        3 => hvc::run(&mut device),
        _ => Ok(()),
    };
    if result.is_err() {
        // If this fails too, the first failure is the one to report.
        let _ = device.fail();
    }
    result
}

/// Copies the command line out of the parameter area.
fn command_line(area: &mut [u8; COMMAND_LINE_SIZE]) -> &str {
    let start = ptr::with_exposed_provenance::<u8>(COMMAND_LINE);
    for (i, byte) in area.iter_mut().enumerate() {
        // SAFETY: the area is part of the image (see start.s); nothing changes it.
        *byte = unsafe { ptr::read_volatile(start.add(i)) };
    }
    options::text(area)
}

fn crash_as(how: Crash) {
    say!("crash: as the command line asks");
    match how {
        Crash::Program => cpu::illegal(),
        Crash::Panic => panic!("asked for"),
        Crash::Loop => loop {
            core::hint::spin_loop();
        },
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("panic: {}", info.message());
    cpu::stop(End::Failure)
}
