// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the tests of the handlers share: guest memory and a driver that records.

use std::error::Error;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};

use s390_vring::mock::MockDriver;
use s390_vring::{ByteOrder, Queue, RingFeatures};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::{SignalDriver, Transport};

pub(crate) type Memory = GuestMemoryMmap<()>;

/// A transport with rings and headers in byte order `E`.
pub(crate) struct TestTransport<E>(PhantomData<E>);

impl<E: ByteOrder> Transport for TestTransport<E> {
    type Order = E;
    type Queue = Queue<E>;
    type Memory = Memory;
}

/// 1 MiB of memory.
pub(crate) fn memory() -> Arc<Memory> {
    Arc::new(Memory::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap())
}

/// A driver of a queue with `size` entries at `base`.
pub(crate) fn queue<E: ByteOrder>(
    memory: &Memory,
    base: u64,
    size: u16,
) -> MockDriver<'_, E, Memory> {
    MockDriver::new(memory, GuestAddress(base), size, RingFeatures::default())
}

pub(crate) fn bytes(memory: &Memory, addr: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    memory.read_slice(&mut bytes, GuestAddress(addr)).unwrap();
    bytes
}

/// Whether the file system has yet to choose where on the medium parts of the file shall be: none of
/// those that are durable. An error if it does not tell.
pub(crate) fn is_put_off(file: &File) -> io::Result<bool> {
    // From linux/fiemap.h: `struct fiemap` with room for some extents, in words of 32 bits; 4 in an
    // extent's flags is FIEMAP_EXTENT_DELALLOC.
    const FS_IOC_FIEMAP: u32 = 0xc020_660b;
    const EXTENTS: usize = 16;
    let mut map = [0u32; 8 + 14 * EXTENTS];
    (map[2], map[3], map[6]) = (u32::MAX, u32::MAX, EXTENTS as u32);
    // SAFETY: the call fills in the structure, which has room for as many extents as it says.
    match unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP as _, map.as_mut_ptr()) } {
        0 => Ok(map[8..].chunks(14).any(|extent| extent[10] & 4 != 0)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Records what a device signals.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) used: Mutex<Vec<u16>>,
    pub(crate) failures: Mutex<Vec<String>>,
    /// The configuration space as the driver has left it; none if it is empty.
    pub(crate) config: Mutex<Vec<u8>>,
}

impl Recorder {
    /// The queues signalled since the last call.
    pub(crate) fn take_used(&self) -> Vec<u16> {
        std::mem::take(&mut self.used.lock().unwrap())
    }
}

impl SignalDriver for Recorder {
    fn name(&self) -> &str {
        "device"
    }

    fn signal_used_queue(&self, queue: u16) {
        self.used.lock().unwrap().push(queue);
    }

    fn needs_reset(&self, reason: &dyn Error) {
        self.failures.lock().unwrap().push(reason.to_string());
    }

    fn driver_config(&self, offset: usize, data: &mut [u8]) -> bool {
        let config = self.config.lock().unwrap();
        let bytes = config.get(offset..offset + data.len());
        if let Some(bytes) = bytes {
            data.copy_from_slice(bytes);
        }
        bytes.is_some()
    }
}
