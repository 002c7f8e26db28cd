// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's kernel: its scan of the page, its memory map, and its handler of interruptions.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::common::{Machine, PAGE, RESET, SET_STATUS};
use crate::linux::{Acceptance, Parameter, Release};
use crate::vring::Vring;

pub const ACKNOWLEDGE: u8 = 1;
pub const DRIVER: u8 = 2;
pub const DRIVER_OK: u8 = 4;
pub const FAILED: u8 = 0x80;

pub type Queue<'m> = Rc<RefCell<Vring<'m>>>;

/// What the handler did with an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Called the driver back: queue `.1` of the device at `.0` has used buffers.
    Queue(u64, u16),
    /// Looked at queue `.1` of the device at `.0` and found nothing.
    Nothing(u64, u16),
    /// Told the driver of the device at `.0` of its new configuration.
    Config(u64),
    /// Kept that for later.
    Deferred(u64),
    /// Scanned the page again and found this many devices.
    Scan(usize),
}

struct Known<'m> {
    device: u64,
    index: u16,
    queue: Queue<'m>,
}

/// A kernel that has booted, in the habits of one release.
pub struct Kernel<'m> {
    pub machine: &'m Machine,
    pub release: &'static Release,
    /// First and last byte of what is mapped above RAM.
    mapped: RefCell<BTreeSet<(u64, u64)>>,
    /// Queues by the address of their structure, which is the token. None is used twice.
    queues: RefCell<BTreeMap<u64, Known<'m>>>,
    next_token: Cell<u64>,
    next_buffer: Cell<u64>,
    registered: RefCell<BTreeSet<u64>>,
    /// Status of drivers that are bound, as their core knows it.
    bound: RefCell<BTreeSet<u64>>,
    ready: RefCell<BTreeSet<u64>>,
    /// Features of drivers whose probe has begun, where they are written behind it.
    unwritten: RefCell<BTreeMap<u64, u32>>,
}

thread_local! {
    /// No two kernels of a test share a token, so that one of the former life is an unknown one.
    static BOOTS: Cell<u64> = const { Cell::new(1) };
}

impl<'m> Kernel<'m> {
    /// Boots: maps the page, looks for devices and registers them.
    pub fn boot(machine: &'m Machine, release: &'static Release) -> Self {
        let boot = BOOTS.replace(BOOTS.get() + 1);
        let kernel = Kernel {
            machine,
            release,
            mapped: RefCell::default(),
            queues: RefCell::default(),
            next_token: Cell::new(0x10_0000 * boot),
            next_buffer: Cell::new(0x1_0000),
            registered: RefCell::default(),
            bound: RefCell::default(),
            ready: RefCell::default(),
            unwritten: RefCell::default(),
        };
        kernel.map(PAGE, 4096);
        kernel.scan();
        kernel
    }

    /// Walks the page and registers what it does not know; how many that were.
    pub fn scan(&self) -> usize {
        let mut new = 0;
        let mut offset = 0;
        while offset < 4096 {
            let desc = PAGE + offset;
            if self.byte(desc) == 0 {
                break;
            }
            let size = self.config(desc) - desc + u64::from(self.byte(desc + 3));
            assert!(offset + size <= 4096, "oops: reads behind the page");
            if self.registered.borrow_mut().insert(desc) {
                new += 1;
                self.reset(desc);
                self.add_status(desc, ACKNOWLEDGE);
            }
            offset += size;
        }
        new
    }

    /// The devices of a type, in the order of the page.
    pub fn devices(&self, device_type: u8) -> Vec<u64> {
        let registered = self.registered.borrow();
        let of_type = |desc: &&u64| self.byte(**desc) == device_type;
        registered.iter().filter(of_type).copied().collect()
    }

    pub fn byte(&self, addr: u64) -> u8 {
        self.machine.read(addr, 1)[0]
    }

    fn features(&self, desc: u64) -> u64 {
        desc + 5 + 24 * u64::from(self.byte(desc + 1))
    }

    /// Address of the configuration space.
    pub fn config(&self, desc: u64) -> u64 {
        self.features(desc) + 2 * u64::from(self.byte(desc + 2))
    }

    pub fn config_get(&self, desc: u64, offset: u64, len: u64) -> Vec<u8> {
        let config_len = u64::from(self.byte(desc + 3));
        assert!(
            offset + len <= config_len,
            "BUG_ON(offset + len > config_len)"
        );
        self.machine
            .read(self.config(desc) + offset, len.try_into().unwrap())
    }

    pub fn status(&self, desc: u64) -> u8 {
        self.byte(desc + 4)
    }

    pub fn reset(&self, desc: u64) {
        self.machine.diag(RESET, desc);
    }

    pub fn add_status(&self, desc: u64, status: u8) {
        let status = self.status(desc) | status;
        self.machine.write(desc + 4, &[status]);
        self.machine.diag(SET_STATUS, desc);
    }

    /// The core's half of a probe, up to the accepted features.
    pub fn begin_probe(&self, desc: u64, driver_features: u32) -> u32 {
        self.bound.borrow_mut().insert(desc);
        self.add_status(desc, DRIVER);
        self.accept(desc, driver_features | self.release.ring_features)
    }

    fn accept(&self, desc: u64, wanted: u32) -> u32 {
        let host = self.features(desc);
        let len = u64::from(self.byte(desc + 2));
        match self.release.acceptance {
            Acceptance::ByTesting => {
                let tested = (0..32).filter(|bit| wanted & 1 << bit != 0);
                tested.fold(0, |accepted, bit| {
                    accepted | u32::from(self.test_feature(desc, bit)) << bit
                })
            }
            Acceptance::AtOnce | Acceptance::BehindProbe => {
                let bytes = self.machine.read(host, len.min(4) as usize);
                let mut offered = [0; 4];
                offered[..bytes.len()].copy_from_slice(&bytes);
                let accepted = u32::from_le_bytes(offered) & wanted;
                match self.release.acceptance {
                    Acceptance::BehindProbe => {
                        self.unwritten.borrow_mut().insert(desc, accepted);
                    }
                    _ => self.finalize(desc, accepted),
                }
                accepted
            }
        }
    }

    fn finalize(&self, desc: u64, accepted: u32) {
        let len = u64::from(self.byte(desc + 2));
        let mut half = vec![0; len as usize];
        let count = half.len().min(4);
        half[..count].copy_from_slice(&accepted.to_le_bytes()[..count]);
        self.machine.write(self.features(desc) + len, &half);
    }

    /// The test of one feature as 2.6.26 has it, one bit too generous.
    pub fn test_feature(&self, desc: u64, bit: u64) -> bool {
        let host = self.features(desc);
        let len = u64::from(self.byte(desc + 2));
        if bit / 8 > len {
            return false;
        }
        let mask = 1 << (bit % 8);
        let offered = self.byte(host + bit / 8) & mask != 0;
        if offered {
            let at = host + len + bit / 8;
            self.machine.write(at, &[self.byte(at) | mask]);
        }
        offered
    }

    /// Takes queue `index` into use.
    pub fn find_vq(&self, desc: u64, index: u16, features: u32) -> Queue<'m> {
        assert!(index < self.byte(desc + 1).into(), "ENOENT: no such queue");
        let entry = desc + 5 + 24 * u64::from(index);
        let (address, num) = self.ring(desc, index);
        let queue = Vring::new(self.machine, self.release, address, num, features);
        self.map(address, queue.len());
        let token = self.next_token.replace(self.next_token.get() + 0x80);
        self.machine.write(entry, &token.to_be_bytes());
        let queue = Rc::new(RefCell::new(queue));
        let known = Known {
            device: desc,
            index,
            queue: queue.clone(),
        };
        self.queues.borrow_mut().insert(token, known);
        queue
    }

    /// Address and entries of a ring, as the page has them now.
    pub fn ring(&self, desc: u64, index: u16) -> (u64, u16) {
        let entry = desc + 5 + 24 * u64::from(index);
        let address = self.machine.read(entry + 8, 8);
        let num = self.machine.read(entry + 16, 2);
        (
            u64::from_be_bytes(address.try_into().unwrap()),
            u16::from_be_bytes(num.try_into().unwrap()),
        )
    }

    pub fn driver_ok(&self, desc: u64) {
        assert_eq!(self.status(desc) & DRIVER_OK, 0, "BUG_ON(DRIVER_OK)");
        if let Some(accepted) = self.unwritten.borrow_mut().remove(&desc) {
            self.finalize(desc, accepted);
        }
        self.add_status(desc, DRIVER_OK);
        self.ready.borrow_mut().insert(desc);
    }

    /// The driver frees its queues.
    pub fn del_vqs(&self, desc: u64) {
        self.queues.borrow_mut().retain(|_, known| {
            if known.device != desc {
                return true;
            }
            // It unmaps the address that the page shows now.
            let (address, _) = self.ring(desc, known.index);
            self.unmap(address);
            false
        });
    }

    /// A probe that fails after its queues were found: they are freed without a RESET.
    pub fn fail_probe(&self, desc: u64) {
        self.del_vqs(desc);
        self.add_status(desc, FAILED);
        self.bound.borrow_mut().remove(&desc);
        self.ready.borrow_mut().remove(&desc);
    }

    /// The driver lets go of its device.
    pub fn unbind(&self, desc: u64) {
        self.reset(desc);
        self.ready.borrow_mut().remove(&desc);
        for known in self.queues.borrow().values() {
            if known.device == desc {
                known.queue.borrow_mut().detach_unused();
            }
        }
        self.del_vqs(desc);
        assert_eq!(self.status(desc), 0, "BUG_ON(status)");
        self.bound.borrow_mut().remove(&desc);
        self.add_status(desc, ACKNOWLEDGE);
    }

    /// Maps storage above RAM, in whole pages.
    fn map(&self, addr: u64, len: u64) {
        assert!(addr >= PAGE && addr % 4096 == 0, "ENOSPC: is RAM");
        let last = (addr + len).next_multiple_of(4096) - 1;
        let free = |&(start, end): &(u64, u64)| last < start || end < addr;
        assert!(
            self.mapped.borrow().iter().all(free),
            "ENOSPC: mapped already"
        );
        // What is mapped can be read to its end.
        self.machine.read(last, 1);
        self.mapped.borrow_mut().insert((addr, last));
    }

    fn unmap(&self, addr: u64) {
        let mut mapped = self.mapped.borrow_mut();
        let found = mapped.iter().find(|&&(start, _)| start == addr).copied();
        mapped.remove(&found.expect("unmaps what is not mapped"));
    }

    /// Room for `len` bytes in RAM, used again after a while.
    pub fn alloc(&self, len: u64) -> u64 {
        let addr = self.next_buffer.get();
        let next = addr + len.next_multiple_of(64);
        self.next_buffer
            .set(if next > 0xe_0000 { 0x1_0000 } else { next });
        addr
    }

    /// Lets the devices work, then handles all interruptions.
    pub fn run(&self) -> Vec<Handled> {
        self.machine.run_events();
        self.handle_interrupts()
    }

    pub fn handle_interrupts(&self) -> Vec<Handled> {
        let interrupts = self.machine.interrupts().into_iter();
        interrupts
            .map(|(code, subcode, params, params2)| {
                assert_eq!((code, subcode & 0xff00), (0x2603, 0x0d00));
                let kind = match self.release.parameter {
                    Parameter::Ignored => 0,
                    Parameter::LowestBit => params & 1,
                    Parameter::LowestByte => params & 0xff,
                };
                match kind {
                    2 => Handled::Scan(self.scan()),
                    1 => self.config_changed(params2 & !1),
                    _ => self.queue_interrupt(params2 & !1),
                }
            })
            .collect()
    }

    fn known<T>(&self, token: u64, f: impl FnOnce(&Known<'m>) -> T) -> T {
        let queues = self.queues.borrow();
        f(queues
            .get(&token)
            .unwrap_or_else(|| panic!("oops: {token:#x} is no queue")))
    }

    fn queue_interrupt(&self, token: u64) -> Handled {
        self.known(token, |known| {
            if known.queue.borrow().more_used() {
                Handled::Queue(known.device, known.index)
            } else {
                Handled::Nothing(known.device, known.index)
            }
        })
    }

    fn config_changed(&self, token: u64) -> Handled {
        self.known(token, |known| {
            let device = known.device;
            if self.release.defers_config_changes && !self.ready.borrow().contains(&device) {
                return Handled::Deferred(device);
            }
            let bound = self.bound.borrow().contains(&device);
            assert!(bound, "oops: calls through a driver that is not there");
            Handled::Config(device)
        })
    }
}
