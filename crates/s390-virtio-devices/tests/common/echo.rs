// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device with queues of any size that writes a running number into every chain.

use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use s390_virtio_devices::{ActivateError, Activation, VirtioDevice};
use vmm_sys_util::eventfd::EventFd;

use super::Legacy;

pub struct Echo {
    sizes: Vec<u16>,
    events: Vec<Arc<EventFd>>,
    config_len: usize,
    active: Option<Activation<Legacy>>,
    next: u32,
}

impl Echo {
    /// One with a configuration space of zeros.
    pub fn new(sizes: &[u16], config_len: usize) -> Self {
        let event = |_: &u16| Arc::new(EventFd::new(libc::EFD_NONBLOCK).unwrap());
        Echo {
            sizes: sizes.to_vec(),
            events: sizes.iter().map(event).collect(),
            config_len,
            active: None,
            next: 0,
        }
    }
}

impl VirtioDevice<Legacy> for Echo {
    fn device_type(&self) -> u32 {
        63
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &self.sizes
    }

    fn device_features(&self) -> u64 {
        0
    }

    fn config_len(&self) -> usize {
        self.config_len
    }

    fn read_config(&self, _: usize, _: &mut [u8]) {}

    fn queue_events(&self) -> &[Arc<EventFd>] {
        &self.events
    }

    fn activate(&mut self, activation: Activation<Legacy>) -> Result<(), ActivateError> {
        self.active = Some(activation);
        Ok(())
    }

    fn reset(&mut self) {
        self.active = None;
    }

    fn pause(&mut self) {}

    fn resume(&mut self) {}
}

impl MutEventSubscriber for Echo {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        for (queue, event) in (0..).zip(&self.events) {
            ops.add(Events::with_data(&**event, queue, EventSet::IN))
                .unwrap();
        }
    }

    fn process(&mut self, events: Events, _: &mut EventOps<'_>) {
        let index = events.data() as u16;
        self.events[usize::from(index)].read().unwrap();
        let Some(active) = &mut self.active else {
            return;
        };
        let (queue, memory) = (&mut active.queues[usize::from(index)], &*active.memory);
        loop {
            loop {
                let chain = match queue.pop_descriptor_chain(memory) {
                    Ok(Some(chain)) => chain,
                    Ok(None) => break,
                    Err(error) => {
                        // A simple device, that says so for each of its queues.
                        active.driver.needs_reset(&error);
                        return;
                    }
                };
                let mut writer = chain.writer(memory).unwrap();
                writer.write_obj(self.next.to_be()).unwrap();
                self.next += 1;
                queue.add_used(memory, chain.head_index(), 4).unwrap();
            }
            if !queue.enable_notification(memory).unwrap() {
                break;
            }
        }
        if queue.needs_notification(memory).unwrap() {
            active.driver.signal_used_queue(index);
        }
    }
}
