// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine as its user wants it: plain data, whichever way it was said.

use std::num::NonZeroU64;
use std::path::PathBuf;

use s390_cpu::CpuModel;
use s390_sclp::Consoles;
use s390_virtio_devices::net::{MacAddress, MIN_MTU};
use serde::{Deserialize, Serialize};

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

/// A disk. What is not said is as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskConfig {
    /// The image.
    pub path: PathBuf,
    /// Whether writes are refused.
    #[serde(default, rename = "readonly")]
    pub read_only: bool,
    /// The image's format, which is never guessed.
    #[serde(default)]
    pub format: DiskFormat,
    /// Whether to go past the host's page cache.
    #[serde(default)]
    pub direct: bool,
    /// When a write is durable.
    #[serde(default)]
    pub cache: CacheMode,
    /// How requests are carried out.
    #[serde(default)]
    pub engine: DiskEngine,
    /// Bytes of a logical block: 512 or 4096. At least what the image needs.
    #[serde(default)]
    pub block_size: Option<u32>,
    /// Requests a second.
    #[serde(default)]
    pub iops: Option<u64>,
    /// Bytes a second.
    #[serde(default)]
    pub bw: Option<u64>,
}

/// The format of a disk image.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// The bytes of the disk.
    #[default]
    Raw,
    /// QEMU's format.
    Qcow2,
}

/// When a write to a disk is durable, until the guest decides otherwise.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// After the next flush.
    #[default]
    Writeback,
    /// When it is done.
    Writethrough,
}

/// What carries out a disk's requests.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskEngine {
    /// io_uring for raw images if the host has it, otherwise threads.
    #[default]
    Auto,
    /// io_uring.
    IoUring,
    /// Threads.
    Threads,
}

/// What a network interface is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetLink {
    /// The tap device of this name.
    Tap(String),
    /// The program that listens on this Unix stream socket, such as passt.
    Stream(PathBuf),
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NetFields", into = "NetFields")]
pub struct NetConfig {
    /// What it is connected to.
    pub link: NetLink,
    /// Hardware address; one that depends on the interface's number if not given.
    pub mac: Option<MacAddress>,
    /// Longest packet in bytes, without the Ethernet header; what the guest assumes if not given,
    /// which is 1500.
    pub mtu: Option<u16>,
    /// Bytes a second, in each direction; without limit if not given.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Frames a second, in each direction; without limit if not given.
    pub frames_per_second: Option<NonZeroU64>,
}

/// The same as people write it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tap: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<PathBuf>,
    #[serde(default, with = "mac")]
    mac: Option<MacAddress>,
    #[serde(default)]
    mtu: Option<u16>,
    #[serde(default)]
    bw: Option<NonZeroU64>,
    #[serde(default)]
    ops: Option<NonZeroU64>,
}

impl TryFrom<NetFields> for NetConfig {
    type Error = String;

    fn try_from(fields: NetFields) -> Result<Self, String> {
        NetConfig {
            link: NetLink::one_of(fields.tap, fields.stream)?,
            mac: fields.mac,
            mtu: fields.mtu,
            bytes_per_second: fields.bw,
            frames_per_second: fields.ops,
        }
        .checked()
    }
}

impl From<NetConfig> for NetFields {
    fn from(net: NetConfig) -> Self {
        let (tap, stream) = match net.link {
            NetLink::Tap(name) => (Some(name), None),
            NetLink::Stream(path) => (None, Some(path)),
        };
        NetFields {
            tap,
            stream,
            mac: net.mac,
            mtu: net.mtu,
            bw: net.bytes_per_second,
            ops: net.frames_per_second,
        }
    }
}

impl NetLink {
    /// The link of an interface that must have exactly one.
    pub(crate) fn one_of(tap: Option<String>, stream: Option<PathBuf>) -> Result<Self, String> {
        match (tap, stream) {
            (Some(name), None) => Ok(NetLink::Tap(name)),
            (None, Some(path)) => Ok(NetLink::Stream(path)),
            _ => Err("a network interface needs either tap=NAME or stream=SOCKET".to_owned()),
        }
    }
}

impl NetConfig {
    /// This one, if its numbers make sense.
    pub(crate) fn checked(self) -> Result<Self, String> {
        match self.mtu {
            Some(mtu) if mtu < MIN_MTU => Err(format!("an MTU of {mtu} is below {MIN_MTU}")),
            _ => Ok(self),
        }
    }
}

/// A directory of the host that the guest can mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ShareConfig {
    /// The directory.
    pub path: PathBuf,
    /// The name by which the guest mounts it.
    pub tag: String,
    /// Whether changes are refused.
    #[serde(default, rename = "readonly")]
    pub read_only: bool,
}

/// A port of the console device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// The name under which the guest finds it.
    pub name: String,
    /// The host's end.
    pub target: PortTarget,
}

/// The host's end of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortTarget {
    /// This file takes what the guest writes.
    File(PathBuf),
    /// A Unix stream socket, on which this program listens: what the guest writes goes to the one
    /// client that is connected, and what that writes to the guest.
    Socket(PathBuf),
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
    /// The model of the software CPU. KVM shows the guest the CPU of its host: any other model than
    /// the default one is refused.
    pub cpu: CpuModel,
    /// The consoles that the SCLP offers, beside the virtio console, which is always there.
    pub sclp_consoles: Consoles,
    /// Whether a running guest is told of a device that is added.
    pub hotplug: Hotplug,
}

/// Whether a running guest is told of a device that is added. Linux before 2.6.36 would take the
/// address of the descriptor for that of one of its queues.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Hotplug {
    /// It finds the device when it boots again.
    #[default]
    Never,
    /// If one of its drivers shows that it is Linux 3.0 or later.
    Shown,
    /// Whatever it is.
    Always,
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
    /// The directories that are shared with the guest.
    pub shares: Vec<ShareConfig>,
    /// The ports beside the console.
    pub ports: Vec<PortConfig>,
    /// Whether there is a balloon.
    pub balloon: bool,
    /// Where the consoles go.
    pub console: ConsoleConfig,
    /// Whether to print at the end what the CPUs did.
    pub stats: bool,
    /// The control socket to listen on.
    pub control: Option<PathBuf>,
}

/// A hardware address in the form in which people write it.
mod mac {
    use s390_virtio_devices::net::MacAddress;
    use serde::{de, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        mac: &Option<MacAddress>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match mac {
            Some(mac) => serializer.collect_str(mac),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<MacAddress>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(de::Error::custom))
            .transpose()
    }
}
