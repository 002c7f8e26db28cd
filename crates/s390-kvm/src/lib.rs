// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![warn(clippy::missing_errors_doc)]

mod backend;
pub mod bindings;
pub mod ioctls;

pub use backend::{guest_memory, Error, KvmVcpu, KvmVm};
