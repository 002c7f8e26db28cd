// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The built command and the built guest.

pub mod running;

use std::process::Command;

/// The guest on bare metal.
#[allow(dead_code)]
pub const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bare-guest/bare-guest.elf");

/// Sector `number` of a disk with the guest's pattern (see its README), plain or complemented.
#[allow(dead_code)]
pub fn sector(number: u64, complemented: bool) -> Vec<u8> {
    let next = |x: &u64| {
        let product = x.wrapping_mul(6_364_136_223_846_793_005);
        Some(product.wrapping_add(1_442_695_040_888_963_407))
    };
    let mask = |i| if complemented && i > 0 { u64::MAX } else { 0 };
    let words = std::iter::successors(Some(number), next).take(64);
    words
        .enumerate()
        .flat_map(|(i, x)| (x ^ mask(i)).to_be_bytes())
        .collect()
}

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
