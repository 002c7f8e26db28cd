// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why a machine cannot be put together or run.

use std::io;
use std::path::PathBuf;

use s390_virtio_devices::balloon::BalloonError;
use s390_virtio_devices::block::ImageError;
use s390_virtio_devices::bus::BusError;
use s390_virtio_devices::net::{StreamError, TapError};
use s390_virtio_devices::p9::{ShareError, TagError};

/// Why a machine cannot be put together or run. Sentences, whose causes are their sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the guest cannot be booted.
    #[error(transparent)]
    Image(#[from] s390_loader::Error),
    /// A disk image cannot be used.
    #[error(transparent)]
    Disk(#[from] ImageError),
    /// A disk image is well, but no disk can be made of it.
    #[error("cannot create a disk of {path:?}")]
    DiskDevice {
        /// Path as given.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A tap device cannot be used.
    #[error(transparent)]
    Tap(#[from] TapError),
    /// A socket cannot be a link.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A directory cannot be shared.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// A name is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// Two shares have the same tag: a guest would only find the first.
    #[error("there are two shares with the tag {0:?}")]
    TagTwice(String),
    /// Two ports have the same name, and a guest has one place for it.
    #[error("there are two ports with the name {0:?}")]
    PortTwice(String),
    /// Writing to a file would spoil what somebody else has there.
    #[error("{kind} file {path:?} is in use by a disk or another output")]
    OutputInUse {
        /// What it is for.
        kind: &'static str,
        /// Path as given.
        path: PathBuf,
    },
    /// A file for what the guest prints cannot be opened.
    #[error("cannot open {kind} file {path:?}")]
    OutputFile {
        /// What it is for.
        kind: &'static str,
        /// Path as given.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The host has not enough memory, or not in one piece.
    #[error("cannot allocate {0} bytes of guest memory")]
    Memory(u64, #[source] vm_memory::mmap::FromRangesError),
    /// Guest memory cannot be accessed.
    #[error("cannot access guest memory")]
    GuestMemory(#[source] vm_memory::GuestMemoryError),
    /// The RAM size is not usable.
    #[error("cannot plan the device page")]
    Page(#[from] s390_virtio_page::BuildError),
    /// The devices do not fit.
    #[error("cannot set up the devices")]
    Bus(#[from] BusError),
    /// The SCLP cannot describe this machine.
    #[error("cannot describe the machine to the guest")]
    Sclp(#[from] s390_sclp::Error),
    /// KVM was asked for and cannot be used.
    #[error("KVM cannot be used (--backend emulated needs none)")]
    Kvm(#[from] s390_kvm::Error),
    /// A CPU model was asked for that the backend cannot show.
    #[error("KVM shows the guest the CPU of its host: --cpu {0} needs --backend emulated")]
    CpuModel(&'static str),
    /// The software CPU cannot be made.
    #[error("cannot make the software CPU")]
    Cpu(#[from] s390_cpu::Error),
    /// The backend failed.
    #[error(transparent)]
    Hypervisor(#[from] s390_hypervisor::Error),
    /// The machine failed.
    #[error(transparent)]
    Machine(#[from] s390_machine::Error),
    /// The event loop failed.
    #[error("cannot wait for events")]
    Events(#[from] event_manager::Error),
    /// The host refused something.
    #[error("cannot {action}")]
    Host {
        /// What, as a verb phrase.
        action: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A socket cannot be made.
    #[error("cannot listen on {kind} socket {path:?}")]
    Socket {
        /// What it is for.
        kind: &'static str,
        /// Path as given.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// There is no answer from a control socket.
    #[error("cannot talk to the machine behind {path:?}: {reason}")]
    Control {
        /// Path as given.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The machine behind a control socket refused.
    #[error("{0}")]
    Refused(String),
    /// There is no such device.
    #[error("there is no {0}")]
    NoSuchDevice(String),
    /// A disk cannot have that size.
    #[error("cannot resize {0}")]
    Resize(String, #[source] io::Error),
    /// An answer cannot be written as JSON.
    #[error("cannot write the answer")]
    Json(#[from] serde_json::Error),
    /// A balloon cannot have that size.
    #[error(transparent)]
    Balloon(#[from] BalloonError),
    /// The CPUs do not leave the guest.
    #[error("the CPUs do not stop")]
    NotPaused,
    /// Nobody in the guest waits for the power button.
    #[error("the guest does not listen to the power button")]
    NotListening,
    /// A file is no descriptor page.
    #[error("cannot read a descriptor page from {path:?}: {reason}")]
    PageFile {
        /// Path as given.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A thread of the VMM panicked, which is a bug.
    #[error("a thread of the VMM panicked")]
    Panic,
    /// The demo did not go as it should.
    #[error("the demo failed: {0}")]
    Demo(String),
}

impl Error {
    /// For `map_err`: the host refused to `action`.
    pub(crate) fn host(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Error::Host { action, source }
    }
}

/// The result of whatever the VMM does.
pub type Result<T, E = Error> = std::result::Result<T, E>;
