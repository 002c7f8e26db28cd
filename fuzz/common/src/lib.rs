// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the fuzzer runs: each target is a function of bytes that panics where a rule is broken.
//!
//! The functions live apart from the fuzzer, so that seeds and the inputs of former findings
//! (`inputs/`) run as ordinary tests, on every architecture.

mod cursor;
mod disks;
mod folder;
mod hypercalls;
mod loader;
mod machine;
mod rings;
mod sccb;

pub use hypercalls::hypercalls;
pub use loader::loader;
pub use rings::rings;
pub use sccb::sccb;
