#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#
# Measures the line coverage of the tests on this machine and compares it with
# `coverage_score` of coverage_config_<machine>.json: it may differ by half a
# percentage point, as upstream has it.
#
#   --s390x    the tests for s390x, on any machine: under qemu-user, after
#              tools/s390x-toolchain.sh; what needs KVM there is not covered
#   --update   rewrites the score
#   --html     makes a report in target/llvm-cov as well
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/debian-packages.sh

cache=${S390X_TC:-${XDG_CACHE_HOME:-$HOME/.cache}/s390x-tc}
linux=s390x-unknown-linux-gnu
machine=$(uname -m) target=() update='' html=''
for option; do
    case $option in
    --s390x) machine=s390x ;;
    --update) update=1 ;;
    --html) html=1 ;;
    *) die "usage: coverage.sh [--s390x] [--update] [--html]" ;;
    esac
done
config=coverage_config_$machine.json

# LLVM's tools must be those of rustc's LLVM: rustup has them; where it cannot
# fetch them, Debian may have that version of LLVM in another suite.
llvm_tools() {
    local bin version prefix=$cache/llvm tool deb
    bin=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
    if [ -n "${LLVM_COV:-}" ] || [ -x "$bin/llvm-cov" ]; then
        return
    fi
    if timeout 60 rustup component add llvm-tools >/dev/null 2>&1; then
        return
    fi
    version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    if [ ! -x "$prefix-$version/bin/llvm-cov" ]; then
        mkdir -p "$prefix-$version.new/bin"
        # With all it depends on, down to the C library: it runs beside the system's own.
        debian_download_all trixie "$(dpkg --print-architecture)" "llvm-$version" |
            while read -r deb; do
                dpkg-deb --fsys-tarfile "$deb" |
                    tar x -C "$prefix-$version.new" --exclude=./usr/share
            done
        for tool in llvm-cov llvm-profdata; do
            cat >"$prefix-$version.new/bin/$tool" <<WRAPPER
#!/bin/sh
root=\$(dirname "\$(dirname "\$0")")/usr/lib
libraries=\$(dirname "\$(ls "\$root"/*/libc.so.6)")
exec "\$libraries"/ld-linux-*.so.* --library-path "\$libraries:\$root/llvm-$version/lib" \\
    "\$root/llvm-$version/bin/$tool" "\$@"
WRAPPER
            chmod +x "$prefix-$version.new/bin/$tool"
        done
        mv "$prefix-$version.new" "$prefix-$version"
    fi
    export LLVM_COV=$prefix-$version/bin/llvm-cov LLVM_PROFDATA=$prefix-$version/bin/llvm-profdata
}

# A standard library that was built from its sources has no profiler runtime.
# That of clang is the same, if it is of the same LLVM, and takes its place.
profiler_runtime() {
    local version runtime suite deb
    version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    runtime=$cache/clang-rt-$version/libclang_rt.profile-s390x.a
    for suite in trixie sid; do
        [ ! -e "$runtime" ] || break
        deb=$(debian_download $suite s390x "libclang-rt-$version-dev") || continue
        mkdir -p "${runtime%/*}"
        dpkg-deb --fsys-tarfile "$deb" |
            tar x -O --wildcards "*/${runtime##*/}" >"$runtime.new"
        mv "$runtime.new" "$runtime"
    done
    [ -e "$runtime" ] || die "no Debian has libclang-rt-$version-dev for s390x"
    # The switch is not stable. The runtime needs what of the C library is not shared.
    export RUSTC_BOOTSTRAP=1
    export RUSTFLAGS="-Zno-profiler-runtime -Clink-arg=$runtime -Clink-arg=-lc"
}

field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1])).get(sys.argv[2], ""))' "$config" "$1"; }

llvm_tools
if [ "$machine" != "$(uname -m)" ]; then
    target=(--target "$linux")
    profiler_runtime
fi
cargo llvm-cov --version >/dev/null 2>&1 || cargo install -q --locked cargo-llvm-cov

# Without `crate_features`, all.
features=$(field crate_features)
if [ -n "$features" ]; then features="--features=$features"; else features=--all-features; fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
cargo llvm-cov --locked --workspace "$features" "${target[@]}" \
    --ignore-filename-regex "$(field exclude_path)" --json --summary-only --output-path "$report"
[ -z "$html" ] || cargo llvm-cov report --html "${target[@]}" --ignore-filename-regex "$(field exclude_path)"

python3 - "$config" "$report" "$update" <<'COMPARE'
import json
import sys

config_path, report_path, update = sys.argv[1:]
config = json.load(open(config_path))
data = json.load(open(report_path))["data"][0]
crates = {}
for file in data["files"]:
    lines = file["summary"]["lines"]
    name = file["filename"].split("/src/")[0].rsplit("/", 1)[-1]
    count, covered = crates.get(name, (0, 0))
    crates[name] = (count + lines["count"], covered + lines["covered"])
for name, (count, covered) in sorted(crates.items()):
    print(f"{name:24} {100 * covered / max(count, 1):6.2f} % of {count} lines")
measured = round(data["totals"]["lines"]["percent"], 2)
print(f"coverage: {measured} %, {config_path} says {config['coverage_score']} %")
if update:
    config["coverage_score"] = measured
    with open(config_path, "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
elif abs(measured - config["coverage_score"]) > 0.5:
    sys.exit("coverage: differs by more than 0.5: add tests, or run it with --update")
COMPARE
