// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The network device (virtio 1.2, section 5.1, legacy interface).

mod backend;
mod buffers;
mod ctrl;
mod datagram;
mod device;
mod event_handler;
mod filter;
mod handler;
mod header;
mod mac;
mod metrics;
mod rx;
mod stream;
mod tap;

pub use backend::{NetBackend, MAX_FRAME};
pub use buffers::FrameBuffers;
pub use datagram::DatagramLink;
pub use device::{Net, MIN_MTU};
pub use handler::NetHandler;
pub use header::{HeaderOrder, Offloads, VnetHeader};
pub use mac::{MacAddress, MacAddressError};
pub use metrics::NetMetrics;
pub use stream::{StreamError, StreamLink};
pub use tap::{Tap, TapError};
