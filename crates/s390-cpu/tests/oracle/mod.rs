// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The instruction oracle: what an independent implementation makes of an instruction.
//!
//! | module | owns |
//! | --- | --- |
//! | [`format`] | a case and its outcome, their binary form, the addresses that a case sees |
//! | [`runner`] | the harness program (`harness/`), built on demand and run under qemu-user |
//! | [`software`] | the software CPU in the place of the oracle |
//! | [`generate`] | cases: random and edge operands for an instruction of the table |
//! | [`deviations`] | where the oracle is wrong, or the architecture leaves a choice |
//! | [`encode`] | the fields of every instruction format |
//! | [`values`] | what registers and storage are filled with |
//! | [`random`] | a reproducible source of random numbers |
//!
//! Usage: `Oracle::open()`, then `oracle.run(&cases)`. Environment:
//!
//! - `S390X_ORACLE_QEMU`: the emulator to ask; by default version 10 of qemu-user from the cache
//!   of `tools/s390x-toolchain.sh`, else the system's. On an s390x machine without either, the
//!   machine itself is asked.
//! - `CI=true`: an oracle that cannot run is a failure, not a skipped test.

// Every test that uses the oracle uses another part of it.
#![allow(dead_code)]

pub mod deviations;
pub mod encode;
pub mod format;
pub mod generate;
pub mod random;
pub mod runner;
pub mod software;
pub mod values;
