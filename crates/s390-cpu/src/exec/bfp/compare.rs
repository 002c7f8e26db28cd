// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Compare, load and test, signs, test data class.

use super::*;

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
    /// COMPARE (short).
    ceb(Short) = compare;
    /// COMPARE (long).
    cdb(Long) = compare;
    /// COMPARE AND SIGNAL (short).
    keb(Short) = compare_and_signal;
    /// COMPARE AND SIGNAL (long).
    kdb(Long) = compare_and_signal;
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
