// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The condition code, computed when somebody asks.
//!
//! Most condition codes are overwritten before anything tests them, and most are the order of two
//! numbers. So those numbers are recorded, and [`LazyCc::get`] compares them. What is no order,
//! carries above all, is worked out at once: a third way to tell would cost every branch more than
//! it spares anybody.

/// A condition code that may not have been worked out yet.
#[derive(Copy, Clone, Debug)]
pub(crate) struct LazyCc {
    /// The code is how `a` compares to `b`; otherwise it is `a`.
    is_order: bool,
    a: i64,
    b: i64,
}

/// How `a` compares to `b`: condition code 0 equal, 1 low, 2 high.
#[inline(always)]
pub(crate) fn order<T: Ord>(a: T, b: T) -> u8 {
    u8::from(a < b) | u8::from(a > b) << 1
}

/// The sign of a result, or 3 where it overflows.
macro_rules! signed_results {
    ($($(#[$doc:meta])* $name:ident($t:ty as $s:ty, $method:ident);)*) => {
        $($(#[$doc])* #[inline(always)] pub(crate) fn $name(a: $t, b: $t) -> Self {
            match (a as $s).$method(b as $s) {
                (r, false) => Self::order(r.into(), 0),
                (_, true) => Self::value(3),
            }
        })*
    };
}

/// Bit 1: a carry, or no borrow; bit 0: the result is not zero.
macro_rules! logical_results {
    ($($(#[$doc:meta])* $name:ident($t:ty, $method:ident, $carry:literal);)*) => {
        $($(#[$doc])* #[inline(always)] pub(crate) fn $name(a: $t, b: $t) -> Self {
            let (r, over) = a.$method(b);
            Self::value(u8::from(over == $carry) << 1 | u8::from(r != 0))
        })*
    };
}

impl LazyCc {
    /// A code that is already known.
    #[inline(always)]
    pub(crate) fn value(cc: u8) -> Self {
        LazyCc {
            is_order: false,
            a: cc.into(),
            b: 0,
        }
    }

    /// How `a` compares to `b`.
    #[inline(always)]
    fn order(a: i64, b: i64) -> Self {
        LazyCc {
            is_order: true,
            a,
            b,
        }
    }

    /// Logical result: 0 when zero, 1 otherwise.
    #[inline(always)]
    pub(crate) fn logical(result: u64) -> Self {
        Self::order(0, (result != 0).into())
    }

    /// Signed comparison of 64 bits; with 0: the sign of a result.
    #[inline(always)]
    pub(crate) fn signed64(a: u64, b: u64) -> Self {
        Self::order(a as i64, b as i64)
    }

    /// Signed comparison of 32 bits.
    #[inline(always)]
    pub(crate) fn signed32(a: u32, b: u32) -> Self {
        Self::order((a as i32).into(), (b as i32).into())
    }

    /// Unsigned comparison of 64 bits.
    #[inline(always)]
    pub(crate) fn unsigned64(a: u64, b: u64) -> Self {
        const SIGN: u64 = 1 << 63;
        Self::order((a ^ SIGN) as i64, (b ^ SIGN) as i64)
    }

    /// Unsigned comparison of up to 32 bits.
    #[inline(always)]
    pub(crate) fn unsigned32(a: u32, b: u32) -> Self {
        Self::order(a.into(), b.into())
    }

    signed_results! {
        /// Signed addition of the operands.
        add64(u64 as i64, overflowing_add);
        /// Signed addition of the operands.
        add32(u32 as i32, overflowing_add);
        /// Signed subtraction `a - b`.
        sub64(u64 as i64, overflowing_sub);
        /// Signed subtraction `a - b`.
        sub32(u32 as i32, overflowing_sub);
    }

    logical_results! {
        /// Logical addition of the operands.
        add_logical64(u64, overflowing_add, true);
        /// Logical addition of the operands.
        add_logical32(u32, overflowing_add, true);
        /// Logical subtraction `a - b`.
        sub_logical64(u64, overflowing_sub, false);
        /// Logical subtraction `a - b`.
        sub_logical32(u32, overflowing_sub, false);
    }

    /// TEST UNDER MASK: 0 all selected bits zero or no mask, 3 all one, otherwise 1 where the
    /// leftmost selected bit is zero and 2 where it is one. (The byte forms know only 1 for
    /// mixed bits: see [`LazyCc::test_mask8`].)
    #[inline(always)]
    pub(crate) fn test_mask16(value: u16, mask: u16) -> Self {
        let v = value & mask;
        // Of ones and zeros, those with the leftmost selected bit are the greater number.
        let mixed = 1 + u8::from(v > mask & !v);
        Self::value(match v {
            0 => 0,
            _ if v == mask => 3,
            _ => mixed,
        })
    }

    /// TEST UNDER MASK of a byte: 0 all selected bits zero or no mask, 3 all one, 1 mixed.
    #[inline(always)]
    pub(crate) fn test_mask8(value: u8, mask: u8) -> Self {
        let v = value & mask;
        Self::value(if v == 0 {
            0
        } else if v == mask {
            3
        } else {
            1
        })
    }

    /// The condition code.
    #[inline(always)]
    pub(crate) fn get(&self) -> u8 {
        if self.is_order {
            order(self.a, self.b)
        } else {
            self.a as u8
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_comparisons() {
        assert_eq!(LazyCc::signed64(5, 5).get(), 0);
        assert_eq!(LazyCc::signed64(u64::MAX, 0).get(), 1);
        assert_eq!(LazyCc::signed32(1, u32::MAX).get(), 2);
        assert_eq!(LazyCc::unsigned64(1, u64::MAX).get(), 1);
        assert_eq!(LazyCc::unsigned64(1 << 63, 0).get(), 2);
        assert_eq!(LazyCc::unsigned32(u32::MAX, 1).get(), 2);
        assert_eq!(LazyCc::logical(1 << 63).get(), 1);
    }

    #[test]
    fn test_signed_overflow_is_3() {
        assert_eq!(LazyCc::add64(i64::MAX as u64, 1).get(), 3);
        assert_eq!(LazyCc::add32(i32::MAX as u32, 1).get(), 3);
        assert_eq!(LazyCc::sub64(i64::MIN as u64, 1).get(), 3);
        assert_eq!(LazyCc::sub32(i32::MIN as u32, 1).get(), 3);
        assert_eq!(LazyCc::add32(u32::MAX, 1).get(), 0);
    }

    #[test]
    fn test_logical_carry_and_borrow() {
        assert_eq!(LazyCc::add_logical32(u32::MAX, 1).get(), 2);
        assert_eq!(LazyCc::add_logical64(u64::MAX, 2).get(), 3);
        assert_eq!(LazyCc::add_logical64(0, 0).get(), 0);
        assert_eq!(LazyCc::sub_logical64(3, 3).get(), 2);
        assert_eq!(LazyCc::sub_logical32(2, 3).get(), 1);
        assert_eq!(LazyCc::sub_logical64(4, 3).get(), 3);
    }

    #[test]
    fn test_under_mask() {
        assert_eq!(LazyCc::test_mask16(0xffff, 0).get(), 0);
        assert_eq!(LazyCc::test_mask16(0x8001, 0x8001).get(), 3);
        assert_eq!(LazyCc::test_mask16(0x0001, 0x8001).get(), 1);
        assert_eq!(LazyCc::test_mask16(0x8000, 0x8001).get(), 2);
        assert_eq!(LazyCc::test_mask8(0x80, 0x81).get(), 1);
    }
}
