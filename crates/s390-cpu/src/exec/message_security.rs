// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Message-security assist, without a cipher: the query of each instruction, which tells that the
//! query is all there is. Which functions a machine has is its own affair; software asks.
//!
//! It is here because kernels of Linux 2.6.32 to 4.4 that were built for z9-109 or later do not
//! start on a machine that lacks the facility.

use crate::cpu::{Cpu, Exec, Flow};
use crate::decode::Insn;

/// Function code in general register 0; bit 56 modifies the functions of KM and KMC.
const FUNCTION: u64 = 0x7f;
const MODIFIER: u64 = 0x80;

/// Function 0 stores 16 bytes, a bit for each function there is, from the left.
const QUERY: u64 = 0;
const QUERY_ONLY: [u8; 16] = (1_u128 << 127).to_be_bytes();

/// Whether a register can hold the address of an operand: an even one, and not 0.
fn is_operand(r: u8) -> bool {
    r & 1 == 0 && r != 0
}

fn query(c: &mut Cpu) -> Exec {
    if c.g(0) & FUNCTION != QUERY {
        return Err(c.specification());
    }
    let at = c.g(1) & c.addr_mask;
    c.use_operand(1);
    c.write_bytes(at, &QUERY_ONLY)?;
    c.set_cc(0);
    Ok(Flow::Next)
}

/// CIPHER MESSAGE and CIPHER MESSAGE WITH CHAINING: both registers designate operands, which a
/// query does not look at.
pub(crate) fn cipher(c: &mut Cpu, i: &Insn) -> Exec {
    if !is_operand(i.r1) || !is_operand(i.r2) {
        return Err(c.specification());
    }
    query(c)
}

/// COMPUTE INTERMEDIATE MESSAGE DIGEST, COMPUTE LAST MESSAGE DIGEST, COMPUTE MESSAGE
/// AUTHENTICATION CODE: the second register alone.
pub(crate) fn digest(c: &mut Cpu, i: &Insn) -> Exec {
    if !is_operand(i.r2) || c.g(0) & MODIFIER != 0 {
        return Err(c.specification());
    }
    query(c)
}

#[cfg(test)]
mod tests {
    use crate::cpu::pgm;
    use crate::model::CpuModel;
    use crate::testing::{assert_interrupted, cpu, run, DATA};

    fn z10() -> Box<crate::cpu::Cpu> {
        let mut c = cpu();
        c.model = CpuModel::by_name("z10").unwrap();
        c.set_g(1, DATA);
        c
    }

    #[test]
    fn test_a_query_finds_only_itself() {
        // KMAC, KM, KMC, KIMD, KLMD.
        for text in ["b91e0024", "b92e0024", "b92f0024", "b93e0024", "b93f0024"] {
            let mut c = z10();
            c.set_cc(3);
            c.ram.write(DATA, &[0xff; 17]);
            run(&mut c, text).unwrap();
            let mut list = [0; 17];
            c.ram.read(DATA, &mut list);
            assert_eq!(list[0], 0x80, "{text}");
            assert_eq!(list[1..16], [0; 15], "{text}");
            assert_eq!((list[16], c.cc.get()), (0xff, 0), "{text}");
        }
    }

    #[test]
    fn test_any_other_function_is_a_specification_exception() {
        for text in ["b91e0024", "b92e0024", "b92f0024", "b93e0024", "b93f0024"] {
            for function in [1, 18, 0x7f] {
                let mut c = z10();
                c.set_g(0, function);
                assert_interrupted(&mut c, text, pgm::SPECIFICATION);
            }
        }
    }

    #[test]
    fn test_the_modifier_belongs_to_ciphers() {
        for (text, allowed) in [("b92e0024", true), ("b92f0024", true), ("b93e0024", false)] {
            let mut c = z10();
            c.set_g(0, 0x80);
            match allowed {
                true => run(&mut c, text).unwrap(),
                false => assert_interrupted(&mut c, text, pgm::SPECIFICATION),
            }
        }
    }

    #[test]
    fn test_registers_are_even_and_not_0() {
        for text in [
            "b92e0020", "b92e0025", "b92e0004", "b92f0034", "b93e0020", "b93f0025",
        ] {
            let mut c = z10();
            assert_interrupted(&mut c, text, pgm::SPECIFICATION);
        }
        // The first register of a digest is not used.
        run(&mut z10(), "b93e0034").unwrap();
    }

    #[test]
    fn test_the_best_model_has_none() {
        let mut c = cpu();
        assert_interrupted(&mut c, "b92e0024", pgm::OPERATION);
    }
}
