// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Features, configuration space and life of a console.

use std::io::{self, Write};
use std::sync::Arc;

use s390_vring::ByteOrder;
use vmm_sys_util::eventfd::EventFd;

use super::handler::ConsoleHandler;
use super::input::ConsoleInput;
use super::metrics::ConsoleMetrics;
use crate::device::copy_config;
use crate::event::QueueEvents;
use crate::{ActivateError, Activation, Transport, VirtioDevice};

/// Virtio device id of a console (virtio 1.2, section 5).
const VIRTIO_ID_CONSOLE: u32 = 3;
/// Feature: `cols` and `rows` of the configuration space are valid.
const VIRTIO_CONSOLE_F_SIZE: u32 = 0;
const QUEUE_SIZE: u16 = 128;
/// `struct virtio_console_config` up to and with `max_nr_ports`.
const CONFIG_LEN: usize = 8;

/// Size of a terminal in characters.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ConsoleSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// A console with one port: output goes to a sink at once, input comes from a buffer.
pub struct Console<T: Transport> {
    pub(super) output: Box<dyn Write + Send>,
    pub(super) input: ConsoleInput,
    size: Option<ConsoleSize>,
    pub(super) events: QueueEvents,
    pub(super) handler: Option<ConsoleHandler<T>>,
    pub(super) metrics: Arc<ConsoleMetrics>,
}

impl<T: Transport> std::fmt::Debug for Console<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console")
            .field("size", &self.size)
            .field("active", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Console<T> {
    /// A console that prints to `output`, which should not block: guests wait for it. Only with
    /// a `size` can it be resized later.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(output: Box<dyn Write + Send>, size: Option<ConsoleSize>) -> io::Result<Self> {
        Ok(Console {
            output,
            input: ConsoleInput::new()?,
            size,
            events: QueueEvents::new(2)?,
            handler: None,
            metrics: Arc::default(),
        })
    }

    /// The keyboard.
    pub fn input(&self) -> ConsoleInput {
        self.input.clone()
    }

    /// The device's counters, which go on through resets.
    pub fn metrics(&self) -> Arc<ConsoleMetrics> {
        self.metrics.clone()
    }

    /// Resizes the terminal; the transport has to announce the change. Does nothing on a console
    /// that was made without a size.
    pub fn resize(&mut self, size: ConsoleSize) {
        self.size = self.size.map(|_| size);
    }
}

impl<T: Transport> VirtioDevice<T> for Console<T> {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_CONSOLE
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE; 2]
    }

    fn device_features(&self) -> u64 {
        u64::from(self.size.is_some()) << VIRTIO_CONSOLE_F_SIZE
    }

    fn config_len(&self) -> usize {
        CONFIG_LEN
    }

    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let mut config = [0; CONFIG_LEN];
        if let Some(size) = self.size {
            config[..2].copy_from_slice(&T::Order::u16(size.columns).to_ne_bytes());
            config[2..4].copy_from_slice(&T::Order::u16(size.rows).to_ne_bytes());
        }
        config[4..].copy_from_slice(&T::Order::u32(1).to_ne_bytes());
        copy_config(&config, offset, data);
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        self.events.as_slice()
    }

    fn activate(&mut self, activation: Activation<T>) -> Result<(), ActivateError> {
        let queues = <[_; 2]>::try_from(activation.queues)
            .map_err(|_| "a console with one port has two queues")?;
        self.handler = Some(ConsoleHandler::new(
            activation.memory,
            queues,
            activation.driver,
            self.metrics.clone(),
        ));
        Ok(())
    }

    fn reset(&mut self) {
        self.handler = None;
    }
}
