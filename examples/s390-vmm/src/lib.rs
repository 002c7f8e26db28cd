// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A minimal virtual machine monitor for s390, composed of the crates of this workspace.
//!
//! It owns no knowledge of a protocol: intercepts go to `s390-machine`, service calls to
//! `s390-sclp`, hypercalls and queues to `s390-virtio-devices`. What is here is the command line,
//! memory, threads, the terminal, and how a run ends.

mod backend;
pub mod cli;
pub mod config;
mod console;
pub mod control;
pub mod demo;
mod devices;
mod end;
mod error;
mod event_loop;
mod inspect;
mod limits;
mod memory;
mod reboot;
mod signals;
mod socket;
mod stats;
mod terminal;
mod vcpu;
mod vm;
mod wait;

use std::io::Write;

pub use end::{exit_code, report, End};
pub use error::{Error, Result};
pub use inspect::{inspect, PageSource};

use cli::CtlArguments;
use config::VmConfig;
use console::Port;
use s390_loader::Image;
use socket::ListeningSocket;
use vm::VirtualMachine;

/// Boots a guest and runs it to its end.
///
/// # Errors
///
/// The machine cannot be put together, or the host failed while it ran.
pub fn boot(config: &VmConfig) -> Result<End> {
    let mut image = Image::open(&config.kernel, config.initrd.as_deref())?;
    if let Some(line) = &config.command_line {
        image = image.with_command_line(line.as_bytes())?;
    }
    let control = match &config.control {
        Some(path) => Some(ListeningSocket::bind("control", path)?),
        None => None,
    };
    // To the end: everything else may have to wait for the host.
    let (signals, window) = signals::Signals::block()?.start()?;
    let (ports, port_guards) = Port::open_all(&config.ports)?;
    let console = console::Console::open(&config.console)?;
    let mut vm = VirtualMachine::new(image, &config.hardware, console.output(), ports)?;
    vm.listen_to_signals(&signals, window)?;
    for disk in &config.disks {
        vm.devices().add_disk(disk)?;
    }
    for net in &config.nets {
        vm.devices().add_net(net)?;
    }
    for share in &config.shares {
        vm.devices().add_share(share)?;
    }
    if config.balloon {
        vm.devices().add_balloon(config.hardware.memory_size)?;
    }
    console.begin()?;
    port_guards.iter().try_for_each(|guard| guard.begin())?;
    if let Some(socket) = control {
        vm.listen_to_control(socket);
    }
    let stats = vm.stats();
    let keyboard = console.start_keyboard(vm.keyboard(), vm.stopper())?;
    let end = vm.run();
    drop(keyboard);
    // What was printed is to be seen before anything is said of the end.
    drop((console, port_guards));
    if config.stats {
        stats.print();
    }
    end
}

/// Commands a running machine and prints its answer.
///
/// # Errors
///
/// There is no such machine, or it cannot do what is asked.
pub fn ctl(arguments: &CtlArguments) -> Result<()> {
    let command = arguments
        .command()
        .map_err(Error::host("find the working directory"))?;
    if let Some(answer) = control::ctl(&arguments.control, &command)? {
        let text = format!("{answer:#}\n");
        std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(Error::host("write to standard output"))?;
    }
    Ok(())
}
