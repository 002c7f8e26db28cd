// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The way to the host.

/// Issues hypercalls. Behind a trait, so that a driver can be tested without a host.
pub trait Hypervisor {
    /// Hypercall `nr` with one argument (see [`s390_hypercall`] for the numbers). The result is
    /// negative on failure.
    fn hypercall(&self, nr: u64, arg: u64) -> i64;
}

/// The real host, by DIAGNOSE 0x500.
#[cfg(target_arch = "s390x")]
#[derive(Copy, Clone, Debug)]
pub struct Diagnose(());

#[cfg(target_arch = "s390x")]
impl Diagnose {
    /// The host beneath this CPU.
    ///
    /// # Safety
    ///
    /// The program runs in the supervisor state under a host that knows the hypercalls of the
    /// transport: one that has put up a device page.
    pub const unsafe fn new() -> Self {
        Diagnose(())
    }
}

#[cfg(target_arch = "s390x")]
impl Hypervisor for Diagnose {
    fn hypercall(&self, nr: u64, arg: u64) -> i64 {
        // SAFETY: `new`'s caller vouches for CPU and host. The host only touches page and rings,
        // which are accessed as shared memory throughout.
        unsafe { s390_hypercall::guest::hypercall1(nr, arg) }
    }
}
