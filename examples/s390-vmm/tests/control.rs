// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A running guest, commanded through its control socket.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::running::{Running, BANNER};
use common::{vmm, GUEST};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use s390_vmm::config::DiskConfig;
use s390_vmm::control::{self, Command, DeviceRef};
use serde_json::{json, Value};

fn add_disk(path: PathBuf) -> Command {
    Command::AddDisk(DiskConfig {
        path,
        read_only: false,
        ..DiskConfig::default()
    })
}

/// The machine's page in words.
fn inspect(guest: &Running) -> String {
    let output = vmm()
        .arg("inspect")
        .arg("--control")
        .arg(guest.path("socket"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_disk_is_added_and_resized_and_stays_through_a_reset() {
    let mut guest = Running::start(&[]);
    let image = guest.image("disk.img", 1 << 20);
    let output = guest.ctl(&["add-disk", "path=disk.img"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer, json!({ "id": "disk0", "announced": false }));

    // In the page it is at once, for a guest that looks.
    let page = inspect(&guest);
    assert!(page.contains("virtio2: block, at offset"), "{page}");
    assert!(page.contains("capacity 2048 sectors"));

    let resize = Command::ResizeDisk {
        disk: DeviceRef::Path(image.clone()),
        size: Some(2 << 20),
    };
    assert_eq!(guest.tell(&resize), json!({ "size": 2 << 20 }));
    assert_eq!(image.metadata().unwrap().len(), 2 << 20);
    assert!(inspect(&guest).contains("capacity 4096 sectors"));
    // A smaller disk, and the image keeps what it holds.
    assert_eq!(
        guest.ctl(&["resize-disk", "0", "512K"]).status.code(),
        Some(0)
    );
    assert_eq!(image.metadata().unwrap().len(), 2 << 20);
    assert!(inspect(&guest).contains("capacity 1024 sectors"));

    assert_eq!(guest.ask(&Command::Reset), Ok(None));
    guest.read_until(BANNER);
    assert!(inspect(&guest).contains("capacity 1024 sectors"));
    let info = guest.tell(&Command::Info);
    let disk = json!({
        "id": "disk0", "needs-reset": false, "size": 512 << 10, "cache": "writeback"
    });
    assert_eq!(info["devices"][2], disk);
    let counters = guest.tell(&Command::Counters);
    assert_eq!(counters["disk0"]["queue"]["kicks"], 0);
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn a_directory_is_shared_with_a_running_guest() {
    let guest = Running::start(&["--hotplug=always"]);
    for (options, id) in [("tag=one", "share0"), ("tag=two,readonly", "share1")] {
        let output = guest.ctl(&["add-share", &format!("path=.,{options}")]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer, json!({ "id": id, "announced": true }));
    }
    let info = guest.tell(&Command::Info);
    let share = |id, tag, readonly| {
        json!({
            "id": id, "needs-reset": false, "tag": tag, "readonly": readonly
        })
    };
    assert_eq!(info["devices"][2], share("share0", "one", false));
    assert_eq!(info["devices"][3], share("share1", "two", true));
    let page = inspect(&guest);
    for (device, tag) in [(2, "one"), (3, "two")] {
        let words = page.split_once(&format!("virtio{device}: 9p, at offset "));
        let words = words.unwrap().1.split("virtio").next().unwrap();
        assert!(words.contains("MOUNT_TAG"), "{page}");
        assert!(words.contains(&format!("  tag {tag:?}\n")), "{page}");
    }
    let file = guest.path("file");
    std::fs::write(&file, "").unwrap();
    let no_directory = format!("cannot share {file:?}: Not a directory (os error 20)");
    for (share, sentence) in [
        (
            "path=/nonexistent,tag=three",
            "cannot share \"/nonexistent\": No such file or directory (os error 2)",
        ),
        ("path=file,tag=three", &no_directory),
        (
            "path=.,tag=two,readonly",
            "there are two shares with the tag \"two\"",
        ),
    ] {
        let output = guest.ctl(&["add-share", share]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, format!("s390-vmm: {sentence}\n"));
    }
    assert_eq!(guest.tell(&Command::Info)["devices"], info["devices"]);
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn interruptions_that_nobody_takes_are_counted_and_dropped_with_the_machine() {
    let mut guest = Running::start(&["--hotplug=always"]);
    let pending = |guest: &Running| guest.tell(&Command::Info)["pending-interruptions"].clone();
    assert_eq!(pending(&guest), 0);
    for added in 1..=3 {
        let image = guest.image(&format!("disk{added}.img"), 1 << 20);
        guest.tell(&add_disk(image));
        assert_eq!(pending(&guest), added);
    }
    assert_eq!(guest.ask(&Command::Reset), Ok(None));
    guest.read_until(BANNER);
    assert_eq!(pending(&guest), 0);
    assert_eq!(guest.end(), Some(1));
}

/// It may be older than the message.
#[test]
fn a_guest_that_shows_no_driver_is_not_told_of_a_device() {
    let guest = Running::start(&["--hotplug"]);
    let answer = guest.tell(&add_disk(guest.image("disk.img", 1 << 20)));
    assert_eq!(
        (&answer["id"], &answer["announced"]),
        (&json!("disk0"), &json!(false))
    );
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.starts_with("the guest does not show "), "{reason}");
    let info = guest.tell(&Command::Info);
    assert_eq!(info["devices"].as_array().unwrap().len(), 3);
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn a_page_that_is_full_is_an_answer() {
    let guest = Running::start(&["--hotplug=always"]);
    let mut disks = 0;
    let refusal = loop {
        let image = guest.image(&format!("disk{disks}.img"), 1 << 20);
        match guest.ask(&add_disk(image)) {
            Ok(answer) => {
                let id = format!("disk{disks}");
                assert_eq!(answer, Some(json!({ "id": id, "announced": true })));
            }
            Err(refusal) => break refusal,
        }
        disks += 1;
    };
    assert!(
        refusal.starts_with("cannot set up the devices: the device has no place in the device page: the device needs"),
        "{refusal}"
    );
    assert!((40..128).contains(&disks), "{disks}");
    let info = guest.tell(&Command::Info);
    assert_eq!(info["devices"].as_array().unwrap().len(), disks + 2);
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn devices_are_added_while_the_terminal_changes_its_size() {
    let guest = Running::start(&[]);
    let vmm = Pid::from_raw(guest.child.id() as i32);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A VMM that answers no more is not waited for without end.
            let end = Instant::now() + Duration::from_secs(60);
            while !done.load(Ordering::Relaxed) {
                let signal = match Instant::now() < end {
                    true => Signal::SIGWINCH,
                    false => Signal::SIGKILL,
                };
                kill(vmm, signal).unwrap();
            }
        });
        let answers: Vec<_> = (0..16)
            .map(|i| guest.ask(&add_disk(guest.image(&format!("disk{i}.img"), 1 << 20))))
            .collect();
        done.store(true, Ordering::Relaxed);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    });
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn the_console_changes_its_size() {
    let guest = Running::start(&[]);
    let page = || control::fetch_page(&guest.path("socket")).unwrap();
    // The console is the first device, with two queues; columns and rows come first.
    let size = |page: &[u8]| page[5 + 2 * 24 + 8..][..4].to_vec();
    let (columns, rows) = (132, 43);
    assert_ne!(size(&page()), [0; 4]);
    guest.ask(&Command::ConsoleSize { columns, rows }).unwrap();
    assert_eq!(size(&page()), [0, 132, 0, 43]);
    assert_eq!(
        guest.ask(&Command::Link { net: 0, up: false }),
        Err("there is no network interface 0".to_owned())
    );
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn a_balloon_without_a_driver_stays_empty() {
    let guest = Running::start(&["--balloon"]);
    let size = 16 << 20;
    assert_eq!(guest.ask(&Command::Balloon { size }), Ok(None));
    let statistics = guest.tell(&Command::BalloonStatistics);
    let expected = json!({ "target": size, "actual": 0, "statistics": null });
    assert_eq!(statistics, expected);
    let refusal = guest.ask(&Command::Balloon { size: 64 << 20 }).unwrap_err();
    assert!(
        refusal.starts_with("a balloon in 67108864 bytes of RAM cannot have 67108864: "),
        "{refusal}"
    );
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn what_cannot_be_done_is_said() {
    let guest = Running::start(&[]);
    let disk = |number| Command::ResizeDisk {
        disk: DeviceRef::Number(number),
        size: None,
    };
    let image = guest.image("disk.img", 1 << 20);
    guest.tell(&add_disk(image));
    for (command, sentence) in [
        (
            Command::PowerButton,
            "the guest does not listen to the power button",
        ),
        (disk(7), "there is no disk 7"),
        (
            add_disk("/nonexistent/disk".into()),
            "cannot open disk image /nonexistent/disk: No such file or directory (os error 2)",
        ),
        (
            Command::ResizeDisk {
                disk: DeviceRef::Number(0),
                size: Some(513),
            },
            "cannot resize disk0: 513 bytes are no whole number of blocks of 512",
        ),
    ] {
        assert_eq!(guest.ask(&command), Err(sentence.to_owned()));
    }
    let output = guest.ctl(&["resize-disk", "7", "1M"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"s390-vmm: there is no disk 7\n");
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn broken_clients_do_no_harm() {
    let guest = Running::start(&[]);
    let mode = guest.path("socket").metadata().unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    // One that says nothing holds up the others for no more than a time.
    let silent = UnixStream::connect(guest.path("socket")).unwrap();
    // One that goes away.
    drop(UnixStream::connect(guest.path("socket")).unwrap());
    let put = |path: &str, body: &str| {
        format!(
            "PUT /api/v1/vm.{path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (bytes, status) in [
        (b"\x16\x03\x01\0\0\r\n\r\n".as_slice(), "400 Bad Request"),
        (b"GET /api/v1/vm.nothing HTTP/1.1\r\n\r\n", "404 Not Found"),
        (
            b"GET /api/v1/vm.pause HTTP/1.1\r\n\r\n",
            "405 Method Not Allowed",
        ),
        (put("add-disk", "{").as_bytes(), "400 Bad Request"),
        (
            put("add-disk", &"[".repeat(60_000)).as_bytes(),
            "400 Bad Request",
        ),
        (
            b"PUT /api/v1/vm.add-disk HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            "413 Content Too Large",
        ),
        (
            put("resize-disk", "{\"disk\": 0}").as_bytes(),
            "500 Internal",
        ),
    ] {
        let answer = guest.raw(bytes);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains("{\"error\":\""), "{answer}");
    }
    drop(silent);
    assert_eq!(guest.tell(&Command::Info)["state"], "running");
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn sockets_left_behind_are_replaced_and_nothing_else() {
    let boot = |path: &std::path::Path| {
        let output = vmm()
            .args(["boot", "--kernel", GUEST, "--control"])
            .arg(path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(boot(&file).contains("Address already in use"));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");

    drop(UnixListener::bind(directory.path().join("socket")).unwrap());
    let guest = Running::start_in(directory, &[]);
    assert!(boot(&guest.path("socket")).contains("Address already in use"));
    assert_eq!(guest.tell(&Command::Info)["state"], "running");
    assert_eq!(guest.end(), Some(1));
}

#[test]
fn nobody_behind_the_socket_is_an_error() {
    let output = vmm()
        .args(["ctl", "--control", "/nonexistent/socket", "pause"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("s390-vmm: cannot talk to the machine behind \"/nonexistent/socket\": "),
        "{stderr}"
    );
}
