// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The 2008 transport of KVM guests on s390: one page of descriptors above RAM, hypercalls, and
//! external interruptions.
//!
//! The bus alone knows the page. It plans device and ring addresses, answers the hypercalls
//! NOTIFY, RESET and SET_STATUS, and turns a device's signal into an interruption that carries
//! the token of the queue.

mod driver_signal;
mod early_console;
mod error;
mod hypercall;
mod slot;

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use s390_hypervisor::Vm;
use s390_virtio_page::{DeviceSpec, PageBuilder};
use vm_device::bus::{Bus, BusRange, MmioAddress};
use vm_memory::GuestMemory;

use early_console::EarlyConsole;
pub use error::BusError;
use slot::Slot;

use crate::{S390Legacy, VirtioDevice};

/// Features of the ring, which the bus offers for every device: NOTIFY_ON_EMPTY, INDIRECT_DESC
/// and EVENT_IDX. Drivers that do not know them leave them out.
const RING_FEATURES: u64 = s390_vring::RingFeatures {
    notify_on_empty: true,
    indirect_desc: true,
    event_idx: true,
}
.bits();

/// A device on the bus, shared with the event loop that works on its queues.
pub type SharedDevice<M> = Arc<Mutex<dyn VirtioDevice<S390Legacy<M>>>>;

/// Which device of the bus: the position in the page, in the order of [`VirtioBus::add`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(usize);

/// The virtio bus of one virtual machine.
///
/// All methods take `&self` and may be called from any thread: CPUs issue hypercalls at the same
/// time as the event loop works on queues.
pub struct VirtioBus<M> {
    memory: Arc<M>,
    vm: Arc<dyn Vm>,
    early_console: EarlyConsole,
    topology: RwLock<Topology<M>>,
}

/// Who is where. Devices come, and never go. Keys are guest-physical addresses, for which
/// vm-device has no other name than that of a memory-mapped register.
struct Topology<M> {
    builder: PageBuilder,
    paused: bool,
    slots: Vec<Arc<Slot<M>>>,
    /// Descriptors, keyed by the address of their first byte.
    descriptors: Bus<MmioAddress, Arc<Slot<M>>>,
    /// Rings, keyed by their address; with the number of the queue.
    rings: Bus<MmioAddress, (Arc<Slot<M>>, u16)>,
}

impl<M> std::fmt::Debug for VirtioBus<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VirtioBus").finish_non_exhaustive()
    }
}

impl<M: GuestMemory + Send + Sync + 'static> VirtioBus<M> {
    /// A bus without devices. `memory` holds RAM and, behind it, page and rings as `builder`
    /// plans them, which has planned no device yet; `vm` delivers the interruptions.
    ///
    /// The page is zeroed: a guest finds an empty one.
    ///
    /// # Errors
    ///
    /// The page is outside `memory`.
    pub fn new(memory: Arc<M>, builder: PageBuilder, vm: Arc<dyn Vm>) -> Result<Self, BusError> {
        builder.zero(&*memory)?;
        Ok(VirtioBus {
            early_console: EarlyConsole::new(builder.page_address()),
            memory,
            vm,
            topology: RwLock::new(Topology {
                builder,
                paused: false,
                slots: Vec::new(),
                descriptors: Bus::new(),
                rings: Bus::new(),
            }),
        })
    }

    /// Where the text of the guest's early console goes; nowhere by default.
    pub fn set_early_console(&self, sink: Box<dyn Write + Send>) {
        self.early_console.set_sink(sink);
    }

    /// Adds a device behind the others and returns its place. A guest that runs does not look
    /// for it until it is told with [`announce`](Self::announce), or scans again.
    ///
    /// # Errors
    ///
    /// The device does not fit into the page or its rings not into the memory behind, or it
    /// offers features beyond the 32 that the page has room for. Nothing has changed then.
    pub fn add(&self, device: SharedDevice<M>) -> Result<DeviceId, BusError> {
        let mut topology = self.topology_mut();
        let id = DeviceId(topology.slots.len());
        let mut builder = topology.builder.clone();
        let layout = {
            let device = lock(&device);
            let device_type = device.device_type();
            let features = device.device_features() | RING_FEATURES;
            builder.add(&DeviceSpec {
                device_type: u8::try_from(device_type)
                    .map_err(|_| BusError::DeviceType(device_type))?,
                queues: device.queue_max_sizes(),
                features: u32::try_from(features)
                    .map_err(|_| BusError::Features(device.device_features()))?,
                config_len: device.config_len(),
            })?
        };
        let slot = Slot::new(id, layout, device, self.memory.clone(), self.vm.clone())?;

        let layout = slot.layout();
        let size = layout.layout().size() as u64;
        let range = BusRange::new(MmioAddress(layout.address()), size)?;
        topology.descriptors.register(range, slot.clone())?;
        for (index, queue) in (0u16..).zip(layout.queues()) {
            let size = queue.ring.area() as u64;
            let range = BusRange::new(MmioAddress(queue.address), size)?;
            topology.rings.register(range, (slot.clone(), index))?;
        }
        if topology.paused {
            slot.pause();
        }
        topology.builder = builder;
        topology.slots.push(slot);
        Ok(id)
    }

    /// Pauses all devices, see [`VirtioDevice::pause`], also those that are added later. After the
    /// return none of them writes to guest memory or sends an interruption, and neither does the
    /// bus by itself: [`config_changed`](Self::config_changed) and [`announce`](Self::announce) wait
    /// until [`resume`](Self::resume). To be called when no CPU runs: their hypercalls go on.
    pub fn pause(&self) {
        let mut topology = self.topology_mut();
        topology.paused = true;
        topology.slots.iter().for_each(|slot| slot.pause());
    }

    /// Lets the devices go on, and tells the guest what was to be told meanwhile.
    ///
    /// # Errors
    ///
    /// An interruption cannot be queued. All devices go on nevertheless.
    pub fn resume(&self) -> Result<(), BusError> {
        let mut topology = self.topology_mut();
        topology.paused = false;
        let results: Vec<_> = topology.slots.iter().map(|slot| slot.resume()).collect();
        results.into_iter().collect()
    }

    /// Tells a running guest that a device was added.
    ///
    /// Linux before 2.6.36 takes the address of the descriptor for that of a queue of its own. No
    /// guest says which release it is, but one of its drivers must have shown that it is no such:
    /// it has accepted the event index of rings, which Linux knows since 3.0.
    ///
    /// # Errors
    ///
    /// There is no such device, no driver is active that shows it
    /// ([`UnknownGuest`](BusError::UnknownGuest)), or the interruption cannot be queued. The guest
    /// finds the device when it boots again.
    pub fn announce(&self, id: DeviceId) -> Result<(), BusError> {
        let slot = self.slot(id)?;
        let slots = self.topology().slots.clone();
        for slot in slots {
            if slot.has_event_index()? {
                return self.announce_unchecked(id);
            }
        }
        log::debug!("{}: not announced: the guest may be too old", slot.name());
        Err(BusError::UnknownGuest)
    }

    /// Like [`announce`](Self::announce), for a guest that is known to be Linux 2.6.36 or later
    /// even if it does not show it: a wrong guess lets it write to its own page of descriptors as
    /// if that were a queue.
    ///
    /// # Errors
    ///
    /// There is no such device, or the interruption cannot be queued.
    pub fn announce_unchecked(&self, id: DeviceId) -> Result<(), BusError> {
        self.slot(id)?.announce()
    }

    /// Copies the device's configuration space into the page, and tells the driver if there is
    /// one that is ready.
    ///
    /// # Errors
    ///
    /// There is no such device, or the interruption cannot be queued.
    pub fn config_changed(&self, id: DeviceId) -> Result<(), BusError> {
        self.slot(id)?.config_changed()
    }

    /// Lets the device look at what its driver wrote to its configuration space, of which nobody
    /// is told.
    ///
    /// # Errors
    ///
    /// There is no such device.
    pub fn look_at_config(&self, id: DeviceId) -> Result<(), BusError> {
        self.slot(id)?.look_at_config()
    }

    /// Whether the device has stopped because its driver broke a rule.
    ///
    /// # Errors
    ///
    /// There is no such device.
    pub fn needs_reset(&self, id: DeviceId) -> Result<bool, BusError> {
        Ok(self.slot(id)?.is_broken())
    }

    /// Guest-physical address of the device page, which is also the size of RAM.
    pub fn page_address(&self) -> u64 {
        self.topology().builder.page_address()
    }

    fn slot(&self, id: DeviceId) -> Result<Arc<Slot<M>>, BusError> {
        let slot = self.topology().slots.get(id.0).cloned();
        slot.ok_or(BusError::NoSuchDevice)
    }

    fn topology(&self) -> RwLockReadGuard<'_, Topology<M>> {
        self.topology.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn topology_mut(&self) -> RwLockWriteGuard<'_, Topology<M>> {
        self.topology
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The device whose descriptor starts at exactly `addr`.
    fn descriptor_at(&self, addr: u64) -> Option<Arc<Slot<M>>> {
        let topology = self.topology();
        let (range, slot) = topology.descriptors.device(MmioAddress(addr))?;
        (range.base() == MmioAddress(addr)).then(|| slot.clone())
    }

    /// The queue whose ring starts at exactly `addr`.
    fn ring_at(&self, addr: u64) -> Option<(Arc<Slot<M>>, u16)> {
        let topology = self.topology();
        let (range, ring) = topology.rings.device(MmioAddress(addr))?;
        (range.base() == MmioAddress(addr)).then(|| ring.clone())
    }
}

/// Locks `mutex`. A thread that panicked with it is no reason to take the others along.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
