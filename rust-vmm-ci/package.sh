#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Packages every crate that is published and builds each from its package, as a user of a release
# would. A working tree with changes is packaged as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
# cargo unpacks what it has just packaged into a registry without a host. For it a version never
# changes: it takes what an earlier run unpacked and built.
rm -rf "${CARGO_HOME:-$HOME/.cargo}/registry/src"/-* "${CARGO_TARGET_DIR:-target}"/debug/.fingerprint/s390-*
cargo package --locked --workspace --exclude s390-fuzz-common --allow-dirty
