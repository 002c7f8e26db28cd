// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ring operations, each on `s390_vring::Queue` and on `virtio_queue::Queue`, which do the same work
//! on the same ring.
//!
//! A device wants to know all buffers of a chain, so both sides look at each. `virtio_queue` only walks
//! the descriptors for that; `s390_vring` has validated the chain as a whole before.
#![allow(dead_code)]

use std::hint::black_box;

use s390_vring::mock::MockDriver;
use s390_vring::{BigEndian, Buffer, ByteOrder, LittleEndian, Queue, RingFeatures};
use virtio_queue::{QueueOwnedT, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap};

const SIZE: u16 = 256;
const RING: GuestAddress = GuestAddress(0);

type Memory = GuestMemoryMmap<()>;

/// Gets one pass over a ring, and calls it as often as it likes.
pub type Measure<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// One implementation of an operation.
pub struct Side {
    pub name: &'static str,
    pub run: Box<dyn Fn(Measure<'_>)>,
}

/// The same work by several implementations.
pub struct Operation {
    pub name: String,
    /// Operations in a pass.
    pub count: u16,
    /// The last is `virtio_queue`.
    pub sides: Vec<Side>,
}

pub const BIG: &str = "s390_vring big-endian";
pub const LITTLE: &str = "s390_vring little-endian";
pub const UPSTREAM: &str = "virtio_queue";

fn operation<B, L, U>(name: String, count: u16, big: B, little: L, upstream: U) -> Operation
where
    B: Fn(Measure<'_>) + 'static,
    L: Fn(Measure<'_>) + 'static,
    U: Fn(Measure<'_>) + 'static,
{
    Operation {
        name,
        count,
        sides: vec![
            Side {
                name: BIG,
                run: Box::new(big),
            },
            Side {
                name: LITTLE,
                run: Box::new(little),
            },
            Side {
                name: UPSTREAM,
                run: Box::new(upstream),
            },
        ],
    }
}

/// The chains of a ring.
#[derive(Clone, Copy)]
struct Chains {
    /// Buffers of each, the last of them writable.
    len: u16,
    indirect: bool,
    /// Regions of guest memory.
    regions: u64,
}

impl Chains {
    fn direct(len: u16) -> Self {
        Chains {
            len,
            indirect: false,
            regions: 1,
        }
    }

    fn name(&self) -> String {
        let plural = if self.len == 1 { "" } else { "s" };
        let kind = if self.indirect { ", indirect" } else { "" };
        let regions = match self.regions {
            1 => String::new(),
            regions => format!(", {regions} regions"),
        };
        format!("{} buffer{plural}{kind}{regions}", self.len)
    }

    /// How many fill the ring.
    fn count(&self) -> u16 {
        if self.indirect {
            SIZE
        } else {
            SIZE / self.len
        }
    }

    fn memory(&self) -> Memory {
        let size = (64 << 20) / self.regions;
        let ranges: Vec<_> = (0..self.regions)
            .map(|i| (GuestAddress(i * size), size as usize))
            .collect();
        Memory::from_ranges(&ranges).unwrap()
    }

    /// A full ring, whose driver wants to be interrupted for each chain.
    fn ring<'m, E: ByteOrder>(&self, mem: &'m Memory) -> MockDriver<'m, E, Memory> {
        let features = RingFeatures {
            indirect_desc: self.indirect,
            event_idx: true,
            ..RingFeatures::default()
        };
        let mut mock = MockDriver::new(mem, RING, SIZE, features);
        let len = u64::from(self.len);
        for chain in 0..u64::from(self.count()) {
            let buffers: Vec<_> = (0..len)
                .map(|i| Buffer {
                    addr: 0x10_0000 + (chain * len + i) * 0x1000,
                    len: 0x1000,
                    writable: i + 1 == len,
                })
                .collect();
            if self.indirect {
                mock.add_indirect_chain(GuestAddress(0x8_0000 + chain * 256), &buffers);
            } else {
                mock.add_chain(&buffers);
            }
        }
        mock
    }

    fn ours<E: ByteOrder>(self, measure: Measure<'_>, pass: impl Fn(&mut Queue<E>, &Memory)) {
        let mem = self.memory();
        let mut queue = self.ring::<E>(&mem).device_queue();
        measure(&mut || {
            queue.set_next_avail(0);
            pass(&mut queue, &mem);
            assert!([0, self.count()].contains(&queue.next_avail()));
        });
    }

    fn upstream(self, measure: Measure<'_>, pass: impl Fn(&mut virtio_queue::Queue, &Memory)) {
        let mem = self.memory();
        let mock = self.ring::<LittleEndian>(&mem);
        let layout = mock.layout();
        let at = |offset: usize| Some(mock.base().0 as u32 + offset as u32);
        let mut queue = virtio_queue::Queue::new(SIZE).unwrap();
        queue.set_desc_table_address(at(layout.desc_table()), None);
        queue.set_avail_ring_address(at(layout.avail_ring()), None);
        queue.set_used_ring_address(at(layout.used_ring()), None);
        queue.set_event_idx(true);
        queue.set_ready(true);
        measure(&mut || {
            queue.set_next_avail(0);
            pass(&mut queue, &mem);
        });
    }
}

/// Chains one by one, as a device does that returns each before it takes the next.
fn pop(chains: Chains) -> Operation {
    fn ours<E: ByteOrder>(queue: &mut Queue<E>, mem: &Memory) {
        while let Ok(Some(chain)) = queue.pop_descriptor_chain(mem) {
            chain.readable().iter().for_each(|segment| {
                black_box(segment);
            });
            chain.writable().iter().for_each(|segment| {
                black_box(segment);
            });
        }
    }
    operation(
        format!("pop, {}", chains.name()),
        chains.count(),
        move |measure| chains.ours::<BigEndian>(measure, ours),
        move |measure| chains.ours::<LittleEndian>(measure, ours),
        move |measure| {
            chains.upstream(measure, |queue, mem| {
                while let Some(chain) = QueueT::pop_descriptor_chain(queue, mem) {
                    chain.for_each(|desc| {
                        black_box(desc);
                    });
                }
            });
        },
    )
}

/// All chains at once.
fn iter(chains: Chains) -> Operation {
    fn ours<E: ByteOrder>(queue: &mut Queue<E>, mem: &Memory) {
        for chain in queue.iter(mem).unwrap().map_while(Result::ok) {
            chain.readable().iter().for_each(|segment| {
                black_box(segment);
            });
            chain.writable().iter().for_each(|segment| {
                black_box(segment);
            });
        }
    }
    operation(
        format!("iter, {}", chains.name()),
        chains.count(),
        move |measure| chains.ours::<BigEndian>(measure, ours),
        move |measure| chains.ours::<LittleEndian>(measure, ours),
        move |measure| {
            chains.upstream(measure, |queue, mem| {
                for chain in QueueOwnedT::iter(queue, mem).unwrap() {
                    chain.for_each(|desc| {
                        black_box(desc);
                    });
                }
            });
        },
    )
}

/// A reader and a writer for each chain, and a header read.
fn streams(chains: Chains) -> Operation {
    fn ours<E: ByteOrder>(queue: &mut Queue<E>, mem: &Memory) {
        while let Ok(Some(chain)) = queue.pop_descriptor_chain(mem) {
            let mut reader = chain.reader(mem).unwrap();
            black_box(reader.read_obj::<[u8; 16]>().unwrap());
            black_box(chain.writer(mem).unwrap());
        }
    }
    operation(
        format!("pop, reader and writer, {}", chains.name()),
        chains.count(),
        move |measure| chains.ours::<BigEndian>(measure, ours),
        move |measure| chains.ours::<LittleEndian>(measure, ours),
        move |measure| {
            chains.upstream(measure, |queue, mem| {
                while let Some(chain) = QueueT::pop_descriptor_chain(queue, mem) {
                    let mut reader = chain.clone().reader(mem).unwrap();
                    black_box(reader.read_obj::<[u8; 16]>().unwrap());
                    black_box(chain.writer(mem).unwrap());
                }
            });
        },
    )
}

fn add_used() -> Operation {
    fn ours<E: ByteOrder>(queue: &mut Queue<E>, mem: &Memory) {
        for head in 0..SIZE {
            queue.add_used(mem, black_box(head), 0x1000).unwrap();
        }
    }
    let chains = Chains::direct(1);
    operation(
        "add_used".into(),
        SIZE,
        move |measure| chains.ours::<BigEndian>(measure, ours),
        move |measure| chains.ours::<LittleEndian>(measure, ours),
        move |measure| {
            chains.upstream(measure, |queue, mem| {
                for head in 0..SIZE {
                    QueueT::add_used(queue, mem, black_box(head), 0x1000).unwrap();
                }
            });
        },
    )
}

/// With `EVENT_IDX`: `virtio_queue` does not look at the driver's wish without it. Something must have
/// been added, or there is nothing to ask.
fn needs_notification() -> Operation {
    fn ours<E: ByteOrder>(queue: &mut Queue<E>, mem: &Memory) {
        for head in 0..SIZE {
            queue.add_used(mem, black_box(head), 0x1000).unwrap();
            black_box(queue.needs_notification(mem).unwrap());
        }
    }
    let chains = Chains::direct(1);
    operation(
        "add_used and needs_notification".into(),
        SIZE,
        move |measure| chains.ours::<BigEndian>(measure, ours),
        move |measure| chains.ours::<LittleEndian>(measure, ours),
        move |measure| {
            chains.upstream(measure, |queue, mem| {
                for head in 0..SIZE {
                    QueueT::add_used(queue, mem, black_box(head), 0x1000).unwrap();
                    black_box(QueueT::needs_notification(queue, mem).unwrap());
                }
            });
        },
    )
}

fn enable_notification() -> Operation {
    fn ours<E: ByteOrder>(queue: &mut Queue<E>, mem: &Memory) {
        for _ in 0..SIZE {
            black_box(queue.enable_notification(mem).unwrap());
        }
    }
    let chains = Chains::direct(1);
    operation(
        "enable_notification".into(),
        SIZE,
        move |measure| chains.ours::<BigEndian>(measure, ours),
        move |measure| chains.ours::<LittleEndian>(measure, ours),
        move |measure| {
            chains.upstream(measure, |queue, mem| {
                for _ in 0..SIZE {
                    black_box(QueueT::enable_notification(queue, mem).unwrap());
                }
            });
        },
    )
}

/// All operations that are measured.
pub fn all() -> Vec<Operation> {
    let indirect = |len| Chains {
        indirect: true,
        ..Chains::direct(len)
    };
    let four_regions = |len| Chains {
        regions: 4,
        ..Chains::direct(len)
    };
    vec![
        pop(Chains::direct(1)),
        pop(Chains::direct(3)),
        pop(Chains::direct(16)),
        pop(Chains::direct(128)),
        pop(indirect(1)),
        pop(indirect(16)),
        pop(four_regions(1)),
        pop(four_regions(3)),
        iter(Chains::direct(1)),
        iter(Chains::direct(3)),
        iter(Chains::direct(16)),
        iter(indirect(16)),
        streams(Chains::direct(3)),
        add_used(),
        needs_notification(),
        enable_notification(),
    ]
}
