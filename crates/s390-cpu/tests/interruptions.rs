// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Program, supervisor-call and restart interruptions: what is stored, and where the guest goes
//! on (Principles of Operation, chapter 6).

mod common;

use common::{handler, psw, Guest, CODE, DATA, MODE64, RESTART, STORAGE, SUPERVISOR_CALL};
use s390_extint::lowcore;
use s390_hypervisor::{Intercept, LocalInterrupt, Psw, RunState, Vcpu};

const OPERATION: u16 = 1;
const PRIVILEGED: u16 = 2;
const PROTECTION: u16 = 4;
const ADDRESSING: u16 = 5;
const SPECIFICATION: u16 = 6;
const DATA_EXCEPTION: u16 = 7;
const FIXED_OVERFLOW: u16 = 8;
const PAGE_TRANSLATION: u16 = 0x11;
const REGION_THIRD: u16 = 0x3b;
const MONITOR: u16 = 0x40;

const CR0_AFP: u64 = 0x4_0000;

/// Runs a program in the 64-bit mode up to its program interruption, which must have this code
/// and length, with the old PSW this far into the program.
#[track_caller]
fn assert_program(guest: &mut Guest, mask: u64, text: &str, code: u16, ilc: u16, offset: u64) {
    guest.load(mask, text);
    let (stored, stored_ilc, old) = guest.run_to_program();
    assert_eq!((stored, stored_ilc), (code, ilc), "{text}");
    assert_eq!(old.addr, CODE + offset, "{text}");
    assert_eq!((old.mask ^ mask ^ MODE64) & !Psw::CC, 0, "{text}");
}

// --- program ---------------------------------------------------------------------------------

#[test]
fn test_suppressed_instructions_leave_the_psw_behind_them() {
    let mut g = Guest::new();
    assert_program(&mut g, 0, "0000", OPERATION, 2, 2);
    assert_program(&mut g, 0, "0700 b2ff 0000 ; unassigned", OPERATION, 4, 6);
    assert_program(&mut g, 0, "0700 e300 0000 00ff", OPERATION, 6, 8);
    assert_program(&mut g, 0, "b2b2 0401 ; lpswe 0x401", SPECIFICATION, 4, 4);
    let problem = Psw::PROBLEM;
    assert_program(&mut g, problem, "8000 0400 ; ssm", PRIVILEGED, 4, 4);
}

/// The bit for program-event recording and its control registers are accepted, though no event is
/// recorded: debuggers in the guest see none.
#[test]
fn test_program_event_recording_is_accepted() {
    const PER: u64 = 1 << 62;
    let mut g = Guest::new();
    // Branches, fetches and stores anywhere.
    g.set_cr(9, 0xe000_0000);
    g.set_cr(10, 0);
    g.set_cr(11, u64::MAX);
    let text = "a7f4 0002 ; j .+4
                5000 0400 ; st %r0,0x400
                0000";
    assert_program(&mut g, PER, text, OPERATION, 2, 10);
}

#[test]
fn test_addressing_exception_keeps_the_register() {
    let mut g = Guest::new();
    g.cpu.set_gpr(1, 0x1111);
    g.cpu.set_gpr(2, STORAGE);
    assert_program(&mut g, 0, "5810 2000 ; l %r1,0(%r2)", ADDRESSING, 4, 4);
    assert_eq!(g.cpu.gpr(1), 0x1111);
}

#[test]
fn test_execute_gives_its_own_length_and_address() {
    let mut g = Guest::new();
    g.put(DATA, "0a2a ; svc 42");
    g.load(0, "4400 0400 ; ex 0,0x400");
    assert_eq!(g.run_to_diag(), SUPERVISOR_CALL);
    assert_eq!(g.u16(lowcore::SVC_ILC), 4);
    assert_eq!(g.psw(lowcore::SVC_OLD_PSW).addr, CODE + 4);
    g.put(DATA, "0000");
    assert_program(&mut g, 0, "c600 ffff e200 ; exrl 0,0x400", OPERATION, 6, 6);
}

#[test]
fn test_data_exception_stores_its_code() {
    let mut g = Guest::new();
    g.cpu.set_gpr(1, 1);
    // Without the AFP-register control the code goes to storage alone.
    g.set_cr(0, 0);
    assert_program(&mut g, 0, "b960 8011 ; cgrte 1,1", DATA_EXCEPTION, 4, 4);
    assert_eq!(g.u32(lowcore::DATA_EXC_CODE), 0xff);
    assert_eq!(g.cpu.state().unwrap().fpc, 0);
    g.set_cr(0, CR0_AFP);
    assert_program(&mut g, 0, "b960 8011 ; cgrte 1,1", DATA_EXCEPTION, 4, 4);
    assert_eq!(g.cpu.state().unwrap().fpc, 0xff00);
}

#[test]
fn test_overflow_completes_the_instruction() {
    let mut g = Guest::new();
    g.cpu.set_gpr(1, 0x7fff_ffff);
    let fixed_overflow = 0x0800_0000_0000;
    assert_program(
        &mut g,
        fixed_overflow,
        "1a11 ; ar 1,1",
        FIXED_OVERFLOW,
        2,
        2,
    );
    assert_eq!(g.cpu.gpr(1), 0xffff_fffe);
    assert_eq!(g.psw(lowcore::PGM_OLD_PSW).cc(), 3);
}

#[test]
fn test_monitor_event() {
    let mut g = Guest::new();
    g.set_cr(8, 0x0400);
    g.cpu.set_gpr(2, 0x1234_5678_9abc_d000);
    assert_program(&mut g, 0, "af05 2123 ; mc 0x123(%r2),5", MONITOR, 4, 4);
    assert_eq!(g.u16(lowcore::MONITOR_CLASS), 5);
    assert_eq!(g.u64(lowcore::MONITOR_CODE), 0x1234_5678_9abc_d123);
    // Another class is not monitored.
    g.load(0, "af04 2123 8300 0777");
    assert_eq!(g.run_to_diag(), 0x777);
}

#[test]
fn test_low_address_protection() {
    let mut g = Guest::new();
    g.set_cr(0, 0x1000_0000);
    assert_program(&mut g, 0, "5010 0100 ; st %r1,0x100", PROTECTION, 4, 4);
    assert_eq!(g.u64(lowcore::TRANS_EXC_ID) & !0xfff, 0);
}

/// A translation exception nullifies: the instruction is executed again once the page is there.
#[test]
fn test_translation_exception_leaves_the_psw_at_the_instruction() {
    let mut g = Guest::new();
    map_low_megabyte(&mut g);
    let dat = Psw::DAT;
    g.cpu.set_gpr(2, 0x8_0123);
    let text = "0700 5810 2000 ; l %r1,0(%r2)";
    assert_program(&mut g, dat, text, PAGE_TRANSLATION, 4, 2);
    assert_eq!(g.u64(lowcore::TRANS_EXC_ID) & !0xfff, 0x8_0000);
    assert_eq!(g.get::<1>(lowcore::EXC_ACCESS_ID.offset.into()), [0]);
    // Outside the segment table.
    g.cpu.set_gpr(2, 1 << 40);
    assert_program(&mut g, dat, text, REGION_THIRD, 4, 2);
}

/// Segment table at 0x10000, page table at 0x11000: pages 0 to 127 are mapped to themselves.
fn map_low_megabyte(g: &mut Guest) {
    g.put_bytes(0x1_0000, &0x20_u64.to_be_bytes().repeat(512 * 4));
    g.put_u64(0x1_0000, 0x1_4000);
    for page in 0..256 {
        let invalid = if page < 128 { 0 } else { 0x400 };
        g.put_u64(0x1_4000 + page * 8, page << 12 | invalid);
    }
    // Region-third table at 0x15000 with the segment table for the first 2 GiB only.
    g.put_bytes(0x1_5000, &0x24_u64.to_be_bytes().repeat(512 * 4));
    g.put_u64(0x1_5000, 0x1_0000 | 4 | 3);
    g.set_cr(1, 0x1_5000 | 4 | 3);
}

// --- fetch -----------------------------------------------------------------------------------

/// Where the text is not known the length is at the CPU's choice; the address must have been
/// moved by it.
#[test]
fn test_branch_to_where_nothing_can_be_fetched() {
    let mut g = Guest::new();
    for (target, code) in [(STORAGE, ADDRESSING), (CODE + 1, SPECIFICATION)] {
        g.cpu.set_gpr(2, target);
        g.load(0, "07f2 ; br %r2");
        let (stored, ilc, old) = g.run_to_program();
        assert_eq!(stored, code);
        assert!([2, 4, 6].contains(&ilc));
        assert_eq!(old.addr - u64::from(ilc), target);
    }
}

#[test]
fn test_branch_into_a_page_that_is_not_there() {
    let mut g = Guest::new();
    map_low_megabyte(&mut g);
    g.cpu.set_gpr(2, 0x8_0004);
    g.load(Psw::DAT, "07f2 ; br %r2");
    let (code, _, old) = g.run_to_program();
    assert_eq!((code, old.addr), (PAGE_TRANSLATION, 0x8_0004));
    assert_eq!(g.u64(lowcore::TRANS_EXC_ID) & !0xfff, 0x8_0000);
}

/// The first half of the instruction can be fetched, the second not: the address of the second
/// is stored, the PSW points to the first.
#[test]
fn test_instruction_that_runs_into_a_page_that_is_not_there() {
    let mut g = Guest::new();
    map_low_megabyte(&mut g);
    g.put(0x7_fffc, "c011 0000");
    g.cpu.set_gpr(2, 0x7_fffc);
    g.load(Psw::DAT, "07f2 ; br %r2");
    let (code, _, old) = g.run_to_program();
    assert_eq!((code, old.addr), (PAGE_TRANSLATION, 0x7_fffc));
    assert_eq!(g.u64(lowcore::TRANS_EXC_ID) & !0xfff, 0x8_0000);
}

/// Instructions before the one that cannot be fetched are executed.
#[test]
fn test_running_off_the_end_of_storage() {
    let mut g = Guest::new();
    g.put(STORAGE - 4, "a718 0007 ; lhi %r1,7");
    g.cpu.set_psw(psw(0, STORAGE - 4));
    let (code, ilc, old) = g.run_to_program();
    assert_eq!((code, old.addr), (ADDRESSING, STORAGE + u64::from(ilc)));
    assert_eq!(g.cpu.gpr(1), 7);
}

// --- invalid PSWs ----------------------------------------------------------------------------

/// Masks and addresses that no CPU takes: each reserved bit, EA without BA, an address beyond
/// the mode.
fn invalid_psws() -> Vec<Psw> {
    let reserved = [0, 2, 3, 4, 12].into_iter().chain(24..=30).chain(33..=63);
    let mut all: Vec<Psw> = reserved.map(|bit| psw(1 << (63 - bit), 0x8000)).collect();
    let bare = |mask, addr| Psw { mask, addr };
    all.push(bare(Psw::EXTENDED, 0x8000));
    all.push(bare(0, 1 << 24));
    all.push(bare(0, 1 << 63));
    all.push(bare(Psw::BASIC, 1 << 31));
    all
}

#[test]
fn test_load_psw_extended_of_an_invalid_psw() {
    let mut g = Guest::new();
    for invalid in invalid_psws() {
        g.put_bytes(DATA, &invalid.to_bytes());
        g.load(0, "b2b2 0400 ; lpswe 0x400");
        assert_eq!(g.run_to_program(), (SPECIFICATION, 0, invalid));
    }
}

/// The wait state does not hide it.
#[test]
fn test_invalid_psw_in_the_wait_state() {
    let mut g = Guest::new();
    let invalid = psw(Psw::WAIT | 0x20, 0);
    g.put_bytes(DATA, &invalid.to_bytes());
    g.load(0, "b2b2 0400 ; lpswe 0x400");
    assert_eq!(g.run_to_program(), (SPECIFICATION, 0, invalid));
}

#[test]
fn test_interruption_with_an_invalid_new_psw() {
    let mut g = Guest::new();
    for invalid in invalid_psws() {
        g.put_bytes(lowcore::SVC_NEW_PSW.offset.into(), &invalid.to_bytes());
        g.load(0, "0a01 ; svc 1");
        assert_eq!(g.run_to_program(), (SPECIFICATION, 0, invalid));
    }
}

#[test]
fn test_set_system_mask_to_a_reserved_bit() {
    for bit in [0x80, 0x20, 0x10, 0x08] {
        let mut g = Guest::new();
        g.put_bytes(DATA, &[bit]);
        g.load(0, "8000 0400 ; ssm 0x400");
        let (code, ilc, old) = g.run_to_program();
        assert_eq!((code, ilc), (SPECIFICATION, 4));
        assert_eq!(old, psw(u64::from(bit) << 56, CODE + 4));
    }
}

#[test]
fn test_load_psw_in_the_old_format() {
    let mut g = Guest::new();
    g.put(0x5000, "8300 0777");
    g.put(DATA, "0008 2000 8000 5000");
    g.load(0, "8200 0400 ; lpsw 0x400");
    assert_eq!(g.run_to_diag(), 0x777);
    let expected = Psw {
        mask: Psw::BASIC | 2 << 44,
        addr: 0x5004,
    };
    assert_eq!(g.cpu.psw(), expected);
    // Bit 12 must be one.
    g.put(DATA, "0000 0000 8000 5000");
    g.load(0, "8200 0400 ; lpsw 0x400");
    assert_eq!(g.run_to_program().0, SPECIFICATION);
}

// --- loops -----------------------------------------------------------------------------------

/// What would be interrupted for ever is the host's business.
#[test]
fn test_program_interruption_that_causes_itself() {
    // An invalid new PSW; one that cannot be fetched from; an invalid instruction.
    for (mask, addr, code) in [
        (MODE64 | 1, 0x8000, SPECIFICATION),
        (MODE64, STORAGE, ADDRESSING),
        (MODE64, 0x8001, SPECIFICATION),
        (MODE64, 0x8000, OPERATION),
    ] {
        let mut g = Guest::new();
        g.put(0x8000, "0000");
        g.put_psw(lowcore::PGM_NEW_PSW.offset.into(), mask, addr);
        g.load(0, "0000");
        let exit = g.run_watched();
        assert_eq!((exit.code, exit.ipa), (Intercept::PROGRAM, code));
        assert_eq!(g.psw(lowcore::PGM_OLD_PSW).addr, CODE + 2);
        assert_eq!(g.cpu.psw().addr, addr);
    }
}

// --- supervisor call -------------------------------------------------------------------------

#[test]
fn test_supervisor_call() {
    let mut g = Guest::new();
    let mask = Psw::PROBLEM | Psw::MACHINE_CHECK | 2 << 44;
    g.load(mask, "0700 0aff ; svc 255");
    assert_eq!(g.run_to_diag(), SUPERVISOR_CALL);
    assert_eq!(g.u16(lowcore::SVC_CODE), 0xff);
    assert_eq!(g.u16(lowcore::SVC_ILC), 2);
    assert_eq!(g.psw(lowcore::SVC_OLD_PSW), psw(mask, CODE + 4));
    assert_eq!(g.cpu.psw(), psw(0, handler(SUPERVISOR_CALL) + 4));
}

/// The lowcore is where the prefix says.
#[test]
fn test_interruption_behind_a_prefix() {
    let mut g = Guest::new();
    g.put(DATA, "0001 0000");
    g.put(0x9000, "8300 0777");
    g.put_psw(0x1_0000 + 0x1c0, MODE64, 0x9000);
    g.load(0, "b210 0400 0a07 ; spx 0x400, svc 7");
    assert_eq!(g.run_to_diag(), 0x777);
    assert_eq!(g.get::<2>(0x1_008a), [0, 7]);
    assert_eq!(g.u16(lowcore::SVC_CODE), 0);
}

// --- what the host injects -------------------------------------------------------------------

#[test]
fn test_host_refuses_an_instruction() {
    let mut g = Guest::new();
    g.load(1 << 44, "0700 8300 0777");
    assert_eq!(g.run_to_diag(), 0x777);
    g.cpu.inject_program(SPECIFICATION).unwrap();
    let expected = (SPECIFICATION, 4, psw(1 << 44, CODE + 6));
    assert_eq!(g.run_to_program(), expected);
    // A translation exception nullifies whoever found it.
    g.load(0, "0700 8300 0777");
    assert_eq!(g.run_to_diag(), 0x777);
    g.cpu.inject_program(PAGE_TRANSLATION).unwrap();
    assert_eq!(g.run_to_program(), (PAGE_TRANSLATION, 4, psw(0, CODE + 2)));
}

// --- restart ---------------------------------------------------------------------------------

#[test]
fn test_restart_of_an_operating_cpu() {
    let mut g = Guest::new();
    g.load(3 << 44, "a7f4 0000 ; j .");
    g.handle().inject(LocalInterrupt::Restart).unwrap();
    assert_eq!(g.run_to_diag(), RESTART);
    assert_eq!(g.psw(lowcore::RESTART_OLD_PSW), psw(3 << 44, CODE));
    assert_eq!(g.cpu.psw(), psw(0, handler(RESTART) + 4));
}

#[test]
fn test_restart_starts_a_stopped_cpu() {
    let mut g = Guest::new();
    g.load(0, "a7f4 0000 ; j .");
    g.handle().set_run_state(RunState::Stopped).unwrap();
    g.handle().inject(LocalInterrupt::Restart).unwrap();
    assert_eq!(g.run_to_diag(), RESTART);
    assert_eq!(g.handle().run_state(), RunState::Operating);
    assert_eq!(g.psw(lowcore::RESTART_OLD_PSW).addr, CODE);
}

#[test]
fn test_restart_ends_a_wait_that_nothing_else_would() {
    let mut g = Guest::new();
    g.load(Psw::WAIT, "");
    assert_eq!(g.run().code, Intercept::WAIT);
    g.handle().inject(LocalInterrupt::Restart).unwrap();
    assert_eq!(g.run_to_diag(), RESTART);
    assert_eq!(g.psw(lowcore::RESTART_OLD_PSW), psw(Psw::WAIT, CODE));
}
