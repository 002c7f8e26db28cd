// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The console (virtio 1.2, section 5.3, legacy interface), with any number of ports.

mod backend;
mod control;
mod device;
mod event_handler;
mod handler;
mod input;
mod metrics;
mod socket;

pub use backend::PortBackend;
pub use device::{Console, ConsoleSize};
pub use input::ConsoleInput;
pub use metrics::{ConsoleMetrics, PortMetrics};
pub use socket::SocketPort;
