// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The 9P device, through which a guest mounts a directory of the host (`linux/virtio_9p.h`; the
//! virtio specification only reserves its id, 9).
//!
//! It is the file-sharing device for guests of a legacy transport: virtio-fs came in 2019 and
//! needs `VIRTIO_F_VERSION_1`. Linux has had the device since 2.6.24, tags since 2.6.33, and the
//! 9P2000.L that is spoken here since 2.6.37.

mod device;
mod engine;
mod event_handler;
mod handler;
mod metrics;
mod server;

pub use device::{Tag, TagError, P9};
pub use engine::Engine;
pub use handler::P9Handler;
pub use metrics::P9Metrics;
pub use server::{Answered, FileServer, Header, Outcome, Share, ShareError, ShareOptions};
