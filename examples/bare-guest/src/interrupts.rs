// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interruptions. The guest runs with all of them disabled; external ones come in only while it
//! waits, so that nothing is missed between a look and the wait.

use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use s390_extint::{lowcore, ExternalInterrupt, Psw};
use s390_virtio_guest::InterruptTable;

use crate::console::say;
use crate::cpu::{self, Deadline, End};
use crate::start;

/// Queues of all drivers, by their tokens.
pub static QUEUES: InterruptTable<32> = InterruptTable::new();

static SERVICE_SIGNAL: AtomicBool = AtomicBool::new(false);
static LAST_SVC: AtomicU16 = AtomicU16::new(0);

/// Addressing exception.
const PGM_ADDRESSING: u16 = 0x0005;

/// Sets the new PSWs, and lets external interruptions come while waiting.
pub fn init() {
    let handler = |f: unsafe extern "C" fn()| Psw::ipl(f as *const () as u64);
    for (field, psw) in [
        (lowcore::EXT_NEW_PSW, handler(start::external_handler)),
        (lowcore::SVC_NEW_PSW, handler(start::svc_handler)),
        (lowcore::PGM_NEW_PSW, handler(start::program_handler)),
        (lowcore::RESTART_NEW_PSW, End::Unexpected.psw()),
        (lowcore::MCCK_NEW_PSW, End::Unexpected.psw()),
        (lowcore::IO_NEW_PSW, End::Unexpected.psw()),
    ] {
        cpu::set_lowcore_psw(field, psw);
    }
    cpu::enable_subclasses();
}

/// Whether a supervisor call arrives with its code and comes back.
pub fn supervisor_call_works() -> bool {
    cpu::svc_42();
    LAST_SVC.load(Ordering::Relaxed) == 42
}

/// Waits until `event` has a result, or until the deadline: then `None`.
pub fn wait_for<T>(deadline: Deadline, mut event: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        if let Some(result) = event() {
            return Some(result);
        }
        if deadline.has_passed() {
            return None;
        }
        cpu::set_clock_comparator(deadline);
        // SAFETY: the new PSWs and the subclasses have been set up by `init`.
        unsafe { start::enabled_wait() };
    }
}

/// Waits for a service signal.
pub fn wait_for_service_signal() {
    wait_for(Deadline::NEVER, || {
        SERVICE_SIGNAL.swap(false, Ordering::Relaxed).then_some(())
    });
}

/// Whether there is storage at a real address.
pub fn is_storage(address: u64) -> bool {
    // SAFETY: an addressing exception is caught by `rust_program`; a load changes nothing.
    unsafe { start::probe_real(address & !3) == 1 }
}

#[no_mangle]
extern "C" fn rust_external() {
    let interrupt = ExternalInterrupt {
        code: cpu::lowcore_u16(lowcore::EXT_CODE),
        subcode: cpu::lowcore_u16(lowcore::EXT_SUBCODE),
        params: cpu::lowcore_u32(lowcore::EXT_PARAMS),
        params2: cpu::lowcore_u64(lowcore::EXT_PARAMS2),
    };
    match interrupt.code {
        ExternalInterrupt::SERVICE_SIGNAL => SERVICE_SIGNAL.store(true, Ordering::Relaxed),
        ExternalInterrupt::CLOCK_COMPARATOR => cpu::set_clock_comparator(Deadline::NEVER),
        _ => {
            QUEUES.handle(&interrupt);
        }
    }
    // Back to the instruction behind the wait, with interruptions disabled.
    let mut old = cpu::lowcore_psw(lowcore::EXT_OLD_PSW);
    old.mask &= !(Psw::WAIT | Psw::EXTERNAL);
    cpu::set_lowcore_psw(lowcore::EXT_OLD_PSW, old);
}

#[no_mangle]
extern "C" fn rust_svc() {
    LAST_SVC.store(cpu::lowcore_u16(lowcore::SVC_CODE), Ordering::Relaxed);
}

#[no_mangle]
extern "C" fn rust_program() {
    let code = cpu::lowcore_u16(lowcore::PGM_CODE);
    let mut old = cpu::lowcore_psw(lowcore::PGM_OLD_PSW);
    if code == PGM_ADDRESSING && old.addr == start::probe_next as *const () as u64 {
        old.addr = start::probe_failed as *const () as u64;
        cpu::set_lowcore_psw(lowcore::PGM_OLD_PSW, old);
        return;
    }
    // A program interruption while this is reported ends without a report.
    cpu::set_lowcore_psw(lowcore::PGM_NEW_PSW, End::ProgramCheck.psw());
    say!(
        "program check {code:#06x}, PSW {:016x} {:016x}",
        old.mask,
        old.addr
    );
    cpu::stop(End::ProgramCheck)
}
