// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The devices of a machine under the names that its user knows, and the way to more of them.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use event_manager::MutEventSubscriber;
use s390_cpu::Memory;
use s390_virtio_devices::balloon::Balloon;
use s390_virtio_devices::block::{Block, BlockOptions, EngineKind, ImageFormat, ImageOptions};
use s390_virtio_devices::bus::{BusError, DeviceId};
use s390_virtio_devices::console::{Console, ConsoleSize};
use s390_virtio_devices::net::{DatagramLink, MacAddress, Net, NetBackend, StreamLink, Tap};
use s390_virtio_devices::p9::{Share, ShareOptions, Tag, P9};
use s390_virtio_devices::rate_limiter::{Rate, RateLimits};
use s390_virtio_devices::rng::Rng;
use s390_virtio_devices::{S390Legacy, VirtioBus, VirtioDevice};
use serde_json::{json, Value};

use crate::config::{
    CacheMode, DiskConfig, DiskEngine, DiskFormat, NetConfig, NetLink, ShareConfig,
};
use crate::control::DeviceRef;
use crate::event_loop::{Subscribe, Subscriber};
use crate::limits;
use crate::{Error, Result};

/// The transport of all devices here.
type Transport = S390Legacy<Memory>;

/// Milliseconds that a guest has to answer the question for statistics.
const STATISTICS_WAIT_MS: u32 = 200;

/// A device, shared with the bus and with the event loop.
type Shared<D> = Arc<Mutex<D>>;

/// The devices, in the order of the page.
pub(crate) struct Devices {
    bus: Arc<VirtioBus<Memory>>,
    subscribe: Subscribe,
    list: Mutex<Vec<Device>>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    /// Its kind and its number among those of its kind.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Console(Shared<Console<Transport>>),
    Rng(Shared<Rng<Transport>>),
    Disk {
        device: Shared<Block<Transport>>,
        /// Its image, as an absolute path.
        path: PathBuf,
    },
    Net(Shared<Net<Transport>>),
    Share {
        device: Shared<P9<Transport>>,
        read_only: bool,
    },
    Balloon(Shared<Balloon<Transport>>),
}

impl Devices {
    pub(crate) fn new(bus: Arc<VirtioBus<Memory>>, subscribe: Subscribe) -> Self {
        Devices {
            bus,
            subscribe,
            list: Mutex::default(),
        }
    }

    pub(crate) fn add_console(&self, console: Console<Transport>) -> Result<Device> {
        self.add("console", console, Kind::Console)
    }

    /// Adds an entropy device.
    pub(crate) fn add_rng(&self) -> Result<Device> {
        let rng = Rng::host().map_err(Error::host("create a device"))?;
        self.add("rng", rng, Kind::Rng)
    }

    /// Adds a disk.
    pub(crate) fn add_disk(&self, disk: &DiskConfig) -> Result<Device> {
        let path = absolute(&disk.path)?;
        let backend = image_options(disk).open(&disk.path)?;
        let block = Block::with_options(backend, block_options(disk)).map_err(|source| {
            let path = disk.path.clone();
            Error::DiskDevice { path, source }
        })?;
        self.add("disk", block, |device| Kind::Disk { device, path })
    }

    /// Adds a network interface.
    pub(crate) fn add_net(&self, net: &NetConfig) -> Result<Device> {
        let backend: Box<dyn NetBackend> = match &net.link {
            NetLink::Tap(name) => Box::new(Tap::open(name)?),
            NetLink::Stream(path) => Box::new(StreamLink::connect(path)?),
        };
        let mut device = self.interface(backend, net.mac)?;
        if let Some(mtu) = net.mtu {
            device = device.with_mtu(mtu);
        }
        let limit = |rate: Option<NonZeroU64>| Rate::per_second(rate?.get());
        device.set_rate_limits(RateLimits {
            ops: limit(net.frames_per_second),
            bytes: limit(net.bytes_per_second),
        });
        self.add("net", device, Kind::Net)
    }

    /// Adds a network interface on a link within this process.
    pub(crate) fn add_link(&self, link: DatagramLink) -> Result<Device> {
        let device = self.interface(Box::new(link), None)?;
        self.add("net", device, Kind::Net)
    }

    fn interface(
        &self,
        backend: Box<dyn NetBackend>,
        mac: Option<MacAddress>,
    ) -> Result<Net<Transport>> {
        let nets = self.of_kind(|kind| matches!(kind, Kind::Net(_))).len() as u16;
        let mac = mac.unwrap_or(MacAddress::local(nets + 1));
        Net::new(backend, mac).map_err(Error::host("create a device"))
    }

    /// Shares a directory.
    pub(crate) fn add_share(&self, share: &ShareConfig) -> Result<Device> {
        let tag = Tag::new(&share.tag)?;
        let same =
            |kind: &Kind| matches!(kind, Kind::Share { device, .. } if *lock(device).tag() == tag);
        if !self.of_kind(same).is_empty() {
            return Err(Error::TagTwice(share.tag.clone()));
        }
        let options = ShareOptions {
            read_only: share.read_only,
            max_fids: limits::fids_of_a_share()?,
        };
        let server = Arc::new(Share::open(&share.path, options)?);
        let device = P9::with_threads(server, tag, P9::<Transport>::THREADS)
            .map_err(Error::host("share a directory"))?;
        let read_only = share.read_only;
        self.add("share", device, |device| Kind::Share { device, read_only })
    }

    /// Adds a balloon for a guest with this many bytes of RAM.
    pub(crate) fn add_balloon(&self, ram_size: u64) -> Result<Device> {
        let balloon = Balloon::new(ram_size).map_err(Error::host("create a device"))?;
        self.add("balloon", balloon, Kind::Balloon)
    }

    /// Tells the running guest of a device, if it shows that it understands.
    pub(crate) fn announce(&self, device: &Device) -> std::result::Result<(), BusError> {
        self.bus.announce(device.id)
    }

    /// Tells the running guest of a device, whatever it understands.
    pub(crate) fn announce_unchecked(&self, device: &Device) -> std::result::Result<(), BusError> {
        self.bus.announce_unchecked(device.id)
    }

    /// Changes the capacity of a disk to `size` bytes, or to that of its image, and tells the
    /// guest. Returns the capacity in bytes.
    pub(crate) fn resize_disk(&self, which: &DeviceRef, size: Option<u64>) -> Result<u64> {
        let disks = self.of_kind(|kind| matches!(kind, Kind::Disk { .. }));
        let found = match which {
            DeviceRef::Number(number) => disks.into_iter().nth(*number),
            DeviceRef::Path(wanted) => {
                let wanted = absolute(wanted)?;
                disks
                    .into_iter()
                    .find(|disk| matches!(&disk.kind, Kind::Disk { path, .. } if *path == wanted))
            }
        };
        let Some(Device {
            id,
            name,
            kind: Kind::Disk { device, .. },
        }) = found
        else {
            return Err(Error::NoSuchDevice(format!("disk {which}")));
        };
        let size = {
            let mut device = lock(&device);
            device
                .resize(size)
                .map_err(|error| Error::Resize(name, error))?;
            device.size()
        };
        self.bus.config_changed(id)?;
        Ok(size)
    }

    /// Takes the link of a network interface up or down, and tells the guest.
    pub(crate) fn set_link(&self, number: usize, up: bool) -> Result<()> {
        let nets = self.of_kind(|kind| matches!(kind, Kind::Net(_)));
        let found = nets.into_iter().nth(number);
        let Some(Device {
            id,
            kind: Kind::Net(device),
            ..
        }) = found
        else {
            return Err(Error::NoSuchDevice(format!("network interface {number}")));
        };
        lock(&device).set_link(up);
        Ok(self.bus.config_changed(id)?)
    }

    /// Changes the size of the console's terminal, and tells the guest.
    pub(crate) fn resize_console(&self, size: ConsoleSize) -> Result<()> {
        let found = self.of_kind(|kind| matches!(kind, Kind::Console(_))).pop();
        let Some(Device {
            id,
            kind: Kind::Console(device),
            ..
        }) = found
        else {
            return Err(Error::NoSuchDevice("virtio console".to_owned()));
        };
        lock(&device).resize(size);
        Ok(self.bus.config_changed(id)?)
    }

    /// Asks the guest to leave this many bytes to the host.
    pub(crate) fn set_balloon(&self, size: u64) -> Result<()> {
        let (id, balloon) = self.balloon()?;
        lock(&balloon).set_target(size)?;
        Ok(self.bus.config_changed(id)?)
    }

    /// What is in the balloon, and what the guest says of its memory: just now, if it answers
    /// soon.
    pub(crate) fn balloon_statistics(&self) -> Result<Value> {
        let (id, balloon) = self.balloon()?;
        let counter = {
            let mut balloon = lock(&balloon);
            balloon.request_statistics();
            balloon.metrics()
        };
        // The guest gets its buffer back, and brings it again.
        let answers = || counter.reports.get();
        let before = answers();
        for _ in 0..STATISTICS_WAIT_MS {
            if answers() != before {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.bus.look_at_config(id)?;
        let balloon = lock(&balloon);
        Ok(json!({
            "target": balloon.target(),
            "actual": balloon.actual(),
            "statistics": balloon.statistics().map(|statistics| {
                statistics.iter().collect::<Value>()
            }),
        }))
    }

    fn balloon(&self) -> Result<(DeviceId, Shared<Balloon<Transport>>)> {
        let found = self.of_kind(|kind| matches!(kind, Kind::Balloon(_))).pop();
        match found {
            Some(Device {
                id,
                kind: Kind::Balloon(device),
                ..
            }) => Ok((id, device)),
            _ => Err(Error::NoSuchDevice("balloon".to_owned())),
        }
    }

    /// Lets the devices finish what they are at and begin nothing more: afterwards they touch no
    /// memory of the guest, and what comes from outside waits. To be called when its CPUs stand
    /// still.
    pub(crate) fn pause(&self) {
        self.bus.pause();
    }

    /// Lets the devices go on.
    pub(crate) fn resume(&self) -> Result<()> {
        Ok(self.bus.resume()?)
    }

    /// All devices, in the order of the page.
    pub(crate) fn list(&self) -> Vec<Device> {
        lock(&self.list).clone()
    }

    /// What a device has counted, by the names of its counters.
    pub(crate) fn counters(&self, device: &Device) -> Result<Value> {
        Ok(match &device.kind {
            Kind::Console(device) => serde_json::to_value(&*lock(device).metrics()),
            Kind::Rng(device) => serde_json::to_value(&*lock(device).metrics()),
            Kind::Disk { device, .. } => serde_json::to_value(&*lock(device).metrics()),
            Kind::Net(device) => serde_json::to_value(&*lock(device).metrics()),
            Kind::Share { device, .. } => serde_json::to_value(&*lock(device).metrics()),
            Kind::Balloon(device) => serde_json::to_value(&*lock(device).metrics()),
        }?)
    }

    /// What a device is like now: whether it has stopped because its driver broke a rule, of a
    /// disk what a guest can change, and of a share what a guest mounts.
    pub(crate) fn state(&self, device: &Device) -> Result<Value> {
        let needs_reset = self.bus.needs_reset(device.id)?;
        let mut state = json!({ "id": device.name, "needs-reset": needs_reset });
        match &device.kind {
            Kind::Disk { device, .. } => {
                let device = lock(device);
                let cache = match device.is_write_back() {
                    true => CacheMode::Writeback,
                    false => CacheMode::Writethrough,
                };
                state["size"] = json!(device.size());
                state["cache"] = json!(cache);
            }
            Kind::Share { device, read_only } => {
                state["tag"] = json!(lock(device).tag().as_str());
                state["readonly"] = json!(read_only);
            }
            _ => {}
        }
        Ok(state)
    }

    fn of_kind(&self, is: impl Fn(&Kind) -> bool) -> Vec<Device> {
        let mut list = self.list();
        list.retain(|device| is(&device.kind));
        list
    }

    fn add<D>(&self, name: &str, device: D, kind: impl FnOnce(Shared<D>) -> Kind) -> Result<Device>
    where
        D: VirtioDevice<Transport> + MutEventSubscriber + 'static,
    {
        let device = Arc::new(Mutex::new(device));
        let subscriber = device.clone() as Subscriber;
        let device = {
            let mut list = lock(&self.list);
            let number = list
                .iter()
                .filter(|other| other.name.trim_end_matches(|c: char| c.is_ascii_digit()) == name)
                .count();
            let device = Device {
                id: self.bus.add(device.clone())?,
                name: format!("{name}{number}"),
                kind: kind(device),
            };
            list.push(device.clone());
            device
        };
        // What the guest may have notified meanwhile is still there. Without the lock: the event
        // loop may be about to take it, for a signal, before it answers.
        self.subscribe.add(subscriber)?;
        Ok(device)
    }
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices").finish_non_exhaustive()
    }
}

fn image_options(disk: &DiskConfig) -> ImageOptions {
    ImageOptions {
        format: match disk.format {
            DiskFormat::Raw => ImageFormat::Raw,
            DiskFormat::Qcow2 => ImageFormat::Qcow2,
        },
        read_only: disk.read_only,
        direct: disk.direct,
    }
}

fn block_options(disk: &DiskConfig) -> BlockOptions {
    BlockOptions {
        engine: match disk.engine {
            DiskEngine::Auto => EngineKind::Auto,
            DiskEngine::IoUring => EngineKind::IoUring,
            DiskEngine::Threads => EngineKind::Threads,
        },
        write_back: disk.cache == CacheMode::Writeback,
        limits: RateLimits {
            ops: disk.iops.and_then(Rate::per_second),
            bytes: disk.bw.and_then(Rate::per_second),
        },
        logical_block: disk.block_size.unwrap_or_default(),
    }
}

fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::host("find the working directory"))
}

/// Locks `mutex`. A thread that panicked with it ends the machine by itself.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
