// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The disk behind a device: storage, the engine that works on it, limits, and the cache mode.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::backend::{BlockBackend, Topology};
use super::engine::{Bounded, Engine, EngineKind};
use crate::rate_limiter::{RateLimiter, RateLimits};

/// How a device treats its storage.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BlockOptions {
    /// How requests are carried out.
    pub engine: EngineKind,
    /// Whether writes are durable only after a flush, until the driver decides otherwise.
    pub write_back: bool,
    /// What the guest may ask for.
    pub limits: RateLimits,
    /// Bytes of a logical block, at least those of the storage's: a power of two.
    pub logical_block: u32,
}

impl Default for BlockOptions {
    fn default() -> Self {
        BlockOptions {
            engine: EngineKind::Auto,
            write_back: true,
            limits: RateLimits::default(),
            logical_block: 0,
        }
    }
}

/// The disk behind a device.
pub struct Disk {
    /// What log lines call the device.
    name: String,
    /// Why it has not the engine that would be best, for the log.
    fallback: Option<io::Error>,
    pub(super) backend: Arc<dyn BlockBackend>,
    pub(super) engine: Bounded,
    pub(super) limiter: RateLimiter,
    /// Whether writes are durable only after a flush.
    pub(super) write_back: bool,
    /// The cache was turned off, and what was written before is not durable yet.
    pub(super) flush_due: bool,
    options: BlockOptions,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("size", &self.backend.size())
            .field("read_only", &self.backend.is_read_only())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Disk {
    /// A disk on `backend`.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors or threads, or has no such engine; or the size is no
    /// whole number of logical blocks.
    pub fn new(backend: Arc<dyn BlockBackend>, options: BlockOptions) -> io::Result<Self> {
        let (engine, fallback) = options.engine.create_or_fall_back(backend.clone())?;
        let mut disk = Self::with_engine(backend, engine, options)?;
        disk.fallback = fallback;
        Ok(disk)
    }

    /// A disk on `backend` with an engine of its own, whatever the options name.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors, or the size is no whole number of logical blocks.
    pub fn with_engine(
        backend: Arc<dyn BlockBackend>,
        engine: Box<dyn Engine>,
        options: BlockOptions,
    ) -> io::Result<Self> {
        let disk = Disk {
            name: "block".to_owned(),
            fallback: None,
            backend,
            engine: Bounded::new(engine)?,
            limiter: RateLimiter::new(options.limits)?,
            write_back: options.write_back,
            flush_due: false,
            options,
        };
        disk.check_size(disk.backend.size())?;
        Ok(disk)
    }

    /// What log lines shall call the device.
    pub(super) fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        self.engine.set_name(name);
        self.limiter.set_name(name);
        if let Some(error) = self.fallback.take() {
            log::debug!("{name}: threads instead of io_uring: {error}");
        }
    }

    /// No guest can use a part of a block.
    fn check_size(&self, size: u64) -> io::Result<()> {
        let block = u64::from(self.topology().logical_block);
        if size % block == 0 {
            return Ok(());
        }
        let sentence = format!("{size} bytes are no whole number of blocks of {block}");
        Err(io::Error::new(io::ErrorKind::InvalidInput, sentence))
    }

    /// Changes the size, to all whole blocks of the storage if none is given.
    pub(super) fn resize(&self, size: Option<u64>) -> io::Result<()> {
        if let Some(size) = size {
            self.check_size(size)?;
            return self.backend.resize(Some(size));
        }
        let before = self.backend.size();
        self.backend.resize(None)?;
        let size = self.backend.size();
        let whole = size - size % u64::from(self.topology().logical_block);
        match whole {
            _ if whole == size => Ok(()),
            0 => {
                self.backend.resize(Some(before))?;
                self.check_size(size)
            }
            _ => self.backend.resize(Some(whole)),
        }
    }

    /// How the guest shall use it.
    pub(super) fn topology(&self) -> Topology {
        let mut topology = self.backend.topology();
        let block = topology.logical_block.max(self.options.logical_block);
        topology.logical_block = block;
        topology.physical_block = topology.physical_block.max(block);
        topology.min_io = topology.min_io.max(block);
        topology
    }

    /// Takes the driver's choice of the cache mode. When the cache is turned off, what was written
    /// before has to become durable: the driver will not flush any more.
    pub(super) fn set_write_back(&mut self, write_back: bool) {
        if self.write_back != write_back {
            self.write_back = write_back;
            self.flush_due = !write_back;
            let mode = if write_back { "on" } else { "off" };
            log::debug!("{}: write cache {mode}", self.name);
        }
    }

    /// The cache mode is as it was in the beginning.
    pub(super) fn reset(&mut self) {
        self.write_back = self.options.write_back;
        self.flush_due = false;
    }
}
