// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A client that says each message byte by byte.

mod client;
mod escape;
mod files;
mod limits;
mod read_only;

use super::*;
