// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Binary floating-point instructions: operands, special values, condition codes, exceptions.
//!
//! The arithmetic itself is in [`crate::bfp`]. Invalid operation and division by zero suppress
//! the instruction when they trap; overflow, underflow and inexact complete it first.

mod arithmetic;
mod compare;
mod control;
mod convert;
mod divide;
mod integer;

pub(crate) use arithmetic::*;
pub(crate) use compare::*;
pub(crate) use control::*;
pub(crate) use convert::*;
pub(crate) use divide::*;
pub(crate) use integer::*;

use crate::bfp::{round, Class, Exact, Format, Number, Rounding};
use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;
use crate::model::facility;

/// IEEE exceptions as in the mask byte, the flag byte and the data-exception code of the FPC.
const INVALID: u8 = 0x80;
const DIVIDE_BY_ZERO: u8 = 0x40;
const OVERFLOW: u8 = 0x20;
const UNDERFLOW: u8 = 0x10;
const INEXACT: u8 = 0x08;
/// In a data-exception code: the result was rounded up in magnitude.
const INCREMENTED: u8 = 0x04;

/// How an instruction rounds.
#[derive(Copy, Clone, Debug)]
struct Method {
    mode: Rounding,
    /// An inexact result is no exception.
    suppress_inexact: bool,
}

/// A result, and the data exception that follows once it is stored.
struct Settled {
    bits: u128,
    trap: Option<u8>,
}

impl Settled {
    fn exact(bits: u128) -> Self {
        Settled { bits, trap: None }
    }
}

impl Cpu {
    fn is_masked_on(&self, exception: u8) -> bool {
        (self.fpc >> 24) as u8 & exception != 0
    }

    fn raise_flag(&mut self, exception: u8) {
        self.fpc |= u32::from(exception) << 16;
    }

    /// An exception that suppresses the instruction where it traps.
    fn suppressing(&mut self, exception: u8) -> Result<(), Trap> {
        if self.is_masked_on(exception) {
            return Err(self.data(exception));
        }
        self.raise_flag(exception);
        Ok(())
    }

    /// The rounding mode of the FPC.
    fn rounding(&self) -> Rounding {
        match self.fpc & 7 {
            1 => Rounding::TowardZero,
            2 => Rounding::TowardPlus,
            3 => Rounding::TowardMinus,
            7 => Rounding::PrepareShorter,
            _ => Rounding::NearestEven,
        }
    }

    /// The rounding method of the FPC.
    fn method(&self) -> Method {
        Method {
            mode: self.rounding(),
            suppress_inexact: false,
        }
    }

    /// The rounding method of an instruction with an M3 field, and an M4 field that came with the
    /// floating-point extension facility.
    fn method_m3(&mut self, i: &Insn) -> Result<Method, Trap> {
        let extended = self.model.has(facility::FLOATING_POINT_EXTENSION);
        let mode = match i.r3 {
            0 => self.rounding(),
            1 => Rounding::NearestAway,
            3 if extended => Rounding::PrepareShorter,
            4 => Rounding::NearestEven,
            5 => Rounding::TowardZero,
            6 => Rounding::TowardPlus,
            7 => Rounding::TowardMinus,
            _ => return Err(self.specification()),
        };
        Ok(Method {
            mode,
            suppress_inexact: extended && i.m & 4 != 0,
        })
    }

    /// The rounding method of an instruction both of whose fields came with the facility.
    fn method_m3_m4(&mut self, i: &Insn) -> Result<Method, Trap> {
        if self.model.has(facility::FLOATING_POINT_EXTENSION) {
            self.method_m3(i)
        } else {
            Ok(self.method())
        }
    }

    fn fp(&self, format: Format, r: u8) -> Number {
        let bits = match format {
            Format::Short => self.f32(r).into(),
            Format::Long => self.f(r).into(),
            Format::Extended => u128::from(self.f(r)) << 64 | u128::from(self.f(r | 2)),
        };
        Number::new(format, bits)
    }

    fn set_fp(&mut self, format: Format, r: u8, bits: u128) {
        match format {
            Format::Short => self.set_f32(r, bits as u32),
            Format::Long => self.set_f(r, bits as u64),
            Format::Extended => {
                self.set_f(r, (bits >> 64) as u64);
                self.set_f(r | 2, bits as u64);
            }
        }
    }

    /// Checks the registers that hold a value of this format.
    fn check_fp(&mut self, format: Format, registers: &[u8]) -> Result<(), Trap> {
        if format == Format::Extended {
            for &r in registers {
                self.fp_pair(r)?;
            }
        }
        Ok(())
    }

    /// Loads a storage operand.
    fn fp_operand(&mut self, i: &Insn, format: Format) -> Result<Number, Trap> {
        let ea = self.ea(i);
        let bits = match format {
            Format::Short => self.load_u32(ea)?.into(),
            _ => self.load_u64(ea)?.into(),
        };
        Ok(Number::new(format, bits))
    }

    /// Rounds, and sorts out overflow, underflow and inexact.
    fn settle(&mut self, format: Format, value: &Exact, method: Method) -> Settled {
        let trap_overflow = self.is_masked_on(OVERFLOW);
        let trap_underflow = self.is_masked_on(UNDERFLOW);
        let r = round(format, value, method.mode, trap_overflow, trap_underflow);
        let bits = r.bits;
        let trapped = |exception| Settled {
            bits,
            trap: Some(exception | inexact_code(r.inexact, r.up, method)),
        };
        if r.overflow {
            if trap_overflow {
                return trapped(OVERFLOW);
            }
            self.raise_flag(OVERFLOW);
        } else if r.tiny {
            if trap_underflow {
                return trapped(UNDERFLOW);
            }
            if r.inexact {
                self.raise_flag(UNDERFLOW);
            }
        }
        let trap = self.inexact(r.inexact, r.up, method);
        Settled { bits, trap }
    }

    /// The inexact exception: the flag, or the data-exception code of the trap.
    fn inexact(&mut self, inexact: bool, up: bool, method: Method) -> Option<u8> {
        let code = inexact_code(inexact, up, method);
        if code == 0 {
            return None;
        }
        if self.is_masked_on(INEXACT) {
            return Some(code);
        }
        self.raise_flag(INEXACT);
        None
    }

    /// The trap of an instruction that is otherwise done.
    fn complete(&mut self, trap: Option<u8>) -> Exec {
        match trap {
            Some(code) => Err(self.data(code)),
            None => Ok(Flow::Next),
        }
    }

    /// The result where an operand is a NaN: the first signalling one, else the first quiet one.
    fn nan_result(&mut self, operands: &[Number], to: Format) -> Result<Option<Settled>, Trap> {
        let signalling = operands.iter().find(|n| n.is_signalling());
        if signalling.is_some() {
            self.suppressing(INVALID)?;
        }
        let nan = signalling.or_else(|| operands.iter().find(|n| n.is_nan()));
        Ok(nan.map(|n| Settled::exact(n.quieted(to))))
    }

    /// An operation that has no result.
    fn invalid_result(&mut self, format: Format) -> Result<Settled, Trap> {
        self.suppressing(INVALID)?;
        Ok(Settled::exact(format.default_nan()))
    }
}

/// What an inexact result adds to a data-exception code.
fn inexact_code(inexact: bool, up: bool, method: Method) -> u8 {
    match (inexact && !method.suppress_inexact, up) {
        (false, _) => 0,
        (true, false) => INEXACT,
        (true, true) => INEXACT | INCREMENTED,
    }
}

/// The condition code of a result: 0 zero, 1 negative, 2 positive, 3 NaN.
fn class_cc(n: &Number) -> u8 {
    match n.class {
        Class::Zero => 0,
        Class::QuietNan | Class::SignallingNan => 3,
        _ if n.negative => 1,
        _ => 2,
    }
}

fn signed(bits: u128, format: Format, negative: bool) -> u128 {
    if negative {
        bits | format.sign_bit()
    } else {
        bits
    }
}

/// Stores a result without condition code.
fn store(c: &mut Cpu, format: Format, r: u8, s: Settled) -> Exec {
    c.set_fp(format, r, s.bits);
    c.complete(s.trap)
}

/// Stores a result and sets the condition code by it.
fn store_cc(c: &mut Cpu, format: Format, r: u8, s: Settled) -> Exec {
    c.set_fp(format, r, s.bits);
    c.set_cc(class_cc(&Number::new(format, s.bits)));
    c.complete(s.trap)
}
/// Instructions on the numbers in R1 and R2.
macro_rules! register_forms {
    ($($(#[$doc:meta])* $name:ident($format:ident) = $body:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            const FORMAT: Format = Format::$format;
            c.check_fp(FORMAT, &[i.r1, i.r2])?;
            let (a, b) = (c.fp(FORMAT, i.r1), c.fp(FORMAT, i.r2));
            let f: fn(&mut Cpu, &Insn, Number, Number) -> Exec = $body;
            f(c, i, a, b)
        }
    )*};
}
use register_forms;

/// Instructions on the numbers in R1 and storage.
macro_rules! storage_forms {
    ($($(#[$doc:meta])* $name:ident($format:ident) = $body:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            const FORMAT: Format = Format::$format;
            let b = c.fp_operand(i, FORMAT)?;
            let a = c.fp(FORMAT, i.r1);
            let f: fn(&mut Cpu, &Insn, Number, Number) -> Exec = $body;
            f(c, i, a, b)
        }
    )*};
}
use storage_forms;
