// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The CPU: PSWs, lowcore, control register 0, clocks.

use core::arch::asm;
use core::ptr;

use s390_extint::lowcore::Field;
use s390_extint::Psw;

/// Control register 0: subclass masks of the external interruptions that this guest takes.
const CR0_SERVICE_SIGNAL: u64 = 0x200;
const CR0_CLOCK_COMPARATOR: u64 = 0x800;

/// TOD clock units in a second: bit 51 counts microseconds.
const TOD_SECOND: u64 = 4096 * 1_000_000;

/// The end of this guest, as the address of a PSW in disabled wait.
#[derive(Copy, Clone)]
pub enum End {
    /// All is well; hosts take it for power-off.
    Success = 0xfff,
    /// Something was not as it should be, and was reported.
    Failure = 0xbad,
    /// A program interruption.
    ProgramCheck = 0xdead,
    /// An interruption that nobody asked for.
    Unexpected = 0xbadc,
}

impl End {
    /// The PSW that says so.
    pub const fn psw(self) -> Psw {
        Psw {
            mask: Psw::WAIT | Psw::EXTENDED | Psw::BASIC,
            addr: self as u64,
        }
    }
}

/// Stops for good.
pub fn stop(end: End) -> ! {
    let psw = end.psw();
    let words = [psw.mask, psw.addr];
    // SAFETY: the operand is a valid PSW on a doubleword boundary; nothing follows it.
    unsafe { asm!("lpswe 0({})", in(reg_addr) &words, options(noreturn)) }
}

/// Reads a doubleword of the lowcore.
pub fn lowcore_u64(field: Field) -> u64 {
    debug_assert!(field.size == 8);
    // SAFETY: prefix 0, DAT off: the lowcore is at 0, and the field is aligned.
    unsafe { ptr::read_volatile(ptr::without_provenance::<u64>(field.offset.into())) }
}

/// Reads a word of the lowcore.
pub fn lowcore_u32(field: Field) -> u32 {
    debug_assert!(field.size == 4);
    // SAFETY: as above.
    unsafe { ptr::read_volatile(ptr::without_provenance::<u32>(field.offset.into())) }
}

/// Reads a halfword of the lowcore.
pub fn lowcore_u16(field: Field) -> u16 {
    debug_assert!(field.size == 2);
    // SAFETY: as above.
    unsafe { ptr::read_volatile(ptr::without_provenance::<u16>(field.offset.into())) }
}

/// Reads a PSW of the lowcore.
pub fn lowcore_psw(field: Field) -> Psw {
    let half = |offset| {
        lowcore_u64(Field {
            offset: field.offset + offset,
            size: 8,
        })
    };
    Psw {
        mask: half(0),
        addr: half(8),
    }
}

/// Replaces a PSW of the lowcore.
pub fn set_lowcore_psw(field: Field, psw: Psw) {
    let place = ptr::without_provenance_mut::<u64>(field.offset.into());
    // SAFETY: as above; the CPU uses the PSW only when an interruption comes, and those are off
    // while Rust code runs.
    unsafe {
        ptr::write_volatile(place, psw.mask);
        ptr::write_volatile(place.add(1), psw.addr);
    }
}

/// Lets service signals and the clock comparator interrupt (virtio shares the former's mask).
pub fn enable_subclasses() {
    let mut cr0 = 0u64;
    set_clock_comparator(Deadline::NEVER);
    // SAFETY: only masks of interruptions change, for which there is a handler.
    unsafe {
        asm!("stctg %c0,%c0,0({})", in(reg_addr) &mut cr0, options(nostack));
        cr0 |= CR0_SERVICE_SIGNAL | CR0_CLOCK_COMPARATOR;
        asm!("lctlg %c0,%c0,0({})", in(reg_addr) &cr0, options(nostack));
    }
}

/// A moment, in TOD clock units.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd)]
pub struct Deadline(u64);

impl Deadline {
    /// A moment that does not come.
    pub const NEVER: Deadline = Deadline(!0);

    /// So many seconds from now.
    pub fn after(seconds: u16) -> Self {
        Deadline(tod().saturating_add(u64::from(seconds) * TOD_SECOND))
    }

    /// Whether it is over.
    pub fn has_passed(self) -> bool {
        self != Self::NEVER && tod() > self.0
    }
}

fn tod() -> u64 {
    let mut tod = 0u64;
    // SAFETY: stores 8 bytes into the variable.
    unsafe { asm!("stck 0({})", in(reg_addr) &mut tod, options(nostack)) };
    tod
}

/// Sets when the clock comparator interrupts.
pub fn set_clock_comparator(deadline: Deadline) {
    // SAFETY: reads 8 bytes; the interruption has a handler.
    unsafe { asm!("sckc 0({})", in(reg_addr) &deadline.0, options(nostack)) };
}

/// A supervisor call with code 42.
pub fn svc_42() {
    // SAFETY: the handler keeps every register.
    unsafe { asm!("svc 42", options(nostack)) };
}

/// An instruction that no machine has.
pub fn illegal() {
    // SAFETY: ends in the handler for program interruptions, which does not come back.
    unsafe { asm!(".short 0", options(nostack)) };
}
