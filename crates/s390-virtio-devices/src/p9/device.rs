// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Features, configuration space and life of a 9P device.

use std::io;
use std::sync::Arc;

use s390_vring::ByteOrder;
use virtio_bindings::virtio_ids::VIRTIO_ID_9P;
use vmm_sys_util::eventfd::EventFd;

use super::engine::Engine;
use super::handler::P9Handler;
use super::metrics::P9Metrics;
use super::server::FileServer;
use crate::device::copy_config;
use crate::event::QueueEvents;
use crate::metrics::DeviceMetrics;
use crate::{ActivateError, Activation, Transport, VirtioDevice};

/// The device tells its tag (`VIRTIO_9P_MOUNT_TAG`, `linux/virtio_9p.h`).
const F_MOUNT_TAG: u32 = 0;
/// As many buffers as Linux puts into one chain.
const QUEUE_SIZE: u16 = 128;

/// The name by which a guest mounts a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

/// Why a name is no tag.
#[derive(Debug, thiserror::Error)]
#[error("a tag has 1 to {max} printable characters of ASCII, and {0:?} has not", max = Tag::MAX_LEN)]
pub struct TagError(String);

impl Tag {
    /// Most characters of a tag. The configuration space has room for more, but the page for few
    /// such devices then.
    pub const MAX_LEN: usize = 32;

    /// `name` as a tag: printable characters of ASCII, so that it survives a command line.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn new(name: &str) -> Result<Self, TagError> {
        let good = (1..=Self::MAX_LEN).contains(&name.len());
        match good && name.bytes().all(|c| c.is_ascii_graphic()) {
            true => Ok(Tag(name.to_owned())),
            false => Err(TagError(name.to_owned())),
        }
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Files of the host, shared with the guest: one request queue in front of a [`FileServer`].
pub struct P9<T: Transport> {
    pub(super) engine: Engine,
    pub(super) events: QueueEvents,
    pub(super) handler: Option<P9Handler<T>>,
    pub(super) metrics: Arc<P9Metrics>,
    tag: Tag,
}

impl<T: Transport> std::fmt::Debug for P9<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("P9")
            .field("tag", &self.tag)
            .field("active", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> P9<T> {
    /// Threads that keep the files of one share busy.
    pub const THREADS: usize = 4;

    /// A device on `server`, which answers messages one after the other in the event loop's thread.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors.
    pub fn new(server: Arc<dyn FileServer>, tag: Tag) -> io::Result<Self> {
        Self::with_threads(server, tag, 0)
    }

    /// A device on `server`, which answers messages in so many threads.
    ///
    /// # Errors
    ///
    /// The host is out of file descriptors or threads.
    pub fn with_threads(server: Arc<dyn FileServer>, tag: Tag, threads: usize) -> io::Result<Self> {
        Ok(P9 {
            engine: Engine::new(server, threads)?,
            events: QueueEvents::new(1)?,
            handler: None,
            metrics: Arc::default(),
            tag,
        })
    }

    /// The device's counters, which go on through resets.
    pub fn metrics(&self) -> Arc<P9Metrics> {
        self.metrics.clone()
    }

    /// The name by which the guest mounts the share.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Gives back what is answered, and begins what is in the queue if that is wanted.
    pub(super) fn work(&mut self, begin: bool) {
        let Some(handler) = &mut self.handler else {
            // Left by a handler that was given up.
            while self.engine.next_answer().is_some() {}
            return;
        };
        let result = match begin {
            true => handler.process(&self.engine),
            false => handler.complete(&self.engine),
        };
        self.events
            .follow(0, result, &mut self.handler, |handler| &*handler.driver);
    }

    /// `struct virtio_9p_config`: the length of the tag, and the tag.
    fn config(&self) -> Vec<u8> {
        let tag = self.tag.as_str().as_bytes();
        let mut config = T::Order::u16(tag.len() as u16).to_ne_bytes().to_vec();
        config.extend(tag);
        config
    }
}

impl<T: Transport> VirtioDevice<T> for P9<T> {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_9P
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn device_features(&self) -> u64 {
        1 << F_MOUNT_TAG
    }

    fn config_len(&self) -> usize {
        self.config().len()
    }

    fn read_config(&self, offset: usize, data: &mut [u8]) {
        copy_config(&self.config(), offset, data);
    }

    fn queue_events(&self) -> &[Arc<EventFd>] {
        self.events.as_slice()
    }

    fn set_name(&mut self, name: &str) {
        self.events.set_name(name);
    }

    fn device_metrics(&self) -> Option<Arc<dyn DeviceMetrics>> {
        Some(self.metrics.clone())
    }

    fn activate(&mut self, activation: Activation<T>) -> Result<(), ActivateError> {
        let [queue] =
            <[_; 1]>::try_from(activation.queues).map_err(|_| "a 9P device has one queue")?;
        // A handler that was given up may have left something.
        self.engine.reset();
        self.handler = Some(P9Handler::new(
            activation.memory,
            queue,
            activation.driver,
            self.metrics.clone(),
        ));
        Ok(())
    }

    fn reset(&mut self) {
        self.engine.reset();
        self.handler = None;
    }

    fn pause(&mut self) {
        self.engine.wait();
        self.work(false);
        self.events.pause();
    }

    fn resume(&mut self) {
        self.events.resume();
    }
}
