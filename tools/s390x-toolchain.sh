#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#
# Sets up what builds and tests for s390x need on a Debian machine: the cross
# compiler, QEMU, Rust's standard library for both s390x targets, and a recent
# qemu-user as instruction oracle. It uses apt and cargo only, changes nothing
# that is already in place, and may be run as often as you like. Then
# `cargo test --target s390x-unknown-linux-gnu` works: see .cargo/config.toml.
#
# Environment:
#   S390X_TC          cache directory (default: s390x-tc in $XDG_CACHE_HOME or ~/.cache)
#   S390X_RUST_SRC    the `library` tree of exactly this rustc: a directory, a
#                     tar file or Debian's rust-src package (default: from Debian)
set -euo pipefail
. "$(dirname "$0")/debian-packages.sh"

cache=${S390X_TC:-${XDG_CACHE_HOME:-$HOME/.cache}/s390x-tc}
linux=s390x-unknown-linux-gnu
bare=s390x-unknown-none-softfloat

say() { echo "s390x-toolchain: $*"; }
have() { command -v "$1" >/dev/null; }
on_s390x() { [ "$(uname -m)" = s390x ]; }

# --- Debian packages ---------------------------------------------------------

install_packages() {
    local need=(cc:gcc /usr/include/stdio.h:libc6-dev s390x-linux-gnu-gcc:gcc-s390x-linux-gnu
        xz:xz-utils python3:python3 ip:iproute2 ping:iputils-ping mke2fs:e2fsprogs
        cpio:cpio unshare:util-linux git:git qemu-img:qemu-utils
        # Debian 13 split and renamed QEMU's packages.
        "qemu-system-s390x:qemu-system-s390x|qemu-system-misc")
    if ! on_s390x; then
        need+=(/usr/s390x-linux-gnu/lib/libc.so:libc6-dev-s390x-cross)
        have qemu-s390x || need+=("qemu-s390x-static:qemu-user-static|qemu-user")
    fi
    debian_need "${need[@]}"
}

# --- Rust's standard library -------------------------------------------------

rustc_version=$(rustc --version | cut -d' ' -f2)
# Identifies the compiler build: rlibs fit exactly one.
rustc_id=$(rustc -vV | sha256sum | cut -c1-16)
sysroot=$(rustc --print sysroot)

# Is the standard library for target $1 there, and made for this compiler?
std_ready() {
    local dir=$sysroot/lib/rustlib/$1
    compgen -G "$dir/lib/libcore-*.rlib" >/dev/null || return 1
    # One that rustup put there has no mark and is always right.
    [ ! -e "$dir/.s390x-tc" ] || [ "$(cat "$dir/.s390x-tc")" = "$rustc_id" ]
}

# Unpacks the library sources of this rustc into $library.
fetch_library() {
    [ ! -f "$library/Cargo.lock" ] || return 0
    local from=${S390X_RUST_SRC:-} new=$library.new found
    if [ -z "$from" ]; then
        found=$(debian_first "trixie-backports sid forky trixie" amd64 rust-src "$rustc_version+") ||
            die "Debian has no rust-src $rustc_version (any more): use a rustc with" \
                "\`rustup target add $linux $bare\`, or set S390X_RUST_SRC"
        from=$(debian_download "${found% *}" amd64 "rust-src=${found#* }")
    fi
    rm -rf "$new"
    mkdir -p "$new"
    case $from in
    *.deb) dpkg-deb --fsys-tarfile "$from" |
        tar x -C "$new" --strip-components=5 --wildcards './usr/src/rustc-*/library' ;;
    *.tar*) tar xf "$from" -C "$new" --strip-components=1 ;;
    *) cp -a "$from/." "$new" ;;
    esac
    # Debian's vendored crates have no checksums: cargo takes the locked ones itself.
    rm -rf "$new/vendor"
    [ -f "$new/Cargo.lock" ] || die "$from holds no library tree"
    rm -rf "$library"
    mv "$new" "$library"
}

# build_std TARGET CARGO-ARGUMENTS...: builds it as a release of Rust would have
# it and installs it where rustup would have put it. Afterwards stable cargo works.
build_std() {
    local target=$1 dir=$sysroot/lib/rustlib/$1
    shift
    if std_ready "$target"; then
        return
    fi
    [ -w "$sysroot/lib/rustlib" ] || die "cannot write to $sysroot"
    library=$cache/src-$rustc_version/library
    mkdir -p "${library%/*}"
    fetch_library
    say "building the standard library for $target"
    local out=$cache/build-$rustc_id
    (cd "$library" && env -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER \
        RUSTC_BOOTSTRAP=1 __CARGO_DEFAULT_LIB_METADATA=s390xtc \
        RUSTFLAGS="-Zforce-unstable-if-unmarked -Zunstable-options" \
        CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc \
        CARGO_TARGET_DIR="$out" \
        cargo build -q --locked --profile dist --target "$target" "$@" </dev/null)
    rm -rf "$dir.new"
    mkdir -p "$dir.new/lib"
    find "$out/$target/dist/deps" -maxdepth 1 \( -name '*.rlib' -o -name 'libstd-*.so' \) \
        ! -name 'libsysroot-*' -exec cp {} "$dir.new/lib/" \;
    echo "$rustc_id" >"$dir.new/.s390x-tc"
    rm -rf "$dir"
    mv "$dir.new" "$dir"
    rm -rf "$out"
}

# --- The instruction oracle --------------------------------------------------

# qemu-user 10: older ones are wrong in CVB, CVD, D, RXSBG, MDEB and in
# specification exceptions. It is statically linked and stays in the cache.
fetch_oracle() {
    local qemu=$cache/bin/qemu-s390x-10 arch found deb
    if [ ! -x "$qemu" ]; then
        arch=$(dpkg --print-architecture)
        found=$(debian_first "bookworm-backports trixie" "$arch" qemu-user 1:10.) ||
            found=$(debian_first sid "$arch" qemu-user 1:) || die "no qemu-user 10 in Debian's suites"
        say "the instruction oracle is qemu-user ${found#* } of ${found% *}"
        deb=$(debian_download "${found% *}" "$arch" "qemu-user=${found#* }")
        mkdir -p "$cache/bin"
        dpkg-deb --fsys-tarfile "$deb" | tar xO ./usr/bin/qemu-s390x >"$qemu.new"
        rm -f "$deb"
        chmod +x "$qemu.new"
        mv "$qemu.new" "$qemu"
    fi
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
install_packages
build_std $bare -p alloc --features compiler-builtins-mem
if ! on_s390x; then
    build_std $linux -p sysroot --features "panic-unwind backtrace"
    fetch_oracle
fi
say "ready"
