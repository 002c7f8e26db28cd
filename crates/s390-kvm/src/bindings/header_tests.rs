// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Compares everything with the kernel's own headers for s390x (on Debian those of
//! linux-libc-dev-s390x-cross): the compiler for s390x checks a C file that is written here from our
//! tables and asserts each of our values.

use std::fmt::Write;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use super::{constants, interrupt, kvm_run, kvm_sync_regs, model, plain, run};
use crate::ioctls::numbers::*;

const COMPILER: &str = "s390x-linux-gnu-gcc";

/// A C expression and our value of it.
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

/// One assertion a line; the message is the expression.
fn source(facts: &Facts) -> String {
    let mut c = String::from("#include <stddef.h>\n#include <linux/kvm.h>\n");
    for (expression, value) in facts {
        writeln!(
            c,
            "_Static_assert((unsigned long long)({expression}) == {value}ull, \"{expression}\");"
        )
        .unwrap();
    }
    c
}

/// What the compiler has to say, line by line: nothing if all is as it should be.
fn compile(source: &Path) -> Vec<String> {
    let output = Command::new(COMPILER)
        .args(["-std=c11", "-fsyntax-only"])
        .arg(source)
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), messages.is_empty(), "{messages}");
    let errors = messages.lines().filter(|line| line.contains("error"));
    errors.map(str::to_owned).collect()
}

#[test]
fn everything_is_as_in_the_kernel_headers() {
    if Command::new(COMPILER).arg("--version").output().is_err() {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "{COMPILER} is needed in CI");
        println!("SKIPPED: there is no {COMPILER}");
        return;
    }
    let mut facts = [constants(), layouts(), nested(), numbers()].concat();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("facts.c");
    std::fs::write(&file, source(&facts)).unwrap();
    assert_eq!(compile(&file), [""; 0]);
    // Each of them would be found, were it wrong.
    for (_, value) in &mut facts {
        *value ^= 1;
    }
    std::fs::write(&file, source(&facts)).unwrap();
    assert_eq!(compile(&file).len(), facts.len());
}
