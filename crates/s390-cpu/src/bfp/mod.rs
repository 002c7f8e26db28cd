// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Binary floating-point arithmetic: numbers are taken apart, computed with exactly, and rounded
//! once.
//!
//! Every operation ends in an [`Exact`] result: an integer significand of up to 256 bits, an
//! exponent, and whether something is left below. [`round`] makes a number of a format of it in
//! any rounding mode and says what IEEE exceptions that takes. So all formats and operations
//! share one place that rounds. (Principles of Operation, chapters 9 and 19.)

mod wide;

pub(crate) use wide::U256;

/// A binary floating-point format.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Short,
    Long,
    Extended,
}

impl Format {
    /// Bits of the significand, with the implied one.
    pub(crate) const fn precision(self) -> u32 {
        match self {
            Format::Short => 24,
            Format::Long => 53,
            Format::Extended => 113,
        }
    }

    /// Width in bits.
    const fn width(self) -> u32 {
        match self {
            Format::Short => 32,
            Format::Long => 64,
            Format::Extended => 128,
        }
    }

    /// Bits of the fraction.
    const fn fraction_bits(self) -> u32 {
        self.precision() - 1
    }

    /// The biased exponent of infinities and NaNs.
    const fn max_exponent(self) -> i32 {
        (1 << (self.width() - self.precision())) - 1
    }

    const fn bias(self) -> i32 {
        self.max_exponent() >> 1
    }

    /// Weight of the lowest bit of a subnormal number.
    const fn lowest(self) -> i32 {
        1 - self.bias() - self.fraction_bits() as i32
    }

    /// What a trapped overflow or underflow moves the exponent by.
    const fn bias_adjust(self) -> i32 {
        3 * self.quarter()
    }

    /// A quarter of the number of exponents.
    pub(crate) const fn quarter(self) -> i32 {
        (self.max_exponent() + 1) / 4
    }

    pub(crate) const fn sign_bit(self) -> u128 {
        1 << (self.width() - 1)
    }

    pub(crate) const fn infinity(self) -> u128 {
        (self.max_exponent() as u128) << self.fraction_bits()
    }

    /// The bit that tells quiet NaNs from signalling ones.
    const fn quiet_bit(self) -> u128 {
        1 << (self.fraction_bits() - 1)
    }

    pub(crate) const fn default_nan(self) -> u128 {
        self.infinity() | self.quiet_bit()
    }
}

/// What kind of number it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Zero,
    /// `significand` times 2 to the `exponent`.
    Finite {
        significand: u128,
        exponent: i32,
        subnormal: bool,
    },
    Infinity,
    QuietNan,
    SignallingNan,
}

/// A number taken apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) format: Format,
    pub(crate) negative: bool,
    pub(crate) class: Class,
    /// As it was.
    pub(crate) bits: u128,
}

impl Number {
    pub(crate) fn new(format: Format, bits: u128) -> Self {
        let fraction = bits & ((1 << format.fraction_bits()) - 1);
        let exponent = (bits >> format.fraction_bits()) as i32 & format.max_exponent();
        let class = match (exponent, fraction) {
            (0, 0) => Class::Zero,
            (0, _) => Class::Finite {
                significand: fraction,
                exponent: format.lowest(),
                subnormal: true,
            },
            (e, 0) if e == format.max_exponent() => Class::Infinity,
            (e, f) if e == format.max_exponent() => {
                if f & format.quiet_bit() != 0 {
                    Class::QuietNan
                } else {
                    Class::SignallingNan
                }
            }
            (e, f) => Class::Finite {
                significand: f | 1 << format.fraction_bits(),
                exponent: e - 1 + format.lowest(),
                subnormal: false,
            },
        };
        Number {
            format,
            negative: bits & format.sign_bit() != 0,
            class,
            bits,
        }
    }

    pub(crate) fn is_nan(&self) -> bool {
        matches!(self.class, Class::QuietNan | Class::SignallingNan)
    }

    pub(crate) fn is_signalling(&self) -> bool {
        self.class == Class::SignallingNan
    }

    /// This NaN, quiet, in another format.
    pub(crate) fn quieted(&self, to: Format) -> u128 {
        let from = self.format;
        let fraction = (self.bits | from.quiet_bit()) & ((1 << from.fraction_bits()) - 1);
        let fraction = if to.fraction_bits() >= from.fraction_bits() {
            fraction << (to.fraction_bits() - from.fraction_bits())
        } else {
            fraction >> (from.fraction_bits() - to.fraction_bits())
        };
        to.infinity() | fraction | if self.negative { to.sign_bit() } else { 0 }
    }

    /// The exact value of a number that is zero or finite.
    pub(crate) fn exact(&self) -> Exact {
        match self.class {
            Class::Finite {
                significand,
                exponent,
                ..
            } => Exact {
                negative: self.negative,
                significand: significand.into(),
                exponent,
                more: false,
            },
            _ => Exact {
                negative: self.negative,
                significand: U256::default(),
                exponent: 0,
                more: false,
            },
        }
    }
}

/// An exact intermediate result: `significand`, plus something less than one if `more`, times 2
/// to the `exponent`.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Exact {
    pub(crate) negative: bool,
    pub(crate) significand: U256,
    pub(crate) exponent: i32,
    pub(crate) more: bool,
}

impl Exact {
    pub(crate) fn is_zero(&self) -> bool {
        self.significand.is_zero() && !self.more
    }

    pub(crate) fn integer(negative: bool, magnitude: u64) -> Self {
        Exact {
            negative,
            significand: u128::from(magnitude).into(),
            exponent: 0,
            more: false,
        }
    }

    /// The sum. An exact zero of operands with different signs is negative only when rounding
    /// towards minus infinity.
    pub(crate) fn add(self, other: Self, mode: Rounding) -> Self {
        if self.is_zero() && other.is_zero() {
            let negative = if self.negative == other.negative {
                self.negative
            } else {
                mode == Rounding::TowardMinus
            };
            return Exact { negative, ..self };
        }
        if self.is_zero() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        // The larger in front, with its highest bit at 250: operands have up to 226 bits, so
        // what the other loses below is far under any rounding position.
        let top = |e: &Exact| e.exponent + e.significand.bits() as i32;
        let (a, b) = if top(&self) >= top(&other) {
            (self, other)
        } else {
            (other, self)
        };
        let up = 250 - a.significand.bits();
        let (significand, exponent) = (a.significand.shl(up), a.exponent - up as i32);
        let shift = b.exponent - exponent;
        let (small, lost) = if shift >= 0 {
            (b.significand.shl(shift as u32), false)
        } else {
            let n = shift.unsigned_abs();
            (b.significand.shr(n), b.significand.any_below(n))
        };
        if a.negative == b.negative {
            return Exact {
                negative: a.negative,
                significand: significand.add(small),
                exponent,
                more: lost,
            };
        }
        if significand == small && !lost {
            return Exact {
                negative: mode == Rounding::TowardMinus,
                significand: U256::default(),
                exponent: 0,
                more: false,
            };
        }
        if small > significand {
            return Exact {
                negative: b.negative,
                significand: small.sub(significand),
                exponent,
                more: lost,
            };
        }
        let difference = significand.sub(small);
        Exact {
            negative: a.negative,
            significand: if lost {
                difference.sub(1.into())
            } else {
                difference
            },
            exponent,
            more: lost,
        }
    }

    /// The product of numbers whose significands have up to 113 bits.
    pub(crate) fn multiply(self, other: Self) -> Self {
        Exact {
            negative: self.negative != other.negative,
            significand: U256::product(self.significand.low, other.significand.low),
            exponent: self.exponent + other.exponent,
            more: false,
        }
    }

    /// The quotient, with at least `precision` and 2 bits; the divisor is not zero.
    pub(crate) fn divide(self, other: Self, precision: u32) -> Self {
        let wanted = precision + 3 + other.significand.bits();
        let up = wanted.saturating_sub(self.significand.bits());
        let (significand, more) = self.significand.shl(up).divide(other.significand.low);
        Exact {
            negative: self.negative != other.negative,
            significand,
            exponent: self.exponent - up as i32 - other.exponent,
            more,
        }
    }

    /// The integer quotient of long or short numbers that are not zero, rounded, with at most
    /// `precision` digits: of a larger one, these, truncated. Beside it the remainder, and whether
    /// there are more digits to come.
    pub(crate) fn divide_to_integer(
        self,
        other: Self,
        precision: u32,
        mode: Rounding,
    ) -> (Self, Self, bool) {
        let quotient = self.divide(other, precision);
        let digits = quotient.exponent + quotient.significand.bits() as i32;
        let lowest = (digits - precision as i32).max(0);
        let partial = lowest > 0;
        let mode = if partial { Rounding::TowardZero } else { mode };
        let truncated = quotient.truncate(lowest, mode);
        let quotient = Exact {
            significand: truncated.kept,
            exponent: lowest,
            more: false,
            ..quotient
        };
        let mut product = quotient.multiply(other);
        product.negative = !self.negative;
        let mut remainder = self.add(product, mode);
        if remainder.is_zero() {
            remainder.negative = self.negative;
        }
        (quotient, remainder, partial && truncated.inexact)
    }

    /// The square root, with at least `precision` and 2 bits.
    pub(crate) fn square_root(self, precision: u32) -> Self {
        let wanted = 2 * (precision + 3);
        let mut up = wanted.saturating_sub(self.significand.bits());
        if (self.exponent - up as i32) % 2 != 0 {
            up += 1;
        }
        let (significand, more) = self.significand.shl(up).square_root();
        Exact {
            negative: self.negative,
            significand,
            exponent: (self.exponent - up as i32) / 2,
            more,
        }
    }

    /// Whether rounding to a multiple of 2 to the `lowest` goes up, and the truncated multiple.
    fn truncate(&self, lowest: i32, mode: Rounding) -> Truncated {
        let shift = lowest - self.exponent;
        if shift <= 0 {
            // Only what lies below is lost, and that is less than half.
            let kept = self.significand.shl(shift.unsigned_abs());
            return Truncated::new(kept, false, self.more, self.negative, mode);
        }
        let n = shift as u32;
        let kept = self.significand.shr(n);
        let half = self.significand.bit(n - 1);
        let rest = self.significand.any_below(n - 1) || self.more;
        Truncated::new(kept, half, rest, self.negative, mode)
    }

    /// Rounds to so many digits, whatever the exponent: the number (which is not zero), whether it
    /// is inexact, and whether it was rounded up.
    pub(crate) fn to_precision(self, precision: u32, mode: Rounding) -> (Self, bool, bool) {
        let lowest = self.exponent + self.significand.bits() as i32 - precision as i32;
        let t = self.truncate(lowest, mode);
        let rounded = Exact {
            negative: self.negative,
            significand: t.kept,
            exponent: lowest,
            more: false,
        };
        (rounded, t.inexact, t.up)
    }

    /// Rounds to an integer: its magnitude, whether it is inexact, and whether it was rounded up.
    /// `None` where it has more than 128 bits.
    pub(crate) fn to_integer(self, mode: Rounding) -> Option<(u128, bool, bool)> {
        if self.exponent + self.significand.bits() as i32 > 120 {
            return None;
        }
        let t = self.truncate(0, mode);
        Some((t.kept.low, t.inexact, t.up))
    }
}

/// A significand cut off, and rounded.
struct Truncated {
    kept: U256,
    inexact: bool,
    pub(crate) up: bool,
}

impl Truncated {
    fn new(kept: U256, half: bool, rest: bool, negative: bool, mode: Rounding) -> Self {
        let odd = kept.low & 1 != 0;
        let inexact = half || rest;
        let up = match mode {
            Rounding::NearestEven => half && (rest || odd),
            Rounding::NearestAway => half,
            Rounding::TowardZero => false,
            Rounding::TowardPlus => inexact && !negative,
            Rounding::TowardMinus => inexact && negative,
            Rounding::PrepareShorter => inexact && !odd,
        };
        Truncated {
            kept: if up { kept.add(1.into()) } else { kept },
            inexact,
            up,
        }
    }
}

/// An integer quotient, whose exponent is moved into range if it is too large; and whether it was.
pub(crate) fn integer_quotient(format: Format, quotient: &Exact) -> (u128, bool) {
    let r = round(format, quotient, Rounding::TowardZero, true, false);
    (r.bits, r.overflow)
}

/// A rounding mode.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    NearestEven,
    NearestAway,
    TowardZero,
    TowardPlus,
    TowardMinus,
    /// To the neighbour with an odd last digit.
    PrepareShorter,
}

/// A result and the IEEE conditions it meets.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rounded {
    pub(crate) bits: u128,
    pub(crate) inexact: bool,
    /// The magnitude was rounded up.
    pub(crate) up: bool,
    pub(crate) overflow: bool,
    /// Tiny before rounding, which is where this architecture looks.
    pub(crate) tiny: bool,
}

/// Rounds to a format. With `trap_overflow` or `trap_underflow` a result beyond the format's range
/// comes back as if the exponent had no bounds, moved into range.
pub(crate) fn round(
    format: Format,
    value: &Exact,
    mode: Rounding,
    trap_overflow: bool,
    trap_underflow: bool,
) -> Rounded {
    let sign = if value.negative { format.sign_bit() } else { 0 };
    if value.is_zero() {
        return Rounded {
            bits: sign,
            ..Default::default()
        };
    }
    let fraction = format.fraction_bits() as i32;
    let highest = value.exponent + value.significand.bits() as i32 - 1;
    let tiny = highest < 1 - format.bias();
    let unbounded = highest - fraction;
    let scaled = tiny && trap_underflow;
    let lowest = if scaled {
        unbounded
    } else {
        unbounded.max(format.lowest())
    };
    let t = value.truncate(lowest, mode);
    let (mut significand, mut lowest) = (t.kept.low, lowest);
    if significand >> format.precision() != 0 {
        significand >>= 1;
        lowest += 1;
    }
    let mut out = Rounded {
        bits: 0,
        inexact: t.inexact,
        up: t.up,
        overflow: false,
        tiny,
    };
    // The biased exponent of a normal number.
    let mut exponent = lowest - format.lowest() + 1;
    if scaled {
        exponent += format.bias_adjust();
    }
    if exponent >= format.max_exponent() {
        out.overflow = true;
        if !trap_overflow {
            let to_infinity = match mode {
                Rounding::NearestEven | Rounding::NearestAway => true,
                Rounding::TowardZero | Rounding::PrepareShorter => false,
                Rounding::TowardPlus => !value.negative,
                Rounding::TowardMinus => value.negative,
            };
            out.inexact = true;
            out.up = to_infinity;
            out.bits = sign
                | if to_infinity {
                    format.infinity()
                } else {
                    format.infinity() - 1
                };
            return out;
        }
        exponent -= format.bias_adjust();
    }
    out.bits = sign
        | if significand >> fraction == 0 {
            // Subnormal: the biased exponent is zero.
            significand
        } else {
            (exponent as u128) << fraction | significand & ((1 << fraction) - 1)
        };
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn long(v: f64) -> Number {
        Number::new(Format::Long, v.to_bits().into())
    }

    fn short(v: f32) -> Number {
        Number::new(Format::Short, v.to_bits().into())
    }

    fn nearest(format: Format, e: &Exact) -> u128 {
        round(format, e, Rounding::NearestEven, false, false).bits
    }

    fn finite64() -> impl Strategy<Value = f64> {
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("finite", |v| v.is_finite())
    }

    fn finite32() -> impl Strategy<Value = f32> {
        any::<u32>()
            .prop_map(f32::from_bits)
            .prop_filter("finite", |v| v.is_finite())
    }

    proptest! {
        #[test]
        fn test_long_arithmetic_is_the_hosts(a in finite64(), b in finite64(), d in -60i32..60) {
            // Operands of similar size too.
            for b in [b, a * (d as f64).exp2(), f64::from_bits(a.to_bits() ^ d as u64)] {
                if !b.is_finite() { continue; }
                let (x, y) = (long(a).exact(), long(b).exact());
                let same = |ours: u128, host: f64| ours == u128::from(host.to_bits());
                prop_assert!(same(nearest(Format::Long, &x.add(y, Rounding::NearestEven)), a + b));
                prop_assert!(same(nearest(Format::Long, &x.multiply(y)), a * b));
                if b != 0.0 {
                    prop_assert!(same(nearest(Format::Long, &x.divide(y, 53)), a / b));
                }
                prop_assert!(same(nearest(Format::Long, &x.multiply(y).add(long(1.5).exact(), Rounding::NearestEven)), a.mul_add(b, 1.5)));
                if a > 0.0 {
                    prop_assert!(same(nearest(Format::Long, &x.square_root(53)), a.sqrt()));
                }
                prop_assert_eq!(nearest(Format::Short, &x), u128::from((a as f32).to_bits()));
            }
        }

        #[test]
        fn test_short_arithmetic_is_the_hosts(a in finite32(), b in finite32()) {
            let (x, y) = (short(a).exact(), short(b).exact());
            prop_assert_eq!(nearest(Format::Short, &x.add(y, Rounding::NearestEven)), u128::from((a + b).to_bits()));
            prop_assert_eq!(nearest(Format::Short, &x.multiply(y)), u128::from((a * b).to_bits()));
            if b != 0.0 {
                prop_assert_eq!(nearest(Format::Short, &x.divide(y, 24)), u128::from((a / b).to_bits()));
            }
        }

        #[test]
        fn test_lengthening_and_rounding_back(a in finite64()) {
            let extended = Number::new(Format::Extended, nearest(Format::Extended, &long(a).exact()));
            prop_assert_eq!(nearest(Format::Long, &extended.exact()), u128::from(a.to_bits()));
        }
    }

    #[test]
    fn test_rounding_modes_at_a_half() {
        let e = |negative| Exact {
            negative,
            significand: 5u128.into(),
            exponent: -1,
            more: false,
        };
        let to = |negative, mode| e(negative).to_integer(mode).unwrap().0;
        assert_eq!(to(false, Rounding::NearestEven), 2);
        assert_eq!(to(false, Rounding::NearestAway), 3);
        assert_eq!(to(false, Rounding::TowardZero), 2);
        assert_eq!(to(false, Rounding::TowardPlus), 3);
        assert_eq!(to(true, Rounding::TowardPlus), 2);
        assert_eq!(to(true, Rounding::TowardMinus), 3);
        assert_eq!(to(false, Rounding::PrepareShorter), 3);
    }

    #[test]
    fn test_overflow_by_mode() {
        let big = Exact {
            negative: false,
            significand: 1u128.into(),
            exponent: 128,
            more: false,
        };
        let r = |mode| round(Format::Short, &big, mode, false, false).bits;
        assert_eq!(r(Rounding::NearestEven), 0x7f80_0000);
        assert_eq!(r(Rounding::TowardZero), 0x7f7f_ffff);
        assert_eq!(r(Rounding::TowardMinus), 0x7f7f_ffff);
        let scaled = round(Format::Short, &big, Rounding::NearestEven, true, false);
        assert!(scaled.overflow && !scaled.inexact);
        assert_eq!(f32::from_bits(scaled.bits as u32), (128f32 - 192.0).exp2());
    }
}
