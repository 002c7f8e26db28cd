// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who answers a hypercall, and how the answer reaches the guest.

use crate::{Diagnose, Hypercall, ProgramInterruption};

/// The value for r2 (negative: a Linux error number), or a program interruption.
pub type Answer = Result<i64, ProgramInterruption>;

/// The host's side of DIAGNOSE 0x500.
///
/// Methods take `&self`, since every CPU's thread may be in one of them at a time. Each must have
/// done its work when it returns: the guest continues at once and reads the result from the
/// device page.
///
/// The defaults refuse with a specification exception. That is what a guest that probes for a
/// subcode expects; a negative number in r2 would be taken for an answer by subcode 4.
pub trait HypercallHandler {
    /// Subcode 0. A good ring must answer 0: Linux 3.13 and later mark the queue broken
    /// otherwise. No such ring: [`EINVAL`](crate::EINVAL).
    ///
    /// # Errors
    ///
    /// A program interruption, by default specification.
    fn notify(&self, addr: u64) -> Answer {
        let _ = addr;
        Err(ProgramInterruption::SPECIFICATION)
    }

    /// Subcode 1. No such descriptor: [`EINVAL`](crate::EINVAL).
    ///
    /// # Errors
    ///
    /// A program interruption, by default specification.
    fn reset(&self, desc: u64) -> Answer {
        let _ = desc;
        Err(ProgramInterruption::SPECIFICATION)
    }

    /// Subcode 2. No such descriptor: [`EINVAL`](crate::EINVAL).
    ///
    /// # Errors
    ///
    /// A program interruption, by default specification.
    fn set_status(&self, desc: u64) -> Answer {
        let _ = desc;
        Err(ProgramInterruption::SPECIFICATION)
    }

    /// Subcode 3: the cookie for the queue's next notification, or a negative error.
    ///
    /// # Errors
    ///
    /// A program interruption, by default specification.
    fn ccw_notify(&self, subchannel: u32, queue: u64, cookie: u64) -> Answer {
        let _ = (subchannel, queue, cookie);
        Err(ProgramInterruption::SPECIFICATION)
    }

    /// Subcode 4: the highest absolute address of storage, inclusive.
    ///
    /// Any nonzero r2 is taken for the limit: never answer this with a negative error.
    ///
    /// # Errors
    ///
    /// A program interruption, by default specification.
    fn storage_limit(&self) -> Answer {
        Err(ProgramInterruption::SPECIFICATION)
    }

    /// Any other subcode.
    ///
    /// # Errors
    ///
    /// A program interruption, by default specification.
    fn unknown(&self, nr: u64, args: [u64; 6]) -> Answer {
        let _ = (nr, args);
        Err(ProgramInterruption::SPECIFICATION)
    }

    /// Hands `call` to its method.
    ///
    /// # Errors
    ///
    /// The program interruption that the method answered with.
    fn call(&self, call: Hypercall) -> Answer {
        match call {
            Hypercall::Notify { addr } => self.notify(addr),
            Hypercall::Reset { desc } => self.reset(desc),
            Hypercall::SetStatus { desc } => self.set_status(desc),
            Hypercall::CcwNotify {
                subchannel,
                queue,
                cookie,
            } => self.ccw_notify(subchannel, queue, cookie),
            Hypercall::StorageLimit => self.storage_limit(),
            Hypercall::Unknown { nr, args } => self.unknown(nr, args),
        }
    }
}

/// The general registers of the CPU that issued a hypercall.
pub trait Registers {
    /// General register `n` (0 to 15).
    fn gpr(&self, n: u8) -> u64;
    /// Replaces general register `n` (0 to 15).
    fn set_gpr(&mut self, n: u8, value: u64);
}

impl Registers for [u64; 16] {
    fn gpr(&self, n: u8) -> u64 {
        self[usize::from(n & 15)]
    }

    fn set_gpr(&mut self, n: u8, value: u64) {
        self[usize::from(n & 15)] = value;
    }
}

/// Carries out an intercepted DIAGNOSE 0x500: checks the problem state, decodes, asks `handler`,
/// writes r2.
///
/// `problem_state` is bit 15 of the PSW. Hosts before Linux 3.19 let problem-state programs
/// through to us, hence the check here.
///
/// Returns `Ok(true)` when done and `Ok(false)` when this is another instruction or function
/// (nothing happened). On `Err` the caller injects the program interruption with the PSW as it is:
/// it already points past the instruction. No register but r2 changes, and that only on success;
/// the condition code never does.
///
/// # Errors
///
/// The program interruption to inject.
pub fn dispatch<H, R>(
    handler: &H,
    ipa: u16,
    ipb: u32,
    problem_state: bool,
    registers: &mut R,
) -> Result<bool, ProgramInterruption>
where
    H: HypercallHandler + ?Sized,
    R: Registers + ?Sized,
{
    match Diagnose::decode(ipa, ipb, |n| registers.gpr(n)) {
        Some(_) if problem_state => Err(ProgramInterruption::PRIVILEGED_OPERATION),
        Some(diagnose) if diagnose.is_hypercall() => {
            let result = handler.call(Hypercall::decode(|n| registers.gpr(n)))?;
            registers.set_gpr(2, result as u64);
            Ok(true)
        }
        _ => Ok(false),
    }
}
