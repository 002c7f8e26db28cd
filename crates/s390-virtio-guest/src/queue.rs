// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A queue of a device: its ring, the token it is called by in interruptions, and its kick.

use s390_hypercall::NOTIFY;
use s390_virtio_page::{PageBytes, RING_ALIGN};
use s390_vring::{BigEndian, Buffer, DriverQueue, Layout, RingFeatures, RingMemory, Slot, Used};

use crate::error::check;
use crate::{Device, Error, Hypervisor, InterruptTable, Token};

/// A queue in use. Chains are added, shown to the device by [`kick`](Self::kick), and taken back
/// by [`pop_used`](Self::pop_used) after an interruption with the queue's token.
#[derive(Debug)]
pub struct VirtQueue<H, R, S> {
    ring: DriverQueue<BigEndian, R, S>,
    host: H,
    index: u8,
    address: u64,
    token: Token,
}

impl<P: PageBytes, H: Hypervisor + Clone> Device<P, H> {
    /// Takes queue `index` into use: maps its ring by `map` (guest-physical address, bytes),
    /// gets a token for it from `table`, and writes the token into the page.
    ///
    /// The features must have been accepted before. `slots` are the driver's notes about the
    /// ring, one for each entry: the host chooses how many that are, at most 1024.
    pub fn find_vq<R, S, const N: usize>(
        &mut self,
        index: u8,
        table: &InterruptTable<N>,
        slots: S,
        map: impl FnOnce(u64, usize) -> Option<R>,
    ) -> Result<VirtQueue<H, R, S>, Error>
    where
        R: RingMemory,
        S: AsRef<[Slot]> + AsMut<[Slot]>,
    {
        let config = self.queue_config(index)?;
        let (num, address) = (config.num, config.address);
        let bad = Error::BadRing { num, address };
        let layout = Layout::legacy(num).ok_or(bad)?;
        if address == 0 || address % RING_ALIGN != 0 {
            return Err(bad);
        }
        let memory = map(address, layout.bytes()).ok_or(bad)?;
        let features = RingFeatures::from_bits(self.features().into());
        let ring = DriverQueue::new(memory, layout, features, slots)?;
        let token = table.register().ok_or(Error::NoTokenLeft)?;
        self.set_token(index, token.get());
        Ok(VirtQueue {
            ring,
            host: self.host().clone(),
            index,
            address,
            token,
        })
    }

    /// Gives a queue up: its token goes from the page and from the table. The device must have
    /// been [reset](Self::reset) before, or it still uses the buffers of the queue.
    pub fn del_vq<R, S, const N: usize>(
        &mut self,
        queue: VirtQueue<H, R, S>,
        table: &InterruptTable<N>,
    ) {
        self.set_token(queue.index, 0);
        table.release(queue.token);
    }
}

impl<H, R, S> VirtQueue<H, R, S>
where
    H: Hypervisor,
    R: RingMemory,
    S: AsRef<[Slot]> + AsMut<[Slot]>,
{
    /// The name of the queue in interruptions.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Index of the queue in its device.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Entries of the ring.
    pub fn size(&self) -> u16 {
        self.ring.size()
    }

    /// Descriptors that are free now.
    pub fn num_free(&self) -> u16 {
        self.ring.num_free()
    }

    /// Adds a chain, which the device sees after the next [`kick`](Self::kick). The result names
    /// it until [`pop_used`](Self::pop_used) gives it back; until then its buffers belong to the
    /// device.
    pub fn add(&mut self, buffers: &[Buffer]) -> Result<u16, Error> {
        Ok(self.ring.add_chain(buffers)?)
    }

    /// Shows all added chains to the device, and notifies it unless it asked not to be.
    pub fn kick(&mut self) -> Result<(), Error> {
        if self.ring.publish() {
            self.notify()
        } else {
            Ok(())
        }
    }

    /// Notifies the device: hypercall NOTIFY with the ring's address.
    pub fn notify(&self) -> Result<(), Error> {
        check(self.host.hypercall(NOTIFY, self.address))
    }

    /// Takes the next chain that the device has used.
    pub fn pop_used(&mut self) -> Result<Option<Used>, Error> {
        Ok(self.ring.pop_used()?)
    }

    /// Asks for an interruption with the next used chain; whether there are some already, for
    /// which none may come.
    pub fn enable_interrupts(&mut self) -> bool {
        self.ring.enable_interrupts()
    }

    /// Asks for no interruptions; some may still come.
    pub fn disable_interrupts(&mut self) {
        self.ring.disable_interrupts();
    }

    /// Takes back a chain that the device has not used; to be repeated until there is none, after
    /// a reset of the device and before [`Device::del_vq`].
    pub fn detach_unused(&mut self) -> Option<u16> {
        self.ring.detach_unused()
    }
}
