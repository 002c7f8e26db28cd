// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The network device (virtio 1.2, section 5.1, legacy interface).

mod backend;
mod datagram;
mod device;
mod event_handler;
mod handler;
mod mac;
mod metrics;
mod stream;
mod tap;

pub use backend::{NetBackend, MAX_FRAME};
pub use datagram::DatagramLink;
pub use device::Net;
pub use handler::NetHandler;
pub use mac::{MacAddress, MacAddressError};
pub use metrics::NetMetrics;
pub use stream::{StreamError, StreamLink};
pub use tap::{Tap, TapError};
