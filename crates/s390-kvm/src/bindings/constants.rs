// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Constants. Those of the ABI that do not change per architecture are `u32`, as in kvm-bindings.

use super::macros::kernel_constants;

kernel_constants! {
    /// The only version of the interface.
    KVM_API_VERSION: u32 = 12;
    /// Exit: for a reason that the kernel does not know.
    KVM_EXIT_UNKNOWN: u32 = 0;
    /// Exit: a debug event.
    KVM_EXIT_DEBUG: u32 = 4;
    /// Exit: the guest could not be entered.
    KVM_EXIT_FAIL_ENTRY: u32 = 9;
    /// Exit: a signal.
    KVM_EXIT_INTR: u32 = 10;
    /// Exit: a SIE intercept.
    KVM_EXIT_S390_SIEIC: u32 = 13;
    /// Exit: the guest asks for a reset by DIAGNOSE 0x308.
    KVM_EXIT_S390_RESET: u32 = 14;
    /// Exit: the kernel cannot go on.
    KVM_EXIT_INTERNAL_ERROR: u32 = 17;
    /// Exit: a translation exception of a guest that its user controls.
    KVM_EXIT_S390_UCONTROL: u32 = 20;
    /// Exit: TEST SUBCHANNEL.
    KVM_EXIT_S390_TSCH: u32 = 22;
    /// Exit: STORE SYSTEM INFORMATION.
    KVM_EXIT_S390_STSI: u32 = 25;
    /// Reset: power-on.
    KVM_S390_RESET_POR: u64 = 1;
    /// Reset: storage is to be cleared.
    KVM_S390_RESET_CLEAR: u64 = 2;
    /// Reset: the channel subsystem, too.
    KVM_S390_RESET_SUBSYSTEM: u64 = 4;
    /// Reset: an initial CPU reset.
    KVM_S390_RESET_CPU_INIT: u64 = 8;
    /// Reset: the operating system is to be loaded.
    KVM_S390_RESET_IPL: u64 = 16;
    /// Capability: recommended number of vCPUs.
    KVM_CAP_NR_VCPUS: u32 = 9;
    /// Capability: number of memory slots.
    KVM_CAP_NR_MEMSLOTS: u32 = 10;
    /// Capability: run states.
    KVM_CAP_MP_STATE: u32 = 14;
    /// Capability: the PSW is in `kvm_run`.
    KVM_CAP_S390_PSW: u32 = 42;
    /// Capability: `KVM_ENABLE_CAP` of a vCPU.
    KVM_CAP_ENABLE_CAP: u32 = 54;
    /// Capability: most vCPUs.
    KVM_CAP_MAX_VCPUS: u32 = 66;
    /// Capability: registers by number.
    KVM_CAP_ONE_REG: u32 = 70;
    /// Capability: guest address spaces of their own.
    KVM_CAP_S390_GMAP: u32 = 71;
    /// Capability: guests that their user controls.
    KVM_CAP_S390_UCONTROL: u32 = 73;
    /// Capability: registers in `kvm_run`.
    KVM_CAP_SYNC_REGS: u32 = 74;
    /// Capability: copy on write of guest memory.
    KVM_CAP_S390_COW: u32 = 79;
    /// Capability: channel I/O instructions for the user.
    KVM_CAP_S390_CSS_SUPPORT: u32 = 85;
    /// Capability: devices.
    KVM_CAP_DEVICE_CTRL: u32 = 89;
    /// Capability: `KVM_ENABLE_CAP` of a VM.
    KVM_CAP_ENABLE_CAP_VM: u32 = 98;
    /// Capability: interruption routing.
    KVM_CAP_S390_IRQCHIP: u32 = 99;
    /// Capability: attributes of a VM.
    KVM_CAP_VM_ATTRIBUTES: u32 = 101;
    /// Capability: `KVM_CHECK_EXTENSION` of a VM.
    KVM_CAP_CHECK_EXTENSION_VM: u32 = 105;
    /// Capability: SIGP orders for the user.
    KVM_CAP_S390_USER_SIGP: u32 = 106;
    /// Capability: the vector facility.
    KVM_CAP_S390_VECTOR_REGISTERS: u32 = 107;
    /// Capability: `KVM_S390_MEM_OP`.
    KVM_CAP_S390_MEM_OP: u32 = 108;
    /// Capability: STORE SYSTEM INFORMATION for the user.
    KVM_CAP_S390_USER_STSI: u32 = 109;
    /// Capability: storage keys.
    KVM_CAP_S390_SKEYS: u32 = 110;
    /// Capability: `KVM_S390_IRQ`.
    KVM_CAP_S390_INJECT_IRQ: u32 = 113;
    /// Capability: pending interruptions of a CPU.
    KVM_CAP_S390_IRQ_STATE: u32 = 114;
    /// Capability: runtime instrumentation.
    KVM_CAP_S390_RI: u32 = 124;
    /// Capability: instruction 0x0000 for the user.
    KVM_CAP_S390_USER_INSTR0: u32 = 130;
    /// Capability: `immediate_exit` in `kvm_run`.
    KVM_CAP_IMMEDIATE_EXIT: u32 = 136;
    /// Capability: guarded storage.
    KVM_CAP_S390_GS: u32 = 140;
    /// Capability: guest memory in pages of 1 MiB.
    KVM_CAP_S390_HPAGE_1M: u32 = 156;
    /// Capability: normal and clear reset.
    KVM_CAP_S390_VCPU_RESETS: u32 = 179;
    /// Capability: protected guests.
    KVM_CAP_S390_PROTECTED: u32 = 180;
    /// Capability: DIAGNOSE 0x318.
    KVM_CAP_S390_DIAG318: u32 = 186;
    /// Capability: keys and absolute addresses in `KVM_S390_MEM_OP`.
    KVM_CAP_S390_MEM_OP_EXTENSION: u32 = 211;
    /// Capability: the topology facility.
    KVM_CAP_S390_CPU_TOPOLOGY: u32 = 222;
    /// Type of a VM: its user controls address translation.
    KVM_VM_S390_UCONTROL: u32 = 1;
    /// Memory slot: written pages are logged.
    KVM_MEM_LOG_DIRTY_PAGES: u32 = 1;
    /// Run state: stopped.
    KVM_MP_STATE_STOPPED: u32 = 5;
    /// Run state: check stop.
    KVM_MP_STATE_CHECK_STOP: u32 = 6;
    /// Run state: operating.
    KVM_MP_STATE_OPERATING: u32 = 7;
    /// Run state: load.
    KVM_MP_STATE_LOAD: u32 = 8;
    /// Interruption: stop order.
    KVM_S390_SIGP_STOP: u32 = 0xfffe_0000;
    /// Interruption: program interruption.
    KVM_S390_PROGRAM_INT: u32 = 0xfffe_0001;
    /// Interruption: set-prefix order.
    KVM_S390_SIGP_SET_PREFIX: u32 = 0xfffe_0002;
    /// Interruption: restart.
    KVM_S390_RESTART: u32 = 0xfffe_0003;
    /// Interruption: a page fault of the host began.
    KVM_S390_INT_PFAULT_INIT: u32 = 0xfffe_0004;
    /// Interruption: a page fault of the host is resolved.
    KVM_S390_INT_PFAULT_DONE: u32 = 0xfffe_0005;
    /// Interruption: machine check.
    KVM_S390_MCHK: u32 = 0xfffe_1000;
    /// Interruption: clock comparator.
    KVM_S390_INT_CLOCK_COMP: u32 = 0xffff_1004;
    /// Interruption: CPU timer.
    KVM_S390_INT_CPU_TIMER: u32 = 0xffff_1005;
    /// Interruption: virtio, external interruption 0x2603.
    KVM_S390_INT_VIRTIO: u32 = 0xffff_2603;
    /// Interruption: service signal, external interruption 0x2401.
    KVM_S390_INT_SERVICE: u32 = 0xffff_2401;
    /// Interruption: emergency signal.
    KVM_S390_INT_EMERGENCY: u32 = 0xffff_1201;
    /// Interruption: external call.
    KVM_S390_INT_EXTERNAL_CALL: u32 = 0xffff_1202;
    /// Interruption: lowest type of an I/O interruption.
    KVM_S390_INT_IO_MIN: u32 = 0x00000000;
    /// Interruption: highest type of an I/O interruption.
    KVM_S390_INT_IO_MAX: u32 = 0xfffd_ffff;
    /// Interruption: the I/O interruption is one of an adapter.
    KVM_S390_INT_IO_AI_MASK: u32 = 0x04000000;
    /// Stop order: the status is to be stored.
    KVM_S390_STOP_FLAG_STORE_STATUS: u32 = 0x01;
    /// Program interruption: the instruction-length code is given.
    KVM_S390_PGM_FLAGS_ILC_VALID: u8 = 0x01;
    /// Program interruption: instruction-length code, bit 0.
    KVM_S390_PGM_FLAGS_ILC_0: u8 = 0x02;
    /// Program interruption: instruction-length code, bit 1.
    KVM_S390_PGM_FLAGS_ILC_1: u8 = 0x04;
    /// Program interruption: instruction-length code.
    KVM_S390_PGM_FLAGS_ILC_MASK: u8 = 0x06;
    /// Program interruption: the PSW is as it shall be, even of a nullified instruction.
    KVM_S390_PGM_FLAGS_NO_REWIND: u8 = 0x08;
    /// Memory operation: read at a logical address.
    KVM_S390_MEMOP_LOGICAL_READ: u32 = 0;
    /// Memory operation: write at a logical address.
    KVM_S390_MEMOP_LOGICAL_WRITE: u32 = 1;
    /// Memory operation: read at an absolute address.
    KVM_S390_MEMOP_ABSOLUTE_READ: u32 = 4;
    /// Memory operation: write at an absolute address.
    KVM_S390_MEMOP_ABSOLUTE_WRITE: u32 = 5;
    /// Memory operation: only say what it would come to.
    KVM_S390_MEMOP_F_CHECK_ONLY: u64 = 1 << 0;
    /// Memory operation: the guest gets the exception.
    KVM_S390_MEMOP_F_INJECT_EXCEPTION: u64 = 1 << 1;
    /// Memory operation: with an access key.
    KVM_S390_MEMOP_F_SKEY_PROTECTION: u64 = 1 << 2;
    /// Answer of `KVM_S390_GET_SKEYS`: the guest uses none.
    KVM_S390_GET_SKEYS_NONE: u32 = 1;
    /// Most storage keys of one call.
    KVM_S390_SKEYS_MAX: u32 = 1048576;
    /// Device: the floating interrupt controller.
    KVM_DEV_TYPE_FLIC: u32 = 6;
    /// Floating interrupt controller: list what is pending.
    KVM_DEV_FLIC_GET_ALL_IRQS: u32 = 1;
    /// Floating interrupt controller: make pending.
    KVM_DEV_FLIC_ENQUEUE: u32 = 2;
    /// Floating interrupt controller: drop what is pending.
    KVM_DEV_FLIC_CLEAR_IRQS: u32 = 3;
    /// Largest list of pending floating interruptions, in bytes.
    KVM_S390_FLIC_MAX_BUFFER: u32 = 0x2000000;
    /// Attributes of a VM: memory.
    KVM_S390_VM_MEM_CTRL: u32 = 0;
    /// Attributes of a VM: time-of-day clock.
    KVM_S390_VM_TOD: u32 = 1;
    /// Attributes of a VM: cryptography.
    KVM_S390_VM_CRYPTO: u32 = 2;
    /// Attributes of a VM: CPU model.
    KVM_S390_VM_CPU_MODEL: u32 = 3;
    /// Memory: collaborative memory management.
    KVM_S390_VM_MEM_ENABLE_CMMA: u64 = 0;
    /// Memory: forget what the guest said of its pages.
    KVM_S390_VM_MEM_CLR_CMMA: u64 = 1;
    /// Memory: highest address.
    KVM_S390_VM_MEM_LIMIT_SIZE: u64 = 2;
    /// Clock: the base.
    KVM_S390_VM_TOD_LOW: u64 = 0;
    /// Clock: the epoch index.
    KVM_S390_VM_TOD_HIGH: u64 = 1;
    /// Clock: both.
    KVM_S390_VM_TOD_EXT: u64 = 2;
    /// CPU model: the guest's.
    KVM_S390_VM_CPU_PROCESSOR: u64 = 0;
    /// CPU model: what the host offers.
    KVM_S390_VM_CPU_MACHINE: u64 = 1;
    /// CPU model: the guest's features.
    KVM_S390_VM_CPU_PROCESSOR_FEAT: u64 = 2;
    /// CPU model: features that the host offers.
    KVM_S390_VM_CPU_MACHINE_FEAT: u64 = 3;
    /// CPU model: the guest's functions.
    KVM_S390_VM_CPU_PROCESSOR_SUBFUNC: u64 = 4;
    /// CPU model: functions that the host offers.
    KVM_S390_VM_CPU_MACHINE_SUBFUNC: u64 = 5;
    /// Registers in `kvm_run`: prefix.
    KVM_SYNC_PREFIX: u64 = 1 << 0;
    /// Registers in `kvm_run`: general registers.
    KVM_SYNC_GPRS: u64 = 1 << 1;
    /// Registers in `kvm_run`: access registers.
    KVM_SYNC_ACRS: u64 = 1 << 2;
    /// Registers in `kvm_run`: control registers.
    KVM_SYNC_CRS: u64 = 1 << 3;
    /// Registers in `kvm_run`: timers, program parameter, breaking-event address.
    KVM_SYNC_ARCH0: u64 = 1 << 4;
    /// Registers in `kvm_run`: those of page-fault handshaking.
    KVM_SYNC_PFAULT: u64 = 1 << 5;
    /// Registers in `kvm_run`: vector registers.
    KVM_SYNC_VRS: u64 = 1 << 6;
    /// Registers in `kvm_run`: runtime instrumentation.
    KVM_SYNC_RICCB: u64 = 1 << 7;
    /// Registers in `kvm_run`: floating-point registers.
    KVM_SYNC_FPRS: u64 = 1 << 8;
    /// Registers in `kvm_run`: guarded storage.
    KVM_SYNC_GSCB: u64 = 1 << 9;
    /// Registers in `kvm_run`: branch-prediction blocking.
    KVM_SYNC_BPBC: u64 = 1 << 10;
    /// Registers in `kvm_run`: etoken.
    KVM_SYNC_ETOKEN: u64 = 1 << 11;
    /// Registers in `kvm_run`: DIAGNOSE 0x318.
    KVM_SYNC_DIAG318: u64 = 1 << 12;
    /// Register number: s390.
    KVM_REG_S390: u64 = 0x5000_0000_0000_0000;
    /// Register number: the size.
    KVM_REG_SIZE_MASK: u64 = 0x00f0_0000_0000_0000;
    /// Register number: 32 bits.
    KVM_REG_SIZE_U32: u64 = 0x0020_0000_0000_0000;
    /// Register number: 64 bits.
    KVM_REG_SIZE_U64: u64 = 0x0030_0000_0000_0000;
    /// Register: TOD programmable register.
    KVM_REG_S390_TODPR: u64 = KVM_REG_S390 | KVM_REG_SIZE_U32 | 1;
    /// Register: difference of the TOD clock to the host's.
    KVM_REG_S390_EPOCHDIFF: u64 = KVM_REG_S390 | KVM_REG_SIZE_U64 | 2;
    /// Register: CPU timer.
    KVM_REG_S390_CPU_TIMER: u64 = KVM_REG_S390 | KVM_REG_SIZE_U64 | 3;
    /// Register: clock comparator.
    KVM_REG_S390_CLOCK_COMP: u64 = KVM_REG_S390 | KVM_REG_SIZE_U64 | 4;
    /// Register: token of page-fault handshaking.
    KVM_REG_S390_PFTOKEN: u64 = KVM_REG_S390 | KVM_REG_SIZE_U64 | 5;
    /// Register: compare mask of page-fault handshaking.
    KVM_REG_S390_PFCOMPARE: u64 = KVM_REG_S390 | KVM_REG_SIZE_U64 | 6;
    /// Register: select mask of page-fault handshaking.
    KVM_REG_S390_PFSELECT: u64 = KVM_REG_S390 | KVM_REG_SIZE_U64 | 7;
    /// Register: program parameter.
    KVM_REG_S390_PP: u64 = KVM_REG_S390 | KVM_REG_SIZE_U64 | 8;
    /// Register: breaking-event address.
    KVM_REG_S390_GBEA: u64 = KVM_REG_S390 | KVM_REG_SIZE_U64 | 9;
}
