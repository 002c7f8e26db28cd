// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How fast the CPU computes: `guest/compute` on the software CPU, and beside it the same program
//! under qemu-user, which compiles it, if that is installed.

// `criterion_group` makes a public function.
#![allow(missing_docs)]

use std::process::Command;
use std::time::Duration;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use s390_cpu::{Config, Memory, SoftVcpu, SoftVm};
use s390_extint::{lowcore, Psw};
use s390_hypervisor::{RunState, Vcpu, VcpuExit};
use vm_memory::{Bytes, GuestAddress};

const PROGRAM: &[u8] = include_bytes!("guest/compute");
const STORAGE: usize = 4 << 20;
const STACK: u64 = 0x10_0000;
/// Control register 0 bit 45: AFP-register control.
const ALL_FP_REGISTERS: u64 = 0x4_0000;
/// Where the program ends: a disabled wait.
const END: Psw = Psw {
    mask: Psw::WAIT | Psw::EXTENDED | Psw::BASIC,
    addr: 0,
};

fn half(at: usize) -> u16 {
    u16::from_be_bytes(PROGRAM[at..at + 2].try_into().unwrap())
}

fn long(at: usize) -> u64 {
    u64::from_be_bytes(PROGRAM[at..at + 8].try_into().unwrap())
}

/// Storage with the program (a static ELF executable), as it is at the start of a process with
/// one argument. Its end, a supervisor call, leads to [`END`].
fn storage(rounds: u64) -> Memory {
    let memory = Memory::from_ranges(&[(GuestAddress(0), STORAGE)]).unwrap();
    let write = |addr: u64, bytes: &[u8]| memory.write_slice(bytes, GuestAddress(addr)).unwrap();
    let (headers, size, count) = (long(32) as usize, half(54), half(56));
    for n in 0..usize::from(count) {
        let header = headers + n * usize::from(size);
        let (offset, address, len) = (long(header + 8), long(header + 16), long(header + 32));
        write(address, &PROGRAM[offset as usize..][..len as usize]);
    }
    let argument = STACK + 0x20;
    write(STACK, &2u64.to_be_bytes());
    write(STACK + 16, &argument.to_be_bytes());
    write(argument, rounds.to_string().as_bytes());
    write(lowcore::SVC_NEW_PSW.offset.into(), &END.to_bytes());
    let failed = Psw { addr: 0xbad, ..END };
    write(lowcore::PGM_NEW_PSW.offset.into(), &failed.to_bytes());
    memory
}

/// Runs the program; returns the CPU.
fn compute(memory: &Memory) -> SoftVcpu {
    let vm = SoftVm::new(memory, Config::default()).unwrap();
    let mut cpu = vm.new_vcpu(0).unwrap();
    cpu.handle().set_run_state(RunState::Operating).unwrap();
    let mut state = cpu.state().unwrap();
    state.psw = Psw::ipl(long(24));
    state.gprs[15] = STACK;
    state.crs[0] |= ALL_FP_REGISTERS;
    cpu.set_state(&state).unwrap();
    loop {
        match cpu.run().unwrap() {
            VcpuExit::Interrupted => {}
            exit => {
                assert_eq!(cpu.psw(), END, "{exit:x?}");
                return cpu;
            }
        }
    }
}

/// CPU time that this process (`RUSAGE_SELF`) or its children (`RUSAGE_CHILDREN`) have used in
/// user mode: unlike time on the clock it hardly depends on what else the machine does.
fn user_time(who: libc::c_int) -> Duration {
    // SAFETY: all zero is a value of this plain structure, which getrusage may fill.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(who, &mut usage), 0);
        usage
    };
    let time = usage.ru_utime;
    Duration::new(time.tv_sec as u64, 1000 * time.tv_usec as u32)
}

fn best_of_3(who: libc::c_int, mut f: impl FnMut()) -> Duration {
    let time = |_| {
        let start = user_time(who);
        f();
        user_time(who) - start
    };
    (0..3).map(time).min().unwrap()
}

/// Runs the program under qemu-user and checks its exit status; `None` without an emulator.
fn emulate(rounds: u64, status: u8) -> Option<Duration> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/guest/compute");
    let mut cached = std::env::var_os("HOME").unwrap_or_default();
    cached.push("/.cache/s390x-tc/bin/qemu-s390x-10");
    let emulators = [cached, "qemu-s390x-static".into(), "qemu-s390x".into()];
    emulators.iter().find_map(|emulator| {
        let run = || {
            Command::new(emulator)
                .arg(file)
                .arg(rounds.to_string())
                .status()
        };
        let code = run().ok()?.code()?;
        assert_eq!(
            code,
            i32::from(status),
            "{} computes the same",
            emulator.to_string_lossy()
        );
        Some(best_of_3(libc::RUSAGE_CHILDREN, || drop(run())))
    })
}

fn speed(c: &mut Criterion) {
    let once = storage(1);
    let mut group = c.benchmark_group("compute");
    group.throughput(Throughput::Elements(compute(&once).instructions()));
    group.bench_function("s390-cpu", |b| b.iter(|| compute(&once).gpr(2)));
    group.finish();

    const ROUNDS: u64 = 100;
    let memory = storage(ROUNDS);
    let cpu = compute(&memory);
    let mips = |time: Duration| cpu.instructions() as f64 / time.as_secs_f64() / 1e6;
    let own = best_of_3(libc::RUSAGE_SELF, || drop(compute(&memory)));
    println!("s390-cpu   {:6.0} MIPS", mips(own));
    match emulate(ROUNDS, cpu.gpr(2) as u8) {
        Some(time) => {
            println!("qemu-user  {:6.0} MIPS", mips(time));
            let ratio = time.as_secs_f64() / own.as_secs_f64();
            println!("s390-cpu has {ratio:.3} times the speed of qemu-user");
        }
        None => println!("qemu-user is not installed"),
    }
}

criterion_group!(benches, speed);
criterion_main!(benches);
