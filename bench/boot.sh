#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Boots the same images in s390-vmm and in qemu-system-s390x (TCG), one after the other, and prints
# processor time (user and system, of the whole process) and the guest's instructions. The column
# "ratio" is s390-vmm's time by QEMU's.
#
#   bench/boot.sh [--rounds N] [linux-guest|bookworm|trixie|sid]...
#
# Each round runs all; the best time of each counts. What is run: "boot", to user space and power
# off at once; "self-check", with the checks of examples/debian/self-check in between.
#
# Environment:
#   S390_VMM   the VMM (default: built with cargo)
#   QEMU       the peer (default: qemu-system-s390x)
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
qemu=${QEMU:-qemu-system-s390x}
rounds=1
if [ "${1-}" = --rounds ]; then
    rounds=$2
    shift 2
fi
[ $# -gt 0 ] || set -- linux-guest bookworm trixie sid
if [ -z "${S390_VMM:-}" ]; then
    cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" -p s390-vmm
    S390_VMM=${CARGO_TARGET_DIR:-$root/target}/release/s390-vmm
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
TIMEFORMAT='%U %S'

# Sets the arrays $ours and $theirs to the commands for an image and a workload.
commands() {
    local files cmdline
    local machine=(-M s390-ccw-virtio -m 512M -display none -nodefaults
        -chardev "stdio,id=console,mux=on,signal=off" -mon console)
    if [ "$1" = linux-guest ]; then
        files=$root/target/linux-guest
        cp --sparse=always "$files/root.ext4" "$dir/root.ext4"
        cmdline='root=/dev/vda console=hvc0 init=/bin/busybox -- poweroff -f'
        ours=(--kernel "$files/image" --disk "path=$dir/root.ext4" --sclp-console none)
        theirs=(-kernel "$files/image" -device virtio-serial-ccw -device "virtconsole,chardev=console"
            -drive "if=none,id=disk,format=raw,file=$dir/root.ext4" -device "virtio-blk-ccw,drive=disk")
    else
        files=$root/target/debian/$1
        cmdline="console=ttyS1 $2"
        ours=(--kernel "$files/vmlinuz" --initrd "$files/initramfs")
        theirs=(-kernel "$files/vmlinuz" -initrd "$files/initramfs"
            -device "sclpconsole,chardev=console")
    fi
    ours=("$S390_VMM" boot --stats --memory 512M --cmdline "$cmdline" "${ours[@]}")
    theirs=("$qemu" "${machine[@]}" -append "$cmdline" "${theirs[@]}")
}

# run NAME COMMAND...: adds the seconds it takes to NAME.times; its output is in NAME.out.
run() {
    local name=$1
    shift
    { time timeout 900 "$@" </dev/null >"$dir/$name.out" 2>&1; } 2>"$dir/time" || {
        tail "$dir/$name.out" "$dir/time" >&2
        echo "${0##*/}: $1 failed" >&2
        exit 1
    }
    awk '{ print $1 + $2 }' "$dir/time" >>"$dir/$name.times"
}

workloads=()
for image; do
    case $image in
    linux-guest)
        "$root/examples/linux-guest/build.sh"
        workloads+=("$image boot")
        ;;
    *)
        "$root/examples/debian/boot.sh" "$image" --fetch
        workloads+=("$image boot" "$image self-check")
        ;;
    esac
done

for ((round = 0; round < rounds; round++)); do
    for workload in "${workloads[@]}"; do
        read -r image what <<<"$workload"
        commands "$image" "$what"
        run "$image-$what-ours" "${ours[@]}"
        run "$image-$what-theirs" "${theirs[@]}"
    done
done

"$qemu" --version | head -n1
printf '%-24s %15s %12s %12s %7s\n' workload instructions s390-vmm qemu ratio
for workload in "${workloads[@]}"; do
    name=${workload/ /-}
    best=$(sort -n "$dir/$name-ours.times" | head -n1)
    peer=$(sort -n "$dir/$name-theirs.times" | head -n1)
    instructions=$(sed -n 's/.* \([0-9]*\) instructions.*/\1/p' "$dir/$name-ours.out")
    awk -v w="$workload" -v i="$instructions" -v a="$best" -v b="$peer" \
        'BEGIN { printf "%-24s %15s %10.2f s %10.2f s %7.2f\n", w, i, a, b, a / b }'
done
