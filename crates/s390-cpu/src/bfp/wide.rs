// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Unsigned integers of 256 bits: room for the exact product of two extended significands.

use std::cmp::Ordering;

/// A 256-bit unsigned integer.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct U256 {
    pub(crate) high: u128,
    pub(crate) low: u128,
}

impl From<u128> for U256 {
    fn from(low: u128) -> Self {
        U256 { high: 0, low }
    }
}

impl Ord for U256 {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.high, self.low).cmp(&(other.high, other.low))
    }
}

impl PartialOrd for U256 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl U256 {
    pub(crate) fn is_zero(self) -> bool {
        self.high | self.low == 0
    }

    /// Number of significant bits.
    pub(crate) fn bits(self) -> u32 {
        match self.high {
            0 => 128 - self.low.leading_zeros(),
            high => 256 - high.leading_zeros(),
        }
    }

    pub(crate) fn shl(self, n: u32) -> Self {
        match n {
            0 => self,
            1..=127 => U256 {
                high: self.high << n | self.low >> (128 - n),
                low: self.low << n,
            },
            128..=255 => U256 {
                high: self.low << (n - 128),
                low: 0,
            },
            _ => U256::default(),
        }
    }

    pub(crate) fn shr(self, n: u32) -> Self {
        match n {
            0 => self,
            1..=127 => U256 {
                high: self.high >> n,
                low: self.low >> n | self.high << (128 - n),
            },
            128..=255 => U256 {
                high: 0,
                low: self.high >> (n - 128),
            },
            _ => U256::default(),
        }
    }

    /// Whether any of the `n` low bits is one.
    pub(crate) fn any_below(self, n: u32) -> bool {
        match n {
            0 => false,
            1..=255 => !self.shl(256 - n).is_zero(),
            _ => !self.is_zero(),
        }
    }

    pub(crate) fn bit(self, n: u32) -> bool {
        n < 256 && self.shr(n).low & 1 != 0
    }

    pub(crate) fn add(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        U256 {
            high: self
                .high
                .wrapping_add(other.high)
                .wrapping_add(carry.into()),
            low,
        }
    }

    pub(crate) fn sub(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        U256 {
            high: self
                .high
                .wrapping_sub(other.high)
                .wrapping_sub(borrow.into()),
            low,
        }
    }

    /// The exact product.
    pub(crate) fn product(a: u128, b: u128) -> Self {
        const HALF: u128 = u64::MAX as u128;
        let (a1, a0, b1, b0) = (a >> 64, a & HALF, b >> 64, b & HALF);
        let middle = U256::from(a1 * b0).add(U256::from(a0 * b1));
        U256 {
            high: a1 * b1,
            low: a0 * b0,
        }
        .add(middle.shl(64))
    }

    /// Quotient and whether there is a remainder. The divisor is not zero.
    pub(crate) fn divide(self, divisor: u128) -> (Self, bool) {
        if self.high == 0 {
            return ((self.low / divisor).into(), self.low % divisor != 0);
        }
        let (mut quotient, mut rest) = (U256::default(), U256::default());
        for n in (0..self.bits()).rev() {
            rest = rest.shl(1);
            rest.low |= u128::from(self.bit(n));
            quotient = quotient.shl(1);
            if rest >= divisor.into() {
                rest = rest.sub(divisor.into());
                quotient.low |= 1;
            }
        }
        (quotient, !rest.is_zero())
    }

    /// Square root rounded down, and whether there is a remainder.
    pub(crate) fn square_root(self) -> (Self, bool) {
        if self.high == 0 {
            let root = self.low.isqrt();
            return (root.into(), root * root != self.low);
        }
        let (mut root, mut rest) = (U256::default(), U256::default());
        for n in (0..self.bits().div_ceil(2)).rev() {
            rest = rest.shl(2);
            rest.low |= self.shr(2 * n).low & 3;
            let trial = root.shl(2).add(1.into());
            root = root.shl(1);
            if rest >= trial {
                rest = rest.sub(trial);
                root.low |= 1;
            }
        }
        (root, !rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn test_division_undoes_multiplication(a: u128, b in 1..u128::MAX) {
            prop_assert_eq!(U256::product(a, b).divide(b), (a.into(), false));
        }

        #[test]
        fn test_square_root_of_a_square(a: u128) {
            prop_assert_eq!(U256::product(a, a).square_root(), (a.into(), false));
        }

        #[test]
        fn test_shifts_are_inverse(low: u128, n in 0u32..128) {
            let v = U256::from(low);
            prop_assert_eq!(v.shl(n).shr(n), v);
            prop_assert_eq!(v.any_below(n), n != 0 && low << (128 - n) != 0);
        }
    }
}
