// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Clearing a contiguous ring, which a legacy driver leaves to the host: it trusts that a queue it finds
//! starts with zeros, and goes on counting from whatever indices it finds.

use vm_memory::{Bytes, GuestAddress, GuestMemory};

use super::Error;
use crate::geometry::RING_FLAGS_OFFSET;
use crate::Layout;

/// Zeroes flags, indices and events of both rings, for a reset of the device.
///
/// Descriptors and available heads stay: a driver that unbinds walks them after the reset to get its
/// buffers back.
///
/// # Errors
///
/// [`Error::RingOutsideMemory`].
pub fn clear_indices<M: GuestMemory>(
    mem: &M,
    base: GuestAddress,
    layout: &Layout,
) -> Result<(), Error> {
    for (offset, len) in [
        (layout.avail_ring() + RING_FLAGS_OFFSET, 4),
        (layout.used_event(), 2),
        (layout.used_ring() + RING_FLAGS_OFFSET, 4),
        (layout.avail_event(), 2),
    ] {
        zero(mem, base, layout, offset, len)?;
    }
    Ok(())
}

/// Zeroes the whole ring, for a reset of the machine or before a driver sets its queues up.
///
/// # Errors
///
/// [`Error::RingOutsideMemory`].
pub fn clear_ring<M: GuestMemory>(
    mem: &M,
    base: GuestAddress,
    layout: &Layout,
) -> Result<(), Error> {
    const STEP: usize = 4096;
    for offset in (0..layout.bytes()).step_by(STEP) {
        zero(mem, base, layout, offset, STEP.min(layout.bytes() - offset))?;
    }
    Ok(())
}

fn zero<M: GuestMemory>(
    mem: &M,
    base: GuestAddress,
    layout: &Layout,
    offset: usize,
    len: usize,
) -> Result<(), Error> {
    const ZEROS: [u8; 4096] = [0; 4096];
    base.0
        .checked_add(offset as u64)
        .and_then(|addr| mem.write_slice(&ZEROS[..len], GuestAddress(addr)).ok())
        .ok_or(Error::RingOutsideMemory {
            addr: base.0,
            len: layout.bytes(),
        })
}

#[cfg(test)]
mod tests {
    use vm_memory::GuestMemoryMmap;

    use super::*;

    #[test]
    fn test_clear() {
        let mem = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        for size in [8, 256] {
            let layout = Layout::legacy(size).unwrap();
            let base = 0x1000;
            let bytes = || {
                let mut bytes = [0; 0x10000];
                mem.read_slice(&mut bytes, GuestAddress(0)).unwrap();
                bytes
            };
            mem.write_slice(&[0xff; 0x10000], GuestAddress(0)).unwrap();
            clear_indices(&mem, GuestAddress(base as u64), &layout).unwrap();
            let cleared: std::vec::Vec<_> = bytes()
                .iter()
                .enumerate()
                .filter(|&(_, &byte)| byte == 0)
                .map(|(at, _)| at - base)
                .collect();
            let mut expected = std::vec::Vec::new();
            expected.extend(layout.avail_ring()..layout.avail_ring() + 4);
            expected.extend(layout.used_event()..layout.used_event() + 2);
            expected.extend(layout.used_ring()..layout.used_ring() + 4);
            expected.extend(layout.avail_event()..layout.avail_event() + 2);
            assert_eq!(cleared, expected);

            clear_ring(&mem, GuestAddress(base as u64), &layout).unwrap();
            for (at, byte) in bytes().into_iter().enumerate() {
                let inside = (base..base + layout.bytes()).contains(&at);
                assert_eq!(byte, if inside { 0 } else { 0xff }, "{at:#x}");
            }
        }
    }

    #[test]
    fn test_clear_outside_memory() {
        let mem = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x2000)]).unwrap();
        let layout = Layout::legacy(8).unwrap();
        for base in [0x1000, 0x2000, u64::MAX - 15] {
            assert!(clear_indices(&mem, GuestAddress(base), &layout).is_err());
            assert!(clear_ring(&mem, GuestAddress(base), &layout).is_err());
        }
    }
}
