// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A kernel as distributions ship it: `S390_KERNEL=vmlinuz cargo test -p s390-loader -- --ignored`.

mod common;

use common::*;
use s390_loader::Image;

#[test]
#[ignore = "needs a kernel file in S390_KERNEL"]
fn a_real_kernel() {
    let path = std::env::var_os("S390_KERNEL").expect("S390_KERNEL names a kernel file");
    let file = std::fs::read(&path).unwrap();
    let image = Image::open(path.as_ref(), None)
        .and_then(|i| i.with_initrd(vec![1; 1 << 20]))
        .and_then(|i| i.with_command_line(b"console=ttyS1"))
        .unwrap();
    let ram = 128 * MIB;
    let mem = memory(ram);
    let boot = image.load(&mem, ram).unwrap();
    println!(
        "{boot:x?}, command line limit {}",
        image.command_line_limit()
    );
    let segment = &image.kernel().segments()[0];
    let start = &file[segment.file.clone()][..0x400.min(segment.file.len())];
    assert_eq!(read(&mem, segment.addr, start.len()), start);
    assert_eq!(read_text(&mem, 0x10480), "console=ttyS1");
    assert!(image.command_line_limit() >= 895);
    assert!(untouched(&mem, ram, MIB as usize));
}
