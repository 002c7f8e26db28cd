#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Builds the crates that a guest may use, without std, for bare s390x.
set -euo pipefail
cd "$(dirname "$0")/.."
RUSTFLAGS="-D warnings" cargo build --locked --target s390x-unknown-none-softfloat \
    --no-default-features -p s390-hypercall -p s390-virtio-page -p s390-extint \
    -p s390-vring -p s390-virtio-guest
