// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The driver half of the s390 KVM virtio transport for bare-metal guests.
