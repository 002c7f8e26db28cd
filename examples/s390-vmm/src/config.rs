// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine as its user wants it: plain data, whichever way it was said.

use std::path::PathBuf;

use s390_sclp::Consoles;
use s390_virtio_devices::net::MacAddress;

/// What runs the guest.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// KVM where it can be used, otherwise the software CPU.
    #[default]
    Auto,
    /// The software CPU.
    Emulated,
    /// KVM.
    Kvm,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// The raw image.
    pub path: PathBuf,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Name of the tap device.
    pub tap: String,
    /// Hardware address; one that depends on the interface's number if not given.
    pub mac: Option<MacAddress>,
}

/// Where the guest's consoles go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConsoleConfig {
    /// Standard output, and standard input as the keyboard.
    #[default]
    Stdio,
    /// This file, without a keyboard.
    File(PathBuf),
    /// Nowhere.
    None,
}

/// A machine before anything is plugged in.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// RAM in bytes: a multiple of 1 MiB.
    pub memory_size: u64,
    /// What runs the guest.
    pub backend: Backend,
    /// The consoles that the SCLP offers, beside the virtio console, which is always there.
    pub sclp_consoles: Consoles,
}

/// A virtual machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmConfig {
    /// The kernel: a raw image or an ELF file.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// The command line; without it, the one that the image brings with it.
    pub command_line: Option<String>,
    /// The machine itself.
    pub hardware: Hardware,
    /// The disks, in the order in which the guest finds them.
    pub disks: Vec<DiskConfig>,
    /// The network interfaces, in the order in which the guest finds them.
    pub nets: Vec<NetConfig>,
    /// Where the consoles go.
    pub console: ConsoleConfig,
    /// Whether to print at the end what the CPUs did.
    pub stats: bool,
}
