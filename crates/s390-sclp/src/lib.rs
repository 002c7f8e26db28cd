// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Service calls of s390: SCP information, event masks and the consoles.
