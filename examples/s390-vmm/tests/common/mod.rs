// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The built command and the built guest.

use std::process::Command;

/// The guest on bare metal.
#[allow(dead_code)]
pub const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bare-guest/bare-guest.elf");

/// The words of the command `s390-vmm`. A test that itself runs under an emulator of s390x
/// programs has to start others in the same way.
pub fn words() -> Vec<String> {
    let runner = match cfg!(target_arch = "s390x") {
        true => std::env::var("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER").unwrap_or_default(),
        false => String::new(),
    };
    let runner = runner.split_whitespace().map(str::to_owned);
    runner
        .chain([env!("CARGO_BIN_EXE_s390-vmm").to_owned()])
        .collect()
}

/// The command `s390-vmm`.
#[allow(dead_code)]
pub fn vmm() -> Command {
    let words = words();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}
