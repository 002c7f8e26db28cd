// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Conversion between formats.

use super::*;

/// A number in another format, where that takes no rounding.
fn unrounded(c: &mut Cpu, b: &Number, to: Format) -> Result<Option<Settled>, Trap> {
    if b.class == Class::Infinity {
        let infinity = signed(to.infinity(), to, b.negative);
        return Ok(Some(Settled::exact(infinity)));
    }
    c.nan_result(&[*b], to)
}

/// LOAD LENGTHENED: exact.
fn load_lengthened(c: &mut Cpu, i: &Insn, b: Number, to: Format) -> Exec {
    let s = match unrounded(c, &b, to)? {
        Some(s) => s,
        None => c.settle(to, &b.exact(), c.method()),
    };
    store(c, to, i.r1, s)
}

macro_rules! lengthened {
    ($($(#[$doc:meta])* $register:ident $storage:ident($from:ident, $to:ident);)*) => {$(
        $(#[$doc])*
        pub(crate) fn $register(c: &mut Cpu, i: &Insn) -> Exec {
            c.check_fp(Format::$to, &[i.r1])?;
            let b = c.fp(Format::$from, i.r2);
            load_lengthened(c, i, b, Format::$to)
        }

        $(#[$doc])*
        pub(crate) fn $storage(c: &mut Cpu, i: &Insn) -> Exec {
            c.check_fp(Format::$to, &[i.r1])?;
            let b = c.fp_operand(i, Format::$from)?;
            load_lengthened(c, i, b, Format::$to)
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
    // A trapped result is as long as the operand: of an extended one it is in a pair, too.
    c.check_fp(from, &[i.r1, i.r2])?;
    let method = c.method_m3_m4(i)?;
    let b = c.fp(from, i.r2);
    if let Some(s) = unrounded(c, &b, to)? {
        return store(c, to, i.r1, s);
    }
    let value = b.exact();
    let s = c.settle(to, &value, method);
    let adjust = match s.trap {
        Some(code) if code & OVERFLOW != 0 => -from.quarter(),
        Some(code) if code & UNDERFLOW != 0 => from.quarter(),
        _ => return store(c, to, i.r1, s),
    };
    let (mut rounded, ..) = value.to_precision(to.precision(), method.mode);
    rounded.exponent += adjust;
    let bits = round(from, &rounded, method.mode, false, false).bits;
    store(c, from, i.r1, Settled { bits, ..s })
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
