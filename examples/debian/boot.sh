#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Boots the kernel that Debian ships for s390x, as it is, with a user space of busybox in an
# initramfs, on the console of the SCLP.
#
#   boot.sh bookworm|trixie|sid [OPTIONS]      to a shell; options are those of `s390-vmm boot`
#   boot.sh bookworm|trixie|sid --self-test    runs a self-check in the guest, exits with its result
#   boot.sh bookworm|trixie|sid --fetch        only fetches target/debian/SUITE/{vmlinuz,initramfs}
#   boot.sh bookworm|trixie|sid --qemu ...     the same in qemu-system-s390x
#
# Environment:
#   S390_VMM       the VMM (default: built with cargo)
#   DEBIAN_CACHE   keeps lists, packages and kernels, see tools/debian-packages.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
# What is fetched here runs in a guest only.
DEBIAN_UNSIGNED=1
. "$root/tools/debian-packages.sh"

# Prints the packages that hold kernels, the suite's own choice first, then the newest: a mirror that
# is being updated may list a package before it has it.
kernel_packages() {
    local package next
    for package in linux-image-s390x $(debian_search "$suite" s390x '^linux-image-[0-9].*-s390x$'); do
        while
            next=$(debian_depends "$suite" s390x "$package" |
                awk '/^linux-(image|binary)-[0-9]/ && !n++')
            [ -n "$next" ]
        do
            package=$next
        done
        echo "$package"
    done | awk '!seen[$0]++'
}

# Makes $out/vmlinuz of a kernel that can be had.
fetch_kernel() {
    local package kept deb
    for package in $(kernel_packages); do
        kept=$DEBIAN_CACHE/kernels/${package}_$(debian_version "$suite" s390x "$package")
        if [ ! -e "$kept" ]; then
            deb=$(debian_download "$suite" s390x "$package") || continue
            mkdir -p "${kept%/*}"
            # In /boot or, in newer packages, beside the modules.
            dpkg-deb --fsys-tarfile "$deb" | tar xO --wildcards '*/vmlinuz*' >"$kept.new"
            mv "$kept.new" "$kept"
            rm "$deb"
        fi
        cp "$kept" "$out/vmlinuz"
        return
    done
    die "no kernel in $suite"
}

fetch_busybox() {
    local deb
    deb=$(debian_download bookworm s390x busybox-static)
    dpkg-deb --fsys-tarfile "$deb" | tar xO ./bin/busybox >"$out/busybox.new"
    mv "$out/busybox.new" "$out/busybox"
}

# Packages are looked up again after half a day, as lists of packages are.
fresh() {
    [ -n "$(find "$1" -mmin -720 2>/dev/null)" ]
}

fetch() {
    local tree
    fresh "$out/vmlinuz" || fetch_kernel
    fresh "$out/busybox" || fetch_busybox
    tree=$(mktemp -d)
    mkdir "$tree"/{bin,dev,proc,sys,tmp}
    cp "$out/busybox" "$tree/bin"
    cp "$here/init" "$here/self-check" "$tree"
    chmod 755 "$tree/bin/busybox" "$tree/init" "$tree/self-check"
    find "$tree" -exec touch -d @0 {} +
    (cd "$tree" && find . | LC_ALL=C sort |
        cpio --quiet -o -H newc -R 0:0 --reproducible | gzip -n) >"$out/initramfs"
    rm -r "$tree"
}

case ${1-} in
bookworm | trixie | sid) suite=$1 ;;
*)
    sed -n '5,9p' "$0" | cut -c3- >&2
    exit 2
    ;;
esac
shift
out=$root/target/debian/$suite
machine=vmm test=
cmdline=console=ttyS1
mkdir -p "$out"
debian_need cpio:cpio
exec 9>"$out/lock"
flock 9
fetch
exec 9>&-
while [ $# -gt 0 ]; do
    case $1 in
    --fetch) exit ;;
    --self-test) test=1 cmdline+=" self-check" ;;
    --qemu) machine=qemu ;;
    *) break ;;
    esac
    shift
done

if [ $machine = qemu ]; then
    command=(qemu-system-s390x -M s390-ccw-virtio -m 512M -display none -nodefaults
        -chardev "stdio,id=console,mux=on,signal=off" -mon console
        -device sclpconsole,chardev=console
        -kernel "$out/vmlinuz" -initrd "$out/initramfs" -append "$cmdline" "$@")
else
    [ -n "${S390_VMM:-}" ] ||
        cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" -p s390-vmm
    command=("${S390_VMM:-${CARGO_TARGET_DIR:-$root/target}/release/s390-vmm}" boot --memory 512M
        --kernel "$out/vmlinuz" --initrd "$out/initramfs" --cmdline "$cmdline" "$@")
fi
[ -n "$test" ] || exec "${command[@]}"

status=0
start=$(date +%s)
timeout --foreground 900 "${command[@]}" </dev/null 2>&1 | tee "$out/console" || status=$?
end=$(date +%s)
[ $status -eq 0 ] || die "exit status $status"
date=$(sed -n 's/^self-check: date \([0-9]*\).*/\1/p' "$out/console")
[ "${date:-0}" -ge "$start" ] && [ "$date" -le "$end" ] || die "the guest's date is not the host's"
grep -q '^self-check: passed' "$out/console" || die "the self-check failed"
