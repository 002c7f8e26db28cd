// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The virtual machine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use s390_extint::ExternalInterrupt;
use s390_hypervisor::{Result as BackendResult, Vcpu, Vm};
use vm_memory::GuestMemoryBackend;
use vmm_sys_util::errno;

use super::error::refused;
use super::handle::Handle;
use super::memory::SlotMapping;
use super::{interrupt, signal, Error, KvmVcpu};
use crate::bindings::*;
use crate::ioctls::{DeviceFd, Kvm, VmFd};

/// What the backend needs of the host's KVM beside what every KVM has. All of it is in Linux 5.6.
const NEEDED: [(u32, &str); 8] = [
    (KVM_CAP_SYNC_REGS, "registers in shared memory"),
    (KVM_CAP_MP_STATE, "run states"),
    (KVM_CAP_ONE_REG, "access to timers"),
    (KVM_CAP_IMMEDIATE_EXIT, "immediate exit"),
    (KVM_CAP_S390_USER_SIGP, "SIGP in user space"),
    (KVM_CAP_S390_INJECT_IRQ, "local interruptions"),
    (KVM_CAP_S390_IRQ_STATE, "list of local interruptions"),
    (KVM_CAP_S390_VCPU_RESETS, "CPU resets"),
];

/// A virtual machine whose CPUs are the host's, by KVM.
///
/// Each CPU runs on the thread that calls its [`Vcpu::run`]. `SIGRTMIN` is taken to call threads
/// out of the guest: a handler for it is installed.
#[derive(Debug)]
pub struct KvmVm {
    shared: Arc<Shared>,
    /// What the guest's clock showed when it was stopped.
    stopped: Mutex<Option<kvm_s390_vm_tod_clock>>,
}

/// What vCPUs and their handles hold on to. The fields are dropped in this order: memory goes when
/// nobody can run the guest any more.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The CPUs, which take floating interruptions. Those are made pending and dropped by one
    /// thread at a time, which has this locked: the kernel has no call that drops only some.
    cpus: Mutex<Vec<Weak<Handle>>>,
    flic: Option<DeviceFd>,
    pub(crate) vm: VmFd,
    pub(crate) memory: SlotMapping,
}

impl Shared {
    /// There is another CPU, which has not run yet.
    pub(super) fn add_cpu(&self, cpu: &Arc<Handle>) {
        let mut cpus = self.cpus();
        cpus.retain(|cpu| cpu.strong_count() > 0);
        cpus.push(Arc::downgrade(cpu));
    }

    fn cpus(&self) -> MutexGuard<'_, Vec<Weak<Handle>>> {
        self.cpus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops `stale` where it is pending in `flic`. All CPUs are outside the guest meanwhile, so
    /// that none takes an interruption that is about to be dropped and made pending again. What
    /// stays pending stays in its order; a service signal is the same when it is merged with none.
    fn retract(&self, flic: &DeviceFd, stale: &kvm_s390_irq) -> Result<(), errno::Error> {
        let is_stale = |irq: &kvm_s390_irq| interrupt::is_same(irq, stale);
        let cpus = self.cpus();
        // The usual case. Whoever could make it pending has stopped, so that no look is missed.
        if !pending(flic)?.iter().any(is_stale) {
            return Ok(());
        }
        let cpus: Vec<_> = cpus.iter().filter_map(Weak::upgrade).collect();
        let _pauses: Vec<_> = cpus.iter().map(|cpu| cpu.gate.pause()).collect();
        let mut irqs = pending(flic)?;
        irqs.retain(|irq| !is_stale(irq));
        flic.flic_clear_irqs()?;
        flic.flic_enqueue(&irqs)
    }
}

/// All floating interruptions that are pending.
fn pending(flic: &DeviceFd) -> Result<Vec<kvm_s390_irq>, errno::Error> {
    let mut room = 64;
    loop {
        match flic.flic_get_all_irqs(room) {
            // The kernel holds fewer than it is able to list.
            Err(error) if error.errno() == libc::ENOMEM => room *= 4,
            result => return result,
        }
    }
}

impl KvmVm {
    /// Whether KVM can be used here: what [`new`](Self::new) does first, for those who must know
    /// before they allocate memory.
    ///
    /// # Errors
    ///
    /// Why not, in one sentence.
    pub fn probe() -> Result<(), Error> {
        open().map(drop)
    }

    /// A machine with all of `memory` as its storage, which comes from
    /// [`guest_memory`](crate::guest_memory) or has the same form: one region from address 0, a
    /// multiple of 1 MiB, of a file that is mapped shared.
    ///
    /// # Errors
    ///
    /// Why KVM cannot be used, or not with this memory, in one sentence.
    pub fn new(memory: &impl GuestMemoryBackend) -> Result<Self, Error> {
        let vm = open()?;
        let memory = SlotMapping::new(memory)?;
        if vm.check_extension(KVM_CAP_S390_COW) == 0 {
            memory.populate()?;
        }
        signal::install().map_err(Error::host("install a signal handler"))?;
        let user_sigp = kvm_enable_cap {
            cap: KVM_CAP_S390_USER_SIGP,
            ..Default::default()
        };
        vm.enable_cap(&user_sigp)
            .map_err(Error::host("take over SIGP from the kernel"))?;
        // Without it, the ioctls that are older do.
        let flic = vm.create_device(KVM_DEV_TYPE_FLIC).ok();
        let shared = Shared {
            cpus: Mutex::default(),
            flic,
            vm,
            memory,
        };
        let region = kvm_userspace_memory_region {
            memory_size: shared.memory.size(),
            userspace_addr: shared.memory.as_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the mapping is dropped behind the VM's files, and vCPUs hold on to both. It is
        // the guest's alone: nobody has a reference into it.
        unsafe { shared.vm.set_user_memory_region(region) }
            .map_err(Error::host("give memory to the guest"))?;
        Ok(KvmVm {
            shared: Arc::new(shared),
            stopped: Mutex::default(),
        })
    }

    /// Adds the CPU with this address, as [`Vm::create_vcpu`] does, with its type known.
    ///
    /// # Errors
    ///
    /// [`s390_hypervisor::Error::Invalid`] if there is such a CPU already.
    pub fn new_vcpu(&self, address: u16) -> BackendResult<KvmVcpu> {
        KvmVcpu::new(&self.shared, address)
    }

    /// The machine as the ioctls see it.
    pub fn fd(&self) -> &VmFd {
        &self.shared.vm
    }
}

/// Creates a VM without memory.
fn open() -> Result<VmFd, Error> {
    if cfg!(not(target_arch = "s390x")) {
        return Err(Error::WrongArchitecture);
    }
    let kvm = Kvm::new().map_err(Error::open)?;
    if kvm.get_api_version() != KVM_API_VERSION as i32 {
        return Err(Error::NotKvm);
    }
    // Only s390 has it, and on s390 every KVM has it.
    if kvm.check_extension(KVM_CAP_S390_PSW) == 0 {
        return Err(Error::NotKvm);
    }
    for (capability, name) in NEEDED {
        if kvm.check_extension(capability) == 0 {
            return Err(Error::Missing(name));
        }
    }
    kvm.create_vm().map_err(Error::create)
}

impl Vm for KvmVm {
    fn create_vcpu(&self, address: u16) -> BackendResult<Box<dyn Vcpu>> {
        Ok(Box::new(self.new_vcpu(address)?))
    }

    fn inject(&self, interrupt: ExternalInterrupt) -> BackendResult<()> {
        let _one_at_a_time = self.shared.cpus();
        let result = match &self.shared.flic {
            Some(flic) => flic.flic_enqueue(&[interrupt::floating(interrupt)?]),
            None => {
                let interrupt = interrupt::floating_by_ioctl(interrupt)?;
                self.shared.vm.s390_interrupt(&interrupt)
            }
        };
        let code = interrupt.code;
        result.map_err(refused(format!(
            "make external interruption {code:#06x} pending"
        )))
    }

    /// A kernel without the controller cannot take back: the guest gets it, late.
    fn retract(&self, interrupt: ExternalInterrupt) -> BackendResult<()> {
        let Some(flic) = &self.shared.flic else {
            return Ok(());
        };
        let stale = interrupt::floating(interrupt)?;
        let code = interrupt.code;
        self.shared
            .retract(flic, &stale)
            .map_err(refused(format!("take back interruption {code:#06x}")))
    }

    fn clear_interrupts(&self) -> BackendResult<()> {
        let _one_at_a_time = self.shared.cpus();
        let result = match &self.shared.flic {
            Some(flic) => flic.flic_clear_irqs(),
            None => Err(errno::Error::new(libc::ENODEV)),
        };
        result.map_err(refused("drop pending interruptions"))
    }

    fn pending_interrupts(&self) -> BackendResult<Option<usize>> {
        let _one_at_a_time = self.shared.cpus();
        let Some(flic) = &self.shared.flic else {
            return Ok(None);
        };
        let pending = pending(flic).map_err(refused("count pending interruptions"))?;
        Ok(Some(pending.len()))
    }

    /// KVM's clock goes on; what it showed is put back when it shall. The kernel counts CPU timers
    /// while `KVM_RUN` runs and not otherwise.
    fn stop_clock(&self) -> BackendResult<()> {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if stopped.is_none() {
            let clock = self.shared.vm.get_tod_clock();
            *stopped = Some(clock.map_err(refused("read the guest's clock"))?);
        }
        Ok(())
    }

    fn start_clock(&self) -> BackendResult<()> {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        match stopped.take() {
            Some(clock) => {
                (self.shared.vm.set_tod_clock(&clock)).map_err(refused("set the guest's clock"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(all(test, not(target_arch = "s390x")))]
mod tests {
    use super::*;

    #[test]
    fn other_hosts_are_told_so() {
        let memory = crate::guest_memory::<()>(1 << 20).unwrap();
        let error = KvmVm::new(&memory).unwrap_err();
        assert!(matches!(error, Error::WrongArchitecture));
        assert!(error.to_string().contains("s390x hosts only"));
        assert!(matches!(KvmVm::probe(), Err(Error::WrongArchitecture)));
    }
}

#[cfg(all(test, target_arch = "s390x"))]
mod tests {
    use s390_extint::{lowcore, Psw};
    use s390_hypervisor::{Intercept, RunState, VcpuExit};
    use vm_memory::{Bytes, GuestAddress};

    use super::*;

    /// No kernel that is new enough lacks the controller, so that it is taken away here.
    #[test]
    fn without_a_controller_the_older_call_injects() {
        if let Err(error) = KvmVm::probe() {
            assert!(std::env::var_os("S390_KVM_REQUIRED").is_none(), "{error}");
            println!("SKIPPED: {error}");
            return;
        }
        let memory = crate::guest_memory::<()>(1 << 20).unwrap();
        let mut vm = KvmVm::new(&memory).unwrap();
        assert!(Arc::get_mut(&mut vm.shared).unwrap().flic.take().is_some());
        let wait = Psw {
            mask: Psw::EXTENDED | Psw::BASIC | Psw::WAIT,
            addr: 0x1234,
        };
        let new_psw = GuestAddress(lowcore::EXT_NEW_PSW.offset.into());
        memory.write_slice(&wait.to_bytes(), new_psw).unwrap();
        let mut cpu = vm.new_vcpu(0).unwrap();
        cpu.set_psw(Psw {
            mask: wait.mask | Psw::EXTERNAL,
            addr: 0,
        });
        cpu.handle().set_run_state(RunState::Operating).unwrap();
        let token = 0x1122_3344_5566_7788;
        vm.inject(ExternalInterrupt {
            code: ExternalInterrupt::VIRTIO,
            subcode: 0x0d00,
            params: 1,
            params2: token,
        })
        .unwrap();
        let exit = cpu.run().unwrap();
        assert!(matches!(exit, VcpuExit::Intercept(i) if i.code == Intercept::WAIT));
        assert_eq!(cpu.psw(), wait);
        let params2 = GuestAddress(lowcore::EXT_PARAMS2.offset.into());
        let stored: [u8; 8] = memory.read_obj(params2).unwrap();
        assert_eq!(u64::from_be_bytes(stored), token);
    }
}
