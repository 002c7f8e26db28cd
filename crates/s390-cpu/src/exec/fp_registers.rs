// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Floating-point registers and the floating-point-control register: what moves values without
//! looking at their format.
//!
//! A short value is in the left half of its register. An extended value is in a pair, the second
//! register two after the first.

use crate::cpu::{Cpu, Exec, Flow, Trap};
use crate::decode::Insn;

/// Bits of the FPC that exist: IEEE masks and flags, DXC, DFP and BFP rounding mode.
const FPC_BITS: u32 = 0xf8f8_ff77;
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

    /// Replaces the FPC; bits that do not exist or a rounding mode that does not are a
    /// specification exception.
    pub(crate) fn load_fpc(&mut self, value: u32) -> Exec {
        if value & !FPC_BITS != 0 || matches!(value & 7, 4..=6) {
            return Err(self.specification());
        }
        self.fpc = value;
        Ok(Flow::Next)
    }
}

/// LOAD (long).
#[inline(always)]
pub(crate) fn ld(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.read_u64(c.ea(i))?;
    c.set_f(i.r1, v);
    Ok(Flow::Next)
}

/// LOAD (short).
#[inline(always)]
pub(crate) fn le(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.read_u32(c.ea(i))?;
    c.set_f32(i.r1, v);
    Ok(Flow::Next)
}

/// STORE (long).
#[inline(always)]
pub(crate) fn std(c: &mut Cpu, i: &Insn) -> Exec {
    c.write_u64(c.ea(i), c.f(i.r1))?;
    Ok(Flow::Next)
}

/// STORE (short).
#[inline(always)]
pub(crate) fn ste(c: &mut Cpu, i: &Insn) -> Exec {
    c.write_u32(c.ea(i), c.f32(i.r1))?;
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

/// LOAD FPC.
pub(crate) fn lfpc(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.read_u32(c.ea(i))?;
    c.load_fpc(v)
}

/// SET FPC.
pub(crate) fn sfpc(c: &mut Cpu, i: &Insn) -> Exec {
    c.load_fpc(c.g32(i.r1))
}

/// STORE FPC.
pub(crate) fn stfpc(c: &mut Cpu, i: &Insn) -> Exec {
    c.write_u32(c.ea(i), c.fpc)?;
    Ok(Flow::Next)
}

/// EXTRACT FPC.
pub(crate) fn efpc(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g32(i.r1, c.fpc);
    Ok(Flow::Next)
}

/// SET BFP ROUNDING MODE (2 bits).
pub(crate) fn srnm(c: &mut Cpu, i: &Insn) -> Exec {
    c.fpc = c.fpc & !7 | c.ea(i) as u32 & 3;
    Ok(Flow::Next)
}

/// SET BFP ROUNDING MODE (3 bits).
pub(crate) fn srnmb(c: &mut Cpu, i: &Insn) -> Exec {
    let mode = c.ea(i) as u32;
    if mode > 7 || matches!(mode, 4..=6) {
        return Err(c.specification());
    }
    c.fpc = c.fpc & !7 | mode;
    Ok(Flow::Next)
}
