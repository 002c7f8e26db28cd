// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The registers of one CPU, and what the semantics of instructions need of them.

use std::sync::Arc;

use s390_extint::Psw;
use s390_hypervisor::{Intercept, ResetKind};

use crate::access::{Ram, Tlb};
use crate::block::Place;
use crate::cc::LazyCc;
use crate::dat::Spaces;
use crate::decode::Insn;
use crate::model::CpuModel;
use crate::shared::{CpuShared, Floating, Orders};
use crate::timing::{Clock, Timers};

/// How an instruction that completed hands over to the next one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next sequential instruction.
    Next,
    /// No instruction, but what follows the last one of a block.
    End,
    /// A branch to the address in the instruction's `imm`.
    Taken,
    /// A branch to [`Cpu::jump`].
    Jump,
    /// The next sequential instruction, after a look at PSW, interruptions and translation:
    /// something that blocks take for granted has changed.
    Sync,
    /// As `Sync`, but the PSW (address included) was replaced.
    NewPsw,
    /// Leave the interpreter with [`Cpu::intercept`]; the PSW points to the next instruction.
    Intercept,
    /// The same instruction again after a look at interruptions: it is interruptible and has
    /// recorded how far it came.
    Again,
    /// The block is stale; look the address up again.
    Stale,
}

/// An instruction did not complete; [`Cpu::fault`] says why.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trap(());

/// The outcome of one instruction.
pub(crate) type Exec = Result<Flow, Trap>;

/// Why an instruction did not complete.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A program interruption.
    Program(ProgramInterruption),
    /// The instruction wants to store into its own block: nothing happened yet, execute it
    /// again alone.
    OwnBlock,
    /// A storage access that would not have been fast while only those were wanted: nothing
    /// happened yet. Only [`crate::threaded`] gets to see this; see [`Cpu::fast_only`].
    NotFast,
}

/// A program interruption and what is stored with it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProgramInterruption {
    /// Interruption code, lowcore 0x8e.
    pub(crate) code: u16,
    /// The old PSW points to the instruction itself (nullification) instead of past it.
    pub(crate) nullifying: bool,
    /// Data-exception code, lowcore 0x93 and FPC byte 2, of a data exception.
    pub(crate) dxc: u8,
    /// Translation-exception identification, lowcore 0xa8, of an access exception.
    pub(crate) translation_id: u64,
    /// Exception access identification, lowcore 0xa0.
    pub(crate) access_id: u8,
    /// Operand access identification, lowcore 0xa2.
    pub(crate) operand_id: u8,
    /// Monitor class, lowcore 0x94, of a monitor event.
    pub(crate) monitor_class: u8,
    /// Monitor code, lowcore 0xb0, of a monitor event.
    pub(crate) monitor_code: u64,
}

/// Program interruption codes (Principles of Operation, chapter 6).
pub(crate) mod pgm {
    pub(crate) const OPERATION: u16 = 0x01;
    pub(crate) const PRIVILEGED: u16 = 0x02;
    pub(crate) const EXECUTE: u16 = 0x03;
    pub(crate) const PROTECTION: u16 = 0x04;
    pub(crate) const ADDRESSING: u16 = 0x05;
    pub(crate) const SPECIFICATION: u16 = 0x06;
    pub(crate) const DATA: u16 = 0x07;
    pub(crate) const FIXED_OVERFLOW: u16 = 0x08;
    pub(crate) const FIXED_DIVIDE: u16 = 0x09;
    pub(crate) const DECIMAL_OVERFLOW: u16 = 0x0a;
    pub(crate) const DECIMAL_DIVIDE: u16 = 0x0b;
    pub(crate) const SEGMENT_TRANSLATION: u16 = 0x10;
    pub(crate) const PAGE_TRANSLATION: u16 = 0x11;
    pub(crate) const TRANSLATION_SPECIFICATION: u16 = 0x12;
    pub(crate) const SPECIAL_OPERATION: u16 = 0x13;
    pub(crate) const VECTOR_PROCESSING: u16 = 0x1b;
    pub(crate) const ALET_SPECIFICATION: u16 = 0x28;
    pub(crate) const ALEN_TRANSLATION: u16 = 0x29;
    pub(crate) const ASCE_TYPE: u16 = 0x38;
    pub(crate) const REGION_FIRST: u16 = 0x39;
    pub(crate) const REGION_SECOND: u16 = 0x3a;
    pub(crate) const REGION_THIRD: u16 = 0x3b;
    pub(crate) const MONITOR: u16 = 0x40;
}

/// General register number that always reads as zero: the base or index field 0.
pub(crate) const ZERO: u8 = 16;

/// The state of one CPU.
pub(crate) struct Cpu {
    /// General registers; those from 16 on are zero and never written. There is one for each
    /// number that fits, so that none has to be checked.
    gprs: [u64; 256],
    /// The condition code. The one in `psw_mask` does not count.
    pub(crate) cc: LazyCc,
    /// Bits of an address that the addressing mode leaves.
    pub(crate) addr_mask: u64,
    /// Where the block is that is running.
    pub(crate) place: Place,
    /// Target of [`Flow::Jump`].
    pub(crate) jump: u64,
    /// Whether an instruction that accesses storage only once shall trap with [`Fault::NotFast`]
    /// where that takes more than a few host instructions. So what runs nearly always needs not
    /// provide for a call, which makes it shorter.
    fast_only: bool,
    pub(crate) tlb: Tlb,
    pub(crate) ram: Ram,
    /// Number of the instruction space and decode mode: what the jump cache compares.
    pub(crate) fetch_tag: u64,
    pub(crate) spaces: Spaces,
    /// Access register of the operand that is being accessed, for the access-register mode.
    pub(crate) operand_ar: u8,
    /// A translation was purged; see [`Cpu::translation_changed`].
    pub(crate) translation_changed: bool,

    /// PSW bits 0 to 63, without the condition code.
    pub(crate) psw_mask: u64,
    /// The instruction address. While a block runs it is only right for the block's start.
    pub(crate) psw_addr: u64,
    pub(crate) fprs: [u64; 16],
    pub(crate) fpc: u32,
    pub(crate) acrs: [u32; 16],
    pub(crate) crs: [u64; 16],
    pub(crate) prefix: u32,
    pub(crate) todpr: u32,

    /// Why the last instruction trapped.
    pub(crate) fault: Fault,
    /// What [`Flow::Intercept`] hands out.
    pub(crate) intercept: Intercept,
    /// Length of the instruction that was intercepted last, in bytes.
    pub(crate) intercept_ilc: u8,
    /// Instructions executed since the CPU was made.
    pub(crate) instructions: u64,

    pub(crate) address: u16,
    pub(crate) model: CpuModel,
    pub(crate) timers: Timers,
    pub(crate) shared: Arc<CpuShared>,
    pub(crate) floating: Arc<Floating>,
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cpu")
            .field("psw", &self.psw())
            .field("gprs", &&self.gprs[..16])
            .finish_non_exhaustive()
    }
}

impl Cpu {
    pub(crate) fn new(
        address: u16,
        model: CpuModel,
        ram: Ram,
        clock: Arc<Clock>,
        floating: Arc<Floating>,
    ) -> Box<Self> {
        let mut cpu = Box::new(Cpu {
            gprs: [0; 256],
            cc: LazyCc::value(0),
            addr_mask: 0x00ff_ffff,
            place: Place::default(),
            jump: 0,
            fast_only: false,
            tlb: Tlb::new(),
            ram,
            fetch_tag: 0,
            spaces: Spaces::new(),
            operand_ar: 0,
            translation_changed: false,
            psw_mask: 0,
            psw_addr: 0,
            fprs: [0; 16],
            fpc: 0,
            acrs: [0; 16],
            crs: [0; 16],
            prefix: 0,
            todpr: 0,
            fault: Fault::OwnBlock,
            intercept: Intercept::default(),
            intercept_ilc: 0,
            instructions: 0,
            address,
            model,
            timers: Timers::new(clock),
            shared: Arc::default(),
            floating,
        });
        cpu.reset(ResetKind::Clear);
        cpu
    }

    /// The CPU resets (Principles of Operation, chapter 4, "Resets").
    pub(crate) fn reset(&mut self, kind: ResetKind) {
        self.shared.with_orders(Orders::clear);
        if kind != ResetKind::Normal {
            self.crs = [0; 16];
            self.crs[0] = 0xe0;
            self.crs[14] = 0xc200_0000;
            self.fpc = 0;
            self.prefix = 0;
            self.todpr = 0;
            self.timers.comparator = 0;
            self.timers.set_cpu_timer(0);
            self.set_psw(Psw::default());
        }
        if kind == ResetKind::Clear {
            self.gprs = [0; 256];
            self.fprs = [0; 16];
            self.acrs = [0; 16];
        }
        self.flush_translations();
    }

    /// SET PREFIX; the area is inside storage.
    pub(crate) fn set_prefix(&mut self, prefix: u32) {
        self.prefix = prefix;
        self.flush_translations();
    }

    // --- general registers ---------------------------------------------------------------

    /// General register `n`, all 64 bits. [`ZERO`] reads as zero.
    #[inline(always)]
    pub(crate) fn g(&self, n: u8) -> u64 {
        self.gprs[usize::from(n)]
    }

    /// Bits 32 to 63 of general register `n`.
    #[inline(always)]
    pub(crate) fn g32(&self, n: u8) -> u32 {
        self.g(n) as u32
    }

    #[inline(always)]
    pub(crate) fn set_g(&mut self, n: u8, value: u64) {
        debug_assert!(n < 16, "a general register");
        self.gprs[usize::from(n)] = value;
    }

    /// Replaces bits 32 to 63 of general register `n`; the others stay.
    #[inline(always)]
    pub(crate) fn set_g32(&mut self, n: u8, value: u32) {
        self.set_g(n, self.g(n) & !0xffff_ffff | u64::from(value));
    }

    /// Replaces the bits of general register `n` that belong to an address in the present
    /// addressing mode: all of them in the 64-bit mode, otherwise bits 32 to 63.
    #[inline(always)]
    pub(crate) fn set_g_address(&mut self, n: u8, value: u64) {
        if self.is_64bit() {
            self.set_g(n, value);
        } else {
            self.set_g32(n, value as u32);
        }
    }

    // --- addresses -----------------------------------------------------------------------

    #[inline(always)]
    pub(crate) fn is_64bit(&self) -> bool {
        self.addr_mask == u64::MAX
    }

    /// The storage operand address of `i`: base, index and displacement (D1(B1) of formats
    /// with two storage operands).
    #[inline(always)]
    pub(crate) fn ea(&self, i: &Insn) -> u64 {
        self.g(i.b)
            .wrapping_add(self.g(i.x))
            .wrapping_add(i.disp as u64)
            & self.addr_mask
    }

    /// The second storage operand address of `i`, D2(B2), of formats with two storage operands.
    #[inline(always)]
    pub(crate) fn ea2(&self, i: &Insn) -> u64 {
        self.g(i.b2).wrapping_add(i.imm as u64) & self.addr_mask
    }

    /// The address of instruction `i`, which is executing.
    #[inline(always)]
    pub(crate) fn insn_addr(&self, i: &Insn) -> u64 {
        self.place.addr.wrapping_add(i.offset()) & self.addr_mask
    }

    /// The address of the instruction after `i`. For the target of an EXECUTE this is the
    /// instruction after the EXECUTE.
    #[inline(always)]
    pub(crate) fn next_addr(&self, i: &Insn) -> u64 {
        self.place.addr.wrapping_add(i.offset() + u64::from(i.ilc)) & self.addr_mask
    }

    /// What BRANCH AND LINK and its like put in a register: the address of the next instruction,
    /// with the addressing-mode bit in the 31-bit mode.
    #[inline(always)]
    pub(crate) fn link_addr(&self, i: &Insn) -> u64 {
        let next = self.next_addr(i);
        if self.psw_mask & (Psw::EXTENDED | Psw::BASIC) == Psw::BASIC {
            next | 0x8000_0000
        } else {
            next
        }
    }

    // --- PSW -----------------------------------------------------------------------------

    /// The PSW with the condition code worked out.
    pub(crate) fn psw(&self) -> Psw {
        let mut psw = Psw {
            mask: self.psw_mask,
            addr: self.psw_addr,
        };
        psw.set_cc(self.cc.get());
        psw
    }

    /// Replaces the PSW. Whoever calls it from an instruction returns [`Flow::NewPsw`].
    pub(crate) fn set_psw(&mut self, psw: Psw) {
        self.psw_mask = psw.mask & !Psw::CC;
        self.psw_addr = psw.addr;
        self.cc = LazyCc::value(psw.cc());
        self.psw_mask_changed();
    }

    /// To be called after `psw_mask` or a control register changed: recomputes what is derived
    /// from them.
    pub(crate) fn psw_mask_changed(&mut self) {
        self.addr_mask = match self.psw_mask & (Psw::EXTENDED | Psw::BASIC) {
            0 => 0x00ff_ffff,
            Psw::BASIC => 0x7fff_ffff,
            _ => u64::MAX,
        };
        self.update_translation();
    }

    #[inline(always)]
    pub(crate) fn is_problem_state(&self) -> bool {
        self.psw_mask & Psw::PROBLEM != 0
    }

    #[inline(always)]
    pub(crate) fn set_cc(&mut self, cc: u8) {
        self.cc = LazyCc::value(cc);
    }

    // --- fast accesses only --------------------------------------------------------------

    #[inline(always)]
    pub(crate) fn is_fast_only(&self) -> bool {
        self.fast_only
    }

    /// From now on only fast accesses; see [`Cpu::with_slow_accesses`].
    #[inline(always)]
    pub(crate) fn want_fast_only(&mut self) {
        self.fast_only = true;
    }

    /// Calls `f` with all kinds of accesses allowed.
    pub(crate) fn with_slow_accesses<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let fast_only = std::mem::replace(&mut self.fast_only, false);
        let result = f(self);
        self.fast_only = fast_only;
        result
    }

    #[inline(always)]
    pub(crate) fn not_fast(&mut self) -> Trap {
        self.fault = Fault::NotFast;
        Trap(())
    }

    // --- traps ---------------------------------------------------------------------------

    /// Any program interruption.
    #[cold]
    pub(crate) fn trap(&mut self, fault: Fault) -> Trap {
        self.fault = fault;
        Trap(())
    }

    /// A program interruption without further data. The old PSW will point past the
    /// instruction (suppression, termination, completion).
    #[cold]
    pub(crate) fn program(&mut self, code: u16) -> Trap {
        self.trap(Fault::Program(ProgramInterruption {
            code,
            ..Default::default()
        }))
    }

    /// A specification exception.
    #[cold]
    pub(crate) fn specification(&mut self) -> Trap {
        self.program(pgm::SPECIFICATION)
    }

    /// A data exception with its data-exception code.
    #[cold]
    pub(crate) fn data(&mut self, dxc: u8) -> Trap {
        self.trap(Fault::Program(ProgramInterruption {
            code: pgm::DATA,
            dxc,
            ..Default::default()
        }))
    }

    /// Checks that `n` names an even-odd register pair.
    #[inline(always)]
    pub(crate) fn even(&mut self, n: u8) -> Result<(), Trap> {
        if n & 1 != 0 {
            return Err(self.specification());
        }
        Ok(())
    }

    /// After signed arithmetic that overflowed: the fixed-point-overflow interruption when the
    /// program mask asks for it. Call it with the condition code and results already set.
    #[inline(always)]
    pub(crate) fn fixed_overflow(&mut self, overflow: bool) -> Exec {
        // Program mask bit 20: fixed-point overflow.
        if overflow && self.psw_mask & 0x0800_0000_0000 != 0 {
            return Err(self.program(pgm::FIXED_OVERFLOW));
        }
        Ok(Flow::Next)
    }

    /// Hands the instruction to the host.
    pub(crate) fn intercept(&mut self, i: &Insn) -> Exec {
        let text = i.text();
        self.intercept = Intercept::instruction((text >> 32) as u16, text as u32);
        self.intercept_ilc = i.ilc;
        Ok(Flow::Intercept)
    }
}
