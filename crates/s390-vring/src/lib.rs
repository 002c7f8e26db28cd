// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![no_std]
#![warn(clippy::missing_errors_doc)]

#[cfg(any(test, feature = "vm-memory"))]
extern crate std;

mod byte_order;
mod descriptor;
#[cfg(feature = "vm-memory")]
mod device;
mod driver;
pub mod geometry;
#[cfg(feature = "test-utils")]
pub mod mock;

pub use byte_order::{BigEndian, ByteOrder, LittleEndian};
pub use descriptor::{
    need_event, Descriptor, RingFeatures, VIRTIO_F_NOTIFY_ON_EMPTY, VIRTIO_RING_F_EVENT_IDX,
    VIRTIO_RING_F_INDIRECT_DESC, VIRTQ_AVAIL_F_NO_INTERRUPT, VIRTQ_DESC_F_INDIRECT,
    VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE, VIRTQ_USED_F_NO_NOTIFY,
};
#[cfg(feature = "virtio-queue")]
pub use device::ShadowQueue;
#[cfg(feature = "vm-memory")]
pub use device::{
    AvailIter, DescriptorChain, DeviceQueue, Error, Queue, QueueState, Reader, Segment, Writer,
    MAX_INDIRECT_CHAIN,
};
pub use driver::{
    write_indirect_table, Buffer, DriverError, DriverQueue, RawRing, RingMemory, Slot, Used,
};
pub use geometry::Layout;
