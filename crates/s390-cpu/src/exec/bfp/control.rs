// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The floating-point-control register.

use super::*;

const MASKS: u32 = 0xfc00_0000;
const FLAGS: u32 = 0x00fc_0000;
/// Mask and flag of the quantum exception, which come with the floating-point extension facility.
const QUANTUM: u32 = 0x0404_0000;
const DXC: u32 = 0x0000_ff00;
const MODE: u32 = 0x0000_0007;

/// Whether there is a BFP rounding mode of this number.
fn is_mode(c: &Cpu, mode: u32) -> bool {
    mode < 4 || mode == 7 && c.model.has(facility::FLOATING_POINT_EXTENSION)
}

/// Replaces the FPC register unless `value` has ones where there is nothing.
fn set_fpc(c: &mut Cpu, value: u32) -> Exec {
    let mut valid = MASKS | FLAGS | DXC | MODE;
    if !c.model.has(facility::FLOATING_POINT_EXTENSION) {
        valid &= !QUANTUM;
    }
    if value & !valid != 0 || !is_mode(c, value & MODE) {
        return Err(c.specification());
    }
    c.fpc = value;
    Ok(Flow::Next)
}

/// SET FPC.
pub(crate) fn sfpc(c: &mut Cpu, i: &Insn) -> Exec {
    set_fpc(c, c.g32(i.r1))
}

/// LOAD FPC.
pub(crate) fn lfpc(c: &mut Cpu, i: &Insn) -> Exec {
    let value = c.load_u32(c.ea(i))?;
    set_fpc(c, value)
}

/// EXTRACT FPC.
pub(crate) fn efpc(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g32(i.r1, c.fpc);
    Ok(Flow::Next)
}

/// STORE FPC.
pub(crate) fn stfpc(c: &mut Cpu, i: &Insn) -> Exec {
    c.store_u32(c.ea(i), c.fpc)?;
    Ok(Flow::Next)
}

/// Replaces the FPC register but keeps its flags, and signals those that the new masks enable as
/// if the operation that left them happened now.
fn set_fpc_and_signal(c: &mut Cpu, value: u32) -> Exec {
    let flags = c.fpc & FLAGS;
    set_fpc(c, value)?;
    c.fpc |= flags;
    let enabled = (flags >> 16 & value >> 24) as u8;
    // The first of them; overflow and underflow with inexactness.
    let dxc = match enabled.leading_zeros() {
        n @ (0 | 1) => 0x80 >> n,
        n @ (2 | 3) => 0x80 >> n | enabled & 8,
        n @ (4 | 5) => 0x80 >> n,
        _ => return Ok(Flow::Next),
    };
    Err(c.data(dxc | 3))
}

/// SET FPC AND SIGNAL.
pub(crate) fn sfasr(c: &mut Cpu, i: &Insn) -> Exec {
    set_fpc_and_signal(c, c.g32(i.r1))
}

/// LOAD FPC AND SIGNAL.
pub(crate) fn lfas(c: &mut Cpu, i: &Insn) -> Exec {
    let value = c.load_u32(c.ea(i))?;
    set_fpc_and_signal(c, value)
}

/// SET BFP ROUNDING MODE (2 bit).
pub(crate) fn srnm(c: &mut Cpu, i: &Insn) -> Exec {
    c.fpc = c.fpc & !MODE | c.ea(i) as u32 & 3;
    Ok(Flow::Next)
}

/// SET BFP ROUNDING MODE (3 bit).
pub(crate) fn srnmb(c: &mut Cpu, i: &Insn) -> Exec {
    let mode = c.ea(i) as u32 & 0xff;
    if !is_mode(c, mode) {
        return Err(c.specification());
    }
    c.fpc = c.fpc & !MODE | mode;
    Ok(Flow::Next)
}
