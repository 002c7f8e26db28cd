// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the command says to a user who is wrong: one clear sentence, and the right exit status.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::{vmm, GUEST};

/// Exit status and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut vmm = vmm();
    // On an s390x machine without KVM a warning says so.
    vmm.env("RUST_LOG", "error").args(arguments);
    let output = vmm.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

/// The one sentence of a command that fails with status 1.
fn sentence(arguments: &[&str]) -> String {
    let (status, stderr) = run(arguments);
    assert_eq!(status, Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let sentence = stderr.strip_prefix("s390-vmm: ");
    sentence.unwrap().trim_end().to_owned()
}

fn boot(kernel: &Path) -> String {
    sentence(&["boot", "--kernel", kernel.to_str().unwrap()])
}

#[test]
fn a_kernel_that_is_not_there() {
    assert_eq!(
        boot(Path::new("/nonexistent/image")),
        "cannot read \"/nonexistent/image\": No such file or directory (os error 2)"
    );
}

#[test]
fn a_kernel_that_is_no_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kernel");
    fs::write(&path, []).unwrap();
    assert_eq!(boot(&path), "the kernel is an empty file");
    fs::write(&path, "#!/bin/sh\necho hello\n").unwrap();
    assert!(boot(&path).starts_with("not an s390 kernel: the file is "));
    // An ELF file for another machine.
    let mut elf = fs::read(GUEST).unwrap();
    elf[18..20].copy_from_slice(&62u16.to_be_bytes());
    fs::write(&path, &elf).unwrap();
    assert_eq!(
        boot(&path),
        "not an s390 kernel: the file is an ELF file for machine 62, not for 22 (s390)"
    );
    let elf = fs::read(GUEST).unwrap();
    for len in [20, 100, elf.len() / 2] {
        fs::write(&path, &elf[..len]).unwrap();
        let sentence = boot(&path);
        assert!(
            sentence.starts_with("the kernel is truncated"),
            "{len} bytes: {sentence}"
        );
    }
}

#[test]
fn an_initrd_that_is_not_there() {
    let arguments = ["boot", "--kernel", GUEST, "--initrd", "/nonexistent/initrd"];
    assert_eq!(
        sentence(&arguments),
        "cannot read \"/nonexistent/initrd\": No such file or directory (os error 2)"
    );
}

#[test]
fn a_kernel_that_does_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let initrd = directory.path().join("initrd");
    fs::write(&initrd, vec![1; 2 << 20]).unwrap();
    let arguments = ["boot", "--memory", "2M", "--kernel", GUEST, "--initrd"];
    let sentence = sentence(&[&arguments[..], &[initrd.to_str().unwrap()]].concat());
    assert!(sentence.starts_with("the initrd of 2097152 bytes does not fit"));
}

#[test]
fn disks_that_are_no_disks() {
    let directory = tempfile::tempdir().unwrap();
    let disk = |name: &str, size: u64| {
        let path = directory.path().join(name);
        fs::File::create(&path).unwrap().set_len(size).unwrap();
        let option = format!("path={}", path.display());
        sentence(&["boot", "--kernel", GUEST, "--disk", &option])
    };
    assert!(disk("odd", 1000).ends_with("has 1000 bytes, which is no multiple of 512"));
    assert!(disk("empty", 0).ends_with("is empty"));
    let odd = directory.path().join("odd blocks");
    fs::File::create(&odd).unwrap().set_len(6144).unwrap();
    let option = format!("path={},block-size=4096", odd.display());
    assert_eq!(
        sentence(&["boot", "--kernel", GUEST, "--disk", &option]),
        format!(
            "cannot create a disk of {odd:?}: 6144 bytes are no whole number of blocks of 4096"
        )
    );
    let missing = [
        "boot",
        "--kernel",
        GUEST,
        "--disk",
        "path=/nonexistent/disk",
    ];
    assert_eq!(
        sentence(&missing),
        "cannot open disk image /nonexistent/disk: No such file or directory (os error 2)"
    );
}

#[test]
fn shares_that_are_no_directories() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, []).unwrap();
    let share = |path: &Path| format!("path={},tag=t", path.display());
    let boot = |options: &[&str]| {
        let options = options.iter().flat_map(|option| ["--share", option]);
        sentence(
            &["boot", "--kernel", GUEST]
                .into_iter()
                .chain(options)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        boot(&[&share(Path::new("/nonexistent"))]),
        "cannot share \"/nonexistent\": No such file or directory (os error 2)"
    );
    assert_eq!(
        boot(&[&share(&file)]),
        format!("cannot share {file:?}: Not a directory (os error 20)")
    );
    let good = share(directory.path());
    assert_eq!(
        boot(&[&good, &good]),
        "there are two shares with the tag \"t\""
    );
}

#[test]
fn a_tap_device_with_an_impossible_name() {
    assert_eq!(
        sentence(&["boot", "--kernel", GUEST, "--net", "tap=a/b"]),
        "\"a/b\" is no name of a network interface"
    );
}

#[test]
fn a_socket_that_nobody_listens_on() {
    assert_eq!(
        sentence(&[
            "boot",
            "--kernel",
            GUEST,
            "--net",
            "stream=/nonexistent/socket"
        ]),
        "cannot connect to /nonexistent/socket: No such file or directory (os error 2)"
    );
}

#[test]
fn a_command_line_that_the_kernel_cannot_take() {
    let long = "x".repeat(5000);
    let sentence = sentence(&["boot", "--kernel", GUEST, "--cmdline", &long]);
    assert!(sentence.starts_with("the command line has 5000 characters, but this kernel takes"));
}

#[test]
fn a_console_file_that_cannot_be_made() {
    let sentence = sentence(&[
        "boot",
        "--kernel",
        GUEST,
        "--console",
        "file=/nonexistent/log",
    ]);
    assert!(sentence.starts_with("cannot open console file \"/nonexistent/log\": "));
}

#[test]
fn an_output_that_is_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    fs::write(&image, [1; 512]).unwrap();
    let disk = format!("path={}", image.display());
    let file = format!("file={}", image.display());
    let port = format!("name=p,{file}");
    for output in [["--console", &file], ["--port", &port]] {
        let arguments = ["boot", "--kernel", GUEST, "--disk", &disk];
        assert_eq!(
            sentence(&[&arguments[..], &output].concat()),
            format!(
                "disk image {} is in use by another disk or process",
                image.display()
            )
        );
        assert_eq!(fs::read(&image).unwrap(), [1; 512]);
    }
    let other = format!("name=q,{file}");
    let ports = ["boot", "--kernel", GUEST, "--port", &port, "--port", &other];
    assert_eq!(
        sentence(&ports),
        format!("port file {image:?} is in use by a disk or another output")
    );
}

#[test]
fn ports_with_one_name() {
    let ports = ["--port", "name=p,file=/dev/null"].repeat(2);
    assert_eq!(
        sentence(&[&["boot", "--kernel", GUEST][..], &ports].concat()),
        "there are two ports with the name \"p\""
    );
}

#[test]
fn memory_that_no_host_has() {
    let arguments = [
        "boot",
        "--kernel",
        GUEST,
        "--backend",
        "emulated",
        "--memory",
    ];
    let sentence = sentence(&[&arguments[..], &["1000T"]].concat());
    assert!(
        sentence.starts_with("cannot allocate 1099511"),
        "{sentence}"
    );
}

#[test]
#[cfg(not(target_arch = "s390x"))]
fn kvm_on_another_architecture() {
    let sentence = sentence(&["boot", "--kernel", GUEST, "--backend", "kvm"]);
    assert_eq!(
        sentence,
        "KVM cannot be used (--backend emulated needs none): \
         KVM runs s390 guests on s390x hosts only"
    );
}

#[test]
#[cfg(not(target_arch = "s390x"))]
fn a_guest_without_kvm_is_a_line_of_the_log() {
    for (level, lines) in [("info", 1), ("warn", 0)] {
        let output = vmm()
            .env("RUST_LOG", level)
            .args(["demo", "--backend", "auto"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        let stderr = String::from_utf8(output.stderr).unwrap();
        let said = "the software CPU runs the guest: KVM runs s390 guests on s390x hosts only";
        assert_eq!(stderr.matches(said).count(), lines, "{stderr}");
    }
}

#[test]
fn usage_errors_have_their_own_status() {
    for (arguments, words) in [
        (&["boot"][..], "--kernel <F>"),
        (
            &["boot", "--kernel", GUEST, "--memory", "1500K"],
            "1536000 bytes are not a multiple of 1 MiB",
        ),
        (
            &["boot", "--kernel", GUEST, "--disk", "disk.img"],
            "\"disk.img\" is not known here; expected path=F, readonly",
        ),
        (
            &["boot", "--kernel", GUEST, "--disk", "readonly"],
            "a disk needs path=F",
        ),
        (
            &["boot", "--kernel", GUEST, "--disk", "path=a,readonly=yes"],
            "\"readonly=yes\" is not known here",
        ),
        (
            &["boot", "--kernel", GUEST, "--disk", "path=a,path=b"],
            "path is given twice",
        ),
        (
            &["boot", "--kernel", GUEST, "--net", "tap=t,mac=1:2"],
            "\"1:2\" is not a unicast MAC address",
        ),
        (
            &["boot", "--kernel", GUEST, "--console", "pty"],
            "\"pty\" is not known here; expected stdio, file=F or none",
        ),
        (
            &["boot", "--kernel", GUEST, "--sclp-console", "hvc0"],
            "[possible values: vt220, line, both, none]",
        ),
        (
            &["boot", "--kernel", GUEST, "--backend", "xen"],
            "[possible values: auto, emulated, kvm]",
        ),
        (&["reboot"], "unrecognized subcommand 'reboot'"),
        (&[], "Usage: s390-vmm"),
    ] {
        let (status, stderr) = run(arguments);
        assert_eq!(status, Some(2), "{arguments:?}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}
