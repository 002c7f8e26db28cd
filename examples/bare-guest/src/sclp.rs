// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The service processor: SERVC with a control block of one page, and the service signal that
//! ends each call.

use core::arch::asm;
use core::cell::UnsafeCell;

use crate::interrupts::wait_for_service_signal;

const READ_SCP_INFO: u32 = 0x0002_0001;
const WRITE_EVENT_MASK: u32 = 0x0078_0005;
const WRITE_EVENT_DATA: u32 = 0x0076_0005;

const RESPONSE_READ: u16 = 0x0010;
const RESPONSE_DONE: u16 = 0x0020;

/// Event type and mask bit of the VT220 console: bit 32 - type.
const EVENT_VT220: u8 = 0x1a;
const MASK_VT220: u32 = 1 << (32 - EVENT_VT220);

/// Condition code of SERVC: try again.
const BUSY: u8 = 2;

const SIZE: usize = 4096;
const HEADER: usize = 8;
const EVENT_HEADER: usize = 6;

/// The service-call control block. There is one; calls do not overlap.
#[repr(C, align(4096))]
struct Sccb(UnsafeCell<[u8; SIZE]>);

// SAFETY: one CPU, and no interruption handler makes a service call.
unsafe impl Sync for Sccb {}

static SCCB: Sccb = Sccb(UnsafeCell::new([0; SIZE]));

impl Sccb {
    /// Starts a block of `len` bytes, all zero but for the length.
    fn clear(&self, len: usize) {
        // SAFETY: no call is under way, and no reference to the block is kept.
        unsafe { self.0.get().write([0; SIZE]) };
        self.put(0, &(len as u16).to_be_bytes());
    }

    fn put(&self, offset: usize, bytes: &[u8]) {
        // SAFETY: as above.
        unsafe { (&mut *self.0.get())[offset..offset + bytes.len()].copy_from_slice(bytes) };
    }

    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        // SAFETY: as above.
        let block = unsafe { &*self.0.get() };
        core::array::from_fn(|i| block[offset + i])
    }

    /// Makes a service call; the result is the response code, 0 if the call was not accepted.
    fn call(&self, command: u32) -> u16 {
        loop {
            let cc: u64;
            // SAFETY: the block is on a page of its own below 2 GiB.
            unsafe {
                asm!(
                    ".insn rre,0xb2200000,{command},{block}",
                    "ipm {cc}",
                    command = in(reg) u64::from(command),
                    block = in(reg) self.0.get(),
                    cc = lateout(reg) cc,
                    options(nostack)
                );
            }
            match (cc >> 28 & 3) as u8 {
                0 => break,
                BUSY => continue,
                _ => return 0,
            }
        }
        wait_for_service_signal();
        u16::from_be_bytes(self.get(6))
    }
}

/// The size of RAM in bytes: increment size times number of increments.
pub fn ram_size() -> Option<u64> {
    SCCB.clear(SIZE);
    SCCB.put(5, &[0x80]); // a response of variable length is welcome
    if SCCB.call(READ_SCP_INFO) != RESPONSE_READ {
        return None;
    }
    let count = match u16::from_be_bytes(SCCB.get(8)) {
        0 => u64::from_be_bytes(SCCB.get(104)),
        count => count.into(),
    };
    let mib = match SCCB.get::<1>(10)[0] {
        0 => u32::from_be_bytes(SCCB.get(100)),
        mib => mib.into(),
    };
    count.checked_mul(u64::from(mib) << 20)
}

/// Opens the VT220 console for output; whether there is one.
pub fn open_vt220() -> bool {
    const MASK_LEN: usize = 4;
    const MASKS: usize = 12;
    SCCB.clear(MASKS + 4 * MASK_LEN);
    SCCB.put(10, &(MASK_LEN as u16).to_be_bytes());
    SCCB.put(MASKS + MASK_LEN, &MASK_VT220.to_be_bytes()); // we send
    if SCCB.call(WRITE_EVENT_MASK) != RESPONSE_DONE {
        return false;
    }
    u32::from_be_bytes(SCCB.get(MASKS + 2 * MASK_LEN)) & MASK_VT220 != 0
}

/// Writes text to the VT220 console.
pub fn write_vt220(text: &[u8]) {
    for chunk in text.chunks(SIZE - HEADER - EVENT_HEADER) {
        let event = EVENT_HEADER + chunk.len();
        SCCB.clear(HEADER + event);
        SCCB.put(HEADER, &(event as u16).to_be_bytes());
        SCCB.put(HEADER + 2, &[EVENT_VT220]);
        SCCB.put(HEADER + EVENT_HEADER, chunk);
        // There is nowhere to report a failure to.
        SCCB.call(WRITE_EVENT_DATA);
    }
}
