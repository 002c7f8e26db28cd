// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! General instructions: condition code and program mask, access registers, monitor call.

use s390_extint::Psw;

use crate::cpu::{pgm, Cpu, Exec, Fault, Flow, ProgramInterruption};
use crate::decode::Insn;

/// INSERT PROGRAM MASK: condition code and program mask into bits 32 to 39 of R1.
pub(crate) fn ipm(c: &mut Cpu, i: &Insn) -> Exec {
    let program_mask = (c.psw_mask & Psw::PROGRAM_MASK) >> 16;
    let byte = u32::from(c.cc.get()) << 28 | program_mask as u32;
    c.set_g32(i.r1, c.g32(i.r1) & 0x00ff_ffff | byte);
    Ok(Flow::Next)
}

/// SET PROGRAM MASK: the opposite.
pub(crate) fn spm(c: &mut Cpu, i: &Insn) -> Exec {
    let v = c.g(i.r1);
    c.psw_mask = c.psw_mask & !Psw::PROGRAM_MASK | v << 16 & Psw::PROGRAM_MASK;
    c.set_cc((v >> 28) as u8 & 3);
    Ok(Flow::Next)
}

/// TEST ADDRESSING MODE: condition code 0 for 24, 1 for 31, 3 for 64 bits.
pub(crate) fn tam(c: &mut Cpu, _: &Insn) -> Exec {
    c.set_cc(match c.psw_mask & (Psw::EXTENDED | Psw::BASIC) {
        0 => 0,
        Psw::BASIC => 1,
        _ => 3,
    });
    Ok(Flow::Next)
}

/// How an instruction ends that changed access registers: in the access-register mode they
/// select the space of operands.
fn access_registers_changed(c: &mut Cpu) -> Exec {
    if c.psw_mask & Psw::ADDRESS_SPACE == ACCESS_REGISTER_MODE {
        c.psw_mask_changed();
    }
    Ok(Flow::Next)
}

/// Address-space control 01.
const ACCESS_REGISTER_MODE: u64 = 0x0000_4000_0000_0000;

/// SET ACCESS.
pub(crate) fn sar(c: &mut Cpu, i: &Insn) -> Exec {
    c.acrs[usize::from(i.r1)] = c.g32(i.r2);
    access_registers_changed(c)
}

/// EXTRACT ACCESS.
pub(crate) fn ear(c: &mut Cpu, i: &Insn) -> Exec {
    c.set_g32(i.r1, c.acrs[usize::from(i.r2)]);
    Ok(Flow::Next)
}

/// COPY ACCESS.
pub(crate) fn cpya(c: &mut Cpu, i: &Insn) -> Exec {
    c.acrs[usize::from(i.r1)] = c.acrs[usize::from(i.r2)];
    access_registers_changed(c)
}

/// LOAD ACCESS MULTIPLE: the operand must be on a word boundary.
pub(crate) fn lam(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = c.ea(i);
    if ea & 3 != 0 {
        return Err(c.specification());
    }
    let count = usize::from(i.r3.wrapping_sub(i.r1) & 15) + 1;
    let mut b = [0; 64];
    c.read_bytes(ea, &mut b[..count * 4])?;
    for (n, v) in b.chunks_exact(4).take(count).enumerate() {
        let v = u32::from_be_bytes(v.try_into().expect("4 bytes"));
        c.acrs[(usize::from(i.r1) + n) % 16] = v;
    }
    access_registers_changed(c)
}

/// STORE ACCESS MULTIPLE: the operand must be on a word boundary.
pub(crate) fn stam(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = c.ea(i);
    if ea & 3 != 0 {
        return Err(c.specification());
    }
    let count = usize::from(i.r3.wrapping_sub(i.r1) & 15) + 1;
    let mut b = [0; 64];
    for (n, v) in b.chunks_exact_mut(4).take(count).enumerate() {
        v.copy_from_slice(&c.acrs[(usize::from(i.r1) + n) % 16].to_be_bytes());
    }
    c.write_bytes(ea, &b[..count * 4])?;
    Ok(Flow::Next)
}

/// LOAD ADDRESS EXTENDED: the address, and the address space that it is in as an access-list
/// entry token.
pub(crate) fn lae(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = c.ea(i);
    c.set_g_address(i.r1, ea);
    c.acrs[usize::from(i.r1)] = match c.psw_mask & Psw::ADDRESS_SPACE {
        0 => 0,
        ACCESS_REGISTER_MODE if i.b & 15 == 0 => 0,
        ACCESS_REGISTER_MODE => c.acrs[usize::from(i.b & 15)],
        Psw::ADDRESS_SPACE => 2,
        _ => 1,
    };
    access_registers_changed(c)
}

/// MONITOR CALL: an interruption where control register 8 has the mask bit of the class.
pub(crate) fn mc(c: &mut Cpu, i: &Insn) -> Exec {
    let class = i.imm as u8;
    if class > 15 {
        return Err(c.specification());
    }
    if c.crs[8] & 0x8000 >> class == 0 {
        return Ok(Flow::Next);
    }
    let monitor_code = c.ea(i);
    Err(c.trap(Fault::Program(ProgramInterruption {
        code: pgm::MONITOR,
        monitor_class: class,
        monitor_code,
        ..Default::default()
    })))
}

#[cfg(test)]
mod tests {
    use crate::cpu::pgm;
    use crate::testing::{assert_interrupted, cpu, run, DATA};

    #[test]
    fn test_program_mask_and_condition_code() {
        let mut c = cpu();
        c.set_g(1, 0xffff_ffff_3a55_5555);
        run(&mut c, "0410 b2220020").unwrap();
        assert_eq!((c.cc.get(), c.g(2)), (3, 0x3a00_0000));
    }

    #[test]
    fn test_access_registers_wrap_around() {
        let mut c = cpu();
        c.ram
            .write(DATA, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]);
        c.set_g(5, DATA);
        run(&mut c, "9ae15000 b24f0030 b24e0041").unwrap();
        assert_eq!((c.acrs[14], c.acrs[0], c.acrs[1]), (1, 3, 4));
        c.set_g(5, DATA + 2);
        assert_interrupted(&mut c, "9ae15000", pgm::SPECIFICATION);
        assert_interrupted(&mut c, "9be15000", pgm::SPECIFICATION);
    }

    #[test]
    fn test_monitor_call() {
        let mut c = cpu();
        c.set_g(5, 0x1000);
        run(&mut c, "af035123").unwrap();
        c.crs[8] = 0x1000;
        let p = run(&mut c, "af035123").unwrap_err();
        assert_eq!(
            (p.code, p.monitor_class, p.monitor_code),
            (pgm::MONITOR, 3, 0x1123)
        );
        assert_interrupted(&mut c, "af105123", pgm::SPECIFICATION);
    }
}
