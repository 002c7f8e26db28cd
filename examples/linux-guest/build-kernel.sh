#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# build-kernel.sh VERSION CROSS-COMPILE DIRECTORY IMAGE: builds the kernel from the linux-source-6.1
# package of this version. The directory keeps sources and objects for the next time.
set -euo pipefail
version=$1 cross=$2 dir=$3 image=$4
here=$(dirname "$(realpath "$0")")
. "$here/../../tools/debian-packages.sh"
tree=$dir/source-$version
# Right inside, so that all paths are relative: the image is the same wherever this is.
objects=$tree/objects

# The package's sources, without the bulk of C files that only other machines need.
unpack() {
    local deb
    deb=$(debian_download bookworm "$(dpkg --print-architecture)" linux-source-6.1)
    rm -rf "$dir"/source-*
    mkdir -p "$tree.new"
    dpkg-deb --fsys-tarfile "$deb" | tar xO ./usr/src/linux-source-6.1.tar.xz | xz -dc -T0 |
        tar x -C "$tree.new" --strip-components=1 --wildcards \
            --exclude='*/arch/[!s]*/*.[chS]' --exclude='*/arch/s[hp]*/*.[chS]' \
            --exclude='*/arch/*.dts*' --exclude='*/drivers/gpu/*.[ch]' \
            --exclude='*/drivers/net/ethernet/*.[ch]' --exclude='*/drivers/net/wireless/*.[ch]' \
            --exclude='*/drivers/media/*.[ch]' --exclude='*/drivers/staging/*.[ch]' \
            --exclude='*/drivers/infiniband/*.[ch]' --exclude='*/drivers/scsi/*.[ch]' \
            --exclude='*/drivers/usb/*.[ch]' --exclude='*/sound/*.[ch]' \
            --exclude='*/Documentation/*.rst' --exclude='*/Documentation/*.yaml' \
            --exclude='*/Documentation/*.txt' --exclude='*/tools/testing/*' \
            --exclude='*/tools/perf/*'
    hook "$tree.new"
    mv "$tree.new" "$tree"
    rm "$deb"
}

# Makes room for the driver in the tree.
hook() {
    echo 'source "drivers/s390/virtio/Kconfig"' >>"$1/arch/s390/Kconfig"
    echo 'obj-$(CONFIG_S390_GUEST_OLD_TRANSPORT) += kvm_virtio.o' \
        >>"$1/drivers/s390/virtio/Makefile"
    # 6.1.192 subtracts twice what was already copied: after a first answer in time for a read that
    # does not wait, the next one waits for ever. Nothing to do in a version that has it right.
    sed -i 's/avail - vi->data_idx)/avail)/' "$1/drivers/char/hw_random/virtio-rng.c"
}

# allnoconfig drops what cannot be: every line of the fragment must have come true.
check_config() {
    local line symbol missing=()
    while read -r line; do
        case $line in
        CONFIG_*) grep -qxF "$line" "$objects/.config" || missing+=("$line") ;;
        "# CONFIG_"*" is not set")
            symbol=${line#\# }
            ! grep -q "^${symbol%% *}=" "$objects/.config" || missing+=("$line")
            ;;
        esac
    done <"$here/frag.config"
    [ ${#missing[@]} -eq 0 ] || die "not in the configuration: ${missing[*]}"
}

[ -d "$tree" ] || unpack
for file in kvm_virtio.c Kconfig; do
    cmp -s "$here/driver/$file" "$tree/drivers/s390/virtio/$file" ||
        cp "$here/driver/$file" "$tree/drivers/s390/virtio/"
done

# Nothing of this machine in the image.
export ARCH=s390 CROSS_COMPILE=$cross
export KBUILD_BUILD_VERSION=1 KBUILD_BUILD_USER=s390-vmm KBUILD_BUILD_HOST=linux-guest
export LC_ALL=C
KBUILD_BUILD_TIMESTAMP=$(date -u -r "$tree/Makefile")
export KBUILD_BUILD_TIMESTAMP
build=(make -s -C "$tree" O=objects)
mkdir -p "$objects"
echo "building Linux $version" >&2
KCONFIG_ALLCONFIG=$here/frag.config "${build[@]}" allnoconfig >&2
check_config
"${build[@]}" -j"$(nproc)" bzImage >&2
cp "$objects/arch/s390/boot/bzImage" "$image"
