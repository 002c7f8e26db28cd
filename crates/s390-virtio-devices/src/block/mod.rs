// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The block device (virtio 1.2, section 5.2, legacy interface).

mod backend;
mod device;
mod event_handler;
mod handler;
mod metrics;
mod raw_file;
mod request;

pub use backend::{BlockBackend, SECTOR_SIZE};
pub use device::Block;
pub use handler::BlockHandler;
pub use metrics::BlockMetrics;
pub use raw_file::{RawFile, RawFileError};
