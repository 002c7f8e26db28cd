// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What KVM on s390x shares with its user: structures and constants, under the kernel's names.
//!
//! Their meaning is documented in Linux' `Documentation/virt/kvm/api.rst` and
//! `devices/s390_flic.rst`. They are the same on every host, so that they can be checked on every
//! host; what stands for a structure without a name is called as `bindgen` would call it.
#![allow(non_camel_case_types)]

mod constants;
#[cfg(test)]
mod header_tests;
mod interrupt;
mod macros;
mod model;
mod plain;
mod run;

pub use constants::*;
pub use interrupt::*;
pub use model::*;
pub use plain::*;
pub use run::*;
