// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! KVM's exits in the terms of `s390-hypervisor`.

use s390_hypervisor::{Intercept, VcpuExit};

use crate::ioctls;

/// An exit that nobody asked KVM for.
#[derive(Debug, thiserror::Error)]
#[error("KVM came back with {0:?}")]
pub(crate) struct Unexpected(ioctls::VcpuExit);

/// What an exit is for the one who runs the CPU. `None`: nothing, the CPU was called.
pub(crate) fn translate(exit: ioctls::VcpuExit) -> Result<Option<VcpuExit>, Unexpected> {
    Ok(Some(match exit {
        ioctls::VcpuExit::S390Sieic { icptcode, ipa, ipb } => VcpuExit::Intercept(Intercept {
            code: icptcode,
            ipa,
            ipb,
        }),
        ioctls::VcpuExit::S390Reset(flags) => VcpuExit::Reset(flags),
        ioctls::VcpuExit::Intr => return Ok(None),
        // STSI and TSCH stay in the kernel, which was not told otherwise.
        other => return Err(Unexpected(other)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intercepts_and_resets_pass() {
        let sieic = ioctls::VcpuExit::S390Sieic {
            icptcode: 4,
            ipa: 0x8324,
            ipb: 0x0500_0000,
        };
        let intercept = Intercept::instruction(0x8324, 0x0500_0000);
        assert_eq!(
            translate(sieic).unwrap(),
            Some(VcpuExit::Intercept(intercept))
        );
        assert_eq!(
            translate(ioctls::VcpuExit::S390Reset(0x16)).unwrap(),
            Some(VcpuExit::Reset(0x16))
        );
        assert_eq!(translate(ioctls::VcpuExit::Intr).unwrap(), None);
    }

    #[test]
    fn what_was_not_asked_for_is_an_error_that_says_what_it_was() {
        let error = translate(ioctls::VcpuExit::FailEntry(7, 1)).unwrap_err();
        assert_eq!(error.to_string(), "KVM came back with FailEntry(7, 1)");
        assert!(translate(ioctls::VcpuExit::Debug).is_err());
    }
}
