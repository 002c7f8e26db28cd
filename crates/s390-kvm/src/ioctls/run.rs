// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The page that a vCPU shares with the kernel, and what it says after a run.

use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use vmm_sys_util::errno::{errno_result, Error};

use super::Result;
use crate::bindings::*;

/// Why `KVM_RUN` came back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VcpuExit {
    /// A SIE intercept.
    S390Sieic {
        /// Interception code.
        icptcode: u8,
        /// Interception parameter A: the first halfword of the instruction.
        ipa: u16,
        /// Interception parameter B: the rest of the instruction.
        ipb: u32,
    },
    /// The guest asks for a reset by DIAGNOSE 0x308: `KVM_S390_RESET_*`.
    S390Reset(u64),
    /// A translation exception of a guest that its user controls.
    S390Ucontrol {
        /// Translation-exception identification.
        trans_exc_code: u64,
        /// Program interruption code.
        pgm_code: u32,
    },
    /// TEST SUBCHANNEL, with `KVM_CAP_S390_CSS_SUPPORT`.
    S390Tsch {
        /// Subsystem identification, first half.
        subchannel_id: u16,
        /// Subchannel number.
        subchannel_nr: u16,
        /// I/O interruption parameter.
        io_int_parm: u32,
        /// I/O interruption identification.
        io_int_word: u32,
        /// Interception parameter B.
        ipb: u32,
        /// Whether an interruption was dequeued; then the four fields before are its.
        dequeued: bool,
    },
    /// STORE SYSTEM INFORMATION, with `KVM_CAP_S390_USER_STSI`.
    S390Stsi {
        /// Logical address of the system-information block.
        addr: u64,
        /// Access register of the address.
        ar: u8,
        /// Function code.
        fc: u8,
        /// Selector 1.
        sel1: u8,
        /// Selector 2.
        sel2: u16,
    },
    /// A signal.
    Intr,
    /// A debug event.
    Debug,
    /// The guest could not be entered, for this reason and on this host CPU.
    FailEntry(u64, u32),
    /// The kernel cannot go on.
    InternalError,
    /// Another exit reason, `KVM_EXIT_*`.
    Unsupported(u32),
}

/// A vCPU's page.
///
/// `immediate_exit` is for every thread, the rest for the one that runs the vCPU: nobody may have
/// a reference to the page as a whole.
#[derive(Debug)]
pub(super) struct RunPage {
    page: NonNull<kvm_run>,
    size: usize,
}

// SAFETY: it is memory of the process, not of a thread. `&self` gives access to an atomic only.
unsafe impl Send for RunPage {}
// SAFETY: as above.
unsafe impl Sync for RunPage {}

impl RunPage {
    /// Maps the page of a vCPU.
    pub(super) fn new(vcpu: &impl AsRawFd, size: usize) -> Result<Self> {
        if size < size_of::<kvm_run>() {
            return Err(Error::new(libc::ENXIO));
        }
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                vcpu.as_raw_fd(),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return errno_result();
        }
        let page = NonNull::new(page.cast()).ok_or(Error::new(libc::EFAULT))?;
        Ok(RunPage { page, size })
    }

    pub(super) fn as_ptr(&self) -> *mut kvm_run {
        self.page.as_ptr()
    }

    /// Whether `KVM_RUN` shall return at once.
    pub(super) fn set_immediate_exit(&self, exit: bool) {
        // SAFETY: the page is mapped as long as `self`, and this byte is only used atomically.
        let byte = unsafe { AtomicU8::from_ptr(&raw mut (*self.as_ptr()).immediate_exit) };
        byte.store(exit.into(), Ordering::SeqCst);
    }
}

impl Drop for RunPage {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size; references to it have ended with `self`.
        unsafe { libc::munmap(self.as_ptr().cast(), self.size) };
    }
}

/// What an exit reason and its data say.
pub(super) fn decode(reason: u32, data: &kvm_run__bindgen_ty_1) -> VcpuExit {
    // SAFETY: all fields of the union are plain integers, for which any bytes are valid.
    unsafe {
        match reason {
            KVM_EXIT_S390_SIEIC => {
                let sieic = data.s390_sieic;
                VcpuExit::S390Sieic {
                    icptcode: sieic.icptcode,
                    ipa: sieic.ipa,
                    ipb: sieic.ipb,
                }
            }
            KVM_EXIT_S390_RESET => VcpuExit::S390Reset(data.s390_reset_flags),
            KVM_EXIT_S390_UCONTROL => VcpuExit::S390Ucontrol {
                trans_exc_code: data.s390_ucontrol.trans_exc_code,
                pgm_code: data.s390_ucontrol.pgm_code,
            },
            KVM_EXIT_S390_TSCH => {
                let tsch = data.s390_tsch;
                VcpuExit::S390Tsch {
                    subchannel_id: tsch.subchannel_id,
                    subchannel_nr: tsch.subchannel_nr,
                    io_int_parm: tsch.io_int_parm,
                    io_int_word: tsch.io_int_word,
                    ipb: tsch.ipb,
                    dequeued: tsch.dequeued != 0,
                }
            }
            KVM_EXIT_S390_STSI => {
                let stsi = data.s390_stsi;
                VcpuExit::S390Stsi {
                    addr: stsi.addr,
                    ar: stsi.ar,
                    fc: stsi.fc,
                    sel1: stsi.sel1,
                    sel2: stsi.sel2,
                }
            }
            KVM_EXIT_INTR => VcpuExit::Intr,
            KVM_EXIT_DEBUG => VcpuExit::Debug,
            KVM_EXIT_FAIL_ENTRY => {
                let fail = data.fail_entry;
                VcpuExit::FailEntry(fail.hardware_entry_failure_reason, fail.cpu)
            }
            KVM_EXIT_INTERNAL_ERROR => VcpuExit::InternalError,
            other => VcpuExit::Unsupported(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of an exit as the kernel leaves it: big-endian numbers on s390x, so that the
    /// bytes are made from the host's.
    fn data(parts: &[(usize, &[u8])]) -> kvm_run__bindgen_ty_1 {
        let mut padding = [0xee; 256];
        for (offset, bytes) in parts {
            padding[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        kvm_run__bindgen_ty_1 { padding }
    }

    #[test]
    fn intercepts_bring_code_and_instruction() {
        let data = data(&[
            (0, &[4]),
            (2, &0x8324_u16.to_ne_bytes()),
            (4, &0x0500_0000_u32.to_ne_bytes()),
        ]);
        assert_eq!(
            decode(13, &data),
            VcpuExit::S390Sieic {
                icptcode: 4,
                ipa: 0x8324,
                ipb: 0x0500_0000
            }
        );
    }

    #[test]
    fn resets_bring_their_flags() {
        let data = data(&[(0, &0x16_u64.to_ne_bytes())]);
        assert_eq!(decode(14, &data), VcpuExit::S390Reset(0x16));
    }

    #[test]
    fn test_subchannel_brings_the_interruption() {
        let data = data(&[
            (0, &1_u16.to_ne_bytes()),
            (2, &2_u16.to_ne_bytes()),
            (4, &3_u32.to_ne_bytes()),
            (8, &4_u32.to_ne_bytes()),
            (12, &5_u32.to_ne_bytes()),
            (16, &[1]),
        ]);
        assert_eq!(
            decode(22, &data),
            VcpuExit::S390Tsch {
                subchannel_id: 1,
                subchannel_nr: 2,
                io_int_parm: 3,
                io_int_word: 4,
                ipb: 5,
                dequeued: true
            }
        );
    }

    #[test]
    fn store_system_information_brings_its_selectors() {
        let data = data(&[
            (0, &0x1000_u64.to_ne_bytes()),
            (8, &[7]),
            (10, &[3]),
            (11, &[2]),
            (12, &9_u16.to_ne_bytes()),
        ]);
        assert_eq!(
            decode(25, &data),
            VcpuExit::S390Stsi {
                addr: 0x1000,
                ar: 7,
                fc: 3,
                sel1: 2,
                sel2: 9
            }
        );
    }

    #[test]
    fn other_reasons_are_told_apart() {
        let data = data(&[(0, &7_u64.to_ne_bytes()), (8, &2_u32.to_ne_bytes())]);
        assert_eq!(decode(10, &data), VcpuExit::Intr);
        assert_eq!(decode(4, &data), VcpuExit::Debug);
        assert_eq!(decode(9, &data), VcpuExit::FailEntry(7, 2));
        assert_eq!(decode(17, &data), VcpuExit::InternalError);
        assert_eq!(
            decode(20, &data),
            VcpuExit::S390Ucontrol {
                trans_exc_code: 7,
                pgm_code: 2
            }
        );
        assert_eq!(decode(6, &data), VcpuExit::Unsupported(6));
    }
}
