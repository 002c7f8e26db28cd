// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ioctls against the kernel's own KVM, where it is usable (`S390_KVM_REQUIRED=1`: it must be).

use s390_kvm::bindings::*;
use s390_kvm::ioctls::{Kvm, MemOp, VcpuExit, VcpuFd, VmFd};
use s390_kvm::KvmVm;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const SEGMENT: u64 = 1 << 20;
/// Where programs are.
const CODE: u64 = 0x10000;
/// 64-bit addressing, with interruptions disabled.
const MASK: u64 = 0x0000_0001_8000_0000;

/// A VM with 1 MiB of memory. Dropped in this order: memory last.
struct Machine {
    vm: VmFd,
    kvm: Kvm,
    memory: GuestMemoryMmap,
    /// Where in the memory that of the guest begins.
    offset: u64,
}

impl Machine {
    /// `None` where KVM is not usable.
    fn new() -> Option<Self> {
        if let Err(error) = KvmVm::probe() {
            assert!(std::env::var_os("S390_KVM_REQUIRED").is_none(), "{error}");
            println!("SKIPPED: {error}");
            return None;
        }
        let kvm = Kvm::new().unwrap();
        let vm = kvm.create_vm().unwrap();
        // Three segments, with a whole one in them that is surely where KVM can use it.
        let range = (GuestAddress(0), 3 * SEGMENT as usize);
        let memory = GuestMemoryMmap::from_ranges(&[range]).unwrap();
        // A host without copy on write needs pages that were written to.
        let filled = vec![0xff; range.1];
        memory.write_slice(&filled, range.0).unwrap();
        let cleared = vec![0; range.1];
        memory.write_slice(&cleared, range.0).unwrap();
        let address = memory.get_host_address(GuestAddress(0)).unwrap() as u64;
        let machine = Machine {
            vm,
            kvm,
            memory,
            offset: address.next_multiple_of(SEGMENT) - address,
        };
        machine.set_slot(|_| ()).unwrap();
        Some(machine)
    }

    /// Host address of the guest's memory.
    fn host_address(&self) -> u64 {
        let start = GuestAddress(self.offset);
        self.memory.get_host_address(start).unwrap() as u64
    }

    fn set_slot(
        &self,
        change: impl FnOnce(&mut kvm_userspace_memory_region),
    ) -> s390_kvm::ioctls::Result<()> {
        let mut region = kvm_userspace_memory_region {
            memory_size: SEGMENT,
            userspace_addr: self.host_address(),
            ..Default::default()
        };
        change(&mut region);
        // SAFETY: the memory outlives the VM and is accessed by volatile accesses only; callers
        // ask for a part of it.
        unsafe { self.vm.set_user_memory_region(region) }
    }

    fn put(&self, addr: u64, bytes: &[u8]) {
        let addr = GuestAddress(self.offset + addr);
        self.memory.write_slice(bytes, addr).unwrap();
    }

    fn get<const N: usize>(&self, addr: u64) -> [u8; N] {
        let mut bytes = [0; N];
        let addr = GuestAddress(self.offset + addr);
        self.memory.read_slice(&mut bytes, addr).unwrap();
        bytes
    }

    /// A CPU that begins with `code`.
    fn start(&self, id: u64, code: &[u8]) -> VcpuFd {
        self.put(CODE, code);
        let mut vcpu = self.vm.create_vcpu(id).unwrap();
        vcpu.initial_reset().unwrap();
        vcpu.set_psw(kvm_s390_psw {
            mask: MASK,
            addr: CODE,
        });
        vcpu
    }

    fn enable(&self, cap: u32) {
        let cap = kvm_enable_cap {
            cap,
            ..Default::default()
        };
        self.vm.enable_cap(&cap).unwrap();
    }
}

fn errno<T: std::fmt::Debug>(result: s390_kvm::ioctls::Result<T>) -> i32 {
    result.unwrap_err().errno()
}

fn sieic(exit: VcpuExit) -> (u8, u16, u32) {
    match exit {
        VcpuExit::S390Sieic { icptcode, ipa, ipb } => (icptcode, ipa, ipb),
        exit => panic!("{exit:?}"),
    }
}

#[test]
fn the_system_knows_its_capabilities() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let kvm = &machine.kvm;
    assert_eq!(kvm.get_api_version(), KVM_API_VERSION as i32);
    assert!(kvm.get_vcpu_mmap_size().unwrap() >= size_of::<kvm_run>());
    for cap in [
        KVM_CAP_S390_PSW,
        KVM_CAP_SYNC_REGS,
        KVM_CAP_ONE_REG,
        KVM_CAP_S390_INJECT_IRQ,
    ] {
        assert_ne!(kvm.check_extension(cap), 0, "{cap}");
        assert_ne!(machine.vm.check_extension(cap), 0, "{cap}");
    }
    assert_eq!(kvm.check_extension(60_000), 0);
    assert!(machine.vm.check_extension(KVM_CAP_S390_MEM_OP) >= 4096);
    assert_eq!(errno(kvm.create_vm_with_type(2)), libc::EINVAL);
}

#[test]
fn a_memory_slot_begins_and_ends_at_a_segment() {
    let Some(machine) = Machine::new() else {
        return;
    };
    // Kernels that track guest pages one by one take any page, and may say so.
    let by_page = machine
        .set_slot(|slot| (slot.slot, slot.guest_phys_addr, slot.memory_size) = (1, SEGMENT, 4096));
    if by_page.is_ok() {
        println!("this kernel takes slots of pages");
        return;
    }
    let changes: [fn(&mut kvm_userspace_memory_region); 2] = [
        |slot| slot.memory_size = 4096,
        |slot| slot.userspace_addr += 4096,
    ];
    for change in changes {
        let result = machine.set_slot(|slot| {
            (slot.slot, slot.guest_phys_addr) = (1, SEGMENT);
            change(slot);
        });
        assert_eq!(errno(result), libc::EINVAL);
    }
    // The same memory once more, then no more.
    for memory_size in [SEGMENT, 0] {
        machine
            .set_slot(|slot| {
                (slot.slot, slot.guest_phys_addr) = (1, SEGMENT);
                slot.memory_size = memory_size;
            })
            .unwrap();
    }
}

#[test]
fn a_cpu_runs_from_exit_to_exit() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let code = [
        &[0xa7, 0x29, 0x00, 0x2a][..],         // lghi %r2,42
        &[0xe3, 0x20, 0x12, 0x34, 0x00, 0x24], // stg %r2,0x234(%r1)
        &[0x83, 0x24, 0x05, 0x00],             // diag %r2,%r4,0x500
        &[0xb2, 0xb2, 0x08, 0x00],             // lpswe 0x800
    ];
    let mut vcpu = machine.start(0, &code.concat());
    machine.put(
        0x800,
        &[MASK | 2 << 48, 0xdead].map(u64::to_be_bytes).concat(),
    );
    vcpu.sync_regs_mut().gprs[1] = 0x1000;
    vcpu.set_sync_dirty_reg(KVM_SYNC_GPRS);
    assert_eq!(sieic(vcpu.run().unwrap()), (4, 0x8324, 0x0500_0000));
    assert_ne!(vcpu.sync_valid_regs() & KVM_SYNC_GPRS, 0);
    assert_eq!(vcpu.sync_regs().gprs[2], 42);
    assert_eq!(vcpu.get_regs().unwrap().gprs[2], 42);
    assert_eq!(u64::from_be_bytes(machine.get(0x1234)), 42);
    assert_eq!((vcpu.psw().mask, vcpu.psw().addr), (MASK, CODE + 14));
    let (code, ..) = sieic(vcpu.run().unwrap());
    assert_eq!((code, vcpu.psw().addr), (0x1c, 0xdead));
}

#[test]
fn an_immediate_exit_comes_before_the_first_instruction() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let mut vcpu = machine.start(0, &[0x83, 0x24, 0x05, 0x00]);
    let remote = vcpu.remote();
    remote.set_immediate_exit(true);
    assert_eq!(errno(vcpu.run()), libc::EINTR);
    assert_eq!(vcpu.psw().addr, CODE);
    remote.set_immediate_exit(false);
    assert_eq!(sieic(vcpu.run().unwrap()).0, 4);
}

#[test]
fn registers_go_in_and_come_out() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let mut vcpu = machine.start(0, &[]);
    let gprs = std::array::from_fn(|n| 0x1111_0000_0000_0000 | n as u64);
    vcpu.set_regs(&kvm_regs { gprs }).unwrap();
    assert_eq!(vcpu.get_regs().unwrap().gprs, gprs);

    let acrs = std::array::from_fn(|n| 0x2222_0000 | n as u32);
    let mut crs = vcpu.get_sregs().unwrap().crs;
    crs[7] = 0x3333_0000;
    vcpu.set_sregs(&kvm_sregs { acrs, crs }).unwrap();
    let sregs = vcpu.get_sregs().unwrap();
    assert_eq!((sregs.acrs, sregs.crs), (acrs, crs));

    let fprs = std::array::from_fn(|n| 0x4444_0000_0000_0000 | n as u64);
    let fpc = 0x0088_0000;
    vcpu.set_fpu(&kvm_fpu { fpc, fprs }).unwrap();
    let fpu = vcpu.get_fpu().unwrap();
    assert_eq!((fpu.fpc, fpu.fprs), (fpc, fprs));

    vcpu.set_one_reg(KVM_REG_S390_TODPR, 0x1234).unwrap();
    vcpu.set_one_reg(KVM_REG_S390_CLOCK_COMP, u64::MAX - 0xffff)
        .unwrap();
    assert_eq!(vcpu.get_one_reg(KVM_REG_S390_TODPR), Ok(0x1234));
    let comparator = vcpu.get_one_reg(KVM_REG_S390_CLOCK_COMP);
    assert_eq!(comparator, Ok(u64::MAX - 0xffff));
    let unknown = KVM_REG_S390 | KVM_REG_SIZE_U64 | 0x7777;
    assert_eq!(errno(vcpu.get_one_reg(unknown)), libc::EINVAL);
    assert_eq!(errno(vcpu.get_one_reg(KVM_REG_S390 | 1)), libc::EINVAL);
}

#[test]
fn run_states_and_resets() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let mut vcpu = machine.start(0, &[]);
    assert_eq!(errno(machine.vm.create_vcpu(0)), libc::EEXIST);
    assert_eq!(errno(machine.vm.create_vcpu(u64::MAX >> 33)), libc::EINVAL);
    for mp_state in [KVM_MP_STATE_STOPPED, KVM_MP_STATE_OPERATING] {
        vcpu.set_mp_state(kvm_mp_state { mp_state }).unwrap();
        assert_eq!(vcpu.get_mp_state().unwrap().mp_state, mp_state);
    }
    assert_eq!(
        errno(vcpu.set_mp_state(kvm_mp_state { mp_state: 77 })),
        libc::ENXIO
    );
    let psw = kvm_s390_psw {
        mask: MASK,
        addr: 0x4000,
    };
    assert_eq!(errno(vcpu.set_initial_psw(&psw)), libc::EBUSY);
    let mp_state = KVM_MP_STATE_STOPPED;
    vcpu.set_mp_state(kvm_mp_state { mp_state }).unwrap();
    vcpu.set_initial_psw(&psw).unwrap();
    assert_eq!(vcpu.psw().addr, 0x4000);

    vcpu.set_regs(&kvm_regs { gprs: [7; 16] }).unwrap();
    vcpu.normal_reset().unwrap();
    vcpu.initial_reset().unwrap();
    assert_eq!(vcpu.get_regs().unwrap().gprs, [7; 16]);
    assert_eq!(vcpu.get_sregs().unwrap().crs[0], 0xe0);
    assert_eq!(vcpu.psw().addr, 0);
    vcpu.clear_reset().unwrap();
    assert_eq!(vcpu.get_regs().unwrap().gprs, [0; 16]);
}

#[test]
fn memory_is_accessed_as_the_cpu_would() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let vcpu = machine.start(0, &[]);
    let plain = MemOp::default();
    assert_eq!(vcpu.mem_write(0x5ffe, &[1, 2, 3, 4], plain), Ok(None));
    assert_eq!(machine.get(0x5ffe), [1, 2, 3, 4]);
    let mut read = [0; 4];
    assert_eq!(vcpu.mem_read(0x5ffe, &mut read, plain), Ok(None));
    assert_eq!(read, [1, 2, 3, 4]);
    // Addressing exception, which nobody but the caller hears of.
    assert_eq!(vcpu.mem_read(SEGMENT, &mut read, plain), Ok(Some(5)));
    assert!(vcpu.remote().get_irq_state().unwrap().is_empty());
    let inject = MemOp {
        inject_exception: true,
        ..plain
    };
    assert_eq!(vcpu.mem_write(SEGMENT, &read, inject), Ok(Some(5)));
    let pending = vcpu.remote().get_irq_state().unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].type_, u64::from(KVM_S390_PROGRAM_INT));

    vcpu.store_status(0x8000).unwrap();
    assert_eq!(u64::from_be_bytes(machine.get(0x8180)), 0xe0);
    assert_eq!(errno(vcpu.store_status(SEGMENT)), libc::EFAULT);
}

#[test]
fn storage_keys() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let mut keys = [0xff; 4];
    assert_eq!(machine.vm.get_skeys(0, &mut keys), Ok(false));
    machine.vm.set_skeys(1, &[0x10, 0xe0]).unwrap();
    assert_eq!(machine.vm.get_skeys(0, &mut keys), Ok(true));
    assert_eq!(keys.map(|key| key & 0xf8), [0, 0x10, 0xe0, 0]);
    assert_eq!(errno(machine.vm.set_skeys(0, &[0x01])), libc::EINVAL);
    let outside = machine.vm.get_skeys(SEGMENT >> 12, &mut keys);
    assert_eq!(errno(outside), libc::EFAULT);
}

#[test]
fn cpu_model_and_clock() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let vm = &machine.vm;
    assert!(vm.has_device_attr(KVM_S390_VM_TOD, KVM_S390_VM_TOD_LOW));
    assert!(!vm.has_device_attr(KVM_S390_VM_TOD, 99));
    let host = vm.get_cpu_machine().unwrap();
    assert_ne!(host.cpuid, 0);
    // Zarch is installed and active.
    assert_eq!(host.fac_list[0] >> 61 & 3, 3);
    let mut guest = vm.get_cpu_processor().unwrap();
    // Without the topology facility.
    guest.fac_list[0] &= !(1 << (63 - 11));
    vm.set_cpu_processor(&guest).unwrap();
    let set = vm.get_cpu_processor().unwrap();
    assert_eq!(set.fac_list[0], guest.fac_list[0]);
    vm.get_cpu_processor_feat().unwrap();
    let _vcpu = machine.start(0, &[]);
    assert_eq!(errno(vm.set_cpu_processor(&guest)), libc::EBUSY);

    vm.set_tod(1 << 60).unwrap();
    let tod = vm.get_tod().unwrap();
    assert!(tod >> 40 == 1 << 20, "{tod:#x}");
    let clock = vm.get_tod_clock().unwrap();
    assert_eq!(clock.epoch_idx, 0);
    assert!(clock.tod >= tod && clock.tod >> 40 == 1 << 20);
    vm.set_tod_clock(&kvm_s390_vm_tod_clock {
        tod: 1 << 61,
        ..clock
    })
    .unwrap();
    assert!(vm.get_tod().unwrap() >> 40 == 1 << 21);
}

fn virtio(ext_params: u32, ext_params2: u64) -> kvm_s390_irq {
    let mut irq = kvm_s390_irq {
        type_: KVM_S390_INT_VIRTIO.into(),
        ..Default::default()
    };
    irq.u.ext = kvm_s390_ext_info {
        ext_params,
        ext_params2,
        ..Default::default()
    };
    irq
}

#[test]
fn the_floating_interrupt_controller_holds_what_it_is_given() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let flic = machine.vm.create_device(KVM_DEV_TYPE_FLIC).unwrap();
    assert!(machine.vm.create_device(KVM_DEV_TYPE_FLIC).is_err());
    assert!(machine.vm.create_device(0x7777).is_err());
    assert!(flic.has_device_attr(KVM_DEV_FLIC_ENQUEUE, 0));
    assert!(!flic.has_device_attr(0x7777, 0));
    assert!(flic.flic_get_all_irqs(64).unwrap().is_empty());
    flic.flic_enqueue(&[virtio(0, 0x10), virtio(1, 0x20)])
        .unwrap();
    // By the older way.
    let service = kvm_s390_interrupt {
        type_: KVM_S390_INT_SERVICE,
        parm: 0x5000,
        parm64: 0,
    };
    machine.vm.s390_interrupt(&service).unwrap();
    let mut pending: Vec<_> = flic.flic_get_all_irqs(64).unwrap();
    pending.sort_by_key(|irq| irq.type_);
    // SAFETY: each of them is an external interruption.
    let params = |irq: &kvm_s390_irq| unsafe { (irq.u.ext.ext_params, irq.u.ext.ext_params2) };
    let seen: Vec<_> = pending.iter().map(params).collect();
    assert_eq!(seen, [(0x5000, 0), (0, 0x10), (1, 0x20)]);
    flic.flic_clear_irqs().unwrap();
    assert!(flic.flic_get_all_irqs(64).unwrap().is_empty());
    let local = kvm_s390_irq {
        type_: KVM_S390_RESTART.into(),
        ..Default::default()
    };
    assert_eq!(errno(flic.flic_enqueue(&[local])), libc::EINVAL);
}

#[test]
fn local_interruptions_are_pending_once() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let vcpu = machine.start(0, &[]);
    let _sender = machine.vm.create_vcpu(1).unwrap();
    let remote = vcpu.remote();
    let call = |code| {
        let mut irq = kvm_s390_irq {
            type_: KVM_S390_INT_EXTERNAL_CALL.into(),
            ..Default::default()
        };
        irq.u.extcall = kvm_s390_extcall_info { code };
        irq
    };
    remote.s390_irq(&call(1)).unwrap();
    assert_eq!(errno(remote.s390_irq(&call(1))), libc::EBUSY);
    let signal = kvm_s390_interrupt {
        type_: KVM_S390_INT_EMERGENCY,
        parm: 1,
        parm64: 0,
    };
    remote.s390_interrupt(&signal).unwrap();
    let pending = remote.get_irq_state().unwrap();
    assert_eq!(pending.len(), 2);
    assert_eq!(errno(remote.s390_irq(&virtio(0, 0))), libc::EINVAL);
}

#[test]
fn a_guest_asks_for_a_reset() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let code = [
        &[0xa7, 0x29, 0x00, 0x04][..], // lghi %r2,4: load normal reset
        &[0x83, 0x02, 0x03, 0x08],     // diag %r0,%r2,0x308
    ];
    let mut vcpu = machine.start(0, &code.concat());
    let VcpuExit::S390Reset(flags) = vcpu.run().unwrap() else {
        panic!("no reset");
    };
    let expected = KVM_S390_RESET_SUBSYSTEM | KVM_S390_RESET_CPU_INIT | KVM_S390_RESET_IPL;
    assert_eq!(
        flags & !KVM_S390_RESET_POR & !KVM_S390_RESET_CLEAR,
        expected
    );
}

#[test]
fn system_information_is_left_to_the_user_who_wants_it() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.enable(KVM_CAP_S390_USER_STSI);
    let code = [
        &[0xc0, 0x01, 0x30, 0x00, 0x00, 0x02][..], // lgfi %r0,0x30000002
        &[0xa7, 0x19, 0x00, 0x02],                 // lghi %r1,2
        &[0xb2, 0x7d, 0x50, 0x00],                 // stsi 0(%r5)
    ];
    let mut vcpu = machine.start(0, &code.concat());
    vcpu.sync_regs_mut().gprs[5] = 0x5000;
    vcpu.set_sync_dirty_reg(KVM_SYNC_GPRS);
    assert_eq!(
        vcpu.run().unwrap(),
        VcpuExit::S390Stsi {
            addr: 0x5000,
            ar: 5,
            fc: 3,
            sel1: 2,
            sel2: 2
        }
    );
}

#[test]
fn channel_io_is_left_to_the_user_who_wants_it() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let code = [
        &[0xb2, 0x33, 0x50, 0x00][..], // ssch 0(%r5)
        &[0xb2, 0x35, 0x50, 0x00],     // tsch 0(%r5)
    ];
    let mut vcpu = machine.start(0, &code.concat());
    let css = kvm_enable_cap {
        cap: KVM_CAP_S390_CSS_SUPPORT,
        ..Default::default()
    };
    vcpu.enable_cap(&css).unwrap();
    let unknown = kvm_enable_cap {
        cap: 60_000,
        ..Default::default()
    };
    assert_eq!(errno(vcpu.enable_cap(&unknown)), libc::EINVAL);
    assert_eq!(errno(machine.vm.enable_cap(&unknown)), libc::EINVAL);
    vcpu.sync_regs_mut().gprs[1] = 0x0001_0000;
    vcpu.set_sync_dirty_reg(KVM_SYNC_GPRS);
    assert_eq!(sieic(vcpu.run().unwrap()), (4, 0xb233, 0x5000_0000));
    let VcpuExit::S390Tsch { dequeued, ipb, .. } = vcpu.run().unwrap() else {
        panic!("no TSCH");
    };
    assert_eq!((dequeued, ipb), (false, 0x5000_0000));
}

#[test]
fn instruction_0000_is_left_to_the_user_who_wants_it() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.enable(KVM_CAP_S390_USER_INSTR0);
    let mut vcpu = machine.start(0, &[0x00, 0x00]);
    let (code, ipa, _) = sieic(vcpu.run().unwrap());
    assert_eq!((code, ipa), (0x2c, 0x0000));
}
