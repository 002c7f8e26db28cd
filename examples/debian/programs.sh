#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Runs Debian's programs for s390x (bash, coreutils, grep, sed, gawk, perl, python, tar, gzip, xz,
# zstd, openssl, sqlite, bc) in the Linux guest, and the same under qemu-user, and compares what they
# print. The command lines are in the file "programs". Exits with the result; the two outputs are
# left in target/debian/programs/{guest,peer}.
#
# Environment:
#   S390_VMM       the VMM (default: built with cargo)
#   QEMU_USER      the peer (default: the one of tools/s390x-toolchain.sh, or qemu-s390x)
#   DEBIAN_CACHE   keeps lists and packages, see tools/debian-packages.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
DEBIAN_UNSIGNED=1
. "$root/tools/debian-packages.sh"
out=$root/target/debian/programs
packages=(busybox-static bash coreutils grep sed gawk perl python3 tar gzip xz-utils zstd openssl
    sqlite3 bc diffutils findutils)
# What both sides start with; nothing of this machine.
environment=(LC_ALL=C TZ=UTC HOME=/ PYTHONHASHSEED=1 PERL_HASH_SEED=1)

find_peer() {
    local name
    for name in "${QEMU_USER:-}" "${S390X_TC:-${XDG_CACHE_HOME:-$HOME/.cache}/s390x-tc}/bin/qemu-s390x-10" \
        qemu-s390x-static qemu-s390x; do
        [ -n "$name" ] && command -v "$name" && return
    done
    die "no qemu-s390x: run tools/s390x-toolchain.sh"
}

# The packages' files as a root file system: $out/tree.
unpack() {
    local files file id
    files=$(debian_download_all bookworm s390x "${packages[@]}")
    id=$(sha256sum <<<"$files")
    [ "$(cat "$out/tree.id" 2>/dev/null)" != "$id" ] || return 0
    rm -rf "$out/tree" "$out/tree.id"
    mkdir -p "$out"/tree/{usr/{bin,sbin,lib},dev,proc,sys,tmp,work}
    for file in bin sbin lib; do
        ln -s usr/$file "$out/tree/$file"
    done
    for file in $files; do
        dpkg-deb --fsys-tarfile "$file" | tar x -C "$out/tree" --keep-directory-symlink \
            --no-same-owner --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
            --exclude='./usr/share/locale/*' --exclude='./usr/share/info/*'
    done
    echo "$id" >"$out/tree.id"
}

# In the guest: output and end go where the host finds them.
run_in_guest() {
    local image=$out/root.ext4 answer=$out/answer.img
    cp "$here/programs" "$out/tree/programs"
    cat >"$out/tree/init" <<END
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t tmpfs tmpfs /work
/bin/busybox ln -s /proc/self/fd /dev/fd
cd /work
/bin/busybox env -i ${environment[*]} PATH=/usr/bin /bin/bash /programs |
    /bin/busybox tee /tmp/guest
/bin/busybox tar c -C /tmp -f /dev/vdb guest
/bin/busybox poweroff -f
END
    chmod 755 "$out/tree/init" "$out/tree/programs"
    rm -f "$image" "$answer"
    truncate -s 1G "$image"
    truncate -s 64M "$answer"
    PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -d "$out/tree" "$image"
    timeout 1200 "$S390_VMM" boot --stats --memory 1G --sclp-console none \
        --kernel "$root/target/linux-guest/image" --disk "path=$image" --disk "path=$answer" \
        --cmdline "root=/dev/vda rw console=hvc0 quiet init=/init" </dev/null >"$out/console" 2>&1 || {
        tail "$out/console" >&2
        return 1
    }
    tail -n 1 "$out/console"
    tar x -C "$out" -f "$answer"
    rm "$image" "$answer"
}

# Under qemu-user, which starts no other program by itself: each has a wrapper.
run_in_peer() {
    local program wrappers=$out/wrappers work=$out/work
    rm -rf "$wrappers" "$work"
    mkdir -p "$wrappers" "$work"
    for program in "$out"/tree/usr/bin/*; do
        printf '#!/bin/sh\nexec "%s" -L "%s" "%s" "$@"\n' "$peer" "$out/tree" "$program" \
            >"$wrappers/${program##*/}"
    done
    chmod +x "$wrappers"/*
    (cd "$work" && env -i "${environment[@]}" PATH="$wrappers" \
        timeout 1200 "$wrappers/bash" "$here/programs") |
        sed "s#$out/tree/usr/bin/##g" >"$out/peer" # where they call themselves by their names
    rm -rf "$wrappers" "$work"
}

debian_need mke2fs:e2fsprogs
peer=$(find_peer)
mkdir -p "$out"
exec 9>"$out/lock"
flock 9
"$root/examples/linux-guest/build.sh"
if [ -z "${S390_VMM:-}" ]; then
    cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" -p s390-vmm
    S390_VMM=${CARGO_TARGET_DIR:-$root/target}/release/s390-vmm
fi
unpack
rm -f "$out/guest" "$out/peer"
run_in_peer &
run_in_guest
wait $!
diff -a "$out/peer" "$out/guest" || die "the guest's output (>) is not that of $peer (<)"
commands=$(grep -c '^== ' "$out/guest")
[ "$commands" -gt 70 ] || die "only $commands command lines were run"
echo "$commands command lines print the same in the guest and in $("$peer" --version | head -n1)"
