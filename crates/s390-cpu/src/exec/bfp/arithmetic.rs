// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Add, subtract, multiply, divide, square root, multiply and add.

use super::*;

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
            Ok(c.settle(format, &value, c.method()))
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
        _ => Ok(c.settle(to, &a.exact().multiply(b.exact()), c.method())),
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
            let value = a.exact().divide(b.exact(), format.precision());
            Ok(c.settle(format, &value, c.method()))
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
            let value = a.exact().square_root(format.precision());
            Ok(c.settle(format, &value, c.method()))
        }
    }
}

/// `a * b + addend`, or minus, rounded once: of NaNs those in the product come first, and none
/// counts where there is no product.
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
    if undefined {
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
            Ok(c.settle(format, &value, c.method()))
        }
    }
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

/// In the FPC: the masks, the inexact flag, the rounding mode.
const HOST_MASK: u32 = 0xf808_0007;
/// Nothing traps, the flag is set already, to nearest.
const HOST_STATE: u32 = 0x0008_0000;

/// A number that the host computes with as well.
trait Host: Copy {
    type Float;
    const FORMAT: Format;
    /// The number in register `n`.
    fn register(c: &Cpu, n: u8) -> Self;
    /// The storage operand.
    fn storage(c: &mut Cpu, i: &Insn) -> Result<Self, Trap>;
    fn set_register(self, c: &mut Cpu, n: u8);
    fn float(self) -> Self::Float;
    /// A result, unless it is close to overflow or underflow, or zero, infinite or a NaN.
    fn plain(result: Self::Float) -> Option<Self>;
    fn number(self) -> Number;
}

macro_rules! host {
    ($($t:ty, $float:ty, $format:ident, $f:ident, $set_f:ident, $load:ident, $fraction:literal, $max:literal;)*) => {$(
        impl Host for $t {
            type Float = $float;
            const FORMAT: Format = Format::$format;

            #[inline(always)]
            fn register(c: &Cpu, n: u8) -> Self {
                c.$f(n)
            }

            #[inline(always)]
            fn storage(c: &mut Cpu, i: &Insn) -> Result<Self, Trap> {
                c.$load(c.ea(i))
            }

            #[inline(always)]
            fn set_register(self, c: &mut Cpu, n: u8) {
                c.$set_f(n, self);
            }

            #[inline(always)]
            fn float(self) -> $float {
                <$float>::from_bits(self)
            }

            #[inline(always)]
            fn plain(result: $float) -> Option<Self> {
                let bits = result.to_bits();
                matches!(bits >> $fraction & $max, 2..$max).then_some(bits)
            }

            fn number(self) -> Number {
                Number::new(Self::FORMAT, self.into())
            }
        }
    )*};
}

host! {
    u32, f32, Short, f32, set_f32, load_u32, 23, 0xff;
    u64, f64, Long, f, set_f, load_u64, 52, 0x7ff;
}

/// An operation as the host does it where that makes no difference, else as `slow` does it. It
/// makes none where the result is plain and rounding is to nearest, but for the inexact flag:
/// which may be set already, and in most programs soon is.
#[inline(always)]
fn host_first<T: Host>(
    c: &mut Cpu,
    i: &Insn,
    b: T,
    host: impl Fn(T::Float, T::Float) -> T::Float,
    set_cc: bool,
    slow: fn(&mut Cpu, &Insn, Number, Number) -> Exec,
) -> Exec {
    let a = T::register(c, i.r1);
    if c.fpc & HOST_MASK == HOST_STATE {
        if let Some(result) = T::plain(host(a.float(), b.float())) {
            result.set_register(c, i.r1);
            if set_cc {
                c.set_cc(class_cc(&result.number()));
            }
            return Ok(Flow::Next);
        }
    }
    slow(c, i, a.number(), b.number())
}

macro_rules! host_forms {
    ($($(#[$doc:meta])* $register:ident $storage:ident($t:ty) = $slow:ident, $host:expr, cc $set_cc:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $register(c: &mut Cpu, i: &Insn) -> Exec {
            let b = <$t>::register(c, i.r2);
            host_first(c, i, b, $host, $set_cc, $slow)
        }

        $(#[$doc])*
        pub(crate) fn $storage(c: &mut Cpu, i: &Insn) -> Exec {
            let b = <$t>::storage(c, i)?;
            host_first(c, i, b, $host, $set_cc, $slow)
        }
    )*};
}

host_forms! {
    /// ADD (short).
    aebr aeb(u32) = add, |a, b| a + b, cc true;
    /// ADD (long).
    adbr adb(u64) = add, |a, b| a + b, cc true;
    /// SUBTRACT (short).
    sebr seb(u32) = subtract, |a, b| a - b, cc true;
    /// SUBTRACT (long).
    sdbr sdb(u64) = subtract, |a, b| a - b, cc true;
    /// MULTIPLY (short).
    meebr meeb(u32) = multiply, |a, b| a * b, cc false;
    /// MULTIPLY (long).
    mdbr mdb(u64) = multiply, |a, b| a * b, cc false;
    /// DIVIDE (short).
    debr deb(u32) = divide, |a, b| a / b, cc false;
    /// DIVIDE (long).
    ddbr ddb(u64) = divide, |a, b| a / b, cc false;
    /// SQUARE ROOT (short).
    sqebr sqeb(u32) = square_root, |_, b| b.sqrt(), cc false;
    /// SQUARE ROOT (long).
    sqdbr sqdb(u64) = square_root, |_, b| b.sqrt(), cc false;
}

register_forms! {
    /// ADD (extended).
    axbr(Extended) = add;
    /// SUBTRACT (extended).
    sxbr(Extended) = subtract;
    /// MULTIPLY (extended).
    mxbr(Extended) = multiply;
    /// MULTIPLY (short to long).
    mdebr(Short) = multiply_longer;
    /// MULTIPLY (long to extended).
    mxdbr(Long) = multiply_longer;
    /// DIVIDE (extended).
    dxbr(Extended) = divide;
    /// SQUARE ROOT (extended).
    sqxbr(Extended) = square_root;
}

storage_forms! {
    /// MULTIPLY (short to long).
    mdeb(Short) = multiply_longer;
}

/// MULTIPLY (long to extended).
pub(crate) fn mxdb(c: &mut Cpu, i: &Insn) -> Exec {
    c.check_fp(Format::Extended, &[i.r1])?;
    let b = c.fp_operand(i, Format::Long)?;
    multiply_longer(c, i, c.fp(Format::Long, i.r1), b)
}

/// MULTIPLY AND ADD and MULTIPLY AND SUBTRACT: R3 times the second operand, R1 added.
fn multiply_and(c: &mut Cpu, i: &Insn, format: Format, b: Number, subtract: bool) -> Exec {
    let (a, addend) = (c.fp(format, i.r3), c.fp(format, i.r1));
    let s = fused(c, format, a, b, addend, subtract)?;
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
