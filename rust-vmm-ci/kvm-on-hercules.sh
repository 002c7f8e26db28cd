#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Runs one part of what is to be shown with KVM, prints its output and exits with its status.
#
#   kvm-on-hercules.sh tests         the tests of s390-kvm, and what s390-vmm says where it has no KVM
#   kvm-on-hercules.sh conformance   one guest on both backends, compared exit by exit
#   kvm-on-hercules.sh demo          `s390-vmm demo --backend kvm`
#   kvm-on-hercules.sh linux         the Linux guest of examples/linux-guest, to user space and back
#
# On an s390x machine that lets its users have /dev/kvm, this happens there. Everywhere else the
# machine is Debian's Hercules: it emulates interpretive execution, so that Debian's own kernel for
# s390x has a KVM under it. Either way the programs are built here and kvm-on-hercules/steps runs.
# Nothing listens on a port.
#
# Environment:
#   KVM_MINUTES    time limit, from the start of Hercules on (default: 15, for linux 40)
#   KVM_SUITES     where the kernel comes from (default: trixie bookworm)
#   DEBIAN_CACHE   keeps Debian's lists and packages, see tools/debian-packages.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/..")
# What is fetched here runs in the emulated machine only.
DEBIAN_UNSIGNED=1
. "$root/tools/debian-packages.sh"
target=s390x-unknown-linux-gnu
out=${CARGO_TARGET_DIR:-$root/target}/kvm-on-hercules

# --- What the steps need -----------------------------------------------------------------------

# stage_tests NAME...: puts test programs of s390-kvm into $stage/tests: all, or the named ones.
stage_tests() {
    local name program
    mkdir -p "$stage/tests"
    cargo test --no-run --quiet --locked --target $target -p s390-kvm \
        --message-format=json-render-diagnostics "${@/#/--test=}" | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["target"]["name"], message["executable"])' |
        while read -r name program; do
            s390x-linux-gnu-strip -o "$stage/tests/$name" "$program"
        done
}

stage_vmm() {
    cargo build --quiet --release --locked --target $target -p s390-vmm
    s390x-linux-gnu-strip -o "$stage/s390-vmm" \
        "${CARGO_TARGET_DIR:-$root/target}/$target/release/s390-vmm"
}

# The guest's kernel, and its root file system as small as it goes: it travels in an initramfs.
stage_linux() {
    local guest=$root/target/linux-guest
    PATH=$PATH:/usr/sbin:/sbin
    "$root/examples/linux-guest/build.sh"
    cp "$guest/image" "$stage/image"
    cp --sparse=always "$guest/root.ext4" "$stage/root.ext4"
    resize2fs "$stage/root.ext4" 48M >/dev/null
}

stage() {
    stage=$out/$part
    rm -rf "$stage"
    mkdir -p "$stage"
    cp "$here/kvm-on-hercules/steps" "$stage"
    cd "$root"
    case $part in
    tests)
        stage_tests
        rm -f "$stage/tests/conformance"
        stage_vmm
        ;;
    conformance) stage_tests conformance ;;
    demo) stage_vmm ;;
    linux)
        stage_vmm
        stage_linux
        ;;
    esac
}

# --- A machine under Hercules ------------------------------------------------------------------

# Prints the newest package with a kernel that can be had: a mirror that is being updated may list
# one that it does not have.
kernel_package() {
    local suite package
    for suite in ${KVM_SUITES:-trixie bookworm}; do
        for package in $(_debian_apt "$suite" s390x apt-cache pkgnames linux-image-6 |
            grep -- '-s390x$' | sort -rV); do
            (debian_download "$suite" s390x "$package") 2>/dev/null && return
            echo "${0##*/}: no $package to be had" >&2
        done
    done
    die "no kernel for s390x can be had"
}

# The shared libraries that the programs need.
libraries() {
    local library=/usr/s390x-linux-gnu/lib
    [ "$(uname -m)" != s390x ] || library=/lib/s390x-linux-gnu
    {
        echo ld64.so.1
        s390x-linux-gnu-readelf -d "$@" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
    } | sort -u | sed "s#^#$library/#"
}

# Makes $machine/kernel and $machine/initramfs.
fill_machine() {
    local package busybox tree
    package=$(kernel_package)
    busybox=$(debian_download bookworm s390x busybox-static)
    tree=$(mktemp -d)
    chmod 755 "$tree"
    mkdir "$tree"/{bin,lib,dev,proc,sys,tmp,etc}
    dpkg-deb --fsys-tarfile "$package" | tar xO --wildcards '*/vmlinuz-*' >"$machine/kernel"
    dpkg-deb --fsys-tarfile "$package" | tar xO --wildcards '*/kvm.ko.xz' | xz -d >"$tree/lib/kvm.ko"
    dpkg-deb --fsys-tarfile "$busybox" | tar xO ./bin/busybox >"$tree/bin/busybox"
    cp "$here/kvm-on-hercules/init" "$tree/init"
    chmod 755 "$tree/init" "$tree/bin/busybox"
    # shellcheck disable=SC2046
    cp $(libraries $(find "$stage" -type f -perm -100)) "$tree/lib"
    cp -R "$stage" "$tree/steps"
    echo "$part" >"$tree/steps/part"
    (cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0) >"$machine/initramfs"
    rm -r "$tree"
}

# The list of what an initial program load puts into storage, and where. Beside files, Linux has
# its address and size of the initramfs and its command line at fixed places.
make_load_list() {
    local at=02000000
    printf "\\x${at:0:2}\\x${at:2:2}\\x${at:4:2}\\x${at:6:2}" >"$machine/initramfs.address"
    printf '%08x' "$(stat -c %s "$machine/initramfs")" | xxd -r -p >"$machine/initramfs.size"
    printf '%s\0' "conmode=3215 condev=0x0009 quiet panic=1 cryptomgr.notests cio_ignore=all,!0009" \
        >"$machine/command-line"
    cat >"$machine/load.ins" <<END
* kernel, initramfs, command line
kernel 0x00000000
initramfs.address 0x0001040c
initramfs.size 0x00010414
command-line 0x00010480
initramfs 0x$at
END
}

# A z10 with one device, the console.
make_configuration() {
    cat >"$machine/configuration" <<END
CPUSERIAL 002623
CPUMODEL 2097
MODEL EC
MAINSIZE 1024
XPNDSIZE 0
NUMCPU 2
OSTAILOR QUIET
ARCHMODE ESAME
PGMPRDOS LICENSED
DIAG8CMD DISABLE
SHCMDOPT DISABLE
0009 3215-C / noprompt
END
    echo "ipl $machine/load.ins" >"$machine/commands"
}

# Prints what the machine says, from its first word to its last, which is the result.
listen() {
    local line text=
    while IFS= read -r line; do
        line=${line%$'\r'}
        case $line in
        ">"*)
            [ -z "$text" ] || echo "${text:1}"
            text=$line
            ;;
        "+"*) text+=${line:1} ;;
        "END "*)
            [ -z "$text" ] || echo "${text:1}"
            return "${line#END }"
            ;;
        *"Disabled wait"* | *"Kernel panic"*) break ;;
        esac
    done
    return 124
}

run_hercules() {
    local minutes=15 status=0 hercules
    [ "$part" != linux ] || minutes=40
    machine=$out/machine
    rm -rf "$machine"
    mkdir -p "$machine"
    fill_machine
    make_load_list
    make_configuration
    : >"$machine/log"
    HERCULES_RC=$machine/commands nice hercules -d -f "$machine/configuration" \
        </dev/null >>"$machine/log" 2>&1 9>&- &
    hercules=$!
    trap "kill -9 $hercules 2>/dev/null" EXIT
    listen < <(timeout "${KVM_MINUTES:-$minutes}m" \
        tail -n +1 -s 0.2 -f --pid=$hercules "$machine/log") || status=$?
    if [ $status -eq 124 ]; then
        tail -n 20 "$machine/log" >&2
        die "the machine under Hercules did not come to an end"
    fi
    return $status
}

part=${1-}
case $part in
tests | conformance | demo | linux) ;;
*)
    sed -n '5,8p' "$0" | cut -c3- >&2
    exit 2
    ;;
esac
if [ "$(uname -m)" = s390x ] && [ -w /dev/kvm ]; then
    stage
    exec sh "$stage/steps" "$part"
fi
debian_need hercules:hercules cpio:cpio xxd:xxd xz:xz-utils python3:python3 resize2fs:e2fsprogs
[ "$(uname -m)" = s390x ] || debian_need s390x-linux-gnu-gcc:gcc-s390x-linux-gnu \
    /usr/s390x-linux-gnu/lib/libc.so.6:libc6-s390x-cross
mkdir -p "$out"
exec 9>"$out/lock"
flock 9
stage
run_hercules
