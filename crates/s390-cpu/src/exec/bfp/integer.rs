// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Rounding to integers, conversion from and to fixed point.

use super::*;

/// LOAD FP INTEGER: rounds to an integer in the same format.
fn load_integer(c: &mut Cpu, i: &Insn, format: Format) -> Exec {
    c.check_fp(format, &[i.r1, i.r2])?;
    let method = c.method_m3(i)?;
    let b = c.fp(format, i.r2);
    if let Some(nan) = c.nan_result(&[b], format)? {
        return store(c, format, i.r1, nan);
    }
    let value = b.exact();
    if !matches!(b.class, Class::Finite { exponent, .. } if exponent < 0) {
        return store(c, format, i.r1, Settled::exact(b.bits));
    }
    let Some((magnitude, inexact, up)) = value.to_integer(method.mode) else {
        return store(c, format, i.r1, Settled::exact(b.bits));
    };
    let integer = Exact {
        significand: magnitude.into(),
        exponent: 0,
        ..value
    };
    let bits = round(format, &integer, method.mode, false, false).bits;
    let trap = c.inexact(inexact, up, method);
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

/// CONVERT FROM FIXED and FROM LOGICAL.
fn from_integer(c: &mut Cpu, i: &Insn, to: Format, negative: bool, magnitude: u64) -> Exec {
    c.check_fp(to, &[i.r1])?;
    let method = c.method_m3_m4(i)?;
    let s = c.settle(to, &Exact::integer(negative, magnitude), method);
    store(c, to, i.r1, s)
}

/// What the target of CONVERT TO FIXED or TO LOGICAL holds.
#[derive(Copy, Clone)]
struct Integer {
    bits: u32,
    signed: bool,
}

/// CONVERT TO FIXED and TO LOGICAL: 0 zero, 1 negative, 2 positive, 3 does not fit. What does not
/// fit is an invalid operation, and inexact as well.
fn to_integer(c: &mut Cpu, i: &Insn, from: Format, to: Integer) -> Exec {
    c.check_fp(from, &[i.r2])?;
    let method = c.method_m3(i)?;
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
        Class::Finite { .. } => b
            .exact()
            .to_integer(method.mode)
            .filter(|r| r.0 <= limit.into()),
        _ => None,
    };
    let (value, cc, trap) = match fits {
        Some((magnitude, inexact, up)) => {
            let trap = c.inexact(inexact, up, method);
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
            // Whatever is there instead is not the value.
            let trap = c.inexact(true, false, method);
            let low = b.negative || b.is_nan();
            (if low { lowest } else { highest }, 3, trap)
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
