// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Divide to integer.

use super::*;
use crate::bfp::integer_quotient;

/// DIVIDE TO INTEGER: R1 divided by R2 is an integer in R3, and a remainder in R1. A quotient
/// with more digits than the format has is divided in several steps: the remainder is what is
/// left to divide.
///
/// The condition code is 2 where there is more to divide, and one more if the exponent of the
/// quotient is out of range (the quotient has another one then), or it is no number.
fn divide_to_integer(c: &mut Cpu, i: &Insn, format: Format) -> Exec {
    if i.r1 == i.r2 || i.r1 == i.r3 || i.r2 == i.r3 {
        return Err(c.specification());
    }
    // Where other instructions have M3.
    let method = c.method_m3(&Insn {
        r3: i.m,
        m: 0,
        ..*i
    })?;
    let (a, b) = (c.fp(format, i.r1), c.fp(format, i.r2));
    let both = |c: &mut Cpu, s: Settled| {
        c.set_fp(format, i.r1, s.bits);
        c.set_fp(format, i.r3, s.bits);
        c.set_cc(1);
        Ok(Flow::Next)
    };
    if let Some(nan) = c.nan_result(&[a, b], format)? {
        return both(c, nan);
    }
    if a.class == Class::Infinity || b.class == Class::Zero {
        let s = c.invalid_result(format)?;
        return both(c, s);
    }
    if a.class == Class::Zero || b.class == Class::Infinity {
        // Nothing to divide: the dividend is the remainder.
        let zero = signed(0, format, a.negative != b.negative);
        c.set_fp(format, i.r3, zero);
        c.set_cc(0);
        return Ok(Flow::Next);
    }
    let (quotient, remainder, more) =
        a.exact()
            .divide_to_integer(b.exact(), format.precision(), method.mode);
    let (quotient, overflow) = integer_quotient(format, &quotient);
    // The remainder is exact unless the quotient was not rounded to the nearest.
    let s = c.settle(format, &remainder, c.method());
    c.set_fp(format, i.r3, quotient);
    c.set_cc(u8::from(more) << 1 | u8::from(overflow));
    store(c, format, i.r1, s)
}

/// DIVIDE TO INTEGER (short).
pub(crate) fn diebr(c: &mut Cpu, i: &Insn) -> Exec {
    divide_to_integer(c, i, Format::Short)
}

/// DIVIDE TO INTEGER (long).
pub(crate) fn didbr(c: &mut Cpu, i: &Insn) -> Exec {
    divide_to_integer(c, i, Format::Long)
}
