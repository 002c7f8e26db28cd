#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Makes target/linux-guest/image, Debian's Linux 6.1 with the driver of driver/, and
# target/linux-guest/root.ext4, a root file system for it. Takes about ten minutes the first time,
# seconds after a change to the driver, nothing when nothing has changed.
#
# Environment:
#   LINUX_GUEST_CACHE   keeps what was built, by content (default: s390-linux-guest in
#                       $XDG_CACHE_HOME or ~/.cache)
#   DEBIAN_CACHE        keeps Debian's lists and packages, see tools/debian-packages.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
. "$root/tools/debian-packages.sh"
cache=${LINUX_GUEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/s390-linux-guest}
out=$root/target/linux-guest
suite=bookworm

[ $# -eq 0 ] || die "takes no options, see the top of the file"

# One hash over names and contents of files and directories beside this script, and some words.
hash_of() {
    local words=$1
    shift
    (
        cd "$here"
        echo "$words"
        find "$@" -type f -printf '%m %p\n' | LC_ALL=C sort
        find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    ) | sha256sum | cut -c1-32
}

# provide NAME HASH COMMAND...: puts $out/NAME there if it is not the one of this hash, from the
# cache or by the command, which gets the file's name as last argument.
provide() {
    local name=$1 hash=$2 kept=$cache/$2/$1
    shift 2
    if [ -e "$out/$name" ] && [ "$(cat "$out/$name.hash" 2>/dev/null)" = "$hash" ]; then
        return
    fi
    rm -f "$out/$name.hash"
    if [ ! -e "$kept" ]; then
        mkdir -p "$cache/$hash"
        "$@" "$kept.new"
        mv "$kept.new" "$kept"
    fi
    cp --sparse=always "$kept" "$out/$name"
    echo "$hash" >"$out/$name.hash"
}

mkdir -p "$out" "$cache"
exec 9>"$out/lock"
flock 9
debian_need make:make gcc:gcc flex:flex bison:bison bc:bc xz:xz-utils mke2fs:e2fsprogs \
    /usr/include/stdio.h:libc6-dev
cross=
if [ "$(uname -m)" != s390x ]; then
    cross=s390x-linux-gnu-
    debian_need s390x-linux-gnu-gcc:gcc-s390x-linux-gnu
fi

source_version=$(debian_version $suite "$(dpkg --print-architecture)" linux-source-6.1)
compiler=$("${cross}gcc" --version | head -n1)
provide image "$(hash_of "$source_version, $compiler" driver frag.config build-kernel.sh)" \
    "$here/build-kernel.sh" "$source_version" "$cross" "$out"

packages=$(debian_download_all $suite s390x busybox-static e2fsprogs ethtool)
provide root.ext4 "$(hash_of "${packages//"$DEBIAN_CACHE"/}" root build-root.sh)" \
    "$here/build-root.sh" "$packages"
