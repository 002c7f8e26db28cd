// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest of a few instructions that loads itself again.

mod common;

use std::process::Stdio;

use common::vmm;

/// Counts its boots in storage outside of the image, checks that the image is fresh, spoils it,
/// and asks for a re-IPL without clearing (DIAGNOSE 0x308 subcode 4) until the third boot.
const PROGRAM: &[&[u8]] = &[
    &[0xa5, 0x1e, 0x00, 0x20],             // llilh %r1,0x0020: 2 MiB
    &[0xe3, 0x20, 0x10, 0x00, 0x00, 0x04], // lg    %r2,0(%r1)
    &[0xa7, 0x2b, 0x00, 0x01],             // aghi  %r2,1
    &[0xe3, 0x20, 0x10, 0x00, 0x00, 0x24], // stg   %r2,0(%r1)
    &[0xa5, 0x3e, 0x00, 0x01],             // llilh %r3,0x0001: the image
    &[0xe3, 0x40, 0x32, 0x00, 0x00, 0x04], // lg    %r4,0x200(%r3)
    &[0xa7, 0x4f, 0x00, 0x55],             // cghi  %r4,0x55
    &[0xa7, 0x84, 0x00, 0x04],             // je    .+8
    &[0xb2, 0xb2, 0x33, 0x00],             // lpswe 0x300(%r3): spoilt
    &[0xa7, 0x49, 0x00, 0x00],             // lghi  %r4,0
    &[0xe3, 0x40, 0x32, 0x00, 0x00, 0x24], // stg   %r4,0x200(%r3)
    &[0xa7, 0x59, 0x00, 0x04],             // lghi  %r5,4
    &[0xa7, 0x2f, 0x00, 0x03],             // cghi  %r2,3
    &[0xa7, 0x84, 0x00, 0x06],             // je    .+12
    &[0x83, 0x45, 0x03, 0x08],             // diag  %r4,%r5,0x308
    &[0xb2, 0xb2, 0x33, 0x00],             // lpswe 0x300(%r3): came back
    &[0xb2, 0xb2, 0x33, 0x10],             // lpswe 0x310(%r3): done
];

fn image() -> Vec<u8> {
    let mut image = vec![0; 0x11000];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x10000, &[0xa7, 0xf4, 0x00, 0x40]); // j .+0x80
    put(0x10008, b"S390EP\0\x01");
    put(0x10080, &PROGRAM.concat());
    put(0x10200, &0x55u64.to_be_bytes());
    for (at, address) in [(0x10300, 0xbad_u64), (0x10310, 0xfff)] {
        put(at, &0x0002_0001_8000_0000_u64.to_be_bytes());
        put(at + 8, &address.to_be_bytes());
    }
    image
}

#[test]
fn a_guest_boots_again_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = directory.path().join("image");
    std::fs::write(&kernel, image()).unwrap();
    let output = vmm()
        .args([
            "boot",
            "--backend",
            "emulated",
            "--memory",
            "64M",
            "--kernel",
        ])
        .arg(&kernel)
        .env("RUST_LOG", "s390_vmm=info")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let resets = stderr.matches("the guest resets the machine").count();
    assert_eq!(resets, 2, "{stderr}");
}
