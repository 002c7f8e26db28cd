// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! EXECUTE: one instruction out of line.

use crate::block::decode_one;
use crate::cpu::{pgm, Cpu, Exec, Flow};
use crate::decode::Insn;
use crate::table::{execute, Op};

/// EXECUTE.
pub(crate) fn ex(c: &mut Cpu, i: &Insn) -> Exec {
    let target = c.ea(i);
    out_of_line(c, i, target)
}

/// EXECUTE RELATIVE LONG.
pub(crate) fn exrl(c: &mut Cpu, i: &Insn) -> Exec {
    out_of_line(c, i, i.imm as u64)
}

/// Executes the instruction at `addr` with bits 56 to 63 of R1 (not R0) ORed into its second
/// byte. It counts as an instruction of the length and at the address of the EXECUTE, except
/// that its relative operands are relative to `addr`.
fn out_of_line(c: &mut Cpu, i: &Insn, addr: u64) -> Exec {
    let modifier = if i.r1 == 0 { 0 } else { c.g(i.r1) as u8 };
    let mut target = decode_one(c, addr, modifier)?;
    if matches!(target.op, Op::EX | Op::EXRL) {
        return Err(c.program(pgm::EXECUTE));
    }
    (target.halfwords, target.ilc) = (i.halfwords, i.ilc);
    let flow = execute(c, &target)?;
    if flow == Flow::Taken {
        c.jump = target.imm as u64;
        return Ok(Flow::Jump);
    }
    Ok(flow)
}

#[cfg(test)]
mod tests {
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run, CODE, DATA};

    #[test]
    fn test_second_byte_is_modified() {
        let mut c = cpu();
        // MVI 0x800(6),1 with 0x42 ORed in; its own text stays.
        c.ram.write(DATA, &[0x92, 0x01, 0x68, 0x00]);
        c.set_g(1, 0xff42);
        c.set_g(5, DATA);
        c.set_g(6, DATA);
        run(&mut c, "44105000").unwrap();
        assert_eq!(c.ram.read_u64(DATA + 0x800), 0x43 << 56);
        assert_eq!(c.ram.read_u64(DATA) >> 32, 0x9201_6800);
        // R1 0 modifies nothing.
        c.set_g(0, 0xff);
        run(&mut c, "44005000").unwrap();
        assert_eq!(c.ram.read_u64(DATA + 0x800), 1 << 56);
    }

    #[test]
    fn test_addresses_are_those_of_the_execute() {
        let mut c = cpu();
        c.set_g(5, DATA);
        // BASR 1,0 links to what follows the EXECUTE.
        c.ram.write(DATA, &[0x0d, 0x10]);
        run(&mut c, "44005000").unwrap();
        assert_eq!(c.g(1), CODE + 4);
        // BRAS 1,.+16 branches relative to the target.
        c.ram.write(DATA, &[0xa7, 0x15, 0, 8]);
        run(&mut c, "44005000").unwrap();
        assert_eq!((c.g(1), c.psw_addr), (CODE + 4, DATA + 16));
    }

    #[test]
    fn test_exceptions() {
        let mut c = cpu();
        c.set_g(5, DATA);
        c.ram.write(DATA, &[0x44, 0, 0, 0]);
        assert_interrupted(&mut c, "44005000", pgm::EXECUTE);
        c.ram.write(DATA, &[0xc6, 0, 0, 0, 0, 0]);
        assert_interrupted(&mut c, "44005000", pgm::EXECUTE);
        assert_interrupted(&mut c, "44005001", pgm::SPECIFICATION);
        c.ram.write(DATA, &[0, 0]);
        assert_interrupted(&mut c, "44005000", pgm::OPERATION);
    }
}
