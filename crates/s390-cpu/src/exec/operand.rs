// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Operands: where an instruction takes a value from, and how it is extended.
//!
//! `g` is a general register, `w` its right word, `h` its left word; the digit is the register
//! field. `mem` is the storage operand, `rel` the relative-long storage operand, `imm` the
//! immediate. What follows says how a narrower value is extended: `s` with its sign, `z` with
//! zeros, to the number of bits named last.

use s390_extint::Psw;

use crate::cpu::{Cpu, Trap};
use crate::dat::Space;
use crate::decode::Insn;

/// Defines instructions as an operation on operands: `name = operation(operand, operand);`. The
/// operation also gets the instruction, for where its result goes.
macro_rules! operations {
    ($($name:ident = $operation:ident($a:ident $(, $b:ident)?);)*) => {$(
        #[inline(always)]
        pub(crate) fn $name(c: &mut Cpu, i: &Insn) -> Exec {
            let a = operand::$a(c, i)?;
            $crate::exec::operand::operations!(@second c, i, $operation, a $(, $b)?)
        }
    )*};
    (@second $c:ident, $i:ident, $operation:ident, $a:ident, $b:ident) => {{
        let b = operand::$b($c, $i)?;
        $operation($c, $i, $a, b)
    }};
    (@second $c:ident, $i:ident, $operation:ident, $a:ident) => {
        $operation($c, $i, $a)
    };
}
pub(super) use operations;

macro_rules! operands {
    ($($(#[$doc:meta])* $name:ident($c:ident, $i:ident) -> $t:ty = $value:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name($c: &mut Cpu, $i: &Insn) -> Result<$t, Trap> {
            Ok($value)
        }
    )*};
}

operands! {
    g1(c, i) -> u64 = c.g(i.r1);
    g2(c, i) -> u64 = c.g(i.r2);
    g3(c, i) -> u64 = c.g(i.r3);
    w1(c, i) -> u32 = c.g32(i.r1);
    w2(c, i) -> u32 = c.g32(i.r2);
    w3(c, i) -> u32 = c.g32(i.r3);
    g1_hh(c, i) -> u16 = (c.g(i.r1) >> 48) as u16;
    g1_hl(c, i) -> u16 = (c.g(i.r1) >> 32) as u16;
    g1_lh(c, i) -> u16 = (c.g(i.r1) >> 16) as u16;
    g1_ll(c, i) -> u16 = c.g(i.r1) as u16;
    h1(c, i) -> u32 = c.high(i.r1);
    h2(c, i) -> u32 = c.high(i.r2);
    h3(c, i) -> u32 = c.high(i.r3);
    w2s64(c, i) -> u64 = c.g32(i.r2) as i32 as u64;
    w2z64(c, i) -> u64 = c.g32(i.r2).into();
    w2_8s32(c, i) -> u32 = c.g(i.r2) as i8 as u32;
    w2_8z32(c, i) -> u32 = (c.g(i.r2) as u8).into();
    w2_16s32(c, i) -> u32 = c.g(i.r2) as i16 as u32;
    w2_16z32(c, i) -> u32 = (c.g(i.r2) as u16).into();
    g2_8s64(c, i) -> u64 = c.g(i.r2) as i8 as u64;
    g2_8z64(c, i) -> u64 = (c.g(i.r2) as u8).into();
    g2_16s64(c, i) -> u64 = c.g(i.r2) as i16 as u64;
    g2_16z64(c, i) -> u64 = (c.g(i.r2) as u16).into();
    /// Bits 33 to 63: a 31-bit address.
    g2_31(c, i) -> u64 = c.g(i.r2) & 0x7fff_ffff;

    imm32(_c, i) -> u32 = i.imm as u32;
    imm64(_c, i) -> u64 = i.imm as u64;
    imm32z64(_c, i) -> u64 = (i.imm as u32).into();
    imm16z32(_c, i) -> u32 = (i.imm as u16).into();
    imm16z64(_c, i) -> u64 = (i.imm as u16).into();
    imm_hh(_c, i) -> u64 = u64::from(i.imm as u16) << 48;
    imm_hl(_c, i) -> u64 = u64::from(i.imm as u16) << 32;
    imm_lh(_c, i) -> u64 = u64::from(i.imm as u16) << 16;
    imm_hf(_c, i) -> u64 = (i.imm as u64) << 32;
    imm16(_c, i) -> u16 = i.imm as u16;
    imm8(_c, i) -> u8 = i.imm as u8;
    imm8z32(_c, i) -> u32 = (i.imm as u8).into();
    imm8z64(_c, i) -> u64 = (i.imm as u8).into();
    /// I2 of RIE-c instructions, which is in `disp`.
    imm8c_s32(_c, i) -> u32 = i.disp as u32;
    imm8c_s64(_c, i) -> u64 = i.disp as u64;
    imm8c_z32(_c, i) -> u32 = (i.disp as u8).into();
    imm8c_z64(_c, i) -> u64 = (i.disp as u8).into();

    /// The address itself.
    address(c, i) -> u64 = c.ea(i);
    relative_address(_c, i) -> u64 = i.imm as u64;
    /// The shift amount.
    amount(c, i) -> u32 = c.ea(i) as u32 & 63;

    mem8(c, i) -> u8 = c.load_u8(c.ea(i))?;
    mem16(c, i) -> u16 = c.load_u16(c.ea(i))?;
    mem32(c, i) -> u32 = c.load_u32(c.ea(i))?;
    mem64(c, i) -> u64 = c.load_u64(c.ea(i))?;
    mem8s32(c, i) -> u32 = c.load_u8(c.ea(i))? as i8 as u32;
    mem8z32(c, i) -> u32 = c.load_u8(c.ea(i))?.into();
    mem8s64(c, i) -> u64 = c.load_u8(c.ea(i))? as i8 as u64;
    mem8z64(c, i) -> u64 = c.load_u8(c.ea(i))?.into();
    mem16s32(c, i) -> u32 = c.load_u16(c.ea(i))? as i16 as u32;
    mem16z32(c, i) -> u32 = c.load_u16(c.ea(i))?.into();
    mem16s64(c, i) -> u64 = c.load_u16(c.ea(i))? as i16 as u64;
    mem16z64(c, i) -> u64 = c.load_u16(c.ea(i))?.into();
    mem32s64(c, i) -> u64 = c.load_u32(c.ea(i))? as i32 as u64;
    mem32z64(c, i) -> u64 = c.load_u32(c.ea(i))?.into();
    /// The operand of an instruction on the pair R1, which is looked at first.
    pair_mem32(c, i) -> u32 = {
        c.even(i.r1)?;
        c.load_u32(c.ea(i))?
    };
    pair_mem64(c, i) -> u64 = {
        c.even(i.r1)?;
        c.load_u64(c.ea(i))?
    };
    pair_mem32s64(c, i) -> u64 = {
        c.even(i.r1)?;
        c.load_u32(c.ea(i))? as i32 as u64
    };
    mem31(c, i) -> u64 = (c.load_u32(c.ea(i))? & 0x7fff_ffff).into();

    rel16s32(c, i) -> u32 = rel16(c, i)? as i16 as u32;
    rel16z32(c, i) -> u32 = rel16(c, i)?.into();
    rel16s64(c, i) -> u64 = rel16(c, i)? as i16 as u64;
    rel16z64(c, i) -> u64 = rel16(c, i)?.into();
    rel32s64(c, i) -> u64 = rel32(c, i)? as i32 as u64;
    rel32z64(c, i) -> u64 = rel32(c, i)?.into();
}

macro_rules! relative_long {
    ($($name:ident, $write:ident, $t:ty, $read_operand:ident, $write_operand:ident;)*) => {$(
        #[inline(always)]
        pub(super) fn $name(c: &mut Cpu, i: &Insn) -> Result<$t, Trap> {
            let ea = relative_long(c, i, size_of::<$t>())?;
            if outside_operand_space(c) {
                let mut b = [0; size_of::<$t>()];
                c.read_space(Space::Instruction, ea, &mut b)?;
                return Ok(<$t>::from_be_bytes(b));
            }
            c.$read_operand(ea)
        }

        #[inline(always)]
        pub(super) fn $write(c: &mut Cpu, i: &Insn, value: $t) -> Result<(), Trap> {
            let ea = relative_long(c, i, size_of::<$t>())?;
            if outside_operand_space(c) {
                return c.write_space(Space::Instruction, ea, &value.to_be_bytes());
            }
            c.$write_operand(ea, value)
        }
    )*};
}

relative_long! {
    rel16, write_rel16, u16, load_u16, store_u16;
    rel32, write_rel32, u32, load_u32, store_u32;
    rel64, write_rel64, u64, load_u64, store_u64;
}

/// The address of a relative-long operand, which must be aligned.
#[inline(always)]
fn relative_long(c: &mut Cpu, i: &Insn, size: usize) -> Result<u64, Trap> {
    let ea = i.imm as u64;
    if ea & (size as u64 - 1) != 0 {
        return Err(c.specification());
    }
    Ok(ea)
}

/// Whether relative-long operands, which are in the address space of instructions, are in
/// another space than other operands: in the secondary-space and access-register modes.
#[inline(always)]
fn outside_operand_space(c: &Cpu) -> bool {
    let asc = c.psw_mask & Psw::ADDRESS_SPACE;
    asc != 0 && asc != Psw::ADDRESS_SPACE
}
