// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The signal that calls a CPU's thread out of the guest: `SIGRTMIN`.

use std::sync::OnceLock;

use vmm_sys_util::errno;
use vmm_sys_util::signal::{register_signal_handler, unblock_signal, SIGRTMIN};

use super::error::refused;
use super::gate::Doorbell;
use crate::ioctls::VcpuRemote;

/// Its arrival is all that matters.
extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// Installs the handler, once for the process.
pub(crate) fn install() -> Result<(), errno::Error> {
    static INSTALLED: OnceLock<Result<(), errno::Error>> = OnceLock::new();
    *INSTALLED.get_or_init(|| register_signal_handler(SIGRTMIN(), ignore))
}

/// Lets the signal reach this thread.
pub(crate) fn listen() -> s390_hypervisor::Result<()> {
    unblock_signal(SIGRTMIN())
        .map_err(|error| std::io::Error::other(error.to_string()))
        .map_err(refused("listen to a signal"))
}

impl Doorbell for VcpuRemote {
    fn silence(&self) {
        self.set_immediate_exit(false);
    }

    fn ring(&self, thread: libc::pthread_t) {
        // A `KVM_RUN` that has not begun looks at this, one that has begun is interrupted.
        self.set_immediate_exit(true);
        // SAFETY: the thread is between `Gate::enter` and `Gate::left`, so that it lives.
        unsafe { libc::pthread_kill(thread, SIGRTMIN()) };
    }
}
