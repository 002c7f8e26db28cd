// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest with a disk image made by `dd` and a tap device in a network namespace, pinged with
//! the ordinary `ping`.
//!
//! Needs namespaces, `/dev/net/tun`, `ip` and `ping`. Where they are missing the test says so and
//! passes, except where `CI` is set.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{sector, words, GUEST};

/// A tap device with the host's address on it.
const SETUP: &str = "ip tuntap add tap0 mode tap && \
                     ip address add 10.0.2.2/24 dev tap0 && \
                     ip link set tap0 up";

/// Boots the guest, which ends when it has answered enough pings, and pings it until it ends.
const PING: &str = r#"
    dd if=/dev/zero of="$DISK" bs=512 count=100 2>/dev/null
    $VMM boot --backend emulated --memory 64M --kernel "$GUEST" \
        --disk path="$DISK" --net tap=tap0,mac=02:00:00:00:00:2a \
        --cmdline "disk=rewrite ip=10.0.2.15 peer=10.0.2.2 pings=3 serve=120 serve-pings=5" \
        </dev/null &
    vmm=$!
    while kill -0 $vmm 2>/dev/null; do
        ping -c 1 -W 1 10.0.2.15 >/dev/null && answered=$((answered + 1))
    done
    wait $vmm
    status=$?
    echo "host: ${answered:-0} pings answered"
    ip neighbour show 10.0.2.15
    exit $status
"#;

/// Runs its argument in a new network namespace, for which who is not root needs a user namespace.
const UNSHARE: &str = r#"
    [ "$(id -u)" = 0 ] || map=--map-root-user
    exec unshare $map --net sh -c "$0"
"#;

/// Runs a script in a network namespace of its own.
fn in_namespace(script: &str, disk: &Path) -> std::io::Result<Output> {
    Command::new("sh")
        .args(["-c", UNSHARE, script])
        .env("VMM", words().join(" "))
        .env("GUEST", GUEST)
        .env("DISK", disk)
        .stdin(Stdio::null())
        .output()
}

/// Why the test cannot run here, if it cannot.
fn obstacle() -> Option<String> {
    let setup = in_namespace(&format!("{SETUP} && command -v ping"), Path::new(""));
    match setup {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

#[test]
fn disk_and_ping_over_a_tap_device() {
    if let Some(obstacle) = obstacle() {
        assert!(std::env::var_os("CI").is_none(), "{obstacle}");
        // Past the test harness, which would keep it to itself.
        let line = format!("skipped, no tap device in a network namespace: {obstacle}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    let output = in_namespace(&format!("{SETUP}\n{PING}"), &disk).unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");

    assert!(stdout.contains("net: 3 pings sent, 3 answered"), "{stdout}");
    // The guest counted five; the last answers may come when it or the pinging is over.
    assert!(stdout.contains("pings answered\n"), "{stdout}");
    assert!(!stdout.contains("host: 0 pings answered"), "{stdout}");
    assert!(stdout.contains("02:00:00:00:00:2a"), "{stdout}");

    // By default the guest works on the first 8 sectors: first it gives them the pattern, then it
    // complements every other one.
    let image = std::fs::read(&disk).unwrap();
    assert_eq!(image.len(), 100 * 512);
    for (number, found) in (0..).zip(image.chunks(512)) {
        let expected = match number {
            0..8 => sector(number, number % 2 == 0),
            _ => vec![0; 512],
        };
        assert!(found == expected, "sector {number}");
    }
}
