// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The condition code, computed when somebody asks.
//!
//! Most condition codes are overwritten before anything tests them. So an instruction only
//! records what it did and to what, and [`LazyCc::get`] works the code out.

/// How to compute a condition code from the two recorded values.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// The first value is the code.
    Value,
    /// Signed comparison of 64 bits: 0 equal, 1 low, 2 high.
    Signed64,
    /// Signed comparison of 32 bits.
    Signed32,
    /// Unsigned comparison of 64 bits; 32-bit operands are zero-extended.
    Unsigned,
    /// Logical result: 0 zero, 1 not zero.
    Logical,
    /// Signed sum of 64-bit operands: 0 zero, 1 negative, 2 positive, 3 overflow.
    Add64,
    Add32,
    /// Signed difference.
    Sub64,
    Sub32,
    /// Logical sum: bit 1 carry, bit 0 result not zero.
    AddLogical64,
    AddLogical32,
    /// Logical difference: bit 1 no borrow, bit 0 result not zero.
    SubLogical64,
    SubLogical32,
    /// TEST UNDER MASK of up to 16 bits: value and mask.
    TestMask,
}

/// A condition code that has not been worked out yet.
#[derive(Copy, Clone, Debug)]
pub(crate) struct LazyCc {
    kind: Kind,
    a: u64,
    b: u64,
}

fn sign<T: Ord>(a: T, b: T) -> u8 {
    match a.cmp(&b) {
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Greater => 2,
    }
}

macro_rules! makers {
    ($($(#[$doc:meta])* $name:ident($a:ident: $ta:ty, $b:ident: $tb:ty) = $kind:ident($ea:expr, $eb:expr);)*) => {
        $($(#[$doc])* #[inline(always)] pub(crate) fn $name($a: $ta, $b: $tb) -> Self {
            LazyCc { kind: Kind::$kind, a: $ea, b: $eb }
        })*
    };
}

impl LazyCc {
    /// A code that is already known.
    #[inline(always)]
    pub(crate) fn value(cc: u8) -> Self {
        LazyCc {
            kind: Kind::Value,
            a: u64::from(cc),
            b: 0,
        }
    }

    /// Logical result: 0 when zero, 1 otherwise.
    #[inline(always)]
    pub(crate) fn logical(result: u64) -> Self {
        LazyCc {
            kind: Kind::Logical,
            a: result,
            b: 0,
        }
    }

    makers! {
        /// Signed comparison of 64 bits; with 0: the sign of a result.
        signed64(a: u64, b: u64) = Signed64(a, b);
        /// Signed comparison of 32 bits.
        signed32(a: u32, b: u32) = Signed32(u64::from(a), u64::from(b));
        /// Unsigned comparison.
        unsigned(a: u64, b: u64) = Unsigned(a, b);
        /// Signed addition of the operands.
        add64(a: u64, b: u64) = Add64(a, b);
        /// Signed addition of the operands.
        add32(a: u32, b: u32) = Add32(u64::from(a), u64::from(b));
        /// Signed subtraction `a - b`.
        sub64(a: u64, b: u64) = Sub64(a, b);
        /// Signed subtraction `a - b`.
        sub32(a: u32, b: u32) = Sub32(u64::from(a), u64::from(b));
        /// Logical addition of the operands.
        add_logical64(a: u64, b: u64) = AddLogical64(a, b);
        /// Logical addition of the operands.
        add_logical32(a: u32, b: u32) = AddLogical32(u64::from(a), u64::from(b));
        /// Logical subtraction `a - b`.
        sub_logical64(a: u64, b: u64) = SubLogical64(a, b);
        /// Logical subtraction `a - b`.
        sub_logical32(a: u32, b: u32) = SubLogical32(u64::from(a), u64::from(b));
        /// TEST UNDER MASK: 0 all selected bits zero or no mask, 3 all one, otherwise 1 where the
        /// leftmost selected bit is zero and 2 where it is one. (The byte forms know only 1 for
        /// mixed bits: see [`LazyCc::test_mask8`].)
        test_mask16(value: u16, mask: u16) = TestMask(u64::from(value & mask), u64::from(mask));
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
        let (a, b) = (self.a, self.b);
        let (a32, b32) = (a as u32, b as u32);
        match self.kind {
            Kind::Value => a as u8,
            Kind::Signed64 => sign(a as i64, b as i64),
            Kind::Signed32 => sign(a32 as i32, b32 as i32),
            Kind::Unsigned => sign(a, b),
            Kind::Logical => u8::from(a != 0),
            Kind::Add64 => match (a as i64).overflowing_add(b as i64) {
                (_, true) => 3,
                (r, false) => sign(r, 0),
            },
            Kind::Add32 => match (a32 as i32).overflowing_add(b32 as i32) {
                (_, true) => 3,
                (r, false) => sign(r, 0),
            },
            Kind::Sub64 => match (a as i64).overflowing_sub(b as i64) {
                (_, true) => 3,
                (r, false) => sign(r, 0),
            },
            Kind::Sub32 => match (a32 as i32).overflowing_sub(b32 as i32) {
                (_, true) => 3,
                (r, false) => sign(r, 0),
            },
            Kind::AddLogical64 => {
                let (r, carry) = a.overflowing_add(b);
                u8::from(carry) << 1 | u8::from(r != 0)
            }
            Kind::AddLogical32 => {
                let (r, carry) = a32.overflowing_add(b32);
                u8::from(carry) << 1 | u8::from(r != 0)
            }
            Kind::SubLogical64 => u8::from(a >= b) << 1 | u8::from(a != b),
            Kind::SubLogical32 => u8::from(a32 >= b32) << 1 | u8::from(a32 != b32),
            Kind::TestMask => match a {
                0 => 0,
                _ if a == b => 3,
                _ => 1 + u8::from(a & (1 << (63 - b.leading_zeros())) != 0),
            },
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
        assert_eq!(LazyCc::unsigned(1, u64::MAX).get(), 1);
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
