// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The semantics of the instructions, a file per family.
//!
//! A function takes the CPU and the decoded instruction. It may change the CPU only once nothing
//! can trap any more, unless the architecture says otherwise: a trap leaves registers and storage
//! as they were.

pub(crate) mod arithmetic;
pub(crate) mod bfp;
pub(crate) mod bits;
pub(crate) mod branch;
pub(crate) mod compare;
pub(crate) mod conditional;
pub(crate) mod control;
pub(crate) mod decimal;
pub(crate) mod execute;
pub(crate) mod fp_registers;
pub(crate) mod interlocked;
pub(crate) mod load;
pub(crate) mod logical;
pub(crate) mod long;
pub(crate) mod message_security;
pub(crate) mod multiple;
pub(crate) mod multiply;
mod operand;
pub(crate) mod pseudo;
pub(crate) mod registers;
pub(crate) mod shift;
pub(crate) mod state;
pub(crate) mod storage;
pub(crate) mod store;
pub(crate) mod translate;
pub(crate) mod translation;
