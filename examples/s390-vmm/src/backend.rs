// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The choice of what runs the guest.

use std::sync::Arc;

use s390_cpu::{Config, CpuModel, Memory, SoftVm};
use s390_hypervisor::Vm;
use s390_kvm::KvmVm;
use vm_memory::GuestAddress;

use crate::config::Backend;
use crate::{Error, Result};

/// What runs the guest.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hypervisor {
    /// The software CPU.
    Emulated,
    /// KVM.
    Kvm,
}

impl Hypervisor {
    /// Chooses; what is chosen can be used.
    pub(crate) fn choose(backend: Backend) -> Result<Self> {
        match (backend, KvmVm::probe) {
            (Backend::Emulated, _) => Ok(Hypervisor::Emulated),
            (Backend::Kvm, probe) => Ok(probe().map(|()| Hypervisor::Kvm)?),
            (Backend::Auto, probe) => Ok(match probe() {
                Ok(()) => Hypervisor::Kvm,
                Err(obstacle) => {
                    log::log!(
                        level(&obstacle),
                        "the software CPU runs the guest: {obstacle}"
                    );
                    Hypervisor::Emulated
                }
            }),
        }
    }

    /// Allocates guest memory from address 0, all zeros.
    pub(crate) fn allocate(self, size: u64) -> Result<Memory> {
        match self {
            Hypervisor::Kvm => Ok(s390_kvm::guest_memory(size)?),
            Hypervisor::Emulated => {
                let ranges = [(GuestAddress(0), size as usize)];
                Memory::from_ranges(&ranges).map_err(|error| Error::Memory(size, error))
            }
        }
    }

    /// Checks that it can show the guest a CPU of this model.
    pub(crate) fn check_model(self, model: CpuModel) -> Result<()> {
        match self {
            Hypervisor::Kvm if model != CpuModel::default() => Err(Error::CpuModel(model.name())),
            _ => Ok(()),
        }
    }

    /// Makes a virtual machine without CPUs on `memory`.
    pub(crate) fn create_vm(self, memory: &Memory, model: CpuModel) -> Result<Arc<dyn Vm>> {
        self.check_model(model)?;
        let config = Config {
            model,
            ..Config::default()
        };
        Ok(match self {
            Hypervisor::Kvm => Arc::new(KvmVm::new(memory)?),
            Hypervisor::Emulated => Arc::new(SoftVm::new(memory, config)?),
        })
    }
}

/// How loud to say that KVM is not used: where there can be none, nobody expects it.
fn level(obstacle: &s390_kvm::Error) -> log::Level {
    match obstacle {
        s390_kvm::Error::WrongArchitecture => log::Level::Info,
        _ => log::Level::Warn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_could_have_kvm_is_warned() {
        let elsewhere = s390_kvm::Error::WrongArchitecture;
        assert_eq!(level(&elsewhere), log::Level::Info);
        for obstacle in [s390_kvm::Error::NoDevice, s390_kvm::Error::NoPgste] {
            assert_eq!(level(&obstacle), log::Level::Warn);
        }
    }

    #[test]
    fn auto_takes_kvm_where_it_can_be_used() {
        let usable = KvmVm::probe().is_ok();
        let auto = Hypervisor::choose(Backend::Auto).unwrap();
        assert_eq!(auto == Hypervisor::Kvm, usable);
        assert_eq!(Hypervisor::choose(Backend::Kvm).is_ok(), usable);
        let emulated = Hypervisor::choose(Backend::Emulated).unwrap();
        assert_eq!(emulated, Hypervisor::Emulated);
    }

    #[test]
    fn kvm_has_no_models() {
        let z10 = CpuModel::by_name("z10").unwrap();
        let refusal = Hypervisor::Kvm.check_model(z10).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "KVM shows the guest the CPU of its host: --cpu z10 needs --backend emulated"
        );
        assert!(Hypervisor::Kvm.check_model(CpuModel::default()).is_ok());
        assert!(Hypervisor::Emulated.check_model(z10).is_ok());
    }
}
