// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Control instructions: PSW, control registers, prefix, identification, and what the host does.

use s390_extint::Psw;

use crate::cpu::{pgm, Cpu, Exec, Flow, Trap};
use crate::dat::cr0;
use crate::decode::Insn;

/// The storage operand, which must be on a boundary of `align`.
pub(crate) fn aligned(c: &mut Cpu, i: &Insn, align: u64) -> Result<u64, Trap> {
    let ea = c.ea(i);
    if ea % align != 0 {
        return Err(c.specification());
    }
    Ok(ea)
}

/// Left to the host: DIAGNOSE, SERVICE CALL, SIGNAL PROCESSOR, STORE SYSTEM INFORMATION, channel
/// I/O.
pub(crate) fn intercept(c: &mut Cpu, i: &Insn) -> Exec {
    c.intercept(i)
}

/// SUPERVISOR CALL.
pub(crate) fn svc(c: &mut Cpu, i: &Insn) -> Exec {
    let next = c.next_addr(i);
    match c.take_supervisor_call(i.imm as u8, i.ilc, next) {
        Ok(()) => Ok(Flow::NewPsw),
        // SET PREFIX sees to it that the lowcore is in storage.
        Err(_) => Err(c.program(pgm::ADDRESSING)),
    }
}

// --- PSW -------------------------------------------------------------------------------------

/// LOAD PSW: eight bytes in the format of ESA/390, whose bit 12 is one.
pub(crate) fn lpsw(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let short = c.read_u64(ea)?;
    c.set_psw(Psw {
        mask: (short ^ 0x0008_0000_0000_0000) & 0xffff_ffff_8000_0000,
        addr: short & 0x7fff_ffff,
    });
    Ok(Flow::NewPsw)
}

/// LOAD PSW EXTENDED.
pub(crate) fn lpswe(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let mut buf = [0; 16];
    c.read_bytes(ea, &mut buf)?;
    let word = |at: usize| u64::from_be_bytes(buf[at..at + 8].try_into().expect("8 bytes"));
    c.set_psw(Psw {
        mask: word(0),
        addr: word(8),
    });
    Ok(Flow::NewPsw)
}

/// Replaces PSW bits 0 to 7. A one in bit 0, 2, 3 or 4 is recognized early, but as of this
/// instruction.
fn set_system_mask(c: &mut Cpu, mask: u8) -> Exec {
    c.psw_mask = c.psw_mask & !(0xff << 56) | u64::from(mask) << 56;
    c.psw_mask_changed();
    if mask & 0xb8 != 0 {
        return Err(c.specification());
    }
    Ok(Flow::Sync)
}

fn system_mask(c: &Cpu) -> u8 {
    (c.psw_mask >> 56) as u8
}

/// SET SYSTEM MASK.
pub(crate) fn ssm(c: &mut Cpu, i: &Insn) -> Exec {
    // Control register 0 bit 33: SSM suppression.
    if c.crs[0] & 0x4000_0000 != 0 {
        return Err(c.program(pgm::SPECIAL_OPERATION));
    }
    let mask = c.read_u8(c.ea(i))?;
    set_system_mask(c, mask)
}

/// STORE THEN AND SYSTEM MASK.
pub(crate) fn stnsm(c: &mut Cpu, i: &Insn) -> Exec {
    let old = system_mask(c);
    c.write_u8(c.ea(i), old)?;
    set_system_mask(c, old & i.imm as u8)
}

/// STORE THEN OR SYSTEM MASK.
pub(crate) fn stosm(c: &mut Cpu, i: &Insn) -> Exec {
    let old = system_mask(c);
    c.write_u8(c.ea(i), old)?;
    set_system_mask(c, old | i.imm as u8)
}

/// SET PSW KEY FROM ADDRESS. In the problem state control register 3 says which keys.
pub(crate) fn spka(c: &mut Cpu, i: &Insn) -> Exec {
    let key = c.ea(i) >> 4 & 15;
    if c.is_problem_state() && c.crs[3] & (0x8000_0000 >> key) == 0 {
        return Err(c.program(pgm::PRIVILEGED));
    }
    c.psw_mask = c.psw_mask & !Psw::KEY | key << 52;
    c.psw_mask_changed();
    Ok(Flow::Sync)
}

/// INSERT PSW KEY.
pub(crate) fn ipk(c: &mut Cpu, _: &Insn) -> Exec {
    // Control register 0 bit 36: extraction authority.
    if c.is_problem_state() && c.crs[0] & 0x0800_0000 == 0 {
        return Err(c.program(pgm::PRIVILEGED));
    }
    let key = u64::from(c.psw_key()) << 4;
    c.set_g(2, c.g(2) & !0xff | key);
    Ok(Flow::Next)
}

/// EXTRACT PSW: bits 0 to 31 and 32 to 63.
pub(crate) fn epsw(c: &mut Cpu, i: &Insn) -> Exec {
    let mask = c.psw().mask;
    c.set_g32(i.r1, (mask >> 32) as u32);
    if i.r2 != 0 {
        c.set_g32(i.r2, mask as u32);
    }
    Ok(Flow::Next)
}

// --- control registers -----------------------------------------------------------------------

/// Control registers from R1 to R3, wrapping around.
fn range(i: &Insn) -> impl Iterator<Item = usize> {
    let (first, n) = (i.r1, (i.r3.wrapping_sub(i.r1) & 15) + 1);
    (0..n).map(move |k| usize::from(first.wrapping_add(k) & 15))
}

/// Control registers changed: what was translated under the old ones may be wrong, if it is not
/// merely another space.
fn control_changed(c: &mut Cpu, old0: u64) -> Exec {
    // Low-address protection, fetch-protection override, EDAT.
    let matters = cr0::LOW_ADDRESS_PROTECTION | cr0::FETCH_PROTECTION_OVERRIDE | 0x80_0000;
    if (old0 ^ c.crs[0]) & matters != 0 {
        c.flush_translations();
    }
    c.psw_mask_changed();
    Ok(Flow::Sync)
}

/// LOAD CONTROL (64).
pub(crate) fn lctlg(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let mut buf = [0; 128];
    let n = range(i).count();
    c.read_bytes(ea, &mut buf[..n * 8])?;
    let old0 = c.crs[0];
    for (r, v) in range(i).zip(buf.chunks_exact(8)) {
        c.crs[r] = u64::from_be_bytes(v.try_into().expect("8 bytes"));
    }
    control_changed(c, old0)
}

/// LOAD CONTROL (32).
pub(crate) fn lctl(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 4)?;
    let mut buf = [0; 64];
    let n = range(i).count();
    c.read_bytes(ea, &mut buf[..n * 4])?;
    let old0 = c.crs[0];
    for (r, v) in range(i).zip(buf.chunks_exact(4)) {
        let v = u32::from_be_bytes(v.try_into().expect("4 bytes"));
        c.crs[r] = c.crs[r] & !0xffff_ffff | u64::from(v);
    }
    control_changed(c, old0)
}

/// STORE CONTROL (64).
pub(crate) fn stctg(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let mut buf = [0; 128];
    let n = range(i).count();
    for (r, v) in range(i).zip(buf.chunks_exact_mut(8)) {
        v.copy_from_slice(&c.crs[r].to_be_bytes());
    }
    c.write_bytes(ea, &buf[..n * 8])?;
    Ok(Flow::Next)
}

/// STORE CONTROL (32).
pub(crate) fn stctl(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 4)?;
    let mut buf = [0; 64];
    let n = range(i).count();
    for (r, v) in range(i).zip(buf.chunks_exact_mut(4)) {
        v.copy_from_slice(&(c.crs[r] as u32).to_be_bytes());
    }
    c.write_bytes(ea, &buf[..n * 4])?;
    Ok(Flow::Next)
}

// --- prefix and identification ---------------------------------------------------------------

/// SET PREFIX: bits 33 to 50 of the operand; the new 8 KiB must be in storage.
pub(crate) fn spx(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 4)?;
    let prefix = c.read_u32(ea)? & 0x7fff_e000;
    if !c.ram.contains(prefix.into(), 0x2000) {
        return Err(c.program(pgm::ADDRESSING));
    }
    c.prefix = prefix;
    c.flush_translations();
    Ok(Flow::Sync)
}

/// STORE PREFIX.
pub(crate) fn stpx(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 4)?;
    c.write_u32(ea, c.prefix)?;
    Ok(Flow::Next)
}

/// STORE CPU ADDRESS.
pub(crate) fn stap(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 2)?;
    c.write_u16(ea, c.address)?;
    Ok(Flow::Next)
}

/// STORE CPU ID. Version 0xff as KVM has it since 2.6.32.
pub(crate) fn stidp(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let id = c.model.cpu_id();
    c.write_u64(ea, id)?;
    Ok(Flow::Next)
}

/// Facility bits from `64 * n` on.
fn facility_word(c: &Cpu, n: u8) -> u64 {
    (0..64)
        .filter(|bit| c.model.has(n * 64 + bit))
        .fold(0, |w, bit| w | 1 << (63 - bit))
}

/// STORE FACILITY LIST: the first word, at real address 200.
pub(crate) fn stfl(c: &mut Cpu, _: &Insn) -> Exec {
    let word = (facility_word(c, 0) >> 32) as u32;
    let abs = c.prefixed(200);
    c.ram.write(abs, &word.to_be_bytes());
    Ok(Flow::Next)
}

/// STORE FACILITY LIST EXTENDED: as many doublewords as general register 0 asks for and exist;
/// condition code 3 when there are more.
pub(crate) fn stfle(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let words: Vec<u64> = (0..4).map(|n| facility_word(c, n)).collect();
    let n = words
        .iter()
        .rposition(|&w| w != 0)
        .map_or(1, |last| last + 1);
    let wanted = usize::from(c.g(0) as u8) + 1;
    let mut buf = Vec::with_capacity(32);
    for word in words.iter().take(n.min(wanted)) {
        buf.extend_from_slice(&word.to_be_bytes());
    }
    c.write_bytes(ea, &buf)?;
    c.set_g(0, c.g(0) & !0xff | (n as u64 - 1));
    c.set_cc(if wanted < n { 3 } else { 0 });
    Ok(Flow::Next)
}

/// EXTRACT CPU ATTRIBUTE: what is known of the caches. Nothing at level 0 for the topology;
/// otherwise lines of 256 bytes.
pub(crate) fn ecag(c: &mut Cpu, i: &Insn) -> Exec {
    let selector = c.ea(i);
    let (attribute, level) = (selector >> 4 & 15, selector >> 1 & 7);
    let value = match (attribute, level) {
        // One private level, with separate instruction and data caches.
        (0, _) => 0x0400_0000_0000_0000,
        (1, 0) => 256,
        (2, 0) => 0x2_0000,
        (3, 0) => 8,
        _ => u64::MAX,
    };
    c.set_g(i.r1, value);
    Ok(Flow::Next)
}

/// LOAD PROGRAM PARAMETER: there is no sampling to see it.
pub(crate) fn lpp(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    c.read_u64(ea)?;
    Ok(Flow::Next)
}

/// TRACE: with explicit tracing off in control register 12 it does nothing.
pub(crate) fn trace(c: &mut Cpu, i: &Insn) -> Exec {
    aligned(c, i, 4)?;
    Ok(Flow::Next)
}

// --- time ------------------------------------------------------------------------------------

/// STORE CLOCK: different values every time.
pub(crate) fn stck(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = c.ea(i);
    c.check_write(ea, 8)?;
    let tod = c.timers.clock.unique();
    c.write_u64(ea, tod)?;
    c.set_cc(0);
    Ok(Flow::Next)
}

/// STORE CLOCK FAST: the same value may come twice.
pub(crate) fn stckf(c: &mut Cpu, i: &Insn) -> Exec {
    let tod = c.timers.clock.tod();
    c.write_u64(c.ea(i), tod)?;
    c.set_cc(0);
    Ok(Flow::Next)
}

/// STORE CLOCK EXTENDED: epoch index 0, the clock, and the TOD programmable field.
pub(crate) fn stcke(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = c.ea(i);
    c.check_write(ea, 16)?;
    let mut buf = [0; 16];
    buf[1..9].copy_from_slice(&c.timers.clock.unique().to_be_bytes());
    // The bits to the right of the clock are not all zero.
    buf[13] = 1;
    buf[14..].copy_from_slice(&(c.todpr as u16).to_be_bytes());
    c.write_bytes(ea, &buf)?;
    c.set_cc(0);
    Ok(Flow::Next)
}

/// SET CLOCK.
pub(crate) fn sck(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let tod = c.read_u64(ea)?;
    c.timers.clock.set(tod);
    c.set_cc(0);
    Ok(Flow::Sync)
}

/// SET CLOCK PROGRAMMABLE FIELD, from general register 0.
pub(crate) fn sckpf(c: &mut Cpu, _: &Insn) -> Exec {
    if c.g32(0) & 0xffff_0000 != 0 {
        return Err(c.specification());
    }
    c.todpr = c.g32(0);
    Ok(Flow::Next)
}

/// SET CLOCK COMPARATOR.
pub(crate) fn sckc(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    c.timers.comparator = c.read_u64(ea)?;
    Ok(Flow::Sync)
}

/// STORE CLOCK COMPARATOR.
pub(crate) fn stckc(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    c.write_u64(ea, c.timers.comparator)?;
    Ok(Flow::Next)
}

/// SET CPU TIMER.
pub(crate) fn spt(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    let timer = c.read_u64(ea)?;
    c.timers.set_cpu_timer(timer);
    Ok(Flow::Sync)
}

/// STORE CPU TIMER.
pub(crate) fn stpt(c: &mut Cpu, i: &Insn) -> Exec {
    let ea = aligned(c, i, 8)?;
    c.write_u64(ea, c.timers.cpu_timer())?;
    Ok(Flow::Next)
}

/// EXTRACT CPU TIME: what is gone of the CPU timer since the first operand, the second operand,
/// and the doubleword that R3 points to.
pub(crate) fn ectg(c: &mut Cpu, i: &Insn) -> Exec {
    let (first, second, third) = (c.ea(i), c.ea2(i), c.g(i.r3) & c.addr_mask);
    let a = c.at(i.b).read_u64(first)?;
    let b = c.at(i.b2).read_u64(second)?;
    let r3 = c.at(i.r3).read_u64(third)?;
    c.set_g(0, a.wrapping_sub(c.timers.cpu_timer()));
    c.set_g(1, b);
    c.set_g(i.r3, r3);
    Ok(Flow::Next)
}

/// PERFORM TIMING FACILITY FUNCTION: general register 0 says which, 1 where the parameters are.
pub(crate) fn ptff(c: &mut Cpu, _: &Insn) -> Exec {
    const QUERY_AVAILABLE: u64 = 0;
    const QUERY_TOD_OFFSET: u64 = 1;
    const QUERY_STEERING: u64 = 2;
    let function = c.g(0) & 0x7f;
    if c.g(0) & 0x80 != 0 {
        return Err(c.specification());
    }
    // Functions that set something.
    if function >= 0x40 && c.is_problem_state() {
        return Err(c.program(pgm::PRIVILEGED));
    }
    let at = c.g(1) & c.addr_mask;
    c.use_operand(1);
    let clock = c.timers.clock.clone();
    match function {
        QUERY_AVAILABLE => {
            c.write_bytes(at, &[0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?
        }
        QUERY_TOD_OFFSET => {
            // Physical clock, clock offset, logical and epoch difference: no offset at all.
            let mut buf = [0; 32];
            buf[..8].copy_from_slice(&clock.tod().to_be_bytes());
            c.write_bytes(at, &buf)?;
        }
        QUERY_STEERING => {
            let mut buf = [0; 56];
            buf[..8].copy_from_slice(&clock.tod().to_be_bytes());
            c.write_bytes(at, &buf)?;
        }
        _ => {
            c.set_cc(3);
            return Ok(Flow::Next);
        }
    }
    c.set_cc(0);
    Ok(Flow::Next)
}
