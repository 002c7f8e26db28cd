// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Operating, waiting and stopped; kicks, orders and resets; the whole state in and out.

mod common;

use common::{psw, run_beside, wait_for_byte, Guest, CODE, DATA, STORAGE};
use s390_cpu::{Config, Memory, SoftVm};
use s390_extint::lowcore::{self, Field};
use s390_hypervisor::{
    Error, Intercept, LocalInterrupt, Psw, ResetKind, RunState, Vcpu, VcpuExit, VcpuState, Vm,
};
use vm_memory::GuestAddress;

const LOOP: &str = "a7f4 0000 ; j .";

fn stop(store_status: bool) -> LocalInterrupt {
    LocalInterrupt::Stop { store_status }
}

/// A state in which every register differs from every other.
fn motley() -> VcpuState {
    VcpuState {
        psw: psw(2 << 44, CODE),
        gprs: std::array::from_fn(|n| 0x1111_0000_0000_0000 + n as u64),
        acrs: std::array::from_fn(|n| 0x2222_0000 + n as u32),
        crs: std::array::from_fn(|n| if n == 0 { 0xe0 } else { 0x3300_0000 + n as u64 }),
        fprs: std::array::from_fn(|n| 0x4444_0000_0000_0000 + n as u64),
        fpc: 0x0055_0000,
        prefix: 0x6000,
        todpr: 0x7777,
        cpu_timer: 0x0888_8888_8888_8888,
        clock_comparator: 0x9999_9999_9999_9900,
    }
}

// --- making ----------------------------------------------------------------------------------

#[test]
fn test_memory_must_be_one_piece_from_zero() {
    let try_new = |ranges: &[(GuestAddress, usize)]| {
        let memory = Memory::from_ranges(ranges).unwrap();
        SoftVm::new(&memory, Config::default()).map(drop)
    };
    use s390_cpu::Error::{MemoryShape, MemorySize};
    let at = GuestAddress;
    assert!(matches!(
        try_new(&[(at(0x1000), 0x10000)]),
        Err(MemoryShape)
    ));
    let two = [(at(0), 0x10000), (at(0x20000), 0x10000)];
    assert!(matches!(try_new(&two), Err(MemoryShape)));
    assert!(matches!(
        try_new(&[(at(0), 0x1000)]),
        Err(MemorySize(0x1000))
    ));
    assert!(try_new(&[(at(0), 0x2000)]).is_ok());
}

#[test]
fn test_a_new_cpu_is_reset_and_stopped() {
    let g = Guest::new();
    let cpu = g.vm.create_vcpu(7).unwrap();
    assert_eq!(cpu.address(), 7);
    assert_eq!(cpu.handle().address(), 7);
    assert_eq!(cpu.handle().run_state(), RunState::Stopped);
    let mut expected = VcpuState::default();
    (expected.crs[0], expected.crs[14]) = (0xe0, 0xc200_0000);
    assert_eq!(cpu.state().unwrap(), expected);
    assert!(matches!(g.vm.create_vcpu(7), Err(Error::Invalid(_))));
    drop(cpu);
    assert!(g.vm.create_vcpu(7).is_ok());
}

#[test]
fn test_state_in_and_out() {
    let mut g = Guest::new();
    g.cpu.set_state(&motley()).unwrap();
    assert_eq!(g.cpu.state().unwrap(), motley());
    assert_eq!(g.cpu.psw(), motley().psw);
    assert_eq!(g.cpu.gpr(3), 0x1111_0000_0000_0003);
    assert_eq!(g.cpu.prefix(), 0x6000);
    g.cpu.set_cc(1);
    assert_eq!(g.cpu.psw(), psw(1 << 44, CODE));
    for prefix in [0x1000, 0x8000_0000, STORAGE as u32] {
        let state = VcpuState { prefix, ..motley() };
        assert!(matches!(g.cpu.set_state(&state), Err(Error::Invalid(_))));
    }
}

// --- intercepts ------------------------------------------------------------------------------

/// The text of what the host carries out, as the hardware presents it; the PSW is behind it.
#[test]
fn test_instructions_for_the_host() {
    for (text, ipa, ipb) in [
        ("8324 0500", 0x8324, 0x0500_0000),
        ("ae13 2001", 0xae13, 0x2001_0000),
        ("b220 0012", 0xb220, 0x0012_0000),
        ("b27d 1234", 0xb27d, 0x1234_0000),
        ("b235 0400", 0xb235, 0x0400_0000),
    ] {
        let mut g = Guest::new();
        g.load(0, &format!("0700 {text}"));
        assert_eq!(g.run(), Intercept::instruction(ipa, ipb));
        assert_eq!(g.cpu.psw(), psw(0, CODE + 6));
    }
}

#[test]
fn test_disabled_wait_comes_back_again_and_again() {
    let mut g = Guest::new();
    let wait = psw(Psw::WAIT, 0xfff);
    g.put_bytes(DATA, &wait.to_bytes());
    g.load(0, "b2b2 0400 ; lpswe 0x400");
    for _ in 0..2 {
        assert_eq!(g.run().code, Intercept::WAIT);
        assert_eq!(g.cpu.psw(), wait);
    }
}

// --- kick ------------------------------------------------------------------------------------

#[test]
fn test_kick_before_a_run_ends_it_at_once() {
    let mut g = Guest::new();
    g.load(0, "8300 0777");
    g.handle().kick();
    g.handle().kick();
    assert_eq!(g.cpu.run().unwrap(), VcpuExit::Interrupted);
    assert_eq!(g.cpu.psw(), psw(0, CODE));
    assert_eq!(g.run_to_diag(), 0x777);
}

/// Out of a loop, an enabled wait and the stopped state.
#[test]
fn test_kick_from_another_thread() {
    for (mask, state) in [
        (0, RunState::Operating),
        (Psw::IO | Psw::WAIT, RunState::Operating),
        (Psw::EXTERNAL | Psw::WAIT, RunState::Operating),
        (0, RunState::Stopped),
    ] {
        let mut g = Guest::new();
        g.set_cr(0, 0);
        g.load(mask, LOOP);
        g.handle().set_run_state(state).unwrap();
        let handle = g.handle();
        std::thread::scope(|scope| {
            let runner = scope.spawn(|| g.cpu.run().unwrap());
            handle.kick();
            assert_eq!(runner.join().unwrap(), VcpuExit::Interrupted);
        });
        assert_eq!(g.cpu.psw(), psw(mask, CODE));
    }
}

/// However often an interruptible instruction is interrupted, it does its work once.
#[test]
fn test_kicks_in_a_long_move() {
    const LEN: u64 = 0x8_0000;
    let mut g = Guest::new();
    g.load(
        0,
        "9201 0400 ; mvi 0x400,1
         0e46      ; mvcl %r4,%r6
         8300 0777",
    );
    for (r, value) in [(4, 0x8_0000), (5, LEN), (6, 0), (7, 0xa5 << 24)] {
        g.cpu.set_gpr(r, value);
    }
    let handle = g.handle();
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| {
            while let VcpuExit::Interrupted = g.cpu.run().unwrap() {
                assert_eq!(g.cpu.gpr(4) + g.cpu.gpr(5), 0x8_0000 + LEN);
            }
        });
        while !runner.is_finished() {
            handle.kick();
        }
    });
    assert_eq!((g.cpu.gpr(4), g.cpu.gpr(5)), (0x8_0000 + LEN, 0));
    assert_eq!(g.get::<{ LEN as usize }>(0x8_0000), [0xa5; LEN as usize]);
    assert_eq!(g.cpu.instructions(), 3);
}

// --- stopped ---------------------------------------------------------------------------------

#[test]
fn test_stop_and_start() {
    let mut g = Guest::new();
    g.load(
        0,
        "9201 0400 ; mvi 0x400,1
         a7f4 0000 ; j .",
    );
    let handle = g.handle();
    let (exit, ()) = run_beside(&mut g, |memory, _| {
        wait_for_byte(memory, DATA);
        assert_eq!(handle.run_state(), RunState::Operating);
        handle.inject(stop(false)).unwrap();
    });
    assert_eq!(exit.code, Intercept::STOP);
    assert_eq!(handle.run_state(), RunState::Stopped);
    assert_eq!(g.cpu.psw(), psw(0, CODE + 4));
    // It stays so until somebody starts it.
    handle.kick();
    assert_eq!(g.cpu.run().unwrap(), VcpuExit::Interrupted);
    g.put(CODE + 4, "8300 0777");
    let (exit, ()) = run_beside(&mut g, |_, _| {
        handle.set_run_state(RunState::Operating).unwrap();
    });
    assert_eq!(exit.base_displacement().1, 0x777);
}

/// What is pending and open is taken first (chapter 4, "Stopped, Operating, ... States").
#[test]
fn test_stop_comes_after_interruptions() {
    let mut g = Guest::new();
    g.set_cr(0, 0x4000);
    g.load(Psw::EXTERNAL, LOOP);
    let handle = g.handle();
    handle.inject(stop(false)).unwrap();
    handle.inject(LocalInterrupt::EmergencySignal(1)).unwrap();
    assert_eq!(g.run().code, Intercept::STOP);
    assert_eq!(g.cpu.psw().addr, common::handler(common::EXTERNAL));
}

/// Interruptions stay pending while the CPU is stopped.
#[test]
fn test_stopped_cpu_takes_no_interruption() {
    let mut g = Guest::new();
    g.set_cr(0, 0x4000);
    g.load(Psw::EXTERNAL, LOOP);
    let handle = g.handle();
    handle.set_run_state(RunState::Stopped).unwrap();
    handle.inject(LocalInterrupt::EmergencySignal(1)).unwrap();
    let (exit, ()) = run_beside(&mut g, |_, _| {
        handle.set_run_state(RunState::Operating).unwrap();
    });
    assert_eq!(exit.base_displacement().1, common::EXTERNAL);
}

#[test]
fn test_set_prefix_order() {
    let mut g = Guest::new();
    let handle = g.handle();
    let set = |prefix| handle.inject(LocalInterrupt::SetPrefix(prefix));
    assert!(matches!(set(0x6000), Err(Error::IncorrectState)));
    handle.set_run_state(RunState::Stopped).unwrap();
    assert!(matches!(set(0x7000), Err(Error::Invalid(_))));
    assert!(matches!(set(STORAGE as u32), Err(Error::Invalid(_))));
    set(0x6000).unwrap();
    handle.set_run_state(RunState::Operating).unwrap();
    g.load(0, "b211 0400 ; stpx 0x400\n 8300 0777");
    assert_eq!(g.run_to_diag(), 0x777);
    // Real 0x400 is absolute 0x6400 now.
    assert_eq!(g.get::<4>(0x6000 + DATA), [0, 0, 0x60, 0]);
}

// --- status ----------------------------------------------------------------------------------

/// Where each register is in a status area, and what is there.
fn assert_status(g: &Guest, area: u64, state: &VcpuState) {
    let field = |f: Field, at: u64| area + u64::from(f.offset - lowcore::SAVE_AREA) + at;
    for n in 0..16 {
        let (r, n) = (n, n as u64);
        assert_eq!(
            g.get(field(lowcore::SAVE_FPRS, n * 8)),
            state.fprs[r].to_be_bytes()
        );
        assert_eq!(
            g.get(field(lowcore::SAVE_GPRS, n * 8)),
            state.gprs[r].to_be_bytes()
        );
        assert_eq!(
            g.get(field(lowcore::SAVE_ACRS, n * 4)),
            state.acrs[r].to_be_bytes()
        );
        assert_eq!(
            g.get(field(lowcore::SAVE_CRS, n * 8)),
            state.crs[r].to_be_bytes()
        );
    }
    assert_eq!(g.get(area + 0x100), state.psw.to_bytes());
    assert_eq!(g.get(area + 0x118), state.prefix.to_be_bytes());
    assert_eq!(g.get(area + 0x11c), state.fpc.to_be_bytes());
    assert_eq!(g.get(area + 0x124), state.todpr.to_be_bytes());
    assert_eq!(g.get(area + 0x128), state.cpu_timer.to_be_bytes());
    assert_eq!(
        g.get::<7>(area + 0x131),
        state.clock_comparator.to_be_bytes()[..7]
    );
    // What is not part of it stays.
    assert_eq!(g.get(area + 0x110), [0xee; 8]);
    assert_eq!(g.get(area + 0x130), [0xee]);
}

#[test]
fn test_store_status() {
    let mut g = Guest::new();
    g.cpu.set_state(&motley()).unwrap();
    for area in [0x9000, STORAGE - 0x200] {
        g.put_bytes(area, &[0xee; 0x200]);
        g.cpu.store_status(area).unwrap();
        assert_status(&g, area, &motley());
    }
    for outside in [STORAGE - 0x1ff, STORAGE, u64::MAX - 0x10] {
        assert!(matches!(
            g.cpu.store_status(outside),
            Err(Error::Invalid(_))
        ));
    }
}

/// Into the CPU's own lowcore, whether it was operating or stopped already.
#[test]
fn test_stop_and_store_status() {
    let mut g = Guest::new();
    g.put_bytes(0x6000 + 0x1200, &[0xee; 0x200]);
    g.cpu.set_state(&motley()).unwrap();
    g.handle().inject(stop(true)).unwrap();
    assert_eq!(g.run().code, Intercept::STOP);
    assert_status(&g, 0x7200, &motley());

    g.put_bytes(0x7200, &[0xee; 0x200]);
    let handle = g.handle();
    handle.inject(stop(true)).unwrap();
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| g.cpu.run().unwrap());
        // The last byte of the area is part of a control register.
        while g_last_byte(&g.memory) == 0xee {
            std::thread::yield_now();
        }
        handle.kick();
        assert_eq!(runner.join().unwrap(), VcpuExit::Interrupted);
    });
    assert_status(&g, 0x7200, &motley());
}

fn g_last_byte(memory: &Memory) -> u8 {
    use vm_memory::Bytes;
    memory.read_obj(GuestAddress(0x73ff)).unwrap()
}

// --- resets ----------------------------------------------------------------------------------

#[test]
fn test_resets() {
    let zero = VcpuState::default();
    let mut initial_crs = [0; 16];
    (initial_crs[0], initial_crs[14]) = (0xe0, 0xc200_0000);
    let initial = VcpuState {
        gprs: motley().gprs,
        acrs: motley().acrs,
        fprs: motley().fprs,
        crs: initial_crs,
        ..zero.clone()
    };
    let clear = VcpuState {
        crs: initial_crs,
        ..zero
    };
    for (kind, expected) in [
        (ResetKind::Normal, motley()),
        (ResetKind::Initial, initial),
        (ResetKind::Clear, clear),
    ] {
        let mut g = Guest::new();
        g.cpu.set_state(&motley()).unwrap();
        let handle = g.handle();
        handle.inject(LocalInterrupt::ExternalCall(1)).unwrap();
        handle.inject(LocalInterrupt::EmergencySignal(1)).unwrap();
        handle.inject(LocalInterrupt::Restart).unwrap();
        handle.inject(stop(false)).unwrap();
        g.cpu.inject_program(6).unwrap();
        g.cpu.reset(kind).unwrap();
        assert_eq!(g.cpu.state().unwrap(), expected, "{kind:?}");
        assert_eq!(handle.run_state(), RunState::Operating);
        assert!(!handle.external_call_pending());
        // Nothing is pending any more.
        g.set_cr(0, 0x6000);
        g.load(Psw::EXTERNAL, "8300 0777");
        assert_eq!(g.run_to_diag(), 0x777);
    }
}

// --- counting --------------------------------------------------------------------------------

#[test]
fn test_instructions_are_counted_exactly() {
    // A loop in which blocks are chained, left in the middle, and cross a page.
    let mut g = Guest::new();
    let at = CODE + 0xff4;
    g.put(
        at,
        "a71a 0001      ; ahi %r1,1
         a714 0002      ; jo .+4
         c001 0000 0001 ; lgfi %r0,1, into the next page
         a726 fff9      ; brct %r2,.-14
         8300 0777",
    );
    g.cpu.set_gpr(2, 10_000);
    g.cpu.set_psw(psw(0, at));
    assert_eq!(g.run_to_diag(), 0x777);
    assert_eq!(g.cpu.instructions(), 10_000 * 4 + 1);

    // What ends in a program interruption does not count; the handler's DIAGNOSE does.
    let before = g.cpu.instructions();
    g.load(0, "0700 0700 0000 0700");
    g.run_to_program();
    assert_eq!(g.cpu.instructions() - before, 2 + 1);

    // A store into the block that is running counts once.
    let before = g.cpu.instructions();
    g.cpu.set_gpr(5, CODE);
    g.load(
        0,
        "0700
         9205 5009 ; mvi 9(%r5),5
         a718 0001 ; lhi %r1,1
         8300 0777",
    );
    assert_eq!(g.run_to_diag(), 0x777);
    assert_eq!(g.cpu.instructions() - before, 4);
}
