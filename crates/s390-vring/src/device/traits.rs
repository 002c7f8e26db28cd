// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The queue that devices are written against.

use vm_memory::GuestMemory;

use super::{DescriptorChain, Error};

/// The device side of a virtqueue, whatever its format, byte order or implementation.
///
/// A device drains its queue like this, so that no notification of the driver is lost:
///
/// ```
/// use s390_vring::{DescriptorChain, DeviceQueue, Error};
/// use vm_memory::GuestMemory;
///
/// /// Returns whether the driver must be interrupted.
/// fn process<Q: DeviceQueue, M: GuestMemory>(
///     queue: &mut Q,
///     mem: &M,
///     mut handle: impl FnMut(&DescriptorChain) -> u32,
/// ) -> Result<bool, Error> {
///     loop {
///         queue.disable_notification(mem)?;
///         while let Some(chain) = queue.pop_descriptor_chain(mem)? {
///             let written = handle(&chain);
///             queue.add_used(mem, chain.head_index(), written)?;
///         }
///         if !queue.enable_notification(mem)? {
///             return queue.needs_notification(mem);
///         }
///     }
/// }
/// ```
///
/// Once a method has returned an error that [is the guest's fault](Error::is_guest_fault) the queue
/// should not be used until it is reset.
pub trait DeviceQueue {
    /// Entries of the queue.
    fn size(&self) -> u16;

    /// Whether the driver has set the queue up and it may be used.
    fn ready(&self) -> bool;

    /// Takes the next chain that the driver made available, validated as a whole; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the ring or the chain. The position in the ring does not move then, so the
    /// error stays.
    fn pop_descriptor_chain<M: GuestMemory>(
        &mut self,
        mem: &M,
    ) -> Result<Option<DescriptorChain>, Error>;

    /// Puts back the chain taken last, which must not have been returned to the driver.
    fn go_to_previous_position(&mut self);

    /// Returns the chain that starts at `head_index` to the driver, `len` bytes of its writable buffers
    /// (from their start, without a gap) having been written.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidHead`] if there can be no such chain, otherwise what is wrong with the ring.
    fn add_used<M: GuestMemory>(&mut self, mem: &M, head_index: u16, len: u32)
        -> Result<(), Error>;

    /// Returns several chains, as pairs of head and bytes written, that the driver must not see one
    /// without the other: the buffers of one network frame. At most as many as the queue has entries.
    ///
    /// # Errors
    ///
    /// Those of [`add_used`](DeviceQueue::add_used); the driver sees none of them then.
    fn add_used_batch<M: GuestMemory>(
        &mut self,
        mem: &M,
        chains: &[(u16, u32)],
    ) -> Result<(), Error>;

    /// Whether the driver wants to be interrupted for what was added to the used ring since the last call.
    ///
    /// # Errors
    ///
    /// What is wrong with the ring.
    fn needs_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, Error>;

    /// Asks the driver to notify the device of new chains; returns whether there are some already, which
    /// the driver may not notify of.
    ///
    /// # Errors
    ///
    /// What is wrong with the ring.
    fn enable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<bool, Error>;

    /// Tells the driver that notifications are not needed now; it may still send some.
    ///
    /// # Errors
    ///
    /// What is wrong with the ring.
    fn disable_notification<M: GuestMemory>(&mut self, mem: &M) -> Result<(), Error>;
}
