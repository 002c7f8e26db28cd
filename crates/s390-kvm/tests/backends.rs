// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The same guests on both backends, with the same answers: the software CPU everywhere, KVM
//! where it is usable (`S390_KVM_REQUIRED=1`: it must be).

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{on_both, on_kvm, virtio, Guest, CODE, DIAG, LOOP, LPSWE, MASK, OPEN, SERVICE, SIZE};
use s390_hypervisor::{
    Error, ExternalInterrupt, Intercept, LocalInterrupt, Psw, ResetKind, RunState, Vcpu, VcpuExit,
    VcpuHandle, VcpuState,
};
use vm_memory::{Bytes, GuestAddress};

#[test]
fn a_diagnose_is_an_intercept_after_which_the_guest_goes_on() {
    on_both(|mut guest| {
        let code: [&[u8]; 6] = [
            &[0xa7, 0x29, 0x00, 0x2a],             // lghi %r2,42
            &[0xa7, 0x39, 0x12, 0x34],             // lghi %r3,0x1234
            &[0xe3, 0x20, 0x30, 0x00, 0x00, 0x24], // stg %r2,0(%r3)
            &DIAG,
            &[0xa7, 0x2b, 0x00, 0x01], // aghi %r2,1
            &DIAG,
        ];
        guest.start(MASK, &code);
        guest.diag();
        assert_eq!(guest.cpu.psw(), Psw::ipl(CODE + 18));
        assert_eq!(guest.cpu.gpr(2), 42);
        assert_eq!(guest.cpu.gpr(3), 0x1234);
        assert_eq!(u64::from_be_bytes(guest.get(0x1234)), 42);
        guest.cpu.set_gpr(2, u64::MAX);
        guest.diag();
        assert_eq!(guest.cpu.gpr(2), 0);
        assert_eq!(guest.cpu.psw().cc(), 0);
        guest.cpu.set_cc(1);
        guest.put(CODE + 26, &[0xa7, 0x44, 0x00, 0x02]); // jl .+4
        guest.put(CODE + 30, &DIAG);
        guest.diag();
        assert_eq!(guest.cpu.psw().addr, CODE + 34);
        assert_eq!(guest.cpu.psw().cc(), 1);
    });
}

#[test]
fn a_disabled_wait_is_an_intercept() {
    on_both(|mut guest| {
        guest.put_psw(0x800, MASK | Psw::WAIT, 0xdead);
        guest.start(MASK, &[&LPSWE]);
        let psw = guest.wait();
        assert_eq!((psw.mask, psw.addr), (MASK | Psw::WAIT, 0xdead));
    });
}

#[test]
fn an_injected_program_interruption_leaves_the_psw_behind_the_instruction() {
    on_both(|mut guest| {
        for code in [0x0006, 0x0005] {
            guest.start(MASK, &[&DIAG, &LOOP]);
            guest.diag();
            guest.cpu.inject_program(code).unwrap();
            assert_eq!(guest.wait().addr, 0x1d0);
            assert_eq!(guest.get_u16(0x8c), 4);
            assert_eq!(guest.get_u16(0x8e), code);
            assert_eq!(guest.get_psw(0x150), Psw::ipl(CODE + 4));
        }
    });
}

/// Who injects an access exception has stored where it was, and put the PSW where it shall be.
#[test]
fn an_injected_access_exception_keeps_psw_and_identification() {
    on_kvm(|mut guest| {
        guest.start(MASK, &[&DIAG, &LOOP]);
        guest.diag();
        guest.put(0xa8, &0x7001_u64.to_be_bytes());
        guest.put(0xa0, &[5]);
        guest.cpu.inject_program(0x0011).unwrap();
        assert_eq!(guest.wait().addr, 0x1d0);
        assert_eq!(guest.get_u16(0x8e), 0x0011);
        assert_eq!(guest.get_psw(0x150), Psw::ipl(CODE + 4));
        assert_eq!(u64::from_be_bytes(guest.get(0xa8)), 0x7001);
        assert_eq!(guest.get(0xa0), [5]);
    });
}

#[test]
fn a_diagnose_in_the_problem_state_is_a_privileged_operation() {
    on_both(|mut guest| {
        guest.start(MASK | Psw::PROBLEM, &[&DIAG]);
        let mut exit = guest.intercept();
        if exit.code == Intercept::INSTRUCTION {
            guest.cpu.inject_program(0x0002).unwrap();
            exit = guest.intercept();
        }
        assert_eq!(exit.code, Intercept::WAIT);
        assert_eq!(guest.cpu.psw().addr, 0x1d0);
        let old = guest.get_psw(0x150);
        assert_eq!((guest.get_u16(0x8c), guest.get_u16(0x8e)), (4, 2));
        assert_eq!((old.mask, old.addr), (MASK | Psw::PROBLEM, CODE + 4));
    });
}

#[test]
fn a_program_exception_goes_to_the_guest() {
    on_both(|mut guest| {
        guest.start(MASK, &[&[0x00, 0x02]]);
        assert_eq!(guest.wait().addr, 0x1d0);
        assert_eq!((guest.get_u16(0x8c), guest.get_u16(0x8e)), (2, 1));
    });
}

#[test]
fn virtio_and_service_signals_end_an_enabled_wait() {
    on_both(|mut guest| {
        guest.open_subclasses(SERVICE);
        let service = ExternalInterrupt::service(0x5000, false);
        let token = 0x1122_3344_5566_7788;
        for interrupt in [virtio(1, token), virtio(0, token), service] {
            guest.put_psw(0x800, OPEN | Psw::WAIT, 0x1234);
            guest.start(MASK, &[&LPSWE]);
            guest.vm.inject(interrupt).unwrap();
            assert_eq!(guest.wait().addr, 0x1b0);
            let old = guest.get_psw(0x130);
            assert_eq!((old.mask, old.addr), (OPEN | Psw::WAIT, 0x1234));
            let seen = guest.external();
            assert_eq!((seen.code, seen.params), (interrupt.code, interrupt.params));
            if interrupt.code == ExternalInterrupt::VIRTIO {
                assert_eq!(seen, interrupt);
            }
        }
    });
}

#[test]
fn an_interruption_reaches_a_cpu_that_waits_already() {
    on_both(|mut guest| {
        guest.open_subclasses(SERVICE);
        // Tells that it has come so far, then waits.
        guest.put_psw(0x800, OPEN | Psw::WAIT, 0);
        let note = [0x92, 0x01, 0x09, 0x00]; // mvi 0x900,1
        guest.start(MASK, &[&note, &LPSWE]);
        let Guest {
            memory,
            vm,
            mut cpu,
            ..
        } = guest;
        std::thread::scope(|scope| {
            let cpu = scope.spawn(move || (cpu.run().unwrap(), cpu.psw()));
            while memory.read_obj::<u8>(GuestAddress(0x900)).unwrap() == 0 {
                std::thread::yield_now();
            }
            vm.inject(virtio(0, 0x10)).unwrap();
            let (exit, psw) = cpu.join().unwrap();
            assert!(matches!(exit, VcpuExit::Intercept(i) if i.code == Intercept::WAIT));
            assert_eq!(psw.addr, 0x1b0);
        });
    });
}

#[test]
fn pending_interruptions_come_by_priority_then_in_order() {
    on_both(|mut guest| {
        guest.open_subclasses(SERVICE);
        guest.put_psw(0x1b0, MASK, 0x11000);
        guest.put(0x11000, &DIAG);
        guest.put(0x11004, &[0xb2, 0xb2, 0x01, 0x30]); // lpswe 0x130
        for interrupt in [
            virtio(0, 0x10),
            virtio(1, 0x20),
            ExternalInterrupt::service(0x5000, false),
        ] {
            guest.vm.inject(interrupt).unwrap();
        }
        guest.start(OPEN, &[&LOOP]);
        guest.diag();
        assert_eq!(guest.external().code, 0x2401);
        guest.diag();
        assert_eq!(guest.external(), virtio(0, 0x10));
        guest.diag();
        assert_eq!(guest.external(), virtio(1, 0x20));
        guest.handle.kick();
        assert_eq!(guest.cpu.run().unwrap(), VcpuExit::Interrupted);
    });
}

#[test]
fn cleared_interruptions_never_come() {
    on_both(|mut guest| {
        guest.open_subclasses(SERVICE);
        guest.vm.inject(virtio(0, 0x10)).unwrap();
        guest
            .vm
            .inject(ExternalInterrupt::service(8, false))
            .unwrap();
        guest.vm.clear_interrupts().unwrap();
        guest.start(OPEN, &[&DIAG]);
        guest.diag();
    });
}

#[test]
fn a_retracted_interruption_never_comes_and_the_others_do() {
    on_both(|mut guest| {
        guest.open_subclasses(SERVICE);
        guest.put_psw(0x1b0, MASK, 0x11000);
        guest.put(0x11000, &DIAG);
        guest.put(0x11004, &[0xb2, 0xb2, 0x01, 0x30]); // lpswe 0x130
        let service = ExternalInterrupt::service(0x5000, false);
        for interrupt in [
            virtio(0, 0x10),
            virtio(1, 0x20),
            virtio(0, 0x10),
            service,
            virtio(1, 0x10),
            virtio(0, 0x30),
        ] {
            guest.vm.inject(interrupt).unwrap();
        }
        // The last one is not pending.
        for stale in [virtio(0, 0x10), virtio(0, 0x20)] {
            guest.vm.retract(stale).unwrap();
        }
        guest.start(OPEN, &[&DIAG]);
        guest.diag();
        let seen = guest.external();
        assert_eq!((seen.code, seen.params), (0x2401, 0x5000));
        for interrupt in [virtio(1, 0x20), virtio(1, 0x10), virtio(0, 0x30)] {
            guest.diag();
            assert_eq!(guest.external(), interrupt);
        }
        guest.diag();
        assert_eq!(guest.cpu.psw().addr, CODE + 4);
    });
}

#[test]
fn many_pending_interruptions_do_not_keep_one_from_being_retracted() {
    on_both(|mut guest| {
        guest.open_subclasses(SERVICE);
        for n in 1..=300 {
            guest.vm.inject(virtio(0, n << 8)).unwrap();
        }
        for n in 1..300 {
            guest.vm.retract(virtio(0, n << 8)).unwrap();
        }
        guest.start(OPEN, &[&LOOP]);
        assert_eq!(guest.wait().addr, 0x1b0);
        assert_eq!(guest.external(), virtio(0, 300 << 8));
    });
}

/// A CPU opens and closes itself for interruptions all the time and adds up the tokens that come,
/// while another thread takes back every second one.
#[test]
fn a_retraction_neither_loses_nor_doubles_what_another_cpu_takes() {
    const TURNS: u64 = 100;
    const STALE: u64 = 1 << 32;
    const LAST: u64 = 1 << 48;
    const SUM: GuestAddress = GuestAddress(0x900);
    on_both(|mut guest| {
        guest.open_subclasses(SERVICE);
        let handler: [&[u8]; 4] = [
            &[0xe3, 0x60, 0x01, 0xb8, 0x01, 0x04], // lg %r6,0x11b8
            &[0xb9, 0x08, 0x00, 0x56],             // agr %r5,%r6
            &[0xe3, 0x50, 0x09, 0x00, 0x00, 0x24], // stg %r5,0x900
            &[0xb2, 0xb2, 0x01, 0x30],             // lpswe 0x130
        ];
        guest.put_psw(0x1b0, MASK, 0x11000);
        guest.put(0x11000, &handler.concat());
        guest.put(0x820, &[1, 0]);
        let code: [&[u8]; 3] = [
            &[0x80, 0x00, 0x08, 0x20], // ssm 0x820
            &[0x80, 0x00, 0x08, 0x21], // ssm 0x821
            &[0xa7, 0xf4, 0xff, 0xfc], // j .-8
        ];
        guest.start(MASK, &code);
        let Guest {
            memory,
            vm,
            mut cpu,
            handle,
        } = guest;
        let sum = || u64::from_be_bytes(memory.read_obj(SUM).unwrap());
        std::thread::scope(|scope| {
            let cpu = scope.spawn(move || cpu.run().unwrap());
            for turn in 1..=TURNS {
                vm.inject(virtio(0, STALE)).unwrap();
                vm.inject(virtio(0, 2 * turn)).unwrap();
                vm.retract(virtio(0, STALE)).unwrap();
            }
            // They come in order: behind it none is left.
            vm.inject(virtio(0, LAST)).unwrap();
            while sum() < LAST {
                assert!(!cpu.is_finished(), "{:?}", cpu.join().unwrap());
                std::thread::yield_now();
            }
            handle.kick();
            assert_eq!(cpu.join().unwrap(), VcpuExit::Interrupted);
        });
        assert_eq!(sum() % STALE, TURNS * (TURNS + 1));
    });
}

/// Lets the CPU run what it is at until it was called by `call`, at a moment when it is in the
/// guest for sure, and returns the CPU and its exit.
fn call_out_of_loop(mut guest: Guest, call: impl FnOnce(&dyn VcpuHandle)) -> (Guest, VcpuExit) {
    guest.put(0x900, &[0]);
    let note = [0x92, 0x01, 0x09, 0x00]; // mvi 0x900,1
    guest.start(MASK, &[&note, &LOOP]);
    let (memory, handle) = (guest.memory.clone(), guest.handle.clone());
    let thread = std::thread::spawn(move || {
        let exit = guest.cpu.run().unwrap();
        (guest, exit)
    });
    while memory.read_obj::<u8>(GuestAddress(0x900)).unwrap() == 0 {
        assert!(!thread.is_finished(), "{:?}", thread.join().unwrap().1);
        std::thread::yield_now();
    }
    call(&*handle);
    thread.join().unwrap()
}

#[test]
fn a_kick_ends_a_loop_a_wait_and_the_stopped_state() {
    on_both(|guest| {
        let (mut guest, exit) = call_out_of_loop(guest, |handle| handle.kick());
        assert_eq!(exit, VcpuExit::Interrupted);
        assert_eq!(guest.cpu.psw().addr, CODE + 4);
        let states = [
            (OPEN | Psw::WAIT, RunState::Operating),
            (OPEN, RunState::Stopped),
        ];
        for (mask, state) in states {
            guest.start(mask, &[&LOOP]);
            guest.handle.set_run_state(state).unwrap();
            let mut cpu = guest.cpu;
            let thread = std::thread::spawn(move || (cpu.run().unwrap(), cpu));
            guest.handle.kick();
            let exit;
            (exit, guest.cpu) = thread.join().unwrap();
            assert_eq!(exit, VcpuExit::Interrupted);
            assert_eq!(guest.handle.run_state(), state);
        }
    });
}

#[test]
fn a_stopped_cpu_starts_again_and_restarts() {
    on_both(|guest| {
        let stop = LocalInterrupt::Stop {
            store_status: false,
        };
        let (mut guest, exit) = call_out_of_loop(guest, |handle| handle.inject(stop).unwrap());
        assert!(matches!(exit, VcpuExit::Intercept(i) if i.code == Intercept::STOP));
        assert_eq!(guest.handle.run_state(), RunState::Stopped);
        assert_eq!(guest.cpu.psw().addr, CODE + 4);

        guest.put(CODE + 4, &DIAG);
        guest.handle.set_run_state(RunState::Operating).unwrap();
        guest.diag();

        guest.handle.inject(stop).unwrap();
        assert_eq!(guest.intercept().code, Intercept::STOP);
        guest.handle.inject(LocalInterrupt::Restart).unwrap();
        assert_eq!(guest.wait().addr, 0x1a0);
        assert_eq!(guest.get_psw(0x120), Psw::ipl(CODE + 8));
        assert_eq!(guest.handle.run_state(), RunState::Operating);
    });
}

#[test]
fn the_run_state_can_be_set_while_the_guest_runs() {
    on_both(|guest| {
        let (guest, exit) = call_out_of_loop(guest, |handle| {
            handle.set_run_state(RunState::Stopped).unwrap();
            handle.kick();
        });
        assert_eq!(exit, VcpuExit::Interrupted);
        assert_eq!(guest.handle.run_state(), RunState::Stopped);
    });
}

#[test]
fn signals_from_other_cpus_bring_their_address() {
    on_both(|mut guest| {
        guest.open_subclasses(0x6000);
        let _senders = [3, 7, 8].map(|address| guest.vm.create_vcpu(address).unwrap());
        assert!(!guest.handle.external_call_pending());
        let call = LocalInterrupt::ExternalCall(7);
        guest.handle.inject(call).unwrap();
        assert!(guest.handle.external_call_pending());
        let second = guest.handle.inject(LocalInterrupt::ExternalCall(8));
        assert!(matches!(second, Err(Error::IncorrectState)));
        guest
            .handle
            .inject(LocalInterrupt::EmergencySignal(3))
            .unwrap();
        guest.start(OPEN, &[&LOOP]);
        assert_eq!(guest.wait().addr, 0x1b0);
        assert_eq!((guest.get_u16(0x86), guest.get_u16(0x84)), (0x1201, 3));
        guest.start(OPEN, &[&LOOP]);
        assert_eq!(guest.wait().addr, 0x1b0);
        assert_eq!((guest.get_u16(0x86), guest.get_u16(0x84)), (0x1202, 7));
        assert!(!guest.handle.external_call_pending());
    });
}

/// KVM's kernel tells of an event and of a completion separately, and of the latter even if there
/// was none. Linux takes no notice of a service signal without parameter.
#[test]
fn kvm_tells_of_an_event_once_more_without_parameter() {
    on_kvm(|mut guest| {
        guest.open_subclasses(SERVICE);
        guest.put_psw(0x1b0, MASK, 0x11000);
        guest.put(0x11000, &DIAG);
        guest.put(0x11004, &[0xb2, 0xb2, 0x01, 0x30]); // lpswe 0x130
        guest
            .vm
            .inject(ExternalInterrupt::service(0, true))
            .unwrap();
        guest.start(OPEN, &[&DIAG]);
        guest.diag();
        let seen = guest.external();
        assert_eq!((seen.code, seen.params), (0x2401, 1));
        guest.diag();
        if guest.cpu.psw().addr == 0x11004 {
            assert_eq!(guest.external().params, 0);
            guest.diag();
        }
        assert_eq!(guest.cpu.psw().addr, CODE + 4);
    });
}

/// KVM's kernel has no subclass mask for virtio interruptions; the software CPU has that of
/// service signals, as the kernel had when the transport was new.
#[test]
fn kvm_delivers_virtio_interruptions_of_a_masked_subclass() {
    on_kvm(|mut guest| {
        guest.vm.inject(virtio(0, 0x10)).unwrap();
        guest.start(OPEN, &[&DIAG]);
        assert_eq!(guest.wait().addr, 0x1b0);
        assert_eq!(guest.external(), virtio(0, 0x10));
    });
}

/// An external interruption's handler: says which CPU it ran on, then waits.
fn put_notes(guest: &Guest) {
    let code: [&[u8]; 4] = [
        &[0xb2, 0x12, 0x09, 0x10], // stap 0x910
        &[0x48, 0x10, 0x09, 0x10], // lh %r1,0x910
        &[0x42, 0x10, 0x19, 0x20], // stc %r1,0x920(%r1)
        &[0xb2, 0xb2, 0x08, 0x00], // lpswe 0x800
    ];
    guest.put_psw(0x1b0, MASK, 0x11000);
    guest.put(0x11000, &code.concat());
    guest.put_psw(0x800, MASK | Psw::WAIT, 0xd0e);
}

/// Answers the signal of a CPU whose backend leaves that to the host.
fn carry_out_sigp(cpu: &mut dyn Vcpu, handles: &[Arc<dyn VcpuHandle>]) -> VcpuExit {
    loop {
        match cpu.run().unwrap() {
            VcpuExit::Intercept(Intercept { code: 4, ipa, .. }) if ipa >> 8 == 0xae => {
                let target = &handles[cpu.gpr((ipa & 15) as u8) as usize];
                let signal = LocalInterrupt::EmergencySignal(cpu.address());
                target.inject(signal).unwrap();
                cpu.set_cc(0);
            }
            exit => return exit,
        }
    }
}

#[test]
fn cpus_on_threads_of_their_own_signal_each_other() {
    on_both(|mut guest| {
        let mut second = guest.vm.create_vcpu(1).unwrap();
        let handles = [guest.handle.clone(), second.handle()];
        // Both have the same lowcore, in turns.
        put_notes(&guest);
        for cpu in [&mut guest.cpu, &mut second] {
            let mut state = cpu.state().unwrap();
            state.crs[0] |= 0x4000;
            cpu.set_state(&state).unwrap();
        }
        // CPU 0 signals and waits for the answer; CPU 1 waits, then answers.
        let code: [&[u8]; 3] = [
            &[0xa7, 0x39, 0x00, 0x01], // lghi %r3,1
            &[0xae, 0x03, 0x00, 0x03], // sigp %r0,%r3,3
            &[0xb2, 0xb2, 0x08, 0x10], // lpswe 0x810
        ];
        guest.put_psw(0x810, OPEN | Psw::WAIT, 0x810);
        let answer: [&[u8]; 3] = [
            &[0xa7, 0x39, 0x00, 0x00], // lghi %r3,0
            &[0xae, 0x03, 0x00, 0x03], // sigp %r0,%r3,3
            &DIAG,
        ];
        guest.put(0x12000, &answer.concat());
        second.set_psw(Psw {
            mask: OPEN | Psw::WAIT,
            addr: 0x12000,
        });
        handles[1].set_run_state(RunState::Operating).unwrap();
        guest.start(MASK, &code);
        let Guest {
            memory, mut cpu, ..
        } = guest;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| (carry_out_sigp(&mut *cpu, &handles), cpu.psw()));
            // Its handler waits for good: what it did is in storage.
            let exit = carry_out_sigp(&mut *second, &handles);
            assert!(matches!(exit, VcpuExit::Intercept(i) if i.code == Intercept::WAIT));
            assert_eq!(second.psw().addr, 0xd0e);
            assert_eq!(
                memory.read_obj::<[u8; 2]>(GuestAddress(0x920)).unwrap(),
                [0, 1]
            );
            second.set_psw(Psw::ipl(0x12000));
            let exit = carry_out_sigp(&mut *second, &handles);
            assert!(matches!(exit, VcpuExit::Intercept(i) if i.ipa == 0x8324));
            let (exit, psw) = first.join().unwrap();
            assert!(matches!(exit, VcpuExit::Intercept(i) if i.code == Intercept::WAIT));
            assert_eq!(psw.addr, 0xd0e);
        });
    });
}

#[test]
fn a_floating_interruption_goes_to_one_of_the_cpus_that_wait() {
    on_both(|mut guest| {
        let mut second = guest.vm.create_vcpu(1).unwrap();
        let handles = [guest.handle.clone(), second.handle()];
        for cpu in [&mut guest.cpu, &mut second] {
            let mut state = cpu.state().unwrap();
            state.crs[0] |= SERVICE;
            cpu.set_state(&state).unwrap();
            cpu.set_psw(Psw {
                mask: OPEN | Psw::WAIT,
                addr: 0,
            });
        }
        let Guest { vm, mut cpu, .. } = guest;
        std::thread::scope(|scope| {
            let (sender, exits) = std::sync::mpsc::channel();
            for cpu in [&mut cpu, &mut second] {
                let (sender, handle) = (sender.clone(), cpu.handle());
                handle.set_run_state(RunState::Operating).unwrap();
                scope.spawn(move || {
                    let exit = cpu.run().unwrap();
                    sender.send((cpu.address(), exit, cpu.psw())).unwrap();
                });
            }
            vm.inject(virtio(0, 0x10)).unwrap();
            let (address, exit, psw) = exits.recv().unwrap();
            assert!(matches!(exit, VcpuExit::Intercept(i) if i.code == Intercept::WAIT));
            assert_eq!(psw.addr, 0x1b0);
            // The other one has slept on.
            handles[usize::from(1 - address)].kick();
            let (_, exit, psw) = exits.recv().unwrap();
            assert_eq!((exit, psw.addr), (VcpuExit::Interrupted, 0));
        });
    });
}

fn some_state() -> VcpuState {
    let mut state = VcpuState {
        psw: Psw::ipl(CODE),
        fpc: 0x0088_0000,
        prefix: 0x4000,
        todpr: 0x1234,
        cpu_timer: 0x7fff_0000_0000_0000,
        clock_comparator: 0xffff_ffff_ffff_0000,
        ..VcpuState::default()
    };
    for n in 0..16_u64 {
        let at = n as usize;
        state.gprs[at] = 0x1111_0000_0000_0000 | n;
        state.fprs[at] = 0x2222_0000_0000_0000 | n;
        state.acrs[at] = 0x3333_0000 | n as u32;
    }
    state.crs[0] = 0xe0;
    state.crs[7] = 0x4444_0000;
    state.crs[14] = 0xc200_0000;
    state
}

#[test]
fn the_guest_does_not_see_the_time_for_which_its_clock_is_stopped() {
    on_both(|mut guest| {
        let code: [&[u8]; 6] = [
            &[0xb2, 0x05, 0x10, 0x00], // stck 0x000(%r1)
            &[0xb2, 0x09, 0x10, 0x08], // stpt 0x008(%r1)
            &DIAG,
            &[0xb2, 0x05, 0x10, 0x10], // stck 0x010(%r1)
            &[0xb2, 0x09, 0x10, 0x18], // stpt 0x018(%r1)
            &DIAG,
        ];
        guest.cpu.set_gpr(1, 0x1000);
        guest.start(MASK, &code);
        let begin = Instant::now();
        guest.diag();
        guest.vm.stop_clock().unwrap();
        let stopped = Instant::now();
        std::thread::sleep(Duration::from_millis(50));
        // Once is enough.
        guest.vm.stop_clock().unwrap();
        let stopped = stopped.elapsed();
        guest.vm.start_clock().unwrap();
        guest.vm.start_clock().unwrap();
        guest.diag();
        let seen = begin.elapsed() - stopped;
        let [tod0, timer0, tod1, timer1] =
            [0x1000, 0x1008, 0x1010, 0x1018].map(|addr| u64::from_be_bytes(guest.get(addr)));
        assert!(tod1 > tod0);
        // Units of 2^-12 microseconds; the clocks of guest and host may differ by a little.
        let limit = (seen.as_nanos() * 512 / 125) as u64 + 4096;
        assert!(tod1 - tod0 <= limit, "{} > {limit}", tod1 - tod0);
        assert!(timer0.wrapping_sub(timer1) <= limit);
    });
}

/// A CPU timer goes on, so that it is not compared.
fn without_timer(state: VcpuState) -> VcpuState {
    VcpuState {
        cpu_timer: 0,
        ..state
    }
}

#[test]
fn state_goes_in_and_comes_out() {
    on_both(|mut guest| {
        let state = some_state();
        guest.cpu.set_state(&state).unwrap();
        let seen = guest.cpu.state().unwrap();
        assert!(seen.cpu_timer <= state.cpu_timer);
        assert!(seen.cpu_timer > state.cpu_timer / 2);
        assert_eq!(without_timer(seen), without_timer(state.clone()));
        // And the guest sees it: prefix, a general and a control register.
        guest.put(0x4000 + 0x1a0, &[0; 16]);
        let code: [&[u8]; 4] = [
            &[0xb2, 0x11, 0x09, 0x00],             // stpx 0x900
            &[0xe3, 0x50, 0x09, 0x08, 0x00, 0x24], // stg %r5,0x908
            &[0xeb, 0x77, 0x09, 0x10, 0x00, 0x25], // stctg %c7,%c7,0x910
            &DIAG,
        ];
        guest.start(MASK, &code);
        guest.diag();
        assert_eq!(u32::from_be_bytes(guest.get(0x4900)), 0x4000);
        assert_eq!(u64::from_be_bytes(guest.get(0x4908)), state.gprs[5]);
        assert_eq!(u64::from_be_bytes(guest.get(0x4910)), state.crs[7]);
        assert_eq!(guest.cpu.prefix(), 0x4000);

        let wrong = VcpuState {
            prefix: SIZE as u32,
            ..state
        };
        assert!(matches!(
            guest.cpu.set_state(&wrong),
            Err(Error::Invalid(_))
        ));
    });
}

#[test]
fn a_new_cpu_is_stopped_and_clear() {
    on_both(|guest| {
        assert_eq!(guest.handle.run_state(), RunState::Stopped);
        let mut clear = VcpuState::default();
        clear.crs[0] = 0xe0;
        clear.crs[14] = 0xc200_0000;
        assert_eq!(without_timer(guest.cpu.state().unwrap()), clear);
        let taken = guest.vm.create_vcpu(0);
        assert!(matches!(taken, Err(Error::Invalid(_))));
    });
}

#[test]
fn resets_clear_what_their_kind_clears() {
    on_both(|mut guest| {
        let _sender = guest.vm.create_vcpu(1).unwrap();
        let state = without_timer(some_state());
        let mut initial = VcpuState {
            gprs: state.gprs,
            acrs: state.acrs,
            fprs: state.fprs,
            ..VcpuState::default()
        };
        initial.crs[0] = 0xe0;
        initial.crs[14] = 0xc200_0000;
        let mut clear = initial.clone();
        (clear.gprs, clear.acrs, clear.fprs) = ([0; 16], [0; 16], [0; 16]);
        for (kind, expected) in [
            (ResetKind::Normal, &state),
            (ResetKind::Initial, &initial),
            (ResetKind::Clear, &clear),
        ] {
            guest.cpu.set_state(&some_state()).unwrap();
            guest
                .handle
                .inject(LocalInterrupt::ExternalCall(1))
                .unwrap();
            guest.cpu.reset(kind).unwrap();
            let seen = without_timer(guest.cpu.state().unwrap());
            assert_eq!(&seen, expected, "{kind:?}");
            assert!(!guest.handle.external_call_pending());
        }
    });
}

#[test]
fn status_is_stored_as_it_is_now() {
    on_both(|mut guest| {
        let state = some_state();
        guest.cpu.set_state(&state).unwrap();
        guest.cpu.store_status(0x8000).unwrap();
        let check = |guest: &Guest, area: u64| {
            let word = |offset| u64::from_be_bytes(guest.get(area + offset));
            for n in 0..16_u64 {
                let at = n as usize;
                assert_eq!(word(n * 8), state.fprs[at]);
                assert_eq!(word(0x80 + n * 8), state.gprs[at]);
                assert_eq!(word(0x180 + n * 8), state.crs[at]);
                let acr = u32::from_be_bytes(guest.get(area + 0x140 + n * 4));
                assert_eq!(acr, state.acrs[at]);
            }
            assert_eq!(guest.get_psw(area + 0x100), state.psw);
            let low = |offset| u32::from_be_bytes(guest.get(area + offset));
            assert_eq!(low(0x118), state.prefix);
            assert_eq!(low(0x11c), state.fpc);
            assert_eq!(low(0x124), state.todpr);
            assert_eq!(
                guest.get(area + 0x131),
                [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]
            );
        };
        check(&guest, 0x8000);
        let outside = guest.cpu.store_status(SIZE - 0x100);
        assert!(matches!(outside, Err(Error::Invalid(_))));

        let stop = LocalInterrupt::Stop { store_status: true };
        guest.handle.set_run_state(RunState::Operating).unwrap();
        guest.handle.inject(stop).unwrap();
        assert_eq!(guest.intercept().code, Intercept::STOP);
        check(&guest, 0x4000 + 0x1200);
    });
}

#[test]
fn the_prefix_of_a_stopped_cpu_can_be_set() {
    on_both(|mut guest| {
        let set = LocalInterrupt::SetPrefix(0x6000);
        guest.handle.inject(set).unwrap();
        guest.put(
            0x6000 + 0x1d0,
            &Psw {
                mask: MASK | Psw::WAIT,
                addr: 0x77,
            }
            .to_bytes(),
        );
        guest.start(MASK, &[&[0x00, 0x02]]);
        assert_eq!(guest.wait().addr, 0x77);
        assert_eq!(guest.cpu.prefix(), 0x6000);
        assert!(matches!(
            guest.handle.inject(set),
            Err(Error::IncorrectState)
        ));
        guest.handle.set_run_state(RunState::Stopped).unwrap();
        let wrong = guest.handle.inject(LocalInterrupt::SetPrefix(SIZE as u32));
        assert!(matches!(wrong, Err(Error::Invalid(_))));
    });
}

#[test]
fn a_cpu_may_move_to_another_thread() {
    on_both(|guest| {
        let (guest, exit) = call_out_of_loop(guest, |handle| handle.kick());
        assert_eq!(exit, VcpuExit::Interrupted);
        let (_, exit) = call_out_of_loop(guest, |handle| handle.kick());
        assert_eq!(exit, VcpuExit::Interrupted);
    });
}

#[test]
fn everything_ends_in_any_order() {
    on_both(|guest| {
        let second = guest.vm.create_vcpu(1).unwrap();
        let handle = second.handle();
        let Guest { vm, cpu, .. } = guest;
        drop(vm);
        drop(cpu);
        drop(second);
        handle.kick();
        assert_eq!(handle.run_state(), RunState::Stopped);
    });
}
