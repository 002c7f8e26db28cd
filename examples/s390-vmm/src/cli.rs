// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use s390_cpu::CpuModel;
use s390_sclp::Consoles;
use s390_virtio_devices::net::MacAddress;
use s390_virtio_devices::p9::Tag;

use crate::config::{
    Backend, CacheMode, ConsoleConfig, DiskConfig, DiskEngine, DiskFormat, Hardware, Hotplug,
    NetConfig, NetLink, PortConfig, PortTarget, ShareConfig, VmConfig,
};
use crate::control::{self, DeviceRef};
use crate::inspect::PageSource;

/// The form of a network interface.
const NET: &str = "tap=NAME|stream=SOCKET[,mac=..][,mtu=N][,bw=SIZE][,ops=N]";

/// The form of a port.
const PORT: &str = "name=NAME,file=F|socket=PATH";

/// The form of a shared directory.
const SHARE: &str = "path=DIR,tag=TAG[,readonly]";

/// A minimal virtual machine monitor for s390: boots Linux with disk and network on any machine.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Boot a kernel.
    ///
    /// Ctrl-A X leaves the console and ends the guest; Ctrl-A Ctrl-A types a Ctrl-A. Exit status:
    /// 0 when the guest powers off, 2 for a usage error, 3 when the guest crashed, 1 for other
    /// errors.
    Boot(BootArguments),
    /// Command a guest that was booted with --control.
    Ctl(CtlArguments),
    /// Print a descriptor page in words.
    Inspect(InspectArguments),
    /// Boot the built-in guest with a disk and a network peer, and report.
    Demo(DemoArguments),
}

/// Arguments of `boot`.
#[derive(Debug, Args)]
pub struct BootArguments {
    /// Kernel: a raw image or an ELF file.
    #[arg(long, value_name = "F")]
    kernel: PathBuf,
    /// Initial RAM disk.
    #[arg(long, value_name = "F")]
    initrd: Option<PathBuf>,
    /// Command line of the kernel.
    #[arg(long, value_name = "S", allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// RAM, with suffix K, M, G or T; a multiple of 1 MiB.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory_size)]
    memory: u64,
    /// A disk on an image or a block device. May be given more than once.
    ///
    /// path=F[,readonly][,direct][,format=raw|qcow2][,cache=writeback|writethrough]
    /// [,engine=auto|io_uring|threads][,block-size=512|4096][,iops=N][,bw=SIZE]
    #[arg(long, value_name = "path=F[,..]", verbatim_doc_comment)]
    disk: Vec<DiskConfig>,
    /// A network interface, on a tap device or on the Unix socket of a program like passt:
    /// tap=NAME or stream=SOCKET, then [,mac=..][,mtu=N][,bw=SIZE][,ops=N]. The last two are limits
    /// a second in each direction. May be given more than once.
    #[arg(long, value_name = NET)]
    net: Vec<NetConfig>,
    /// A directory that the guest can mount over 9P: path=DIR,tag=TAG[,readonly]. Linux has it with
    /// mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt. May be given more than once.
    #[arg(long, value_name = SHARE)]
    share: Vec<ShareConfig>,
    /// A port beside the virtio console: name=NAME,file=F, which takes what the guest writes, or
    /// name=NAME,socket=PATH, on which one client at a time talks to the guest. Linux has it as /dev/virtio-ports/NAME. May be given more than once.
    #[arg(long, value_name = PORT)]
    port: Vec<PortConfig>,
    /// A balloon, into which the guest can be asked to put memory that the host gets back.
    #[arg(long)]
    balloon: bool,
    /// Where the consoles go: stdio, file=F or none.
    #[arg(long, value_name = "stdio|file=F|none", default_value = "stdio")]
    console: ConsoleConfig,
    /// The consoles of the SCLP. Linux prefers them to the virtio console, hvc0, unless it is
    /// told otherwise with console= on its command line; with none, hvc0 is all there is.
    #[arg(
        long,
        value_enum,
        value_name = "vt220|line|both|none",
        default_value = "vt220",
        hide_possible_values = true
    )]
    sclp_console: SclpConsoleArgument,
    /// The model of the software CPU: a machine with the facilities that kernels built for it ask
    /// for, or max for all that this CPU really has.
    #[arg(long, value_name = "MODEL", default_value = "max", value_parser = cpu_model())]
    cpu: CpuModel,
    /// Print instructions, exits and processor time of each CPU at the end.
    #[arg(long)]
    stats: bool,
    /// Write every event of the virtio transport to standard error.
    #[arg(long)]
    pub trace: bool,
    /// Listen for commands on this Unix socket, see `ctl`; only this user may use it.
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Tell the running guest of devices that are added, if one of its drivers shows that it is
    /// Linux 3.0 or later; with always, whatever it is: Linux before 2.6.36 takes the message for
    /// something else. A guest that is not told finds them at its next boot.
    #[arg(
        long,
        requires = "control",
        value_enum,
        value_name = "always",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "shown",
        hide_possible_values = true
    )]
    hotplug: Option<HotplugArgument>,
    #[command(flatten)]
    machine: MachineArguments,
}

/// Arguments of `ctl`.
#[derive(Debug, Args)]
pub struct CtlArguments {
    /// The socket that `boot --control` listens on.
    #[arg(long, value_name = "SOCKET")]
    pub control: PathBuf,
    #[command(subcommand)]
    command: CtlCommand,
}

/// The commands of `ctl`. What they answer is printed as JSON.
#[derive(Clone, Debug, Subcommand)]
enum CtlCommand {
    /// Print the machine's state and its devices.
    Info,
    /// Print what devices and queues have counted.
    Counters,
    /// Hold the CPUs, the devices and the guest's clock.
    Pause,
    /// Let them go on.
    Resume,
    /// Ask the guest to power off.
    PowerButton,
    /// Reset the machine and load the guest again.
    Reset,
    /// Add a disk.
    AddDisk {
        /// The disk, as for `boot --disk`.
        #[arg(value_name = "path=F[,..]")]
        disk: DiskConfig,
    },
    /// Add a network interface.
    AddNet {
        /// The interface, as for `boot --net`.
        #[arg(value_name = NET)]
        net: NetConfig,
    },
    /// Share a directory.
    AddShare {
        /// The directory, as for `boot --share`.
        #[arg(value_name = SHARE)]
        share: ShareConfig,
    },
    /// Change the capacity of a disk. An image that is too small grows; one that is larger than
    /// the new capacity keeps what it holds.
    ResizeDisk {
        /// The disk: its number, from 0, or the path of its image.
        #[arg(value_name = "N|PATH", value_parser = device_ref)]
        disk: DeviceRef,
        /// New capacity, with suffix K, M, G or T; that of the image if not given.
        #[arg(value_name = "SIZE", value_parser = size)]
        size: Option<u64>,
    },
    /// Take the link of a network interface up or down.
    Link {
        /// What it shall be.
        #[arg(value_enum, value_name = "up|down")]
        state: LinkState,
        /// Number of the interface, from 0.
        #[arg(value_name = "N", default_value = "0")]
        net: usize,
    },
    /// Change the size of the balloon, whose memory the guest leaves to the host.
    Balloon {
        /// New size, with suffix K, M, G or T; a multiple of 4K.
        #[arg(value_name = "SIZE", value_parser = size)]
        size: u64,
    },
    /// Print what is in the balloon and what the guest says of its memory.
    BalloonStatistics,
    /// Change the size of the virtio console's terminal.
    ConsoleSize {
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum LinkState {
    /// Frames pass.
    Up,
    /// Frames are dropped.
    Down,
}

impl CtlArguments {
    /// The command, whose paths do not depend on this process.
    ///
    /// # Errors
    ///
    /// There is no working directory to make them so.
    pub fn command(&self) -> std::io::Result<control::Command> {
        Ok(match self.command.clone() {
            CtlCommand::Info => control::Command::Info,
            CtlCommand::Counters => control::Command::Counters,
            CtlCommand::Pause => control::Command::Pause,
            CtlCommand::Resume => control::Command::Resume,
            CtlCommand::PowerButton => control::Command::PowerButton,
            CtlCommand::Reset => control::Command::Reset,
            CtlCommand::AddDisk { disk } => control::Command::AddDisk(DiskConfig {
                path: std::path::absolute(disk.path)?,
                ..disk
            }),
            CtlCommand::AddNet { net } => control::Command::AddNet(NetConfig {
                link: match net.link {
                    NetLink::Stream(path) => NetLink::Stream(std::path::absolute(path)?),
                    tap => tap,
                },
                ..net
            }),
            CtlCommand::AddShare { share } => control::Command::AddShare(ShareConfig {
                path: std::path::absolute(share.path)?,
                ..share
            }),
            CtlCommand::ResizeDisk { disk, size } => control::Command::ResizeDisk {
                disk: match disk {
                    DeviceRef::Path(path) => DeviceRef::Path(std::path::absolute(path)?),
                    number => number,
                },
                size,
            },
            CtlCommand::Link { state, net } => control::Command::Link {
                net,
                up: state == LinkState::Up,
            },
            CtlCommand::Balloon { size } => control::Command::Balloon { size },
            CtlCommand::BalloonStatistics => control::Command::BalloonStatistics,
            CtlCommand::ConsoleSize { columns, rows } => {
                control::Command::ConsoleSize { columns, rows }
            }
        })
    }
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[group(id = "source", required = true, multiple = false)]
pub struct InspectArguments {
    /// A file with the 4096 bytes of a descriptor page.
    #[arg(value_name = "FILE", group = "source")]
    file: Option<PathBuf>,
    /// The socket of a running guest, see `boot --control`.
    #[arg(long, value_name = "SOCKET", group = "source")]
    control: Option<PathBuf>,
}

impl From<InspectArguments> for PageSource {
    fn from(arguments: InspectArguments) -> Self {
        match (arguments.control, arguments.file) {
            (Some(socket), _) => PageSource::Machine(socket),
            // One of them is required.
            (None, file) => PageSource::File(file.unwrap_or_default()),
        }
    }
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    #[command(flatten)]
    machine: MachineArguments,
}

/// Arguments of every command that makes a machine.
#[derive(Debug, Args)]
struct MachineArguments {
    /// What runs the guest: KVM on s390x hosts, the software CPU anywhere.
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendArgument,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum BackendArgument {
    /// KVM where it can be used, otherwise the software CPU.
    Auto,
    /// The software CPU.
    Emulated,
    /// KVM.
    Kvm,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum HotplugArgument {
    /// A guest that shows that it understands.
    Shown,
    /// Every guest.
    Always,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum SclpConsoleArgument {
    /// The VT220 terminal.
    Vt220,
    /// The line-mode console.
    Line,
    /// Both.
    Both,
    /// Neither.
    None,
}

impl From<Option<HotplugArgument>> for Hotplug {
    fn from(argument: Option<HotplugArgument>) -> Self {
        match argument {
            None => Hotplug::Never,
            Some(HotplugArgument::Shown) => Hotplug::Shown,
            Some(HotplugArgument::Always) => Hotplug::Always,
        }
    }
}

impl From<SclpConsoleArgument> for Consoles {
    fn from(console: SclpConsoleArgument) -> Self {
        match console {
            SclpConsoleArgument::Vt220 => Consoles::Vt220,
            SclpConsoleArgument::Line => Consoles::LineMode,
            SclpConsoleArgument::Both => Consoles::Both,
            SclpConsoleArgument::None => Consoles::None,
        }
    }
}

impl From<BackendArgument> for Backend {
    fn from(backend: BackendArgument) -> Self {
        match backend {
            BackendArgument::Auto => Backend::Auto,
            BackendArgument::Emulated => Backend::Emulated,
            BackendArgument::Kvm => Backend::Kvm,
        }
    }
}

impl From<BootArguments> for VmConfig {
    fn from(arguments: BootArguments) -> Self {
        VmConfig {
            kernel: arguments.kernel,
            initrd: arguments.initrd,
            command_line: arguments.cmdline,
            hardware: Hardware {
                memory_size: arguments.memory,
                backend: arguments.machine.backend.into(),
                cpu: arguments.cpu,
                sclp_consoles: arguments.sclp_console.into(),
                hotplug: arguments.hotplug.into(),
            },
            disks: arguments.disk,
            nets: arguments.net,
            shares: arguments.share,
            ports: arguments.port,
            balloon: arguments.balloon,
            console: arguments.console,
            stats: arguments.stats,
            control: arguments.control,
        }
    }
}

impl From<DemoArguments> for Backend {
    fn from(arguments: DemoArguments) -> Self {
        arguments.machine.backend.into()
    }
}

/// A number with an optional suffix: K, M, G and T stand for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        suffix => return Err(format!("{suffix} is none of the suffixes K, M, G and T")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "not a number with a suffix K, M, G or T".to_owned())?;
    let size = number.checked_mul(1 << shift);
    size.ok_or_else(|| "more than there can be".to_owned())
}

/// A CPU model by its name.
fn cpu_model() -> impl TypedValueParser<Value = CpuModel> {
    // Whatever is not a name, the parser of names has refused.
    PossibleValuesParser::new(CpuModel::NAMES)
        .map(|name| CpuModel::by_name(&name).unwrap_or_default())
}

/// A size of RAM.
fn memory_size(text: &str) -> Result<u64, String> {
    const MIB: u64 = 1 << 20;
    match size(text)? {
        0 => Err("a guest needs memory".to_owned()),
        size if size % MIB != 0 => Err(format!("{size} bytes are not a multiple of 1 MiB")),
        size => Ok(size),
    }
}

/// A number, or otherwise a path.
fn device_ref(text: &str) -> Result<DeviceRef, String> {
    match (text, text.parse()) {
        ("", _) => Err("a path is not empty".to_owned()),
        (_, Ok(number)) => Ok(DeviceRef::Number(number)),
        (path, Err(_)) => Ok(DeviceRef::Path(path.into())),
    }
}

/// So many a second, with suffix.
fn rate(key: &str, text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err(format!("{key}=0 would let nothing pass")),
        rate => Ok(rate),
    }
}

/// The words of an option, `key=value` or `key`, handed to `set` one by one.
fn words(
    text: &str,
    mut set: impl FnMut(&str, Option<&str>) -> Result<(), String>,
) -> Result<(), String> {
    let mut keys = HashSet::new();
    for word in text.split(',') {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        if value == Some("") {
            return Err(format!("{key} has no value"));
        }
        if !keys.insert(key) {
            return Err(format!("{key} is given twice"));
        }
        set(key, value)?;
    }
    Ok(())
}

fn unknown(word: &str, known: &str) -> String {
    format!("{word:?} is not known here; expected {known}")
}

/// The same for a word that has these two halves.
fn unknown_word(key: &str, value: Option<&str>, known: &str) -> String {
    let word = value.map_or(key.to_owned(), |value| format!("{key}={value}"));
    unknown(&word, known)
}

impl FromStr for DiskConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut disk = DiskConfig::default();
        words(text, |key, value| {
            match (key, value) {
                ("path", Some(value)) => disk.path = PathBuf::from(value),
                ("readonly", None) => disk.read_only = true,
                ("direct", None) => disk.direct = true,
                ("format", Some("raw")) => disk.format = DiskFormat::Raw,
                ("format", Some("qcow2")) => disk.format = DiskFormat::Qcow2,
                ("format", Some(value)) => return Err(unknown(value, "raw or qcow2")),
                ("cache", Some("writeback")) => disk.cache = CacheMode::Writeback,
                ("cache", Some("writethrough")) => disk.cache = CacheMode::Writethrough,
                ("cache", Some(value)) => return Err(unknown(value, "writeback or writethrough")),
                ("engine", Some("auto")) => disk.engine = DiskEngine::Auto,
                ("engine", Some("io_uring")) => disk.engine = DiskEngine::IoUring,
                ("engine", Some("threads")) => disk.engine = DiskEngine::Threads,
                ("engine", Some(value)) => return Err(unknown(value, "auto, io_uring or threads")),
                ("block-size", Some("512")) => disk.block_size = Some(512),
                ("block-size", Some("4096")) => disk.block_size = Some(4096),
                ("block-size", Some(value)) => return Err(unknown(value, "512 or 4096")),
                ("iops", Some(value)) => disk.iops = Some(rate(key, value)?),
                ("bw", Some(value)) => disk.bw = Some(rate(key, value)?),
                _ => return Err(unknown_word(
                    key,
                    value,
                    "path=F, readonly, direct, format=, cache=, engine=, block-size=, iops=, bw=",
                )),
            }
            Ok(())
        })?;
        match disk.path.as_os_str().is_empty() {
            true => Err("a disk needs path=F".to_owned()),
            false => Ok(disk),
        }
    }
}

impl FromStr for NetConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut tap, mut stream, mut mac) = (None, None, None);
        let (mut mtu, mut bw, mut ops) = (None, None, None);
        words(text, |key, value| {
            match (key, value) {
                ("tap", Some(value)) => tap = Some(value.to_owned()),
                ("stream", Some(value)) => stream = Some(PathBuf::from(value)),
                ("mtu", Some(value)) => {
                    let number = value.parse::<u16>();
                    mtu = Some(number.map_err(|_| format!("{value:?} is no MTU"))?);
                }
                ("bw", Some(value)) => bw = NonZeroU64::new(rate(key, value)?),
                ("ops", Some(value)) => ops = NonZeroU64::new(rate(key, value)?),
                ("mac", Some(value)) => {
                    mac = Some(value.parse::<MacAddress>().map_err(|e| e.to_string())?);
                }
                _ => return Err(unknown_word(key, value, NET)),
            }
            Ok(())
        })?;
        NetConfig {
            link: NetLink::one_of(tap, stream)?,
            mac,
            mtu,
            bytes_per_second: bw,
            frames_per_second: ops,
        }
        .checked()
    }
}

impl FromStr for ShareConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut path, mut tag, mut read_only) = (None, None, false);
        words(text, |key, value| {
            match (key, value) {
                ("path", Some(value)) => path = Some(PathBuf::from(value)),
                ("tag", Some(value)) => tag = Some(Tag::new(value).map_err(|e| e.to_string())?),
                ("readonly", None) => read_only = true,
                _ => return Err(unknown_word(key, value, SHARE)),
            }
            Ok(())
        })?;
        Ok(ShareConfig {
            path: path.ok_or("a share needs path=DIR")?,
            tag: tag.ok_or("a share needs tag=TAG")?.as_str().to_owned(),
            read_only,
        })
    }
}

impl FromStr for PortConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MAX_NAME: usize = 100;
        let (mut name, mut target) = (None, None);
        words(text, |key, value| {
            let mut set = |to| match target.replace(to) {
                None => Ok(()),
                Some(_) => Err("a port needs either file=F or socket=PATH".to_owned()),
            };
            match (key, value) {
                ("name", Some(value)) => name = Some(value.to_owned()),
                ("file", Some(value)) => set(PortTarget::File(value.into()))?,
                ("socket", Some(value)) => set(PortTarget::Socket(value.into()))?,
                _ => return Err(unknown_word(key, value, PORT)),
            }
            Ok(())
        })?;
        let name = name.ok_or("a port needs name=NAME")?;
        if name.len() > MAX_NAME || !name.bytes().all(|c| c.is_ascii_graphic() && c != b'/') {
            return Err(format!("{name:?} is no name of a port"));
        }
        Ok(PortConfig {
            name,
            target: target.ok_or("a port needs file=F or socket=PATH")?,
        })
    }
}

impl FromStr for ConsoleConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "stdio" => Ok(ConsoleConfig::Stdio),
            None if text == "none" => Ok(ConsoleConfig::None),
            Some(("file", path)) if !path.is_empty() => Ok(ConsoleConfig::File(path.into())),
            _ => Err(unknown(text, "stdio, file=F or none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::CommandFactory;

    use super::*;

    fn boot(arguments: &[&str]) -> Result<VmConfig, clap::Error> {
        let fixed = ["s390-vmm", "boot", "--kernel", "image"];
        let cli = Cli::try_parse_from(fixed.iter().chain(arguments))?;
        match cli.command {
            Command::Boot(arguments) => Ok(arguments.into()),
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_readme_has_every_option_and_command() {
        let readme = include_str!("../README.md");
        // Words of the first column of any table: whole ones, without what stands for a value.
        let words: Vec<&str> = readme
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
            .flat_map(|cell| cell.split(['`', ' ', '[', '=', ',']))
            .collect();
        let cli = Cli::command();
        let of = |name| cli.find_subcommand(name).unwrap();
        let options = of("boot").get_arguments();
        let options = options.filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
        let commands = of("ctl").get_subcommands();
        let names: Vec<_> = options
            .chain(commands.map(|command| command.get_name().to_owned()))
            .collect();
        assert!(names.len() > 25, "{names:?}");
        for name in names {
            assert!(words.contains(&&*name), "{name} is not in README.md");
        }
    }

    #[test]
    fn shares() {
        let share = |path: &str, read_only| ShareConfig {
            path: path.into(),
            tag: "t".to_owned(),
            read_only,
        };
        let config = boot(&[
            "--share",
            "path=/a,tag=t",
            "--share",
            "tag=t,readonly,path=b",
        ]);
        assert_eq!(
            config.unwrap().shares,
            [share("/a", false), share("b", true)]
        );
        let command = ctl(&["add-share", "path=/a,tag=t,readonly"]).unwrap();
        assert_eq!(command, control::Command::AddShare(share("/a", true)));
        for (option, sentence) in [
            ("path=/a", "a share needs tag=TAG"),
            ("tag=t", "a share needs path=DIR"),
            ("path=/a,tag=", "tag has no value"),
            ("path=/a,tag=a b", "a tag has 1 to 32 printable characters"),
            ("path=/a,tag=t,ro", "\"ro\" is not known here"),
        ] {
            let error = boot(&["--share", option]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation);
            assert!(error.to_string().contains(sentence), "{error}");
        }
        let long = format!("path=/a,tag={}", "x".repeat(33));
        assert!(boot(&["--share", &long]).is_err());
    }

    fn ctl(arguments: &[&str]) -> Result<control::Command, clap::Error> {
        let cli = Cli::try_parse_from(
            ["s390-vmm", "ctl", "--control", "/s"]
                .iter()
                .chain(arguments),
        )?;
        match cli.command {
            Command::Ctl(arguments) => Ok(arguments.command().unwrap()),
            _ => unreachable!(),
        }
    }

    #[test]
    fn defaults() {
        let config = boot(&[]).unwrap();
        assert_eq!(config.kernel, PathBuf::from("image"));
        let hardware = Hardware {
            memory_size: 256 << 20,
            backend: Backend::Auto,
            cpu: CpuModel::max(),
            sclp_consoles: Consoles::Vt220,
            hotplug: Hotplug::Never,
        };
        assert_eq!(config.hardware, hardware);
        assert_eq!(config.console, ConsoleConfig::Stdio);
        assert!(
            !config.stats
                && config.initrd.is_none()
                && config.disks.is_empty()
                && config.nets.is_empty()
        );
    }

    #[test]
    fn every_option() {
        let config = boot(&[
            "--initrd",
            "i",
            "--cmdline",
            "-x root=/dev/vda",
            "--memory",
            "1G",
            "--disk",
            "path=a",
            "--disk",
            "readonly,path=b",
            "--net",
            "tap=tap0",
            "--net",
            "stream=s,mac=02:00:00:00:00:01,mtu=9000,bw=2M,ops=1000",
            "--console",
            "file=log",
            "--sclp-console",
            "none",
            "--backend",
            "emulated",
            "--cpu",
            "z10",
            "--stats",
            "--port",
            "name=org.example.log,file=out",
            "--port",
            "name=agent,socket=agent.sock",
            "--balloon",
            "--control",
            "socket",
            "--hotplug",
        ])
        .unwrap();
        assert_eq!(config.initrd, Some("i".into()));
        assert_eq!(config.command_line.as_deref(), Some("-x root=/dev/vda"));
        let hardware = Hardware {
            memory_size: 1 << 30,
            backend: Backend::Emulated,
            cpu: CpuModel::by_name("z10").unwrap(),
            sclp_consoles: Consoles::None,
            hotplug: Hotplug::Shown,
        };
        assert_eq!(config.hardware, hardware);
        let disk = |path: &str, read_only| DiskConfig {
            path: path.into(),
            read_only,
            ..DiskConfig::default()
        };
        assert_eq!(config.disks, [disk("a", false), disk("b", true)]);
        assert_eq!(
            config.nets[0],
            NetConfig {
                link: NetLink::Tap("tap0".into()),
                mac: None,
                mtu: None,
                bytes_per_second: None,
                frames_per_second: None,
            }
        );
        assert_eq!(
            config.nets[1],
            NetConfig {
                link: NetLink::Stream("s".into()),
                mac: Some(MacAddress([2, 0, 0, 0, 0, 1])),
                mtu: Some(9000),
                bytes_per_second: NonZeroU64::new(2 << 20),
                frames_per_second: NonZeroU64::new(1000),
            }
        );
        assert_eq!(config.console, ConsoleConfig::File("log".into()));
        assert!(config.stats);
        assert!(config.balloon);
        let port = PortConfig {
            name: "org.example.log".into(),
            target: PortTarget::File("out".into()),
        };
        let agent = PortConfig {
            name: "agent".into(),
            target: PortTarget::Socket("agent.sock".into()),
        };
        assert_eq!(config.ports, [port, agent]);
        assert_eq!(config.control, Some("socket".into()));
    }

    #[test]
    fn commands() {
        assert_eq!(ctl(&["pause"]).unwrap(), control::Command::Pause);
        let disk = DiskConfig {
            path: std::env::current_dir().unwrap().join("a.img"),
            read_only: true,
            ..DiskConfig::default()
        };
        assert_eq!(
            ctl(&["add-disk", "path=a.img,readonly"]).unwrap(),
            control::Command::AddDisk(disk.clone())
        );
        for (disk, reference) in [
            ("1", DeviceRef::Number(1)),
            ("a.img", DeviceRef::Path(disk.path.clone())),
            ("/1", DeviceRef::Path("/1".into())),
        ] {
            let command = control::Command::ResizeDisk {
                disk: reference,
                size: Some(3 << 20),
            };
            assert_eq!(ctl(&["resize-disk", disk, "3M"]).unwrap(), command);
        }
        assert!(matches!(
            ctl(&["resize-disk", "0"]).unwrap(),
            control::Command::ResizeDisk { size: None, .. }
        ));
        let link = |net, up| control::Command::Link { net, up };
        assert_eq!(ctl(&["link", "down"]).unwrap(), link(0, false));
        assert_eq!(ctl(&["link", "up", "1"]).unwrap(), link(1, true));
        let balloon = control::Command::Balloon { size: 64 << 20 };
        assert_eq!(ctl(&["balloon", "64M"]).unwrap(), balloon);
        let size = control::Command::ConsoleSize {
            columns: 132,
            rows: 43,
        };
        assert_eq!(ctl(&["console-size", "132", "43"]).unwrap(), size);
        for wrong in [
            ["link", "sideways"].as_slice(),
            &["console-size", "80"],
            &["resize-disk", ""],
            &["resize-disk", "0", "-1"],
            &["add-disk"],
            &["add-disk", "a.img"],
            &["explode"],
        ] {
            assert_eq!(ctl(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn every_option_of_a_disk() {
        let disk: DiskConfig = "path=a,readonly,direct,format=qcow2,cache=writethrough,\
             engine=threads,block-size=4096,iops=100,bw=10M"
            .parse()
            .unwrap();
        let expected = DiskConfig {
            path: "a".into(),
            read_only: true,
            format: DiskFormat::Qcow2,
            direct: true,
            cache: CacheMode::Writethrough,
            engine: DiskEngine::Threads,
            block_size: Some(4096),
            iops: Some(100),
            bw: Some(10 << 20),
        };
        assert_eq!(disk, expected);
        // The control socket has the same names for the same things.
        let json = serde_json::to_string(&expected).unwrap();
        for words in [
            r#""format":"qcow2""#,
            r#""engine":"threads""#,
            r#""block-size":4096"#,
        ] {
            assert!(json.contains(words), "{json}");
        }
        assert_eq!(serde_json::from_str::<DiskConfig>(&json).unwrap(), expected);
    }

    #[test]
    fn memory_sizes() {
        for (text, size) in [
            ("1M", 1 << 20),
            ("2048k", 2 << 20),
            ("3g", 3 << 30),
            ("1048576", 1 << 20),
        ] {
            assert_eq!(memory_size(text), Ok(size), "{text}");
        }
        for (text, sentence) in [
            ("1500K", "1536000 bytes are not a multiple of 1 MiB"),
            ("512", "512 bytes are not a multiple of 1 MiB"),
            ("0M", "a guest needs memory"),
            ("99999999T", "more than there can be"),
            ("1X", "X is none of the suffixes K, M, G and T"),
            ("1MB", "MB is none of the suffixes K, M, G and T"),
            ("-1M", "not a number with a suffix K, M, G or T"),
            ("M", "not a number with a suffix K, M, G or T"),
            ("", "not a number with a suffix K, M, G or T"),
        ] {
            assert_eq!(memory_size(text).unwrap_err(), sentence, "{text}");
        }
    }

    #[test]
    fn malformed_options_are_usage_errors() {
        for arguments in [
            ["--disk", "disk.img"],
            ["--disk", "path="],
            ["--disk", "readonly"],
            ["--disk", "path=a,rw"],
            ["--disk", "path=a,format=vmdk"],
            ["--disk", "path=a,cache=unsafe"],
            ["--disk", "path=a,engine=aio"],
            ["--disk", "path=a,block-size=1024"],
            ["--disk", "path=a,iops=0"],
            ["--disk", "path=a,bw=1X"],
            ["--disk", "path=a,direct=on"],
            ["--disk", "path=a,path=b"],
            ["--disk", "readonly,path=a,readonly"],
            ["--disk", "path=a,"],
            ["--net", "tap="],
            ["--net", "mac=02:00:00:00:00:01"],
            ["--net", "tap=t,mac=1"],
            ["--net", "tap=t,stream=s"],
            ["--net", "tap=t,mtu=67"],
            ["--net", "tap=t,mtu=65536"],
            ["--net", "tap=t,bw=0"],
            ["--net", "tap=t,ops=x"],
            ["--port", "name=a"],
            ["--port", "file=a"],
            ["--port", "name=a,socket="],
            ["--port", "name=a,file=a,socket=b"],
            ["--port", "name=a/b,file=a"],
            ["--console", "pty"],
            ["--console", "file="],
            ["--memory", "1500K"],
        ] {
            let error = boot(&arguments).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{arguments:?}");
            assert_eq!(error.exit_code(), 2);
        }
        for hotplug in [&["--hotplug"][..], &["--control", "s", "--hotplug=old"]] {
            assert_eq!(boot(hotplug).unwrap_err().exit_code(), 2);
        }
        let config = boot(&["--control", "s", "--hotplug=always"]).unwrap();
        assert_eq!(config.hardware.hotplug, Hotplug::Always);
        assert_eq!(boot(&["--backend", "xen"]).unwrap_err().exit_code(), 2);
        assert_eq!(boot(&["--cpu", "z9"]).unwrap_err().exit_code(), 2);
        let error = boot(&["--sclp-console", "hvc0"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let error = Cli::try_parse_from(["s390-vmm", "boot"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
