// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The devices of a descriptor page.

use s390_virtio_page::{scan, Overrun, PageBytes};

use crate::{Device, Hypervisor};

/// A descriptor page and the host behind it. Both are handles that are cheap to clone.
#[derive(Copy, Clone, Debug)]
pub struct Bus<P, H> {
    page: P,
    address: u64,
    host: H,
}

impl<P: PageBytes + Clone, H: Hypervisor + Clone> Bus<P, H> {
    /// The page at guest-physical `address`: where RAM ends, which SCLP reports as increment
    /// size times number of increments.
    pub fn new(page: P, address: u64, host: H) -> Self {
        Bus {
            page,
            address,
            host,
        }
    }

    /// The devices, in the order of the page. A device that does not fit into the page is an
    /// error and the last. Looking does not change anything.
    pub fn devices(&self) -> impl Iterator<Item = Result<Device<P, H>, Overrun>> + '_ {
        scan(&self.page).map(|found| {
            found.map(|desc| Device::new(self.page.clone(), self.address, desc, self.host.clone()))
        })
    }
}
