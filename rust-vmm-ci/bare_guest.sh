#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# The bare guest: its unit tests, then both images, the committed one and one made
# from the sources now, under QEMU (which has no devices for it) and under s390-vmm
# with a disk.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
committed=$PWD/examples/bare-guest/bare-guest.elf
rebuilt=$CARGO_TARGET_DIR/s390x-unknown-none-softfloat/release/bare-guest

(
    cd examples/bare-guest
    cargo test --locked --lib --target "$(rustc -vV | sed -n 's/^host: //p')"
    cargo build --locked --release
)
disk=$(mktemp)
trap 'rm -f "$disk"' EXIT
for image in "$committed" "$rebuilt"; do
    echo "--- $image"
    examples/bare-guest/test-qemu.sh "$image"
    rm -f "$disk"
    truncate -s 1M "$disk"
    cargo run -q --locked --release -p s390-vmm -- boot --kernel "$image" \
        --disk "path=$disk" --cmdline disk=rewrite
    # The guest leaves the first sectors with its pattern: they start with their numbers.
    [ "$(od -An -tx1 -j512 -N8 "$disk" | tr -d ' ')" = 0000000000000001 ]
done
