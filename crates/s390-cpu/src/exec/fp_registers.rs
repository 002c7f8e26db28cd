// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Floating-point registers: what moves values without looking at their format.
//!
//! A short value is in the left half of its register. An extended value is in a pair, the second
//! register two after the first.

use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;

/// The sign of short, long and extended values.
const SIGN: u64 = 1 << 63;

impl Cpu {
    /// Floating-point register `n`.
    #[inline(always)]
    pub(crate) fn f(&self, n: u8) -> u64 {
        self.fprs[usize::from(n & 15)]
    }

    #[inline(always)]
    pub(crate) fn set_f(&mut self, n: u8, value: u64) {
        self.fprs[usize::from(n & 15)] = value;
    }

    /// The short value in register `n`.
    #[inline(always)]
    pub(crate) fn f32(&self, n: u8) -> u32 {
        (self.f(n) >> 32) as u32
    }

    /// Replaces the short value in register `n`; the right half stays.
    #[inline(always)]
    pub(crate) fn set_f32(&mut self, n: u8, value: u32) {
        let v = self.f(n) & 0xffff_ffff | u64::from(value) << 32;
        self.set_f(n, v);
    }

    /// Checks that `n` names a pair for an extended value.
    pub(crate) fn fp_pair(&mut self, n: u8) -> Result<(), Trap> {
        if n & 2 != 0 {
            return Err(self.specification());
        }
        Ok(())
    }
}

/// LOAD (long).
#[inline(always)]
pub(crate) fn ld(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.load_u64(c.ea(i))?;
    c.set_f(i.r1, v);
    Ok(Flow::Next)
}

/// LOAD (short).
#[inline(always)]
pub(crate) fn le(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.load_u32(c.ea(i))?;
    c.set_f32(i.r1, v);
    Ok(Flow::Next)
}

/// STORE (long).
#[inline(always)]
pub(crate) fn std(c: &mut Cpu, i: &Insn) -> Exec {
    c.store_u64(c.ea(i), c.f(i.r1))?;
    Ok(Flow::Next)
}

/// STORE (short).
#[inline(always)]
pub(crate) fn ste(c: &mut Cpu, i: &Insn) -> Exec {
    c.store_u32(c.ea(i), c.f32(i.r1))?;
    Ok(Flow::Next)
}

/// LOAD (long, register).
#[inline(always)]
pub(crate) fn ldr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f(i.r1, c.f(i.r2));
    Ok(Flow::Next)
}

/// LOAD (short, register).
#[inline(always)]
pub(crate) fn ler(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f32(i.r1, c.f32(i.r2));
    Ok(Flow::Next)
}

/// LOAD (extended).
pub(crate) fn lxr(c: &mut Cpu, i: &Insn) -> Exec {
    c.fp_pair(i.r1)?;
    c.fp_pair(i.r2)?;
    let (high, low) = (c.f(i.r2), c.f(i.r2 + 2));
    c.set_f(i.r1, high);
    c.set_f(i.r1 + 2, low);
    Ok(Flow::Next)
}

/// LOAD ZERO (short).
pub(crate) fn lzer(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f32(i.r1, 0);
    Ok(Flow::Next)
}

/// LOAD ZERO (long).
pub(crate) fn lzdr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f(i.r1, 0);
    Ok(Flow::Next)
}

/// LOAD ZERO (extended).
pub(crate) fn lzxr(c: &mut Cpu, i: &Insn) -> Exec {
    c.fp_pair(i.r1)?;
    c.set_f(i.r1, 0);
    c.set_f(i.r1 + 2, 0);
    Ok(Flow::Next)
}

/// LOAD POSITIVE (no condition code).
pub(crate) fn lpdfr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f(i.r1, c.f(i.r2) & !SIGN);
    Ok(Flow::Next)
}

/// LOAD NEGATIVE (no condition code).
pub(crate) fn lndfr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f(i.r1, c.f(i.r2) | SIGN);
    Ok(Flow::Next)
}

/// LOAD COMPLEMENT (no condition code).
pub(crate) fn lcdfr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f(i.r1, c.f(i.r2) ^ SIGN);
    Ok(Flow::Next)
}

/// COPY SIGN: of R3 to the value of R2.
pub(crate) fn cpsdr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f(i.r1, c.f(i.r2) & !SIGN | c.f(i.r3) & SIGN);
    Ok(Flow::Next)
}

/// LOAD FPR FROM GR.
#[inline(always)]
pub(crate) fn ldgr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f(i.r1, c.g(i.r2));
    Ok(Flow::Next)
}

/// LOAD GR FROM FPR.
#[inline(always)]
pub(crate) fn lgdr(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g(i.r1, c.f(i.r2));
    Ok(Flow::Next)
}

/// LOAD LENGTHENED of hexadecimal floating point, short to long: zeros are appended.
pub(crate) fn lder(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_f(i.r1, u64::from(c.f32(i.r2)) << 32);
    Ok(Flow::Next)
}

/// The same with a storage operand.
pub(crate) fn lde(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.load_u32(c.ea(i))?;
    c.set_f(i.r1, u64::from(v) << 32);
    Ok(Flow::Next)
}
