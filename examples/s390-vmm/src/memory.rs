// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest memory: one region from address 0 that holds RAM, then the device page, then rings.

use std::sync::Arc;

use s390_cpu::Memory;
use s390_virtio_page::PageBuilder;

use crate::backend::Hypervisor;
use crate::Result;

/// Room for the rings of devices: more than a full page of them can have.
const RINGS: u32 = 6 << 20;

/// Plans the page behind `ram_size` bytes of RAM and allocates memory for all of it, all zeros.
pub(crate) fn allocate(
    ram_size: u64,
    hypervisor: Hypervisor,
) -> Result<(Arc<Memory>, PageBuilder)> {
    let mut builder = PageBuilder::new(ram_size)?;
    let size = builder.fix_size(RINGS);
    let memory = hypervisor.allocate(size)?;
    Ok((Arc::new(memory), builder))
}
