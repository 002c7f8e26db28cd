// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where everything of a good image ends up.

mod common;

use std::io::{Cursor, Write};

use common::*;
use linux_loader::cmdline::Cmdline;
use linux_loader::loader::{load_cmdline, Error as LoaderError, KernelLoader};
use s390_loader::{
    Error, Image, S390Image, COMMAND_LINE, DEFAULT_COMMAND_LINE_SIZE, INITRD_SIZE, INITRD_START,
    MAX_COMMAND_LINE_SIZE, PARAMETER_AREA,
};
use vm_memory::GuestAddress;

const RAM: u64 = 32 * MIB;

#[test]
fn a_raw_image_is_memory_from_0() {
    let file = raw(0x20000, 4096);
    let image = Image::new(file.clone()).unwrap();
    let mem = memory(RAM);
    let boot = image.load(&mem, RAM).unwrap();
    assert_eq!(boot.entry, 0x10000);
    assert_eq!((boot.psw().mask, boot.psw().addr), (0x1_8000_0000, 0x10000));
    assert_eq!(boot.kernel, 0..0x20000);
    assert_eq!(boot.initrd, None);
    // Fields that are not ours, and the command line, stay as they are in the image.
    assert_eq!(read(&mem, 0, file.len()), file);
    assert!(untouched(&mem, 0x20000, (RAM + MIB) as usize - 0x20000));
}

#[test]
fn an_image_without_the_magic_has_an_ipl_psw() {
    let mut file = raw(0x20000, 0);
    file[0x10008..0x1000e].fill(0);
    assert!(Image::new(file.clone()).is_ok());
    for at in [1, 2, 4, 7] {
        let mut broken = file.clone();
        broken[at] ^= 0x81;
        assert!(
            matches!(Image::new(broken), Err(Error::Foreign(_))),
            "byte {at}"
        );
    }
}

#[test]
fn an_elf_kernel_goes_to_its_physical_addresses() {
    let image = Image::new(elf(
        0x10_0010,
        &[
            (0x20_0000, b"second segment", 0x5000),
            (0x10_0000, &[7; 0x20], 0),
        ],
    ));
    let image = image.unwrap();
    let mem = memory(RAM);
    let boot = image.load(&mem, RAM).unwrap();
    assert_eq!(boot.entry, 0x10_0010);
    assert_eq!(boot.kernel, 0x10_0000..0x20_500e);
    assert_eq!(read(&mem, 0x10_0000, 0x20), [7; 0x20]);
    assert!(untouched(&mem, 0x10_0020, 0xf_ffe0));
    assert_eq!(read(&mem, 0x20_0000, 14), *b"second segment");
    assert_eq!(read(&mem, 0x20_000e, 0x5000), [0; 0x5000]);
    assert!(untouched(&mem, 0x20_500e, 0x10_0000));
    assert!(untouched(&mem, 0, PARAMETER_AREA as usize));
}

#[test]
fn a_segment_may_have_no_bytes_in_the_file() {
    let image = Image::new(elf(
        0x10000,
        &[(0x10000, b"\x07\x07", 0), (0x20_0000, b"", 64)],
    ));
    let mem = memory(RAM);
    image.unwrap().load(&mem, RAM).unwrap();
    assert_eq!(read(&mem, 0x20_0000, 64), [0; 64]);
}

#[test]
fn other_program_headers_are_not_loaded() {
    let note = Phdr {
        p_type: 4,
        offset: u64::MAX,
        paddr: u64::MAX,
        file_size: 9,
        mem_size: 1,
    };
    let empty = Phdr {
        p_type: 1,
        mem_size: 0,
        ..note
    };
    let load = Phdr {
        p_type: 1,
        offset: 0,
        paddr: 0x10000,
        file_size: 64,
        mem_size: 64,
    };
    let image = Image::new(elf_headers(0x10000, &[note, empty, load])).unwrap();
    assert_eq!(image.kernel().segments().len(), 1);
}

#[test]
fn the_card_reader_entry_is_replaced() {
    let contents = vec![0x07; 0x10002];
    let image = Image::new(elf(0x800, &[(0, &contents, 0)])).unwrap();
    assert_eq!(image.kernel().entry(), 0x10000);
    let image = Image::new(elf(0x802, &[(0, &contents, 0)])).unwrap();
    assert_eq!(image.kernel().entry(), 0x802);
}

#[test]
fn the_parameter_area_names_initrd_and_command_line() {
    let image = Image::new(raw(0x20000, 4096))
        .and_then(|i| i.with_initrd(b"initrd contents".to_vec()))
        .and_then(|i| i.with_command_line(b"console=ttyS1"))
        .unwrap();
    let mem = memory(RAM);
    let boot = image.load(&mem, RAM).unwrap();
    let initrd = boot.initrd.unwrap();
    assert_eq!(initrd, 16 * MIB..16 * MIB + 15);
    assert_eq!(read_u64(&mem, INITRD_START), initrd.start);
    assert_eq!(read_u64(&mem, INITRD_SIZE), 15);
    assert_eq!(read(&mem, initrd.start, 15), *b"initrd contents");
    assert!(untouched(&mem, initrd.end, MIB as usize));
    assert_eq!(read_text(&mem, COMMAND_LINE), "console=ttyS1");
    // The image's own fields are not ours.
    assert_eq!(read_u64(&mem, 0x10400), 0x1234);
    assert_eq!(read_u64(&mem, 0x10430), 4096);
}

#[test]
fn a_guest_without_a_parameter_area_gets_one() {
    let image = Image::new(elf(0x1_2000, &[(0x1_2000, b"\x07\x07", 0)]))
        .and_then(|i| i.with_command_line(b"test=1"))
        .unwrap();
    let mem = memory(RAM);
    image.load(&mem, RAM).unwrap();
    let mut expected = vec![0; 0x400];
    expected[0x80..0x86].copy_from_slice(b"test=1");
    assert_eq!(read(&mem, PARAMETER_AREA, 0x400), expected);
    assert!(untouched(&mem, 0x1_0800, 0x1800));
    // Also without a command line.
    let image = Image::new(elf(0x1_2000, &[(0x1_2000, b"\x07\x07", 0)])).unwrap();
    let mem = memory(RAM);
    image.load(&mem, RAM).unwrap();
    assert_eq!(read(&mem, PARAMETER_AREA, 0x400), [0; 0x400]);
}

#[test]
fn a_second_boot_is_like_the_first() {
    let image = Image::new(raw(0x20000, 4096))
        .and_then(|i| i.with_initrd(vec![1; 5000]))
        .and_then(|i| i.with_command_line(b"a"))
        .unwrap();
    let mem = memory(RAM);
    let first = image.load(&mem, RAM).unwrap();
    let contents = read(&mem, 0, RAM as usize);
    // The guest has run.
    use vm_memory::Bytes;
    let scribble = vec![0x55; 0x20000];
    mem.write_slice(&scribble, GuestAddress(0)).unwrap();
    mem.write_slice(&scribble[..5000], GuestAddress(16 * MIB))
        .unwrap();
    assert_eq!(image.load(&mem, RAM).unwrap(), first);
    assert!(read(&mem, 0, RAM as usize) == contents);
}

#[test]
fn the_command_line_fits_the_kernel() {
    for (stated, size) in [
        (0, DEFAULT_COMMAND_LINE_SIZE),
        (896, 896),
        (4096, 4096),
        (MAX_COMMAND_LINE_SIZE, MAX_COMMAND_LINE_SIZE),
        (u64::MAX, MAX_COMMAND_LINE_SIZE),
    ] {
        let limit = size as usize - 1;
        let image = || Image::new(raw(0x20000, stated)).unwrap();
        assert_eq!(image().command_line_limit(), limit);
        let line = vec![b'x'; limit];
        let fits = image().with_command_line(&line).unwrap();
        let mem = memory(RAM);
        fits.load(&mem, RAM).unwrap();
        assert_eq!(read(&mem, COMMAND_LINE, limit), line);
        assert_eq!(read(&mem, COMMAND_LINE + limit as u64, 1), [0]);

        let error = image()
            .with_command_line(&vec![b'x'; limit + 1])
            .unwrap_err();
        let text = format!(
            "the command line has {} characters, but this kernel takes at most {limit}",
            limit + 1
        );
        assert_eq!(error.to_string(), text);
    }
    // A kernel without a parameter area in its file.
    let image = Image::new(elf(0x10_0000, &[(0x10_0000, b"\x07\x07", 0)])).unwrap();
    assert_eq!(image.command_line_limit(), 895);
}

#[test]
fn the_command_line_is_ascii() {
    for line in [&b"caf\xc3\xa9"[..], b"a\x80", b"nul\0"] {
        let image = Image::new(raw(0x20000, 0)).unwrap();
        let error = image.with_command_line(line).unwrap_err();
        assert!(matches!(error, Error::CommandLineByte { .. }), "{error}");
    }
}

#[test]
fn a_cmdline_of_linux_loader() {
    let mut cmdline = Cmdline::new(1000).unwrap();
    cmdline.insert("root", "/dev/vda").unwrap();
    cmdline.insert_init_args("single").unwrap();
    let image = Image::new(raw(0x20000, 0))
        .and_then(|i| i.with_cmdline(&cmdline))
        .unwrap();
    let mem = memory(RAM);
    image.load(&mem, RAM).unwrap();
    assert_eq!(read_text(&mem, COMMAND_LINE), "root=/dev/vda -- single");

    let mut cmdline = Cmdline::new(1000).unwrap();
    cmdline.insert_str("x".repeat(896)).unwrap();
    let error = Image::new(raw(0x20000, 0)).unwrap().with_cmdline(&cmdline);
    assert!(matches!(error, Err(Error::CommandLineTooLong { .. })));
}

#[test]
fn the_initrd_is_clear_of_a_kernel_that_unpacks_itself() {
    let image = Image::new(raw(5 * MIB as usize, 0))
        .and_then(|i| i.with_initrd(vec![1; 100]))
        .unwrap();
    let mem = memory(RAM);
    assert_eq!(
        image.load(&mem, RAM).unwrap().initrd.unwrap().start,
        21 * MIB
    );
    // In less RAM, at its end; never behind it.
    let boot = image.load(&mem, 12 * MIB).unwrap();
    assert_eq!(boot.initrd.unwrap().start, 12 * MIB - 4096);
}

#[test]
fn the_initrd_is_never_in_the_parameter_area() {
    let image = Image::new(elf(0x2000, &[(0x2000, b"\x07\x07", 0)]))
        .and_then(|i| i.with_initrd(vec![1; 0xff000]))
        .unwrap();
    let error = image.load(&memory(MIB), MIB).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the initrd of 1044480 bytes does not fit between 0x10800 and the end of RAM at 0x100000"
    );
}

#[test]
fn files_are_read_and_named() {
    let file = |contents: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(contents).unwrap();
        file
    };
    let kernel = file(&raw(0x20000, 0));
    let initrd = file(b"initrd");
    let empty = file(b"");
    let image = Image::open(kernel.path(), Some(initrd.path())).unwrap();
    let mem = memory(RAM);
    let boot = image.load(&mem, RAM).unwrap();
    assert_eq!(read(&mem, boot.initrd.unwrap().start, 6), *b"initrd");
    assert!(Image::open(kernel.path(), None).is_ok());

    let error = Image::open(kernel.path(), Some(empty.path())).unwrap_err();
    assert_eq!(error.to_string(), "the initrd is an empty file");
    let error = Image::open(empty.path(), None).unwrap_err();
    assert_eq!(error.to_string(), "the kernel is an empty file");
    let error = Image::open("/nonexistent/vmlinuz".as_ref(), None).unwrap_err();
    assert_eq!(error.to_string(), "cannot read \"/nonexistent/vmlinuz\"");
    assert!(std::error::Error::source(&error).is_some());
    assert!(matches!(
        Image::open("/".as_ref(), None),
        Err(Error::Read { .. })
    ));
}

#[test]
fn as_a_kernel_loader() {
    let mem = memory(RAM);
    let mut file = Cursor::new(elf(0x10_0010, &[(0x10_0000, &[7; 0x20], 0x100)]));
    file.set_position(99);
    let result = S390Image::load(&mem, None, &mut file, None).unwrap();
    assert_eq!(result.kernel_load, GuestAddress(0x10_0010));
    assert_eq!(result.kernel_end, 0x10_0120);
    assert_eq!(read(&mem, 0x10_0000, 0x20), [7; 0x20]);

    let mut cmdline = Cmdline::new(896).unwrap();
    cmdline.insert_str("quiet").unwrap();
    load_cmdline(&mem, GuestAddress(COMMAND_LINE), &cmdline).unwrap();
    assert_eq!(read_text(&mem, COMMAND_LINE), "quiet");

    let start = Err(LoaderError::InvalidKernelStartAddress);
    let offset = Some(GuestAddress(0x1000));
    assert_eq!(S390Image::load(&mem, offset, &mut file, None), start);
    assert!(S390Image::load(&mem, Some(GuestAddress(0)), &mut file, None).is_ok());
    assert_eq!(
        S390Image::load(&mem, None, &mut Cursor::new(b"no kernel"), None),
        start
    );
    let mut large = Cursor::new(elf(0x10_0000, &[(0x10_0000, &[7; 2], RAM)]));
    let overflow = Err(LoaderError::MemoryOverflow);
    assert_eq!(S390Image::load(&mem, None, &mut large, None), overflow);
}
