// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The control socket: commands to a running machine, as JSON over HTTP on a Unix socket.
//!
//! [`Command`] is what can be asked for, in the shape in which it travels; `http` frames it;
//! `Server` listens, `Manager` carries out, [`ctl`] is the other side.

mod api;
mod client;
mod http;
mod manager;
mod server;

pub use api::{Command, DeviceRef};
pub use client::{ctl, fetch_page};
pub(crate) use manager::Manager;
pub(crate) use server::ControlThread;
