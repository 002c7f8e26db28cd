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
pub mod demo;
mod end;
mod error;
mod event_loop;
mod memory;
mod reboot;
mod signals;
mod stats;
mod terminal;
mod vcpu;
mod vm;

pub use end::{exit_code, report, End};
pub use error::{Error, Result};

use config::VmConfig;
use s390_loader::Image;
use vm::VirtualMachine;

/// Boots a guest and runs it to its end.
///
/// # Errors
///
/// The machine cannot be put together, or the host failed while it ran.
pub fn boot(config: &VmConfig) -> Result<End> {
    let signals = signals::Signals::block()?;
    let mut image = Image::open(&config.kernel, config.initrd.as_deref())?;
    if let Some(line) = &config.command_line {
        image = image.with_command_line(line.as_bytes())?;
    }
    let console = console::Console::open(&config.console)?;
    let output = console.output();
    let mut vm = VirtualMachine::new(image, &config.hardware, &output)?;
    for disk in &config.disks {
        vm.add_disk(disk)?;
    }
    for net in &config.nets {
        vm.add_tap(net)?;
    }
    vm.listen_to_signals(signals);
    let stats = vm.stats();
    let keyboard = console.start_keyboard(vm.keyboard(), vm.stopper())?;
    let end = vm.run();
    drop(keyboard);
    if config.stats {
        stats.print();
    }
    end
}
