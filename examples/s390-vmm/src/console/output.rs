// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One output for all consoles of a guest.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
#[derive(Clone)]
pub(crate) struct ConsoleOutput {
    sink: Arc<Mutex<dyn Write + Send>>,
    virtio_is_last: Arc<AtomicBool>,
}

impl fmt::Debug for ConsoleOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleOutput").finish_non_exhaustive()
    }
}

impl ConsoleOutput {
    pub(crate) fn new(sink: impl Write + Send + 'static) -> Self {
        ConsoleOutput {
            sink: Arc::new(Mutex::new(sink)),
            virtio_is_last: Arc::default(),
        }
    }

    /// The output for one console.
    pub(crate) fn of(&self, source: Source) -> SourceOutput {
        SourceOutput {
            output: self.clone(),
            source,
        }
    }

    /// The console that printed last.
    pub(crate) fn last(&self) -> Source {
        match self.virtio_is_last.load(Ordering::Relaxed) {
            true => Source::Virtio,
            false => Source::Sclp,
        }
    }
}

/// The output of one console.
#[derive(Debug)]
pub(crate) struct SourceOutput {
    output: ConsoleOutput,
    source: Source,
}

impl Write for SourceOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let virtio = self.source == Source::Virtio;
        self.output.virtio_is_last.store(virtio, Ordering::Relaxed);
        let sink = &self.output.sink;
        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.write_all(bytes)?;
        sink.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_who_printed_last() {
        let output = ConsoleOutput::new(io::sink());
        assert_eq!(output.last(), Source::Sclp);
        for source in [Source::Virtio, Source::Sclp, Source::Virtio] {
            output.of(source).write_all(b"x").unwrap();
            assert_eq!(output.last(), source);
        }
    }
}
