// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! TOD clock, clock comparator and CPU timer as a guest sees them.

mod common;

use common::{psw, Guest, CODE, DATA};
use s390_cpu::Time;
use s390_extint::lowcore;
use s390_hypervisor::{Intercept, LocalInterrupt, Psw, RunState, Vcpu};

const COMPARATOR: u64 = 0x800;
const CPU_TIMER: u64 = 0x400;
/// TOD units of a microsecond.
const MICROSECOND: u64 = 4096;
const LOOP: &str = "a7f4 0000 ; j .";

fn doubleword(g: &Guest, addr: u64) -> u64 {
    u64::from_be_bytes(g.get(addr))
}

/// Runs this text and a DIAGNOSE behind it.
fn run(g: &mut Guest, text: &str) {
    g.load(0, &format!("{text}\n 8300 0777"));
    assert_eq!(g.run_to_diag(), 0x777);
}

fn tod(g: &mut Guest) -> u64 {
    run(g, "b205 0400 ; stck 0x400");
    doubleword(g, DATA)
}

fn set_timers(g: &mut Guest, comparator: u64, cpu_timer: u64) {
    let mut state = g.cpu.state().unwrap();
    state.clock_comparator = comparator;
    state.cpu_timer = cpu_timer;
    g.cpu.set_state(&state).unwrap();
}

/// A loop is left after as many instructions as there are nanoseconds to the deadline.
#[test]
fn test_clock_comparator_interrupts_a_loop() {
    let mut g = Guest::new();
    g.set_cr(0, COMPARATOR);
    let now = tod(&mut g);
    set_timers(&mut g, now + 1000 * MICROSECOND, 0);
    g.load(Psw::EXTERNAL, LOOP);
    let before = g.cpu.instructions();
    assert_eq!(g.run_to_external(), (0x1004, CODE));
    let passed = g.cpu.instructions() - before;
    assert!((1_000_000..1_000_010).contains(&passed), "{passed}");
}

#[test]
fn test_cpu_timer_interrupts_a_loop() {
    let mut g = Guest::new();
    g.set_cr(0, CPU_TIMER);
    set_timers(&mut g, 0, 50 * MICROSECOND);
    g.load(Psw::EXTERNAL, LOOP);
    let before = g.cpu.instructions();
    assert_eq!(g.run_to_external(), (0x1005, CODE));
    let passed = g.cpu.instructions() - before;
    assert!((50_000..50_010).contains(&passed), "{passed}");
}

/// The first of the two ends the wait, whichever it is.
#[test]
fn test_timers_end_a_wait() {
    for (comparator, cpu_timer, code) in [(10, 20, 0x1004), (20, 10, 0x1005)] {
        let mut g = Guest::new();
        g.set_cr(0, COMPARATOR | CPU_TIMER);
        let now = tod(&mut g);
        set_timers(
            &mut g,
            now + comparator * MICROSECOND,
            cpu_timer * MICROSECOND,
        );
        g.load(Psw::EXTERNAL | Psw::WAIT, "");
        assert_eq!(g.run_to_external(), (code, CODE));
        let passed = tod(&mut g) - now;
        let expected = 10 * MICROSECOND..11 * MICROSECOND;
        assert!(expected.contains(&passed), "{passed}");
    }
}

/// A guest sets its timers itself and waits, again and again.
#[test]
fn test_periodic_timer() {
    let mut g = Guest::new();
    g.set_cr(0, COMPARATOR);
    let now = tod(&mut g);
    g.cpu.set_gpr(1, now);
    g.cpu.set_gpr(2, MICROSECOND * 1000);
    g.cpu.set_gpr(3, 5);
    // The handler: next deadline, count, return to the wait.
    g.put(
        common::handler(common::EXTERNAL),
        "b908 0012      ; agr %r1,%r2
         e310 0400 0024 ; stg %r1,0x400
         b206 0400      ; sckc 0x400
         a736 0004      ; brct %r3,.+8
         8300 0777
         b2b2 0130      ; lpswe 0x130",
    );
    g.load(Psw::EXTERNAL | Psw::WAIT, "");
    let before = tod(&mut g);
    g.load(Psw::EXTERNAL | Psw::WAIT, "");
    assert_eq!(g.run_to_diag(), 0x777);
    // The first is due at once: the comparator is zero.
    let passed = tod(&mut g) - before;
    let expected = 4000 * MICROSECOND..4001 * MICROSECOND;
    assert!(expected.contains(&passed), "{passed}");
}

/// The same run takes the same time and ends with the same clock.
#[test]
fn test_virtual_time_is_reproducible() {
    let once = || {
        let mut g = Guest::new();
        g.set_cr(0, COMPARATOR | CPU_TIMER);
        let now = tod(&mut g);
        set_timers(&mut g, now + 300 * MICROSECOND, 777 * MICROSECOND);
        g.load(Psw::EXTERNAL, LOOP);
        let first = g.run_to_external();
        (first, tod(&mut g), g.cpu.state().unwrap())
    };
    assert_eq!(once(), once());
}

#[test]
fn test_clock_values_are_unique() {
    let mut g = Guest::new();
    run(
        &mut g,
        "b205 0400 ; stck 0x400
         b205 0408 ; stck 0x408
         b278 0410 ; stcke 0x410
         b205 0420 ; stck 0x420",
    );
    let extended = u64::from_be_bytes(g.get(0x411));
    let values = [
        doubleword(&g, 0x400),
        doubleword(&g, 0x408),
        extended,
        doubleword(&g, 0x420),
    ];
    assert!(values.windows(2).all(|w| w[0] < w[1]), "{values:x?}");
    assert_eq!(g.get::<1>(0x410), [0], "epoch index");
    assert_ne!(g.get::<5>(0x419), [0; 5], "bits 72 to 111");
}

#[test]
fn test_set_clock_moves_the_clock() {
    let mut g = Guest::new();
    g.put_u64(DATA, 0xd000_0000_0000_0000);
    run(
        &mut g,
        "b204 0400 ; sck 0x400
         b205 0408 ; stck 0x408",
    );
    let passed = doubleword(&g, 0x408) - 0xd000_0000_0000_0000;
    assert!(passed < MICROSECOND, "{passed:x}");
}

#[test]
fn test_timers_are_set_and_stored() {
    let mut g = Guest::new();
    g.put_u64(DATA, 0x1234_5678_9abc_def0);
    g.put_u64(DATA + 8, 0x7000_0000_0000_0000);
    g.cpu.set_gpr(0, 0xbeef);
    run(
        &mut g,
        "b206 0400 ; sckc 0x400
         b208 0408 ; spt 0x408
         b207 0410 ; stckc 0x410
         b209 0418 ; stpt 0x418
         0107      ; sckpf
         b278 0420 ; stcke 0x420",
    );
    assert_eq!(doubleword(&g, 0x410), 0x1234_5678_9abc_def0);
    let passed = 0x7000_0000_0000_0000 - doubleword(&g, 0x418);
    assert!(passed < MICROSECOND, "{passed:x}");
    assert_eq!(g.get::<2>(0x42e), [0xbe, 0xef]);
    assert_eq!(g.cpu.state().unwrap().todpr, 0xbeef);
}

/// The clock goes on while the CPU is stopped, its timer does not.
#[test]
fn test_cpu_timer_stands_still_while_the_cpu_is_stopped() {
    let mut g = Guest::with_time(Time::Host);
    set_timers(&mut g, 0, 1 << 60);
    let passes = |g: &Guest| {
        let before = g.cpu.state().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        before.cpu_timer - g.cpu.state().unwrap().cpu_timer
    };
    run(&mut g, "");
    assert_ne!(passes(&g), 0);
    let stop = LocalInterrupt::Stop {
        store_status: false,
    };
    g.handle().inject(stop).unwrap();
    assert_eq!(g.run().code, Intercept::STOP);
    assert_eq!(passes(&g), 0);
    g.handle().set_run_state(RunState::Operating).unwrap();
    run(&mut g, "");
    assert_ne!(passes(&g), 0);
}

/// In real time, too, the deadline ends a wait, though nobody calls.
#[test]
fn test_host_time_ends_a_wait() {
    let mut g = Guest::with_time(Time::Host);
    g.set_cr(0, COMPARATOR);
    let now = tod(&mut g);
    set_timers(&mut g, now + 5000 * MICROSECOND, 0);
    g.cpu.set_psw(psw(Psw::EXTERNAL | Psw::WAIT, CODE));
    let exit = g.run_watched();
    assert_eq!(exit.base_displacement().1, common::EXTERNAL);
    assert_eq!(g.u16(lowcore::EXT_CODE), 0x1004);
    assert!(tod(&mut g) - now > 5000 * MICROSECOND);
}
