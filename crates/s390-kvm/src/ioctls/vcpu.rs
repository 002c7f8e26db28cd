// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A virtual CPU: one half for the thread that runs it, one for all others.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use vmm_sys_util::errno::Error;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};

use super::numbers::*;
use super::run::{decode, RunPage};
use super::{Result, VcpuExit};
use crate::bindings::*;

/// A virtual CPU, for the thread that runs it.
///
/// Other threads' calls would wait until it leaves [`run`](Self::run); what they may do at any
/// time is in [`VcpuRemote`].
#[derive(Debug)]
pub struct VcpuFd {
    vcpu: Arc<File>,
    page: Arc<RunPage>,
}

/// How a memory operation is to be done.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct MemOp {
    /// Access register of the address, 0 to 15.
    pub ar: u8,
    /// The guest gets a program interruption if the address cannot be accessed.
    pub inject_exception: bool,
}

/// What the kernel says of a memory operation that failed.
type MemOpResult = Result<Option<u16>>;

impl VcpuFd {
    pub(super) fn new(vcpu: File, run_size: usize) -> Result<Self> {
        let page = RunPage::new(&vcpu, run_size)?;
        Ok(VcpuFd {
            vcpu: Arc::new(vcpu),
            page: Arc::new(page),
        })
    }

    /// What other threads may do to this vCPU.
    pub fn remote(&self) -> VcpuRemote {
        VcpuRemote {
            vcpu: self.vcpu.clone(),
            page: self.page.clone(),
        }
    }

    /// Runs the guest.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal arrived or [`VcpuRemote::set_immediate_exit`] was called, `EFAULT` if
    /// the host cannot provide guest memory.
    pub fn run(&mut self) -> Result<VcpuExit> {
        // SAFETY: no argument. The kernel uses the page, to which nobody has a reference now:
        // `sync_regs` and the like borrow `self`.
        check(unsafe { ioctl(&*self.vcpu, KVM_RUN()) })?;
        let page = self.page.as_ptr();
        // SAFETY: the page is mapped, and this thread is the only one to use these fields.
        let (reason, data) = unsafe { ((*page).exit_reason, &(*page).__bindgen_anon_1) };
        Ok(decode(reason, data))
    }

    /// The PSW: mask and address.
    pub fn psw(&self) -> kvm_s390_psw {
        let page = self.page.as_ptr();
        // SAFETY: the page is mapped, and this thread is the only one to use these fields.
        unsafe {
            kvm_s390_psw {
                mask: (*page).psw_mask,
                addr: (*page).psw_addr,
            }
        }
    }

    /// Replaces the PSW.
    pub fn set_psw(&mut self, psw: kvm_s390_psw) {
        let page = self.page.as_ptr();
        // SAFETY: as in `psw`.
        unsafe {
            (*page).psw_mask = psw.mask;
            (*page).psw_addr = psw.addr;
        }
    }

    /// The registers in the page, as of the last exit.
    pub fn sync_regs(&self) -> &kvm_sync_regs {
        // SAFETY: the page is mapped as long as `self`, this thread is the only one to use these
        // fields, and any bytes are such registers.
        unsafe { &(*self.page.as_ptr()).s.regs }
    }

    /// The registers in the page, to change them; [`set_sync_dirty_reg`](Self::set_sync_dirty_reg)
    /// tells the kernel which.
    pub fn sync_regs_mut(&mut self) -> &mut kvm_sync_regs {
        // SAFETY: as in `sync_regs`.
        unsafe { &mut (*self.page.as_ptr()).s.regs }
    }

    /// Which registers the kernel keeps in the page: `KVM_SYNC_*`.
    pub fn sync_valid_regs(&self) -> u64 {
        // SAFETY: as in `psw`.
        unsafe { (*self.page.as_ptr()).kvm_valid_regs }
    }

    /// Adds to the registers that the kernel takes from the page at the next run: `KVM_SYNC_*`.
    pub fn set_sync_dirty_reg(&mut self, regs: u64) {
        // SAFETY: as in `psw`.
        unsafe { (*self.page.as_ptr()).kvm_dirty_regs |= regs }
    }

    /// The general registers.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_regs(&self) -> Result<kvm_regs> {
        self.get(KVM_GET_REGS())
    }

    /// Replaces the general registers.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn set_regs(&mut self, regs: &kvm_regs) -> Result<()> {
        self.set(KVM_SET_REGS(), regs)
    }

    /// Access and control registers.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_sregs(&self) -> Result<kvm_sregs> {
        self.get(KVM_GET_SREGS())
    }

    /// Replaces access and control registers.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn set_sregs(&mut self, sregs: &kvm_sregs) -> Result<()> {
        self.set(KVM_SET_SREGS(), sregs)
    }

    /// Floating-point registers and their control register.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_fpu(&self) -> Result<kvm_fpu> {
        self.get(KVM_GET_FPU())
    }

    /// Replaces floating-point registers and their control register.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the control register has reserved bits.
    pub fn set_fpu(&mut self, fpu: &kvm_fpu) -> Result<()> {
        self.set(KVM_SET_FPU(), fpu)
    }

    /// A register of 32 or 64 bits by its number, `KVM_REG_S390_*`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such register.
    pub fn get_one_reg(&self, id: u64) -> Result<u64> {
        let mut small = 0_u32;
        let mut large = 0_u64;
        let addr = match id & KVM_REG_SIZE_MASK {
            KVM_REG_SIZE_U32 => &raw mut small as u64,
            KVM_REG_SIZE_U64 => &raw mut large as u64,
            _ => return Err(Error::new(libc::EINVAL)),
        };
        // SAFETY: the kernel writes as many bytes to the address as the number says.
        unsafe { self.one_reg(KVM_GET_ONE_REG(), kvm_one_reg { id, addr }) }?;
        Ok(large | u64::from(small))
    }

    /// Replaces a register of 32 or 64 bits by its number, `KVM_REG_S390_*`; one of 32 bits gets
    /// the low half of `value`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such register.
    pub fn set_one_reg(&mut self, id: u64, value: u64) -> Result<()> {
        let small = value as u32;
        let addr = match id & KVM_REG_SIZE_MASK {
            KVM_REG_SIZE_U32 => &raw const small as u64,
            KVM_REG_SIZE_U64 => &raw const value as u64,
            _ => return Err(Error::new(libc::EINVAL)),
        };
        // SAFETY: the kernel reads as many bytes from the address as the number says.
        unsafe { self.one_reg(KVM_SET_ONE_REG(), kvm_one_reg { id, addr }) }
    }

    /// # Safety
    ///
    /// `reg.addr` points to a variable of the register's size.
    unsafe fn one_reg(&self, request: u64, reg: kvm_one_reg) -> Result<()> {
        // SAFETY: the kernel reads the structure; the caller vouches for the address in it.
        check(unsafe { ioctl_with_ref(&*self.vcpu, request, &reg) })?;
        Ok(())
    }

    /// Whether the vCPU runs.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_mp_state(&self) -> Result<kvm_mp_state> {
        let mut state = kvm_mp_state::default();
        // SAFETY: the kernel writes at most the structure.
        let ret = unsafe { ioctl_with_mut_ref(&*self.vcpu, KVM_GET_MP_STATE(), &mut state) };
        // On s390 the state is what the call returns, and the structure stays as it is.
        match check(ret)? {
            0 => Ok(state),
            mp_state => Ok(kvm_mp_state {
                mp_state: mp_state as u32,
            }),
        }
    }

    /// Starts or stops the vCPU. From the first call on, the kernel leaves run states to its user.
    ///
    /// # Errors
    ///
    /// `ENXIO` if there is no such state.
    pub fn set_mp_state(&self, state: kvm_mp_state) -> Result<()> {
        self.set(KVM_SET_MP_STATE(), &state)
    }

    /// Sets the PSW of a stopped vCPU.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is not stopped.
    pub fn set_initial_psw(&mut self, psw: &kvm_s390_psw) -> Result<()> {
        self.set(KVM_S390_SET_INITIAL_PSW(), psw)
    }

    /// Drops what is pending, as a CPU reset does.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn normal_reset(&mut self) -> Result<()> {
        self.reset(KVM_S390_NORMAL_RESET())
    }

    /// An initial CPU reset.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn initial_reset(&mut self) -> Result<()> {
        self.reset(KVM_S390_INITIAL_RESET())
    }

    /// A clear reset.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn clear_reset(&mut self) -> Result<()> {
        self.reset(KVM_S390_CLEAR_RESET())
    }

    fn reset(&mut self, request: u64) -> Result<()> {
        // SAFETY: no argument. The kernel changes the page, to which nobody has a reference now.
        check(unsafe { ioctl(&*self.vcpu, request) })?;
        Ok(())
    }

    /// Stores the status at this absolute address: a save area of 512 bytes. PSW and prefix are
    /// those of the last exit.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no such storage.
    pub fn store_status(&self, addr: u64) -> Result<()> {
        // SAFETY: the argument is a guest address, and nothing but the result comes back.
        check(unsafe { ioctl_with_val(&*self.vcpu, KVM_S390_STORE_STATUS(), addr) })?;
        Ok(())
    }

    /// Reads from a logical address of the guest, at most 64 KiB. What cannot be accessed is
    /// answered with the code of the program interruption.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn mem_read(&self, addr: u64, data: &mut [u8], op: MemOp) -> MemOpResult {
        let (buf, size) = (data.as_mut_ptr() as u64, data.len());
        // SAFETY: the kernel writes as many bytes as the slice has.
        unsafe { self.mem_op(KVM_S390_MEMOP_LOGICAL_READ, addr, buf, size, op) }
    }

    /// Writes to a logical address of the guest, at most 64 KiB. What cannot be accessed is
    /// answered with the code of the program interruption.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn mem_write(&self, addr: u64, data: &[u8], op: MemOp) -> MemOpResult {
        let (buf, size) = (data.as_ptr() as u64, data.len());
        // SAFETY: the kernel reads as many bytes as the slice has.
        unsafe { self.mem_op(KVM_S390_MEMOP_LOGICAL_WRITE, addr, buf, size, op) }
    }

    /// # Safety
    ///
    /// `buf` points to `size` bytes that the operation may use.
    unsafe fn mem_op(&self, op: u32, gaddr: u64, buf: u64, size: usize, how: MemOp) -> MemOpResult {
        let flags = match how.inject_exception {
            true => KVM_S390_MEMOP_F_INJECT_EXCEPTION,
            false => 0,
        };
        let mut args = kvm_s390_mem_op {
            gaddr,
            flags,
            size: u32::try_from(size).map_err(|_| Error::new(libc::E2BIG))?,
            op,
            buf,
            ..Default::default()
        };
        args.__bindgen_anon_1.__bindgen_anon_1 =
            kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1 { ar: how.ar, key: 0 };
        // SAFETY: the kernel reads the structure; the caller vouches for the buffer.
        let code = check(unsafe { ioctl_with_ref(&*self.vcpu, KVM_S390_MEM_OP(), &args) })?;
        Ok((code != 0).then_some(code as u16))
    }

    /// Switches a capability on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the kernel has it not.
    pub fn enable_cap(&self, cap: &kvm_enable_cap) -> Result<()> {
        // SAFETY: the kernel reads the structure; no capability of a vCPU takes a pointer.
        check(unsafe { ioctl_with_ref(&*self.vcpu, KVM_ENABLE_CAP(), cap) })?;
        Ok(())
    }

    fn get<T: Default>(&self, request: u64) -> Result<T> {
        let mut value = T::default();
        // SAFETY: the callers in this file name the structure that the request is made for.
        check(unsafe { ioctl_with_mut_ref(&*self.vcpu, request, &mut value) })?;
        Ok(value)
    }

    fn set<T>(&self, request: u64, value: &T) -> Result<()> {
        // SAFETY: as in `get`; none of the structures has pointers.
        check(unsafe { ioctl_with_ref(&*self.vcpu, request, value) })?;
        Ok(())
    }
}

impl AsRawFd for VcpuFd {
    fn as_raw_fd(&self) -> RawFd {
        self.vcpu.as_raw_fd()
    }
}

/// What other threads may do to a virtual CPU while it runs.
#[derive(Clone, Debug)]
pub struct VcpuRemote {
    vcpu: Arc<File>,
    page: Arc<RunPage>,
}

impl VcpuRemote {
    /// Whether the next `KVM_RUN` shall return at once. One that has begun needs a signal.
    pub fn set_immediate_exit(&self, exit: bool) {
        self.page.set_immediate_exit(exit);
    }

    /// Makes a local interruption pending.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there can be only one and it is pending, `EINVAL` if it is not local.
    pub fn s390_irq(&self, irq: &kvm_s390_irq) -> Result<()> {
        // SAFETY: the kernel reads the structure, which has no pointers.
        check(unsafe { ioctl_with_ref(&*self.vcpu, KVM_S390_IRQ(), irq) })?;
        Ok(())
    }

    /// Makes a local interruption pending, in the older way.
    ///
    /// # Errors
    ///
    /// As [`s390_irq`](Self::s390_irq).
    pub fn s390_interrupt(&self, interrupt: &kvm_s390_interrupt) -> Result<()> {
        // SAFETY: the kernel reads the structure, which has no pointers.
        check(unsafe { ioctl_with_ref(&*self.vcpu, KVM_S390_INTERRUPT(), interrupt) })?;
        Ok(())
    }

    /// The pending local interruptions. Waits until the vCPU leaves `KVM_RUN`.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    pub fn get_irq_state(&self) -> Result<Vec<kvm_s390_irq>> {
        /// One emergency signal from each of 248 CPUs, and one of each other kind.
        const MAX: usize = 248 + 32;
        let mut irqs = vec![kvm_s390_irq::default(); MAX];
        let state = kvm_s390_irq_state {
            buf: irqs.as_mut_ptr() as u64,
            len: size_of_val(&irqs[..]) as u32,
            ..Default::default()
        };
        // SAFETY: the kernel writes at most as many bytes as the vector has, and any bytes are
        // such structures.
        let ret = unsafe { ioctl_with_ref(&*self.vcpu, KVM_S390_GET_IRQ_STATE(), &state) };
        irqs.truncate(check(ret)? as usize / size_of::<kvm_s390_irq>());
        Ok(irqs)
    }
}
