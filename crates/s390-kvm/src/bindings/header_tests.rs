// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Compares everything with the kernel's own headers for s390x: a C program, written here from
//! our tables and compiled for s390x, prints what the kernel has under each name.

use std::fmt::Write;
use std::mem::offset_of;
use std::process::Command;

use super::{constants, interrupt, kvm_run, kvm_sync_regs, model, plain, run};
use crate::ioctls::numbers::*;

const COMPILER: &str = "s390x-linux-gnu-gcc";
const RUNNER: &str = "qemu-s390x-static";

/// One line of the C program's output: a C expression and our value of it.
type Facts = Vec<(String, u64)>;

fn constants() -> Facts {
    let fact = |(name, value): &(&str, u64)| (name.to_string(), *value);
    constants::CONSTANTS.iter().map(fact).collect()
}

/// Structures that have a name in the kernel's headers.
fn layouts() -> Facts {
    let tables = [
        interrupt::LAYOUTS,
        model::LAYOUTS,
        plain::LAYOUTS,
        run::LAYOUTS,
    ];
    let mut facts = Facts::new();
    for (name, size, fields) in tables.concat() {
        if name.contains("__bindgen_ty_") {
            continue;
        }
        facts.push((format!("sizeof(struct {name})"), size as u64));
        for (field, offset) in fields {
            if field.starts_with('_') {
                continue;
            }
            // `type` is a keyword of Rust.
            let field = field.trim_end_matches('_');
            facts.push((format!("offsetof(struct {name}, {field})"), *offset as u64));
        }
    }
    facts
}

macro_rules! nested {
    ($facts:ident, $struct:ident, $path:ident: $($($field:ident).+),*) => {$(
        let name = concat!($(".", stringify!($field)),+);
        $facts.push((
            format!("offsetof(struct {}, {})", stringify!($struct), &name[1..]),
            offset_of!($struct, $path.$($field).+) as u64,
        ));
    )*};
}

/// Fields of structures that have no name there.
fn nested() -> Facts {
    let mut facts = Facts::new();
    nested!(facts, kvm_run, __bindgen_anon_1:
        s390_sieic.icptcode, s390_sieic.ipa, s390_sieic.ipb, s390_reset_flags,
        s390_ucontrol.trans_exc_code, s390_ucontrol.pgm_code,
        s390_tsch.subchannel_id, s390_tsch.subchannel_nr, s390_tsch.io_int_parm,
        s390_tsch.io_int_word, s390_tsch.ipb, s390_tsch.dequeued,
        s390_stsi.addr, s390_stsi.ar, s390_stsi.fc, s390_stsi.sel1, s390_stsi.sel2,
        fail_entry.hardware_entry_failure_reason, fail_entry.cpu);
    nested!(facts, kvm_sync_regs, __bindgen_anon_1: vrs, fprs);
    nested!(facts, kvm_sync_regs, __bindgen_anon_2: sdnx);
    facts.push((
        "offsetof(struct kvm_sync_regs, gscb)".into(),
        offset_of!(kvm_sync_regs, __bindgen_anon_2.__bindgen_anon_1.gscb) as u64,
    ));
    facts.push((
        "offsetof(struct kvm_sync_regs, etoken_extension)".into(),
        offset_of!(
            kvm_sync_regs,
            __bindgen_anon_2.__bindgen_anon_1.etoken_extension
        ) as u64,
    ));
    facts
}

macro_rules! numbers {
    ($($name:ident),* $(,)?) => {
        fn numbers() -> Facts {
            vec![$((stringify!($name).to_string(), $name())),*]
        }
    };
}

numbers!(
    KVM_GET_API_VERSION,
    KVM_CREATE_VM,
    KVM_CHECK_EXTENSION,
    KVM_GET_VCPU_MMAP_SIZE,
    KVM_CREATE_VCPU,
    KVM_SET_USER_MEMORY_REGION,
    KVM_CREATE_DEVICE,
    KVM_S390_GET_SKEYS,
    KVM_S390_SET_SKEYS,
    KVM_SET_DEVICE_ATTR,
    KVM_GET_DEVICE_ATTR,
    KVM_HAS_DEVICE_ATTR,
    KVM_S390_INTERRUPT,
    KVM_ENABLE_CAP,
    KVM_S390_MEM_OP,
    KVM_RUN,
    KVM_GET_REGS,
    KVM_SET_REGS,
    KVM_GET_SREGS,
    KVM_SET_SREGS,
    KVM_GET_FPU,
    KVM_SET_FPU,
    KVM_S390_STORE_STATUS,
    KVM_S390_SET_INITIAL_PSW,
    KVM_S390_INITIAL_RESET,
    KVM_GET_MP_STATE,
    KVM_SET_MP_STATE,
    KVM_GET_ONE_REG,
    KVM_SET_ONE_REG,
    KVM_S390_IRQ,
    KVM_S390_GET_IRQ_STATE,
    KVM_S390_NORMAL_RESET,
    KVM_S390_CLEAR_RESET,
);

fn program(facts: &Facts) -> String {
    let mut c = String::from(
        "#include <stdio.h>\n#include <stddef.h>\n#include <linux/kvm.h>\nint main(void)\n{\n",
    );
    for (expression, _) in facts {
        writeln!(
            c,
            "\tprintf(\"%llu\\n\", (unsigned long long)({expression}));"
        )
        .unwrap();
    }
    c.push_str("\treturn 0;\n}\n");
    c
}

fn is_there(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

#[test]
fn everything_is_as_in_the_kernel_headers() {
    if !is_there(COMPILER) || !is_there(RUNNER) {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "{COMPILER} and {RUNNER} are needed in CI");
        println!("SKIPPED: there is no {COMPILER} or no {RUNNER}");
        return;
    }
    let facts = [constants(), layouts(), nested(), numbers()].concat();
    let dir = tempfile::tempdir().unwrap();
    let (source, binary) = (dir.path().join("facts.c"), dir.path().join("facts"));
    std::fs::write(&source, program(&facts)).unwrap();
    let compiled = Command::new(COMPILER)
        .arg("-static")
        .arg("-o")
        .args([&binary, &source])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{message}");
    let printed = Command::new(RUNNER).arg(&binary).output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed.lines().count(), facts.len());
    for (line, (expression, ours)) in printed.lines().zip(&facts) {
        assert_eq!(line.parse(), Ok(*ours), "{expression}");
    }
}
