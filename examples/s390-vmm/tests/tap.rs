// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest on a tap device in a network namespace of its own, pinged with the ordinary ping.
//!
//! Needs namespaces, `/dev/net/tun`, `ip` and `ping`; where they are missing the test says so and
//! passes.

mod common;

use std::process::{Command, Output, Stdio};

use common::{words, GUEST};

/// A tap device with the host's address on it.
const SETUP: &str = "ip tuntap add tap0 mode tap && \
                     ip address add 10.0.2.2/24 dev tap0 && \
                     ip link set tap0 up";

/// Boots the guest, which ends when it has answered enough pings, and pings it until it ends.
const PING: &str = r#"
    $VMM boot --backend emulated --memory 64M --kernel "$GUEST" --net tap=tap0 \
        --cmdline "ip=10.0.2.15 peer=10.0.2.2 pings=3 serve=120 serve-pings=5" </dev/null &
    vmm=$!
    while kill -0 $vmm 2>/dev/null; do
        ping -c 1 -W 1 10.0.2.15 >/dev/null && answered=$((answered + 1))
    done
    wait $vmm
    status=$?
    echo "host: ${answered:-0} pings answered"
    exit $status
"#;

/// Runs a script as root of new user and network namespaces.
fn in_namespace(script: &str) -> std::io::Result<Output> {
    Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", script])
        .env("VMM", words().join(" "))
        .env("GUEST", GUEST)
        .stdin(Stdio::null())
        .output()
}

#[test]
fn ping_over_a_tap_device() {
    let setup = in_namespace(&format!("{SETUP} && command -v ping"));
    if !setup.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no network namespaces, tap devices or tools here");
        return;
    }
    let output = in_namespace(&format!("{SETUP}\n{PING}")).unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("net: 3 pings sent, 3 answered"), "{stdout}");
    // The guest counted five; the last answers may come when it or the pinging is over.
    assert!(stdout.contains("pings answered\n"), "{stdout}");
    assert!(!stdout.contains("host: 0 pings answered"), "{stdout}");
}
