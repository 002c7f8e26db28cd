// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The virtio descriptor page of KVM guests on s390, host and guest half.
//!
//! Everything in the page is big-endian except the feature bitmaps, and nothing in it is
//! aligned: all access is by bytes. The host keeps its own copy of the layout
//! ([`DeviceLayout`]) and never takes a type, a count, a length or a ring address back from the
//! page, because the guest can write there.
#![cfg_attr(feature = "vm-memory", doc = include_str!("../README.md"))]
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "vm-memory"))]
extern crate std;

mod bytes;
mod descriptor;
mod layout;
mod ring;
pub mod status;
pub mod words;

#[cfg(feature = "alloc")]
mod builder;
#[cfg(feature = "vm-memory")]
mod view;

#[cfg(feature = "alloc")]
pub use builder::{BuildError, DeviceLayout, DeviceSpec, PageBuilder, QueueLayout};
pub use bytes::PageBytes;
pub use descriptor::{scan, ConfigRange, Descriptor, Overrun, Scan, VqConfig};
pub use layout::{
    DescLayout, DESC_SIZE, FEATURE_LEN, MAX_FEATURE_BITS, OFFSET_CONFIG_LEN, OFFSET_FEATURE_LEN,
    OFFSET_NUM_VQ, OFFSET_STATUS, OFFSET_TYPE, PAGE_SIZE, TOKEN_MASK, TYPE_END, VQCONFIG_ADDRESS,
    VQCONFIG_NUM, VQCONFIG_SIZE, VQCONFIG_TOKEN,
};
pub use ring::{RingLayout, MAX_RING_NUM, RING_ALIGN};
#[cfg(feature = "vm-memory")]
pub use view::{DeviceView, ViewError};
