// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A software z/Architecture CPU.
