// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the VMM can do wrong with the bus. A guest's mistakes are none of these.

/// Why the bus refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The page has no place for the device.
    #[error("the device has no place in the device page")]
    Page(#[from] s390_virtio_page::BuildError),
    /// Page or rings are outside guest memory.
    #[error("the device page cannot be accessed")]
    View(#[from] s390_virtio_page::ViewError),
    /// Two devices or rings overlap.
    #[error("the device overlaps another")]
    Overlap(#[source] vm_device::bus::Error),
    /// A device id that the page cannot hold.
    #[error("device type {0} does not fit into the descriptor")]
    DeviceType(u32),
    /// A legacy device has no feature beyond bit 31.
    #[error("features {0:#x} do not fit into 32 bits")]
    Features(u64),
    /// No device has this place.
    #[error("there is no such device")]
    NoSuchDevice,
    /// Nothing shows that the guest would understand.
    #[error(
        "the guest does not show that it knows of devices that are added: it finds this one when it boots again"
    )]
    UnknownGuest,
    /// The backend does not take the interruption.
    #[error("the interruption cannot be queued")]
    Inject(#[from] s390_hypervisor::Error),
}

impl From<vm_device::bus::Error> for BusError {
    fn from(error: vm_device::bus::Error) -> Self {
        BusError::Overlap(error)
    }
}
