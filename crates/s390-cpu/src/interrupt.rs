// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interruptions: which one is due, and how it is taken.

use s390_extint::Psw;
use s390_hypervisor::Intercept;

use crate::cpu::{Cpu, Fault};
use crate::engine::Stop;

impl Cpu {
    /// What must happen before the instruction at the PSW's address: interruptions that are due
    /// are taken, a wait state waits.
    pub(crate) fn before_instruction(&mut self) -> Option<Stop> {
        if self.psw_mask & Psw::WAIT != 0 {
            let code = Intercept::WAIT;
            return Some(Stop::Intercept(Intercept {
                code,
                ipa: 0,
                ipb: 0,
            }));
        }
        None
    }

    /// Takes the program interruption in [`Cpu::fault`]. `ilc` is the length of the instruction
    /// at the PSW's address, or `None` if it could not be fetched.
    pub(crate) fn take_program_interruption(&mut self, ilc: Option<u8>) -> Option<Stop> {
        let Fault::Program(p) = self.fault else {
            return None;
        };
        log::debug!("program interruption {p:?} at {:x}", self.psw_addr);
        let _ = ilc;
        let code = Intercept::PROGRAM;
        Some(Stop::Intercept(Intercept {
            code,
            ipa: p.code,
            ipb: 0,
        }))
    }
}
