// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! KVM on s390x: bindings, ioctls and a backend for s390-hypervisor.

pub mod bindings;
pub mod ioctls;
