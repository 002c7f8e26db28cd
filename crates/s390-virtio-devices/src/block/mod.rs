// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The block device (virtio 1.2, section 5.2, legacy interface).

mod backend;
mod config;
mod device;
mod direct;
mod disk;
pub mod engine;
mod event_handler;
mod handler;
mod image;
mod metrics;
mod plan;
mod qcow2;
mod raw_file;
mod request;

pub use crate::buffers::Buffers;
pub use backend::{BlockBackend, Topology, SECTOR_SIZE};
pub use device::Block;
pub use disk::{BlockOptions, Disk};
pub use engine::EngineKind;
pub use handler::BlockHandler;
pub use image::{lock_image, ImageError, ImageFormat, ImageOptions};
pub use metrics::BlockMetrics;
pub use qcow2::Qcow2;
pub use raw_file::RawFile;
