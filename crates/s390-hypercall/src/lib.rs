// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The s390 KVM hypercall: DIAGNOSE 0x500, host and guest half.
