// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The split virtqueue in a chosen byte order, device and driver side.
