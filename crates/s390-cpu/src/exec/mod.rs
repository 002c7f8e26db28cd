// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The semantics of the instructions, a file per family.
//!
//! A function takes the CPU and the decoded instruction. It may change the CPU only once nothing
//! can trap any more, unless the architecture says otherwise: a trap leaves registers and storage
//! as they were.

pub(crate) mod branch;
pub(crate) mod decimal;
pub(crate) mod general;
pub(crate) mod long;
pub(crate) mod pseudo;
pub(crate) mod storage;
pub(crate) mod translate;
