// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

mod command;
mod config;
mod console;
mod ebcdic;
mod event;
mod info;
mod sccb;
mod sclp;

pub use command::{Command, Response};
pub use config::{Config, Consoles, Error, INCREMENT_UNIT, MAX_CPUS};
pub use console::{Console, ConsoleSink, INPUT_CAPACITY};
pub use event::EventMask;
pub use sclp::{
    Completion, ProgramInterruption, PushedInput, Sclp, SclpState, EVENT_PENDING, SERVICE_SIGNAL,
};
