// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Features, configuration space and life of a console.

use std::io;
use std::sync::Arc;

use s390_vring::ByteOrder;
use vmm_sys_util::eventfd::EventFd;

use super::backend::PortBackend;
use super::control::Control;
use super::handler::{ConsoleHandler, QueueRole};
use super::input::ConsoleInput;
use super::metrics::ConsoleMetrics;
use crate::device::copy_config;
use crate::event::QueueEvents;
use crate::metrics::DeviceMetrics;
use crate::{ActivateError, Activation, Transport, VirtioDevice};

/// Virtio device id of a console (virtio 1.2, section 5).
const VIRTIO_ID_CONSOLE: u32 = 3;
/// Feature: `cols` and `rows` of the configuration space are valid.
const VIRTIO_CONSOLE_F_SIZE: u32 = 0;
/// Feature: there are several ports, and control queues to talk about them.
const VIRTIO_CONSOLE_F_MULTIPORT: u32 = 1;
const QUEUE_SIZE: u16 = 128;
const CONTROL_QUEUE_SIZE: u16 = 32;
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

/// A console, and other ports beside it if there are any. Output goes to a [`PortBackend`], input
/// comes from there and from a buffer.
pub struct Console<T: Transport> {
    /// The first is the console.
    pub(super) ports: Vec<Port>,
    queue_sizes: Vec<u16>,
    size: Option<ConsoleSize>,
    pub(super) events: QueueEvents,
    pub(super) handler: Option<ConsoleHandler<T>>,
    pub(super) metrics: Arc<ConsoleMetrics>,
}

/// The host's end of a port.
pub(super) struct Port {
    name: String,
    pub(super) backend: Box<dyn PortBackend>,
    pub(super) input: ConsoleInput,
    /// Who was at the backend when the device looked last.
    pub(super) peer: Option<u64>,
}

impl Port {
    fn new(name: &str, backend: Box<dyn PortBackend>) -> io::Result<Self> {
        Ok(Port {
            name: name.to_owned(),
            peer: backend.peer(),
            backend,
            input: ConsoleInput::new()?,
        })
    }
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
    /// A console whose host's end is `backend`, which must not block: all devices wait for it. Only
    /// with a `size` can it be resized later.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(backend: Box<dyn PortBackend>, size: Option<ConsoleSize>) -> io::Result<Self> {
        Self::with_ports(vec![Port::new("", backend)?], size)
    }

    /// The same console with one more port, whose host's end is `backend`. The guest finds it by its
    /// `name`, if it knows of ports: Linux since 2.6.34. The name should be short, for the guest
    /// has to have room for it.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn with_port(mut self, name: &str, backend: Box<dyn PortBackend>) -> io::Result<Self> {
        self.ports.push(Port::new(name, backend)?);
        Self::with_ports(self.ports, self.size)
    }

    fn with_ports(ports: Vec<Port>, size: Option<ConsoleSize>) -> io::Result<Self> {
        let mut queue_sizes = vec![QUEUE_SIZE; 2];
        if ports.len() > 1 {
            queue_sizes.extend([CONTROL_QUEUE_SIZE; 2]);
            queue_sizes.resize(2 + 2 * ports.len(), QUEUE_SIZE);
        }
        Ok(Console {
            events: QueueEvents::new(queue_sizes.len())?,
            metrics: Arc::new(ConsoleMetrics::new(ports.len())),
            ports,
            queue_sizes,
            size,
            handler: None,
        })
    }

    /// The keyboard.
    pub fn input(&self) -> ConsoleInput {
        // The console is always there.
        self.ports[0].input.clone()
    }

    /// The way into the port with this name.
    pub fn port_input(&self, name: &str) -> Option<ConsoleInput> {
        let port = self.ports.iter().skip(1).find(|port| port.name == name)?;
        Some(port.input.clone())
    }

    /// The device's counters, which go on through resets.
    pub fn metrics(&self) -> Arc<ConsoleMetrics> {
        self.metrics.clone()
    }

    /// Resizes the terminal; the transport has to announce the change. Does nothing on a console
    /// that was made without a size.
    pub fn resize(&mut self, size: ConsoleSize) {
        if self.size.is_none() {
            return;
        }
        self.size = Some(size);
        if let Some(handler) = &mut self.handler {
            handler.resize(size);
            let number = usize::from(QueueRole::ControlRx.number());
            if let Some(event) = self.events.as_slice().get(number) {
                // Only a counter that is full fails, and then the event is set anyway.
                let _ = event.write(1);
            }
        }
    }
}

impl<T: Transport> VirtioDevice<T> for Console<T> {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_CONSOLE
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    fn device_features(&self) -> u64 {
        u64::from(self.size.is_some()) << VIRTIO_CONSOLE_F_SIZE
            | u64::from(self.ports.len() > 1) << VIRTIO_CONSOLE_F_MULTIPORT
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
        // There are fewer ports than queues, of which there are at most 255.
        let ports = T::Order::u32(self.ports.len() as u32);
        config[4..].copy_from_slice(&ports.to_ne_bytes());
        copy_config(&config, offset, data);
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        self.events.as_slice()
    }

    fn set_name(&mut self, name: &str) {
        self.events.set_name(name);
        for port in &mut self.ports {
            port.backend
                .set_name(&format!("{name}: port {:?}", port.name));
        }
    }

    fn device_metrics(&self) -> Option<Arc<dyn DeviceMetrics>> {
        Some(self.metrics.clone())
    }

    fn activate(&mut self, activation: Activation<T>) -> Result<(), ActivateError> {
        if activation.queues.len() != self.queue_sizes.len() {
            return Err("this console has another number of queues".into());
        }
        let multiport = activation.driver_features >> VIRTIO_CONSOLE_F_MULTIPORT & 1 != 0;
        let names = || self.ports.iter().map(|port| port.name.clone()).collect();
        let mut handler = ConsoleHandler::new(
            activation.memory,
            activation.queues,
            activation.driver,
            multiport.then(|| Control::new(names(), self.size)),
            self.metrics.clone(),
        );
        for (number, port) in self.ports.iter().enumerate() {
            handler.set_peer(number, port.peer);
        }
        self.handler = Some(handler);
        Ok(())
    }

    fn reset(&mut self) {
        self.handler = None;
    }

    fn pause(&mut self) {
        self.events.pause();
    }

    fn resume(&mut self) {
        self.events.resume();
    }
}
