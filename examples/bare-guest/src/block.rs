// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The block driver (virtio 1.2, section 5.2, legacy byte order), and the check of a disk.

use core::cell::UnsafeCell;

use bare_guest::options::{Foreign, Options};
use bare_guest::pattern::{self, Form, SECTOR};
use bare_guest::stress::{self, Action, Content, Step, DEPTH};

use crate::console::say;
use crate::cpu::Deadline;
use crate::dma::Dma;
use crate::virtio::{self, Device, Failure, Queue, F_EVENT_IDX, PATIENCE};

const F_READ_ONLY: u32 = 1 << 5;
const F_FLUSH: u32 = 1 << 9;
const F_WRITE_ZEROES: u32 = 1 << 14;

const T_IN: u32 = 0;
const T_OUT: u32 = 1;
const T_FLUSH: u32 = 4;
const T_WRITE_ZEROES: u32 = 13;

const S_OK: u8 = 0;
const S_IOERR: u8 = 1;

/// Sectors in one request.
const BATCH: usize = 4;

static HEADER: Dma<16> = Dma::new();
static DATA: Dma<{ BATCH * SECTOR }> = Dma::new();
static STATUS: Dma<1> = Dma::new();

/// Bytes of the longest request of random I/O.
const STRESS_BYTES: usize = stress::BLOCK_SECTORS as usize * SECTOR;
const STRESS_SECTORS: usize = stress::MAX_SECTORS as usize;

static HEADERS: Dma<{ DEPTH * 16 }> = Dma::new();
static BLOCKS: Dma<{ DEPTH * STRESS_BYTES }> = Dma::new();
static STATUSES: Dma<DEPTH> = Dma::new();
/// What the disk holds, as far as random I/O goes; too much for the stack.
static KNOWN: Known = Known(UnsafeCell::new([Content::Zeros; STRESS_SECTORS]));

struct Known(UnsafeCell<[Content; STRESS_SECTORS]>);

// SAFETY: one CPU, and no use from interruption handlers.
unsafe impl Sync for Known {}

struct Disk {
    queue: Queue,
    capacity: u64,
}

/// Drives a block device through a check.
pub fn run(device: &mut Device, options: &Options) -> Result<(), Failure> {
    let features = device.begin(F_READ_ONLY | F_FLUSH | F_WRITE_ZEROES | F_EVENT_IDX)?;
    let capacity = u64::from_be_bytes(device.config(0)?);
    let queue = virtio::find_vq(device, 0)?;
    device.driver_ok()?;
    let mut disk = Disk { queue, capacity };
    say!(
        "block: {capacity} sectors{}{}",
        [", read-write", ", read-only"][usize::from(features & F_READ_ONLY != 0)],
        ["", ", flush"][usize::from(features & F_FLUSH != 0)],
    );
    match options.stress {
        Some(seed) => disk.stress(features, seed, options)?,
        None => disk.check(features, options)?,
    }
    Ok(virtio::finish(device, [disk.queue])?)
}

impl Disk {
    /// Random I/O with many requests in flight. After each round, which ends with a flush, it
    /// says so.
    fn stress(&mut self, features: u32, seed: u32, options: &Options) -> Result<(), Failure> {
        let sectors = self.capacity.min(stress::MAX_SECTORS.into()) as u32;
        if sectors < DEPTH as u32 * stress::BLOCK_SECTORS || features & F_READ_ONLY != 0 {
            return Err(Failure::Wrong("not a disk for random I/O"));
        }
        // SAFETY: disks are driven one after the other, and this is the only use.
        let known = unsafe { &mut *KNOWN.0.get() };
        known.fill(Content::Zeros);
        stress::replay(seed, options.stress_round, sectors, known);
        let mut round = options.stress_round;
        say!("stress: {sectors} sectors from round {round} on");
        loop {
            let steps = stress::round(seed, round, sectors);
            self.round(&steps, round, features, known)?;
            for step in &steps {
                stress::apply(step, round, known);
            }
            self.request(T_FLUSH, 0, 0).and_then(expect_ok)?;
            say!("stress: round {round} flushed");
            round += 1;
            if round - options.stress_round == options.stress_rounds {
                return Ok(());
            }
        }
    }

    /// All requests of a round at once.
    fn round(
        &mut self,
        steps: &[Step; DEPTH],
        round: u32,
        features: u32,
        known: &[Content],
    ) -> Result<(), Failure> {
        let mut heads = [u16::MAX; DEPTH];
        for (i, step) in steps.iter().enumerate() {
            heads[i] = self.begin(i, step, round, features)?;
        }
        self.queue.kick()?;
        for _ in steps {
            let used = virtio::next_used(&mut self.queue, Deadline::after(PATIENCE))?;
            let i = heads.iter().position(|&head| head == used.head);
            let i = i.ok_or(Failure::Wrong("an unknown request came back"))?;
            heads[i] = u16::MAX;
            let mut status = [0];
            STATUSES.get(i, &mut status);
            expect_ok(status[0])?;
            if steps[i].action == Action::Read {
                compare(i, &steps[i], known)?;
            }
        }
        Ok(())
    }

    /// Makes a request of a round available.
    fn begin(&mut self, i: usize, step: &Step, round: u32, features: u32) -> Result<u16, Failure> {
        let (start, len) = (i * STRESS_BYTES, step.count as usize * SECTOR);
        let by_command = step.action == Action::Zero && features & F_WRITE_ZEROES != 0;
        let kind = match step.action {
            Action::Read => T_IN,
            _ if by_command => T_WRITE_ZEROES,
            _ => T_OUT,
        };
        HEADERS.put(i * 16, &kind.to_be_bytes());
        HEADERS.put(i * 16 + 4, &[0; 4]);
        HEADERS.put(i * 16 + 8, &u64::from(step.sector).to_be_bytes());
        STATUSES.put(i, &[0xff]);
        let data = if kind == T_IN {
            BLOCKS.put(start, &[0xee; STRESS_BYTES]);
            BLOCKS.writable_at(start, len)
        } else if by_command {
            // Ranges are little-endian on every transport.
            BLOCKS.put(start, &u64::from(step.sector).to_le_bytes());
            BLOCKS.put(start + 8, &step.count.to_le_bytes());
            // Unmapped every other time.
            BLOCKS.put(start + 12, &(round & 1).to_le_bytes());
            BLOCKS.readable_at(start, 16)
        } else {
            let content = Content::after(step, round).unwrap_or_default();
            for n in 0..step.count {
                let bytes = content.bytes(step.sector + n);
                BLOCKS.put(start + n as usize * SECTOR, &bytes);
            }
            BLOCKS.readable_at(start, len)
        };
        let header = HEADERS.readable_at(i * 16, 16);
        Ok(self
            .queue
            .add(&[header, data, STATUSES.writable_at(i, 1)])?)
    }

    fn check(&mut self, features: u32, options: &Options) -> Result<(), Failure> {
        let count = u64::from(options.sectors).min(self.capacity);
        if count == 0 {
            say!("block: nothing to check");
            return Ok(());
        }
        let writable = features & F_READ_ONLY == 0;
        let mut sector = [0; SECTOR];
        self.read(0, 1)?;
        DATA.get(0, &mut sector);
        if pattern::recognise(0, &sector).is_none() {
            if options.foreign == Foreign::Keep || !writable {
                say!("block: sector 0 read, no test pattern, left alone");
                return Ok(());
            }
            for number in 0..count {
                self.write(number, Form::Plain)?;
            }
            say!("block: {count} sectors formatted");
        }

        // Every sector is where it belongs; every other one changes its form.
        self.verify(count, |_, _| true)?;
        let mut rewritten = 0;
        if writable {
            for number in (0..count).step_by(2) {
                let form = self.form(number)?;
                self.write(number, form.other())?;
                self.verify_one(number, form.other())?;
                rewritten += 1;
            }
        }
        say!("block: {count} sectors verified, {rewritten} rewritten");
        if features & F_FLUSH != 0 && writable {
            self.request(T_FLUSH, 0, 0).and_then(expect_ok)?;
            say!("block: flushed");
        }
        self.verify(count, |_, _| true)?;
        say!("block: {count} sectors verified again");

        match self.request(T_IN, self.capacity, 1)? {
            S_OK => Err(Failure::Wrong("a read past the end succeeded")),
            S_IOERR => {
                say!("block: read past the end refused");
                Ok(())
            }
            _ => Err(Failure::Wrong("a read past the end is no I/O error")),
        }
    }

    /// Reads the first `count` sectors in batches; each must hold the pattern, in a form that
    /// `wanted` accepts.
    fn verify(&mut self, count: u64, wanted: impl Fn(u64, Form) -> bool) -> Result<(), Failure> {
        self.verify_range(0, count, wanted)
    }

    fn verify_one(&mut self, number: u64, form: Form) -> Result<(), Failure> {
        self.verify_range(number, number + 1, |_, found| found == form)
    }

    fn verify_range(
        &mut self,
        start: u64,
        end: u64,
        wanted: impl Fn(u64, Form) -> bool,
    ) -> Result<(), Failure> {
        let mut first = start;
        while first < end {
            let batch = (end - first).min(BATCH as u64);
            self.read(first, batch as usize)?;
            for i in 0..batch {
                let mut sector = [0; SECTOR];
                DATA.get(i as usize * SECTOR, &mut sector);
                let form = pattern::recognise(first + i, &sector);
                if !form.is_some_and(|form| wanted(first + i, form)) {
                    say!("block: sector {} is damaged", first + i);
                    return Err(Failure::Wrong("the disk does not hold what it should"));
                }
            }
            first += batch;
        }
        Ok(())
    }

    /// The form of a sector that holds the pattern.
    fn form(&mut self, number: u64) -> Result<Form, Failure> {
        self.read(number, 1)?;
        let mut sector = [0; SECTOR];
        DATA.get(0, &mut sector);
        pattern::recognise(number, &sector).ok_or(Failure::Wrong("a sector has changed"))
    }

    fn read(&mut self, sector: u64, count: usize) -> Result<(), Failure> {
        DATA.put(0, &[0; BATCH * SECTOR]);
        self.request(T_IN, sector, count).and_then(expect_ok)
    }

    fn write(&mut self, sector: u64, form: Form) -> Result<(), Failure> {
        DATA.put(0, &pattern::sector(sector, form));
        self.request(T_OUT, sector, 1).and_then(expect_ok)
    }

    /// One request from end to end; the result is the device's status byte.
    fn request(&mut self, kind: u32, sector: u64, sectors: usize) -> Result<u8, Failure> {
        HEADER.put(0, &kind.to_be_bytes());
        HEADER.put(4, &[0; 4]);
        HEADER.put(8, &sector.to_be_bytes());
        STATUS.put(0, &[0xff]);
        let header = HEADER.readable(16);
        let status = STATUS.writable(1);
        let data = match kind {
            T_IN => DATA.writable(sectors * SECTOR),
            _ => DATA.readable(sectors * SECTOR),
        };
        let head = match kind {
            T_FLUSH => self.queue.add(&[header, status])?,
            _ => self.queue.add(&[header, data, status])?,
        };
        self.queue.kick()?;
        let used = virtio::next_used(&mut self.queue, Deadline::after(PATIENCE))?;
        if used.head != head {
            return Err(Failure::Wrong("another request came back"));
        }
        let mut status = [0];
        STATUS.get(0, &mut status);
        Ok(status[0])
    }
}

/// Whether what was read is what the disk is known to hold.
fn compare(i: usize, step: &Step, known: &[Content]) -> Result<(), Failure> {
    for n in 0..step.count {
        let mut sector = [0; SECTOR];
        BLOCKS.get(i * STRESS_BYTES + n as usize * SECTOR, &mut sector);
        let number = step.sector + n;
        if sector != known[number as usize].bytes(number) {
            say!("stress: sector {number} is damaged");
            return Err(Failure::Wrong("the disk does not hold what it should"));
        }
    }
    Ok(())
}

fn expect_ok(status: u8) -> Result<(), Failure> {
    match status {
        S_OK => Ok(()),
        S_IOERR => Err(Failure::Wrong("I/O error")),
        _ => Err(Failure::Wrong("the device does not know the request")),
    }
}
