// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ring operations beside `virtio_queue::Queue` doing the same work.

fn main() {}
