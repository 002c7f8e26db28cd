// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the guest's report goes: the SCLP's VT220 console; without one, under KVM, the early
//! console, which is a NOTIFY of a few bytes in RAM.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

use s390_hypercall::{guest, Sysib, NOTIFY};

use crate::sclp;

const NONE: u8 = 0;
const VT220: u8 = 1;
const EARLY: u8 = 2;

static OUTPUT: AtomicU8 = AtomicU8::new(NONE);

/// Finds a console.
pub fn init() {
    let output = if sclp::open_vt220() {
        VT220
    } else {
        let mut sysib = Sysib::new();
        // SAFETY: supervisor state, and the block is ours.
        match unsafe { guest::kvm_para_available(&mut sysib) } {
            true => EARLY,
            false => NONE,
        }
    };
    OUTPUT.store(output, Ordering::Relaxed);
}

/// Prints a line of the report.
macro_rules! say {
    ($($arg:tt)*) => { $crate::console::line(format_args!($($arg)*)) };
}
pub(crate) use say;

/// What [`say`] calls.
pub fn line(arguments: fmt::Arguments<'_>) {
    let mut line = Line {
        text: [0; 256],
        len: 0,
    };
    // Cannot fail: the line flushes itself.
    let _ = line.write_fmt(arguments);
    let _ = line.write_str("\n");
    line.flush();
}

struct Line {
    text: [u8; 256],
    len: usize,
}

impl Line {
    fn flush(&mut self) {
        let text = &self.text[..self.len];
        match OUTPUT.load(Ordering::Relaxed) {
            VT220 => sclp::write_vt220(text),
            EARLY => write_early(text),
            _ => {}
        }
        self.len = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.len == self.text.len() {
                self.flush();
            }
            self.text[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

fn write_early(text: &[u8]) {
    for chunk in text.chunks(16) {
        let mut piece = [0u8; 17];
        piece[..chunk.len()].copy_from_slice(chunk);
        // SAFETY: under KVM; the host reads a string below the end of RAM.
        unsafe { guest::hypercall1(NOTIFY, piece.as_ptr() as u64) };
    }
}
