// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The entropy device (virtio 1.2, section 5.4).

mod device;
mod event_handler;
mod handler;
mod metrics;

pub use device::Rng;
pub use handler::RngHandler;
pub use metrics::RngMetrics;
