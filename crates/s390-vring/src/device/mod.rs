// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device side: everything here faces memory that a hostile guest writes while we look.

mod chain;
mod error;
mod queue;
mod ring;
mod rw;
#[cfg(feature = "virtio-queue")]
mod shadow;
mod state;
mod traits;
#[cfg(feature = "virtio-queue")]
mod upstream;
mod walk;

pub use chain::{DescriptorChain, Segment};
pub use error::Error;
pub use queue::{AvailIter, Queue};
pub use rw::{Reader, Writer};
#[cfg(feature = "virtio-queue")]
pub use shadow::ShadowQueue;
pub use state::QueueState;
pub use traits::DeviceQueue;
pub use walk::MAX_INDIRECT_CHAIN;
