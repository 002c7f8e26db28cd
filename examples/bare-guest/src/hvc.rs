// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The console driver (virtio 1.2, section 5.3): one line of output.

use crate::console::say;
use crate::cpu::Deadline;
use crate::dma::Dma;
use crate::virtio::{self, Device, Failure, F_EVENT_IDX, PATIENCE};

const RECEIVE: u8 = 0;
const TRANSMIT: u8 = 1;

const TEXT: &[u8] = b"hello from the bare guest\n";

static LINE: Dma<{ TEXT.len() }> = Dma::new();

/// Writes a line to a virtio console.
pub fn run(device: &mut Device) -> Result<(), Failure> {
    device.begin(F_EVENT_IDX)?;
    let receive = virtio::find_vq(device, RECEIVE)?;
    let mut transmit = virtio::find_vq(device, TRANSMIT)?;
    device.driver_ok()?;
    LINE.put(0, TEXT);
    transmit.add(&[LINE.readable(TEXT.len())])?;
    transmit.kick()?;
    virtio::next_used(&mut transmit, Deadline::after(PATIENCE))?;
    say!("console: {} bytes written", TEXT.len());
    Ok(virtio::finish(device, [receive, transmit])?)
}
