#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Fuzzes every target for FUZZ_SECONDS (900 by default), from the seeds and former
# findings, and from what earlier runs left in fuzz/corpus. Ends at a finding.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
export RUSTC_BOOTSTRAP=1
# Each input has a directory to share.
export TMPDIR=/dev/shm
for target in rings hypercalls sccb loader; do
    mkdir -p "corpus/$target"
    cargo fuzz run "$target" "corpus/$target" "common/inputs/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-900}" -timeout=20 -print_final_stats=1
done
