// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command `s390-vmm`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use s390_vmm::cli::{Cli, Command};
use s390_vmm::{boot, ctl, demo, exit_code, inspect, report, End};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let env = env_logger::Env::default().default_filter_or("warn");
    let mut logger = env_logger::Builder::from_env(env);
    if matches!(&command, Command::Boot(arguments) if arguments.trace) {
        // What that crate logs at this level are the events of the transport.
        logger.filter_module("s390_virtio_devices", log::LevelFilter::Trace);
    }
    logger.init();
    let result = match command {
        Command::Boot(arguments) => boot(&arguments.into()),
        Command::Ctl(arguments) => ctl(&arguments).map(|()| End::Answered),
        Command::Inspect(arguments) => inspect(&arguments.into()).map(|()| End::Answered),
        Command::Demo(arguments) => demo::run(&arguments.into()),
    };
    report(&result);
    exit_code(&result)
}
