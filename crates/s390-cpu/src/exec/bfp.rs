// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Binary floating-point instructions: operands, special values, condition codes, exceptions.
//!
//! The arithmetic itself is in [`crate::bfp`]. Invalid operation and division by zero suppress
//! the instruction when they trap; overflow, underflow and inexact complete it first.

use crate::bfp::{round, Class, Exact, Format, Number, Rounding};
use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;

/// IEEE exceptions as in the mask byte, the flag byte and the data-exception code of the FPC.
const INVALID: u8 = 0x80;
const DIVIDE_BY_ZERO: u8 = 0x40;
const OVERFLOW: u8 = 0x20;
const UNDERFLOW: u8 = 0x10;
const INEXACT: u8 = 0x08;
/// In a data-exception code: the result was rounded up in magnitude.
const INCREMENTED: u8 = 0x04;

/// M4 bit that suppresses the inexact exception.
const SUPPRESS_INEXACT: u8 = 4;

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

    /// The rounding mode of an M3 field.
    fn rounding_m3(&mut self, m3: u8) -> Result<Rounding, Trap> {
        Ok(match m3 {
            0 => self.rounding(),
            1 => Rounding::NearestAway,
            3 => Rounding::PrepareShorter,
            4 => Rounding::NearestEven,
            5 => Rounding::TowardZero,
            6 => Rounding::TowardPlus,
            7 => Rounding::TowardMinus,
            _ => return Err(self.specification()),
        })
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
            Format::Short => self.read_u32(ea)?.into(),
            _ => self.read_u64(ea)?.into(),
        };
        Ok(Number::new(format, bits))
    }

    /// Rounds, and sorts out overflow, underflow and inexact.
    fn settle(
        &mut self,
        format: Format,
        value: &Exact,
        mode: Rounding,
        suppress_inexact: bool,
    ) -> Settled {
        let trap_overflow = self.is_masked_on(OVERFLOW);
        let trap_underflow = self.is_masked_on(UNDERFLOW);
        let r = round(format, value, mode, trap_overflow, trap_underflow);
        let inexactness = match (r.inexact, r.up) {
            (false, _) => 0,
            (true, false) => INEXACT,
            (true, true) => INEXACT | INCREMENTED,
        };
        if r.overflow {
            if trap_overflow {
                return Settled {
                    bits: r.bits,
                    trap: Some(OVERFLOW | inexactness),
                };
            }
            self.raise_flag(OVERFLOW);
        } else if r.tiny {
            if trap_underflow {
                return Settled {
                    bits: r.bits,
                    trap: Some(UNDERFLOW | inexactness),
                };
            }
            if r.inexact {
                self.raise_flag(UNDERFLOW);
            }
        }
        let trap = self.inexact(r.inexact && !suppress_inexact, inexactness);
        Settled { bits: r.bits, trap }
    }

    /// The inexact exception: the flag, or the data-exception code of the trap.
    fn inexact(&mut self, inexact: bool, code: u8) -> Option<u8> {
        if !inexact {
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

// --- arithmetic ------------------------------------------------------------------------------

fn sum(c: &mut Cpu, format: Format, a: Number, b: Number, subtract: bool) -> Result<Settled, Trap> {
    if let Some(nan) = c.nan_result(&[a, b], format)? {
        return Ok(nan);
    }
    let negative_b = b.negative != subtract;
    match (a.class, b.class) {
        (Class::Infinity, Class::Infinity) if a.negative != negative_b => c.invalid_result(format),
        (Class::Infinity, _) => Ok(Settled::exact(a.bits)),
        (_, Class::Infinity) => Ok(Settled::exact(signed(
            format.infinity(),
            format,
            negative_b,
        ))),
        _ => {
            let mode = c.rounding();
            let b = Exact {
                negative: negative_b,
                ..b.exact()
            };
            let value = a.exact().add(b, mode);
            Ok(c.settle(format, &value, mode, false))
        }
    }
}

fn product(c: &mut Cpu, to: Format, a: Number, b: Number) -> Result<Settled, Trap> {
    if let Some(nan) = c.nan_result(&[a, b], to)? {
        return Ok(nan);
    }
    let negative = a.negative != b.negative;
    match (a.class, b.class) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => c.invalid_result(to),
        (Class::Infinity, _) | (_, Class::Infinity) => {
            Ok(Settled::exact(signed(to.infinity(), to, negative)))
        }
        _ => {
            let mode = c.rounding();
            Ok(c.settle(to, &a.exact().multiply(b.exact()), mode, false))
        }
    }
}

fn quotient(c: &mut Cpu, format: Format, a: Number, b: Number) -> Result<Settled, Trap> {
    if let Some(nan) = c.nan_result(&[a, b], format)? {
        return Ok(nan);
    }
    let negative = a.negative != b.negative;
    match (a.class, b.class) {
        (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => c.invalid_result(format),
        (Class::Infinity, _) => Ok(Settled::exact(signed(format.infinity(), format, negative))),
        (_, Class::Infinity) | (Class::Zero, _) => Ok(Settled::exact(signed(0, format, negative))),
        (_, Class::Zero) => {
            c.suppressing(DIVIDE_BY_ZERO)?;
            Ok(Settled::exact(signed(format.infinity(), format, negative)))
        }
        _ => {
            let mode = c.rounding();
            let value = a.exact().divide(b.exact(), format.precision());
            Ok(c.settle(format, &value, mode, false))
        }
    }
}

fn root(c: &mut Cpu, format: Format, a: Number) -> Result<Settled, Trap> {
    if let Some(nan) = c.nan_result(&[a], format)? {
        return Ok(nan);
    }
    match a.class {
        Class::Zero => Ok(Settled::exact(a.bits)),
        _ if a.negative => c.invalid_result(format),
        Class::Infinity => Ok(Settled::exact(a.bits)),
        _ => {
            let mode = c.rounding();
            Ok(c.settle(
                format,
                &a.exact().square_root(format.precision()),
                mode,
                false,
            ))
        }
    }
}

/// `a * b + addend`, or minus, rounded once.
fn fused(
    c: &mut Cpu,
    format: Format,
    a: Number,
    b: Number,
    addend: Number,
    subtract: bool,
) -> Result<Settled, Trap> {
    let undefined = matches!(
        (a.class, b.class),
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity)
    );
    if undefined && !addend.is_signalling() {
        return c.invalid_result(format);
    }
    if let Some(nan) = c.nan_result(&[a, b, addend], format)? {
        return Ok(nan);
    }
    let negative = a.negative != b.negative;
    let negative_addend = addend.negative != subtract;
    let infinite = a.class == Class::Infinity || b.class == Class::Infinity;
    match addend.class {
        Class::Infinity if infinite && negative != negative_addend => c.invalid_result(format),
        _ if infinite => Ok(Settled::exact(signed(format.infinity(), format, negative))),
        Class::Infinity => Ok(Settled::exact(signed(
            format.infinity(),
            format,
            negative_addend,
        ))),
        _ => {
            let mode = c.rounding();
            let addend = Exact {
                negative: negative_addend,
                ..addend.exact()
            };
            let value = a.exact().multiply(b.exact()).add(addend, mode);
            Ok(c.settle(format, &value, mode, false))
        }
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

fn add(c: &mut Cpu, i: &Insn, a: Number, b: Number) -> Exec {
    let s = sum(c, a.format, a, b, false)?;
    store_cc(c, a.format, i.r1, s)
}

fn subtract(c: &mut Cpu, i: &Insn, a: Number, b: Number) -> Exec {
    let s = sum(c, a.format, a, b, true)?;
    store_cc(c, a.format, i.r1, s)
}

fn multiply(c: &mut Cpu, i: &Insn, a: Number, b: Number) -> Exec {
    let s = product(c, a.format, a, b)?;
    store(c, a.format, i.r1, s)
}

fn divide(c: &mut Cpu, i: &Insn, a: Number, b: Number) -> Exec {
    let s = quotient(c, a.format, a, b)?;
    store(c, a.format, i.r1, s)
}

fn square_root(c: &mut Cpu, i: &Insn, _: Number, b: Number) -> Exec {
    let s = root(c, b.format, b)?;
    store(c, b.format, i.r1, s)
}

/// The product of two short operands is exact in the long format, of two long ones in the
/// extended.
fn multiply_longer(c: &mut Cpu, i: &Insn, a: Number, b: Number) -> Exec {
    let to = if a.format == Format::Short {
        Format::Long
    } else {
        Format::Extended
    };
    c.check_fp(to, &[i.r1])?;
    let s = product(c, to, a, b)?;
    store(c, to, i.r1, s)
}

/// COMPARE: 0 equal, 1 low, 2 high, 3 unordered. A signalling NaN is invalid; in the signalling
/// forms a quiet one too.
fn compare_numbers(c: &mut Cpu, a: Number, b: Number, signal: bool) -> Exec {
    if a.is_nan() || b.is_nan() {
        if signal || a.is_signalling() || b.is_signalling() {
            c.suppressing(INVALID)?;
        }
        c.set_cc(3);
        return Ok(Flow::Next);
    }
    // Without the sign the bits of numbers are in their order.
    let key = |n: &Number| {
        let magnitude = (n.bits & !n.format.sign_bit()) as i128;
        if n.negative {
            -magnitude
        } else {
            magnitude
        }
    };
    c.set_cc(crate::exec::storage::compare(&key(&a), &key(&b)));
    Ok(Flow::Next)
}

fn compare(c: &mut Cpu, _: &Insn, a: Number, b: Number) -> Exec {
    compare_numbers(c, a, b, false)
}

fn compare_and_signal(c: &mut Cpu, _: &Insn, a: Number, b: Number) -> Exec {
    compare_numbers(c, a, b, true)
}

/// LOAD AND TEST: a signalling NaN is invalid and becomes quiet.
fn load_and_test(c: &mut Cpu, i: &Insn, _: Number, b: Number) -> Exec {
    let s = match c.nan_result(&[b], b.format)? {
        Some(nan) => nan,
        None => Settled::exact(b.bits),
    };
    store_cc(c, b.format, i.r1, s)
}

/// LOAD POSITIVE, NEGATIVE and COMPLEMENT change the sign of anything.
fn load_positive(c: &mut Cpu, i: &Insn, _: Number, b: Number) -> Exec {
    store_cc(
        c,
        b.format,
        i.r1,
        Settled::exact(b.bits & !b.format.sign_bit()),
    )
}

fn load_negative(c: &mut Cpu, i: &Insn, _: Number, b: Number) -> Exec {
    store_cc(
        c,
        b.format,
        i.r1,
        Settled::exact(b.bits | b.format.sign_bit()),
    )
}

fn load_complement(c: &mut Cpu, i: &Insn, _: Number, b: Number) -> Exec {
    store_cc(
        c,
        b.format,
        i.r1,
        Settled::exact(b.bits ^ b.format.sign_bit()),
    )
}

register_forms! {
    /// ADD (short).
    aebr(Short) = add;
    /// ADD (long).
    adbr(Long) = add;
    /// ADD (extended).
    axbr(Extended) = add;
    /// SUBTRACT (short).
    sebr(Short) = subtract;
    /// SUBTRACT (long).
    sdbr(Long) = subtract;
    /// SUBTRACT (extended).
    sxbr(Extended) = subtract;
    /// MULTIPLY (short).
    meebr(Short) = multiply;
    /// MULTIPLY (long).
    mdbr(Long) = multiply;
    /// MULTIPLY (extended).
    mxbr(Extended) = multiply;
    /// MULTIPLY (short to long).
    mdebr(Short) = multiply_longer;
    /// MULTIPLY (long to extended).
    mxdbr(Long) = multiply_longer;
    /// DIVIDE (short).
    debr(Short) = divide;
    /// DIVIDE (long).
    ddbr(Long) = divide;
    /// DIVIDE (extended).
    dxbr(Extended) = divide;
    /// SQUARE ROOT (short).
    sqebr(Short) = square_root;
    /// SQUARE ROOT (long).
    sqdbr(Long) = square_root;
    /// SQUARE ROOT (extended).
    sqxbr(Extended) = square_root;
    /// COMPARE (short).
    cebr(Short) = compare;
    /// COMPARE (long).
    cdbr(Long) = compare;
    /// COMPARE (extended).
    cxbr(Extended) = compare;
    /// COMPARE AND SIGNAL (short).
    kebr(Short) = compare_and_signal;
    /// COMPARE AND SIGNAL (long).
    kdbr(Long) = compare_and_signal;
    /// COMPARE AND SIGNAL (extended).
    kxbr(Extended) = compare_and_signal;
    /// LOAD AND TEST (short).
    ltebr(Short) = load_and_test;
    /// LOAD AND TEST (long).
    ltdbr(Long) = load_and_test;
    /// LOAD AND TEST (extended).
    ltxbr(Extended) = load_and_test;
    /// LOAD POSITIVE (short).
    lpebr(Short) = load_positive;
    /// LOAD POSITIVE (long).
    lpdbr(Long) = load_positive;
    /// LOAD POSITIVE (extended).
    lpxbr(Extended) = load_positive;
    /// LOAD NEGATIVE (short).
    lnebr(Short) = load_negative;
    /// LOAD NEGATIVE (long).
    lndbr(Long) = load_negative;
    /// LOAD NEGATIVE (extended).
    lnxbr(Extended) = load_negative;
    /// LOAD COMPLEMENT (short).
    lcebr(Short) = load_complement;
    /// LOAD COMPLEMENT (long).
    lcdbr(Long) = load_complement;
    /// LOAD COMPLEMENT (extended).
    lcxbr(Extended) = load_complement;
}

storage_forms! {
    /// ADD (short).
    aeb(Short) = add;
    /// ADD (long).
    adb(Long) = add;
    /// SUBTRACT (short).
    seb(Short) = subtract;
    /// SUBTRACT (long).
    sdb(Long) = subtract;
    /// MULTIPLY (short).
    meeb(Short) = multiply;
    /// MULTIPLY (long).
    mdb(Long) = multiply;
    /// MULTIPLY (short to long).
    mdeb(Short) = multiply_longer;
    /// MULTIPLY (long to extended).
    mxdb(Long) = multiply_longer;
    /// DIVIDE (short).
    deb(Short) = divide;
    /// DIVIDE (long).
    ddb(Long) = divide;
    /// SQUARE ROOT (short).
    sqeb(Short) = square_root;
    /// SQUARE ROOT (long).
    sqdb(Long) = square_root;
    /// COMPARE (short).
    ceb(Short) = compare;
    /// COMPARE (long).
    cdb(Long) = compare;
    /// COMPARE AND SIGNAL (short).
    keb(Short) = compare_and_signal;
    /// COMPARE AND SIGNAL (long).
    kdb(Long) = compare_and_signal;
}

/// MULTIPLY AND ADD and MULTIPLY AND SUBTRACT: R3 times the second operand, R1 added.
fn multiply_and(c: &mut Cpu, i: &Insn, format: Format, b: Number, subtract: bool) -> Exec {
    let (a, addend) = (c.fp(format, i.r3), c.fp(format, i.r1));
    let s = fused(c, format, b, a, addend, subtract)?;
    store(c, format, i.r1, s)
}

macro_rules! fused_forms {
    ($($(#[$doc:meta])* $register:ident $storage:ident($format:ident, $subtract:literal);)*) => {$(
        $(#[$doc])*
        pub(crate) fn $register(c: &mut Cpu, i: &Insn) -> Exec {
            let b = c.fp(Format::$format, i.r2);
            multiply_and(c, i, Format::$format, b, $subtract)
        }

        $(#[$doc])*
        pub(crate) fn $storage(c: &mut Cpu, i: &Insn) -> Exec {
            let b = c.fp_operand(i, Format::$format)?;
            multiply_and(c, i, Format::$format, b, $subtract)
        }
    )*};
}

fused_forms! {
    /// MULTIPLY AND ADD (short).
    maebr maeb(Short, false);
    /// MULTIPLY AND ADD (long).
    madbr madb(Long, false);
    /// MULTIPLY AND SUBTRACT (short).
    msebr mseb(Short, true);
    /// MULTIPLY AND SUBTRACT (long).
    msdbr msdb(Long, true);
}

// --- between formats -------------------------------------------------------------------------

/// LOAD LENGTHENED and LOAD ROUNDED.
fn convert(
    c: &mut Cpu,
    r1: u8,
    b: Number,
    to: Format,
    mode: Rounding,
    suppress_inexact: bool,
) -> Exec {
    let s = if let Some(nan) = c.nan_result(&[b], to)? {
        nan
    } else if b.class == Class::Infinity {
        Settled::exact(signed(to.infinity(), to, b.negative))
    } else {
        c.settle(to, &b.exact(), mode, suppress_inexact)
    };
    store(c, to, r1, s)
}

macro_rules! lengthened {
    ($($(#[$doc:meta])* $register:ident $storage:ident($from:ident, $to:ident);)*) => {$(
        $(#[$doc])*
        pub(crate) fn $register(c: &mut Cpu, i: &Insn) -> Exec {
            c.check_fp(Format::$to, &[i.r1])?;
            let b = c.fp(Format::$from, i.r2);
            convert(c, i.r1, b, Format::$to, Rounding::NearestEven, false)
        }

        $(#[$doc])*
        pub(crate) fn $storage(c: &mut Cpu, i: &Insn) -> Exec {
            c.check_fp(Format::$to, &[i.r1])?;
            let b = c.fp_operand(i, Format::$from)?;
            convert(c, i.r1, b, Format::$to, Rounding::NearestEven, false)
        }
    )*};
}

lengthened! {
    /// LOAD LENGTHENED (short to long).
    ldebr ldeb(Short, Long);
    /// LOAD LENGTHENED (long to extended).
    lxdbr lxdb(Long, Extended);
    /// LOAD LENGTHENED (short to extended).
    lxebr lxeb(Short, Extended);
}

/// LOAD ROUNDED.
fn load_rounded(c: &mut Cpu, i: &Insn, from: Format, to: Format) -> Exec {
    // The result of an extended operand is in a pair, too.
    c.check_fp(from, &[i.r1, i.r2])?;
    let mode = c.rounding_m3(i.r3)?;
    let b = c.fp(from, i.r2);
    convert(c, i.r1, b, to, mode, i.m & SUPPRESS_INEXACT != 0)
}

/// LOAD ROUNDED (long to short).
pub(crate) fn ledbr(c: &mut Cpu, i: &Insn) -> Exec {
    load_rounded(c, i, Format::Long, Format::Short)
}

/// LOAD ROUNDED (extended to long).
pub(crate) fn ldxbr(c: &mut Cpu, i: &Insn) -> Exec {
    load_rounded(c, i, Format::Extended, Format::Long)
}

/// LOAD ROUNDED (extended to short).
pub(crate) fn lexbr(c: &mut Cpu, i: &Insn) -> Exec {
    load_rounded(c, i, Format::Extended, Format::Short)
}

/// LOAD FP INTEGER: rounds to an integer in the same format.
fn load_integer(c: &mut Cpu, i: &Insn, format: Format) -> Exec {
    c.check_fp(format, &[i.r1, i.r2])?;
    let mode = c.rounding_m3(i.r3)?;
    let b = c.fp(format, i.r2);
    if let Some(nan) = c.nan_result(&[b], format)? {
        return store(c, format, i.r1, nan);
    }
    let value = b.exact();
    if !matches!(b.class, Class::Finite { exponent, .. } if exponent < 0) {
        return store(c, format, i.r1, Settled::exact(b.bits));
    }
    let Some((magnitude, inexact, up)) = value.to_integer(mode) else {
        return store(c, format, i.r1, Settled::exact(b.bits));
    };
    let integer = Exact {
        significand: magnitude.into(),
        exponent: 0,
        ..value
    };
    let bits = round(format, &integer, mode, false, false).bits;
    let code = INEXACT | if up { INCREMENTED } else { 0 };
    let trap = c.inexact(inexact && i.m & SUPPRESS_INEXACT == 0, code);
    store(c, format, i.r1, Settled { bits, trap })
}

/// LOAD FP INTEGER (short).
pub(crate) fn fiebr(c: &mut Cpu, i: &Insn) -> Exec {
    load_integer(c, i, Format::Short)
}

/// LOAD FP INTEGER (long).
pub(crate) fn fidbr(c: &mut Cpu, i: &Insn) -> Exec {
    load_integer(c, i, Format::Long)
}

/// LOAD FP INTEGER (extended).
pub(crate) fn fixbr(c: &mut Cpu, i: &Insn) -> Exec {
    load_integer(c, i, Format::Extended)
}

// --- integers --------------------------------------------------------------------------------

/// CONVERT FROM FIXED and FROM LOGICAL.
fn from_integer(c: &mut Cpu, i: &Insn, to: Format, negative: bool, magnitude: u64) -> Exec {
    c.check_fp(to, &[i.r1])?;
    let mode = c.rounding_m3(i.r3)?;
    let s = c.settle(
        to,
        &Exact::integer(negative, magnitude),
        mode,
        i.m & SUPPRESS_INEXACT != 0,
    );
    store(c, to, i.r1, s)
}

/// What the target of CONVERT TO FIXED or TO LOGICAL holds.
#[derive(Copy, Clone)]
struct Integer {
    bits: u32,
    signed: bool,
}

/// CONVERT TO FIXED and TO LOGICAL: 0 zero, 1 negative, 2 positive, 3 does not fit.
fn to_integer(c: &mut Cpu, i: &Insn, from: Format, to: Integer) -> Exec {
    c.check_fp(from, &[i.r2])?;
    let mode = c.rounding_m3(i.r3)?;
    let b = c.fp(from, i.r2);
    let all = u64::MAX >> (64 - to.bits);
    let (highest, lowest) = if to.signed {
        (all >> 1, (all >> 1) + 1)
    } else {
        (all, 0)
    };
    let limit = if b.negative { lowest } else { highest };
    let fits = match b.class {
        Class::Zero => Some((0, false, false)),
        Class::Finite { .. } => b.exact().to_integer(mode).filter(|r| r.0 <= limit.into()),
        _ => None,
    };
    let (value, cc, trap) = match fits {
        Some((magnitude, inexact, up)) => {
            let code = INEXACT | if up { INCREMENTED } else { 0 };
            let trap = c.inexact(inexact && i.m & SUPPRESS_INEXACT == 0, code);
            let magnitude = magnitude as u64;
            let value = if b.negative {
                magnitude.wrapping_neg()
            } else {
                magnitude
            };
            (value, class_cc(&b), trap)
        }
        None => {
            c.suppressing(INVALID)?;
            let lowest = if to.signed { lowest } else { 0 };
            (
                if b.negative || b.is_nan() {
                    lowest
                } else {
                    highest
                },
                3,
                None,
            )
        }
    };
    if to.bits == 64 {
        c.set_g(i.r1, value);
    } else {
        c.set_g32(i.r1, value as u32);
    }
    c.set_cc(cc);
    c.complete(trap)
}

macro_rules! integers {
    ($($format:ident: $cfb:ident $cgb:ident $clfb:ident $clgb:ident $bcf:ident $bcg:ident $bclf:ident $bclg:ident;)*) => {$(
        /// CONVERT FROM FIXED (32).
        pub(crate) fn $cfb(c: &mut Cpu, i: &Insn) -> Exec {
            let v = c.g32(i.r2) as i32;
            from_integer(c, i, Format::$format, v < 0, v.unsigned_abs().into())
        }

        /// CONVERT FROM FIXED (64).
        pub(crate) fn $cgb(c: &mut Cpu, i: &Insn) -> Exec {
            let v = c.g(i.r2) as i64;
            from_integer(c, i, Format::$format, v < 0, v.unsigned_abs())
        }

        /// CONVERT FROM LOGICAL (32).
        pub(crate) fn $clfb(c: &mut Cpu, i: &Insn) -> Exec {
            from_integer(c, i, Format::$format, false, c.g32(i.r2).into())
        }

        /// CONVERT FROM LOGICAL (64).
        pub(crate) fn $clgb(c: &mut Cpu, i: &Insn) -> Exec {
            from_integer(c, i, Format::$format, false, c.g(i.r2))
        }

        /// CONVERT TO FIXED (32).
        pub(crate) fn $bcf(c: &mut Cpu, i: &Insn) -> Exec {
            to_integer(c, i, Format::$format, Integer { bits: 32, signed: true })
        }

        /// CONVERT TO FIXED (64).
        pub(crate) fn $bcg(c: &mut Cpu, i: &Insn) -> Exec {
            to_integer(c, i, Format::$format, Integer { bits: 64, signed: true })
        }

        /// CONVERT TO LOGICAL (32).
        pub(crate) fn $bclf(c: &mut Cpu, i: &Insn) -> Exec {
            to_integer(c, i, Format::$format, Integer { bits: 32, signed: false })
        }

        /// CONVERT TO LOGICAL (64).
        pub(crate) fn $bclg(c: &mut Cpu, i: &Insn) -> Exec {
            to_integer(c, i, Format::$format, Integer { bits: 64, signed: false })
        }
    )*};
}

integers! {
    Short: cefbr cegbr celfbr celgbr cfebr cgebr clfebr clgebr;
    Long: cdfbr cdgbr cdlfbr cdlgbr cfdbr cgdbr clfdbr clgdbr;
    Extended: cxfbr cxgbr cxlfbr cxlgbr cfxbr cgxbr clfxbr clgxbr;
}

/// TEST DATA CLASS: bits 52 to 63 of the operand address select classes, positive before
/// negative: zero, normal, subnormal, infinity, quiet NaN, signalling NaN.
fn test_class(c: &mut Cpu, i: &Insn, format: Format) -> Exec {
    c.check_fp(format, &[i.r1])?;
    let n = c.fp(format, i.r1);
    let pair = match n.class {
        Class::Zero => 0,
        Class::Finite {
            subnormal: false, ..
        } => 1,
        Class::Finite {
            subnormal: true, ..
        } => 2,
        Class::Infinity => 3,
        Class::QuietNan => 4,
        Class::SignallingNan => 5,
    };
    let bit = 0x800 >> (2 * pair + u32::from(n.negative));
    c.set_cc(u8::from(c.ea(i) & bit != 0));
    Ok(Flow::Next)
}

/// TEST DATA CLASS (short).
pub(crate) fn tceb(c: &mut Cpu, i: &Insn) -> Exec {
    test_class(c, i, Format::Short)
}

/// TEST DATA CLASS (long).
pub(crate) fn tcdb(c: &mut Cpu, i: &Insn) -> Exec {
    test_class(c, i, Format::Long)
}

/// TEST DATA CLASS (extended).
pub(crate) fn tcxb(c: &mut Cpu, i: &Insn) -> Exec {
    test_class(c, i, Format::Extended)
}
