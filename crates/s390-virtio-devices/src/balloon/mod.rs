// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The memory balloon (virtio 1.2, section 5.5, legacy interface).

mod device;
mod event_handler;
mod handler;
mod metrics;
mod pages;
mod statistics;

pub use device::{Balloon, BalloonError};
pub use handler::BalloonHandler;
pub use metrics::BalloonMetrics;
pub use pages::BALLOON_PAGE_SIZE;
pub use statistics::Statistics;
