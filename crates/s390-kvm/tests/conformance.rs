// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The same guest programs on both backends, compared exit by exit: the intercept, the PSW, every
//! general register, the prefix and whatever changed in the lowcore.
//!
//! Where KVM's kernel is known to differ is in `backends.rs` and no part of these programs.
//!
//! `conformance.trace` is what both must leave, so that the software CPU is held to it where there
//! is no KVM. `S390_KVM_WRITE_TRACE=1` writes it anew, from the software CPU.

mod common;

use std::fmt::Write;

use common::{kvm, software, virtio, Guest, DIAG, LPSWE, MASK, OPEN, SERVICE};
use s390_hypervisor::{ExternalInterrupt, Intercept, LocalInterrupt, Psw, VcpuExit};

/// Where the handlers of interruptions are. Each says by a DIAGNOSE that it was reached, and
/// returns by the old PSW.
const HANDLERS: [(u64, u64, u64); 4] = [
    // New PSW, old PSW, code: restart, external, supervisor call, program.
    (0x1a0, 0x120, 0x11000),
    (0x1b0, 0x130, 0x11100),
    (0x1c0, 0x140, 0x11200),
    (0x1d0, 0x150, 0x11300),
];
/// Operands of the programs.
const DISABLED_WAIT: u64 = 0x800;
const ENABLED_WAIT: u64 = 0x810;
const INVALID_PSW: u64 = 0x820;
const CONTROL_REGISTER: u64 = 0x830;
const PREFIX: u64 = 0x838;
/// In the lowcore: the breaking-event address of the PER-3 facility, which the software CPU lacks.
const BREAKING_EVENT_ADDRESS: usize = 0x110;
/// The target of EXECUTE, and of stores.
const TARGET: u64 = 0x7000;

/// A program, and a host that answers its exits.
struct Scene {
    name: &'static str,
    /// PSW mask at its beginning.
    mask: u64,
    code: &'static [&'static [u8]],
    /// Acts after the exit of this number, the first being 1; 0 is before the start.
    host: fn(&mut Guest, usize),
    /// Exits after which it is over, if it does not end in a disabled wait.
    exits: usize,
}

const SCENES: &[Scene] = &[
    Scene {
        name: "diagnose: fields of the intercept, answers in registers and condition code",
        mask: MASK,
        code: &[
            &[0xa7, 0x29, 0x00, 0x64],             // lghi %r2,100
            &[0xa7, 0x59, 0x05, 0x00],             // lghi %r5,0x500
            &[0xa7, 0x69, 0x70, 0x00],             // lghi %r6,0x7000
            &DIAG,                                 // answered with -22
            &[0xe3, 0x20, 0x60, 0x10, 0x00, 0x24], // stg %r2,16(%r6)
            &[0xe3, 0x70, 0x60, 0x10, 0x00, 0x04], // lg %r7,16(%r6)
            &[0x83, 0x24, 0x50, 0x00],             // diag %r2,%r4,0(%r5)
            &[0x83, 0xfe, 0x1f, 0xff],             // diag %r15,%r14,0xfff(%r1): condition code 3
            &[0xa7, 0x14, 0x00, 0x04],             // jo .+8
            &[0xa7, 0x89, 0x00, 0x01],             // lghi %r8,1: not reached
            &[0x44, 0x00, 0x60, 0x00],             // ex 0,0(%r6): diag %r2,%r4,0x501
            &[0x83, 0x20, 0x00, 0x08],             // diag %r2,%r0,8
            &[0x83, 0x20, 0x02, 0x88],             // diag %r2,%r0,0x288
            &[0x83, 0x20, 0x03, 0x08],             // diag %r2,%r0,0x308
            &LPSWE,
        ],
        host: |guest, exit| match exit {
            0 => guest.put(TARGET, &[0x83, 0x24, 0x05, 0x01]),
            1 => guest.cpu.set_gpr(2, -22_i64 as u64),
            3 => guest.cpu.set_cc(3),
            4 => guest.cpu.set_cc(0),
            _ => (),
        },
        exits: 99,
    },
    Scene {
        name: "program interruptions that the host injects",
        mask: MASK,
        code: &[&DIAG, &DIAG, &DIAG, &DIAG, &LPSWE],
        host: |guest, exit| {
            let codes = [0x0001, 0x0002, 0x0005, 0x0006];
            if exit % 2 == 1 && exit < 8 {
                guest.cpu.inject_program(codes[exit / 2]).unwrap();
            }
        },
        exits: 99,
    },
    Scene {
        name: "privileged instructions in the problem state",
        mask: MASK | Psw::PROBLEM,
        code: &[
            &DIAG,
            &[0x83, 0x24, 0x05, 0x01],             // diag %r2,%r4,0x501
            &[0x83, 0x20, 0x03, 0x08],             // diag %r2,%r0,0x308
            &[0x83, 0x20, 0x00, 0x44],             // diag %r2,%r0,0x44
            &[0x83, 0xff, 0xff, 0xff],             // diag %r15,%r15,0xfff(%r15)
            &[0xb2, 0x20, 0x00, 0x12],             // servc %r1,%r2
            &[0xae, 0x02, 0x00, 0x05],             // sigp %r0,%r2,5
            &[0xeb, 0x00, 0x08, 0x30, 0x00, 0x2f], // lctlg %c0,%c0,0x830
            &[0xb2, 0x10, 0x08, 0x38],             // spx 0x838
            &LPSWE,
            &[0x0a, 0x07], // svc 7
        ],
        host: |_, _| (),
        exits: 11,
    },
    Scene {
        name: "a guest's own program exceptions",
        mask: MASK,
        code: &[
            &[0xa7, 0x69, 0x70, 0x00],             // lghi %r6,0x7000
            &[0xc0, 0x51, 0x00, 0x10, 0x00, 0x00], // lgfi %r5,0x100000
            &[0x00, 0x00],                         // operation
            &[0xe5, 0xff, 0x00, 0x00, 0x00, 0x00], // operation
            &[0xe3, 0x20, 0x50, 0x00, 0x00, 0x04], // lg %r2,0(%r5): addressing
            &[0xe3, 0x20, 0x50, 0x00, 0x00, 0x24], // stg %r2,0(%r5): addressing
            &[0xb9, 0x87, 0x00, 0x20],             // dlgr %r2,%r0: divide by zero
            &[0x44, 0x00, 0x60, 0x00],             // ex 0,0(%r6) of an ex: execute
            &[0xeb, 0x00, 0x08, 0x34, 0x00, 0x2f], // lctlg %c0,%c0,0x834: specification
            &LPSWE,
        ],
        host: |guest, exit| {
            if exit == 0 {
                guest.put(TARGET, &[0x44, 0x00, 0x60, 0x00]);
            }
        },
        exits: 99,
    },
    Scene {
        name: "supervisor calls",
        mask: OPEN,
        code: &[&[0x0a, 0x2a], &[0x44, 0x00, 0x0a, 0x00], &LPSWE],
        host: |guest, exit| {
            if exit == 0 {
                guest.put(0xa00, &[0x0a, 0xff]);
            }
        },
        exits: 99,
    },
    Scene {
        name: "floating interruptions: priorities, order, parameters",
        mask: MASK,
        code: &[
            &[0xad, 0x01, 0x09, 0x00], // stosm 0x900,1
            &DIAG,
            &DIAG,
            &LPSWE,
        ],
        host: |guest, exit| match exit {
            0 => {
                guest.open_subclasses(SERVICE);
                for interrupt in [
                    virtio(0, 0x10),
                    virtio(1, 0x1122_3344_5566_7788),
                    ExternalInterrupt::service(0x5000, false),
                    virtio(2, 0x30),
                ] {
                    guest.vm.inject(interrupt).unwrap();
                }
            }
            // Behind the four of them, from an enabled CPU.
            5 => guest.vm.inject(virtio(0, 0x40)).unwrap(),
            _ => (),
        },
        exits: 99,
    },
    Scene {
        name: "an interruption waits for its subclass",
        mask: OPEN,
        code: &[
            &DIAG,
            &[0xeb, 0x00, 0x08, 0x30, 0x00, 0x2f], // lctlg %c0,%c0,0x830
            &DIAG,
            &LPSWE,
        ],
        host: |guest, exit| {
            if exit == 0 {
                let completion = ExternalInterrupt::service(0x5000, false);
                guest.vm.inject(completion).unwrap();
            }
        },
        exits: 99,
    },
    Scene {
        name: "interruptions end an enabled wait",
        mask: MASK,
        code: &[&[0xb2, 0xb2, 0x08, 0x10]], // lpswe 0x810
        host: |guest, exit| match exit {
            0 => {
                guest.open_subclasses(SERVICE);
                guest.vm.inject(virtio(0, 0x10)).unwrap();
            }
            1 => guest.vm.inject(virtio(0, 0x20)).unwrap(),
            _ => (),
        },
        exits: 2,
    },
    Scene {
        name: "service call, and its completion",
        mask: OPEN,
        code: &[
            &[0xc0, 0x11, 0x00, 0x12, 0x00, 0x01], // lgfi %r1,0x120001
            &[0xa7, 0x29, 0x50, 0x00],             // lghi %r2,0x5000
            &[0xb2, 0x20, 0x00, 0x12],             // servc %r1,%r2
            &[0xb2, 0x20, 0x00, 0x12],             // servc %r1,%r2
            &LPSWE,
        ],
        host: |guest, exit| match exit {
            0 => guest.open_subclasses(SERVICE),
            1 => {
                guest.cpu.set_cc(0);
                let completion = ExternalInterrupt::service(0x5000, false);
                guest.vm.inject(completion).unwrap();
            }
            3 => guest.cpu.set_cc(2),
            _ => (),
        },
        exits: 99,
    },
    Scene {
        name: "orders between CPUs that the host carries out",
        mask: MASK,
        code: &[
            &[0xa7, 0x39, 0x00, 0x00], // lghi %r3,0: the CPU itself
            &[0xae, 0x13, 0x00, 0x04], // sigp %r1,%r3,4: start
            &[0xae, 0x13, 0x00, 0x05], // stop
            &[0xae, 0x13, 0x00, 0x06], // restart
            &[0xae, 0x13, 0x00, 0x09], // stop and store status
            &[0xae, 0x13, 0x00, 0x0b], // initial CPU reset
            &[0xae, 0x13, 0x00, 0x0c], // CPU reset
            &[0xae, 0x13, 0x00, 0x0d], // set prefix
            &[0xae, 0x13, 0x00, 0x0e], // store status at address
            &[0xae, 0x13, 0x00, 0x12], // set architecture
            &LPSWE,
        ],
        host: |guest, exit| {
            if exit > 0 {
                guest.cpu.set_cc(3);
            }
        },
        exits: 99,
    },
    Scene {
        name: "stop and restart",
        mask: OPEN,
        code: &[&DIAG, &DIAG, &LPSWE],
        host: |guest, exit| {
            let store_status = false;
            let order = match exit {
                1 => LocalInterrupt::Stop { store_status },
                2 => LocalInterrupt::Restart,
                _ => return,
            };
            guest.handle.inject(order).unwrap();
        },
        exits: 99,
    },
    Scene {
        name: "a new prefix takes the interruptions",
        mask: MASK,
        code: &[
            &[0xb2, 0x10, 0x08, 0x38], // spx 0x838
            &DIAG,
            &[0x0a, 0x01], // svc 1
            &LPSWE,
        ],
        host: |guest, exit| {
            if exit == 0 {
                let lowcore: [u8; 0x2000] = guest.get(0);
                guest.put(0x4000, &lowcore);
            }
        },
        exits: 99,
    },
    Scene {
        name: "a wait that nothing can end",
        mask: MASK | Psw::WAIT,
        code: &[],
        host: |_, _| (),
        exits: 99,
    },
];

/// A guest with everything in its place.
fn set_up(guest: &mut Guest, scene: &Scene) {
    for (new, old, code) in HANDLERS {
        guest.put_psw(new, MASK, code);
        guest.put(code, &DIAG);
        guest.put(code + 4, &[0xb2, 0xb2, 0x01, old as u8]); // lpswe old
    }
    guest.put_psw(DISABLED_WAIT, MASK | Psw::WAIT, 0xdead);
    guest.put_psw(ENABLED_WAIT, OPEN | Psw::WAIT, 0xbeef);
    guest.put_psw(INVALID_PSW, MASK | 1, 0);
    guest.put(CONTROL_REGISTER, &(0xe0 | SERVICE).to_be_bytes());
    guest.put(PREFIX, &0x4000_u32.to_be_bytes());
    (scene.host)(guest, 0);
    guest.start(scene.mask, scene.code);
}

/// What an exit is, without what has no meaning in it.
fn describe(exit: VcpuExit) -> String {
    match exit {
        VcpuExit::Intercept(Intercept { code, ipa, ipb }) => match code {
            Intercept::INSTRUCTION => format!("instruction {ipa:04x} {ipb:08x}"),
            Intercept::WAIT => "wait".into(),
            Intercept::STOP => "stop".into(),
            code => format!("intercept {code:#04x}"),
        },
        exit => format!("{exit:?}"),
    }
}

/// Plays a scene: one paragraph for each exit.
fn play(guest: &mut Guest, scene: &Scene) -> String {
    let mut trace = format!("# {}\n", scene.name);
    set_up(guest, scene);
    let mut gprs = [0; 16];
    let mut prefix = 0;
    let mut lowcore: [u8; 0x2000] = guest.get(0);
    for number in 1..=scene.exits {
        let exit = guest.cpu.run().unwrap();
        let psw = guest.cpu.psw();
        writeln!(trace, "{}", describe(exit)).unwrap();
        writeln!(trace, "  psw {:016x} {:016x}", psw.mask, psw.addr).unwrap();
        for (n, old) in gprs.iter_mut().enumerate() {
            let new = guest.cpu.gpr(n as u8);
            if new != *old {
                writeln!(trace, "  r{n} {new:016x}").unwrap();
            }
            *old = new;
        }
        if guest.cpu.prefix() != prefix {
            prefix = guest.cpu.prefix();
            writeln!(trace, "  prefix {prefix:x}").unwrap();
            lowcore = guest.get(prefix.into());
        }
        let now = guest.get(prefix.into());
        for at in (0..now.len()).step_by(8) {
            let word = |bytes: &[u8]| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
            if word(&now) != word(&lowcore) && at != BREAKING_EVENT_ADDRESS {
                writeln!(trace, "  {at:04x}: {:016x}", word(&now)).unwrap();
            }
        }
        lowcore = now;
        if describe(exit) == "wait" {
            break;
        }
        (scene.host)(guest, number);
    }
    trace
}

/// The first line that differs, with what came before it in the scene.
fn difference(expected: &str, seen: &str, names: [&str; 2]) -> Option<String> {
    let (mut context, mut wanted, mut got) = (Vec::new(), expected.lines(), seen.lines());
    loop {
        let (wanted, got) = (wanted.next(), got.next());
        if wanted != got {
            let context = context.join("\n");
            let side = |line: Option<&str>| line.unwrap_or("nothing more").to_owned();
            let [expected, seen] = names;
            let (wanted, got) = (side(wanted), side(got));
            return Some(format!("{context}\n{expected}: {wanted}\n{seen}: {got}\n"));
        }
        let line = wanted?;
        if line.starts_with('#') {
            context.clear();
        }
        context.push(line);
    }
}

#[test]
fn the_software_cpu_leaves_the_trace() {
    let seen: Vec<_> = SCENES
        .iter()
        .map(|scene| play(&mut software(), scene))
        .collect();
    let seen = seen.join("\n");
    if std::env::var_os("S390_KVM_WRITE_TRACE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance.trace");
        std::fs::write(path, seen).unwrap();
        return;
    }
    let names = ["conformance.trace", "software CPU"];
    let difference = difference(include_str!("conformance.trace"), &seen, names);
    assert!(difference.is_none(), "{}", difference.unwrap());
}

#[test]
fn kvm_does_what_the_software_cpu_does() {
    let mut differences = Vec::new();
    for scene in SCENES {
        let Some(mut guest) = kvm() else { return };
        let traces = [play(&mut software(), scene), play(&mut guest, scene)];
        differences.extend(difference(&traces[0], &traces[1], ["software CPU", "KVM"]));
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}
