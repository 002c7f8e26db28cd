// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: stores.

use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::exec::operand;

/// Stores a value at the storage operand.
macro_rules! stores {
    ($($name:ident: $write:ident, $c:ident, $i:ident => $value:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name($c: &mut Cpu, $i: &Insn) -> Exec {
            $c.$write($c.ea($i), $value)?;
            Ok(Flow::Next)
        }
    )*};
}

stores! {
    // STORE, STORE CHARACTER, STORE HALFWORD and their HIGH forms
    st: store_u32, c, i => c.g32(i.r1);
    stg: store_u64, c, i => c.g(i.r1);
    stc: store_u8, c, i => c.g(i.r1) as u8;
    sth: store_u16, c, i => c.g(i.r1) as u16;
    stch: store_u8, c, i => c.high(i.r1) as u8;
    sthh: store_u16, c, i => c.high(i.r1) as u16;
    stfh: store_u32, c, i => c.high(i.r1);

    // STORE REVERSED
    strvh: store_u16, c, i => (c.g(i.r1) as u16).swap_bytes();
    strv: store_u32, c, i => c.g32(i.r1).swap_bytes();
    strvg: store_u64, c, i => c.g(i.r1).swap_bytes();

    // MOVE immediate
    mvi: store_u8, c, i => i.imm as u8;
    mvhhi: store_u16, c, i => i.imm as u16;
    mvhi: store_u32, c, i => i.imm as u32;
    mvghi: store_u64, c, i => i.imm as u64;
}

/// STORE HALFWORD RELATIVE LONG.
pub(crate) fn sthrl(c: &mut Cpu, i: &Insn) -> Exec {
    operand::write_rel16(c, i, c.g(i.r1) as u16)?;
    Ok(Flow::Next)
}

/// STORE RELATIVE LONG (32).
#[inline(always)]
pub(crate) fn strl(c: &mut Cpu, i: &Insn) -> Exec {
    operand::write_rel32(c, i, c.g32(i.r1))?;
    Ok(Flow::Next)
}

/// STORE RELATIVE LONG (64).
#[inline(always)]
pub(crate) fn stgrl(c: &mut Cpu, i: &Insn) -> Exec {
    operand::write_rel64(c, i, c.g(i.r1))?;
    Ok(Flow::Next)
}
