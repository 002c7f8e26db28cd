// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why KVM cannot be used: one sentence each, with what to do.

use vmm_sys_util::errno;

/// Why a virtual machine cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an s390x host.
    #[error("KVM runs s390 guests on s390x hosts only")]
    WrongArchitecture,
    /// There is no `/dev/kvm`.
    #[error("there is no /dev/kvm: load the module kvm, on a host that allows guests")]
    NoDevice,
    /// `/dev/kvm` is there for others.
    #[error("no permission to use /dev/kvm: run as a member of the group kvm")]
    NoPermission,
    /// `/dev/kvm` cannot be opened.
    #[error("cannot open /dev/kvm")]
    Open(#[source] errno::Error),
    /// `/dev/kvm` is something else.
    #[error("/dev/kvm is not the KVM of an s390x kernel")]
    NotKvm,
    /// The kernel is too old.
    #[error("the host's KVM has no {0}: use Linux 5.6 or newer")]
    Missing(&'static str),
    /// The page tables of this process have no room for the state of guest pages.
    #[error(
        "this process has no page tables for guests: \
         set the sysctl vm.allocate_pgste to 1 before it starts"
    )]
    NoPgste,
    /// Guest memory is not what KVM takes.
    #[error("guest memory is not one region from address 0 with a multiple of 1 MiB")]
    MemoryShape,
    /// Guest memory is the process' own, so that it cannot be mapped where KVM needs it.
    #[error("guest memory is not a file that is mapped shared: use s390_kvm::guest_memory")]
    MemoryPrivate,
    /// The host refused something.
    #[error("cannot {action}")]
    Host {
        /// What, as a verb phrase.
        action: &'static str,
        /// Cause.
        #[source]
        source: errno::Error,
    },
    /// Guest memory cannot be allocated.
    #[error("cannot allocate {0} bytes of guest memory")]
    Memory(u64, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// For `map_err`: the host refused to `action`.
    pub(crate) fn host(action: &'static str) -> impl FnOnce(errno::Error) -> Self {
        move |source| Error::Host { action, source }
    }

    /// Why `/dev/kvm` could not be opened.
    pub(crate) fn open(error: errno::Error) -> Self {
        match error.errno() {
            libc::ENOENT | libc::ENODEV | libc::ENXIO => Error::NoDevice,
            libc::EACCES | libc::EPERM => Error::NoPermission,
            _ => Error::Open(error),
        }
    }

    /// Why no VM was created. `EINVAL` can only be about the page tables: the type is right.
    pub(crate) fn create(error: errno::Error) -> Self {
        match error.errno() {
            libc::EINVAL => Error::NoPgste,
            _ => Error::host("create a virtual machine")(error),
        }
    }
}

/// For `map_err` behind the traits: the backend refused to do what `action` says.
pub(crate) fn refused<A, E>(action: A) -> impl FnOnce(E) -> s390_hypervisor::Error
where
    A: Into<String>,
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| s390_hypervisor::Error::Backend {
        action: action.into(),
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_obstacle_has_its_sentence() {
        let opened = |number| Error::open(errno::Error::new(number)).to_string();
        assert!(opened(libc::ENOENT).contains("no /dev/kvm"));
        assert!(opened(libc::ENODEV).contains("no /dev/kvm"));
        assert!(opened(libc::EACCES).contains("permission"));
        assert!(opened(libc::EPERM).contains("permission"));
        assert_eq!(opened(libc::EMFILE), "cannot open /dev/kvm");
        let created = |number| Error::create(errno::Error::new(number)).to_string();
        assert!(created(libc::EINVAL).contains("vm.allocate_pgste"));
        assert_eq!(created(libc::ENOMEM), "cannot create a virtual machine");
    }
}
