// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The choice of what runs the guest.

use std::sync::Arc;

use s390_cpu::{Config, Memory, SoftVm};
use s390_hypervisor::Vm;

use crate::config::Backend;
use crate::{Error, Result};

/// Makes a virtual machine without CPUs on `memory`.
pub(crate) fn create_vm(backend: Backend, memory: &Arc<Memory>) -> Result<Arc<dyn Vm>> {
    match backend {
        Backend::Kvm => Err(Error::Kvm(kvm_obstacle())),
        Backend::Auto | Backend::Emulated => emulated(memory),
    }
}

fn emulated(memory: &Arc<Memory>) -> Result<Arc<dyn Vm>> {
    Ok(Arc::new(SoftVm::new(memory, Config::default())?))
}

/// Why there is no KVM here, and what to do.
fn kvm_obstacle() -> &'static str {
    if cfg!(target_arch = "s390x") {
        "this build has no KVM backend; use --backend emulated"
    } else {
        "it runs s390 guests on s390x hosts only; use --backend emulated"
    }
}
