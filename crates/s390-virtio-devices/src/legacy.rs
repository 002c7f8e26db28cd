// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The types of the 2008 transport.

use std::fmt;
use std::marker::PhantomData;

use s390_vring::{BigEndian, Queue};
use vm_memory::GuestMemory;

use crate::Transport;

/// The legacy s390 transport over guest memory `M`: everything in the guest's byte order, which is
/// big-endian whatever the host is.
pub struct S390Legacy<M>(PhantomData<fn() -> M>);

impl<M> fmt::Debug for S390Legacy<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S390Legacy")
    }
}

impl<M: GuestMemory + Send + Sync + 'static> Transport for S390Legacy<M> {
    type Order = BigEndian;
    type Queue = Queue<BigEndian>;
    type Memory = M;
}
