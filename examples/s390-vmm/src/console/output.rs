// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One output for all consoles of a guest.

use std::io::{self, ErrorKind, Write};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use s390_virtio_devices::console::PortBackend;

use super::writer::Output;

/// Which of the guest's consoles.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// One of the SCLP's, or the early console.
    Sclp,
    /// The virtio console.
    Virtio,
}

/// The output, shared by the consoles. Remembers who printed last: people type where they see the
/// prompt.
#[derive(Clone, Debug)]
pub(crate) struct ConsoleOutput {
    output: Output,
    virtio_is_last: Arc<AtomicBool>,
}

impl ConsoleOutput {
    pub(crate) fn new(output: Output) -> Self {
        ConsoleOutput {
            output,
            virtio_is_last: Arc::default(),
        }
    }

    /// The output for consoles that a CPU prints to, and whose CPU waits afterwards.
    pub(crate) fn sclp(&self) -> SclpOutput {
        SclpOutput(self.clone())
    }

    /// The output for the virtio console.
    pub(crate) fn virtio(&self) -> VirtioOutput {
        VirtioOutput(self.clone())
    }

    /// The console that printed last.
    pub(crate) fn last(&self) -> Source {
        match self.virtio_is_last.load(Ordering::Relaxed) {
            true => Source::Virtio,
            false => Source::Sclp,
        }
    }

    /// Waits until a CPU may print again, but no longer than this; returns whether it may.
    pub(crate) fn wait_for_room(&self, timeout: Duration) -> bool {
        self.output.wait_for_room(timeout)
    }

    fn printed(&self, source: Source) {
        let virtio = source == Source::Virtio;
        self.virtio_is_last.store(virtio, Ordering::Relaxed);
    }
}

/// The output of the SCLP's consoles and of the early console.
#[derive(Debug)]
pub(crate) struct SclpOutput(ConsoleOutput);

impl Write for SclpOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.printed(Source::Sclp);
        self.0.output.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The output of the virtio console.
#[derive(Debug)]
pub(crate) struct VirtioOutput(ConsoleOutput);

impl PortBackend for VirtioOutput {
    fn event_fd(&self) -> Option<RawFd> {
        self.0.output.event_fd()
    }

    fn process_event(&mut self, guest_listens: bool) {
        self.0.output.process_event(guest_listens);
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.printed(Source::Virtio);
        self.0.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.output.flush()
    }
}

impl PortBackend for Output {
    fn event_fd(&self) -> Option<RawFd> {
        Some(self.room())
    }

    fn process_event(&mut self, _: bool) {
        self.take_room();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.offer(bytes) {
            0 => Err(ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::WriterThread;

    #[test]
    fn remembers_who_printed_last() {
        let writer = WriterThread::start(io::sink()).unwrap();
        let output = ConsoleOutput::new(writer.output());
        let (mut sclp, mut virtio) = (output.sclp(), output.virtio());
        assert_eq!(output.last(), Source::Sclp);
        virtio.write(b"x").unwrap();
        assert_eq!(output.last(), Source::Virtio);
        sclp.write_all(b"x").unwrap();
        assert_eq!(output.last(), Source::Sclp);
    }
}
