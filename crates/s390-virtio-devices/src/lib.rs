// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The virtio bus of s390 KVM guests and its devices: block, net, console.
