// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! An interpreter over decoded blocks. One place knows each thing:
//!
//! | module | owns |
//! | --- | --- |
//! | [`table`] | one line per instruction: mnemonic, opcode, format, facility, attributes, semantics |
//! | `decode` | instruction formats: from text to operands |
//! | `block` | decoded blocks, found by address and chained; their invalidation |
//! | `cpu` | the registers, and what semantics need of them |
//! | `cc` | the condition code, computed when somebody asks |
//! | `access` | storage operands: the translation lookaside buffer and the paths around it |
//! | `dat` | dynamic address translation, prefixing, protection |
//! | `interrupt` | interruptions: which one is due, and how it is taken |
//! | `timing` | TOD clock, clock comparator, CPU timer |
//! | `exec` | the semantics, a file per family of instructions |
//! | `engine` | the loop that runs blocks and notices what must be noticed between them |
//! | `vm` | the backend: [`SoftVm`] and its CPUs behind the traits of `s390-hypervisor` |

mod access;
mod bfp;
mod block;
mod cc;
mod code_pages;
mod cpu;
mod dat;
mod decode;
mod engine;
mod exec;
mod interrupt;
mod keys;
mod model;
mod shared;
pub mod table;
#[cfg(test)]
mod testing;
mod threaded;
mod timing;
mod vm;
mod zeroed;

pub use access::Memory;
pub use code_pages::CodePages;
pub use model::CpuModel;
pub use timing::Time;
pub use vm::{Config, Error, SoftVcpu, SoftVm};
