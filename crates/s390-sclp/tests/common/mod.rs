// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine with nothing but memory and a SCLP, and memory that writes down how it is used.
#![allow(dead_code)]

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use s390_sclp::{Completion, Config, ProgramInterruption, Sclp};
use vm_memory::bitmap::BS;
use vm_memory::guest_memory::GuestMemorySliceIterator;
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryMmap, Permissions};

pub const RAM: u64 = 1 << 20;
/// An SCCB address that is good, on a page of its own.
pub const SCCB: u32 = 0x8000;

pub const READ_SCP_INFO: u32 = 0x0002_0001;
pub const READ_SCP_INFO_FORCED: u32 = 0x0012_0001;
pub const READ_CPU_INFO: u32 = 0x0001_0001;
pub const WRITE_EVENT_MASK: u32 = 0x0078_0005;
pub const WRITE_EVENT_DATA: u32 = 0x0076_0005;
pub const READ_EVENT_DATA: u32 = 0x0077_0005;

pub const VT220: u32 = 0x40;
pub const QUIESCE: u32 = 0x8;
pub const OPERATOR_COMMAND: u32 = 0x8000_0000;
pub const PRIORITY_MESSAGE: u32 = 0x0080_0000;

/// Guest memory that writes down every access: (write, address, count).
pub struct LoggedMemory {
    pub mem: GuestMemoryMmap<()>,
    pub log: RefCell<Vec<(bool, u64, usize)>>,
}

impl GuestMemory for LoggedMemory {
    type PhysicalMemory = GuestMemoryMmap<()>;
    type Bitmap = ();

    fn check_range(&self, addr: GuestAddress, count: usize, access: Permissions) -> bool {
        GuestMemory::check_range(&self.mem, addr, count, access)
    }

    fn get_slices<'a>(
        &'a self,
        addr: GuestAddress,
        count: usize,
        access: Permissions,
    ) -> Result<impl GuestMemorySliceIterator<'a, BS<'a, ()>>, vm_memory::GuestMemoryError> {
        let write = access.has_write();
        self.log.borrow_mut().push((write, addr.0, count));
        GuestMemory::get_slices(&self.mem, addr, count, access)
    }
}

pub struct Machine {
    pub sclp: Sclp,
    pub memory: LoggedMemory,
    pub output: Arc<Mutex<Vec<u8>>>,
}

impl Machine {
    /// RAM, and as much memory again behind it that is none.
    pub fn new(config: Config) -> Self {
        let output = Arc::new(Mutex::new(Vec::new()));
        let sink = output.clone();
        let sink = Box::new(move |bytes: &[u8]| sink.lock().unwrap().extend(bytes));
        let ranges = [(GuestAddress(0), 2 * RAM as usize)];
        Machine {
            sclp: Sclp::new(config, sink).unwrap(),
            memory: LoggedMemory {
                mem: GuestMemoryMmap::from_ranges(&ranges).unwrap(),
                log: RefCell::default(),
            },
            output,
        }
    }

    pub fn small() -> Self {
        Self::new(Config::new(RAM, 1))
    }

    /// One service call from a CPU whose prefix is 0x4000, at any address.
    pub fn call_at(
        &mut self,
        command: u32,
        at: u32,
        sccb: &[u8],
    ) -> Result<Completion, ProgramInterruption> {
        let _ = self.memory.mem.write(sccb, GuestAddress(at.into()));
        self.sclp.service_call(command, at, 0x4000, &self.memory)
    }

    /// One service call, with the SCCB as it is afterwards.
    pub fn call(&mut self, command: u32, sccb: &[u8]) -> (Completion, Vec<u8>) {
        let completion = self.call_at(command, SCCB, sccb).unwrap();
        assert_eq!(completion.cc, 0);
        assert_eq!(completion.parameter & !1, SCCB);
        (completion, self.read(SCCB, sccb.len()))
    }

    /// One service call, with its response code.
    pub fn response(&mut self, command: u32, sccb: &[u8]) -> u16 {
        let (_, sccb) = self.call(command, sccb);
        u16::from_be_bytes([sccb[6], sccb[7]])
    }

    pub fn read(&self, at: u32, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mem = &self.memory.mem;
        mem.read_slice(&mut bytes, GuestAddress(at.into())).unwrap();
        bytes
    }

    /// Sets the guest's receive mask; tells whether the completion shows a pending event.
    pub fn listen(&mut self, receive_mask: u32) -> bool {
        let mut data = vec![0, 0, 0, 4];
        data.extend(receive_mask.to_be_bytes());
        data.extend([0; 12]);
        let (completion, sccb) = self.call(WRITE_EVENT_MASK, &sccb(0, &data));
        assert_eq!(sccb[6..8], [0x00, 0x20]);
        completion.parameter & 1 != 0
    }

    /// Writes one event; returns the response code.
    pub fn write_event(&mut self, event_type: u8, data: &[u8]) -> u16 {
        self.response(WRITE_EVENT_DATA, &sccb(0, &event(event_type, data)))
    }

    /// Reads events into a SCCB of `length` bytes, variable length allowed. Returns the response
    /// code, the event buffers, and whether more are pending.
    pub fn read_events(&mut self, length: usize) -> (u16, Vec<u8>, bool) {
        let mut request = sccb(0, &vec![0xee; length - 8]);
        request[5] = 0x80;
        let (completion, answer) = self.call(READ_EVENT_DATA, &request);
        let response = u16::from_be_bytes([answer[6], answer[7]]);
        let length = usize::from(u16::from_be_bytes([answer[0], answer[1]]));
        let events = match response {
            0x0020 => answer[8..length].to_vec(),
            _ => Vec::new(),
        };
        (response, events, completion.parameter & 1 != 0)
    }

    pub fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut *self.output.lock().unwrap())
    }
}

/// A SCCB with this function code and these bytes behind the header.
pub fn sccb(function: u8, data: &[u8]) -> Vec<u8> {
    let mut sccb = ((8 + data.len()) as u16).to_be_bytes().to_vec();
    sccb.extend([function, 0, 0, 0, 0, 0]);
    sccb.extend(data);
    sccb
}

/// An event buffer.
pub fn event(event_type: u8, data: &[u8]) -> Vec<u8> {
    let mut event = ((6 + data.len()) as u16).to_be_bytes().to_vec();
    event.extend([event_type, 0, 0, 0]);
    event.extend(data);
    event
}
