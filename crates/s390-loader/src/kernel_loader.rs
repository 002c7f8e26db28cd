// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loader as rust-vmm's `KernelLoader`.

use std::io::{Read, Seek};

use linux_loader::loader::{Error, KernelLoader, KernelLoaderResult, Result};
use vm_memory::{GuestAddress, GuestMemoryBackend, ReadVolatile};

use crate::{Error as ImageError, Kernel, MAX_FILE_SIZE};

/// Loads s390 kernels, ELF or raw, as a [`KernelLoader`].
///
/// As with the loaders for other architectures, the result's `kernel_load` is the address of the
/// first instruction and `kernel_end` the end of the kernel in memory. The command line goes to
/// [`COMMAND_LINE`](crate::COMMAND_LINE) with `linux_loader::loader::load_cmdline`. The interface
/// has no way to say that RAM ends before guest memory does, nor what is wrong with a file:
/// [`Image`](crate::Image) does.
#[derive(Debug)]
pub struct S390Image;

impl KernelLoader for S390Image {
    /// Loads a kernel where it says it belongs.
    ///
    /// # Arguments
    ///
    /// * `guest_mem`: one region of guest memory from 0 on.
    /// * `kernel_offset`: none, or 0: a kernel for this machine has its place.
    /// * `kernel_image`: the file.
    /// * `highmem_start_address`: not used, there is no high memory.
    fn load<F, M: GuestMemoryBackend>(
        guest_mem: &M,
        kernel_offset: Option<GuestAddress>,
        kernel_image: &mut F,
        _highmem_start_address: Option<GuestAddress>,
    ) -> Result<KernelLoaderResult>
    where
        F: Read + ReadVolatile + Seek,
    {
        if kernel_offset.is_some_and(|offset| offset != GuestAddress(0)) {
            return Err(Error::InvalidKernelStartAddress);
        }
        let mut file = Vec::new();
        kernel_image
            .rewind()
            .and_then(|()| {
                let mut limited = Read::take(&mut *kernel_image, MAX_FILE_SIZE);
                limited.read_to_end(&mut file)
            })
            .map_err(|_| Error::InvalidKernelStartAddress)?;
        let kernel = Kernel::parse(file).map_err(|_| Error::InvalidKernelStartAddress)?;
        let memory_size = guest_mem.last_addr().0.saturating_add(1);
        kernel
            .load(guest_mem, memory_size)
            .map_err(|error| match error {
                ImageError::KernelTooLarge { .. } | ImageError::Memory(_) => Error::MemoryOverflow,
                _ => Error::InvalidKernelStartAddress,
            })?;
        let range = kernel.range();
        // The structure has more fields on some hosts.
        #[allow(clippy::needless_update)]
        Ok(KernelLoaderResult {
            kernel_load: GuestAddress(kernel.entry()),
            kernel_end: range.end,
            ..Default::default()
        })
    }
}
