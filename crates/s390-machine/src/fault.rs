// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How an intercepted instruction can fail: the guest's way and the host's way.

use s390_hypercall::ProgramInterruption;

use crate::Outcome;

/// What can go wrong on the host's side. Nothing a guest does leads here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backend failed.
    #[error("the virtual CPU's backend failed")]
    Backend(#[from] s390_hypervisor::Error),
    /// An interception code that no backend of ours is to hand on.
    #[error("unexpected interception code {code:#04x} (instruction {ipa:04x} {ipb:08x})")]
    Intercept {
        /// The interception code.
        code: u8,
        /// Interception parameter A.
        ipa: u16,
        /// Interception parameter B.
        ipb: u32,
    },
    /// A CPU that the machine was not made with.
    #[error("the machine has no CPU with address {0}")]
    NoCpu(u16),
    /// The storage that holds the restart information of a load is not there.
    #[error("guest memory at absolute address 0 is not accessible")]
    Memory(#[source] vm_memory::GuestMemoryError),
}

/// The result of work for a guest.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an instruction did not complete.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The guest gets a program interruption; the PSW stays behind the instruction.
    Program(ProgramInterruption),
    /// The guest gets an access exception that undoes the instruction.
    Translation(Translation),
    /// The host failed.
    Host(Error),
}

/// An access exception of dynamic address translation.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// Program interruption code.
    pub code: u16,
    /// Translation-exception identification, for lowcore 0xa8.
    pub identification: u64,
}

/// What an instruction's handler returns.
pub(crate) type Handled = std::result::Result<Outcome, Fault>;

impl From<ProgramInterruption> for Fault {
    fn from(interruption: ProgramInterruption) -> Self {
        Fault::Program(interruption)
    }
}

impl From<Translation> for Fault {
    fn from(translation: Translation) -> Self {
        Fault::Translation(translation)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Host(error)
    }
}

impl From<s390_hypervisor::Error> for Fault {
    fn from(error: s390_hypervisor::Error) -> Self {
        Fault::Host(error.into())
    }
}
