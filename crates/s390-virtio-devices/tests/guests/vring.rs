// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's half of a ring. It clears nothing, links its free descriptors through the table
//! in the ring, and trusts what it reads there.

use s390_vring::Buffer;
use vm_memory::{Bytes, GuestAddress};

use crate::common::{Machine, EINVAL, NOTIFY};
use crate::linux::{Bookkeeping, Release};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const NO_INTERRUPT: u16 = 1;
const NO_NOTIFY: u16 = 1;

pub struct Vring<'m> {
    machine: &'m Machine,
    release: &'static Release,
    pub base: u64,
    pub num: u16,
    indirect: bool,
    event_idx: bool,
    free_head: u16,
    pub num_free: u16,
    num_added: u16,
    last_used: u16,
    avail_idx: u16,
    avail_flags: u16,
    /// Heads in flight, with the address of their indirect table if they have one.
    in_flight: Vec<Option<Option<u64>>>,
    /// NOTIFY was answered with an error.
    pub broken: bool,
}

impl<'m> Vring<'m> {
    pub fn new(
        machine: &'m Machine,
        release: &'static Release,
        base: u64,
        num: u16,
        features: u32,
    ) -> Self {
        let ring = Vring {
            machine,
            release,
            base,
            num,
            indirect: features & 1 << 28 != 0,
            event_idx: features & 1 << 29 != 0,
            free_head: 0,
            num_free: num,
            num_added: 0,
            last_used: 0,
            avail_idx: 0,
            avail_flags: 0,
            in_flight: vec![None; num.into()],
            broken: false,
        };
        for i in 0..num - 1 {
            ring.store(ring.desc(i) + 14, i + 1);
        }
        ring
    }

    fn load(&self, addr: u64) -> u16 {
        let bytes = self.machine.memory.read_obj(GuestAddress(addr));
        u16::from_be_bytes(bytes.unwrap())
    }

    fn load_u32(&self, addr: u64) -> u32 {
        let bytes = self.machine.memory.read_obj(GuestAddress(addr));
        u32::from_be_bytes(bytes.unwrap())
    }

    fn store(&self, addr: u64, value: u16) {
        self.machine.write(addr, &value.to_be_bytes());
    }

    fn desc(&self, index: u16) -> u64 {
        assert!(index < self.num, "a link leads out of the table");
        self.base + 16 * u64::from(index)
    }

    /// Address of the available ring's flags.
    pub fn avail(&self) -> u64 {
        self.base + 16 * u64::from(self.num)
    }

    /// Address of the used ring's flags.
    pub fn used(&self) -> u64 {
        (self.avail() + 6 + 2 * u64::from(self.num)).next_multiple_of(4096)
    }

    fn used_event(&self) -> u64 {
        self.avail() + 4 + 2 * u64::from(self.num)
    }

    fn avail_event(&self) -> u64 {
        self.used() + 4 + 8 * u64::from(self.num)
    }

    /// Bytes of the ring, as the kernel maps it.
    pub fn len(&self) -> u64 {
        self.avail_event() + 2 - self.base
    }

    fn index(&self) -> u16 {
        match self.release.bookkeeping {
            Bookkeeping::InRing => self.load(self.avail() + 2),
            Bookkeeping::Shadow => self.avail_idx,
        }
    }

    fn set_index(&mut self, index: u16) {
        self.avail_idx = index;
        self.store(self.avail() + 2, index);
    }

    fn set_flags(&mut self, set: u16, clear: u16) {
        match self.release.bookkeeping {
            Bookkeeping::InRing => {
                let flags = self.load(self.avail());
                self.store(self.avail(), flags & !clear | set);
            }
            Bookkeeping::Shadow => {
                let flags = self.avail_flags & !clear | set;
                if flags != self.avail_flags && !self.event_idx {
                    self.store(self.avail(), flags);
                }
                self.avail_flags = flags;
            }
        }
    }

    fn flags(&self) -> u16 {
        match self.release.bookkeeping {
            Bookkeeping::InRing => self.load(self.avail()),
            Bookkeeping::Shadow => self.avail_flags,
        }
    }

    fn write_descriptor(&self, at: u64, buffer: &Buffer, next: bool) {
        let flags = if buffer.writable { WRITE } else { 0 } | if next { NEXT } else { 0 };
        self.machine.write(at, &buffer.addr.to_be_bytes());
        self.machine.write(at + 8, &buffer.len.to_be_bytes());
        self.store(at + 12, flags);
    }

    /// Adds a chain, through a table at `table` where those were negotiated and are worth it.
    pub fn add(&mut self, buffers: &[Buffer], table: u64) -> u16 {
        let head = self.free_head;
        let indirect = self.indirect && buffers.len() > 1 && self.num_free > 0;
        if indirect {
            for (i, buffer) in (0..).zip(buffers) {
                let at = table + 16 * i;
                self.write_descriptor(at, buffer, i as usize + 1 < buffers.len());
                self.store(at + 14, i as u16 + 1);
            }
            let at = self.desc(head);
            self.machine.write(at, &table.to_be_bytes());
            let len = 16 * buffers.len() as u32;
            self.machine.write(at + 8, &len.to_be_bytes());
            self.store(at + 12, INDIRECT);
            self.free_head = self.load(at + 14);
            self.num_free -= 1;
        } else {
            assert!(usize::from(self.num_free) >= buffers.len(), "no room");
            let mut index = head;
            for (i, buffer) in buffers.iter().enumerate() {
                let at = self.desc(index);
                self.write_descriptor(at, buffer, i + 1 < buffers.len());
                index = self.load(at + 14);
            }
            self.free_head = index;
            self.num_free -= buffers.len() as u16;
        }
        self.in_flight[usize::from(head)] = Some(indirect.then_some(table));
        let slot = u64::from(self.index() % self.num);
        self.store(self.avail() + 4 + 2 * slot, head);
        let index = self.index().wrapping_add(1);
        self.set_index(index);
        self.num_added += 1;
        head
    }

    /// Notifies the device if it wants to be.
    pub fn kick(&mut self) {
        let new = self.index();
        let old = new.wrapping_sub(std::mem::take(&mut self.num_added));
        let wanted = if self.event_idx {
            let event = self.load(self.avail_event());
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            self.load(self.used()) & NO_NOTIFY == 0
        };
        if wanted {
            self.notify();
        }
    }

    /// Notifies the device, whether it wants to be or not.
    pub fn notify(&mut self) {
        let answer = self.machine.diag(NOTIFY, self.base);
        assert!(answer == 0 || answer == EINVAL);
        self.broken |= answer == EINVAL && self.release.hears_notify;
    }

    pub fn more_used(&self) -> bool {
        self.last_used != self.load(self.used() + 2)
    }

    /// The next used chain: its head, and how much was written.
    pub fn get(&mut self) -> Option<(u16, u32)> {
        if self.broken || !self.more_used() {
            return None;
        }
        let at = self.used() + 4 + 8 * u64::from(self.last_used % self.num);
        let (id, len) = (self.load_u32(at), self.load_u32(at + 4));
        assert!(id < self.num.into(), "used id {id} out of range");
        let head = id as u16;
        assert!(self.detach(head), "used id {id} is not a head");
        self.last_used = self.last_used.wrapping_add(1);
        if self.event_idx && self.flags() & NO_INTERRUPT == 0 {
            self.store(self.used_event(), self.last_used);
        }
        Some((head, len))
    }

    /// Follows a chain through the ring to free it; whether there is one at `head`.
    fn detach(&mut self, head: u16) -> bool {
        let Some(table) = self.in_flight[usize::from(head)].take() else {
            return false;
        };
        let mut index = head;
        if self.load(self.desc(index) + 12) & INDIRECT != 0 {
            let addr = self.machine.read(self.desc(index), 8);
            let addr = u64::from_be_bytes(addr.try_into().unwrap());
            assert_eq!(Some(addr), table, "frees a table that is none");
        } else {
            assert_eq!(table, None, "leaks a table");
        }
        while self.load(self.desc(index) + 12) & NEXT != 0 {
            index = self.load(self.desc(index) + 14);
            self.num_free += 1;
            assert!(self.num_free <= self.num, "a chain that loops");
        }
        self.store(self.desc(index) + 14, self.free_head);
        self.free_head = head;
        self.num_free += 1;
        true
    }

    /// Wants no interruptions.
    pub fn disable_callbacks(&mut self) {
        self.set_flags(NO_INTERRUPT, 0);
    }

    /// Wants interruptions; false if there is something used already.
    pub fn enable_callbacks(&mut self) -> bool {
        self.set_flags(0, NO_INTERRUPT);
        if self.event_idx {
            self.store(self.used_event(), self.last_used);
        }
        !self.more_used()
    }

    /// Takes all buffers back from a device that was reset.
    pub fn detach_unused(&mut self) {
        for head in 0..self.num {
            if self.release.walks_ring_at_unbind {
                if self.detach(head) {
                    let index = self.index().wrapping_sub(1);
                    self.set_index(index);
                }
            } else {
                self.in_flight[usize::from(head)] = None;
                self.num_free = self.num;
            }
        }
        assert_eq!(self.num_free, self.num, "BUG_ON(num_free != num)");
    }
}
