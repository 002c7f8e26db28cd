// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The virtio descriptor page of KVM guests on s390, host and guest half.
