#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Builds bare-guest.elf, the image that is committed, and bare-guest.sources, the list of what it
# is made of. The image holds a hash of these files.
#
#   build.sh            build both
#   build.sh --check    fail if the image was made of other sources; needs no toolchain
set -euo pipefail
cd "$(dirname "$0")"
root=$(realpath ../..)
here=$(realpath --relative-to="$root" .)
image=bare-guest.elf
list=bare-guest.sources

# One hash over names and contents of the listed files.
hash_sources() {
    (cd "$root" && xargs -d '\n' sha256sum -- <"$here/$list") | sha256sum | cut -d' ' -f1
}

case ${1-} in
--check)
    if grep -qaF "sources sha256 $(hash_sources)" $image; then
        echo "$here/$image is up to date"
        exit
    fi
    echo "$here/$image is stale: run $here/build.sh and commit the result" >&2
    exit 1
    ;;
?*)
    echo "usage: build.sh [--check]" >&2
    exit 2
    ;;
esac

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# No path of this machine in the image.
export CARGO_TARGET_S390X_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS="--remap-path-prefix=$root/="
unset BARE_GUEST_SOURCES RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
built=$CARGO_TARGET_DIR/s390x-unknown-none-softfloat/release/bare-guest

# The compiler knows which files it read; documentation does not change the image.
cargo build --release --locked
{
    sed 's/^[^:]*: //; s/\\ /\n/g; s/ /\n/g' "$built.d" | sed "s|^$root/||" | grep -v '\.md$'
    printf '%s\n' "$here"/{Cargo.toml,Cargo.lock,.cargo/config.toml,link.ld,build.sh}
} | LC_ALL=C sort -u >$list
BARE_GUEST_SOURCES=$(hash_sources) cargo build --release --locked
cp "$built" $image
chmod 644 $image
"./build.sh" --check
