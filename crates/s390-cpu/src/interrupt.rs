// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interruptions: which one is due, and how it is taken.
//!
//! Everything that can come between two instructions is decided in one place,
//! [`Cpu::before_instruction`], one step at a time, in the order of the Principles of Operation
//! (chapter 6, "Priority of Interruptions"): program, external, restart; then stop.

use s390_extint::lowcore::{self, Field};
use s390_extint::{deliver, is_enabled, ExternalInterrupt, LowcoreAccess, Psw};
use s390_hypervisor::{Intercept, RunState};

use crate::access::Ram;
use crate::cpu::{pgm, Cpu, Fault, ProgramInterruption};
use crate::engine::{Look, Stop};
use crate::timing::{CR0_CLOCK_COMPARATOR, CR0_CPU_TIMER};

/// Control register 0 bit 45: AFP-register control.
const CR0_AFP: u64 = 0x4_0000;

/// PSW bits that must be zero: 0, 2 to 4, 12, 24 to 30 and 33 to 63.
const PSW_RESERVED: u64 = 0xb808_00fe_7fff_ffff;

/// Whether a PSW is so invalid that the CPU says so before it looks at anything else (chapter 6,
/// "Early Exception Recognition"). An odd instruction address is found later, by the fetch.
fn is_early_exception(mask: u64, addr: u64) -> bool {
    let beyond_mode = match mask & (Psw::EXTENDED | Psw::BASIC) {
        0 => addr >> 24 != 0,
        Psw::BASIC => addr >> 31 != 0,
        Psw::EXTENDED => true,
        _ => false,
    };
    mask & PSW_RESERVED != 0 || beyond_mode
}

/// Whether the host must put the PSW back to the instruction when it injects this program
/// interruption: the instruction is nullified, not suppressed.
fn is_nullifying(code: u16) -> bool {
    matches!(
        code,
        pgm::SEGMENT_TRANSLATION
            | pgm::PAGE_TRANSLATION
            | pgm::ASCE_TYPE
            | pgm::REGION_FIRST
            | pgm::REGION_SECOND
            | pgm::REGION_THIRD
            | 0x20..=0x2d
    )
}

/// Whether translation-exception and exception access identification are stored.
fn has_translation_id(code: u16) -> bool {
    matches!(code, pgm::PROTECTION | 0x10 | 0x11 | 0x20..=0x27 | 0x38..=0x3b)
}

/// Whether the exception access identification is stored.
fn has_access_id(code: u16) -> bool {
    has_translation_id(code) || matches!(code, 0x28..=0x2d)
}

/// The CPU's lowcore lies outside storage. SET PREFIX and whoever sets a CPU's state see to it
/// that this does not happen.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the prefix area at {0:#x} is outside storage")]
pub(crate) struct NoLowcore(pub(crate) u32);

/// The lowcore of a CPU: absolute storage behind its prefix, not subject to any protection.
struct Lowcore<'a> {
    ram: &'a Ram,
    prefix: u32,
}

impl Lowcore<'_> {
    fn abs(&self, offset: u16, len: usize) -> Result<u64, NoLowcore> {
        let abs = u64::from(self.prefix) + u64::from(offset);
        if !self.ram.contains(abs, len as u64) {
            return Err(NoLowcore(self.prefix));
        }
        Ok(abs)
    }
}

impl LowcoreAccess for Lowcore<'_> {
    type Error = NoLowcore;

    fn read(&self, offset: u16, bytes: &mut [u8]) -> Result<(), NoLowcore> {
        self.ram.read(self.abs(offset, bytes.len())?, bytes);
        Ok(())
    }

    fn write(&mut self, offset: u16, bytes: &[u8]) -> Result<(), NoLowcore> {
        self.ram.write(self.abs(offset, bytes.len())?, bytes);
        Ok(())
    }
}

/// What the host is told, with no instruction.
fn stop(code: u8, ipa: u16) -> Look {
    Look::Stop(Stop::Intercept(Intercept { code, ipa, ipb: 0 }))
}

fn or_failed(result: Result<Look, NoLowcore>) -> Look {
    result.unwrap_or_else(|e| Look::Stop(Stop::Failed(e)))
}

impl Cpu {
    /// What must happen before the instruction at the PSW's address: interruptions that are due
    /// are taken, a wait state waits, a stopped CPU stands still.
    pub(crate) fn before_instruction(&mut self) -> Look {
        self.timers.pass(self.instructions);
        let orders = self.shared.has_orders();
        if orders {
            if let Some(look) = self.while_stopped() {
                return look;
            }
            if let Some(code) = self.shared.with_orders(|o| o.program.take()) {
                return self.inject_program(code);
            }
        }
        self.timers.operate(true);
        if is_early_exception(self.psw_mask, self.psw_addr) {
            return self.early_exception();
        }
        if self.psw_mask & Psw::EXTERNAL != 0 {
            if let Some(interrupt) = self.next_external(orders) {
                return or_failed(self.take_external(&interrupt));
            }
        }
        if orders {
            if self.shared.with_orders(|o| std::mem::take(&mut o.restart)) {
                return or_failed(self.take_restart());
            }
            if let Some(look) = self.obey_stop() {
                return look;
            }
        }
        if self.psw_mask & Psw::WAIT != 0 {
            return self.wait();
        }
        Look::Go
    }

    /// A stopped CPU does nothing but obey orders.
    fn while_stopped(&mut self) -> Option<Look> {
        let (stopped, prefix, status) = self.shared.with_orders(|o| {
            if o.run_state == RunState::Stopped && o.restart {
                o.run_state = RunState::Operating;
                o.stop = None;
            }
            let stopped = o.run_state == RunState::Stopped;
            let status = if stopped { o.stop.take() } else { None };
            (stopped, o.set_prefix.take(), status)
        });
        if let Some(prefix) = prefix {
            self.set_prefix(prefix);
        }
        if status == Some(true) {
            if let Err(e) = self.store_status_in_lowcore() {
                return Some(Look::Stop(Stop::Failed(e)));
            }
        }
        if stopped {
            self.timers.operate(false);
            self.park(None);
            return Some(Look::Again);
        }
        None
    }

    /// Stops when that was ordered.
    fn obey_stop(&mut self) -> Option<Look> {
        let store_status = self.shared.with_orders(|o| {
            let stop = o.stop.take()?;
            o.run_state = RunState::Stopped;
            Some(stop)
        })?;
        self.timers.operate(false);
        if store_status {
            if let Err(e) = self.store_status_in_lowcore() {
                return Some(Look::Stop(Stop::Failed(e)));
            }
        }
        Some(stop(Intercept::STOP, 0))
    }

    fn wait(&mut self) -> Look {
        if self.psw().is_disabled_wait() {
            return stop(Intercept::WAIT, 0);
        }
        let timeout = if self.psw_mask & Psw::EXTERNAL != 0 {
            self.timers.sleep(self.crs[0])
        } else {
            None
        };
        self.park(timeout);
        Look::Again
    }

    fn lowcore(&self) -> Lowcore<'_> {
        Lowcore {
            ram: &self.ram,
            prefix: self.prefix,
        }
    }

    /// Instructions until the clock must be looked at again.
    #[inline]
    pub(crate) fn slice(&self, max: i64) -> i64 {
        let external = self.psw_mask & Psw::EXTERNAL != 0;
        self.timers
            .slice(if external { self.crs[0] } else { 0 }, max)
    }

    // --- external ------------------------------------------------------------------------

    /// The external interruption to take now; what is not level-triggered is no longer pending
    /// then.
    fn next_external(&mut self, orders: bool) -> Option<ExternalInterrupt> {
        let (mask, cr0) = (self.psw_mask, self.crs[0]);
        if orders {
            let local = self.shared.with_orders(|o| {
                if is_enabled(ExternalInterrupt::EMERGENCY_SIGNAL, mask, cr0) {
                    if let Some(cpu) = o.emergency.pop_first() {
                        return Some(ExternalInterrupt::emergency_signal(cpu));
                    }
                }
                if is_enabled(ExternalInterrupt::EXTERNAL_CALL, mask, cr0) {
                    return o.external_call.take().map(ExternalInterrupt::external_call);
                }
                None
            });
            if local.is_some() {
                return local;
            }
        }
        if cr0 & CR0_CLOCK_COMPARATOR != 0 && self.timers.comparator_due() {
            return Some(ExternalInterrupt::clock_comparator());
        }
        if cr0 & CR0_CPU_TIMER != 0 && self.timers.cpu_timer_due() {
            return Some(ExternalInterrupt::cpu_timer());
        }
        self.floating.pop(mask, cr0)
    }

    fn take_external(&mut self, interrupt: &ExternalInterrupt) -> Result<Look, NoLowcore> {
        let new = self.lowcore().read_psw(lowcore::EXT_NEW_PSW)?;
        // A timer that is due stays due until the guest sets it: a new PSW that lets it in
        // again would be interrupted for ever.
        let stays = matches!(
            interrupt.code,
            ExternalInterrupt::CLOCK_COMPARATOR | ExternalInterrupt::CPU_TIMER
        );
        if stays && new.mask & Psw::EXTERNAL != 0 {
            return Ok(stop(Intercept::EXTERNAL_LOOP, interrupt.code));
        }
        let old = self.psw();
        let new = deliver(&mut self.lowcore(), interrupt, old)?;
        self.set_psw(new);
        Ok(Look::Again)
    }

    // --- restart -------------------------------------------------------------------------

    fn take_restart(&mut self) -> Result<Look, NoLowcore> {
        let old = self.psw();
        self.swap_psw(lowcore::RESTART_OLD_PSW, lowcore::RESTART_NEW_PSW, old)?;
        Ok(Look::Again)
    }

    // --- supervisor call -----------------------------------------------------------------

    /// Takes the supervisor-call interruption; `next` is the address of the next instruction.
    pub(crate) fn take_supervisor_call(
        &mut self,
        code: u8,
        ilc: u8,
        next: u64,
    ) -> Result<(), NoLowcore> {
        let mut old = self.psw();
        old.addr = next;
        let mut lowcore = self.lowcore();
        lowcore.write_u16(lowcore::SVC_ILC, ilc.into())?;
        lowcore.write_u16(lowcore::SVC_CODE, code.into())?;
        self.swap_psw(lowcore::SVC_OLD_PSW, lowcore::SVC_NEW_PSW, old)
    }

    // --- program -------------------------------------------------------------------------

    /// Takes the program interruption in [`Cpu::fault`]. `ilc` is the length of the instruction
    /// at the PSW's address, or `None` if it could not be fetched.
    pub(crate) fn take_program_interruption(&mut self, ilc: Option<u8>) -> Look {
        let Fault::Program(p) = self.fault else {
            return Look::Again;
        };
        // Where the text is not known the length is at the CPU's choice; it must be what the
        // address was moved by.
        let ilc = ilc.unwrap_or(2);
        let at = self.psw();
        let mut old = at;
        if !p.nullifying {
            old.addr = old.addr.wrapping_add(ilc.into()) & self.addr_mask;
        }
        or_failed(self.take_program(&p, ilc, old, at))
    }

    /// A program interruption that the host found out about while it carried out an
    /// instruction. The PSW is behind it.
    fn inject_program(&mut self, code: u16) -> Look {
        let p = ProgramInterruption {
            code,
            ..Default::default()
        };
        let ilc = self.intercept_ilc;
        let mut old = self.psw();
        if is_nullifying(code) {
            old.addr = old.addr.wrapping_sub(ilc.into()) & self.addr_mask;
        }
        or_failed(self.take_program(&p, ilc, old, old))
    }

    /// The PSW that was loaded is invalid. It becomes the old PSW as it is.
    fn early_exception(&mut self) -> Look {
        let p = ProgramInterruption {
            code: pgm::SPECIFICATION,
            ..Default::default()
        };
        let old = self.psw();
        or_failed(self.take_program(&p, 0, old, old))
    }

    /// Stores `old` and what `p` says, and loads the new PSW. `at` is the PSW with which it
    /// happened.
    fn take_program(
        &mut self,
        p: &ProgramInterruption,
        ilc: u8,
        old: Psw,
        at: Psw,
    ) -> Result<Look, NoLowcore> {
        let mut lowcore = self.lowcore();
        // The interruption handler's first instruction caused it: so it would for ever.
        let new = lowcore.read_psw(lowcore::PGM_NEW_PSW)?;
        if new.addr == at.addr && (new.mask ^ at.mask) & !Psw::CC == 0 {
            return Ok(stop(Intercept::PROGRAM, p.code));
        }
        lowcore.write_u16(lowcore::PGM_ILC, ilc.into())?;
        lowcore.write_u16(lowcore::PGM_CODE, p.code)?;
        if has_translation_id(p.code) {
            lowcore.write_u64(lowcore::TRANS_EXC_ID, p.translation_id)?;
            lowcore.write(lowcore::OP_ACCESS_ID.offset, &[p.operand_id])?;
        }
        if has_access_id(p.code) {
            lowcore.write(lowcore::EXC_ACCESS_ID.offset, &[p.access_id])?;
        }
        if p.code == pgm::MONITOR {
            lowcore.write_u16(lowcore::MONITOR_CLASS, p.monitor_class.into())?;
            lowcore.write_u64(lowcore::MONITOR_CODE, p.monitor_code)?;
        }
        if p.code == pgm::DATA || p.code == pgm::VECTOR_PROCESSING {
            lowcore.write_u32(lowcore::DATA_EXC_CODE, p.dxc.into())?;
            if self.crs[0] & CR0_AFP != 0 {
                self.fpc = self.fpc & !0xff00 | u32::from(p.dxc) << 8;
            }
        }
        self.swap_psw(lowcore::PGM_OLD_PSW, lowcore::PGM_NEW_PSW, old)?;
        Ok(Look::Again)
    }

    fn swap_psw(&mut self, old_field: Field, new_field: Field, old: Psw) -> Result<(), NoLowcore> {
        self.lowcore().write_psw(old_field, old)?;
        let new = self.lowcore().read_psw(new_field)?;
        self.set_psw(new);
        Ok(())
    }
}
