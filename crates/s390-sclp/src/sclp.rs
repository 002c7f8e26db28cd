// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The SCLP itself: checks a service call, carries it out, says what to inject.

use std::fmt;

use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::console::{Console, ConsoleSink, Terminal};
use crate::event::{EventFacility, EventMask};
use crate::sccb::{Sccb, HEADER, PAGE};
use crate::{info, Command, Config, Error, Response};

/// External-interruption code of the service signal.
pub const SERVICE_SIGNAL: u16 = 0x2401;

/// Bit of the service signal's parameter: the guest has an event to read.
pub const EVENT_PENDING: u32 = 1;

/// The lowcore and its alias at the prefix, both closed to SCCBs, are this large.
const PREFIX_AREA: u32 = 8192;

/// A service call that was accepted and is complete already.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Condition code for the guest's PSW: always 0, as no call is ever left in progress.
    pub cc: u8,
    /// External-interruption parameter of the service signal (code [`SERVICE_SIGNAL`]) to inject:
    /// the address of the SCCB, and [`EVENT_PENDING`].
    pub parameter: u32,
}

/// A service call that ends with a program interruption instead.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ProgramInterruption {
    /// The SCCB is not in RAM.
    Addressing = 0x0005,
    /// The address of the SCCB is no doubleword below 2 GiB outside the prefix area, or the SCCB
    /// is shorter than its header.
    Specification = 0x0006,
}

impl ProgramInterruption {
    /// The program-interruption code.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// What became of console input.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct PushedInput {
    /// Bytes taken, from the start. Offer the rest again when [`Sclp::input_room`] is not 0.
    pub accepted: usize,
    /// Parameter of a service signal to inject now, if the guest listens.
    pub signal: Option<u32>,
}

/// The state of a [`Sclp`] between two service calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SclpState {
    /// Events that the guest reads.
    pub receive_mask: EventMask,
    /// Events that the guest writes.
    pub send_mask: EventMask,
    /// Console input that the guest has not read.
    pub input: Vec<u8>,
    /// The console that wrote last: input is for this one if the guest reads both.
    pub last_writer: Console,
    /// The guest is to be asked to shut down, and has not read so.
    pub quiesce: bool,
}

/// The service-call logical processor of one machine.
pub struct Sclp {
    config: Config,
    events: EventFacility,
}

impl Sclp {
    /// A SCLP as after power-on, whose console output goes to `sink`.
    ///
    /// # Errors
    ///
    /// If `config` describes no possible machine.
    pub fn new(config: Config, sink: Box<dyn ConsoleSink>) -> Result<Self, Error> {
        Self::from_state(config, sink, SclpState::default())
    }

    /// A SCLP that goes on from a saved state.
    ///
    /// # Errors
    ///
    /// If `config` describes no possible machine.
    pub fn from_state(
        config: Config,
        sink: Box<dyn ConsoleSink>,
        state: SclpState,
    ) -> Result<Self, Error> {
        config.check()?;
        let mut events = EventFacility::new(config.consoles, Terminal::new(sink));
        events.receive_mask = state.receive_mask;
        events.send_mask = state.send_mask;
        events.sources.quiesce = state.quiesce;
        events.sources.terminal.input = state.input.into();
        events.sources.terminal.last_writer = state.last_writer;
        Ok(Sclp { config, events })
    }

    /// The state to save.
    pub fn state(&self) -> SclpState {
        let terminal = &self.events.sources.terminal;
        SclpState {
            receive_mask: self.events.receive_mask,
            send_mask: self.events.send_mask,
            input: terminal.input.iter().copied().collect(),
            last_writer: terminal.last_writer,
            quiesce: self.events.sources.quiesce,
        }
    }

    /// The machine that the guest is told about.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Subsystem reset: masks, waiting input and a shutdown request are gone.
    pub fn reset(&mut self) {
        self.events.reset();
    }

    /// Carries out `SERVC`: the command word is in R1, the absolute address of the SCCB in R2, both
    /// 32 bits. `prefix` is the prefix of the CPU that calls. The caller has refused the
    /// instruction in problem state.
    ///
    /// The SCCB is read once and written once; when this returns, its response code is in guest
    /// memory and the service signal may be injected.
    ///
    /// # Errors
    ///
    /// The program interruption that the CPU takes instead; nothing was stored.
    pub fn service_call<M: GuestMemory + ?Sized>(
        &mut self,
        command: u32,
        sccb: u32,
        prefix: u32,
        mem: &M,
    ) -> Result<Completion, ProgramInterruption> {
        self.check_address(sccb, prefix)?;
        let at = GuestAddress(sccb.into());
        let addressing = |_| ProgramInterruption::Addressing;

        let mut header = [0; HEADER];
        mem.read_slice(&mut header, at).map_err(addressing)?;
        let length = usize::from(u16::from_be_bytes([header[0], header[1]]));
        if length < HEADER {
            return Err(ProgramInterruption::Specification);
        }
        let mut block = header.to_vec();
        let fits = length <= PAGE - sccb as usize % PAGE;
        if fits {
            block.resize(length, 0);
            mem.read_slice(
                &mut block[HEADER..],
                GuestAddress(u64::from(sccb) + HEADER as u64),
            )
            .map_err(addressing)?;
        }

        let mut block = Sccb::new(block);
        let response = match Command::decode(command) {
            Command::Storage | Command::Unknown(_) => Response::InvalidCommand,
            _ if !fits => Response::BoundaryViolation,
            Command::ReadScpInfo => info::read_scp_info(&self.config, &mut block),
            Command::ReadCpuInfo => info::read_cpu_info(&self.config, &mut block),
            Command::WriteEventMask => self.events.write_mask(&mut block),
            Command::WriteEventData => self.events.write_data(&mut block),
            Command::ReadEventData => self.events.read_data(&mut block),
        };
        block.set_response(response);
        mem.write_slice(block.bytes(), at).map_err(addressing)?;
        Ok(Completion {
            cc: 0,
            parameter: sccb | self.signal().unwrap_or(0),
        })
    }

    fn check_address(&self, sccb: u32, prefix: u32) -> Result<(), ProgramInterruption> {
        let area = sccb & !(PREFIX_AREA - 1);
        let in_prefix_area = area == 0 || area == prefix & !(PREFIX_AREA - 1);
        if sccb % 8 != 0 || sccb >> 31 != 0 || in_prefix_area {
            return Err(ProgramInterruption::Specification);
        }
        // Guest memory goes on behind RAM, with the virtio page and its rings.
        if u64::from(sccb) >= self.config.ram_size {
            return Err(ProgramInterruption::Addressing);
        }
        Ok(())
    }

    fn signal(&self) -> Option<u32> {
        self.events.is_pending().then_some(EVENT_PENDING)
    }

    /// Offers console input to the guest. It waits here, [`INPUT_CAPACITY`](crate::INPUT_CAPACITY)
    /// bytes at most, until the guest reads it.
    pub fn push_input(&mut self, bytes: &[u8]) -> PushedInput {
        let terminal = &mut self.events.sources.terminal;
        let accepted = bytes.len().min(terminal.room());
        terminal.input.extend(&bytes[..accepted]);
        PushedInput {
            accepted,
            signal: self.signal(),
        }
    }

    /// Bytes of input that can be taken now; grows when the guest reads.
    pub fn input_room(&self) -> usize {
        self.events.sources.terminal.room()
    }

    /// Whether the guest has asked for the input of a console that it has. Before that, input
    /// waits here, and a guest with another console may never ask.
    pub fn reads_input(&self) -> bool {
        self.events.reads_input()
    }

    /// Asks the guest to shut down. Returns the parameter of a service signal to inject, or `None`
    /// if the guest does not listen (yet; it is told if it ever does).
    #[must_use]
    pub fn request_shutdown(&mut self) -> Option<u32> {
        self.events.sources.quiesce = true;
        let listens = self
            .events
            .receive_mask
            .intersects(EventMask::SIGNAL_QUIESCE);
        listens.then_some(EVENT_PENDING)
    }
}

impl fmt::Debug for Sclp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sclp")
            .field("config", &self.config)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
