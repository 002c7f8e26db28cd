// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! External interruptions: which one is taken, when, and what is stored.

mod common;

use common::{psw, run_beside, wait_for_byte, Guest, CODE, DATA};
use s390_extint::{lowcore, ExternalInterrupt, VirtioEvent};
use s390_hypervisor::{Error, Intercept, LocalInterrupt, Psw, Vcpu, Vm};

/// Every subclass.
const CR0_ALL: u64 = 0x6e00;
const LOOP: &str = "a7f4 0000 ; j .";

fn vring(token: u64) -> ExternalInterrupt {
    ExternalInterrupt::virtio(VirtioEvent::Vring { token })
}

fn service() -> ExternalInterrupt {
    ExternalInterrupt::service(0x1000, false)
}

/// A guest in a loop with everything open.
fn open_guest() -> Guest {
    let mut g = Guest::new();
    g.set_cr(0, CR0_ALL);
    quiet_timers(&mut g);
    g.load(Psw::EXTERNAL, LOOP);
    g
}

/// Neither timer is due for a long time.
fn quiet_timers(g: &mut Guest) {
    let mut state = g.cpu.state().unwrap();
    state.clock_comparator = u64::MAX;
    state.cpu_timer = u64::MAX >> 1;
    g.cpu.set_state(&state).unwrap();
}

/// Makes both timers due.
fn due_timers(g: &mut Guest) {
    let mut state = g.cpu.state().unwrap();
    state.clock_comparator = 0;
    state.cpu_timer = u64::MAX;
    g.cpu.set_state(&state).unwrap();
}

#[test]
fn test_what_each_stores() {
    let mut g = open_guest();
    g.load(Psw::EXTERNAL | 2 << 44, LOOP);
    g.vm.inject(vring(0x1234_5678_9abc_def0)).unwrap();
    assert_eq!(g.run_to_external(), (0x2603, CODE));
    assert_eq!(g.u16(lowcore::EXT_SUBCODE), 0x0d00);
    assert_eq!(g.u32(lowcore::EXT_PARAMS), 0);
    assert_eq!(g.u64(lowcore::EXT_PARAMS2), 0x1234_5678_9abc_def0);
    let old = g.psw(lowcore::EXT_OLD_PSW);
    assert_eq!(old, psw(Psw::EXTERNAL | 2 << 44, CODE));

    g.return_from_external();
    g.vm.inject(service()).unwrap();
    assert_eq!(g.run_to_external().0, 0x2401);
    assert_eq!(g.u32(lowcore::EXT_PARAMS), 0x1000);

    g.return_from_external();
    let handle = g.handle();
    handle.inject(LocalInterrupt::EmergencySignal(3)).unwrap();
    assert_eq!(g.run_to_external().0, 0x1201);
    assert_eq!(g.u16(lowcore::EXT_SUBCODE), 3);

    g.return_from_external();
    handle.inject(LocalInterrupt::ExternalCall(5)).unwrap();
    assert!(handle.external_call_pending());
    assert_eq!(g.run_to_external().0, 0x1202);
    assert_eq!(g.u16(lowcore::EXT_SUBCODE), 5);
    assert!(!handle.external_call_pending());
}

#[test]
fn test_order_of_simultaneous_interruptions() {
    let mut g = open_guest();
    for interrupt in [vring(2), service(), vring(4)] {
        g.vm.inject(interrupt).unwrap();
    }
    let handle = g.handle();
    handle.inject(LocalInterrupt::ExternalCall(9)).unwrap();
    for cpu in [7, 3, 7] {
        handle.inject(LocalInterrupt::EmergencySignal(cpu)).unwrap();
    }
    due_timers(&mut g);
    let mut seen = Vec::new();
    for _ in 0..8 {
        let (code, _) = g.run_to_external();
        let detail = match code {
            0x2603 => g.u64(lowcore::EXT_PARAMS2),
            _ => g.u16(lowcore::EXT_SUBCODE).into(),
        };
        seen.push((code, detail));
        let mut state = g.cpu.state().unwrap();
        match code {
            0x1004 => state.clock_comparator = u64::MAX,
            0x1005 => state.cpu_timer = u64::MAX >> 1,
            _ => {}
        }
        g.cpu.set_state(&state).unwrap();
        g.return_from_external();
    }
    let expected = [
        (0x1201, 3),
        (0x1201, 7),
        (0x1202, 9),
        (0x1004, 0),
        (0x1005, 0),
        (0x2401, 0),
        (0x2603, 2),
        (0x2603, 4),
    ];
    assert_eq!(seen, expected);
}

/// One interruption after the other is taken where the new PSW allows it, without an
/// instruction of the handler in between.
#[test]
fn test_new_psw_that_is_open_for_others() {
    let mut g = open_guest();
    let new = lowcore::EXT_NEW_PSW.offset.into();
    g.put_psw(new, psw(Psw::EXTERNAL, 0).mask, 0x5000);
    g.put(0x5000, "8300 0777");
    g.vm.inject(vring(2)).unwrap();
    g.vm.inject(vring(4)).unwrap();
    assert_eq!(g.run_to_diag(), 0x777);
    assert_eq!(g.u64(lowcore::EXT_PARAMS2), 4);
    assert_eq!(g.psw(lowcore::EXT_OLD_PSW).addr, 0x5000);
}

/// Each is held by its subclass mask and by the PSW, and taken before the next instruction once
/// both are open.
#[test]
fn test_masks() {
    type Raise = fn(&mut Guest);
    let kinds: [(u16, u64, Raise); 6] = [
        (0x1201, 0x4000, |g| {
            let signal = LocalInterrupt::EmergencySignal(1);
            g.handle().inject(signal).unwrap();
        }),
        (0x1202, 0x2000, |g| {
            g.handle().inject(LocalInterrupt::ExternalCall(1)).unwrap();
        }),
        (0x1004, 0x800, |g| {
            let mut state = g.cpu.state().unwrap();
            state.clock_comparator = 0;
            g.cpu.set_state(&state).unwrap();
        }),
        (0x1005, 0x400, |g| {
            let mut state = g.cpu.state().unwrap();
            state.cpu_timer = u64::MAX;
            g.cpu.set_state(&state).unwrap();
        }),
        (0x2401, 0x200, |g| g.vm.inject(service()).unwrap()),
        (0x2603, 0x200, |g| g.vm.inject(vring(2)).unwrap()),
    ];
    for (code, subclass, raise) in kinds {
        let mut g = open_guest();
        // Everything but its subclass, then all.
        g.set_cr(0, CR0_ALL & !subclass);
        g.put_u64(DATA, CR0_ALL);
        raise(&mut g);
        g.load(
            Psw::EXTERNAL,
            "0700
             eb00 0400 002f ; lctlg %c0,%c0,0x400
             0700",
        );
        assert_eq!(g.run_to_external(), (code, CODE + 8), "subclass");

        // The PSW's mask, opened in four ways.
        for (text, offset) in [
            ("0700 ad01 0500 ; stosm 0x500,1", 6),
            ("0700 8000 0408 ; ssm 0x408", 6),
            ("0700 b2b2 0410 ; lpswe 0x410", 0x80),
            ("0700 0a00      ; svc 0", 0x80),
        ] {
            let mut g = open_guest();
            g.put(DATA + 8, "01");
            g.put_psw(DATA + 16, psw(Psw::EXTERNAL, 0).mask, CODE + 0x80);
            let svc = lowcore::SVC_NEW_PSW.offset.into();
            g.put_psw(svc, psw(Psw::EXTERNAL, 0).mask, CODE + 0x80);
            raise(&mut g);
            g.load(0, text);
            assert_eq!(g.run_to_external(), (code, CODE + offset), "{text}");
        }
    }
}

/// Closing the mask holds what comes afterwards.
#[test]
fn test_store_then_and_system_mask_closes() {
    let mut g = open_guest();
    g.load(
        Psw::EXTERNAL,
        "acfe 0500 ; stnsm 0x500,0xfe
         8300 0777",
    );
    assert_eq!(g.run_to_diag(), 0x777);
    assert_eq!(g.get::<1>(0x500), [1]);
    g.vm.inject(vring(2)).unwrap();
    g.put(CODE + 8, "8300 0778");
    assert_eq!(g.run_to_diag(), 0x778);
}

/// An interruption that arrives while the guest runs in a chain of blocks.
#[test]
fn test_interruption_of_a_running_guest() {
    let mut g = open_guest();
    g.load(
        Psw::EXTERNAL,
        "9201 0400 ; mvi 0x400,1
         a7f4 0000 ; j .",
    );
    let (exit, ()) = run_beside(&mut g, |memory, vm| {
        wait_for_byte(memory, DATA);
        vm.inject(vring(6)).unwrap();
    });
    assert_eq!(exit.base_displacement().1, common::EXTERNAL);
    assert_eq!(g.psw(lowcore::EXT_OLD_PSW).addr, CODE + 4);
    assert_eq!(g.u64(lowcore::EXT_PARAMS2), 6);
}

#[test]
fn test_interruption_ends_a_wait() {
    let mut g = open_guest();
    g.load(Psw::EXTERNAL | Psw::WAIT, "");
    let (exit, ()) = run_beside(&mut g, |_, vm| vm.inject(vring(6)).unwrap());
    assert_eq!(exit.base_displacement().1, common::EXTERNAL);
    let old = g.psw(lowcore::EXT_OLD_PSW);
    assert_eq!(old, psw(Psw::EXTERNAL | Psw::WAIT, CODE));
    assert_eq!(g.cpu.psw().mask & Psw::WAIT, 0);
}

/// A masked interruption does not end a wait, the next one that is open does.
#[test]
fn test_masked_interruption_leaves_the_wait() {
    let mut g = open_guest();
    g.set_cr(0, 0x4000);
    g.vm.inject(vring(6)).unwrap();
    g.load(Psw::EXTERNAL | Psw::WAIT, "");
    let handle = g.handle();
    let (exit, ()) = run_beside(&mut g, |_, _| {
        handle.inject(LocalInterrupt::EmergencySignal(2)).unwrap();
    });
    assert_eq!(exit.base_displacement().1, common::EXTERNAL);
    assert_eq!(g.u16(lowcore::EXT_CODE), 0x1201);
}

/// A timer that stays due would interrupt its own handler for ever.
#[test]
fn test_timer_interruption_that_loops() {
    for (code, subclass) in [(0x1004, 0x800), (0x1005, 0x400)] {
        let mut g = open_guest();
        due_timers(&mut g);
        g.set_cr(0, subclass);
        let new = lowcore::EXT_NEW_PSW.offset.into();
        g.put_psw(new, psw(Psw::EXTERNAL, 0).mask, 0x5000);
        g.load(Psw::EXTERNAL, LOOP);
        let exit = g.run_watched();
        assert_eq!((exit.code, exit.ipa), (Intercept::EXTERNAL_LOOP, code));
        assert_eq!(g.cpu.psw(), psw(Psw::EXTERNAL, CODE));
    }
}

#[test]
fn test_cleared_interruptions_are_not_taken() {
    let mut g = open_guest();
    g.vm.inject(vring(2)).unwrap();
    g.vm.clear_interrupts().unwrap();
    g.load(Psw::EXTERNAL, "8300 0777");
    assert_eq!(g.run_to_diag(), 0x777);
}

#[test]
fn test_one_external_call_at_a_time() {
    let g = open_guest();
    let handle = g.handle();
    handle.inject(LocalInterrupt::ExternalCall(1)).unwrap();
    let second = handle.inject(LocalInterrupt::ExternalCall(2));
    assert!(matches!(second, Err(Error::IncorrectState)));
}

/// A floating interruption goes to the CPU that is open for it, and to one only.
#[test]
fn test_floating_interruption_goes_to_the_open_cpu() {
    let mut g = open_guest();
    let mut closed = g.vm.new_vcpu(1).unwrap();
    let handle = closed.handle();
    handle
        .set_run_state(s390_hypervisor::RunState::Operating)
        .unwrap();
    g.put(0x5000, "8300 0777");
    closed.set_psw(psw(0, 0x5000));
    g.vm.inject(vring(2)).unwrap();
    let exit = closed.run().unwrap();
    assert!(matches!(
        exit,
        s390_hypervisor::VcpuExit::Intercept(i) if i.base_displacement().1 == 0x777
    ));
    assert_eq!(g.run_to_external(), (0x2603, CODE));
    g.return_from_external();
    g.put(CODE, "8300 0777");
    assert_eq!(g.run_to_diag(), 0x777);
}
